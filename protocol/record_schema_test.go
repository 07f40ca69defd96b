package protocol

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitValue is the layout of the value of a committed offset.
var commitValue = NewRecordSchema("OffsetCommitValue", 4, 4, `l i@3+ s l l@1-1 #0u@4+`)

// TestRecordSchema: the schema takes what kmsg writes, no byte less, and more only behind it.
func TestRecordSchema(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for version := range int16(5) {
		for range 20 {
			var v kmsg.OffsetCommitValue
			fill(reflect.ValueOf(&v).Elem(), rnd)
			v.Version = version
			b := v.AppendTo(nil)
			if err := commitValue.Check(b); err != nil {
				t.Fatalf("version %d: % x: %v", version, b, err)
			}
			if err := commitValue.Check(append(bytes.Clone(b), 1)); err != nil {
				t.Errorf("version %d: a byte behind the value: %v", version, err)
			}
			for n := range b {
				if err := commitValue.Check(b[:n]); !errors.Is(err, ErrMalformed) {
					t.Errorf("version %d: %d bytes of %d: %v", version, n, len(b), err)
				}
			}
		}
	}
}

// A value that announces four billion tagged fields and has none would keep kmsg busy for minutes.
func TestRecordSchemaBounds(t *testing.T) {
	b := append([]byte{0, 4}, make([]byte, 8+4)...)
	b = append(append(b, 1), make([]byte, 8)...) // no metadata, commit time
	for name, tags := range map[string][]byte{
		"announced": kbin.AppendUvarint(nil, 1<<32-1),
		"too many":  append(kbin.AppendUvarint(nil, maxUnknownTags+1), bytes.Repeat([]byte{9, 0}, maxUnknownTags+1)...),
	} {
		if err := commitValue.Check(append(bytes.Clone(b), tags...)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := commitValue.Check(append(b, 0)); err != nil {
		t.Error(err)
	}
	for name, b := range map[string][]byte{"newer": {0, 5, 0}, "negative": {0xff, 0xff, 0}, "short": {0}} {
		if err := commitValue.Check(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
