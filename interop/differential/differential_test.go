package differential

import (
	"flag"
	"os"
	"testing"

	"kserver/interop/broker"
)

var record = flag.Bool("record", false, "write the broker's answers into the scripts")

// TestDifferential compares a broker with the recording.
func TestDifferential(t *testing.T) {
	scripts, err := LoadScripts("testdata")
	if err != nil {
		t.Fatal(err)
	}
	differences, err := LoadDifferences("testdata/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	target, err := Connect(t.Context(), endpoint(t))
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	target.More, target.Lagging = differences.more, *record || isApache()
	total, cases, runs, differing := 0, 0, 0, 0
	for _, s := range scripts {
		total += len(s.Cases)
		t.Run(s.Name, func(t *testing.T) {
			got := make(map[string]Transcript)
			for _, c := range s.Cases {
				t.Run(c.Name, func(t *testing.T) {
					transcript, err := target.Run(t.Context(), c)
					if err != nil {
						t.Fatal(err)
					}
					cases, runs = cases+1, runs+len(c.Versions)
					got[c.Name] = transcript
					if *record {
						return
					}
					diff := differences.Compare(c, transcript)
					if len(diff) > 0 {
						differing++
					}
					if isApache() {
						if len(diff) > 0 {
							t.Error(formatDifference(s.Name+"/"+c.Name, diff))
						}
					} else if fault := differences.Check(s.Name+"/"+c.Name, diff); fault != "" {
						t.Errorf("%s/%s %s", s.Name, c.Name, fault)
					}
				})
			}
			if *record {
				if err := s.Write(got); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	t.Logf("%d scripts, %d runs by version, %d scripts differ", cases, runs, differing)
	if cases == total && !*record && !isApache() {
		for _, unused := range differences.Unused() {
			t.Errorf("differences.md lists what does not happen: %s", unused)
		}
	}
}

func isApache() bool { return os.Getenv("INTEROP_SERVER") == string(broker.Apache) }

// endpoint is the broker to ask: the one that runs, or one that is started here.
func endpoint(t *testing.T) string {
	t.Helper()
	if addr := os.Getenv("KSERVER_ENDPOINT"); addr != "" {
		return addr
	}
	spec := broker.Spec{Dir: t.TempDir(), Settings: Settings}
	switch {
	case isApache():
		spec.Kind = broker.Apache
	case os.Getenv("KSERVER_BINARY") != "":
		spec.Kind, spec.Binary, spec.Backend = broker.Kserver, os.Getenv("KSERVER_BINARY"), os.Getenv("KSERVER_IO_BACKEND")
	default:
		t.Skip("KSERVER_ENDPOINT, KSERVER_BINARY or INTEROP_SERVER=apache says which broker to ask")
	}
	b, err := broker.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Terminate(); err != nil {
			t.Error(err)
		}
	})
	return b.Addr()
}
