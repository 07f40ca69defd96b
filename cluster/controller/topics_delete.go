package controller

import (
	"context"

	"kserver/protocol"
)

// TopicRef names a topic by name or by id, as DeleteTopics v6 does: exactly one
// is to be given.
type TopicRef struct {
	Name *string
	ID   UUID
}

// DeleteResult is the answer for one TopicRef. Name and ID are both set for a
// topic that was found; otherwise they are the request's.
type DeleteResult struct {
	Name *string
	ID   UUID
	Err  *protocol.Error
}

// DeleteTopics deletes topics, each independently of the others, and returns
// their results in the order given; what is given twice has one, an error. When
// ctx ends first, every answer is REQUEST_TIMED_OUT and topics may still be
// deleted.
func (c *Controller) DeleteTopics(ctx context.Context, refs []TopicRef, permit Permit) []DeleteResult {
	if c.cfg.DisableDelete {
		return failRefs(refs, &protocol.Error{Code: protocol.TopicDeletionDisabled})
	}
	return changeEach(ctx, c, false,
		func(image *MetadataImage) ([]DeleteResult, []Record) { return planDeletes(image, refs, permit) },
		func(err error) []DeleteResult { return failRefs(refs, err) })
}

// failRefs answers every topic of a request with the same error.
func failRefs(refs []TopicRef, err error) []DeleteResult {
	results := make([]DeleteResult, len(refs))
	for i, ref := range refs {
		results[i] = DeleteResult{Name: ref.Name, ID: ref.ID, Err: asError(err)}
	}
	return results
}

// planDeletes checks a request and returns its results and the records that
// delete what is in order.
func planDeletes(image *MetadataImage, refs []TopicRef, permit Permit) ([]DeleteResult, []Record) {
	names, ids := make(map[string]int, len(refs)), make(map[UUID]int, len(refs))
	for _, ref := range refs {
		switch {
		case ref.Name != nil && ref.ID.IsZero():
			names[*ref.Name]++
		case ref.Name == nil && !ref.ID.IsZero():
			ids[ref.ID]++
		}
	}
	results := make([]DeleteResult, 0, len(refs))
	var records []Record
	for _, ref := range refs {
		if ref.Name != nil && names[*ref.Name] < 0 || ref.Name == nil && ids[ref.ID] < 0 {
			continue // a duplicate that was answered before
		}
		t, err := findDeletable(image, ref, names, ids)
		if err == nil {
			err = permit.ask(len(t.Partitions))
		}
		result := DeleteResult{Name: ref.Name, ID: ref.ID, Err: err}
		if t != nil {
			name := t.Name
			result.Name, result.ID = &name, t.ID
		}
		if err == nil {
			records = append(records, &RemoveTopicRecord{ID: t.ID})
		}
		results = append(results, result)
	}
	return results, records
}

// findDeletable finds the topic ref names. names and ids count how often the
// request names each; it makes the count of what is given twice negative, as a
// sign that it has been answered. The topic may be found and still be refused.
func findDeletable(image *MetadataImage, ref TopicRef, names map[string]int, ids map[UUID]int) (*Topic, *protocol.Error) {
	switch {
	case ref.Name == nil && ref.ID.IsZero():
		return nil, protocol.Errorf(protocol.InvalidRequest, "Neither topic name nor id were specified.")
	case ref.Name != nil && !ref.ID.IsZero():
		return nil, protocol.Errorf(protocol.InvalidRequest, "You may not specify both topic name and topic id.")
	case ref.Name == nil:
		if ids[ref.ID] > 1 {
			ids[ref.ID] = -1
			return nil, protocol.Errorf(protocol.InvalidRequest, "Duplicate topic id.")
		}
		t, ok := image.TopicByID(ref.ID)
		if !ok {
			return nil, unknown(protocol.UnknownTopicID)
		}
		if names[t.Name] == 1 {
			names[t.Name], ids[t.ID] = -1, -1
			return t, errNameAndID
		}
		return t, nil
	}
	if names[*ref.Name] > 1 {
		names[*ref.Name] = -1
		return nil, protocol.Errorf(protocol.InvalidRequest, "Duplicate topic name.")
	}
	t, ok := image.Topic(*ref.Name)
	if !ok {
		return nil, unknown(protocol.UnknownTopicOrPartition)
	}
	if ids[t.ID] != 0 {
		names[t.Name], ids[t.ID] = -1, -1
		return t, errNameAndID
	}
	return t, nil
}

// unknown is the answer for a topic that is not there, which, unlike others,
// Kafka gives with the code's own message.
func unknown(code protocol.ErrorCode) *protocol.Error {
	return &protocol.Error{Code: code, Message: code.Message()}
}

// errNameAndID refuses a topic that one request names in both ways.
var errNameAndID = protocol.Errorf(protocol.InvalidRequest, "The provided topic name maps to an ID that was already supplied.")
