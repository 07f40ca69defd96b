package protocol

import (
	"encoding/binary"
	"fmt"
)

// Versions from which a Fetch request has a field or form.
const (
	fetchLeaderEpoch  = 9
	fetchRack         = 11
	fetchReplicaState = 15
)

// FetchRequest is the body of a Fetch request. It is there to be decoded into again and again: its slices are used
// anew, so that decoding allocates nothing in the long run. What brokers do not act on, such as the rack, is checked
// and left out. Not safe for concurrent use.
type FetchRequest struct {
	Version int16
	// ReplicaID is the broker id of a follower, -1 of a consumer.
	ReplicaID int32
	MaxWaitMs int32
	MinBytes  int32
	MaxBytes  int32
	Isolation int8
	// SessionID and SessionEpoch are 0 and -1, those of a fetch without a session, up to version 6.
	SessionID    int32
	SessionEpoch int32
	Topics       []FetchTopic
	Forgotten    []ForgottenTopic
	Elements     int // topics and partitions
}

// FetchTopic is one topic of a request. Up to version 12 it has a name, which aliases the body, later an ID.
type FetchTopic struct {
	Name       []byte
	ID         [16]byte
	Partitions []FetchRequestPartition
}

// FetchRequestPartition is what is asked of a partition.
type FetchRequestPartition struct {
	Index              int32
	CurrentLeaderEpoch int32 // -1: unknown
	Offset             int64
	LastFetchedEpoch   int32 // -1: unknown
	MaxBytes           int32
}

// ForgottenTopic names partitions that leave a fetch session, as FetchTopic does.
type ForgottenTopic struct {
	Name       []byte
	ID         [16]byte
	Partitions []int32
}

// Decode reads the whole body of a request of the given version, in one pass, as ProduceRequest.Decode does: what it
// says of a body is what package-level Decode says of it. Names alias the body and are valid as long as it is.
//
// Errors: ErrMalformed, which leaves r half filled.
func (r *FetchRequest) Decode(version int16, body []byte) error {
	if version < FetchMinVersion || version > FetchMaxVersion {
		panic(fmt.Sprintf("protocol: Fetch request of version %d", version))
	}
	*r = FetchRequest{Version: version, ReplicaID: -1, SessionEpoch: -1, Topics: r.Topics[:0], Forgotten: r.Forgotten[:0]}
	d := fetchDecoder{newDecoder(version >= fetchFlexible, MaxElements, body)}
	d.request(r)
	r.Elements = d.elements
	if !d.ok || len(d.b) > 0 {
		return fmt.Errorf("%w: body of key %d version %d", ErrMalformed, keyFetch, version)
	}
	return nil
}

// Tagged fields of a request and of a partition in it.
const tagReplicaState = 1

var (
	fetchTags = []tag{
		{0, []node{{kind: kindString}}}, // cluster id
		{tagReplicaState, []node{{kind: kindStruct, sub: []node{{kind: kindFixed, size: 4 + 8}}}}},
	}
	fetchPartitionTags = []tag{
		{0, []node{{kind: kindFixed, size: 16}}}, // replica directory id
		{1, []node{{kind: kindFixed, size: 8}}},  // high watermark
	}
)

// fetchDecoder reads a Fetch request.
type fetchDecoder struct{ decoder }

func (d *fetchDecoder) request(r *FetchRequest) {
	if r.Version < fetchReplicaState {
		r.ReplicaID = d.int32()
	}
	r.MaxWaitMs, r.MinBytes, r.MaxBytes, r.Isolation = d.int32(), d.int32(), d.int32(), d.int8()
	if r.Version >= fetchSessions {
		r.SessionID, r.SessionEpoch = d.int32(), d.int32()
	}
	for n := d.count(); n > 0 && d.ok; n-- {
		var t *FetchTopic
		r.Topics, t = more(r.Topics)
		d.topic(r.Version, t)
	}
	if r.Version >= fetchSessions {
		for n := d.count(); n > 0 && d.ok; n-- {
			var t *ForgottenTopic
			r.Forgotten, t = more(r.Forgotten)
			d.forgotten(r.Version, t)
		}
	}
	if r.Version >= fetchRack {
		d.string()
	}
	tagged := d.tagged(fetchTags)
	if r.Version >= fetchReplicaState && d.ok {
		if state := taggedField(tagged, tagReplicaState); state != nil {
			r.ReplicaID = int32(binary.BigEndian.Uint32(state))
		}
	}
}

func (d *fetchDecoder) topic(version int16, t *FetchTopic) {
	t.Name, t.ID = d.topicName(version)
	t.Partitions = t.Partitions[:0]
	for n := d.count(); n > 0 && d.ok; n-- {
		t.Partitions = append(t.Partitions, d.partition(version))
		d.tagged(fetchPartitionTags)
	}
	d.tagged(nil)
}

func (d *fetchDecoder) topicName(version int16) (name []byte, id [16]byte) {
	if version < fetchTopicIDs {
		return d.string(), id
	}
	copy(id[:], d.take(len(id)))
	return nil, id
}

func (d *fetchDecoder) partition(version int16) FetchRequestPartition {
	p := FetchRequestPartition{Index: d.int32(), CurrentLeaderEpoch: -1, LastFetchedEpoch: -1}
	if version >= fetchLeaderEpoch {
		p.CurrentLeaderEpoch = d.int32()
	}
	p.Offset = d.int64()
	if version >= fetchFlexible {
		p.LastFetchedEpoch = d.int32()
	}
	if version >= fetchLogStartOffset {
		d.int64() // a follower's log start
	}
	p.MaxBytes = d.int32()
	return p
}

func (d *fetchDecoder) forgotten(version int16, t *ForgottenTopic) {
	t.Name, t.ID = d.topicName(version)
	t.Partitions = t.Partitions[:0]
	for n := d.count(); n > 0 && d.ok; n-- {
		t.Partitions = append(t.Partitions, d.int32())
	}
	d.tagged(nil)
}
