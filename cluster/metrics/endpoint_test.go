package metrics

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"kserver/cluster/telemetry"
	"kserver/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open serves an endpoint without sources, which is all but a scrape.
func open(t *testing.T, addresses ...string) *Endpoint {
	t.Helper()
	e, err := Open(addresses, &Sources{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	e.Serve()
	return e
}

func TestNoEndpoint(t *testing.T) {
	if e := open(t); e != nil || e.URLs() != nil {
		t.Errorf("%v", e)
	}
}

func TestEndpoint(t *testing.T) {
	e := open(t, "127.0.0.1:0", "127.0.0.1:0")
	if len(e.URLs()) != 2 {
		t.Fatal(e.URLs())
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, url := range e.URLs() {
		base := strings.TrimSuffix(url, Path)
		for path, code := range map[string]int{"/": 200, "/nothing": 404} {
			resp, err := client.Get(base + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != code {
				t.Errorf("%s: %s", path, resp.Status)
			}
		}
		resp, err := client.Post(base+Path, "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST: %s", resp.Status)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(e.URLs()[0]); err == nil {
		t.Error("answers after Close")
	}
}

// An address in use is an error that names the key, and leaves no listener behind.
func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Open([]string{"127.0.0.1:0", l.Addr().String()}, &Sources{}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "metrics.listeners") {
		t.Errorf("%v", err)
	}
}

// Beyond the bound a connection waits until another ends; one that is never closed by its client ends with Close.
func TestConnectionsAreBounded(t *testing.T) {
	e := open(t, "127.0.0.1:0")
	address := e.listeners[0].Addr().String()
	ask := func() net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	answered := func(c net.Conn) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(c, make([]byte, 12))
			done <- err
		}()
		return done
	}
	first := ask()
	if err := <-answered(first); err != nil {
		t.Fatal(err)
	}
	for range maxConnections - 1 {
		if err := <-answered(ask()); err != nil {
			t.Fatal(err)
		}
	}
	late := answered(ask())
	select {
	case err := <-late:
		t.Fatalf("one too many was answered: %v", err)
	case <-time.After(20 * time.Millisecond): // the test is no weaker for a slow machine
	}
	first.Close()
	if err := <-late; err != nil {
		t.Error(err)
	}
}

// What clients push is shown with who pushed it, whatever they call it.
func TestClients(t *testing.T) {
	m := telemetry.NewManager(1<<20, time.Now)
	m.Update([]telemetry.Subscription{{Metrics: []string{"*"}, Interval: time.Second}})
	var ids []string
	for _, id := range []string{"app", "\xff"} {
		c := &telemetry.Client{ClientID: id}
		a, code := m.Get(c, id, telemetry.ID{})
		if code != protocol.None {
			t.Fatal(code)
		}
		ids = append(ids, a.InstanceID.String())
		if code := m.Push(c, id, &telemetry.Push{InstanceID: a.InstanceID, SubscriptionID: a.SubscriptionID, Payload: []byte(pushed)}); code != protocol.None {
			t.Fatal(code)
		}
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(clients{m})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 1 || families[0].GetName() != "kafka_client_g" || len(families[0].GetMetric()) != 2 {
		t.Fatalf("%v", families)
	}
	for _, metric := range families[0].GetMetric() {
		labels := map[string]string{}
		for _, l := range metric.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		i := 0
		if labels["client_id"] == "\uFFFD" {
			i = 1
		} else if labels["client_id"] != "app" {
			t.Errorf("%v", labels)
		}
		if labels["client_instance_id"] != ids[i] || metric.GetGauge().GetValue() != 1 {
			t.Errorf("%v", metric)
		}
	}
}

// pushed is MetricsData with the gauge org.apache.kafka.g, 1: each line a message in the one before it.
const pushed = "\x0a\x25" + // resource_metrics
	"\x12\x23" + // scope_metrics
	"\x12\x21" + // metrics
	"\x0a\x12org.apache.kafka.g" + // name
	"\x2a\x0b" + // gauge
	"\x0a\x09" + // data_points
	"\x21\x00\x00\x00\x00\x00\x00\xf0\x3f" // as_double 1
