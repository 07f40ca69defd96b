package engine

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// A table is what a map would be, whatever the number of its producers has been.
func TestProducerTable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var table producerTable
	model := map[int64]*producerEntry{}
	alone := 0
	for range 10_000 {
		id := random.Int64N(4)
		switch {
		case model[id] == nil:
			model[id] = &producerEntry{lastTimestamp: id}
			table.add(id, model[id])
		case random.IntN(3) > 0:
			delete(model, id)
			table.remove(id)
		case random.IntN(10) == 0:
			for id := range table.all() {
				if id%2 == 0 {
					delete(model, id)
					table.remove(id)
				}
			}
		}
		if got := maps.Collect(table.all()); !maps.Equal(got, model) || table.len() != len(model) {
			t.Fatalf("%v, %d, want %v", got, table.len(), model)
		}
		for id := range int64(4) {
			if table.get(id) != model[id] {
				t.Fatalf("%d is %v, want %v", id, table.get(id), model[id])
			}
		}
		if table.many == nil && table.one != nil {
			alone++
		}
	}
	if alone == 0 || alone == 10_000 {
		t.Errorf("%d times one alone", alone)
	}
}
