package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/observe"
)

const (
	heapMetric       = "go_memstats_heap_alloc_bytes"
	goroutinesMetric = "go_goroutines"
	maxMetricLine    = 1 << 20
)

// sample is what the broker took in the time since the one before.
type sample struct {
	rss, rssPeak int64   // bytes, resident: now, and the largest since
	cores        float64 // processor time over time
	heap         int64   // bytes of its Go heap in use, garbage included; 0 of a broker without metrics
	goroutines   int64   // 0 of a broker without metrics
	descriptors  int64
	disk         int64 // bytes its data directory takes
}

// sampler looks at a broker from outside.
type sampler struct {
	pid     int
	dir     string
	metrics string // URL, "" without
	memory  *observe.Memory
	client  http.Client

	at  time.Time
	cpu time.Duration
}

func newSampler(ctx context.Context, pid int, p *launch.Place) *sampler {
	s := &sampler{pid: pid, dir: p.Dir, memory: observe.WatchMemory(ctx, pid), client: http.Client{Timeout: requestTimeout}}
	if p.Metrics > 0 {
		s.metrics = fmt.Sprintf("http://127.0.0.1:%d/metrics", p.Metrics)
	}
	return s
}

// sample is called by one goroutine.
func (s *sampler) sample(ctx context.Context) (w sample, err error) {
	now, cpu := time.Now(), observe.CPU(s.pid)
	w.cores = (cpu - s.cpu).Seconds() / now.Sub(s.at).Seconds()
	s.at, s.cpu = now, cpu
	w.rss, w.rssPeak = s.memory.Now(), s.memory.Next()
	if w.descriptors, err = observe.CountDescriptors(s.pid); err != nil {
		return w, err
	}
	if w.disk, err = diskUsage(s.dir); err != nil || s.metrics == "" {
		return w, err
	}
	return w, s.scrape(ctx, &w)
}

// scrape asks the broker what only it knows.
func (s *sampler) scrape(ctx context.Context, w *sample) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.metrics, nil)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", s.metrics, resp.Status)
	}
	values, err := parseMetrics(resp.Body, heapMetric, goroutinesMetric)
	w.heap, w.goroutines = int64(values[heapMetric]), int64(values[goroutinesMetric])
	return err
}

// parseMetrics finds metrics without labels in the text format of Prometheus. All must be there.
func parseMetrics(r io.Reader, names ...string) (map[string]float64, error) {
	values := make(map[string]float64, len(names))
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxMetricLine)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		for _, want := range names {
			if name != want {
				continue
			}
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, fmt.Errorf("metric %s: %w", name, err)
			}
			values[name] = v
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	for _, want := range names {
		if _, ok := values[want]; !ok {
			return nil, fmt.Errorf("the broker shows no metric %s", want)
		}
	}
	return values, nil
}

// diskUsage adds up the blocks of a directory's files. Files come and go meanwhile.
func diskUsage(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil {
			info, err = e.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += st.Blocks * 512 // the unit of st_blocks, see inode(7)
		}
		return nil
	})
	return bytes, err
}
