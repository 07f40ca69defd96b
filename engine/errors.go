package engine

import (
	"errors"
	"fmt"
)

// Errors of this package. Test for them with errors.Is; the error at hand usually wraps one of these with
// the partition, the offset or the path.
var (
	// ErrOffsetOutOfRange: the offset is below the log start or above the log end. Kafka code 1.
	ErrOffsetOutOfRange = errors.New("offset out of range")

	// ErrOutOfOrderSequence: the batch does not continue its producer's sequence. Kafka code 45.
	ErrOutOfOrderSequence = errors.New("out of order sequence number")

	// ErrInvalidProducerEpoch: the producer's epoch is older than the one known here. Kafka code 47.
	ErrInvalidProducerEpoch = errors.New("producer epoch is fenced")

	// ErrInvalidTxnState: a batch outside a transaction from a producer that has one open. Kafka code 48.
	ErrInvalidTxnState = errors.New("invalid transaction state")

	// ErrTransactionCoordinatorFenced: a marker from a coordinator older than the one known. Kafka code 52.
	ErrTransactionCoordinatorFenced = errors.New("transaction coordinator is fenced")

	// ErrStorage: the log directory is offline, or the write was refused by a full disk. Kafka code 56,
	// which clients retry. What the failed request wrote is not in the log when the disk was full
	// (errors.Is(err, ErrDiskFull)), and unknown otherwise.
	ErrStorage = errors.New("storage error")

	// ErrDiskFull: no space was left for an append; always together with ErrStorage. The directory stays
	// online and appends work again as soon as there is space.
	ErrDiskFull = errors.New("no space left for the append")

	// ErrLogClosed: the log was deleted, or the manager closed. Kafka code 3 or 6, as the caller knows.
	ErrLogClosed = errors.New("log is closed")

	// ErrLocked: another process uses the log directory.
	ErrLocked = errors.New("log directory is locked by another process")

	// ErrTopicIDMismatch: Create found the partition's directory owned by another topic id.
	ErrTopicIDMismatch = errors.New("partition directory belongs to another topic id")

	// ErrCorrupt: bytes below the durable end do not check; the message says where. Kafka code 2.
	ErrCorrupt = errors.New("corrupt log")

	// ErrUnexpectedOffset: AppendAsFollower got batches that do not continue the log.
	ErrUnexpectedOffset = errors.New("batch does not continue the log")

	// ErrCostly: validating the batch takes more than AppendOptions.MaxDecompressed allows. Nothing was
	// appended; without the limit the same append may succeed.
	ErrCostly = errors.New("batch takes long to validate")

	// ErrWouldBlock: ReadNoWait needs index or header bytes that are not in the page cache.
	ErrWouldBlock = errors.New("read would wait for the disk")
)

// storageError marks err as final for the directory at path.
func storageError(path string, err error) error {
	return fmt.Errorf("%w: log directory %s: %w", ErrStorage, path, err)
}
