package configs

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestMain gives datadriven's own -rewrite flag its place beside -record.
func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}

// TestParseBroker runs the scripts of testdata/parse. A command's input is a properties file named
// server.properties; the arguments env=(NAME=value,...) and flag=(key=value,...) add higher layers.
//
//	parse     prints the problems, or the notices and the values of the keys in show=(...)
//	listeners prints what is opened and advertised
func TestParseBroker(t *testing.T) {
	datadriven.Walk(t, "testdata/parse", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			settings, err := ParseProperties("server.properties", d.Input)
			if err != nil {
				return err.Error()
			}
			var environ, show []string
			for _, arg := range d.CmdArgs {
				switch arg.Key {
				case "env":
					environ = arg.Vals
				case "flag":
					for _, v := range arg.Vals {
						key, value, _ := strings.Cut(v, "=")
						settings = append(settings, FlagSetting(key, value))
					}
				case "show":
					show = arg.Vals
				}
			}
			fromEnv, skipped := ParseEnvironment(environ)
			var out strings.Builder
			for _, name := range skipped {
				fmt.Fprintf(&out, "skipped %s\n", name)
			}
			b, err := ParseBroker(append(settings, fromEnv...)...)
			if err != nil {
				return out.String() + err.Error()
			}
			for _, notice := range b.Notices {
				fmt.Fprintf(&out, "notice: %s\n", notice)
			}
			switch d.Cmd {
			case "parse":
				for _, e := range b.Effective() {
					for _, key := range show {
						if e.Def.Name == key {
							fmt.Fprintf(&out, "%s=%s (%s, %s)\n", key, e.Value, e.Layer, e.From)
						}
					}
				}
			case "listeners":
				n := b.Network
				for i := range n.Advertised {
					if host, err := hostname(); err == nil && n.Advertised[i].Host == host {
						n.Advertised[i].Host = "HOSTNAME"
					}
				}
				fmt.Fprintf(&out, "open %v\nadvertised %v\ncontroller %v\nbetween brokers %s\n", n.Listeners, n.Advertised, n.Controller, n.InterBroker)
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			if out.Len() == 0 {
				return "ok"
			}
			return out.String()
		})
	})
}

// TestStockProperties starts from the file that comes with Kafka 4, reduced to its settings.
func TestStockProperties(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "stock-4.properties"))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := ParseProperties("server.properties", string(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseBroker(settings...)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(b.Network.Listeners, b.Network.Advertised, b.Storage.Dirs, b.Network.EventLoops); got != "[PLAINTEXT://:9092] [PLAINTEXT://localhost:9092] [/tmp/kraft-combined-logs] 3" {
		t.Error(got)
	}
}

// TestDefaultsAlone: no setting at all is a good configuration.
func TestDefaultsAlone(t *testing.T) {
	b, err := ParseBroker()
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Notices) > 0 {
		t.Errorf("notices: %q", b.Notices)
	}
	if got := fmt.Sprint(b.NodeID, b.Network.Listeners, b.Storage.Dirs); got != "1 [PLAINTEXT://127.0.0.1:9092] [./kserver-data]" {
		t.Error(got)
	}
	if b.Network.EventLoops < 1 || b.Network.RequestMemoryBytes != 128<<20 {
		t.Errorf("%d loops, %d bytes of request memory", b.Network.EventLoops, b.Network.RequestMemoryBytes)
	}
}

// TestPrintReadsBack: the printed configuration, read as a file, gives the same values.
func TestPrintReadsBack(t *testing.T) {
	settings := []Setting{
		FlagSetting("broker.rack", ` a\b=c`), FlagSetting("listeners", "PLAINTEXT://[::1]:0"),
		FlagSetting("ssl.key.password", "hush"), FlagSetting("listener.name.plaintext.sasl.jaas.config", "hush"),
	}
	b, err := ParseBroker(settings...)
	if err != nil {
		t.Fatal(err)
	}
	for _, all := range []bool{false, true} {
		var out strings.Builder
		if err := b.Print(&out, all); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "hush") {
			t.Errorf("a secret is printed:\n%s", out.String())
		}
		again, err := ParseProperties("printed", out.String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseBroker(again...)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Effective() {
			if e.Def.Sensitive() || e.Def.Name == "broker.id" { // broker.id follows the printed node.id
				continue
			}
			want, wantOK := b.Value(e.Def.Name)
			if got, ok := c.Value(e.Def.Name); got != want || ok != wantOK {
				t.Errorf("all=%t: %s is %q before and %q after", all, e.Def.Name, want, got)
			}
		}
	}
}

// TestEnvNames: every key has a variable of its own that leads back to it.
func TestEnvNames(t *testing.T) {
	for _, d := range BrokerDefs() {
		settings, _ := ParseEnvironment([]string{EnvName(d.Name) + "=x"})
		if len(settings) != 1 || settings[0].Key != d.Name {
			t.Errorf("%s -> %s -> %v", d.Name, EnvName(d.Name), settings)
		}
	}
}

// TestNotesAndDocs: a key without effect says why, and every key is documented in sentences.
func TestNotesAndDocs(t *testing.T) {
	for kind, table := range kinds {
		for _, d := range table.sorted {
			if (d.Support == Obeyed) != (d.Note == "") {
				t.Errorf("%s %s: %s with note %q", kind, d.Name, d.Support, d.Note)
			}
			if !strings.HasSuffix(d.Doc, ".") {
				t.Errorf("%s %s: doc %q", kind, d.Name, d.Doc)
			}
			if strings.HasSuffix(d.Name, ".ms") && !strings.Contains(d.Doc, "illisecond") {
				t.Errorf("%s %s: doc names no unit: %q", kind, d.Name, d.Doc)
			}
			if d.Default != nil {
				if _, err := d.Parse(*d.Default); err != nil && !strings.Contains(err.Error(), "must not be empty") {
					t.Errorf("%s %s: default: %v", kind, d.Name, err)
				}
			}
		}
	}
	for _, v := range Deviations() {
		if v.Reason == "" || v.Ours == v.Kafka && v.Key != "num.network.threads" {
			t.Errorf("deviation %+v", v)
		}
	}
}
