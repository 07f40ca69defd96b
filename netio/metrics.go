package netio

import (
	"sync/atomic"
	"time"
)

// Stats are the counters of a server since its start; those marked "now" are
// gauges. Bytes count what the sockets took or gave.
type Stats struct {
	Connections   int64 // now
	Accepted      int64
	AcceptRests   int64 // ... after a rest of their listener, as Admission said
	AcceptsFull   int64 // times that a listener waited for a place
	RejectedPerIP int64 // TooMany
	RejectedRate  int64 // TooFast
	CrowdedOut    int64 // closed to make room for another listener's
	AcceptErrors  int64 // failed accepts, each followed by a pause
	IdleClosed    int64
	StallClosed   int64 // output or input stood still for too long
	OutputStalled int64 // ... of them, output
	FrameTimeouts int64 // closed: a frame arrived too slowly (ErrFrameTimeout)
	FrameLengths  int64 // closed: a frame's length was out of range (ErrFrameTooLarge)

	Frames        int64 // delivered to the handler
	BytesReceived int64

	BytesMemory     int64 // sent from memory, with the copied file bytes
	BytesSendfile   int64 // file bytes that never entered this process
	BytesCopied     int64 // file bytes of small ranges, read into memory
	BytesUnsendable int64 // file bytes of large ranges, read into memory because sendfile could not or may not (NoSendfile)
	SocketFull      int64 // sends that found no room
	ColdWaits       int64 // answers parked until their range was in memory
	SendStalls      int64 // sends of file bytes said to be in memory that were not, and held up their loop
	SendStalled     time.Duration

	ReadPauses      int64 // connections that stopped being read, for any reason
	BudgetPauses    int64 // ... because the input budget was spent
	InputBytes      int64 // now: charged to the budget, requests and answers
	ArenaBytes      int64 // now: loop memory in use, for input and output
	BufferExhausted int64 // receives that found no provided buffer (io_uring)

	Turns      int64 // of all loops
	Wakeups    int64 // eventfd writes by Post
	Enters     int64 // io_uring_enter or epoll_wait calls
	Submitted  int64 // SQEs
	Completed  int64 // CQEs, or events of epoll
	CQOverflow int64 // completions that did not fit the completion queue
}

// loopStats are one loop's counters: written by its thread (wakeups by any),
// read by Stats.
type loopStats struct {
	accepted, acceptRests, acceptsFull, rejectedPerIP, rejectedRate, crowdedOut, acceptErrors, idleClosed, stallClosed, outputStalled,
	frameTimeouts, frameLengths,
	frames, bytesReceived,
	bytesMemory, bytesSendfile, bytesCopied, bytesUnsendable, socketFull, coldWaits, sendStalls, sendStalled,
	readPauses, budgetPauses, memory, bufferExhausted,
	turns, wakeups, enters, submitted, completed, cqOverflow,
	busy atomic.Int64 // ns

	longestTurn peak // ns
}

// Busy is how long each loop was not waiting for the kernel since the start, up to
// its latest wait. Any goroutine may call it.
func (s *Server) Busy() []time.Duration {
	out := make([]time.Duration, len(s.loops))
	for i, l := range s.loops {
		out[i] = time.Duration(l.stats.busy.Load())
	}
	return out
}

// LongestTurns is, for each loop, the longest time of the last one to two minutes in
// which it did not ask the kernel for what is new: what every one of its connections
// waited for once. Any goroutine may call it.
func (s *Server) LongestTurns() []time.Duration {
	out := make([]time.Duration, len(s.loops))
	for i, l := range s.loops {
		out[i] = time.Duration(l.stats.longestTurn.read(int64(time.Since(l.start))))
	}
	return out
}

// Stats returns the sum over all loops. Any goroutine may call it; the counters
// are read one after another, not at one instant.
func (s *Server) Stats() Stats {
	t := Stats{InputBytes: s.budget.used.Load()}
	for _, l := range s.loops {
		t.Connections += l.open.Load()
		c := &l.stats
		for _, f := range []struct {
			to   *int64
			from *atomic.Int64
		}{
			{&t.Accepted, &c.accepted},
			{&t.AcceptRests, &c.acceptRests},
			{&t.AcceptsFull, &c.acceptsFull},
			{&t.RejectedPerIP, &c.rejectedPerIP},
			{&t.RejectedRate, &c.rejectedRate},
			{&t.CrowdedOut, &c.crowdedOut},
			{&t.AcceptErrors, &c.acceptErrors},
			{&t.IdleClosed, &c.idleClosed},
			{&t.StallClosed, &c.stallClosed},
			{&t.OutputStalled, &c.outputStalled},
			{&t.FrameTimeouts, &c.frameTimeouts},
			{&t.FrameLengths, &c.frameLengths},
			{&t.Frames, &c.frames},
			{&t.BytesReceived, &c.bytesReceived},
			{&t.BytesMemory, &c.bytesMemory},
			{&t.BytesSendfile, &c.bytesSendfile},
			{&t.BytesCopied, &c.bytesCopied},
			{&t.BytesUnsendable, &c.bytesUnsendable},
			{&t.SocketFull, &c.socketFull},
			{&t.ColdWaits, &c.coldWaits},
			{&t.SendStalls, &c.sendStalls},
			{(*int64)(&t.SendStalled), &c.sendStalled},
			{&t.ReadPauses, &c.readPauses},
			{&t.BudgetPauses, &c.budgetPauses},
			{&t.ArenaBytes, &c.memory},
			{&t.BufferExhausted, &c.bufferExhausted},
			{&t.Turns, &c.turns},
			{&t.Wakeups, &c.wakeups},
			{&t.Enters, &c.enters},
			{&t.Submitted, &c.submitted},
			{&t.Completed, &c.completed},
			{&t.CQOverflow, &c.cqOverflow},
		} {
			*f.to += f.from.Load()
		}
	}
	return t
}
