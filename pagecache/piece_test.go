package pagecache

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPieceTableAgainstModel compares it with a plain list.
func TestPieceTableAgainstModel(t *testing.T) {
	const limit = 8
	table := newPieceTable(limit)
	var model []pieceKey // cached, newest last
	coming := map[pieceKey]bool{}
	settle := func(k pieceKey) {
		if model = append(model, k); len(model) > limit {
			model = model[1:]
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		k := pieceKey{FileID(rng.IntN(3)), int64(rng.IntN(8))}
		p, i := table.get(k), slices.Index(model, k)
		switch {
		case p == nil && rng.IntN(2) == 0:
			table.found(k)
			settle(k)
		case p == nil:
			table.queue(k, false)
			coming[k] = true
		case coming[k]:
			delete(coming, k)
			if rng.IntN(4) == 0 {
				table.remove(p)
			} else {
				table.settle(p, true)
				settle(k)
			}
		case rng.IntN(4) == 0:
			table.remove(p)
			model = slices.Delete(model, i, i+1)
		case rng.IntN(50) == 0:
			table.forget(k.file)
			model = slices.DeleteFunc(model, func(o pieceKey) bool { return o.file == k.file })
		default:
			table.touch(p)
			model = append(slices.Delete(model, i, i+1), k)
		}
		for file := range FileID(3) {
			for index := range int64(8) {
				k := pieceKey{file, index}
				p := table.get(k)
				if known := slices.Contains(model, k) || coming[k]; known != (p != nil) || p != nil && (p.key != k || (p.state == pieceComing) != coming[k]) {
					t.Fatalf("%v: %+v, cached %v, coming %v", k, p, model, coming)
				}
			}
		}
		if table.cached != len(model) {
			t.Fatalf("%d cached, want %d", table.cached, len(model))
		}
	}
}

func TestPassedQueue(t *testing.T) {
	var q passedQueue
	next, oldest := int64(0), int64(0)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100_000 {
		if rng.IntN(5) < 3 {
			q.push(passedPiece{key: pieceKey{1, next}})
			next++
			oldest = max(oldest, next-maxPassed)
		} else if q.len() > 0 {
			if got := q.first().key.index; got != oldest {
				t.Fatalf("first is %d, want %d", got, oldest)
			}
			q.pop()
			oldest++
		}
		if int64(q.len()) != next-oldest {
			t.Fatalf("%d wait, want %d", q.len(), next-oldest)
		}
	}
}
