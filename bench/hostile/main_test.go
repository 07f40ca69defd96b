package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cmd/kbench/integrity"
)

func TestVerdict(t *testing.T) {
	const limit = 100
	tests := []struct {
		name string
		edit func(*result)
		want string
	}{
		{"good", func(*result) {}, ""},
		{"at the limits", func(r *result) { r.largestRSS, r.after = limit, r.before }, ""},
		{"lost", func(r *result) { r.report.Lost = 1 }, "1 lost"},
		{"foreign", func(r *result) { r.report.Foreign = 2 }, "2 foreign"},
		{"gaps", func(r *result) { r.report.OffsetGaps = 3 }, "3 offset gaps"},
		{"idle", func(r *result) { r.report = integrity.Report{} }, "no record"},
		{"memory", func(r *result) { r.largestRSS = limit + 1 }, "101 B, more than 100 B"},
		{"sockets", func(r *result) { r.after.sockets = 3 }, "3 sockets"},
		{"files", func(r *result) { r.after.files = []string{"a", "a", "b"} }, `["a" "b"]`},
		{"panic", func(r *result) { r.alarmCount, r.alarms = 1, []string{"handler panicked"} }, "handler panicked"},
		{"answers", func(r *result) { r.phases[0].strange = 1 }, "x: 1 wrong"},
		{"dead", func(r *result) { r.errs = []error{errors.New("the broker has ended")} }, "has ended"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &result{quiet: newLatency(), attack: newLatency(), report: integrity.Report{Records: 1, Acked: 1},
				before: descriptors{sockets: 2, files: []string{"a"}}, phases: []phase{{name: "x", latency: newLatency()}}}
			tt.edit(r)
			err := r.verdict(limit)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("verdict %v, want %q", err, tt.want)
			}
			var out bytes.Buffer
			if werr := r.write(&out, err); werr != nil || strings.Contains(out.String(), "FAILED") != (err != nil) {
				t.Errorf("%v\n%s", werr, out.String())
			}
		})
	}
}

// Requests of every key and many versions can be generated and encoded, and the same seed gives the same bytes.
func TestRequests(t *testing.T) {
	a := &attack{ctx: context.Background(), name: "requests", seed: 42}
	seen := make(map[int16]map[int16]bool)
	for i := range 5000 {
		req := a.request(a.rng(i))
		if seen[req.Key()] == nil {
			seen[req.Key()] = make(map[int16]bool)
		}
		seen[req.Key()][req.GetVersion()] = true
		if i%10 > 0 {
			continue
		}
		switch req.(type) {
		case *kmsg.ProduceRequest, *kmsg.FetchRequest: // batches carry the time
		default:
			if one, two := encode(req, 1), encode(a.request(a.rng(i)), 1); !bytes.Equal(one, two) {
				t.Errorf("input %d differs: key %d version %d", i, req.Key(), req.GetVersion())
			}
		}
	}
	for key := range int16(kmsg.MaxKey + 1) {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		if got, want := len(seen[key]), int(req.MaxVersion())+1+beyondVersions; got < want/2 {
			t.Errorf("key %d: %d versions of %d", key, got, want)
		}
	}
}

// The attacker leaves alone what is not its own.
func TestTame(t *testing.T) {
	a := &attack{ctx: context.Background(), name: "requests", seed: 7}
	for i := range 2000 {
		switch r := a.request(a.rng(i)).(type) {
		case *kmsg.DeleteTopicsRequest:
			for _, name := range r.TopicNames {
				if strings.HasPrefix(name, "__") || name == goodTopic {
					t.Errorf("input %d deletes %q", i, name)
				}
			}
		case *kmsg.IncrementalAlterConfigsRequest:
			for _, res := range r.Resources {
				if res.ResourceType != 2 {
					t.Errorf("input %d changes a resource of type %d", i, res.ResourceType)
				}
			}
		}
	}
}

func TestDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	changed := 0
	const n = 2000
	for range n {
		before := randomBytes(rng, rng.IntN(50))
		if after := damage(rng, slices.Clone(before)); !bytes.Equal(before, after) {
			changed++
		}
	}
	if changed < n*9/10 {
		t.Errorf("%d of %d inputs were damaged", changed, n)
	}
}

func TestCount(t *testing.T) {
	weight := 0
	for _, k := range kinds {
		weight += k.weight
		if k.count(1) != 1 {
			t.Errorf("%s: no input of one", k.name)
		}
	}
	if weight != 1000 {
		t.Errorf("the weights add up to %d, not 1000", weight)
	}
}

func TestSearchLog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	log := "level=INFO msg=started\n" + strings.Repeat("level=ERROR msg=\"handler panicked\"\n", maxFindings+5) + "WARNING: DATA RACE\n"
	if err := os.WriteFile(name, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	lines, n, err := searchLog(name)
	if err != nil || n != maxFindings+6 || len(lines) != maxFindings {
		t.Errorf("%d lines of %d, %v", len(lines), n, err)
	}
}

func TestValidate(t *testing.T) {
	good := options{inputs: 1, rate: 1, recordSize: integrity.StampSize, maxRSS: "200MiB"}
	o := good
	if err := o.validate(); err != nil || o.seed == 0 || o.maxRSSSize != 200<<20 {
		t.Errorf("%v, seed %d, size %d", err, o.seed, o.maxRSSSize)
	}
	for name, edit := range map[string]func(*options){
		"inputs":   func(o *options) { o.inputs = 0 },
		"size":     func(o *options) { o.maxRSS = "much" },
		"kind":     func(o *options) { o.kinds = []string{"nice"} },
		"endpoint": func(o *options) { o.endpoint = "localhost:1" },
		"log":      func(o *options) { o.brokerLog = "x" },
		"record":   func(o *options) { o.recordSize = 1 },
	} {
		o := good
		edit(&o)
		if err := o.validate(); err == nil {
			t.Errorf("bad %s was accepted", name)
		}
	}
}
