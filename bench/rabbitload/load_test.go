package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fakePublisher confirms at once, in groups, and can be told to refuse, to stop confirming or to break.
type fakePublisher struct {
	out       chan confirm
	published atomic.Int64
	refuse    bool
	silent    bool
	broken    error
}

func (f *fakePublisher) publish(_ context.Context, body []byte) error {
	if f.broken != nil {
		return f.broken
	}
	if n := f.published.Add(1); !f.silent && n%3 == 0 {
		f.out <- confirm{n: 2, refused: f.refuse}
		f.out <- confirm{n: 1}
	}
	return nil
}

func (f *fakePublisher) confirms() <-chan confirm { return f.out }
func (f *fakePublisher) close() error             { return nil }

func fake(f *fakePublisher) connect {
	f.out = make(chan confirm, 2*leastInFlight)
	return func(context.Context, *options, string) (publisher, error) { return f, nil }
}

func quick() *options {
	return &options{kind: kindClassic, duration: 30 * time.Millisecond, queues: 1, producers: 1, pipeline: 1, batchRecords: 1, recordSize: 10}
}

// Messages that are refused are failures; the others count, with their bytes and their latencies.
func TestTake(t *testing.T) {
	o := quick()
	f := &fakePublisher{refuse: true}
	pub, err := fake(f)(t.Context(), o, "q")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now().Add(-time.Second)
	p := newProducer(o, pub, make([]atomic.Int64, 100))
	p.window = window{from, from.Add(time.Hour)}
	for range 6 {
		p.room <- struct{}{}
		p.sent <- time.Now()
		if err := pub.publish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	close(p.sent)
	if err := p.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	var bytes int64
	for i := range p.course {
		bytes += p.course[i].Load()
	}
	if p.records != 2 || p.failed != 4 || bytes != 20 || p.latency.TotalCount() != 2 || len(p.room) != 0 {
		t.Errorf("%d records, %d failed, %d bytes, %d latencies, %d in flight", p.records, p.failed, bytes, p.latency.TotalCount(), len(p.room))
	}
	r := newResult(o, []*producer{p}, usage{})
	if err := r.write(&strings.Builder{}, ""); err == nil || !strings.Contains(err.Error(), "4 messages were refused") {
		t.Errorf("%v", err)
	}
}

func TestTakeGivesUp(t *testing.T) {
	o := quick()
	for name, tt := range map[string]struct {
		f    *fakePublisher
		end  func(f *fakePublisher, cancel context.CancelFunc)
		want string
	}{
		"silent":       {&fakePublisher{silent: true}, func(_ *fakePublisher, cancel context.CancelFunc) { cancel() }, "not confirmed in time"},
		"disconnected": {&fakePublisher{silent: true}, func(f *fakePublisher, _ context.CancelFunc) { close(f.out) }, "the connection ended"},
	} {
		pub, err := fake(tt.f)(t.Context(), o, "q")
		if err != nil {
			t.Fatal(err)
		}
		p := newProducer(o, pub, nil)
		ctx, cancel := context.WithCancel(t.Context())
		p.room <- struct{}{}
		p.sent <- time.Now()
		tt.end(tt.f, cancel)
		if err := p.take(ctx); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

// A whole run against a publisher that breaks ends with its error.
func TestRunReportsABrokenPublisher(t *testing.T) {
	broken := errors.New("broken")
	if _, err := run(t.Context(), quick(), fake(&fakePublisher{broken: broken})); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, err := run(t.Context(), quick(), func(context.Context, *options, string) (publisher, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestValidate(t *testing.T) {
	if err := quick().validate(); err != nil {
		t.Error(err)
	}
	for want, edit := range map[string]func(o *options){
		"--kind": func(o *options) { o.kind = "lazy" }, "--duration": func(o *options) { o.duration = 0 },
		"--producers": func(o *options) { o.producers = 0 }, "--partitions": func(o *options) { o.queues = 0 },
		"--pipeline": func(o *options) { o.pipeline = maxInFlight + 1 }, "--record-size": func(o *options) { o.recordSize = 0 },
	} {
		o := quick()
		edit(o)
		if err := o.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if o := quick(); o.inFlight() != leastInFlight {
		t.Errorf("%d in flight", o.inFlight())
	}
	if o := (&options{pipeline: 100, batchRecords: 50}); o.inFlight() != 5000 {
		t.Errorf("%d in flight", o.inFlight())
	}
}

// TestBroker runs every kind against a real broker: RABBITMQ_PORT=5672 go test .
func TestBroker(t *testing.T) {
	port, err := strconv.Atoi(os.Getenv("RABBITMQ_PORT"))
	if err != nil {
		t.Skip("RABBITMQ_PORT names no broker to test against")
	}
	for _, kind := range []string{kindClassic, kindQuorum, kindStream} {
		file := filepath.Join(t.TempDir(), "r.json")
		cmd := newCommand()
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs([]string{"--kind", kind, "--port", strconv.Itoa(port), "--warm-up", "200ms", "--duration", "500ms", "-p", "2",
			"--producers", "2", "--record-size", "200", "--json", file, "--broker-pid", strconv.Itoa(os.Getpid())})
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r result
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		if r.Produce.Records == 0 || r.Produce.Bytes != 200*r.Produce.Records || r.Produce.Latency.Count == 0 || r.Broker.MaxRSSBytes == 0 {
			t.Errorf("%s: %s", kind, b)
		}
		t.Logf("%s: %s", kind, out.String())
	}
}
