package metrics

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write the tables of docs/metrics.md")

const (
	docFile  = "../../docs/metrics.md"
	docBegin = "<!-- The tables below are written by: go test ./cluster/metrics -run TestDocs -write -->\n"
)

// docs/metrics.md has every metric of the catalogue, and no other.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	head, tables, ok := strings.Cut(string(text), docBegin)
	if !ok {
		t.Fatalf("%s has no line %s", docFile, docBegin)
	}
	want := docTables(newCatalogue(nil))
	if *write {
		if err := os.WriteFile(docFile, []byte(head+docBegin+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if tables != want {
		t.Errorf("%s is not what the code shows; run go test ./cluster/metrics -run TestDocs -write", docFile)
	}
}

// docTables has a table for each room.
func docTables(c *catalogue) string {
	var b strings.Builder
	room := ""
	for _, f := range c.families {
		r, _, _ := strings.Cut(strings.TrimPrefix(f.name, namespace), "_")
		if r != room {
			room = r
			fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", room)
		}
		labels := make([]string, len(f.labels))
		for i, l := range f.labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.kind, strings.Join(labels, ", "), strings.ReplaceAll(f.help, "|", "\\|"))
	}
	return b.String()
}

// Names are once there, and say their kind.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range newCatalogue(nil).families {
		if seen[f.name] {
			t.Errorf("%s twice", f.name)
		}
		seen[f.name] = true
		if total := strings.HasSuffix(f.name, "_total"); total != (f.kind == counter) {
			t.Errorf("%s is a %s", f.name, f.kind)
		}
		if !strings.HasSuffix(f.help, ".") {
			t.Errorf("%s: the help is no sentence: %q", f.name, f.help)
		}
	}
}
