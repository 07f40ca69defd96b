package netio

import "fmt"

// requestState says who may use a request.
type requestState uint8

const (
	requestFree     requestState = iota // in the loop's free list
	requestOpen                         // the handler's, to be answered
	requestAnswered                     // netio's, waiting for its turn
)

// Request is one frame and the place of its answer. The handler owns it from
// Handler.Request until it answers; after that it must not touch it, because
// the object serves another frame. Only the loop's thread may use it, except
// that kept bytes may be read by whoever works on the request.
type Request struct {
	conn  *Conn
	frame []byte
	kept  []byte // block that holds the frame, charged to the input budget
	extra int64  // charged by the handler
	state requestState
	gone  bool // the connection has ended: nothing will be sent
	quiet bool // answered with NoResponse
	resp  Response
}

// freeRequestLimit bounds the unused requests a loop keeps.
const freeRequestLimit = 4096

func (l *Loop) newRequest(c *Conn, frame []byte) *Request {
	var r *Request
	if k := len(l.freeReq); k > 0 {
		r = l.freeReq[k-1]
		l.freeReq = l.freeReq[:k-1]
	} else {
		r = &Request{}
	}
	r.conn, r.frame, r.state = c, frame, requestOpen
	r.resp.request = r
	return r
}

// recycle ends a request whose answer has been passed on or given up.
func (l *Loop) recycle(r *Request) {
	r.resp.release(l)
	resp := r.resp
	*r = Request{}
	clear(resp.parts)
	clear(resp.blocks)
	r.resp.parts, r.resp.blocks = resp.parts[:0], resp.blocks[:0]
	if len(l.freeReq) < freeRequestLimit {
		l.freeReq = append(l.freeReq, r)
	}
}

// Conn is the connection the frame came from.
func (r *Request) Conn() *Conn { return r.conn }

// Frame is the frame without its length. It is valid until Handler.Request
// returns, or until the request is answered when Keep was called before that.
// The handler may change its bytes.
func (r *Request) Frame() []byte { return r.frame }

// Keep makes the frame valid until the request is answered, and returns it. It
// copies only when the frame lies in a receive buffer shared with others.
// Call it inside Handler.Request.
func (r *Request) Keep() []byte {
	r.mustBe(requestOpen, "Keep")
	if r.kept != nil {
		return r.frame
	}
	c := r.conn
	if !c.input.delivering {
		panic("netio: Keep outside Handler.Request: the frame is gone")
	}
	c.loop.kept++
	if c.input.whole {
		r.kept = c.input.buf
		c.input.buf, c.input.start, c.input.end = nil, 0, 0
		return r.frame
	}
	r.kept = c.loop.takeBlock(len(r.frame))
	n := copy(r.kept, r.frame)
	r.frame = r.kept[:n:n]
	return r.frame
}

// Charge counts n bytes that the handler takes for the request, in memory of its
// own, against the input budget until the request is answered.
func (r *Request) Charge(n int64) {
	r.mustBe(requestOpen, "Charge")
	r.extra += n
	r.conn.loop.charge(n)
}

// ChargeNow is Charge for whoever works on the request outside the loop's thread.
func (r *Request) ChargeNow(n int64) {
	r.mustBe(requestOpen, "ChargeNow")
	r.extra += n
	l := r.conn.loop
	if l.srv.budget.used.Add(n) >= l.srv.budget.limit {
		l.Post(l.watchBudget)
	}
}

// Hold stops the delivery of further frames of the connection until this
// request is answered or Proceed is called. Call it inside Handler.Request.
func (r *Request) Hold() {
	r.mustBe(requestOpen, "Hold")
	if !r.conn.input.delivering {
		panic("netio: Hold outside Handler.Request: later frames may have been delivered")
	}
	r.conn.input.held = r
}

// Proceed ends Hold before the answer. Without a Hold it does nothing.
func (r *Request) Proceed() {
	r.mustBe(requestOpen, "Proceed")
	r.unhold()
}

func (r *Request) unhold() {
	c := r.conn
	if c.input.held == r {
		c.input.held = nil
		c.loop.enqueue(c)
	}
}

// Response is the answer to be built, empty at first.
func (r *Request) Response() *Response {
	r.mustBe(requestOpen, "Response")
	return &r.resp
}

// Respond completes the answer: it leaves when all earlier requests of the
// connection have left theirs. Exactly one of Respond and NoResponse must be
// called, once, on the loop's thread. After the connection has closed it only
// releases what the answer holds.
func (r *Request) Respond() {
	r.mustBe(requestOpen, "Respond")
	r.resp.seal(r.conn.loop)
	r.answered()
}

// NoResponse completes the request without any bytes, for requests whose client
// expects no answer. What was written to the response is dropped.
func (r *Request) NoResponse() {
	r.mustBe(requestOpen, "NoResponse")
	r.quiet = true
	r.resp.release(r.conn.loop)
	r.answered()
}

func (r *Request) answered() {
	c := r.conn
	l := c.loop
	r.state = requestAnswered
	r.dropFrame()
	if r.extra != 0 {
		l.charge(-r.extra)
		r.extra = 0
	}
	if r.gone {
		l.recycle(r)
		return
	}
	c.output.queued += r.resp.size
	r.unhold()
	if c.slots.front() == r {
		l.enqueue(c)
	}
}

func (r *Request) dropFrame() {
	r.frame = nil
	if r.kept != nil {
		r.conn.loop.giveBlock(r.kept)
		r.kept = nil
		r.conn.loop.kept--
	}
}

func (r *Request) mustBe(s requestState, call string) {
	if r.state != s {
		panic(fmt.Sprintf("netio: %s on a request in state %d, want %d", call, r.state, s))
	}
}

// slotQueue holds a connection's requests in arrival order, those not answered
// and those whose answer has not begun to leave. It is a ring that grows to
// Config.MaxPendingRequests at most.
type slotQueue struct {
	ring []*Request // length: zero or a power of two
	head int
	len  int
}

func (q *slotQueue) push(r *Request) {
	if q.len == len(q.ring) {
		ring := make([]*Request, max(2*len(q.ring), 4))
		for i := range q.len {
			ring[i] = q.at(i)
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.len)&(len(q.ring)-1)] = r
	q.len++
}

func (q *slotQueue) at(i int) *Request { return q.ring[(q.head+i)&(len(q.ring)-1)] }

// front is the oldest request, nil when there is none.
func (q *slotQueue) front() *Request {
	if q.len == 0 {
		return nil
	}
	return q.ring[q.head]
}

func (q *slotQueue) pop() *Request {
	r := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.len--
	return r
}

// abandon gives back what the requests of an ended connection hold. Those that
// are not answered stay with the handler until it answers them.
func (q *slotQueue) abandon(l *Loop) {
	for q.len > 0 {
		r := q.pop()
		if r.state == requestAnswered {
			l.recycle(r)
			continue
		}
		r.gone = true
		r.resp.release(l)
	}
	q.ring = nil
}
