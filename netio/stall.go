package netio

import (
	"sync/atomic"
	"time"

	"kserver/sendfile"
)

// sendStall is how long a send of at most sendfile.MaxWindow bytes of a file, or
// the reading of one small range, takes at most when the bytes are in memory. One
// that takes longer has waited for the disk, and every connection of the loop with
// it: the range was evicted after its source had said that it is there. Once in a
// while it is only that the processor was taken away.
const sendStall = time.Millisecond

// stalledSend notes that n bytes of src at off took so long on the loop. A source that
// was wrong is told, so that it looks again before it says more.
func (l *Loop) stalledSend(src sendfile.Source, off int64, n int, took time.Duration) {
	if took < sendStall {
		return
	}
	l.stats.sendStalls.Add(1)
	l.stats.sendStalled.Add(int64(took))
	src.Missed(off, n)
}

// peak is the largest of the values of the last one to two minutes. One goroutine
// observes, any may read.
type peak struct {
	minute       atomic.Int64 // that current belongs to
	current, old atomic.Int64 // of the minute and of the one before
}

// observe takes a value at a time, both in nanoseconds.
func (p *peak) observe(v, now int64) {
	minute := now / int64(time.Minute)
	if last := p.minute.Load(); minute != last {
		old := int64(0)
		if minute == last+1 {
			old = p.current.Load()
		}
		p.old.Store(old)
		p.current.Store(0)
		p.minute.Store(minute)
	}
	if v > p.current.Load() {
		p.current.Store(v)
	}
}

// read returns the peak at a time in nanoseconds.
func (p *peak) read(now int64) int64 {
	switch now/int64(time.Minute) - p.minute.Load() {
	case 0:
		return max(p.current.Load(), p.old.Load())
	case 1:
		return p.current.Load()
	}
	return 0
}
