package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Versions of Produce that ProduceRequest and AppendProduceResponse know.
const (
	ProduceMinVersion int16 = 3
	ProduceMaxVersion int16 = 13
)

// Versions from which a Produce request or response has a field or form.
const (
	produceLogStartOffset = 5
	produceRecordErrors   = 8
	produceFlexible       = 9
	produceLeaderHints    = 10
	produceTopicIDs       = 13
)

// ErrElements says that a request has more array elements than its reader takes.
var ErrElements = errors.New("protocol: too many array elements")

// ProduceRequest is the body of a Produce request. It is there to be decoded into
// again and again: its slices, and the names of topics that stay the same, are used
// anew, so that decoding allocates nothing in the long run. Not safe for concurrent
// use.
type ProduceRequest struct {
	Version int16
	// TransactionID aliases the body; nil when it is null.
	TransactionID []byte
	Acks          int16
	TimeoutMs     int32
	Topics        []ProduceTopic
	Elements      int // topics and partitions
}

// ProduceTopic is one topic of a request. Up to version 12 it has a name, later
// an ID.
type ProduceTopic struct {
	Name       string // a copy
	ID         [16]byte
	Partitions []ProducePartition
}

// ProducePartition is what is to be appended to a partition. Records aliases the
// body; nil when it is null.
type ProducePartition struct {
	Index   int32
	Records []byte
}

// Decode reads the whole body of a request of the given version, in one pass:
// every length and count is held against the bytes that are there, and no byte may
// be left over. What it says of a body is what package-level Decode says of it. limit
// is the most array elements the caller takes, at most MaxElements.
//
// Errors: ErrMalformed; ErrElements, when there are more than limit elements; both
// leave r half filled.
func (r *ProduceRequest) Decode(version int16, body []byte, limit int) error {
	if version < ProduceMinVersion || version > ProduceMaxVersion {
		panic(fmt.Sprintf("protocol: Produce request of version %d", version))
	}
	r.Version, r.Topics = version, r.Topics[:0]
	d := produceDecoder{newDecoder(version >= produceFlexible, limit, body)}
	d.request(r)
	r.Elements = d.elements
	switch {
	case d.elements > limit && limit < MaxElements:
		return fmt.Errorf("%w: more than %d", ErrElements, limit)
	case !d.ok || len(d.b) > 0:
		return fmt.Errorf("%w: body of key %d version %d", ErrMalformed, keyProduce, version)
	}
	return nil
}

// produceDecoder reads a Produce request.
type produceDecoder struct{ decoder }

func (d *produceDecoder) request(r *ProduceRequest) {
	r.TransactionID = d.bytes(2)
	head := d.take(2 + 4)
	if !d.ok {
		return
	}
	r.Acks, r.TimeoutMs = int16(binary.BigEndian.Uint16(head)), int32(binary.BigEndian.Uint32(head[2:]))
	for n := d.count(); n > 0 && d.ok; n-- {
		var t *ProduceTopic
		r.Topics, t = more(r.Topics)
		d.topic(r.Version, t)
	}
	d.tagged(nil)
}

func (d *produceDecoder) topic(version int16, t *ProduceTopic) {
	if version >= produceTopicIDs {
		t.Name = ""
		copy(t.ID[:], d.take(len(t.ID)))
	} else {
		t.ID = [16]byte{}
		if name := d.string(); d.ok && t.Name != string(name) {
			t.Name = string(name)
		}
	}
	t.Partitions = t.Partitions[:0]
	for n := d.count(); n > 0 && d.ok; n-- {
		p := ProducePartition{Index: d.int32(), Records: d.bytes(4)}
		d.tagged(nil)
		t.Partitions = append(t.Partitions, p)
	}
	d.tagged(nil)
}
