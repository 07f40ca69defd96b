package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol/recordbatch"
)

// captured is a frame a real client sent, and the answer of Apache Kafka if kept.
type captured struct {
	name     string
	api      string
	version  int16
	frame    []byte
	response []byte
}

func capturedFrames(t testing.TB) []captured {
	t.Helper()
	files, err := filepath.Glob("testdata/frames/*.req")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captured frames: %v", err)
	}
	var out []captured
	for _, f := range files {
		c := captured{name: strings.TrimSuffix(filepath.Base(f), ".req")}
		at := strings.LastIndex(c.name, "-v")
		version, err := strconv.Atoi(c.name[at+2:])
		if err != nil {
			t.Fatal(err)
		}
		c.version = int16(version)
		c.api = c.name[strings.LastIndexByte(c.name[:at], '-')+1 : at]
		if c.frame, err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
		if r, err := os.ReadFile(strings.TrimSuffix(f, ".req") + ".resp"); err == nil {
			c.response = r
		}
		out = append(out, c)
	}
	return out
}

func TestCapturedFrames(t *testing.T) {
	for _, c := range capturedFrames(t) {
		t.Run(c.name, func(t *testing.T) {
			h, body, err := ParseRequestHeader(c.frame)
			if err != nil {
				t.Fatal(err)
			}
			if kmsg.NameForKey(h.Key) != c.api || h.Version != c.version || h.ClientID == nil {
				t.Errorf("header %+v", h)
			}
			req := NewRequest(h.Key, h.Version)
			if err := Decode(req, body); err != nil {
				t.Fatal(err)
			}
			if got := req.AppendTo(nil); !bytes.Equal(got, body) {
				t.Errorf("encodes to\n% x, was\n% x", got, body)
			}
			switch req := req.(type) {
			case *kmsg.ProduceRequest:
				b := req.Topics[0].Partitions[0].Records
				if _, err := recordbatch.ValidateProduce(b, &recordbatch.ValidateOptions{ProduceVersion: h.Version}); err != nil {
					t.Error(err)
				}
			case *kmsg.ApiVersionsRequest:
				if code := CheckApiVersions(req, "cluster", 1); code != None {
					t.Errorf("ApiVersions refused: %s", code)
				}
			}
		})
	}
}

func TestParseRequestHeader(t *testing.T) {
	frame := func(key, version int16, rest ...byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = binary.BigEndian.AppendUint32(b, 42)
		return append(b, rest...)
	}
	id := "app"
	for _, tt := range []struct {
		name  string
		frame []byte
		id    *string
		body  string
		err   error
	}{
		{"classic", frame(3, 8, 0, 3, 'a', 'p', 'p', 'x'), &id, "x", nil},
		{"classic, null id", frame(3, 8, 0xff, 0xff, 'x'), nil, "x", nil},
		{"classic, no body", frame(3, 8, 0, 3, 'a', 'p', 'p'), &id, "", nil},
		{"flexible", frame(3, 9, 0, 3, 'a', 'p', 'p', 0, 'x'), &id, "x", nil},
		{"flexible, tags", frame(3, 9, 0, 3, 'a', 'p', 'p', 2, 7, 1, 'y', 9, 0, 'x'), &id, "x", nil},
		{"flexible ApiVersions", frame(18, 3, 0, 3, 'a', 'p', 'p', 0, 'x'), &id, "x", nil},
		{"flexible without tags", frame(3, 9, 0, 3, 'a', 'p', 'p'), nil, "", ErrMalformed},
		{"tag beyond the end", frame(3, 9, 0xff, 0xff, 1, 7, 5, 'y'), nil, "", ErrMalformed},
		{"many tags claimed", frame(3, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f), nil, "", ErrMalformed},
		{"id beyond the end", frame(3, 8, 0, 4, 'a', 'p', 'p'), nil, "", ErrMalformed},
		{"id length -2", frame(3, 8, 0xff, 0xfe), nil, "", ErrMalformed},
		{"no id", frame(3, 8, 0), nil, "", ErrMalformed},
		{"short", frame(3, 8)[:7], nil, "", ErrMalformed},
		{"empty", nil, nil, "", ErrMalformed},
		{"unknown key", frame(95, 0, 0, 3, 'a', 'p', 'p'), nil, "", ErrUnknownAPI},
		{"negative key", frame(-1, 0, 0, 3, 'a', 'p', 'p'), nil, "", ErrUnknownAPI},
		{"removed key", frame(4, 0, 0, 3, 'a', 'p', 'p'), nil, "", ErrUnknownAPI},
		{"unknown version", frame(18, 99, 0xff), nil, "", ErrUnknownAPI},
		{"Produce 2", frame(0, 2, 0xff, 0xff), nil, "", ErrUnknownAPI},
	} {
		h, body, err := ParseRequestHeader(tt.frame)
		if !errors.Is(err, tt.err) || string(body) != tt.body {
			t.Errorf("%s: body %q, %v", tt.name, body, err)
		}
		if err == nil && (h.ClientID == nil) != (tt.id == nil) || tt.id != nil && *h.ClientID != *tt.id {
			t.Errorf("%s: client id %v", tt.name, h.ClientID)
		}
		if len(tt.frame) >= 8 && (h.CorrelationID != 42 || h.Key != int16(binary.BigEndian.Uint16(tt.frame))) {
			t.Errorf("%s: header %+v", tt.name, h)
		}
	}
}

func TestHeaderReuse(t *testing.T) {
	frame := []byte{0, 3, 0, 8, 0, 0, 0, 1, 0, 3, 'a', 'p', 'p'}
	var h RequestHeader
	if _, err := h.Parse(frame); err != nil {
		t.Fatal(err)
	}
	first := h.ClientID
	if n := testing.AllocsPerRun(20, func() {
		if _, err := h.Parse(frame); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	frame[10] = 'z'
	if _, err := h.Parse(frame); err != nil || *h.ClientID != "zpp" || *first != "app" {
		t.Errorf("client ids %q, %q, %v", *first, *h.ClientID, err)
	}
	frame[8], frame[9] = 0xff, 0xff
	if _, err := h.Parse(frame); err != nil || h.ClientID != nil {
		t.Errorf("client id %v, %v", h.ClientID, err)
	}
}

func TestAppendResponseHeader(t *testing.T) {
	for _, tt := range []struct {
		key, version int16
		want         []byte
	}{
		{3, 8, []byte{0, 0, 0, 7}},
		{3, 9, []byte{0, 0, 0, 7, 0}},
		{18, 0, []byte{0, 0, 0, 7}},
		{18, 3, []byte{0, 0, 0, 7}},
		{18, 5, []byte{0, 0, 0, 7}},
		{17, 1, []byte{0, 0, 0, 7}}, // SaslHandshake never became flexible
		{47, 0, []byte{0, 0, 0, 7}}, // nor did OffsetDelete
	} {
		if got := AppendResponseHeader(nil, tt.key, tt.version, 7); !bytes.Equal(got, tt.want) {
			t.Errorf("key %d version %d: % x", tt.key, tt.version, got)
		}
	}
}

// The hot path: one allocation per topic for its partitions, which kmsg makes. The
// race detector keeps the compiler from saving two temporary ones.
func TestDecodeAliased(t *testing.T) {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks = 9, -1
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "orders"
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = bytes.Repeat([]byte{0x55}, 1000)
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	body := req.AppendTo(nil)

	var got kmsg.ProduceRequest
	got.Version = 9
	if err := DecodeAliased(&got, body); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(body, part.Records)
	body[at] = 8
	if got.Topics[0].Partitions[0].Records[0] != 8 || got.Topics[0].Topic != "orders" {
		t.Error("records do not alias the frame")
	}
	if n := testing.AllocsPerRun(50, func() {
		if err := DecodeAliased(&got, body); err != nil {
			t.Fatal(err)
		}
	}); n > 3 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecodeProduce(b *testing.B) {
	for _, c := range capturedFrames(b) {
		if c.name != "librdkafka-Produce-v10" {
			continue
		}
		var h RequestHeader
		var req kmsg.ProduceRequest
		b.ReportAllocs()
		for b.Loop() {
			body, err := h.Parse(c.frame)
			if err != nil {
				b.Fatal(err)
			}
			req.Version = h.Version
			if err := DecodeAliased(&req, body); err != nil {
				b.Fatal(err)
			}
		}
	}
}
