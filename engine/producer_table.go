package engine

import "iter"

// producerTable finds producers by id. Nearly every partition that has any has one, for which it takes no map.
type producerTable struct {
	id   int64          // of one
	one  *producerEntry // the only producer, or nil
	many map[int64]*producerEntry
}

// get returns the producer of that id, or nil.
func (t *producerTable) get(id int64) *producerEntry {
	if t.one != nil && t.id == id {
		return t.one
	}
	return t.many[id]
}

// add adds a producer that is not there.
func (t *producerTable) add(id int64, e *producerEntry) {
	if t.len() == 0 {
		t.id, t.one = id, e
		return
	}
	if t.many == nil {
		t.many = make(map[int64]*producerEntry)
	}
	if t.one != nil {
		t.many[t.id], t.one = t.one, nil
	}
	t.many[id] = e
}

// remove removes a producer that is there.
func (t *producerTable) remove(id int64) {
	if t.one != nil {
		*t = producerTable{}
		return
	}
	delete(t.many, id)
	if len(t.many) == 0 {
		t.many = nil
	}
}

func (t *producerTable) len() int {
	if t.one != nil {
		return 1
	}
	return len(t.many)
}

// all iterates in no order. The producer at hand may be removed.
func (t *producerTable) all() iter.Seq2[int64, *producerEntry] {
	return func(yield func(int64, *producerEntry) bool) {
		if t.one != nil {
			yield(t.id, t.one)
			return
		}
		for id, e := range t.many {
			if !yield(id, e) {
				return
			}
		}
	}
}
