package cli

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzPosition: a position that was read lies, in any partition, between its ends.
func FuzzPosition(f *testing.F) {
	for _, text := range []string{"start", "end", "7", "-7", "@2024-05-31", "@90m", "@1717113600000", "-9223372036854775808", "9223372036854775807"} {
		f.Add(text, int64(5), int64(1000), int64(500))
	}
	now := time.Date(2024, 5, 31, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string, start, size, timed int64) {
		p, err := parsePosition(text, now)
		again, err2 := parsePosition(text, now)
		if (err == nil) != (err2 == nil) || p != again {
			t.Fatalf("first %+v, %v; then %+v, %v", p, err, again, err2)
		}
		if err != nil {
			if !strings.Contains(err.Error(), "is no") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		start, size = start&math.MaxInt64>>1, size&math.MaxInt64>>1
		end := start + size
		offset, outside := p.at(start, end, timed)
		if offset < start || offset > end {
			t.Errorf("%q is %d in [%d, %d]", text, offset, start, end)
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 && !strings.HasPrefix(text, "-") && outside != (n < start || n > end) {
			t.Errorf("%q: outside is %v in [%d, %d]", text, outside, start, end)
		}
		p.kgo()
	})
}

// FuzzScope: the partitions of a scope are those that were written.
func FuzzScope(f *testing.F) {
	f.Add("orders")
	f.Add("orders:0, 3,2147483647")
	f.Add(":1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseScope(text)
		if err != nil {
			return
		}
		again := s.topic
		for i, p := range s.partitions {
			if p < 0 {
				t.Errorf("partition %d", p)
			}
			again += []string{":", ","}[min(i, 1)] + strconv.Itoa(int(p))
		}
		if back, err := parseScope(again); err != nil || back.topic != s.topic || !slices.Equal(back.partitions, s.partitions) {
			t.Errorf("%q came back as %+v, %v", again, back, err)
		}
	})
}

// FuzzQuotas: a quota that was read is one there is, with a number a broker can be sent.
func FuzzQuotas(f *testing.F) {
	f.Add("producer_byte_rate=1024", "request_percentage=12.5")
	f.Add("producer_byte_rate=NaN", "")
	f.Fuzz(func(t *testing.T, one, two string) {
		ops, err := parseQuotas([]string{one, two})
		if err != nil {
			return
		}
		if len(ops) != 2 || ops[0].Key == ops[1].Key {
			t.Errorf("%+v", ops)
		}
		for _, op := range ops {
			if op.Remove || !(op.Value >= 0) || math.IsInf(op.Value, 0) || !slices.Contains(quotaKeys, op.Key) {
				t.Errorf("%+v", op)
			}
		}
	})
}

// FuzzConfigChange: every setting is changed once, to what was written.
func FuzzConfigChange(f *testing.F) {
	f.Add("a=1", "b=x=y", "c")
	f.Add("a=", "a=1", "a")
	f.Fuzz(func(t *testing.T, one, two, unset string) {
		c, err := newConfigChange("--set", []string{one, two}, []string{unset})
		if err != nil {
			return
		}
		if len(c.set) != 2 || len(c.values) != 2 || c.empty() {
			t.Fatalf("%+v", c)
		}
		for i, text := range []string{one, two} {
			if key, value, _ := strings.Cut(text, "="); strings.TrimSpace(key) != c.set[i] || c.values[c.set[i]] != value || c.set[i] == unset {
				t.Errorf("%q became %+v", text, c)
			}
		}
	})
}
