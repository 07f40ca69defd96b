package record

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// show prints what matters of a record, telling null from empty.
func show(r *kgo.Record) string {
	text := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return fmt.Sprintf("%q", b)
	}
	out := text(r.Key) + ":" + text(r.Value)
	for _, h := range r.Headers {
		out += " " + h.Key + "=" + text(h.Value)
	}
	if !r.Timestamp.IsZero() {
		out += fmt.Sprint(" @", r.Timestamp.UnixMilli())
	}
	return out
}

// read returns what a reader gives, its error last.
func read(text string, in Input) []string {
	in.Name = "input"
	if in.MaxBytes == 0 {
		in.MaxBytes = 1000
	}
	r := NewReader(strings.NewReader(text), in)
	var out []string
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			return append(out, err.Error())
		}
		out = append(out, show(rec))
	}
}

func TestReadText(t *testing.T) {
	null := "NULL"
	for _, c := range []struct {
		name, text string
		in         Input
		want       []string
	}{
		{"lines", "a\n\nb", Input{}, []string{`null:"a"`, `null:""`, `null:"b"`}},
		{"nothing", "", Input{}, nil},
		{"keys", "k:v:w\n:\n", Input{KeySeparator: []byte(":")}, []string{`"k":"v:w"`, `"":""`}},
		{"no key", "a:b\nab\nc:d", Input{KeySeparator: []byte(":")}, []string{`"a":"b"`, `input: record 2: no key: "ab" does not hold the key separator ":"`}},
		{"null", "NULL=NULL\nNULLs=x", Input{KeySeparator: []byte("="), Null: &null}, []string{`null:null`, `"NULLs":"x"`}},
		{"delimiter", "a--b-c--", Input{Delimiter: []byte("--")}, []string{`null:"a"`, `null:"b-c"`}},
		{"longest", "123\n123", Input{MaxBytes: 3}, []string{`null:"123"`, `null:"123"`}},
		{"too long", "123\n" + strings.Repeat("x", 9), Input{MaxBytes: 3}, []string{`null:"123"`, "input: record 2 is longer than 3 bytes"}},
		{"whole", "a\nb\n", Input{Whole: true}, []string{`null:"a\nb\n"`}},
		{"whole of nothing", "", Input{Whole: true}, []string{`null:""`}},
		{"whole too long", "abcd", Input{Whole: true, MaxBytes: 3}, []string{"input is longer than 3 bytes"}},
	} {
		if d := cmp.Diff(c.want, read(c.text, c.in)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestReadJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                         `null:null`,
		`{"key":"k","value":"v"}`:                    `"k":"v"`,
		`{"key":"","value":null}`:                    `"":null`,
		`{"value": {"a": [1, null]}}`:                `null:"{\"a\":[1,null]}"`,
		`{"key":7,"value":true}`:                     `"7":"true"`,
		`{"value_base64":"/wA="}`:                    `null:"\xff\x00"`,
		`{"headers":{"z":"1","a":null,"n":{"x":1}}}`: `null:null z="1" a=null n="{\"x\":1}"`,
		`{"headers":[{"key":"a","value":"1"},{"key":"a","value_base64":"/w=="}]}`: `null:null a="1" a="\xff"`,
		`{"timestamp":1700000000123}`:              `null:null @1700000000123`,
		`{"timestamp":"2023-11-14T22:13:20.123Z"}`: `null:null @1700000000123`,
		`{"topic":"t","partition":1,"offset":2}`:   `null:null`,
		`{"keys":"k"}`:                             `input: record 1: not a record in JSON: json: unknown field "keys"`,
		`{"key":"k"} {}`:                           `input: record 1: more than one JSON value on the line`,
		`{"timestamp":"today"}`:                    `input: record 1: timestamp "today" is neither milliseconds since 1970 nor a date such as "2006-01-02T15:04:05Z"`,
	} {
		if got := strings.Join(read(text, Input{JSON: true}), "; "); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if got := read("{\"key\":\"a\"}\n\n  \n{", Input{JSON: true}); len(got) != 2 || !strings.HasPrefix(got[1], "input: record 2: not a record") {
		t.Errorf("blank lines: %q", got)
	}
}

// TestJSONThereAndBack: what AppendJSON prints is read back without loss.
func TestJSONThereAndBack(t *testing.T) {
	for _, r := range []*kgo.Record{
		{},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("k<&>\"\\\n\u2028é\x7f"), Value: []byte("{\"a\":1}"), Timestamp: time.UnixMilli(5)},
		{Key: []byte{0xff, 0xfe}, Value: []byte{0, 0xc3, 0x28}, Headers: []kgo.RecordHeader{{Key: "é\"", Value: []byte{0xff}}, {Key: "n"}, {Key: "n", Value: []byte{}}}},
	} {
		r.Topic = "t"
		line, err := AppendJSON([]byte("before"), r)
		if err != nil {
			t.Fatal(err)
		}
		text, ok := strings.CutPrefix(string(line), "before")
		if !ok || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
			t.Errorf("not one line: %q", line)
		}
		if r.Timestamp.IsZero() {
			r.Timestamp = time.UnixMilli(r.Timestamp.UnixMilli()) // what a record without one is printed as
		}
		got := read(text, Input{JSON: true})
		if len(got) != 1 || got[0] != show(r) {
			t.Errorf("%s: %q, want %q", text, got, show(r))
		}
	}
}
