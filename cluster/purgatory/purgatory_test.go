package purgatory

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
)

type recorder struct {
	mu   sync.Mutex
	got  []int32
	errs []error
}

func (r *recorder) Reached(token int32, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.errs = append(r.got, token), append(r.errs, err)
}

func TestOffsetQueueServesInOrder(t *testing.T) {
	var q OffsetQueue
	r := &recorder{}
	for _, o := range []int64{5, 3, 9, 7} {
		if already, err := q.Wait(o, r, int32(o)); already || err != nil {
			t.Fatalf("Wait(%d) = %v, %v", o, already, err)
		}
	}
	q.Advance(2)
	if len(r.got) != 0 {
		t.Fatalf("served %v before their offset", r.got)
	}
	q.Advance(7)
	if want := []int32{3, 5, 7}; len(r.got) != 3 || r.got[0] != want[0] || r.got[1] != want[1] || r.got[2] != want[2] {
		t.Fatalf("served %v, want %v", r.got, want)
	}
	if already, _ := q.Wait(7, r, 70); !already {
		t.Fatal("an offset that is reached had to wait")
	}
	q.Advance(6) // overtaken signal
	if q.Len() != 1 {
		t.Fatalf("%d waiters left, want 1", q.Len())
	}
}

func TestOffsetQueueFail(t *testing.T) {
	var q OffsetQueue
	r := &recorder{}
	boom := errors.New("boom")
	q.Wait(5, r, 1)
	q.Fail(boom)
	if len(r.errs) != 1 || !errors.Is(r.errs[0], boom) {
		t.Fatalf("waiter got %v, want %v", r.errs, boom)
	}
	if _, err := q.Wait(9, r, 2); !errors.Is(err, boom) {
		t.Fatalf("Wait after Fail = %v, want %v", err, boom)
	}
	q.Advance(100)
	if len(r.got) != 1 {
		t.Fatalf("a failed queue served %v", r.got)
	}
}

// Every waiter is served exactly once whatever the order of Wait and Advance.
func TestOffsetQueueConcurrent(t *testing.T) {
	var q OffsetQueue
	r := &recorder{}
	const n = 2000
	var wg sync.WaitGroup
	var served sync.Map
	for g := range 4 {
		wg.Go(func() {
			for i := range n {
				token := int32(g*n + i)
				already, err := q.Wait(int64(i+rand.IntN(3)), r, token)
				if err != nil {
					t.Error(err)
				}
				if already {
					served.Store(token, true)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range int64(n) {
			q.Advance(i)
		}
	})
	wg.Wait()
	q.Advance(n + 10)
	for _, tok := range r.got {
		if _, twice := served.LoadOrStore(tok, true); twice {
			t.Fatalf("waiter %d served twice", tok)
		}
	}
	count := 0
	served.Range(func(any, any) bool { count++; return true })
	if count != 4*n {
		t.Fatalf("%d waiters served, want %d", count, 4*n)
	}
}

type countdown struct{ left int }

func (c *countdown) Signal(int32) bool { c.left--; return c.left <= 0 }

func TestWatchersDropTheDone(t *testing.T) {
	var s Watchers
	a, b := &countdown{1}, &countdown{3}
	s.Watch(a, 0)
	s.Watch(b, 0)
	s.Signal()
	if s.Len() != 1 {
		t.Fatalf("%d watchers left, want 1", s.Len())
	}
	s.Forget(b, 1) // another token: not this watch
	s.Signal()
	s.Forget(b, 0)
	if s.Len() != 0 || b.left != 1 {
		t.Fatalf("watchers %d, signals left %d; want 0 and 1", s.Len(), b.left)
	}
}

func TestDelayedCompletesOnce(t *testing.T) {
	var d Delayed
	var wg sync.WaitGroup
	wins := make(chan bool, 16)
	for range 16 {
		wg.Go(func() { wins <- d.Complete() })
	}
	wg.Wait()
	close(wins)
	n := 0
	for w := range wins {
		if w {
			n++
		}
	}
	if n != 1 || !d.Completed() {
		t.Fatalf("%d winners, want 1", n)
	}
}

func TestOffsetQueueHoldsNothingWhenNobodyWaits(t *testing.T) {
	var q OffsetQueue
	r := &recorder{}
	for round := range int64(3) {
		for i := range int64(5) {
			q.Wait(10*round+i+1, r, int32(10*round+i))
		}
		q.Advance(10*round + 2)
		if q.Len() != 3 || len(r.got) != int(5*round)+2 {
			t.Fatalf("%d wait, %v were served", q.Len(), r.got)
		}
		q.Advance(10*round + 5)
		if q.waiting != nil || q.Len() != 0 || len(r.got) != int(5*round)+5 {
			t.Fatalf("%d wait, %v were served", q.Len(), r.got)
		}
	}
	for i, token := range r.got {
		if want := int32(i/5*10 + i%5); token != want {
			t.Fatalf("served %v", r.got)
		}
	}
}
