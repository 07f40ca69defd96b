package sendfile

// Source is a file that byte ranges of a response are taken from. The owner
// (the log) pins the file until Release.
//
// The connection loop that sends the range calls every method except that
// Ready's wake function may be called by anybody.
type Source interface {
	// Fd is the descriptor for sendfile(2), or -1 when there is none (a file
	// system in memory): then the bytes are read with ReadAt. The descriptor
	// stays open until Release.
	Fd() int

	// ReadAt fills p from byte offset off, as io.ReaderAt does.
	ReadAt(p []byte, off int64) (int, error)

	// Ready reports whether sending n bytes from offset off can go on without
	// waiting for the disk. When it returns false it has begun to bring the
	// range into memory and calls wake exactly once when that is over, whether
	// or not it succeeded, from any goroutine and possibly before Ready has
	// returned. A call of wake after Release is harmless.
	Ready(off int64, n int, wake func()) bool

	// Missed says that Ready was wrong about n bytes at off: sending them has
	// waited, for as long as it takes to read them. It may be said of a range
	// that was slow for another reason.
	Missed(off int64, n int)

	// Release ends the use of the range. It is called exactly once.
	Release()
}
