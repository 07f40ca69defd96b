package cluster

import (
	"sync"
	"testing"
)

func TestWorkers(t *testing.T) {
	w := newWorkers(3, 1, 100<<20)
	var mu sync.Mutex
	running, most, heavy, mostHeavy, done := 0, 0, 0, 0, 0
	for i := range 100 {
		bytes, isHeavy := int64(10), 0
		if i%2 == 1 {
			bytes, isHeavy = lightBytes+1, 1
		}
		w.Do(bytes, func() {
			mu.Lock()
			running++
			heavy += isHeavy
			most, mostHeavy = max(most, running), max(mostHeavy, heavy)
			mu.Unlock()
			mu.Lock()
			running--
			heavy -= isHeavy
			done++
			mu.Unlock()
		})
	}
	w.Close()
	if done != 100 || most > 3 || mostHeavy > 1 {
		t.Fatalf("%d done, %d at a time, %d of them heavy; want 100, at most 3 and 1", done, most, mostHeavy)
	}
	w.Do(0, func() { done++ })
	if done != 101 {
		t.Fatal("work after Close was dropped")
	}
}

// Heavy tasks run beside each other while their memory allows it, one always
// does, and light ones never wait for them.
func TestWorkersMemory(t *testing.T) {
	const unit = lightBytes + 1
	w := newWorkers(4, 3, 2*unit)
	started, release := make(chan string, 10), make(chan struct{})
	heavy := func(name string, units int64) {
		w.Do(units*unit, func() { started <- name; <-release })
	}
	heavy("larger than all memory", 9)
	if got := <-started; got != "larger than all memory" {
		t.Fatal(got)
	}
	heavy("a", 1)
	heavy("b", 1)
	heavy("c", 1)
	for range 5 { // all the free goroutines, again and again
		done := make(chan struct{})
		w.Do(0, func() { close(done) })
		<-done
	}
	if len(started) > 0 {
		t.Fatalf("%s began beside one that takes all memory", <-started)
	}
	release <- struct{}{}
	if a, b := <-started, <-started; a+b != "ab" && a+b != "ba" {
		t.Fatal(a, b)
	}
	done := make(chan struct{})
	w.Do(0, func() { close(done) })
	<-done
	if len(started) > 0 {
		t.Fatal("the third began beside two that take all memory")
	}
	close(release)
	w.Close()
	if got := <-started; got != "c" {
		t.Fatal(got)
	}
}

// Light and heavy tasks take turns.
func TestWorkersTakeTurns(t *testing.T) {
	w := newWorkers(1, 1, 1<<30)
	begun, hold := make(chan struct{}), make(chan struct{})
	w.Do(0, func() { close(begun); <-hold })
	<-begun
	var order string
	for range 3 {
		w.Do(0, func() { order += "l" })
	}
	for range 3 {
		w.Do(lightBytes+1, func() { order += "H" })
	}
	close(hold)
	w.Close()
	if order != "HlHlHl" {
		t.Fatal(order)
	}
}

// A pool that is made smaller ends goroutines as they become free, and one that is
// made larger starts them for what waits.
func TestWorkersResize(t *testing.T) {
	w := newWorkers(1, 1, 0)
	gate, begun := make(chan struct{}), make(chan struct{}, 8)
	for range 4 {
		w.Do(0, func() { begun <- struct{}{}; <-gate })
	}
	<-begun
	w.Resize(4)
	for range 3 {
		<-begun // all four at a time
	}
	w.Resize(2)
	for range 4 {
		gate <- struct{}{}
	}
	running := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.running
	}
	waitFor(t, "two are left", func() bool { return running() == 2 })
	for range 100 { // the two that wait are enough
		done := make(chan struct{})
		w.Do(0, func() { close(done) })
		<-done
	}
	if n := running(); n != 2 {
		t.Errorf("%d goroutines", n)
	}
	w.Close()
}
