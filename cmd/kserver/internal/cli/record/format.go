package record

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// FormatHelp lists what a format may hold.
const FormatHelp = `  %s  value              %S  its length, -1 for null     %R  its length, 4 bytes big-endian
  %k  key                %K  its length, -1 for null     %h  headers, name=value,...
  %t  topic              %p  partition                   %o  offset
  %T  timestamp in ms    %d  timestamp as a date, UTC    %%  a percent sign
  \n \t \r \0 \\ \xHH    control characters`

// dateLayout prints timestamps with all of their milliseconds, in UTC.
const dateLayout = "2006-01-02T15:04:05.000Z"

// Formatter prints records by a format.
type Formatter struct {
	parts []appender
}

type appender func(dst []byte, r *kgo.Record) []byte

// NewFormatter reads a format; FormatHelp says what it may hold. null is printed for a key or value that is null.
func NewFormatter(format, null string) (*Formatter, error) {
	var f Formatter
	var literal []byte
	for i := 0; i < len(format); i++ {
		switch format[i] {
		case '\\':
			b, n, err := escape(format[i:])
			if err != nil {
				return nil, err
			}
			literal = append(literal, b)
			i += n - 1
		case '%':
			i++
			if i == len(format) {
				return nil, fmt.Errorf("format %q ends with a single percent sign; write %%%% for one", format)
			}
			if format[i] == '%' {
				literal = append(literal, '%')
				continue
			}
			verb := verbAppender(format[i], null)
			if verb == nil {
				return nil, fmt.Errorf("format %q: there is no %%%c; there are %%s %%S %%R %%k %%K %%h %%t %%p %%o %%T %%d and %%%%", format, format[i])
			}
			f.add(literal)
			literal = nil
			f.parts = append(f.parts, verb)
		default:
			literal = append(literal, format[i])
		}
	}
	f.add(literal)
	return &f, nil
}

func (f *Formatter) add(literal []byte) {
	if len(literal) > 0 {
		f.parts = append(f.parts, func(dst []byte, _ *kgo.Record) []byte { return append(dst, literal...) })
	}
}

// Append adds the record's text to dst.
func (f *Formatter) Append(dst []byte, r *kgo.Record) []byte {
	for _, part := range f.parts {
		dst = part(dst, r)
	}
	return dst
}

func verbAppender(verb byte, null string) appender {
	bytesOrNull := func(dst, b []byte) []byte {
		if b == nil {
			return append(dst, null...)
		}
		return append(dst, b...)
	}
	switch verb {
	case 's', 'v':
		return func(dst []byte, r *kgo.Record) []byte { return bytesOrNull(dst, r.Value) }
	case 'S':
		return func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, length(r.Value), 10) }
	case 'R':
		return func(dst []byte, r *kgo.Record) []byte {
			return binary.BigEndian.AppendUint32(dst, uint32(int32(length(r.Value))))
		}
	case 'k':
		return func(dst []byte, r *kgo.Record) []byte { return bytesOrNull(dst, r.Key) }
	case 'K':
		return func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, length(r.Key), 10) }
	case 'h':
		return func(dst []byte, r *kgo.Record) []byte {
			for i, h := range r.Headers {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = append(append(dst, h.Key...), '=')
				dst = bytesOrNull(dst, h.Value)
			}
			return dst
		}
	case 't':
		return func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Topic...) }
	case 'p':
		return func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, int64(r.Partition), 10) }
	case 'o':
		return func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, r.Offset, 10) }
	case 'T':
		return func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10) }
	case 'd':
		return func(dst []byte, r *kgo.Record) []byte { return AppendDate(dst, r.Timestamp) }
	}
	return nil
}

// AppendDate adds a timestamp as --columns time and %d print it.
func AppendDate(dst []byte, t time.Time) []byte { return t.UTC().AppendFormat(dst, dateLayout) }

func length(b []byte) int64 {
	if b == nil {
		return -1
	}
	return int64(len(b))
}

// columnVerbs are the names ColumnFormat knows.
var columnVerbs = []struct{ name, verb string }{
	{"topic", "%t"}, {"partition", "%p"}, {"offset", "%o"}, {"time", "%d"}, {"key", "%k"}, {"headers", "%h"}, {"value", "%s"},
}

// ColumnNames are the names ColumnFormat knows.
func ColumnNames() []string {
	names := make([]string, len(columnVerbs))
	for i, c := range columnVerbs {
		names[i] = c.name
	}
	return names
}

// ColumnFormat is the format that prints the named columns in order, with tabs between them, one record a line.
// The name "all" stands for every column.
func ColumnFormat(names []string) (string, error) {
	var verbs []string
	for _, name := range names {
		found := false
		for _, c := range columnVerbs {
			if c.name == name || name == "all" {
				verbs, found = append(verbs, c.verb), true
			}
		}
		if !found {
			return "", fmt.Errorf("there is no column %q; there are %s and all", name, strings.Join(ColumnNames(), ", "))
		}
	}
	return strings.Join(verbs, `\t`) + `\n`, nil
}
