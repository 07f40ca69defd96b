package cluster

import (
	"errors"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/netio"
	"kserver/protocol"
)

// Why connections end, when it is not their clients who ended them: counted by
// reason, and logged, at most a line a second, with peer, API and error.

var (
	errShortFrame = errors.New("frame is shorter than a request header")
	errUnserved   = errors.New("API key or version is not served")
	errHandlerBug = errors.New("internal error")
)

// closeReasons names the reasons that are told apart. The first whose error
// matches counts.
var closeReasons = []struct {
	name string
	err  error
}{
	{"malformed_request", protocol.ErrMalformed},
	{"short_frame", errShortFrame},
	{"unserved_api", errUnserved},
	{"unserved_api", protocol.ErrUnknownAPI},
	{"handler_panic", errHandlerBug},
	{"frame_length", netio.ErrFrameTooLarge},
	{"slow_frame", netio.ErrFrameTimeout},
	{"memory_short", netio.ErrInputStalled},
	{"unread_answers", netio.ErrOutputStalled},
	{"half_closed", netio.ErrHalfClosed},
	{"idle", netio.ErrIdle},
}

// otherReason counts what the table does not name: broken sockets, failed reads
// of a log, errors of requests without an answer (acks=0).
const otherReason = "other"

// closeCounts counts closed connections by place in closeReasons.
type closeCounts [16]atomic.Int64

// reasonOf is the place of an error in closeReasons, their number for others.
func reasonOf(err error) int {
	for i := range closeReasons {
		if errors.Is(err, closeReasons[i].err) {
			return i
		}
	}
	return len(closeReasons)
}

// ClosedConnections counts the connections that ended otherwise than by their
// client or by a stop, by reason.
func (b *Broker) ClosedConnections() map[string]int64 {
	out := make(map[string]int64, len(closeReasons)+1)
	for i := range closeReasons {
		out[closeReasons[i].name] += b.front.closes[i].Load()
	}
	out[otherReason] = b.front.closes[len(closeReasons)].Load()
	return out
}

// closed counts and logs the end of a connection.
func (f *front) closed(c *netio.Conn, k *conn, err error) {
	if err == nil || errors.Is(err, netio.ErrServerClosed) || errors.Is(err, netio.ErrDrained) {
		return
	}
	reason := reasonOf(err)
	f.closes[reason].Add(1)
	if reason == len(closeReasons) || errors.Is(err, netio.ErrIdle) {
		f.logger.Debug("connection closed", "peer", c.RemoteAddr(), "err", err)
		return
	}
	if n, ok := f.limit.Allow(time.Now()); ok {
		f.logger.Warn("connection closed", "peer", c.RemoteAddr(), "reason", closeReasons[reason].name, "err", err,
			"last_api", kmsg.NameForKey(k.header.Key), "last_api_version", k.header.Version, "dropped_lines", n)
	}
}

// recover turns a handler's panic, which is a bug of ours, into the end of one
// connection. It is logged with its request. Builds with invariants go on
// panicking, so that no test overlooks it.
func (x *exchange) recover() {
	v := recover()
	if v == nil {
		return
	}
	x.f.logger.Error("handler panicked", "peer", x.conn.client.Addr, "api", kmsg.NameForKey(x.req.Key), "api_version", x.req.Version,
		"correlation_id", x.req.CorrelationID, "client_id", x.req.ClientIDString(), "body_bytes", len(x.req.Body), "panic", v, "stack", string(debug.Stack()))
	if invariants {
		panic(v)
	}
	x.req.Close(errHandlerBug)
}
