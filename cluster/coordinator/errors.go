package coordinator

import (
	"errors"

	"kserver/protocol"
)

// ErrUnloaded ends a replay whose shard was unloaded meanwhile.
var ErrUnloaded = errors.New("coordinator: shard was unloaded")

// AppendError maps the error of a write to what coordinator clients understand
// (Kafka's CoordinatorOperationExceptionHelper): they retry, or look for the
// coordinator again. nil gives NONE.
func AppendError(err error) protocol.ErrorCode {
	switch code := protocol.CodeOf(err); code {
	case protocol.NetworkException:
		return protocol.CoordinatorLoadInProgress
	case protocol.UnknownTopicOrPartition, protocol.NotEnoughReplicas,
		protocol.NotEnoughReplicasAfterAppend, protocol.RequestTimedOut:
		return protocol.CoordinatorNotAvailable
	case protocol.NotLeaderOrFollower, protocol.KafkaStorageError:
		return protocol.NotCoordinator
	case protocol.MessageTooLarge, protocol.RecordListTooLarge, protocol.InvalidFetchSize:
		return protocol.UnknownServerError
	default:
		return code
	}
}
