package handlers

import (
	"errors"
	"fmt"
	"testing"

	"kserver/engine"
	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// Kafka looks for the partition before it looks at the acks.
func TestAppendBatchChecksPartitionBeforeAcks(t *testing.T) {
	unknown := protocol.Errorf(protocol.UnknownTopicOrPartition, "unknown")
	_, err := appendBatch(nil, unknown, &protocol.ProduceRequest{Version: 9, Acks: 2}, nil, 0)
	if got := protocol.CodeOf(err); got != protocol.UnknownTopicOrPartition {
		t.Errorf("an unknown partition and acks=2: %v", got)
	}
	_, err = appendBatch(nil, nil, &protocol.ProduceRequest{Version: 9, Acks: 2}, nil, 0)
	if got := protocol.CodeOf(err); got != protocol.InvalidRequiredAcks {
		t.Errorf("acks=2: %v", got)
	}
}

// The codes with which Apache Kafka 4.3.1 answers a log start offset, and those
// with which it answers -1.
func TestRefusedByLog(t *testing.T) {
	cases := []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("t-0: %w", engine.ErrOutOfOrderSequence), true},
		{fmt.Errorf("t-0: %w", engine.ErrInvalidProducerEpoch), true},
		{&recordbatch.InvalidError{Kind: recordbatch.KindInvalidRecord}, true},
		{&recordbatch.InvalidError{Kind: recordbatch.KindInvalidTimestamp}, true},
		{&recordbatch.InvalidError{Kind: recordbatch.KindMessageTooLarge}, false},
		{&recordbatch.InvalidError{Kind: recordbatch.KindRecordListTooLarge}, false},
		{&recordbatch.InvalidError{Kind: recordbatch.KindCorruptMessage}, false},
		{&recordbatch.InvalidError{Kind: recordbatch.KindInvalidRecord, Cause: recordbatch.ErrTruncated}, false},
		{&recordbatch.InvalidError{Kind: recordbatch.KindInvalidRecord, Cause: recordbatch.ErrMagic}, false},
		{engine.ErrStorage, false},
		{errors.New("a disk error"), false},
		{errRequiredAcks, false},
		{errInternalTopic, false},
	}
	for _, c := range cases {
		if got := refusedByLog(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
