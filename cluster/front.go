package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
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
	closes  closeCounts
	watch   *watch

	mu     sync.Mutex
	conns  map[*netio.Conn]*conn // open ones
	shards map[*netio.Loop]*shard
}

// shard is what the front keeps for each loop; it belongs to the loop.
type shard struct {
	times *handlers.RequestTimes
	free  []*exchange // that have ended, for the next requests
}

// freeExchanges bounds the unused exchanges of a loop.
const freeExchanges = 1024

// conn is the front's part of a connection.
type conn struct {
	client handlers.Client
	header protocol.RequestHeader // of the last request
	shard  *shard                 // of the loop
	// waiting is the request that holds the connection, nil when none does.
	waiting *exchange
	order   order
	pause   pause
}

// Opened implements netio.Handler.
func (f *front) Opened(c *netio.Conn) {
	addr := c.RemoteAddr()
	k := &conn{client: handlers.Client{Addr: addr, Host: "/" + addr.Addr().Unmap().String(), Listener: c.Listener()}}
	c.Attachment = k
	f.watch.wake()
	f.mu.Lock()
	if k.shard = f.shards[c.Loop()]; k.shard == nil {
		k.shard = &shard{times: f.broker.Metrics.Shard()}
		f.shards[c.Loop()] = k.shard
	}
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

// Relieve implements netio.Handler.
func (f *front) Relieve(c *netio.Conn) {
	if k := c.Attachment.(*conn); k.waiting != nil {
		k.waiting.req.Relieve()
	}
}

// Closed implements netio.Handler.
func (f *front) Closed(c *netio.Conn, err error) {
	f.mu.Lock()
	delete(f.conns, c)
	f.mu.Unlock()
	k := c.Attachment.(*conn)
	if k.client.Telemetry.Load() {
		f.broker.Telemetry.Disconnected(&k.client)
	}
	if k.waiting != nil {
		k.waiting.req.Cancel()
	}
	k.dropNext()
	f.closed(c, k, err)
}

// dropNext ends the request that waits for its turn, if there is one.
func (k *conn) dropNext() {
	if k.pause.next != nil {
		k.pause.take().NoResponse()
	}
	if nr := k.order.take(); nr != nil {
		nr.NoResponse()
	}
}

// exchange is one request and the way back for its answer. It implements
// handlers.Responder. Where the handler allows it, it serves one request of its loop
// after another, together with what the handler keeps in its handlers.Request.
type exchange struct {
	f    *front
	nr   *netio.Request // netio's until done
	loop *netio.Loop
	conn *conn
	req  *handlers.Request // nil until the header is read
	// began is the turn of the loop in which the request came, or its wait for a pause was over.
	began time.Time
	held  bool
	done  bool
	// pipelined requests are counted in the connection's order until they end.
	pipelined bool
	delayed   bool // it held the connection before it began
	detached  bool // Hold was called
	onWorker  bool // Handle is called on a worker

	// What Await was given, and for all requests of the exchange: its timer, the
	// functions that run them, and the handlers.Request before.
	due, late func()
	timer     *netio.Timer
	runDue    func()
	spare     *handlers.Request
}

// newExchange takes an exchange that has ended, or makes one.
func (f *front) newExchange(nr *netio.Request, k *conn) *exchange {
	var x *exchange
	if n := len(k.shard.free); n > 0 {
		x = k.shard.free[n-1]
		k.shard.free[n-1] = nil
		k.shard.free = k.shard.free[:n-1]
	} else {
		x = &exchange{f: f, loop: nr.Conn().Loop()}
	}
	x.nr, x.conn, x.began = nr, k, x.loop.Now()
	return x
}

// reuse keeps an exchange that has ended for another request, if nobody refers to
// it. Nothing may touch it afterwards.
func (x *exchange) reuse() {
	if !x.done || x.req == nil || !x.req.Reusable() {
		return
	}
	s := x.conn.shard
	*x = exchange{f: x.f, loop: x.loop, timer: x.timer, runDue: x.runDue, spare: x.req}
	s.keep(x)
}

// keep keeps an exchange that nobody refers to.
func (s *shard) keep(x *exchange) {
	if len(s.free) < freeExchanges {
		s.free = append(s.free, x)
	}
}

// Request implements netio.Handler.
func (f *front) Request(nr *netio.Request) {
	k := nr.Conn().Attachment.(*conn)
	f.watch.wake()
	if !k.pause.until.IsZero() && f.delay(nr, k) {
		return
	}
	f.handle(nr, k, false)
}

// loopFrameBytes is the longest frame that is decoded on an event loop, Produce
// requests excepted: what is longer has room for thousands of elements, and decoding
// those takes longer than a connection's share of a turn.
const loopFrameBytes = 16 << 10

// handle begins a request. One that was delayed holds the connection already.
func (f *front) handle(nr *netio.Request, k *conn, delayed bool) {
	x := f.newExchange(nr, k)
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
	if !api.Pipelined && k.order.wait(nr, delayed) {
		k.shard.keep(x)
		return
	}
	onWorker := api.Mode == handlers.OnWorker || !api.Pipelined && len(frame) > loopFrameBytes
	if onWorker {
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
	if x.req = x.spare; x.req != nil {
		x.req.Reset(h, body, &k.client)
	} else {
		x.req = handlers.NewRequest(h, body, &k.client, x, f.logger)
	}
	x.req.Metrics = &f.broker.Metrics
	if api.Pipelined {
		x.pipelined, x.delayed = true, delayed
		k.order.unanswered++
		x.run(api)
		if !x.done && !x.detached {
			if x.pause(); delayed {
				nr.Proceed()
			}
		}
		x.reuse()
		return
	}
	if !delayed {
		nr.Hold()
	}
	x.held, k.waiting = true, x
	if x.onWorker = onWorker; onWorker {
		x.req.Async()
		f.workers.Do(api.Estimate(len(frame)), func() { x.run(api) })
		return
	}
	x.run(api)
	x.reuse()
}

// run calls the handler.
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

// Post implements handlers.Responder.
func (x *exchange) Post(f func()) { x.loop.Post(func() { x.call(f) }) }

// call runs on the loop what a handler left for later.
func (x *exchange) call(f func()) {
	x.guard(f)
	x.reuse()
}

func (x *exchange) guard(f func()) {
	defer x.recover()
	f()
}

// Await implements handlers.Responder.
func (x *exchange) Await(d time.Duration, due, late func()) {
	if x.timer == nil {
		x.timer = x.loop.NewTimer(func() { x.call(x.late) })
		x.runDue = func() { x.call(x.due) }
	}
	x.due, x.late = due, late
	x.timer.Start(d)
}

// Due implements handlers.Responder.
func (x *exchange) Due() { x.loop.Post(x.runDue) }

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

// ChargeMemory implements handlers.Responder.
func (x *exchange) ChargeMemory(n int64) {
	if x.onWorker {
		x.nr.ChargeNow(n)
		return
	}
	x.nr.Charge(n)
}

// Affords implements handlers.Responder.
func (x *exchange) Affords(n int64) bool { return x.loop.Affords(n) }

// Hold implements handlers.Responder.
func (x *exchange) Hold(body []byte) []byte {
	frame := x.nr.Keep()
	if !x.delayed {
		x.nr.Hold()
	}
	x.detached = true
	return frame[len(frame)-len(body):]
}

// Proceed implements handlers.Responder.
func (x *exchange) Proceed() {
	if !x.done {
		x.pause()
		x.nr.Proceed()
	}
}

// Send implements handlers.Responder.
func (x *exchange) Send() {
	if x.end() {
		x.pause()
		x.nr.Respond()
		x.f.next(x.conn)
	}
}

// NoResponse implements handlers.Responder.
func (x *exchange) NoResponse() {
	if x.end() {
		x.pause()
		x.nr.NoResponse()
		x.f.next(x.conn)
	}
}

// Close implements handlers.Responder: it ends the request and, once earlier
// requests of the connection are answered, the connection.
func (x *exchange) Close(err error) {
	if !x.end() {
		return
	}
	c := x.nr.Conn()
	x.conn.dropNext()
	x.nr.NoResponse()
	c.Finish(err)
}

// end marks the request as answered and reports whether it was not before.
func (x *exchange) end() bool {
	if x.done {
		return false
	}
	x.done = true
	if x.late != nil {
		x.timer.Stop()
	}
	if x.req != nil {
		x.conn.shard.times.Observe(x.req.Key, time.Since(x.began))
	}
	if x.held && x.conn.waiting == x {
		x.conn.waiting = nil
	}
	if x.pipelined {
		x.conn.order.unanswered--
	}
	return true
}
