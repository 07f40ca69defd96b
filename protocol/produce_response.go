package protocol

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AppendProduceResponse appends an answer to Produce in the version it has, with the
// response header and without the frame length. The bytes are those of
// kmsg, which compares by reflection what is left at its default; this allocates
// nothing beyond dst. Unknown tags are left out.
func AppendProduceResponse(dst []byte, correlationID int32, resp *kmsg.ProduceResponse) []byte {
	e := produceEncoder{version: resp.Version, flexible: resp.Version >= produceFlexible}
	if e.version < ProduceMinVersion || e.version > ProduceMaxVersion {
		panic(fmt.Sprintf("protocol: Produce response of version %d", e.version))
	}
	dst = AppendResponseHeader(dst, keyProduce, e.version, correlationID)
	dst = e.arrayLen(dst, len(resp.Topics))
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if e.version >= produceTopicIDs {
			dst = kbin.AppendUuid(dst, t.TopicID)
		} else {
			dst = e.string(dst, t.Topic)
		}
		dst = e.arrayLen(dst, len(t.Partitions))
		for j := range t.Partitions {
			dst = e.partition(dst, &t.Partitions[j])
		}
		dst = e.noTags(dst)
	}
	dst = kbin.AppendInt32(dst, resp.ThrottleMillis)
	if e.flexible && len(resp.Brokers) > 0 { // not looked at by clients below version 10
		return e.brokers(dst, resp.Brokers)
	}
	return e.noTags(dst)
}

// produceEncoder appends the parts of an answer to dst and returns it.
type produceEncoder struct {
	version  int16
	flexible bool
}

func (e produceEncoder) partition(dst []byte, p *kmsg.ProduceResponseTopicPartition) []byte {
	dst = kbin.AppendInt32(dst, p.Partition)
	dst = kbin.AppendInt16(dst, p.ErrorCode)
	dst = kbin.AppendInt64(dst, p.BaseOffset)
	dst = kbin.AppendInt64(dst, p.LogAppendTime)
	if e.version >= produceLogStartOffset {
		dst = kbin.AppendInt64(dst, p.LogStartOffset)
	}
	if e.version >= produceRecordErrors {
		dst = e.arrayLen(dst, len(p.ErrorRecords))
		for i := range p.ErrorRecords {
			dst = kbin.AppendInt32(dst, p.ErrorRecords[i].RelativeOffset)
			dst = e.nullableString(dst, p.ErrorRecords[i].ErrorMessage)
			dst = e.noTags(dst)
		}
		dst = e.nullableString(dst, p.ErrorMessage)
	}
	if l := &p.CurrentLeader; e.flexible && (l.LeaderID != -1 || l.LeaderEpoch != -1) {
		const tagCurrentLeader = 0
		dst = append(dst, 1, tagCurrentLeader, sizeCurrentLeader)
		dst = kbin.AppendInt32(dst, l.LeaderID)
		dst = kbin.AppendInt32(dst, l.LeaderEpoch)
	}
	return e.noTags(dst)
}

// brokers ends the answer with the endpoints of the leaders it names.
func (e produceEncoder) brokers(dst []byte, brokers []kmsg.ProduceResponseBroker) []byte {
	const tagNodeEndpoints = 0
	size := uvarintSize(len(brokers) + 1)
	for i := range brokers {
		b := &brokers[i]
		size += 4 + uvarintSize(len(b.Host)+1) + len(b.Host) + 4 + 1 + 1
		if b.Rack != nil {
			size += uvarintSize(len(*b.Rack)+1) + len(*b.Rack) - 1
		}
	}
	dst = append(dst, 1, tagNodeEndpoints)
	dst = kbin.AppendUvarint(dst, uint32(size))
	dst = kbin.AppendCompactArrayLen(dst, len(brokers))
	for i := range brokers {
		b := &brokers[i]
		dst = kbin.AppendInt32(dst, b.NodeID)
		dst = kbin.AppendCompactString(dst, b.Host)
		dst = kbin.AppendInt32(dst, b.Port)
		dst = kbin.AppendCompactNullableString(dst, b.Rack)
		dst = append(dst, 0)
	}
	return dst
}

func (e produceEncoder) arrayLen(dst []byte, n int) []byte {
	if e.flexible {
		return kbin.AppendCompactArrayLen(dst, n)
	}
	return kbin.AppendArrayLen(dst, n)
}

func (e produceEncoder) string(dst []byte, s string) []byte {
	if e.flexible {
		return kbin.AppendCompactString(dst, s)
	}
	return kbin.AppendString(dst, s)
}

func (e produceEncoder) nullableString(dst []byte, s *string) []byte {
	if e.flexible {
		return kbin.AppendCompactNullableString(dst, s)
	}
	return kbin.AppendNullableString(dst, s)
}

// noTags ends a structure that has no tagged fields.
func (e produceEncoder) noTags(dst []byte) []byte {
	if e.flexible {
		return append(dst, 0)
	}
	return dst
}
