package record

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var sample = &kgo.Record{
	Topic: "orders", Partition: 3, Offset: 42, Key: []byte("k"), Value: []byte("val"),
	Timestamp: time.UnixMilli(1700000000123),
	Headers:   []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}},
}

func TestFormat(t *testing.T) {
	null := &kgo.Record{Topic: "orders"}
	for _, c := range []struct {
		format string
		r      *kgo.Record
		want   string
	}{
		{`%s\n`, sample, "val\n"},
		{`%t/%p@%o %k=%v`, sample, "orders/3@42 k=val"},
		{`%K %S %T %d`, sample, "1 3 1700000000123 2023-11-14T22:13:20.123Z"},
		{`%h`, sample, "a=1,b=NULL"},
		{`%R%s`, sample, "\x00\x00\x00\x03val"},
		{`100%% \x41\t\\\0`, sample, "100% A\t\\\x00"},
		{`%k|%s|%K|%S|%R`, null, "NULL|NULL|-1|-1|\xff\xff\xff\xff"},
		{``, sample, ""},
	} {
		f, err := NewFormatter(c.format, "NULL")
		if err != nil {
			t.Errorf("%q: %v", c.format, err)
			continue
		}
		if got := string(f.Append([]byte("> "), c.r)); got != "> "+c.want {
			t.Errorf("%q: %q, want %q", c.format, got, c.want)
		}
	}
}

func TestFormatMistakes(t *testing.T) {
	for format, want := range map[string]string{
		`%`: "single percent", `%q`: "no %q", `\`: "single backslash", `\q`: "unknown escape", `\xg1`: "hexadecimal", `\x1`: "hexadecimal",
	} {
		if _, err := NewFormatter(format, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", format, err)
		}
	}
}

func TestColumns(t *testing.T) {
	for _, c := range []struct {
		columns, want string
	}{
		{"value", "val\n"},
		{"offset,key,value", "42\tk\tval\n"},
		{"all", "orders\t3\t42\t2023-11-14T22:13:20.123Z\tk\ta=1,b=\tval\n"},
	} {
		format, err := ColumnFormat(strings.Split(c.columns, ","))
		if err != nil {
			t.Fatal(err)
		}
		f, err := NewFormatter(format, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.Append(nil, sample)); got != c.want {
			t.Errorf("%s: %q", c.columns, got)
		}
	}
	if _, err := ColumnFormat([]string{"size"}); err == nil || !strings.Contains(err.Error(), `no column "size"`) {
		t.Error(err)
	}
}
