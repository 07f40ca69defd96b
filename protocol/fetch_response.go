package protocol

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kbin"
)

// Versions of Fetch the encoder writes.
const (
	FetchMinVersion int16 = 4
	FetchMaxVersion int16 = 18
)

// keyFetch is the API key of Fetch.
const keyFetch int16 = 1

// Versions from which a Fetch response has a field or form.
const (
	fetchLogStartOffset = 5
	fetchSessions       = 7
	fetchPreferredRead  = 11
	fetchFlexible       = 12
	fetchTopicIDs       = 13
	fetchNodeEndpoints  = 16
)

// AbortedTxn is a transaction a read_committed consumer has to drop.
type AbortedTxn struct {
	ProducerID int64
	// FirstOffset of the transaction in the partition.
	FirstOffset int64
}

// EpochEndOffset says where the log of an epoch ends, exclusive.
type EpochEndOffset struct {
	Epoch     int32
	EndOffset int64
}

// LeaderIDAndEpoch names the leader a client should turn to (KIP-951).
type LeaderIDAndEpoch struct {
	LeaderID    int32
	LeaderEpoch int32
}

// NodeEndpoint is the address of a leader named in the response (KIP-951).
type NodeEndpoint struct {
	NodeID int32
	Host   string
	Port   int32
	Rack   *string
}

// FetchPartition is one partition of a Fetch response without its records.
// Fields a version does not have are left out.
type FetchPartition struct {
	Index          int32
	Code           ErrorCode
	HighWatermark  int64
	LastStable     int64
	LogStartOffset int64
	// Aborted is null on the wire if nil, which is not the same as empty:
	// read_committed consumers get an empty list.
	Aborted []AbortedTxn
	// PreferredReadReplica is a node id, -1 for none (KIP-392).
	PreferredReadReplica int32
	// Diverging, if not nil, tells the fetcher where its log leaves the leader's
	// (KIP-595); versions from 12 on.
	Diverging *EpochEndOffset
	// CurrentLeader, if not nil, is the hint of KIP-951; versions from 12 on.
	CurrentLeader *LeaderIDAndEpoch
}

// FetchEncoder writes a Fetch response around holes, so that records can go to
// the socket from where they lie. Its methods must be called in this order:
//
//	Begin
//	  Topic                      as often as Begin was told
//	    PartitionHead            as often as Topic was told
//	      (recordsLen bytes of records)
//	    PartitionTail
//	  TopicTail
//	End
//
// Each appends to dst and returns it, as append does. What Begin writes starts
// with the response header; the frame length before it is the caller's. The zero
// value is ready for Begin, and an encoder may be used again. Nothing is
// allocated beyond dst. Not safe for concurrent use.
type FetchEncoder struct {
	version  int16
	flexible bool
}

// Begin starts a response of the given version with topics topics. throttleMs is
// in ms. It panics on a version outside FetchMinVersion..FetchMaxVersion.
func (e *FetchEncoder) Begin(dst []byte, version int16, correlationID, throttleMs int32, code ErrorCode, sessionID int32, topics int) []byte {
	if version < FetchMinVersion || version > FetchMaxVersion {
		panic(fmt.Sprintf("protocol: Fetch response of version %d", version))
	}
	e.version, e.flexible = version, version >= fetchFlexible
	dst = AppendResponseHeader(dst, keyFetch, version, correlationID)
	dst = kbin.AppendInt32(dst, throttleMs)
	if version >= fetchSessions {
		dst = kbin.AppendInt16(dst, int16(code))
		dst = kbin.AppendInt32(dst, sessionID)
	}
	return e.arrayLen(dst, topics)
}

// Topic starts a topic with partitions partitions. Versions up to 12 name it,
// later ones give its id; the other argument is not looked at.
func (e *FetchEncoder) Topic(dst []byte, name string, id [16]byte, partitions int) []byte {
	switch {
	case e.version >= fetchTopicIDs:
		dst = append(dst, id[:]...)
	case e.flexible:
		dst = kbin.AppendCompactString(dst, name)
	default:
		dst = kbin.AppendString(dst, name)
	}
	return e.arrayLen(dst, partitions)
}

// PartitionHead writes a partition up to and including the length of its
// records, which must follow: recordsLen bytes, 0 for none.
func (e *FetchEncoder) PartitionHead(dst []byte, p *FetchPartition, recordsLen int) []byte {
	if recordsLen < 0 || recordsLen > math.MaxInt32-1 {
		panic(fmt.Sprintf("protocol: %d bytes of records in a Fetch response", recordsLen))
	}
	dst = kbin.AppendInt32(dst, p.Index)
	dst = kbin.AppendInt16(dst, int16(p.Code))
	dst = kbin.AppendInt64(dst, p.HighWatermark)
	dst = kbin.AppendInt64(dst, p.LastStable)
	if e.version >= fetchLogStartOffset {
		dst = kbin.AppendInt64(dst, p.LogStartOffset)
	}
	dst = e.aborted(dst, p.Aborted)
	if e.version >= fetchPreferredRead {
		dst = kbin.AppendInt32(dst, p.PreferredReadReplica)
	}
	if e.flexible {
		return kbin.AppendUvarint(dst, uint32(recordsLen)+1)
	}
	return kbin.AppendInt32(dst, int32(recordsLen))
}

func (e *FetchEncoder) aborted(dst []byte, txns []AbortedTxn) []byte {
	if e.flexible {
		dst = kbin.AppendCompactNullableArrayLen(dst, len(txns), txns == nil)
	} else {
		dst = kbin.AppendNullableArrayLen(dst, len(txns), txns == nil)
	}
	for _, t := range txns {
		dst = kbin.AppendInt64(dst, t.ProducerID)
		dst = kbin.AppendInt64(dst, t.FirstOffset)
		dst = e.noTags(dst)
	}
	return dst
}

// Tagged fields of a partition and their sizes, the structure's own empty tagged
// fields included.
const (
	tagDivergingEpoch  = 0
	sizeDivergingEpoch = 4 + 8 + 1
	tagCurrentLeader   = 1
	sizeCurrentLeader  = 4 + 4 + 1
)

// PartitionTail writes what follows the records of a partition.
func (e *FetchEncoder) PartitionTail(dst []byte, p *FetchPartition) []byte {
	if !e.flexible {
		return dst
	}
	count := byte(0)
	if p.Diverging != nil {
		count++
	}
	if p.CurrentLeader != nil {
		count++
	}
	dst = append(dst, count)
	if d := p.Diverging; d != nil {
		dst = append(dst, tagDivergingEpoch, sizeDivergingEpoch)
		dst = kbin.AppendInt32(dst, d.Epoch)
		dst = kbin.AppendInt64(dst, d.EndOffset)
		dst = append(dst, 0)
	}
	if l := p.CurrentLeader; l != nil {
		dst = append(dst, tagCurrentLeader, sizeCurrentLeader)
		dst = kbin.AppendInt32(dst, l.LeaderID)
		dst = kbin.AppendInt32(dst, l.LeaderEpoch)
		dst = append(dst, 0)
	}
	return dst
}

// TopicTail ends a topic.
func (e *FetchEncoder) TopicTail(dst []byte) []byte { return e.noTags(dst) }

// End ends the response. The endpoints are those of the leaders its partitions
// name; versions below 16 do not have them.
func (e *FetchEncoder) End(dst []byte, endpoints []NodeEndpoint) []byte {
	if e.version < fetchNodeEndpoints || len(endpoints) == 0 {
		return e.noTags(dst)
	}
	const tagNodeEndpoints = 0
	dst = append(dst, 1, tagNodeEndpoints)
	dst = kbin.AppendUvarint(dst, uint32(endpointsSize(endpoints)))
	dst = kbin.AppendCompactArrayLen(dst, len(endpoints))
	for i := range endpoints {
		n := &endpoints[i]
		dst = kbin.AppendInt32(dst, n.NodeID)
		dst = kbin.AppendCompactString(dst, n.Host)
		dst = kbin.AppendInt32(dst, n.Port)
		dst = kbin.AppendCompactNullableString(dst, n.Rack)
		dst = append(dst, 0)
	}
	return dst
}

// endpointsSize returns the encoded size of the array of endpoints.
func endpointsSize(endpoints []NodeEndpoint) int {
	size := uvarintSize(len(endpoints) + 1)
	for i := range endpoints {
		n := &endpoints[i]
		size += 4 + uvarintSize(len(n.Host)+1) + len(n.Host) + 4 + 1
		if n.Rack == nil {
			size++
		} else {
			size += uvarintSize(len(*n.Rack)+1) + len(*n.Rack)
		}
	}
	return size
}

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func (e *FetchEncoder) arrayLen(dst []byte, n int) []byte {
	if e.flexible {
		return kbin.AppendCompactArrayLen(dst, n)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// noTags ends a structure that has no tagged fields.
func (e *FetchEncoder) noTags(dst []byte) []byte {
	if e.flexible {
		return append(dst, 0)
	}
	return dst
}
