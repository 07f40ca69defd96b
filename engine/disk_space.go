package engine

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// diskSpace is what a directory knows of the room on its file system: whether clients' appends may go on, how
// many were refused, and when that was last said.
//
// Below the reserve only appends of clients are refused. Coordinators, the controller, checkpoints and deletes
// live from the reserve, so that a full disk can be cleared without the operator.
type diskSpace struct {
	// checkedAt is what the directory had written when the free space was last looked at.
	checkedAt atomic.Int64
	full      atomic.Bool
	refused   atomic.Uint64

	mu       sync.Mutex
	lastSaid time.Time
	unsaid   uint64 // refusals since then
}

const (
	// spaceCheckBytes and spaceCheckInterval bound what is appended, and how long others may fill the disk,
	// between two looks at the free space.
	spaceCheckBytes    = 16 << 20
	spaceCheckInterval = 5 * time.Second
	// refusalLogInterval is the least time between two log lines about refused appends of one directory.
	refusalLogInterval = 10 * time.Second
)

// checkSpace compares the free space with the reserve. Not being able to tell counts as enough: a write that
// finds no space says so.
func (d *logDir) checkSpace() {
	d.space.checkedAt.Store(d.written.Load())
	free, total, err := d.m.cfg.FS.FreeBytes(d.path)
	full := err == nil && free < d.m.cfg.reserve(total)
	if d.space.full.Swap(full) && !full {
		d.m.logger.Info("space is back, appends are taken again", "dir", d.path, "free", free,
			"refused", d.space.refused.Load())
	}
}

// belowReserve says whether clients' appends must be refused to leave space for everything else. While it is
// so, every call looks again, so that appends go on with the first one after space has come back.
func (d *logDir) belowReserve() bool {
	if d.space.full.Load() {
		d.checkSpace()
	}
	return d.space.full.Load()
}

// refuse counts an append that finds no room and makes the error for it; cause is nil when the reserve is what
// refuses it. Of many refusals one in refusalLogInterval is logged, with the number of the others.
func (d *logDir) refuse(tp TopicPartition, cause error) error {
	d.space.refused.Add(1)
	d.space.mu.Lock()
	now := d.m.cfg.Clock.Now()
	d.space.unsaid++
	refused := d.space.unsaid
	say := d.space.lastSaid.IsZero() || now.Sub(d.space.lastSaid) >= refusalLogInterval
	if say {
		d.space.lastSaid, d.space.unsaid = now, 0
	}
	d.space.mu.Unlock()
	if cause == nil {
		cause = fmt.Errorf("less than the reserve is free in %s", d.path)
	}
	if say {
		d.m.logger.Warn("appends refused, no space left", "dir", d.path, "topic", tp.Topic, "partition", tp.Partition,
			"refused", refused, "err", cause)
	}
	return fmt.Errorf("%w: %w: %s: %w", ErrStorage, ErrDiskFull, tp, cause)
}

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
