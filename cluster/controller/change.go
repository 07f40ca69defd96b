package controller

import (
	"context"
	"slices"

	"kserver/protocol"
)

// Permit is asked before a change creates or deletes so many partitions; an error
// is the answer instead (KIP-599). It runs on the controller's goroutine, also
// after the request it is for has timed out. A nil Permit allows all.
type Permit func(partitions int) *protocol.Error

func (p Permit) ask(partitions int) *protocol.Error {
	if p == nil {
		return nil
	}
	return p(partitions)
}

// changeEach carries out a request whose parts succeed or fail one by one. plan
// returns their results and the records of those in order, and fail the results
// when all fail for one reason: too many records, a lost change, or the end of
// ctx, after which the change may still be made. With validateOnly nothing is
// changed.
func changeEach[R any](ctx context.Context, c *Controller, validateOnly bool, plan func(*MetadataImage) ([]R, []Record), fail func(error) []R) []R {
	var results []R
	err := c.execute(ctx, func(image *MetadataImage) []Record {
		var records []Record
		if results, records = plan(image); len(records) > maxRecordsPerBatch {
			results, records = fail(errTooLarge), nil
		}
		if validateOnly {
			return nil
		}
		return records
	})
	if err != nil {
		return fail(err) // plan may be writing results
	}
	return results
}

// errTooLarge is Kafka's answer to a request of more records than a batch holds.
var errTooLarge = protocol.Errorf(protocol.PolicyViolation, "Unable to perform excessively large batch operation.")

// allFail answers n parts, of which nothing but the error is told, with the same
// one.
func allFail(n int) func(error) []*protocol.Error {
	return func(err error) []*protocol.Error { return slices.Repeat([]*protocol.Error{asError(err)}, n) }
}
