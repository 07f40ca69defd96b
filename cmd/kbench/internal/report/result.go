// Package report holds the result of a benchmark run: its JSON form, its table, the live line while it runs, and the
// comparison of many results.
//
// Concurrency: values belong to one goroutine; the live line writes from its own.
package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/latency"
	"kserver/cmd/kbench/internal/limits"
)

// GB is the gigabyte of all figures per GB: 10^9 bytes.
const GB = 1e9

// Result is one run. Rates are per second over the measured window, durations nanoseconds where the name ends in _ns
// and seconds where it ends in _seconds, sizes bytes.
type Result struct {
	Command     string            `json:"command"` // produce, consume or e2e
	Version     string            `json:"version"` // of kbench
	Started     time.Time         `json:"started"`
	Interrupted bool              `json:"interrupted"` // cut off by a signal: the figures cover what there was
	Labels      map[string]string `json:"labels,omitempty"`
	Args        []string          `json:"args"`
	Settings    map[string]any    `json:"settings"` // every flag with its effective value
	Machine     Machine           `json:"machine"`
	Endpoint    Endpoint          `json:"endpoint"`

	WarmUpSeconds   float64 `json:"warm_up_seconds"`
	MeasuredSeconds float64 `json:"measured_seconds"`

	Produce  *Flow            `json:"produce,omitempty"`
	Consume  *Flow            `json:"consume,omitempty"`
	EndToEnd *latency.Summary `json:"end_to_end,omitempty"` // due time to arrival at the consumer

	Broker *Cost `json:"broker,omitempty"`
	Client Cost  `json:"client"`
	// OtherCores is what neither broker nor client used of the machine, in CPU seconds per second: the kernel's own threads,
	// and everybody who should not run beside a measurement.
	OtherCores *float64 `json:"other_cores,omitempty"`
	// StolenPercent is how much of the processors' time the hypervisor took from the machine while they had work.
	StolenPercent float64           `json:"stolen_percent"`
	Limits        *limits.Limits    `json:"limits,omitempty"`
	OfLimits      []Share           `json:"of_limits,omitempty"`
	Integrity     *integrity.Report `json:"integrity,omitempty"`
}

// Flow is one direction of a run.
type Flow struct {
	Records          int64   `json:"records"` // answered in the measured window
	Bytes            int64   `json:"bytes"`   // record values; raw consume: whole record batches
	RecordsPerSecond float64 `json:"records_per_second"`
	BytesPerSecond   float64 `json:"bytes_per_second"`
	TargetRate       float64 `json:"target_rate,omitempty"` // records per second asked for; 0 is as fast as possible
	Failed           int64   `json:"failed"`
	Unsent           int64   `json:"unsent"` // due and never sent, because the client was hopelessly behind
	// Latency is from the due time to the answer (produce), or of one Fetch request (consume).
	Latency latency.Summary `json:"latency"`
	// Service is from the moment the client took the record; what Latency has more is the client's own lateness.
	Service *latency.Summary `json:"service,omitempty"`
	// Series is the course of the measured window; nil when that has no fixed end.
	Series *Series          `json:"series,omitempty"`
	Errors map[string]int64 `json:"errors,omitempty"`
}

// Series is the course of a flow in equal intervals from the beginning of the measured window.
type Series struct {
	Interval time.Duration   `json:"interval_ns"`
	Bytes    []int64         `json:"bytes"`    // answered in each interval
	Worst    []time.Duration `json:"worst_ns"` // highest latency among those answers, 0 when there was none
}

// Cost is what a process used during the measured window.
type Cost struct {
	PID            int     `json:"pid,omitempty"`
	CPUSeconds     float64 `json:"cpu_seconds"`
	UserSeconds    float64 `json:"user_seconds,omitempty"`
	SystemSeconds  float64 `json:"system_seconds,omitempty"`
	Cores          float64 `json:"cores"` // CPU seconds per second
	CPUPerGB       float64 `json:"cpu_seconds_per_gb,omitempty"`
	CPUPerMillion  float64 `json:"cpu_seconds_per_million_records,omitempty"`
	RSSBytes       int64   `json:"rss_bytes,omitempty"`      // mean of the samples
	MaxRSSBytes    int64   `json:"max_rss_bytes,omitempty"`  // highest sample
	PeakRSSBytes   int64   `json:"peak_rss_bytes,omitempty"` // the kernel's own mark, since the process began
	Threads        int     `json:"threads,omitempty"`
	WrittenBytes   int64   `json:"written_bytes,omitempty"` // to the storage layer
	ReadBytes      int64   `json:"read_bytes,omitempty"`
	WriteAmplified float64 `json:"written_per_byte,omitempty"` // bytes to the storage layer per payload byte
}

// Share is a result beside the machine's own limit.
type Share struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Limit   float64 `json:"limit"`
	Percent float64 `json:"percent"`
}

// Endpoint is what the broker says about itself.
type Endpoint struct {
	Bootstrap  []string         `json:"bootstrap"`
	ClusterID  string           `json:"cluster_id,omitempty"`
	Brokers    int              `json:"brokers"`
	Guess      string           `json:"guess"` // the Kafka release whose APIs these are
	Produce    [2]int16         `json:"produce_versions"`
	Fetch      [2]int16         `json:"fetch_versions"`
	APIs       int              `json:"apis"`
	Features   map[string]int16 `json:"finalized_features,omitempty"`
	Topic      string           `json:"topic"`
	Partitions int              `json:"partitions"`
}

// Machine is where kbench ran.
type Machine struct {
	Host        string `json:"host"`
	Kernel      string `json:"kernel"`
	CPU         string `json:"cpu"`
	CPUs        int    `json:"cpus"`
	MemoryBytes int64  `json:"memory_bytes"`
	Go          string `json:"go"`
	// Congestion is TCP's congestion control. One that paces, as bbr does, sets a timer for a packet where it takes the
	// loopback for slower than it is: a broker's cost per byte then depends on its guess.
	Congestion string `json:"tcp_congestion_control,omitempty"`
}

// ThisMachine describes the machine; what cannot be found out stays empty.
func ThisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	m.Host, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	}
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) == nil {
		m.MemoryBytes = int64(si.Totalram) * int64(si.Unit)
	}
	if b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil {
		m.Congestion = strings.TrimSpace(string(b))
	}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// Version returns kbench's version: the module version, or the commit it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(v, s.Value[:12]):
			v += " " + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			v += " (modified)"
		}
	}
	return v
}

// WriteJSON writes v as indented JSON to the named file, as a whole or not at all.
func WriteJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	tmp := name + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// AgainstLimits fills OfLimits from what was measured. Which limit binds depends on the broker's durability and on
// the payload, so these are shares for the reader to judge, not grades.
func (r *Result) AgainstLimits() {
	l := r.Limits
	if l == nil {
		return
	}
	add := func(name string, value, limit float64) {
		if value > 0 && limit > 0 {
			r.OfLimits = append(r.OfLimits, Share{name, value, limit, 100 * value / limit})
		}
	}
	if p := r.Produce; p != nil {
		add("produce bytes/s of synced 1 MiB appends", p.BytesPerSecond, l.SyncedBytes)
		add("produce bytes/s of memory copy", p.BytesPerSecond, l.CopyBytes)
		if p.Latency.Count > 0 && l.SyncAppends > 0 {
			r.OfLimits = append(r.OfLimits, Share{
				"one synced append / produce p50 latency", 1 / l.SyncAppends, p.Latency.P50.Seconds(), 100 / l.SyncAppends / p.Latency.P50.Seconds(),
			})
		}
	}
	if c := r.Consume; c != nil {
		add("consume bytes/s of loopback sendfile", c.BytesPerSecond, l.SendfileBytes)
	}
}
