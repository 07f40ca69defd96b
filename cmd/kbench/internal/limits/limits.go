// Package limits measures what the machine itself can do, so that a benchmark result can be read as a share of it:
// synced writes, bytes from the page cache to a loopback socket, memory copies, loopback round trips.
//
// The figures are upper bounds of one stream on an otherwise idle machine. Several files or connections at once may
// reach more.
//
// Concurrency: run one Measure at a time; two would measure each other.
package limits

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"kserver/cmd/kbench/wire"
)

const (
	syncBlockBytes   = 4 << 10  // one small append per fdatasync
	streamBlockBytes = 1 << 20  // one large append per fdatasync
	fileBytes        = 64 << 20 // the file sent over loopback, and the area overwritten
	copyBytes        = 64 << 20 // larger than the caches
	maxSyncedBytes   = 1 << 30  // what the synced streams may write to the disk
	maxRoundTrips    = 1 << 20
)

// Limits are the machine's own figures. Rates are per second, sizes bytes.
type Limits struct {
	Dir string `json:"dir"` // where the disk was measured
	// SyncAppends is how often 4 KiB can be appended to a growing file with an fdatasync each.
	SyncAppends float64 `json:"sync_appends_per_second"`
	// SyncOverwrites is the same over blocks written before.
	SyncOverwrites float64 `json:"sync_overwrites_per_second"`
	// SyncedBytes is the rate of 1 MiB appends with an fdatasync each.
	SyncedBytes float64 `json:"synced_bytes_per_second"`
	// SendfileBytes is the rate from the page cache over loopback TCP to a reader that drops the bytes.
	SendfileBytes float64 `json:"sendfile_bytes_per_second"`
	// SendfileAnswers are the same bytes as answers to requests, with what they cost the sender.
	SendfileAnswers []Answers `json:"sendfile_answers,omitempty"`
	// CopyBytes is the rate of copying memory larger than the caches, one thread.
	CopyBytes float64 `json:"copy_bytes_per_second"`
	// RoundTrip is the median of one byte there and back over loopback TCP, between two threads that sleep.
	RoundTrip time.Duration `json:"round_trip_ns"`
}

// Measure measures everything, each part for about the given time. It uses at most some 1.2 GiB in dir for the
// moment.
func Measure(ctx context.Context, dir string, each time.Duration) (*Limits, error) {
	l := &Limits{Dir: dir}
	parts := []struct {
		name    string
		measure func(ctx context.Context, dir string, each time.Duration) error
	}{
		{"synced appends", l.syncAppends},
		{"synced overwrites", l.syncOverwrites},
		{"synced stream", l.syncedStream},
		{"sendfile", l.sendfile},
		{"sendfile answers", l.sendfileAnswers},
		{"memory copy", l.memoryCopy},
		{"round trip", l.roundTrip},
	}
	for _, p := range parts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.measure(ctx, dir, each); err != nil {
			return nil, fmt.Errorf("measure %s: %w", p.name, err)
		}
	}
	return l, nil
}

// withFile runs f with a new file in dir and removes the file.
func withFile(dir string, f func(*os.File) error) (err error) {
	file, err := os.CreateTemp(dir, "kbench-limits-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	return f(file)
}

// timed calls step until the time is over or ctx ends and returns calls per second.
func timed(ctx context.Context, each time.Duration, most int, step func(i int) error) (float64, error) {
	start := time.Now()
	n := 0
	for n < most && (n == 0 || time.Since(start) < each) && ctx.Err() == nil {
		if err := step(n); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

func (l *Limits) syncAppends(ctx context.Context, dir string, each time.Duration) error {
	return withFile(dir, func(f *os.File) (err error) {
		block := make([]byte, syncBlockBytes)
		l.SyncAppends, err = timed(ctx, each, maxSyncedBytes/syncBlockBytes, func(i int) error {
			return writeSync(f, block, int64(i)*syncBlockBytes)
		})
		return err
	})
}

func (l *Limits) syncOverwrites(ctx context.Context, dir string, each time.Duration) error {
	return withFile(dir, func(f *os.File) (err error) {
		if err := writeSync(f, make([]byte, fileBytes), 0); err != nil {
			return err
		}
		block := make([]byte, syncBlockBytes)
		l.SyncOverwrites, err = timed(ctx, each, maxSyncedBytes/syncBlockBytes, func(i int) error {
			return writeSync(f, block, int64(i)*syncBlockBytes%fileBytes)
		})
		return err
	})
}

func (l *Limits) syncedStream(ctx context.Context, dir string, each time.Duration) error {
	return withFile(dir, func(f *os.File) error {
		block := make([]byte, streamBlockBytes)
		rate, err := timed(ctx, each, maxSyncedBytes/streamBlockBytes, func(i int) error {
			return writeSync(f, block, int64(i)*streamBlockBytes)
		})
		l.SyncedBytes = rate * streamBlockBytes
		return err
	})
}

// loopback runs serve on one end of a loopback TCP connection and use on the other, and joins their errors.
func loopback(serve, use func(*net.TCPConn) error) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			err = errors.Join(serve(c.(*net.TCPConn)), c.Close())
		}
		served <- err
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return errors.Join(err, ln.Close(), <-served)
	}
	err = errors.Join(use(c.(*net.TCPConn)), c.Close())
	return errors.Join(err, <-served, ln.Close())
}

func (l *Limits) sendfile(ctx context.Context, dir string, each time.Duration) error {
	return withFile(dir, func(f *os.File) error {
		if _, err := f.Write(make([]byte, fileBytes)); err != nil {
			return err
		}
		return loopback(func(c *net.TCPConn) error { // the reader
			raw, err := c.SyscallConn()
			if err != nil {
				return err
			}
			buf := make([]byte, streamBlockBytes)
			for {
				if _, err := wire.Drop(raw, buf, len(buf)); err != nil {
					if errors.Is(err, io.ErrUnexpectedEOF) {
						return nil
					}
					return err
				}
			}
		}, func(c *net.TCPConn) error {
			rate, err := timed(ctx, each, 1<<20, func(int) error {
				if _, err := f.Seek(0, io.SeekStart); err != nil {
					return err
				}
				_, err := c.ReadFrom(f) // sendfile(2)
				return err
			})
			l.SendfileBytes = rate * fileBytes
			return err
		})
	})
}

func (l *Limits) memoryCopy(ctx context.Context, _ string, each time.Duration) error {
	a, b := make([]byte, copyBytes), make([]byte, copyBytes)
	for i := range a { // touch every page before the clock runs
		a[i], b[i] = 1, 2
	}
	rate, err := timed(ctx, each, 1<<20, func(int) error { copy(b, a); return nil })
	l.CopyBytes = rate * copyBytes
	return err
}

func (l *Limits) roundTrip(ctx context.Context, _ string, each time.Duration) error {
	return loopback(func(c *net.TCPConn) error {
		var b [1]byte
		for {
			if _, err := c.Read(b[:]); err != nil {
				if err == io.EOF {
					return nil
				}
				return err
			}
			if _, err := c.Write(b[:]); err != nil {
				return err
			}
		}
	}, func(c *net.TCPConn) error {
		var b [1]byte
		var took []time.Duration
		_, err := timed(ctx, each, maxRoundTrips, func(int) error {
			start := time.Now()
			if _, err := c.Write(b[:]); err != nil {
				return err
			}
			if _, err := c.Read(b[:]); err != nil {
				return err
			}
			took = append(took, time.Since(start))
			return nil
		})
		if len(took) > 0 {
			slices.Sort(took)
			l.RoundTrip = took[len(took)/2]
		}
		return err
	})
}
