package sendfile

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

const (
	// CopyThreshold is the length in bytes from which a single contiguous
	// range of a response is cheaper to send with sendfile(2) than to read into
	// memory and send from there. See BenchmarkSingleRange.
	CopyThreshold = 16 << 10

	// MultiCopyThreshold is the same border for a range of a response that
	// carries several ranges with a few header bytes before each: one copied
	// send then replaces two calls per range. See BenchmarkManyRanges.
	MultiCopyThreshold = 64 << 10

	// MaxWindow is the most bytes one Send should be asked for: it bounds the
	// time a loop spends in one call and is the unit in which Source.Ready is
	// asked.
	MaxWindow = 1 << 20
)

var (
	// ErrAgain says that the socket takes no more bytes now: wait until it is
	// writable.
	ErrAgain = errors.New("sendfile: socket is full")

	// ErrUnsupported says that this pair of descriptors cannot be joined by
	// sendfile(2) (a file system without splice support, an old kernel): read
	// the range and send it from memory.
	ErrUnsupported = errors.New("sendfile: not supported for this file")
)

// Send moves up to n bytes, starting at byte offset off of fileFd, into the
// non-blocking socket sockFd. It returns the bytes the socket took.
//
// The error is nil when all n bytes went, ErrAgain when the socket is full
// (sent may be positive), io.ErrUnexpectedEOF when the file ends before off+n,
// ErrUnsupported when the caller must copy (sent is zero), and otherwise the
// errno of sendfile(2). Interrupted calls are repeated. A range that is not in
// the page cache makes the call wait for the disk: ask Source.Ready first.
func Send(sockFd, fileFd int, off int64, n int) (sent int, err error) {
	for sent < n {
		pos := off + int64(sent)
		k, err := unix.Sendfile(sockFd, fileFd, &pos, n-sent)
		switch {
		case err == nil && k == 0:
			return sent, io.ErrUnexpectedEOF
		case err == nil:
			sent += k
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return sent, ErrAgain
		case sent == 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)):
			return 0, ErrUnsupported
		default:
			return sent, err
		}
	}
	return sent, nil
}
