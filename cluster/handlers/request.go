package handlers

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/engine"
	"kserver/protocol"
)

// Responder is the connection front's half of one request: it takes the
// answer's bytes in order and sends them when Send is called. Except for Post,
// every method belongs to the loop of the request's connection.
type Responder interface {
	// Post runs f on the connection's loop, soon. Any goroutine may call it.
	Post(f func())
	// Await has due called on the loop soon after Due was called, or late once d has
	// passed, whichever comes first and at most one of them, and neither once the
	// request has ended. Once in a request.
	Await(d time.Duration, due, late func())
	// Due ends what Await began. Any goroutine may call it, once.
	Due()
	// Write appends a copy of p to the answer.
	Write(p []byte)
	// File appends the bytes of r to the answer without reading them; r is
	// released by the front once they are sent or can no longer be.
	File(r *engine.Range)
	// Send completes the answer. Exactly one of Send, NoResponse and Close
	// ends a request.
	Send()
	// ChargeMemory counts n bytes that the request takes in memory until it is answered.
	// Call it, where Handle runs, before Handle returns.
	ChargeMemory(n int64)
	// Affords reports whether a request that takes n bytes may go on waiting. Any
	// goroutine may call it.
	Affords(n int64) bool
	// Hold makes the request's body valid until it is answered, has the
	// connection's next request wait for Proceed or the answer, and returns the
	// body in its new place. Call it before the handler returns.
	Hold(body []byte) []byte
	// Proceed ends Hold.
	Proceed()
	// NoResponse ends the request without an answer (acks=0).
	NoResponse()
	// Close ends the connection; err is what the log says of it.
	Close(err error)
}

// Client is what is known of a connection's peer.
type Client struct {
	Addr     netip.AddrPort
	Host     string // as Kafka shows it: "/127.0.0.1"
	Listener string // name of the listener it came in by
	// SoftwareName and SoftwareVersion are what the client said in
	// ApiVersions v3+ (KIP-511); empty until then.
	SoftwareName    string
	SoftwareVersion string
	// Telemetry says that telemetry has to know when the connection ends.
	Telemetry atomic.Bool
}

// Request is one request on its way through a handler. It is owned by the
// loop of its connection until Async; from then on by whoever will answer it.
type Request struct {
	protocol.RequestHeader
	// Body is what follows the header. It is valid until an OnLoop handler
	// returns, until the request is answered for an OnWorker one.
	Body []byte
	// Client is shared by all requests of the connection.
	Client *Client

	Logger *slog.Logger
	// Metrics counts the errors of the answer; nil counts nothing.
	Metrics *Metrics

	w     Responder
	async bool
	// checked is what is known of the body once it has been looked at.
	checked   protocol.Checked
	isChecked bool
	charged   int64 // bytes of memory
	gone      bool  // Cancel was called
	// wait is who waits with the request, nil when nobody does.
	wait Waiting
	use  use

	produce  *delayedProduce // of the Produce requests this has been, for the next one
	fetch    *delayedFetch   // of the Fetch requests
	reusable bool
}

// Waiting is what a request waits in, when it holds its connection and its
// answer may take long. Both methods are called on the loop.
type Waiting interface {
	// Cancel is told that the connection has closed: the request is to be ended
	// with NoResponse.
	Cancel()
	// Hurry is told that the broker stops, or memory is short: the request is to
	// be answered with what there is.
	Hurry()
}

// NewRequest prepares a request for the table's handler.
func NewRequest(h protocol.RequestHeader, body []byte, c *Client, w Responder, log *slog.Logger) *Request {
	return &Request{RequestHeader: h, Body: body, Client: c, Logger: log, w: w}
}

// Reset makes the request another one, with the same Responder. It must be Reusable.
func (r *Request) Reset(h protocol.RequestHeader, body []byte, c *Client) {
	*r = Request{RequestHeader: h, Body: body, Client: c, Logger: r.Logger, w: r.w, produce: r.produce, fetch: r.fetch}
}

// Reusable reports whether nobody refers to the request any more, now that it has
// been answered and its handler, or what was posted for it, has returned.
func (r *Request) Reusable() bool { return r.reusable }

// ClientHost is the peer's address as Kafka's group descriptions show it.
func (r *Request) ClientHost() string { return r.Client.Host }

// ClientIDString is the client id, "" when the client sent none.
func (r *Request) ClientIDString() string {
	if r.ClientID == nil {
		return ""
	}
	return *r.ClientID
}

// Decode parses the body into msg, whose version it sets; msg keeps nothing of
// Body. A body that cannot be parsed closes the connection, as Kafka does, and
// Decode returns false: the handler then returns at once.
func (r *Request) Decode(msg kmsg.Request) bool { return r.decode(msg, protocol.Checked.Decode) }

// DecodeAliased is Decode without copies: strings and byte slices of msg alias
// Body and are valid as long as it is.
func (r *Request) DecodeAliased(msg kmsg.Request) bool {
	return r.decode(msg, protocol.Checked.DecodeAliased)
}

func (r *Request) decode(msg kmsg.Request, parse func(protocol.Checked, kmsg.Request, []byte) error) bool {
	if !r.Check() {
		return false
	}
	msg.SetVersion(r.Version)
	if err := parse(r.checked, msg, r.Body); err != nil {
		r.Close(err)
		return false
	}
	return true
}

// Check looks at the body without decoding it, and charges the memory that its
// decoded form will take. A body that cannot be parsed closes the connection, and
// Check returns false.
func (r *Request) Check() bool {
	if r.isChecked {
		return true
	}
	c, err := protocol.Check(r.Key, r.Version, r.Body)
	if err != nil {
		r.Close(err)
		return false
	}
	r.checked, r.isChecked = c, true
	r.ChargeMemory(c.Memory)
	return true
}

// ChargeMemory counts n bytes that the request takes in memory until it is answered. Call
// it before the handler returns.
func (r *Request) ChargeMemory(n int64) {
	r.charged += n
	r.w.ChargeMemory(n)
}

// mayWait reports that the connection is still there, and memory for the request to
// go on waiting. Loop only.
func (r *Request) mayWait() bool { return !r.gone && r.w.Affords(r.charged) }

// Relieve has a request that waits answered when there is no memory for that. Loop
// only; the connection front calls it.
func (r *Request) Relieve() {
	if r.wait != nil && !r.mayWait() {
		r.Hurry()
	}
}

// Detach keeps the body of a Pipelined request and holds the connection, so that
// the request can go on elsewhere; Attach ends that. Call it before the handler
// returns.
func (r *Request) Detach() {
	r.Body = r.w.Hold(r.Body)
	r.async = true
}

// Attach brings a detached request back to its loop, where it is called: the
// connection's next request may begin.
func (r *Request) Attach() {
	r.async = false
	r.w.Proceed()
}

// Async says that the request will be answered from another goroutine, or
// later; call it before the request leaves the loop.
func (r *Request) Async() { r.async = true }

// WaitIn says what the request waits in until it is answered. Loop only.
func (r *Request) WaitIn(w Waiting) { r.wait = w }

// Cancel tells the request that its connection has closed. Loop only; the
// connection front calls it.
func (r *Request) Cancel() {
	r.gone = true
	if w := r.wait; w != nil {
		r.wait = nil
		w.Cancel()
	}
}

// Hurry tells the request that the broker stops, or memory is short. Loop only;
// the connection front calls it.
func (r *Request) Hurry() {
	if w := r.wait; w != nil {
		r.wait = nil
		w.Hurry()
	}
}

// Post runs f on the connection's loop. Any goroutine may call it.
func (r *Request) Post(f func()) { r.w.Post(f) }

// Await has due or late called on the connection's loop: see Responder. Loop only.
func (r *Request) Await(d time.Duration, due, late func()) { r.w.Await(d, due, late) }

// Due ends what Await began. Any goroutine may call it, once.
func (r *Request) Due() { r.w.Due() }

// Reply encodes resp in the request's version and sends it. After Async, any
// goroutine may call it. Exactly once.
func (r *Request) Reply(resp kmsg.Response) {
	resp.SetVersion(r.Version)
	r.chargeTime()
	if t, ok := resp.(kmsg.SetThrottleResponse); ok && r.use.pause > 0 {
		t.SetThrottle(r.throttleMs())
	}
	r.Metrics.errorsOf(r.Key, resp)
	buf := takeBuffer()
	*buf = protocol.AppendResponseHeader(*buf, r.Key, r.Version, r.CorrelationID)
	*buf = resp.AppendTo(*buf)
	r.sendBuffer(buf)
}

// sendBuffer sends an encoded answer and recycles its buffer.
func (r *Request) sendBuffer(buf *[]byte) {
	if r.async {
		r.w.Post(func() { r.send(buf) })
		return
	}
	r.send(buf)
}

// send is sendBuffer on the loop.
func (r *Request) send(buf *[]byte) {
	r.wait = nil
	r.w.Write(*buf)
	giveBuffer(buf)
	r.w.Send()
}

// NoResponse ends the request without an answer.
func (r *Request) NoResponse() {
	if r.async {
		r.w.Post(r.w.NoResponse)
		return
	}
	r.w.NoResponse()
}

// Close ends the connection because of err.
func (r *Request) Close(err error) {
	if r.async {
		r.w.Post(func() { r.w.Close(err) })
		return
	}
	r.w.Close(err)
}

// maxPooledBuffer bounds what a rare large answer leaves behind in the pool.
const maxPooledBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

func takeBuffer() *[]byte { return buffers.Get().(*[]byte) }

func giveBuffer(b *[]byte) {
	if cap(*b) > maxPooledBuffer {
		return
	}
	*b = (*b)[:0]
	buffers.Put(b)
}
