package netio

import (
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"kserver/sendfile"
)

// Backend names how a server talks to the kernel.
type Backend string

const (
	// BackendAuto takes io_uring where the kernel allows it, else epoll.
	BackendAuto Backend = "auto"
	// BackendUring is io_uring: multishot accept and receive, batched sends.
	BackendUring Backend = "io_uring"
	// BackendEpoll is edge-triggered epoll with direct calls.
	BackendEpoll Backend = "epoll"
)

// Bounds of Config that are not configurable.
const (
	maxLoops         = 256
	maxFrameCeiling  = 1 << 30
	maxPendingBound  = 1 << 16
	maxBacklog       = 1 << 16
	minRingBuffers   = 2
	maxRingBuffers   = 1 << 15
	minRingBufBytes  = 64
	maxRingBufBytes  = 1 << 20
	defaultRingCount = 512
	defaultRingBytes = 4 << 10
)

// Config is what a Server needs to know. The zero value of a field means its
// default; EnsureDefaults writes the defaults in.
type Config struct {
	// Backend is auto (default), io_uring or epoll. A forced back-end that is
	// not available makes New fail.
	Backend Backend

	// Loops is the number of event loops, each on its own thread. Default: one
	// per usable CPU; at most 256. The caller must see to GOMAXPROCS >= 2: a
	// loop that sleeps in the kernel holds its P for up to a scheduler tick.
	Loops int

	// MaxFrameBytes is the largest length a frame may declare, in bytes, without
	// its own four. A larger or negative one closes the connection with
	// ErrFrameTooLarge. Kafka: socket.request.max.bytes. Default 104857600,
	// at most 1 GiB.
	MaxFrameBytes int

	// Admission decides which accepted sockets become connections. Default: all
	// that there are descriptors for.
	Admission Admission

	// IdleTimeout closes a connection that received nothing and has nothing
	// unanswered or unsent for this long. Kafka: connections.max.idle.ms.
	// Default 10 minutes; negative: never.
	IdleTimeout time.Duration

	// OutputStallTimeout closes a connection that has output queued and took no
	// byte of it for this long. Default 5 minutes; negative: never.
	OutputStallTimeout time.Duration

	// InputStallTimeout is how long an incomplete frame may stand still while
	// the input budget is spent; then its connection is closed so that stalled
	// senders cannot hold the memory of the others. Default 10 seconds.
	InputStallTimeout time.Duration

	// FrameTimeout and FrameBytesPerSecond bound how slowly a frame may arrive:
	// within each FrameTimeout it is unfinished and we read it, it must get at
	// least so many bytes for each second, or the connection closes. Kafka has no
	// such limit. Defaults 30 seconds (negative: never) and 1024.
	FrameTimeout        time.Duration
	FrameBytesPerSecond int

	// InputBudgetBytes bounds the memory of received bytes that wait for the
	// rest of their frame, for their turn or for the answer of a kept request,
	// and of answers that have not left, over all loops. It is charged as bytes arrive: a declared length reserves
	// nothing. When it is spent, connections that would need more stop reading;
	// each loop lets one of them finish its frame, so the excess is at most
	// Loops x MaxFrameBytes plus what was already in receive buffers. Kafka:
	// queued.max.request.bytes. Default 128 MiB.
	InputBudgetBytes int64

	// MaxPendingRequests is the most requests of one connection whose answer
	// has not left yet; then no further frame is delivered, and soon no byte
	// read. Default 64.
	MaxPendingRequests int

	// MaxQueuedOutputBytes is the queued output of one connection (memory and
	// file ranges) above which no further frame of it is delivered. Default 8 MiB.
	MaxQueuedOutputBytes int

	// SendBufferBytes and ReceiveBufferBytes set SO_SNDBUF and SO_RCVBUF of
	// accepted sockets; 0 leaves the kernel's automatic sizing. Kafka:
	// socket.send.buffer.bytes, socket.receive.buffer.bytes.
	SendBufferBytes    int
	ReceiveBufferBytes int

	// ListenBacklog is the length of the accept queue of a listener. Kafka:
	// socket.listen.backlog.size. Default 1024.
	ListenBacklog int

	// CopyThreshold is the length in bytes from which the only file range of a
	// response goes by sendfile, and MultiCopyThreshold the same for a range of
	// a response with several. Defaults: those of package sendfile.
	CopyThreshold      int
	MultiCopyThreshold int

	// NoSendfile reads ranges from those thresholds on into memory, too, up to
	// 256 KiB at a time, and sends them from there.
	NoSendfile bool

	// RingBuffers and RingBufferBytes size the receive buffers a loop provides
	// to io_uring: a power of two of them, each of so many bytes. The memory is
	// touched only as it is used. Defaults 512 and 4096.
	RingBuffers     int
	RingBufferBytes int

	// Logger receives lifecycle messages and throttled warnings. Default: none.
	Logger *slog.Logger
}

// EnsureDefaults replaces zero fields by their defaults.
func (c *Config) EnsureDefaults() {
	if c.Backend == "" {
		c.Backend = BackendAuto
	}
	def(&c.Loops, min(runtime.NumCPU(), maxLoops))
	def(&c.MaxFrameBytes, 100<<20)
	def(&c.IdleTimeout, 10*time.Minute)
	def(&c.OutputStallTimeout, 5*time.Minute)
	def(&c.InputStallTimeout, 10*time.Second)
	def(&c.FrameTimeout, 30*time.Second)
	def(&c.FrameBytesPerSecond, 1024)
	def(&c.InputBudgetBytes, 128<<20)
	def(&c.MaxPendingRequests, 64)
	def(&c.MaxQueuedOutputBytes, 8<<20)
	def(&c.ListenBacklog, 1024)
	def(&c.CopyThreshold, sendfile.CopyThreshold)
	def(&c.MultiCopyThreshold, sendfile.MultiCopyThreshold)
	def(&c.RingBuffers, defaultRingCount)
	def(&c.RingBufferBytes, defaultRingBytes)
	if c.Admission == nil {
		c.Admission = everybody{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Validate reports the first field that is out of its range. Call it after
// EnsureDefaults.
func (c *Config) Validate() error {
	switch c.Backend {
	case BackendAuto, BackendUring, BackendEpoll:
	default:
		return fmt.Errorf("netio: backend %q: want auto, io_uring or epoll", c.Backend)
	}
	for _, r := range []struct {
		name         string
		v, low, high int64
	}{
		{"Loops", int64(c.Loops), 1, maxLoops},
		{"MaxFrameBytes", int64(c.MaxFrameBytes), 1, maxFrameCeiling},
		{"InputStallTimeout", int64(c.InputStallTimeout), int64(time.Millisecond), int64(24 * time.Hour)},
		{"FrameTimeout", int64(c.FrameTimeout), -1 << 62, int64(24 * time.Hour)},
		{"FrameBytesPerSecond", int64(c.FrameBytesPerSecond), 1, maxFrameCeiling},
		{"InputBudgetBytes", c.InputBudgetBytes, 1, 1 << 50},
		{"MaxPendingRequests", int64(c.MaxPendingRequests), 1, maxPendingBound},
		{"MaxQueuedOutputBytes", int64(c.MaxQueuedOutputBytes), 1, maxFrameCeiling},
		{"SendBufferBytes", int64(c.SendBufferBytes), 0, maxFrameCeiling},
		{"ReceiveBufferBytes", int64(c.ReceiveBufferBytes), 0, maxFrameCeiling},
		{"ListenBacklog", int64(c.ListenBacklog), 1, maxBacklog},
		{"CopyThreshold", int64(c.CopyThreshold), 1, maxFrameCeiling},
		{"MultiCopyThreshold", int64(c.MultiCopyThreshold), 1, maxFrameCeiling},
		{"RingBuffers", int64(c.RingBuffers), minRingBuffers, maxRingBuffers},
		{"RingBufferBytes", int64(c.RingBufferBytes), minRingBufBytes, maxRingBufBytes},
	} {
		if r.v < r.low || r.v > r.high {
			return fmt.Errorf("netio: %s = %d: want %d to %d", r.name, r.v, r.low, r.high)
		}
	}
	if c.RingBuffers&(c.RingBuffers-1) != 0 {
		return fmt.Errorf("netio: RingBuffers = %d: want a power of two", c.RingBuffers)
	}
	return nil
}
