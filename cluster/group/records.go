package group

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// Record types and versions of __consumer_offsets, as Kafka 4.3 writes them
// (GroupCoordinatorRecordHelpers). The first int16 of a key is the type; the
// first int16 of a value is its version.
const (
	keyOffsetCommitV0 = 0 // read only; differs from 1 in nothing
	keyOffsetCommit   = 1
	keyGroupMetadata  = 2

	offsetValueExpiring  = 1 // carries the expiry of OffsetCommit v2-4; no epoch, no topic id
	offsetValueCurrent   = 4 // flexible; topic id as tag 0 (KAFKA-19141)
	groupMetadataCurrent = 3
)

// The layouts of the values, in all the versions there are.
var (
	offsetCommitSchema  = protocol.NewRecordSchema("OffsetCommitValue", 4, 4, `l i@3+ s l l@1-1 #0u@4+`)
	groupMetadataSchema = protocol.NewRecordSchema("GroupMetadataValue", 4, 4, `s i s s l@2+ [{s s@3+ s s i@1+ i y y}]`)
)

// readValue decodes the value of a record. Byte slices in it refer to b.
func readValue(schema *protocol.RecordSchema, value interface{ ReadFrom([]byte) error }, b []byte) error {
	if err := schema.Check(b); err != nil {
		return err
	}
	return value.ReadFrom(b)
}

// offsetRecord makes the record that commits o; o nil makes the tombstone.
func offsetRecord(group, topic string, partition int32, o *committedOffset) coordinator.Record {
	key := kmsg.OffsetCommitKey{Version: keyOffsetCommit, Group: group, Topic: topic, Partition: partition}
	rec := coordinator.Record{Key: key.AppendTo(nil)}
	if o == nil {
		return rec
	}
	value := kmsg.OffsetCommitValue{
		Version:         offsetValueCurrent,
		Offset:          o.offset,
		LeaderEpoch:     o.leaderEpoch,
		Metadata:        o.metadata,
		CommitTimestamp: o.commitMs,
		TopicID:         o.topicID,
	}
	if o.expireMs != noTimestamp {
		value.Version = offsetValueExpiring
		value.ExpireTimestamp = o.expireMs
	}
	rec.Value = value.AppendTo(nil)
	return rec
}

// groupRecord makes the record that stores g as it is, with the members'
// assignments taken from assign. A group with members must have a protocol.
func groupRecord(g *classicGroup, assign func(*member) []byte) coordinator.Record {
	value := kmsg.GroupMetadataValue{
		Version:               groupMetadataCurrent,
		ProtocolType:          g.protocolType,
		Generation:            g.generation,
		Protocol:              nilIfEmpty(g.protocol),
		Leader:                nilIfEmpty(g.leader),
		CurrentStateTimestamp: g.stateSinceMs,
		Members:               make([]kmsg.GroupMetadataValueMember, 0, len(g.members)),
	}
	for _, m := range g.order {
		value.Members = append(value.Members, kmsg.GroupMetadataValueMember{
			MemberID:               m.id,
			InstanceID:             m.instanceID,
			ClientID:               m.clientID,
			ClientHost:             m.clientHost,
			RebalanceTimeoutMillis: m.rebalanceTimeoutMs,
			SessionTimeoutMillis:   m.sessionTimeoutMs,
			Subscription:           m.metadata(g.protocol),
			Assignment:             assign(m),
		})
	}
	return coordinator.Record{Key: groupKey(g.id), Value: value.AppendTo(nil)}
}

// groupTombstone makes the record that deletes a group.
func groupTombstone(group string) coordinator.Record {
	return coordinator.Record{Key: groupKey(group)}
}

func groupKey(group string) []byte {
	key := kmsg.GroupMetadataKey{Version: keyGroupMetadata, Group: group}
	return key.AppendTo(nil)
}

// keyType reads the type of a record's key.
func keyType(key []byte) (int16, error) {
	if len(key) < 2 {
		return 0, fmt.Errorf("group: record key of %d bytes", len(key))
	}
	return int16(binary.BigEndian.Uint16(key)), nil
}

func nilIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
