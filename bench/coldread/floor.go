package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kserver/bench/internal/observe"
)

// The floor is what the kernel leaves a broker: the same load by the fewest system calls, without a protocol. A thread
// for each producer's connection takes 10 KB, appends them to a file, syncs it and answers. A thread for each reader
// asks for 256 KiB of the cold log, waits for them, sends them with sendfile(2) to a thread that drops them in the
// kernel, and has what was sent dropped from the page cache; it reads no faster than the broker's readers did, one piece
// at a time, and begins no read while a sync runs, for a millisecond at most.
const (
	floorPiece = 256 << 10
	floorLag   = 8 << 20 // from what is sent to what is dropped
	floorYield = time.Millisecond
)

type floor struct {
	o       *options
	syncing atomic.Int32
	stop    chan struct{} // closed when the first reader is through, or the time is up
	stopped sync.Once
	acked   latencies
}

// measureFloor measures the floor alone and beside readers of so many bytes per second together, which is 0 for none.
func (o *options) measureFloor(ctx context.Context, dir string, rate float64) (ph phase, err error) {
	f := &floor{o: o, stop: make(chan struct{})}
	tmp, err := os.MkdirTemp(o.BaseDir, "coldread-floor-*")
	if err != nil {
		return ph, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := sleep(ctx, settle); err != nil {
		return ph, err
	}
	var wg sync.WaitGroup
	errs := make([]error, o.producers+o.readers)
	stolen, begin := observe.Stolen(), time.Now()
	for i := range o.producers {
		wg.Go(func() {
			errs[i] = f.onConnection(func(c int) error { return f.produce(c, i, begin) }, func(s int) error { return f.serve(s, filepath.Join(tmp, strconv.Itoa(i))) })
		})
	}
	if rate > 0 {
		ph.read = make([]transfer, o.readers)
		for i := range o.readers {
			wg.Go(func() {
				errs[o.producers+i] = f.onConnection(func(c int) error { return drain(c) }, func(s int) error {
					defer f.end()
					return f.read(s, dir, i, rate/float64(o.readers), &ph.read[i])
				})
			})
		}
	} else {
		_ = sleep(ctx, o.quiet) // what ends it early ends the program
		f.end()
	}
	wg.Wait()
	ph.took, ph.stolen, ph.produce = time.Since(begin), observe.Stolen()-stolen, f.acked.sorted()
	return ph, errors.Join(append(errs, ctx.Err())...)
}

func (f *floor) end() { f.stopped.Do(func() { close(f.stop) }) }

func (f *floor) ended() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// onConnection gives each end of a new connection to a thread, as blocking descriptors. The serving end is closed when
// its function returns, and the client's afterwards.
func (f *floor) onConnection(client func(c int) error, serve func(s int) error) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return err
	}
	b, err := ln.Accept()
	if err != nil {
		return errors.Join(err, a.Close())
	}
	fa, aerr := a.(*net.TCPConn).File()
	fb, berr := b.(*net.TCPConn).File()
	if err := errors.Join(aerr, berr, a.Close(), b.Close()); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := serve(int(fb.Fd()))
		done <- errors.Join(err, fb.Close())
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = client(int(fa.Fd()))
	if serr := unix.Shutdown(int(fa.Fd()), unix.SHUT_RDWR); serr != unix.ENOTCONN {
		err = errors.Join(err, serr)
	}
	return errors.Join(err, <-done, fa.Close())
}

// produce sends one producer's share of the schedule, each request after the answer to the one before.
func (f *floor) produce(fd, index int, begin time.Time) error {
	finerTimers()
	b := make([]byte, f.o.batchBytes)
	interval := float64(time.Second) * float64(f.o.producers) / f.o.rate
	for i := 0; !f.ended(); i++ {
		due := begin.Add(time.Duration(interval * (float64(i) + float64(index)/float64(f.o.producers))))
		sleepUntil(due)
		if err := writeAll(fd, b); err != nil {
			return err
		}
		if n, err := unix.Read(fd, b[:1]); n != 1 {
			return fmt.Errorf("no answer: %d, %w", n, err)
		}
		f.acked.add(time.Since(due))
	}
	return nil
}

// serve answers what a producer sends, until it is gone.
func (f *floor) serve(fd int, name string) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	b := make([]byte, f.o.batchBytes)
	for at := int64(0); ; at += int64(len(b)) {
		n, _, err := unix.Recvfrom(fd, b, unix.MSG_WAITALL)
		if n == 0 || err != nil {
			return err
		}
		if _, err := unix.Pwrite(int(file.Fd()), b[:n], at); err != nil {
			return err
		}
		f.syncing.Add(1)
		err = unix.Fdatasync(int(file.Fd()))
		f.syncing.Add(-1)
		if err != nil {
			return err
		}
		if err := writeAll(fd, b[:1]); err != nil {
			return err
		}
	}
}

// read sends a partition of the cold log.
func (f *floor) read(fd int, dir string, partition int, rate float64, got *transfer) error {
	names, err := segments(dir, coldTopic+"-"+strconv.Itoa(partition))
	if err != nil {
		return err
	}
	finerTimers()
	began := time.Now()
	for _, name := range names {
		if err := f.readFile(fd, name, rate, began, got); err != nil {
			return err
		}
	}
	return nil
}

func (f *floor) readFile(fd int, name string, rate float64, began time.Time, got *transfer) (err error) {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	in := int(file.Fd())
	for at := int64(0); at < st.Size() && !f.ended(); {
		sleepUntil(began.Add(time.Duration(float64(got.bytes) / rate * float64(time.Second))))
		for until := time.Now().Add(floorYield); f.syncing.Load() > 0 && time.Now().Before(until); {
			sleepUntil(time.Now().Add(20 * time.Microsecond))
		}
		n := min(floorPiece, st.Size()-at)
		_ = unix.Fadvise(in, at, n, unix.FADV_WILLNEED)
		for _, p := range []int64{at, at + n - 1} {
			if _, err := unix.Pread(in, make([]byte, 1), p); err != nil {
				return err
			}
		}
		for end := at + n; at < end; {
			if _, err := unix.Sendfile(fd, in, &at, int(end-at)); err != nil && err != unix.EINTR {
				return err
			}
		}
		if at > floorLag {
			_ = unix.Fadvise(in, at-floorLag-n, n, unix.FADV_DONTNEED)
		}
		got.bytes += n
		got.took = time.Since(began)
	}
	return nil
}

// drain drops what arrives.
func drain(fd int) error {
	b := make([]byte, 1<<20)
	for {
		switch n, _, err := unix.Recvfrom(fd, b, unix.MSG_TRUNC); {
		case err == unix.EINTR:
		case n == 0 || err != nil:
			return err
		}
	}
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}
