package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"kserver/cluster/handlers"
	"kserver/engine"
	"kserver/netio"
	"kserver/protocol"
)

// front implements netio.Handler: it parses request headers and runs the
// table's handlers. One front serves all loops; what it keeps per connection
// is in conn, which belongs to the connection's loop.
type front struct {
	broker  *handlers.Broker
	workers *workers
	logger  *slog.Logger
	limit   logLimit

	mu    sync.Mutex
	conns map[*netio.Conn]*conn // open ones
}

// conn is the front's part of a connection.
type conn struct {
	client handlers.Client
	header protocol.RequestHeader // of the last request
	// waiting is the request that holds the connection, nil when none does.
	waiting *exchange
	pause   pause
}

// Opened implements netio.Handler.
func (f *front) Opened(c *netio.Conn) {
	addr := c.RemoteAddr()
	k := &conn{client: handlers.Client{Addr: addr, Host: "/" + addr.Addr().Unmap().String(), Listener: c.Listener()}}
	c.Attachment = k
	f.mu.Lock()
	f.conns[c] = k
	f.mu.Unlock()
}

// hurry has every waiting request answered soon. Requests that come later must
// not wait any more (handlers.Broker.Stopping).
func (f *front) hurry() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c, k := range f.conns {
		c.Loop().Post(func() {
			if k.waiting != nil {
				k.waiting.req.Hurry()
			}
			if k.pause.next != nil {
				f.resume(k)
			}
		})
	}
}

// Closed implements netio.Handler.
func (f *front) Closed(c *netio.Conn, err error) {
	f.mu.Lock()
	delete(f.conns, c)
	f.mu.Unlock()
	k := c.Attachment.(*conn)
	if k.waiting != nil {
		k.waiting.req.Cancel()
	}
	if k.pause.next != nil {
		k.pause.take().NoResponse()
	}
	if err != nil {
		f.logger.Debug("connection closed", "peer", c.RemoteAddr(), "err", err)
	}
}

// exchange is one request and the way back for its answer. It implements
// handlers.Responder.
type exchange struct {
	f    *front
	nr   *netio.Request // netio's until done
	loop *netio.Loop
	conn *conn
	req  *handlers.Request
	held bool
	done bool
}

var (
	errShortFrame = errors.New("frame is shorter than a request header")
	errUnserved   = errors.New("API key or version is not served")
	errHandlerBug = errors.New("internal error")
)

// Request implements netio.Handler.
func (f *front) Request(nr *netio.Request) {
	k := nr.Conn().Attachment.(*conn)
	if !k.pause.until.IsZero() && f.delay(nr, k) {
		return
	}
	f.handle(nr, k, false)
}

// handle begins a request. One that was delayed holds the connection already.
func (f *front) handle(nr *netio.Request, k *conn, delayed bool) {
	c := nr.Conn()
	x := &exchange{f: f, nr: nr, loop: c.Loop(), conn: k}
	frame := nr.Frame()
	if len(frame) < 2 {
		x.Close(errShortFrame)
		return
	}
	api := handlers.Lookup(int16(binary.BigEndian.Uint16(frame)))
	if api == nil {
		x.Close(fmt.Errorf("%w: key %d", errUnserved, int16(binary.BigEndian.Uint16(frame))))
		return
	}
	if api.Mode == handlers.OnWorker {
		frame = nr.Keep()
	}
	body, err := k.header.Parse(frame)
	h := k.header
	served := api.Serves(h.Version) || h.Key == protocol.KeyApiVersions
	switch {
	case served && errors.Is(err, protocol.ErrUnknownAPI): // ApiVersions newer than we know
	case err != nil:
		x.Close(err)
		return
	case !served:
		x.Close(fmt.Errorf("%w: key %d version %d", errUnserved, h.Key, h.Version))
		return
	}
	if !api.Pipelined {
		if !delayed {
			nr.Hold()
		}
		x.held, k.waiting = true, x
	}
	x.req = handlers.NewRequest(h, body, &k.client, x, f.logger)
	if api.Mode == handlers.OnWorker {
		x.req.Async()
		f.workers.Do(func() { x.run(api) })
		return
	}
	x.run(api)
	if api.Pipelined && !x.done {
		if x.pause(); delayed {
			nr.Proceed()
		}
	}
}

// run calls the handler. A panic is a bug of ours: it is logged with its
// request and costs the connection, not the process.
func (x *exchange) run(api *handlers.API) {
	defer x.recover()
	c := x.f.broker.Quotas.Client(handlers.Anonymous, x.req.ClientIDString())
	if c == nil {
		api.Handle(x.f.broker, x.req)
		return
	}
	x.req.Meter(c, time.Now())
	api.Handle(x.f.broker, x.req)
	x.req.Returned(time.Now())
}

func (x *exchange) recover() {
	v := recover()
	if v == nil {
		return
	}
	x.f.logger.Error("handler panicked", "peer", x.conn.client.Addr, "api_key", x.req.Key, "api_version", x.req.Version,
		"panic", v, "stack", string(debug.Stack()))
	x.req.Close(errHandlerBug)
}

// Post implements handlers.Responder.
func (x *exchange) Post(f func()) {
	x.loop.Post(func() {
		defer x.recover()
		f()
	})
}

// After implements handlers.Responder.
func (x *exchange) After(d time.Duration, f func()) handlers.Timer {
	return timer{x.loop.After(d, func() {
		defer x.recover()
		f()
	})}
}

type timer struct{ t *netio.Timer }

func (t timer) Stop() { t.t.Stop() }

// Write implements handlers.Responder.
func (x *exchange) Write(p []byte) {
	if !x.done {
		x.nr.Response().Write(p)
	}
}

// File implements handlers.Responder.
func (x *exchange) File(r *engine.Range) {
	if x.done {
		r.Release()
		return
	}
	x.nr.Response().File(r, r.Offset(), r.Len())
}

// Send implements handlers.Responder.
func (x *exchange) Send() {
	if x.end() {
		x.pause()
		x.nr.Respond()
	}
}

// NoResponse implements handlers.Responder.
func (x *exchange) NoResponse() {
	if x.end() {
		x.pause()
		x.nr.NoResponse()
	}
}

// Close implements handlers.Responder: it ends the request and, with it, the
// connection.
func (x *exchange) Close(err error) {
	if !x.end() {
		return
	}
	if n, ok := x.f.limit.Allow(time.Now()); ok {
		args := []any{"peer", x.conn.client.Addr, "err", err, "dropped_lines", n}
		if x.req != nil {
			args = append(args, "api_key", x.req.Key, "api_version", x.req.Version)
		}
		x.f.logger.Warn("closing connection", args...)
	}
	c := x.nr.Conn()
	x.nr.NoResponse()
	c.Close(err)
}

// end marks the request as answered and reports whether it was not before.
func (x *exchange) end() bool {
	if x.done {
		return false
	}
	x.done = true
	if x.held && x.conn.waiting == x {
		x.conn.waiting = nil
	}
	return true
}
