package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "kserver"

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	Doc        string
	GoFiles    []string
	Imports    []string
}

// room is the package's path within the module, "." for its root.
func (p pkg) room() string { return room(p.ImportPath) }

func room(importPath string) string {
	if importPath == module {
		return "."
	}
	rest, ours := strings.CutPrefix(importPath, module+"/")
	if !ours {
		return ""
	}
	return rest
}

// allowed lists, for each room, the rooms of ours it may import besides those below itself. A pattern ending in
// /... stands for a room and all below it; the first line that matches a room counts. A line may be loosened
// only with a reason in the commit that does it.
var allowed = []rule{
	{"netio/uring", nil},
	{"netio/uring/uringtest", []string{"netio/uring"}},
	{"sendfile", nil},
	{"pagecache", nil},
	{"protocol/recordbatch", nil},
	{"engine/vfs", nil},
	{"netio", []string{"netio/uring", "sendfile"}},
	{"protocol", []string{"protocol/recordbatch"}},
	{"internal/histogram", nil},
	{"engine/...", []string{"engine/...", "protocol/recordbatch", "pagecache", "netio/uring", "internal/histogram"}},
	{"cluster", []string{"cluster/...", "engine/...", "protocol/...", "pagecache", "sendfile", "netio"}},
	{"cluster/telemetry", []string{"protocol/..."}},
	{"cluster/metrics", []string{"cluster/...", "engine", "netio", "pagecache", "protocol", "internal/histogram"}},
	{"cluster/configs", []string{"engine", "protocol/..."}},
	{"cluster/purgatory", nil},
	{"cluster/quota", []string{"protocol"}},
	{"cluster/coordinator/...", []string{"cluster/coordinator/...", "cluster/configs", "engine/...", "protocol/..."}},
	{"cluster/group/...", []string{"cluster/group/...", "cluster/coordinator", "cluster/configs", "engine/...", "protocol/..."}},
	{"cluster/txn/...", []string{"cluster/txn/...", "cluster/coordinator", "cluster/configs", "engine/...", "protocol/..."}},
	{"cluster/controller/...", []string{"cluster/controller/...", "cluster/configs", "engine/...", "protocol/..."}},
	{"cluster/adopt/adopttest", nil},
	{"cluster/adopt", []string{"cluster/controller", "cluster/configs", "engine/...", "protocol/..."}},
	{"cluster/replica", []string{"cluster/purgatory", "cluster/configs", "engine", "protocol/..."}},
	{"cluster/handlers", []string{"cluster/...", "engine", "protocol/...", "sendfile", "internal/histogram"}},
	{"cluster/sim/...", []string{"cluster/...", "engine/...", "protocol/..."}},
	{"cmd/kserver", []string{"cluster", "cluster/adopt", "cluster/configs", "engine", "engine/vfs", "netio", "pagecache", "cmd/kserver/internal/cli"}},
	{"cmd/kserver/internal/cli/...", []string{"cmd/kserver/internal/cli/..."}},
	{"cmd/kbench/...", []string{"cmd/kbench/..."}},
	{"bench/...", []string{"bench/...", "cmd/kbench/...", "internal/hostile"}},
	{"internal/hostile", []string{"cmd/kbench/..."}},
	{"internal/fuzzing", nil},
	{"internal/heaptest", nil},
	{"internal/rules", nil},
}

// clients are the rooms that may use the Kafka client library outside tests.
var clients = []string{"cmd/kbench/...", "cmd/kserver/internal/cli/...", "bench/..."}

// clientLibraries are the packages of that library that talk to a broker.
var clientLibraries = []string{"github.com/twmb/franz-go/pkg/kgo", "github.com/twmb/franz-go/pkg/kadm", "github.com/twmb/franz-go/pkg/kfake"}

// unsafeRooms are the rooms that may import unsafe.
var unsafeRooms = []string{"netio/uring/..."}

// matches reports whether a pattern of the tables stands for a room.
func matches(pattern, room string) bool {
	base, tree := strings.CutSuffix(pattern, "/...")
	return room == base || tree && strings.HasPrefix(room, base+"/")
}

func matchesAny(patterns []string, room string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, room) })
}

// packages lists the module's packages as built with the given tags.
func packages(t *testing.T, tags string) []pkg {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "list", "-deps", "-tags", tags, "-json=ImportPath,Name,Dir,Doc,GoFiles,Imports", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.room() != "" {
			list = append(list, p)
			for _, name := range p.GoFiles {
				// Looking at the file lets the test cache notice when it changes.
				if _, err := os.Stat(filepath.Join(p.Dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if len(list) < 5 {
		t.Fatalf("go list found only %d packages of ours", len(list))
	}
	return list
}

// rule is a line of the table of allowed imports.
type rule struct {
	room    string
	imports []string
}

// violations returns what a package imports against the rules.
func violations(p pkg) []string {
	i := slices.IndexFunc(allowed, func(r rule) bool { return matches(r.room, p.room()) })
	if i < 0 {
		return []string{fmt.Sprintf("room %s has no line in the table of allowed imports", p.room())}
	}
	var out []string
	for _, imported := range p.Imports {
		switch to := room(imported); {
		case imported == "unsafe" && !matchesAny(unsafeRooms, p.room()),
			slices.Contains(clientLibraries, imported) && !matchesAny(clients, p.room()),
			to != "" && !matchesAny(allowed[i].imports, to):
			out = append(out, fmt.Sprintf("%s imports %s", p.room(), imported))
		}
	}
	return out
}

// TestImports keeps the rooms apart, in every build.
func TestImports(t *testing.T) {
	for _, tags := range []string{"", "invariants", "giouring"} {
		for _, p := range packages(t, tags) {
			for _, v := range violations(p) {
				t.Errorf("%s (tags %q)", v, tags)
			}
		}
	}
}

// TestViolations: the rules catch what they are there for.
func TestViolations(t *testing.T) {
	for _, c := range []struct {
		room, imports string
		want          bool
	}{
		{"netio", "kserver/protocol", true},
		{"netio", "kserver/netio/uring", false},
		{"engine", "unsafe", true},
		{"netio/uring", "unsafe", false},
		{"cluster/group", "kserver/cluster/controller", true},
		{"cluster/group", "kserver/cluster/handlers", true},
		{"cluster/handlers", "kserver/netio", true},
		{"cluster/handlers", "github.com/twmb/franz-go/pkg/kgo", true},
		{"cluster/handlers", "github.com/twmb/franz-go/pkg/kmsg", false},
		{"cmd/kbench", "kserver/protocol/recordbatch", true},
		{"cmd/kbench", "github.com/twmb/franz-go/pkg/kgo", false},
		{"cmd/kserver", "github.com/twmb/franz-go/pkg/kgo", true},
		{"cmd/kserver/internal/cli", "github.com/twmb/franz-go/pkg/kadm", false},
		{"cmd/kserver/internal/cli", "kserver/protocol", true},
		{"sendfile", "fmt", false},
		{"unheard/of", "fmt", true},
	} {
		p := pkg{ImportPath: module + "/" + c.room, Imports: []string{c.imports}}
		if got := violations(p); (len(got) > 0) != c.want {
			t.Errorf("%s imports %s: %q", c.room, c.imports, got)
		}
	}
}

// TestApart: group, transaction and metadata state never meet each other or the wire, not even through a third
// room.
func TestApart(t *testing.T) {
	list := packages(t, "")
	imports := make(map[string][]string)
	for _, p := range list {
		for _, imported := range p.Imports {
			if to := room(imported); to != "" {
				imports[p.room()] = append(imports[p.room()], to)
			}
		}
	}
	states := []string{"cluster/group", "cluster/txn", "cluster/controller"}
	for _, from := range states {
		forbidden := append([]string{"cluster", "cluster/handlers", "netio"}, states...)
		seen := map[string]bool{from: true}
		for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
			for _, to := range imports[queue[0]] {
				if seen[to] {
					continue
				}
				seen[to] = true
				queue = append(queue, to)
				if slices.Contains(forbidden, to) {
					t.Errorf("%s reaches %s through %s", from, to, queue[0])
				}
			}
		}
	}
}

// TestPackageComments: every package says what it is for, in the form go doc expects.
func TestPackageComments(t *testing.T) {
	for _, p := range packages(t, "") {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = path.Base(p.ImportPath) + " "
		}
		if !strings.HasPrefix(strings.ToLower(p.Doc), strings.ToLower(want)) && !strings.HasPrefix(p.Doc, "Command ") {
			t.Errorf("%s: package comment %q does not begin with %q", p.room(), p.Doc, want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, room string
		want          bool
	}{
		{"netio", "netio", true}, {"netio", "netio/uring", false}, {"netio/...", "netio", true},
		{"netio/...", "netio/uring", true}, {"netio/...", "netio2", false},
	} {
		if got := matches(c.pattern, c.room); got != c.want {
			t.Errorf("%s %s: %t", c.pattern, c.room, got)
		}
	}
}
