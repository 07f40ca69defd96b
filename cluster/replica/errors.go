package replica

import (
	"errors"

	"kserver/engine"
	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// The errors of the data plane that carry no detail.
var (
	errUnknownTopic     = protocol.Errorf(protocol.UnknownTopicOrPartition, "This server does not host this topic-partition.")
	errUnknownPartition = errUnknownTopic
	errUnknownTopicID   = protocol.Errorf(protocol.UnknownTopicID, "This server does not host this topic ID.")
	errNotLeader        = protocol.Errorf(protocol.NotLeaderOrFollower, "For requests intended only for the leader, this error indicates that the broker is not the current leader.")
	errFencedEpoch      = protocol.Errorf(protocol.FencedLeaderEpoch, "The leader epoch in the request is older than the epoch on the broker.")
	errUnknownEpoch     = protocol.Errorf(protocol.UnknownLeaderEpoch, "The leader epoch in the request is newer than the epoch on the broker.")
	errOffsetOutOfRange = protocol.Errorf(protocol.OffsetOutOfRange, "The requested offset is not within the range of offsets maintained by the server.")
)

// ErrUnsupportedTimestamp is the answer to a ListOffsets of a position that there is not, or not in its version.
var ErrUnsupportedTimestamp = protocol.Errorf(protocol.UnsupportedVersion, "The timestamp names a position that this version of the request does not have.")

// KafkaError maps an error of the engine, or one that carries a code already,
// to the code and message a client gets. It is the one place where the data
// plane's errors become Kafka's.
func KafkaError(err error) *protocol.Error {
	var coded *protocol.Error
	if errors.As(err, &coded) {
		return coded
	}
	var invalid *recordbatch.InvalidError
	if errors.As(err, &invalid) {
		return protocol.Errorf(protocol.ErrorCode(invalid.Kind), "%s", invalid.Message)
	}
	for _, m := range engineCodes {
		if errors.Is(err, m.err) {
			return protocol.Errorf(m.code, "%s", err.Error())
		}
	}
	return protocol.Errorf(protocol.KafkaStorageError, "%s", err.Error())
}

// engineCodes maps the engine's sentinels. What is not listed is a storage
// error: retriable, and the fate of the record unknown. Produce never answers
// UNKNOWN_SERVER_ERROR, which some clients take for a success (KAFKA-14034).
var engineCodes = []struct {
	err  error
	code protocol.ErrorCode
}{
	{engine.ErrOffsetOutOfRange, protocol.OffsetOutOfRange},
	{engine.ErrOutOfOrderSequence, protocol.OutOfOrderSequenceNumber},
	{engine.ErrInvalidProducerEpoch, protocol.InvalidProducerEpoch},
	{engine.ErrInvalidTxnState, protocol.InvalidTxnState},
	{engine.ErrTransactionCoordinatorFenced, protocol.TransactionCoordinatorFenced},
	{engine.ErrLogClosed, protocol.NotLeaderOrFollower},
	{engine.ErrStorage, protocol.KafkaStorageError}, // also of a whole log that is damaged
	{engine.ErrCorrupt, protocol.CorruptMessage},    // at an offset
}
