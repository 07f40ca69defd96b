package floor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// journalBytes is the size of the journal's file. It is written from its beginning again when it is full.
	journalBytes = 64 << 20
	// journalRoundBytes is the most of one round.
	journalRoundBytes = 8 << 20
	journalBlock      = 4096
)

var errTooLarge = errors.New("a batch larger than a round of the journal")

// journal makes batches durable, all that came while a round was under way by the next one: one write over blocks that
// were written before, past the page cache where the file system has that, and one fdatasync. Nothing ever reads it.
type journal struct {
	file *os.File
	off  int64 // of the next round
	wg   sync.WaitGroup

	mu      sync.Mutex
	changed sync.Cond
	filling []byte // the next round, of which used bytes
	spare   []byte
	used    int
	began   uint64 // rounds so far
	durable uint64 // of them
	err     error  // ends everything
	closed  bool
}

// openJournal makes the file in dir.
func openJournal(dir string) (j *journal, err error) {
	name := filepath.Join(dir, "journal")
	if err := preallocate(name); err != nil {
		return nil, err
	}
	j = new(journal)
	j.changed.L = &j.mu
	j.file, err = os.OpenFile(name, os.O_WRONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		j.file, err = os.OpenFile(name, os.O_WRONLY, 0)
	}
	if err != nil {
		return nil, err
	}
	for _, b := range []*[]byte{&j.filling, &j.spare} { // whole pages, as direct I/O asks for
		if *b, err = unix.Mmap(-1, 0, journalRoundBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
			return nil, errors.Join(fmt.Errorf("mmap: %w", err), j.file.Close())
		}
	}
	j.wg.Go(j.run)
	return j, nil
}

// preallocate writes the file's blocks, so that a round changes no metadata of the file system.
func preallocate(name string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < journalBytes; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, off); err != nil {
			return err
		}
	}
	return f.Sync()
}

// put adds a batch to the next round and returns its number.
func (j *journal) put(batch []byte) (round uint64, err error) {
	if len(batch) > journalRoundBytes {
		return 0, errTooLarge
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.used+len(batch) > journalRoundBytes && j.err == nil {
		j.changed.Wait()
	}
	j.used += copy(j.filling[j.used:], batch)
	j.changed.Broadcast()
	return j.began + 1, j.err
}

// wait returns when a round is durable.
func (j *journal) wait(round uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.durable < round && j.err == nil {
		j.changed.Wait()
	}
	return j.err
}

// run does the rounds, one after the other.
func (j *journal) run() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		for j.used == 0 && !j.closed {
			j.changed.Wait()
		}
		if j.used == 0 || j.err != nil {
			return
		}
		b, n := j.filling, (j.used+journalBlock-1)/journalBlock*journalBlock
		clear(b[j.used:n])
		j.filling, j.spare, j.used = j.spare, b, 0
		j.began++
		j.changed.Broadcast()
		j.mu.Unlock()
		err := j.write(b[:n])
		j.mu.Lock()
		j.durable, j.err = j.began, err
		j.changed.Broadcast()
	}
}

func (j *journal) write(b []byte) error {
	if j.off+int64(len(b)) > journalBytes {
		j.off = 0
	}
	_, err := j.file.WriteAt(b, j.off)
	j.off += int64(len(b))
	if err != nil {
		return err
	}
	for {
		if err = unix.Fdatasync(int(j.file.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// close ends the rounds, when nobody puts or waits any more, and removes the file.
func (j *journal) close() error {
	j.mu.Lock()
	j.closed = true
	j.changed.Broadcast()
	j.mu.Unlock()
	j.wg.Wait()
	return errors.Join(j.err, j.file.Close(), os.Remove(j.file.Name()), unix.Munmap(j.filling), unix.Munmap(j.spare))
}
