package record

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/internal/fuzzing"
)

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"key":"k","value":{"a":1},"headers":[{"key":"h","value":"v"}],"timestamp":1}`))
	f.Add([]byte(`{"headers":{"a":"b"},"value_base64":"/w=="}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseJSON(line)
		if err != nil {
			return
		}
		printed, err := AppendJSON(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseJSON(printed)
		if err != nil {
			t.Fatalf("%s: %v", printed, err)
		}
		if r.Timestamp.IsZero() {
			again.Timestamp = r.Timestamp
		}
		if show(again) != show(r) {
			t.Fatalf("%s: %s, want %s", line, show(again), show(r))
		}
	})
}

// oneByte hands out its text a byte at a time.
type oneByte struct{ rest []byte }

func (r *oneByte) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	p[0], r.rest = r.rest[0], r.rest[1:]
	return 1, nil
}

// FuzzReader: the records of a stream are the same however its bytes arrive, none is longer than allowed, and, joined
// by delimiter and separator, they are the stream again.
func FuzzReader(f *testing.F) {
	f.Add([]byte("a:1\nb:2\n\nc"), "\n", ":", "NULL", uint16(100))
	f.Add([]byte("\x00x\x00"), "\x00", "", "x", uint16(1))
	f.Add([]byte("a--b---"), "--", "", "", uint16(3))
	f.Fuzz(func(t *testing.T, text []byte, delimiter, separator, null string, most uint16) {
		in := Input{Name: "f", Delimiter: []byte(delimiter), KeySeparator: []byte(separator), MaxBytes: int(most) + 1}
		if null != "" {
			in.Null = &null
		}
		all := func(src io.Reader) (records []*kgo.Record, err error) {
			r := NewReader(src, in)
			for {
				rec, err := r.Next()
				if err != nil {
					return records, err
				}
				records = append(records, rec)
			}
		}
		var records []*kgo.Record
		var err error
		fuzzing.Bounded(t, 1024*uint64(len(text))+256<<10, func() { records, err = all(bytes.NewReader(text)) })
		slow, err2 := all(&oneByte{text})
		if len(slow) != len(records) || err.Error() != err2.Error() {
			t.Fatalf("%d records and %v, byte by byte %d and %v", len(records), err, len(slow), err2)
		}
		var joined []byte
		for i, r := range records {
			if show(slow[i]) != show(r) {
				t.Errorf("record %d is %s, byte by byte %s", i, show(r), show(slow[i]))
			}
			if len(r.Key)+len(separator)+len(r.Value) > in.MaxBytes && in.Null == nil {
				t.Errorf("record %d has %d and %d bytes", i, len(r.Key), len(r.Value))
			}
			if i > 0 {
				joined = append(joined, in.Delimiter...)
			}
			if separator != "" {
				joined = append(joined, r.Key...)
				joined = append(joined, separator...)
			}
			joined = append(joined, r.Value...)
		}
		if err == io.EOF && in.Null == nil && delimiter != "" && !bytes.Equal(bytes.TrimSuffix(text, in.Delimiter), joined) && !bytes.Equal(text, joined) {
			t.Errorf("%q was read as %q", text, joined)
		}
	})
}

// FuzzFormat: a format is refused as a whole, or prints every record, the same each time, without touching what stood
// before.
func FuzzFormat(f *testing.F) {
	f.Add(`%t/%p@%o %T %d %k=%s %K %S %R %h %%\n\x00`, "null", []byte("k"), []byte(nil))
	f.Add(`%`, "", []byte{}, []byte("v"))
	f.Add(`\x4`, "", []byte{}, []byte("v"))
	f.Fuzz(func(t *testing.T, format, null string, key, value []byte) {
		formatter, err := NewFormatter(format, null)
		if err != nil {
			return
		}
		r := &kgo.Record{Topic: "t", Key: key, Value: value, Timestamp: time.UnixMilli(1), Headers: []kgo.RecordHeader{{Key: "h", Value: key}}}
		got := formatter.Append([]byte("before"), r)
		if text, ok := bytes.CutPrefix(got, []byte("before")); !ok || !bytes.Equal(text, formatter.Append(nil, r)) {
			t.Errorf("%q printed %q", format, got)
		}
		if plain, err := Unescape(format); err == nil && !strings.Contains(format, "%") && string(plain) != string(got[len("before"):]) {
			t.Errorf("%q printed %q, but means %q", format, got, plain)
		}
	})
}
