// Firstack measures what a broker's start costs: the time from exec to the first acknowledged record on a new topic,
// memory when idle, the time to stop, the time from exec to an acknowledged record on an existing directory after a
// clean stop and after kill -9, and the size of the executable.
//
// Every run begins with an empty directory. Connecting is polled every 0.2 ms, requests are encoded by hand, and no
// client library waits in between, so that the figures are the broker's.
//
// The exit code is 1 when a median exceeds its --max option.
package main

import (
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/program"
	"kserver/cmd/kbench/process"
	"kserver/cmd/kbench/wire"
)

const (
	topic            = "firstack"
	recordBytes      = 100
	produceTimeoutMs = 30_000
	logTailBytes     = 4 << 10
)

type options struct {
	spec         launch.Spec
	runs         int
	settle       time.Duration
	idle         time.Duration
	restarts     bool
	prepare      string
	startTimeout time.Duration
	jsonFile     string
	baseDir      string
	maxFirstAck  time.Duration
	maxRestart   time.Duration
	maxIdleMiB   float64
	maxBinaryMiB float64
}

func main() { program.Main(newCommand()) }

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "firstack", Short: "Measure what a broker's start costs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o, cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.spec.Binary, "binary", "./kserver", "the broker's executable")
	f.StringVar(&o.spec.Command, "cmd", launch.DefaultCommand, "command line; {binary}, {dir}, {port} and {backend} are replaced")
	f.StringVar(&o.spec.Backend, "backend", "auto", "replaces {backend}")
	f.StringVar(&o.baseDir, "dir", "", "directory for the brokers' directories (default: the system's for temporary files)")
	f.IntVarP(&o.runs, "runs", "n", 10, "number of runs")
	f.DurationVar(&o.settle, "settle", 2*time.Second, "idle time before memory is read; 0 leaves it out")
	f.DurationVar(&o.idle, "idle", 0, "how long to watch the processor time of the idle broker after that; 0 leaves it out")
	f.BoolVar(&o.restarts, "restarts", true, "measure restarts, too")
	f.StringVar(&o.prepare, "prepare", "", "command to run before the first start, with the same replacements, for brokers that want their directory formatted")
	f.DurationVar(&o.startTimeout, "start-timeout", 60*time.Second, "how long a start may take")
	f.StringVar(&o.jsonFile, "json", "", "write the result to this file, too")
	f.DurationVar(&o.maxFirstAck, "max-first-ack", 0, "fail when the median of the first acknowledgement is later; 0 is no limit")
	f.DurationVar(&o.maxRestart, "max-restart", 0, "fail when a median of the restarts is later; 0 is no limit")
	f.Float64Var(&o.maxIdleMiB, "max-idle-mib", 0, "fail when idle memory exceeds it; 0 is no limit")
	f.Float64Var(&o.maxBinaryMiB, "max-binary-mib", 0, "fail when the executable is larger; 0 is no limit")
	return cmd
}

// result is what all runs gave.
type result struct {
	Command     string         `json:"command"`
	Executable  *executable    `json:"executable,omitempty"`
	Connect     launch.Summary `json:"connect"`                    // exec to the answer to ApiVersions
	Created     launch.Summary `json:"topic"`                      // exec to the topic being created
	FirstAck    launch.Summary `json:"first_ack"`                  // exec to the first acknowledged record
	Stop        launch.Summary `json:"stop"`                       // SIGTERM to the end of the process
	AfterStop   launch.Summary `json:"after_stop"`                 // exec to an acknowledged record, after a clean stop
	AfterKill   launch.Summary `json:"after_kill"`                 // the same after kill -9
	IdleRSS     int64          `json:"idle_rss"`                   // bytes, highest of the runs
	IdleThreads int            `json:"idle_threads"`               // of the same run
	IdleCPU     *float64       `json:"idle_cpu_percent,omitempty"` // of a core, highest of the runs
}

func run(ctx context.Context, o *options, out io.Writer) error {
	res := result{Command: o.spec.Command}
	if exe, err := inspect(o.spec.Binary); err == nil {
		res.Executable = exe
	} else if o.maxBinaryMiB > 0 {
		return err
	}
	var m measurements
	for i := range o.runs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.one(ctx, o, &res); err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
	}
	res.Connect, res.Created, res.FirstAck = m.connect.Summary(), m.created.Summary(), m.firstAck.Summary()
	res.Stop, res.AfterStop, res.AfterKill = m.stop.Summary(), m.afterStop.Summary(), m.afterKill.Summary()
	if err := res.write(out); err != nil {
		return err
	}
	if o.jsonFile != "" {
		b, err := json.MarshalIndent(&res, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.jsonFile, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	return o.judge(&res)
}

// judge compares the result with the --max options.
func (o *options) judge(r *result) error {
	var errs []error
	late := func(name string, s launch.Summary, limit time.Duration) {
		if ms := float64(limit.Microseconds()) / 1e3; limit > 0 && s.MedianMs > ms {
			errs = append(errs, fmt.Errorf("%s: median %.1f ms is more than %.1f ms", name, s.MedianMs, ms))
		}
	}
	large := func(name string, bytes int64, limit float64) {
		if mib := float64(bytes) / (1 << 20); limit > 0 && mib > limit {
			errs = append(errs, fmt.Errorf("%s: %.1f MiB is more than %.1f MiB", name, mib, limit))
		}
	}
	late("first acknowledgement", r.FirstAck, o.maxFirstAck)
	late("restart after a clean stop", r.AfterStop, o.maxRestart)
	late("restart after kill -9", r.AfterKill, o.maxRestart)
	large("idle memory", r.IdleRSS, o.maxIdleMiB)
	if r.Executable != nil && o.maxBinaryMiB > 0 {
		large("executable", r.Executable.Bytes, o.maxBinaryMiB)
		if !r.Executable.Static || !r.Executable.Stripped {
			errs = append(errs, errors.New("executable: not static or not stripped"))
		}
	}
	return errors.Join(errs...)
}

func (r *result) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) // keeps everything until Flush, which reports what fails
	fmt.Fprintln(w, "from exec, ms\tmin\tmedian\tmax\truns")
	fmt.Fprintf(w, "answers ApiVersions\t%s\n", r.Connect.Row())
	fmt.Fprintf(w, "topic created\t%s\n", r.Created.Row())
	fmt.Fprintf(w, "first acknowledged record\t%s\n", r.FirstAck.Row())
	fmt.Fprintf(w, "acknowledged after clean stop\t%s\n", r.AfterStop.Row())
	fmt.Fprintf(w, "acknowledged after kill -9\t%s\n", r.AfterKill.Row())
	fmt.Fprintf(w, "SIGTERM to end\t%s\n", r.Stop.Row())
	if r.IdleRSS > 0 {
		fmt.Fprintf(w, "idle memory\t%s RSS, %d threads\n", humanize.IBytes(uint64(r.IdleRSS)), r.IdleThreads)
	}
	if r.IdleCPU != nil {
		fmt.Fprintf(w, "idle processor time\t%.3f %% of a core\n", *r.IdleCPU)
	}
	if e := r.Executable; e != nil {
		fmt.Fprintf(w, "executable\t%s, static %v, stripped %v\n", humanize.IBytes(uint64(e.Bytes)), e.Static, e.Stripped)
	}
	return w.Flush()
}

// executable describes the broker's file.
type executable struct {
	Bytes    int64 `json:"bytes"`
	Static   bool  `json:"static"`
	Stripped bool  `json:"stripped"`
}

func inspect(name string) (*executable, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	f, err := elf.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	e := &executable{Bytes: st.Size(), Static: true, Stripped: f.Section(".symtab") == nil && f.Section(".debug_info") == nil}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			e.Static = false
		}
	}
	return e, nil
}

// measurements gathers the durations of all runs.
type measurements struct {
	connect, created, firstAck, stop, afterStop, afterKill launch.Durations
}

// one is one run on an empty directory: start, first record, idle, stop, start, record, kill, start, record, kill.
func (m *measurements) one(ctx context.Context, o *options, res *result) (err error) {
	base, err := os.MkdirTemp(o.baseDir, "firstack-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(base)) }()
	logName := filepath.Join(base, "broker.log")
	logFile, err := os.Create(logName)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\nthe broker's last words:\n%s", err, launch.Tail(logName, logTailBytes))
		}
		err = errors.Join(err, logFile.Close())
	}()
	spec := o.spec
	spec.Dir, spec.Output = filepath.Join(base, "data"), logFile
	if err := os.Mkdir(spec.Dir, 0o755); err != nil {
		return err
	}
	if spec.Port, err = launch.FreePort(); err != nil {
		return err
	}

	if o.prepare != "" {
		if err := o.runPrepare(spec); err != nil {
			return err
		}
	}
	r := &round{spec: &spec, timeout: o.startTimeout}
	if err := r.start(ctx, true); err != nil {
		return err
	}
	m.connect, m.created, m.firstAck = append(m.connect, r.connected), append(m.created, r.created), append(m.firstAck, r.acked)
	if err := r.idle(ctx, o.settle, o.idle, res); err != nil {
		return errors.Join(err, r.process.Kill())
	}
	stopping := time.Now()
	if err := r.process.Terminate(o.startTimeout); err != nil {
		return err
	}
	m.stop = append(m.stop, time.Since(stopping))
	if !o.restarts {
		return nil
	}

	if err := r.start(ctx, false); err != nil {
		return err
	}
	m.afterStop = append(m.afterStop, r.acked)
	if err := r.process.Kill(); err != nil {
		return err
	}
	if err := r.start(ctx, false); err != nil {
		return err
	}
	m.afterKill = append(m.afterKill, r.acked)
	return r.process.Kill()
}

// runPrepare runs the command that comes before the first start.
func (o *options) runPrepare(spec launch.Spec) error {
	spec.Command = o.prepare
	p, err := spec.Start()
	if err != nil {
		return err
	}
	select {
	case <-p.Exited():
		return p.Err()
	case <-time.After(o.startTimeout):
		return errors.Join(fmt.Errorf("--prepare has not ended after %v", o.startTimeout), p.Kill())
	}
}

// round is one life of the broker.
type round struct {
	spec    *launch.Spec
	timeout time.Duration
	process *launch.Process

	connected, created, acked time.Duration // since exec
}

// start executes the broker and gets one record acknowledged; the broker is killed when that fails.
func (r *round) start(ctx context.Context, create bool) (err error) {
	if r.process, err = r.spec.Start(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.process.Kill())
		}
	}()
	conn, err := r.process.Connect(ctx, r.spec.Addr(), r.timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	r.connected = time.Since(r.process.Started)
	if create {
		err := r.process.Until(ctx, r.timeout, func() error {
			err := conn.CreateTopic(topic, 1)
			if errors.Is(err, kerr.TopicAlreadyExists) {
				return nil // an attempt that timed out has succeeded
			}
			return err
		})
		if err != nil {
			return err
		}
		r.created = time.Since(r.process.Started)
	}
	if err := r.produce(ctx, conn); err != nil {
		return err
	}
	r.acked = time.Since(r.process.Started)
	return nil
}

// produce gets one record acknowledged by all in-sync replicas, as soon as the broker takes it.
func (r *round) produce(ctx context.Context, conn *wire.Conn) error {
	batch, err := wire.EncodeBatch(1, recordBytes, wire.CodecNone, time.Now().UnixMilli(), func(int, []byte) {})
	if err != nil {
		return err
	}
	frame, err := conn.NewProduceFrame(topic, 0, -1, produceTimeoutMs, batch)
	if err != nil {
		return err
	}
	reader, err := conn.NewProduceReader()
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(r.process.Started.Add(r.timeout)); err != nil {
		return err
	}
	return r.process.Until(ctx, r.timeout, func() error {
		if err := conn.WriteFrame(frame.Bytes(), 1); err != nil {
			return err
		}
		res, err := reader.Next()
		if err != nil {
			return err
		}
		return res.Err
	})
}

// idle waits and reads the broker's memory, then waits again and reads what processor time that took.
func (r *round) idle(ctx context.Context, settle, watch time.Duration, res *result) error {
	if settle <= 0 {
		return nil
	}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	u, err := process.Read(r.process.PID())
	if err != nil {
		return err
	}
	if u.RSSBytes > res.IdleRSS {
		res.IdleRSS, res.IdleThreads = u.RSSBytes, u.Threads
	}
	if watch <= 0 {
		return nil
	}
	began := time.Now()
	before, err := process.RunTime(r.process.PID())
	if err != nil {
		return err
	}
	if err := sleep(ctx, watch); err != nil {
		return err
	}
	after, err := process.RunTime(r.process.PID())
	if err != nil {
		return err
	}
	percent := 100 * (after - before).Seconds() / time.Since(began).Seconds()
	if res.IdleCPU == nil || percent > *res.IdleCPU {
		res.IdleCPU = &percent
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
