package main

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// kind is one way to attack. Its share of all inputs is weight in a thousand. run attacks with n inputs and returns
// when all have been sent; connections given to attack.hold stay open.
type kind struct {
	name   string
	about  string
	weight int
	run    func(a *attack, n int)
}

// kinds run in this order: those that hold connections first, the others beside them.
var kinds = []kind{
	{"lengths", "frames announced and never sent, impossible lengths", 100, (*attack).lengths},
	{"half-open", "connections that say nothing or end their side", 20, (*attack).halfOpen},
	{"slow", "one byte at a time", 20, (*attack).slow},
	{"unread", "large answers that nobody reads", 5, (*attack).unread},
	{"garbage", "random bytes", 50, (*attack).garbage},
	{"counts", "arrays, strings and tags longer than the frame", 100, (*attack).counts},
	{"requests", "every key and version with odd values", 275, (*attack).requests},
	{"damaged", "the same with bits flipped, parts cut, repeated, moved", 275, (*attack).damaged},
	{"batches", "damaged record batches", 100, (*attack).batches},
	{"bombs", "compressed batches that grow, declared sizes that lie", 5, (*attack).bombs},
	{"resets", "connect, send a little, reset", 45, (*attack).resets},
	{"floods", "many requests at once, reset before or after the answers", 5, (*attack).floods},
}

func kindNames() []string {
	names := make([]string, len(kinds))
	for i := range kinds {
		names[i] = kinds[i].name
	}
	return names
}

// count is how many of all inputs are of this kind, at least one.
func (k *kind) count(inputs int) int { return max(1, inputs*k.weight/1000) }

const (
	// workers is the number of connections a kind attacks with at the same time, unless it holds them.
	workers = 16
	// attackDialTimeout bounds connecting; the broker's backlog may be full for a moment.
	attackDialTimeout = 5 * time.Second
	// patience is how long an answer is waited for. Many inputs deserve none, or one that waits.
	patience = 40 * time.Millisecond
	// sendTimeout bounds sending where the broker may stop reading.
	sendTimeout = time.Second
	// largestAnswer is what is believed of an announced answer length.
	largestAnswer = 256 << 20
)

// attack is one kind under way.
type attack struct {
	ctx   context.Context
	addr  string
	name  string
	seed  uint64
	holds *holds

	inputs, answered, closed, silent, refused atomic.Int64
	strange                                   atomic.Int64 // answers no broker may give
}

// mostHeld is how many connections are kept open at the same time; of more, the oldest go. It stays below what one
// process may have open.
const mostHeld = 4000

// holds keeps connections open until release. It is safe for concurrent use.
type holds struct {
	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
	stop  context.CancelFunc
	ctx   context.Context
}

func newHolds(ctx context.Context) *holds {
	h := new(holds)
	h.ctx, h.stop = context.WithCancel(ctx)
	return h
}

func (h *holds) add(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns = append(h.conns, c); len(h.conns) > mostHeld {
		reset(h.conns[0])
		h.conns[0] = nil
		h.conns = h.conns[1:]
	}
}

// release ends what runs beside and resets every connection.
func (h *holds) release() {
	h.stop()
	h.mu.Lock()
	for _, c := range h.conns {
		reset(c)
	}
	h.conns = nil
	h.mu.Unlock()
	h.wg.Wait()
}

// rng returns the source of input i: the same for the same seed, kind and number.
func (a *attack) rng(i int) *rand.Rand {
	h := fnv.New64a()
	_, _ = io.WriteString(h, a.name) // never fails
	return rand.New(rand.NewPCG(a.seed, h.Sum64()+uint64(i)))
}

// each calls f for n inputs from several goroutines. A connection that f leaves in its session is used again.
func (a *attack) each(n int, f func(s *session, rng *rand.Rand)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			s := newSession(a)
			defer s.reset()
			for a.ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				a.inputs.Add(1)
				f(s, a.rng(i))
			}
		})
	}
	wg.Wait()
}

// dial returns nil when the broker cannot be reached, which is counted.
func (a *attack) dial() *net.TCPConn {
	d := net.Dialer{Timeout: attackDialTimeout}
	c, err := d.DialContext(a.ctx, "tcp", a.addr)
	if err != nil {
		a.refused.Add(1)
		return nil
	}
	return c.(*net.TCPConn)
}

// session is one connection of one goroutine, dialled when needed.
type session struct {
	a    *attack
	conn *net.TCPConn
	buf  [4]byte
	// patience is how long an answer is waited for.
	patience time.Duration
}

func newSession(a *attack) *session { return &session{a: a, patience: patience} }

func (s *session) reset() {
	if s.conn != nil {
		reset(s.conn)
		s.conn = nil
	}
}

// reset closes with RST, which leaves no port in TIME_WAIT behind. Errors do not matter: the broker may have closed.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

// send sends bytes and waits a little for one answer. It keeps the connection when there was one.
func (s *session) send(p []byte) {
	if s.conn == nil {
		if s.conn = s.a.dial(); s.conn == nil {
			return
		}
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	if err == nil {
		_, err = s.conn.Write(p)
	}
	if err == nil {
		err = s.receive(s.patience)
	}
	if s.a.count(err); err != nil {
		s.reset()
	}
}

// receive reads one answer and drops it.
func (s *session) receive(timeout time.Duration) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := io.ReadFull(s.conn, s.buf[:]); err != nil {
		return err
	}
	n := int32(binary.BigEndian.Uint32(s.buf[:]))
	if n < 4 || n > largestAnswer {
		s.a.strange.Add(1)
		return errors.New("strange answer")
	}
	_, err := io.CopyN(io.Discard, s.conn, int64(n))
	return err
}

// count notes how an input ended.
func (a *attack) count(err error) {
	switch {
	case err == nil:
		a.answered.Add(1)
	case errors.Is(err, os.ErrDeadlineExceeded):
		a.silent.Add(1)
	default:
		a.closed.Add(1)
	}
}

// frame puts the length in front of a request.
func frame(body []byte) []byte {
	return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body)
}
