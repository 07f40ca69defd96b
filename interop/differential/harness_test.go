package differential

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const sampleScript = `# A comment stays.
versions 1 4
define at = Topics: {Topic: $t, Partitions: {Partition: 0, Timestamp: %}}

case the end
> topic $t partitions=2
> ListOffsets at -1
<1: Topics: [{Topic: $t}]
<4: Topics: [{
<4:   Topic: $t
<4: }]

case both
versions 4
> ListOffsets at
>   -2
< Topics: []
`

// A script that is read and written is the same, with the answers that were not given anew.
func TestScriptRoundTrip(t *testing.T) {
	s, err := parseScript(sampleScript)
	if err != nil {
		t.Fatal(err)
	}
	s.path = filepath.Join(t.TempDir(), "sample.txt")
	if err := s.Write(nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(s.path); err != nil || string(got) != sampleScript {
		t.Errorf("%v\n%s", err, got)
	}
	if got := s.Cases[0].Steps[1].Answers[4]; len(got) != 3 || got[1] != "  Topic: $t" {
		t.Errorf("answer of v4: %q", got)
	}
	got := map[string]Transcript{"both": {4: {{lines: []string{"{}"}}}}}
	if err := s.Write(got); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(s.path); err != nil || !strings.HasSuffix(string(text), ">   -2\n< {}\n") {
		t.Errorf("%v\n%s", err, text)
	}
}

// Mistakes in a script are told, not played.
func TestScriptMistakes(t *testing.T) {
	for _, text := range []string{
		"case a\nversions 1\n> NoSuchAPI Topics: []\n",
		"case a\nversions 1\n> Metadata Topics: [\n",
		"case a\nversions 1\n> Metadata Topics {}\n",
		"case a\n> Metadata Topics: []\n",
		"> Metadata Topics: []\n",
		"case a\nversions x\n> Metadata Topics: []\n",
		"versions 1\ncase a\n> Metadata Topics: []\ncase a\n> Metadata Topics: []\n",
		"anything\n",
	} {
		if _, err := parseScript(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

// The fields of a request come from its literals, over kmsg's defaults.
func TestBuildRequest(t *testing.T) {
	s, err := parseStep(`Fetch v12 cut=1 MinBytes: 5, Topics: [{Topic: "$t-x", Partitions: {Partition: 3, FetchOffset: $n+1}}]`, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := newNames()
	n.bind("$t", "topic")
	n.number["$n"] = 41
	b := builder{names: n, topicID: func(string) ([16]byte, error) { return [16]byte{1}, nil }}
	req, err := b.request(&s, 12)
	if err != nil {
		t.Fatal(err)
	}
	f := req.(*kmsg.FetchRequest)
	p := f.Topics[0].Partitions[0]
	if s.cut != 1 || f.MinBytes != 5 || f.ReplicaID != -1 || f.Topics[0].Topic != "topic-x" || f.Topics[0].TopicID != [16]byte{1} ||
		p.Partition != 3 || p.FetchOffset != 42 || p.CurrentLeaderEpoch != -1 {
		t.Errorf("%+v", f)
	}
}

// Tokens are numbered by first appearance, across the lines of a case.
func TestNumbering(t *testing.T) {
	e := environment{}
	n := make(numbering)
	a, b := e.counted("pid", "7"), e.counted("pid", "9")
	if got := n.number(b + a + b); got != "<pid 1><pid 2><pid 1>" {
		t.Errorf("%q", got)
	}
	if got := n.number(a); got != "<pid 2>" {
		t.Errorf("%q", got)
	}
}

// A difference is a failure unless it is listed, and a listed one that does not show is one too.
func TestDifferences(t *testing.T) {
	path := filepath.Join(t.TempDir(), "differences.md")
	text := "# Title\n\n## Reason\nwords\n```\nmore X.Y\ntext \"theirs\" = \"ours\"\ncase f/c: step 1 v1,4\n- a\n+ b\n```\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := LoadDifferences(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &Case{Name: "c", Versions: []int16{1, 4}, Steps: []Step{{
		receive: true, Answers: map[int16][]string{1: {"x", "a", "z theirs"}, 4: {"x", "a", "z theirs"}},
	}}}
	answer := []Answer{{lines: []string{"x", "b", "z ours"}}}
	diff := d.Compare(c, Transcript{1: answer, 4: answer})
	if want := []string{"step 1 v1,4", "- a", "+ b"}; !slices.Equal(diff, want) {
		t.Fatalf("%q", diff)
	}
	if fault := d.Check("f/c", diff); fault != "" {
		t.Error(fault)
	}
	if fault := d.Check("f/other", diff); !strings.Contains(fault, "case f/other: step 1 v1,4\n- a\n+ b\n") {
		t.Errorf("unlisted: %q", fault)
	}
	if d.Check("f/c", nil) == "" || d.Check("f/c", diff[:2]) == "" {
		t.Error("no fault for a listed difference that has gone or changed")
	}
	if got := d.Unused(); !slices.Equal(got, []string{"more X.Y"}) {
		t.Errorf("unused: %q", got)
	}
}
