package uring

import (
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds and defaults of Options.
const (
	DefaultEntries   = 256
	DefaultCQEntries = 4096
	maxEntries       = 1 << 15 // IORING_MAX_ENTRIES
)

// Options say how large a ring is and who may use it. The zero value is fit for
// one event loop or one committer.
type Options struct {
	// Entries is the number of submission entries, rounded up to a power of two
	// by the kernel; a fuller queue is submitted early. Default 256, at most
	// 32768.
	Entries uint32
	// CQEntries is the number of completion entries, at least Entries; the
	// kernel keeps what does not fit aside, at a price. Default 4096.
	CQEntries uint32
	// AnyThread gives up the one-thread set-up, which is the fast one, so that
	// calls may come from changing threads, one at a time.
	AnyThread bool
}

func (o *Options) ensureDefaults() error {
	if o.Entries == 0 {
		o.Entries = DefaultEntries
	}
	if o.CQEntries == 0 {
		o.CQEntries = max(DefaultCQEntries, o.Entries)
	}
	if o.Entries > maxEntries || o.CQEntries < o.Entries || o.CQEntries > 2*maxEntries {
		return fmt.Errorf("uring: %d and %d entries: want at most %d, and no fewer completions than submissions",
			o.Entries, o.CQEntries, maxEntries)
	}
	return nil
}

// setups are the flag sets to try, best first: a kernel refuses what it does not
// know with EINVAL.
func (o *Options) setups() []uint32 {
	s := []uint32{
		SetupCQSize | SetupSubmitAll | SetupSingleIssuer | SetupDeferTaskrun, // Linux 6.1
		SetupCQSize | SetupSubmitAll | SetupCoopTaskrun,                      // Linux 5.19
		SetupCQSize, // Linux 5.5
	}
	if o.AnyThread {
		return s[1:]
	}
	return s
}

// Counters count since the ring was made.
type Counters struct {
	Enters    uint64 // io_uring_enter calls
	Submitted uint64 // entries the kernel has taken
	Completed uint64 // completions handed out by Next
	Overflow  uint64 // completions that found the queue full, including dropped ones
}

// NoTimeout makes Wait wait without limit.
const NoTimeout = time.Duration(math.MinInt64)

// expected reports that a wait ended for a reason that the completion queue
// tells better: the time is up, a signal came, or completions must be taken
// before more can be submitted.
func expected(err error) bool {
	return errors.Is(err, unix.ETIME) || errors.Is(err, unix.EINTR) ||
		errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EBUSY)
}
