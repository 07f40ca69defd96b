package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/internal/fuzzing"
)

// memoryPerByte bounds what decoding may allocate for each byte of a body: the largest structure kmsg makes of the
// fewest bytes, and what growing slices costs.
const memoryPerByte = 128

// FuzzParseRequestHeader: a header is read whole or refused by name, the body is what stands behind it, and what was
// read does not change with the frame or with a header read before.
func FuzzParseRequestHeader(f *testing.F) {
	for _, c := range capturedFrames(f) {
		f.Add(c.frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var h RequestHeader
		var body []byte
		var err error
		fuzzing.Bounded(t, 2*uint64(len(frame)), func() { h, body, err = ParseRequestHeader(frame) })
		again := RequestHeader{ClientID: kmsg.StringPtr("before")}
		if _, err2 := again.Parse(frame); fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Errorf("first %v, then %v", err, err2)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownAPI) {
				t.Errorf("error %v", err)
			}
			return
		}
		if !reflect.DeepEqual(h, again) {
			t.Errorf("%+v after another header, else %+v", again, h)
		}
		if len(body) > len(frame)-10 || !bytes.HasSuffix(frame, body) || NewRequest(h.Key, h.Version) == nil {
			t.Errorf("header %+v, %d bytes of body in %d", h, len(body), len(frame))
		}
		if h.ClientID == nil {
			return
		}
		id := *h.ClientID
		for i := range frame {
			frame[i] = 0xaa
		}
		if *h.ClientID != id {
			t.Error("the client id changed with the frame")
		}
	})
}

// FuzzDecode holds the two decoders of every API and version against each other: they take the same bodies, make the
// same of them, in memory that follows the body's length and was announced, and what they made can be encoded and decoded again.
func FuzzDecode(f *testing.F) {
	for _, c := range capturedFrames(f) {
		h, body, err := ParseRequestHeader(c.frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(h.Key, h.Version, body)
	}
	eachRequest(func(name string, key, version int16) {
		req := NewRequest(key, version)
		fill(reflect.ValueOf(req).Elem(), rand.New(rand.NewPCG(uint64(key), uint64(version))))
		if body := req.AppendTo(nil); len(body) < 500 {
			f.Add(key, version, body)
		}
	})
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		req := NewRequest(key, version)
		if req == nil {
			return
		}
		var err error
		limit := memoryPerByte * uint64(len(body))
		if c, err := Check(key, version, body); err == nil && !raceEnabled {
			limit = min(limit, uint64(c.Memory))
		}
		fuzzing.Bounded(t, limit, func() { req = NewRequest(key, version); err = Decode(req, body) })
		aliased := NewRequest(key, version)
		if err2 := DecodeAliased(aliased, body); fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("Decode %v, DecodeAliased %v", err, err2)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v", err)
			}
			return
		}
		encoded := req.AppendTo(nil)
		if !bytes.Equal(aliased.AppendTo(nil), encoded) {
			t.Error("DecodeAliased made something else")
		}
		again := NewRequest(key, version)
		if err := Decode(again, encoded); err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		if !bytes.Equal(again.AppendTo(nil), encoded) {
			t.Error("the second round differs")
		}
	})
}

// FuzzRecordSchema: a value the schema takes is decoded by kmsg in memory, and so in time, that follows its length.
func FuzzRecordSchema(f *testing.F) {
	for version := range int16(5) {
		v := kmsg.OffsetCommitValue{Version: version, Offset: 5, Metadata: "m", TopicID: [16]byte{1}}
		f.Add(v.AppendTo(nil))
	}
	f.Add(binary.AppendUvarint(append([]byte{0, 4}, make([]byte, 21)...), 1<<32-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := commitValue.Check(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v", err)
			}
			return
		}
		fuzzing.Bounded(t, memoryPerByte*uint64(len(b)), func() {
			var v kmsg.OffsetCommitValue
			_ = v.ReadFrom(b) // may refuse a null where there has to be a string, which the schema does not know
		})
	})
}
