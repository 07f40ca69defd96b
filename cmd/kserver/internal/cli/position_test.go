package cli

import (
	"testing"
	"time"
)

var noon = time.Date(2024, 5, 31, 12, 0, 0, 0, time.FixedZone("", 2*3600))

func TestParsePosition(t *testing.T) {
	for text, want := range map[string]position{
		"start": {kind: atStart}, "earliest": {kind: atStart}, "end": {kind: atEnd},
		"0": {kind: atOffset}, "17": {kind: atOffset, offset: 17},
		"-3": {kind: beforeEnd, offset: 3}, "-0": {kind: beforeEnd},
		"@2024-05-31T10:00:00Z": {kind: atTime, time: noon},
		"@2024-05-31 12:00":     {kind: atTime, time: noon},
		"@1717149600000":        {kind: atTime, time: noon},
		"@90m":                  {kind: atTime, time: noon.Add(-90 * time.Minute)},
	} {
		got, err := parsePosition(text, noon)
		if err != nil || got.kind != want.kind || got.offset != want.offset || !got.time.Equal(want.time) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "begin", "1.5", "@", "@yesterday", "@-5m", "99999999999999999999"} {
		if got, err := parsePosition(text, noon); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestPositionAt(t *testing.T) {
	for _, c := range []struct {
		p       position
		want    int64
		outside bool
	}{
		{position{kind: atStart}, 10, false},
		{position{kind: atEnd}, 20, false},
		{position{kind: atOffset, offset: 15}, 15, false},
		{position{kind: atOffset, offset: 20}, 20, false},
		{position{kind: atOffset, offset: 21}, 20, true},
		{position{kind: atOffset, offset: 9}, 10, true},
		{position{kind: beforeEnd, offset: 4}, 16, false},
		{position{kind: beforeEnd, offset: 40}, 10, false},
		{position{kind: atTime}, 13, false},
	} {
		if got, outside := c.p.at(10, 20, 13); got != c.want || outside != c.outside {
			t.Errorf("%+v: %d, %t", c.p, got, outside)
		}
	}
}

func TestSeedAddress(t *testing.T) {
	for text, want := range map[string]string{
		"kafka": "kafka:9092", "kafka:1": "kafka:1", ":19092": "127.0.0.1:19092", " h:1 ": "h:1",
		"::1": "[::1]:9092", "[::1]": "[::1]:9092", "[::1]:5": "[::1]:5", "PLAINTEXT://h:7": "h:7",
	} {
		if got, err := seedAddress(text); err != nil || got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"a:b", "a:b:c", "h:0", "h:70000", "http://h:1", "a b:1"} {
		if got, err := seedAddress(text); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
}
