package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kserver/interop/broker"
)

// connectWorker is a Kafka Connect process with its REST interface.
type connectWorker struct {
	cmd *exec.Cmd
	log *bytes.Buffer
	url string
}

// properties writes a map as Java properties.
func properties(t *testing.T, dir, name string, settings map[string]string) string {
	t.Helper()
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s=%s\n", key, settings[key])
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// startConnect starts a worker with these settings beside the common ones, and connectors for the
// standalone kind, and waits for its REST interface.
func startConnect(t *testing.T, class string, settings map[string]string, connectors ...string) *connectWorker {
	t.Helper()
	port, err := broker.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	w := &connectWorker{url: fmt.Sprintf("http://127.0.0.1:%d", port), log: new(bytes.Buffer)}
	all := map[string]string{
		"bootstrap.servers":            suite.endpoint,
		"listeners":                    w.url,
		"key.converter":                "org.apache.kafka.connect.storage.StringConverter",
		"value.converter":              "org.apache.kafka.connect.storage.StringConverter",
		"offset.flush.interval.ms":     "200",
		"plugin.discovery":             "service_load", // no search through the whole class path
		"consumer.metadata.max.age.ms": "500",
	}
	maps.Copy(all, settings)
	args := append([]string{properties(t, t.TempDir(), "worker.properties", all)}, connectors...)
	w.cmd = javaTools(t).Start(testContext(t), class, args...)
	w.cmd.Stdout, w.cmd.Stderr = w.log, w.log
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.cmd.Wait() }()
	t.Cleanup(func() {
		_ = w.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", class, w.log)
		}
	})
	eventually(t, "the REST interface", func() error {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the worker ended: %v", err)
		default:
		}
		return w.get("/connectors", new([]string))
	})
	return w
}

func (w *connectWorker) get(path string, answer any) error {
	resp, err := http.Get(w.url + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, text)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, answer)
}

// awaitRunning waits until a connector and its task run.
func (w *connectWorker) awaitRunning(t *testing.T, connector string) {
	t.Helper()
	eventually(t, connector, func() error {
		var status struct {
			Connector struct{ State string }
			Tasks     []struct{ State, Trace string }
		}
		if err := w.get("/connectors/"+connector+"/status", &status); err != nil {
			return err
		}
		if status.Connector.State != "RUNNING" || len(status.Tasks) != 1 || status.Tasks[0].State != "RUNNING" {
			return fmt.Errorf("status %+v", status)
		}
		return nil
	})
}

// awaitOffset waits until a connector has committed what lies behind it: a file position, or an offset.
func (w *connectWorker) awaitOffset(t *testing.T, connector, key string, want int64) {
	t.Helper()
	eventually(t, "committed offset of "+connector, func() error {
		var answer struct {
			Offsets []struct{ Offset map[string]int64 }
		}
		if err := w.get("/connectors/"+connector+"/offsets", &answer); err != nil {
			return err
		}
		if len(answer.Offsets) != 1 || answer.Offsets[0].Offset[key] != want {
			return fmt.Errorf("offsets %+v, want %d", answer, want)
		}
		return nil
	})
}

// stop ends the worker as a service manager would.
func (w *connectWorker) stop(t *testing.T) {
	t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker ends", func() error {
		if err := w.cmd.Process.Signal(syscall.Signal(0)); err == nil {
			return fmt.Errorf("process %d runs", w.cmd.Process.Pid)
		}
		return nil
	})
}

// pipeline is a file that is copied to another through a topic.
type pipeline struct {
	topic, source, sink string
	from, to            string // files
	written             []string
	bytes               int64
}

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	dir, name := t.TempDir(), uniqueName(t)
	p := &pipeline{topic: newTopic(t, 1), source: name + "-source", sink: name + "-sink", from: filepath.Join(dir, "from"), to: filepath.Join(dir, "to")}
	p.write(t, 100)
	return p
}

// write appends lines to the source file.
func (p *pipeline) write(t *testing.T, n int) {
	t.Helper()
	f, err := os.OpenFile(p.from, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range n {
		line := fmt.Sprintf("line %d\n", len(p.written))
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
		p.written = append(p.written, line)
		p.bytes += int64(len(line))
	}
}

// await waits until the sink file holds the source's lines, each once and in order.
func (p *pipeline) await(t *testing.T) {
	t.Helper()
	want := strings.Join(p.written, "")
	eventually(t, "the sink file", func() error {
		got, err := os.ReadFile(p.to)
		if err == nil && string(got) != want {
			err = fmt.Errorf("%d bytes of %d", len(got), len(want))
			if !strings.HasPrefix(want, string(got)) {
				t.Fatalf("the sink file is no copy of the source:\n%s", got)
			}
		}
		return err
	})
}

func (p *pipeline) connectors() (source, sink map[string]string) {
	return map[string]string{"name": p.source, "connector.class": "FileStreamSource", "tasks.max": "1", "file": p.from, "topic": p.topic},
		map[string]string{"name": p.sink, "connector.class": "FileStreamSink", "tasks.max": "1", "file": p.to, "topics": p.topic}
}

// TestConnectStandalone copies a file through a topic with a standalone worker.
func TestConnectStandalone(t *testing.T) {
	t.Parallel()
	p, dir := newPipeline(t), t.TempDir()
	source, sink := p.connectors()
	w := startConnect(t, "org.apache.kafka.connect.cli.ConnectStandalone", map[string]string{"offset.storage.file.filename": filepath.Join(dir, "offsets")},
		properties(t, dir, "source.properties", source), properties(t, dir, "sink.properties", sink))
	w.awaitRunning(t, p.source)
	w.awaitRunning(t, p.sink)
	p.await(t)
	p.write(t, 50)
	p.await(t)
	w.awaitOffset(t, p.sink, "kafka_offset", 150)
	wantCommitted(t, "connect-"+p.sink, p.topic, 150)
	w.stop(t)
}

// TestConnectDistributed does so with a distributed worker, which keeps connectors, offsets and status in
// topics of its own, and starts it a second time: it goes on where it was.
func TestConnectDistributed(t *testing.T) {
	t.Parallel()
	p, name := newPipeline(t), uniqueName(t)
	settings := map[string]string{
		"group.id":                          name,
		"config.storage.topic":              name + "-configs",
		"offset.storage.topic":              name + "-offsets",
		"status.storage.topic":              name + "-status",
		"config.storage.replication.factor": "1",
		"offset.storage.replication.factor": "1",
		"status.storage.replication.factor": "1",
		"offset.storage.partitions":         "3",
		"status.storage.partitions":         "2",
		"scheduled.rebalance.max.delay.ms":  "0",
	}
	t.Cleanup(func() {
		_, _ = newAdmin(t).DeleteTopics(suiteContext, name+"-configs", name+"-offsets", name+"-status")
	})
	start := func() *connectWorker {
		return startConnect(t, "org.apache.kafka.connect.cli.ConnectDistributed", settings)
	}
	w := start()
	source, sink := p.connectors()
	for connector, config := range map[string]map[string]string{p.source: source, p.sink: sink} {
		// Until the worker has joined its group it answers 409 or 503.
		eventually(t, "PUT "+connector, func() error { return w.put("/connectors/"+connector+"/config", config) })
	}
	w.awaitRunning(t, p.source)
	w.awaitRunning(t, p.sink)
	p.await(t)
	w.awaitOffset(t, p.source, "position", p.bytes)
	w.awaitOffset(t, p.sink, "kafka_offset", 100)
	w.stop(t)

	compact := map[string]string{"cleanup.policy": "compact"}
	wantTopicConfigs(t, name+"-configs", 1, compact)
	wantTopicConfigs(t, name+"-offsets", 3, compact)
	wantTopicConfigs(t, name+"-status", 2, compact)

	p.write(t, 50)
	w = start()
	w.awaitRunning(t, p.source)
	w.awaitRunning(t, p.sink)
	p.await(t)
	w.awaitOffset(t, p.source, "position", p.bytes)
	wantCommitted(t, "connect-"+p.sink, p.topic, 150)
	w.stop(t)
}

func (w *connectWorker) put(path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPut, w.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		why, err := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s: %s: %v", path, resp.Status, why, err)
	}
	return nil
}
