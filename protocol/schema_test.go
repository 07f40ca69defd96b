package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill sets every exported field of v to something random: no zero, so that
// fields left out at their default are written as well.
func fill(v reflect.Value, rnd *rand.Rand) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1 + rnd.Int64N(100))
	case reflect.Uint16:
		v.SetUint(1 + rnd.Uint64N(100))
	case reflect.Float64:
		v.SetFloat(rnd.Float64())
	case reflect.String:
		v.SetString(fmt.Sprintf("s%d", rnd.IntN(1000)))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), rnd)
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(1 + rnd.Uint64N(100))
		}
	case reflect.Slice:
		n := 1 + rnd.IntN(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			if v.Type().Elem().Kind() == reflect.Uint8 {
				v.Index(i).SetUint(rnd.Uint64N(256))
			} else {
				fill(v.Index(i), rnd)
			}
		}
	case reflect.Struct:
		if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
			if rnd.IntN(4) == 0 {
				tags.Set(100+uint32(rnd.IntN(5)), []byte{1, 2})
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type().Field(i).Name != "Version" {
				fill(v.Field(i), rnd)
			}
		}
	}
}

// eachRequest calls f with every key and version there is a shape for.
func eachRequest(f func(name string, key, version int16)) {
	for i := range shapes {
		for version := shapes[i].min; version <= shapes[i].max; version++ {
			f(fmt.Sprintf("%s v%d", kmsg.NameForKey(shapes[i].key), version), shapes[i].key, version)
		}
	}
}

// TestShapes encodes random requests of every key and version with kmsg. The
// layout must accept them whole, must not accept them with a byte less or more,
// and what comes out of Decode must encode to the same bytes.
func TestShapes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	eachRequest(func(name string, key, version int16) {
		for range 20 {
			req := NewRequest(key, version)
			if req == nil || req.GetVersion() != version || req.IsFlexible() != IsFlexible(key, version) {
				t.Fatalf("%s: request %+v", name, req)
			}
			if version > req.MaxVersion() {
				t.Fatalf("%s: kmsg ends at %d", name, req.MaxVersion())
			}
			fill(reflect.ValueOf(req).Elem(), rnd)
			body := req.AppendTo(nil)
			l := layoutOf(key, version)
			if _, ok := l.check(body); !ok {
				t.Fatalf("%s: layout does not fit % x of %+v", name, body, req)
			}
			if _, ok := l.check(append(bytes.Clone(body), 0)); ok {
				t.Errorf("%s: a byte more is accepted", name)
			}
			if _, ok := l.check(body[:max(len(body)-1, 0)]); ok && len(body) > 0 {
				t.Errorf("%s: a byte less is accepted", name)
			}
			for how, decode := range map[string]func(kmsg.Request, []byte) error{"Decode": Decode, "DecodeAliased": DecodeAliased} {
				again := NewRequest(key, version)
				if err := decode(again, body); err != nil {
					t.Fatalf("%s: %s: %v", name, how, err)
				}
				if got := again.AppendTo(nil); !bytes.Equal(got, body) {
					t.Fatalf("%s: %s: encodes to\n% x, was\n% x", name, how, got, body)
				}
			}
		}
	})
}

// TestShapesCoverKmsg finds APIs a new kmsg knows and the table does not.
func TestShapesCoverKmsg(t *testing.T) {
	without := map[int16]string{4: "removed", 5: "removed", 6: "removed", 7: "removed"}
	for key := range int16(kmsg.MaxKey + 1) {
		r, ok := KnownVersions(key)
		if _, removed := without[key]; ok == removed {
			t.Errorf("key %d: known %t", key, ok)
		}
		if ok && r.Max != kmsg.RequestForKey(key).MaxVersion() {
			t.Errorf("%s: shapes end at %d, kmsg at %d", kmsg.NameForKey(key), r.Max, kmsg.RequestForKey(key).MaxVersion())
		}
	}
	if kmsg.MaxKey != maxKey {
		t.Errorf("kmsg ends at key %d", kmsg.MaxKey)
	}
	if _, ok := KnownVersions(-1); ok {
		t.Error("key -1 is known")
	}
	if NewRequest(maxKey+1, 0) != nil || NewRequest(0, 2) != nil || NewRequest(0, 14) != nil {
		t.Error("unknown version accepted")
	}
}

// Nothing decoded by Decode may change when the frame is used again.
func TestDecodeDoesNotAlias(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	eachRequest(func(name string, key, version int16) {
		req := NewRequest(key, version)
		fill(reflect.ValueOf(req).Elem(), rnd)
		body := req.AppendTo(nil)
		got, want := NewRequest(key, version), NewRequest(key, version)
		frame := bytes.Clone(body)
		if err := errors.Join(Decode(got, frame), Decode(want, body)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range frame {
			frame[i] = 0xAA
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(kmsg.Tags{})); diff != "" {
			t.Errorf("%s: changed with the frame:\n%s", name, diff)
		}
	})
}

// Counts that nothing stands behind must cost nothing.
func TestHostileCounts(t *testing.T) {
	huge := binary.AppendUvarint(nil, 1<<32-1)
	produce := []byte{0, 0xff, 0xff, 0, 0, 0, 1} // transactional id, acks, timeout
	elements := func(n int) []byte {
		b := kbin.AppendCompactArrayLen(nil, n) // DescribeGroups v5: group names
		return append(append(b, bytes.Repeat([]byte{1}, n)...), 0, 0)
	}
	tags := func(n int) []byte {
		b := kbin.AppendUvarint([]byte{1, 0}, uint32(n))
		return append(b, bytes.Repeat([]byte{99, 0}, n)...)
	}
	for _, tt := range []struct {
		name         string
		key, version int16
		body         []byte
		ok           bool
	}{
		{"tags, no bytes", 15, 5, append([]byte{1, 0}, huge...), false},
		{"topics, no bytes", 0, 9, append(bytes.Clone(produce), huge...), false},
		{"topics, too few bytes", 0, 9, append(kbin.AppendCompactArrayLen(bytes.Clone(produce), 1000), make([]byte, 1500)...), false},
		{"negative array", 0, 3, []byte{0xff, 0xff, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}, true},
		{"smallest array", 0, 3, []byte{0xff, 0xff, 0, 1, 0, 0, 0, 1, 0x80, 0, 0, 0}, true},
		{"elements at the limit", 15, 5, elements(MaxElements), true},
		{"elements above the limit", 15, 5, elements(MaxElements + 1), false},
		{"tags at the limit", 15, 5, tags(maxUnknownTags), true},
		{"tags above the limit", 15, 5, tags(maxUnknownTags + 1), false},
		{"overlong varint", 15, 5, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0}, false},
		{"known tag too long", 1, 18, nil, false},
	} {
		start := time.Now()
		err := Decode(NewRequest(tt.key, tt.version), tt.body)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: took %s", tt.name, d)
		}
	}
	if err := Decode(&kmsg.ProduceRequest{Version: 2}, nil); !errors.Is(err, ErrUnknownAPI) {
		t.Errorf("Produce v2: %v", err)
	}
}
