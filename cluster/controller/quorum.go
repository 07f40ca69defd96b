package controller

import (
	"errors"
)

// Quorum puts batches of metadata records into one order and keeps them. The
// local implementation is a single voter on one log; a replicated one takes its
// place without the controller changing.
type Quorum interface {
	// Start hands every batch committed so far to apply, in order, before it
	// returns, and every batch committed later, from one goroutine at a time.
	// An error of apply during Start ends Start with it; later it is the answer
	// of Propose for that batch, and the batch stays committed.
	Start(apply func(Committed) error) error
	// Propose commits the batches, in order and each as a whole, and returns one
	// error for each: nil once it is committed and applied, ErrNotCommitted,
	// wrapped, when it is not known to be committed, else what apply said. It
	// keeps nothing of the slices. Only one goroutine proposes at a time.
	Propose(batches [][]Record) []error
	// Close ends the quorum after the last Propose. It does not close the log.
	Close() error
}

// Committed is one batch of the metadata log.
type Committed struct {
	// BaseOffset is the offset of the first record.
	BaseOffset int64
	// LastOffset is the offset of the last record. A control batch has offsets
	// but no Records.
	LastOffset int64
	Records    []Record
}

// ErrNotCommitted says that the metadata log could not be written, or was not
// known to be written when the quorum gave up.
var ErrNotCommitted = errors.New("controller: metadata not committed")
