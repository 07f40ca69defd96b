package netio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"kserver/sendfile"
)

// mixed builds answers of random parts: bytes and file ranges of all sizes
// around the thresholds, with and without a descriptor.
type mixed struct {
	rnd     *rand.Rand
	sources []*memSource
	cold    bool // every other range needs warming
	ranges  int64
}

func newMixed(t *testing.T, seed uint64) *mixed {
	m := &mixed{rnd: rand.New(rand.NewPCG(seed, 7))}
	for i := range 4 {
		m.sources = append(m.sources, newSource(t, i, 3<<20, i%2 == 0))
	}
	return m
}

// size is a random size with edges more likely.
func (m *mixed) size() int {
	edges := []int{1, 500, 4 << 10, sendfile.CopyThreshold, sendfile.MultiCopyThreshold, maxBlock, sendfile.MaxWindow}
	n := edges[m.rnd.IntN(len(edges))] + m.rnd.IntN(3) - 1
	if m.rnd.IntN(2) == 0 {
		n = m.rnd.IntN(1 << m.rnd.IntN(21))
	}
	return max(n, 1)
}

// fill appends up to max parts to the answer and returns its bytes.
func (m *mixed) fill(w *Response, most int) []byte {
	var want []byte
	for range m.rnd.IntN(most + 1) {
		n := m.size()
		if m.rnd.IntN(2) == 0 {
			p := pattern(n, min(n, 300<<10))
			w.Write(p)
			want = append(want, p...)
			continue
		}
		src := m.sources[m.rnd.IntN(len(m.sources))]
		off := m.rnd.IntN(len(src.data) - n)
		m.ranges++
		if m.cold && m.rnd.IntN(2) == 0 {
			w.File(&coldSource{memSource: src}, int64(off), n)
		} else {
			w.File(src, int64(off), n)
		}
		want = append(want, src.data[off:off+n]...)
	}
	if w.Len() != len(want) {
		panic(fmt.Sprintf("length %d, want %d", w.Len(), len(want)))
	}
	return want
}

func (m *mixed) released() (n int64) {
	for _, s := range m.sources {
		n += s.released.Load()
	}
	return n
}

// coldSource needs warming for every other window; the wake-up comes from
// another goroutine.
type coldSource struct {
	*memSource
	asks int
}

func (s *coldSource) Ready(_ int64, _ int, wake func()) bool {
	if s.asks++; s.asks%2 == 0 {
		return true
	}
	go wake()
	return false
}

// Answers of bytes and ranges in any mixture arrive byte for byte, in order, to
// fast and slow readers, and every range is released once.
func TestMixedAnswers(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		for _, tc := range []struct {
			name    string
			sndbuf  int
			slow    bool
			cold    bool
			rounds  int
			answers int
		}{
			{"fast", 0, false, false, 40, 8},
			{"small send buffer", 4 << 10, true, false, 5, 4},
			{"cold", 0, false, true, 40, 8},
		} {
			t.Run(tc.name, func(t *testing.T) {
				m := newMixed(t, 11)
				m.cold = tc.cold
				wants := make(chan []byte, 1000)
				s := serve(t, b, Config{SendBufferBytes: tc.sndbuf}, &testHandler{request: func(r *Request) {
					wants <- m.fill(r.Response(), 8)
					r.Respond()
				}})
				c := s.dial()
				if tc.slow {
					c.pause = 200 * time.Microsecond
				}
				for range tc.rounds {
					for range tc.answers {
						c.send([]byte("more"))
					}
					for i := range tc.answers {
						got := c.receive()
						if want := wait(t, wants); !bytes.Equal(got, want) {
							t.Fatalf("answer %d: %s, want %s", i, brief(got), brief(want))
						}
					}
				}
				eventually(t, "all ranges are released", func() bool { return m.released() == m.ranges })
				onLoop(t, s.loops[0], func() {})
				st := s.Stats()
				if st.BytesSendfile == 0 || st.BytesCopied == 0 || st.BytesUnsendable == 0 {
					t.Errorf("not every path was taken: %+v", st)
				}
				if tc.cold != (st.ColdWaits > 0) {
					t.Errorf("%d cold waits", st.ColdWaits)
				}
			})
		}
	})
}

// What the thresholds decide, by the counters.
func TestThresholds(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		var lengths []int
		inFile, inMemory := newSource(t, 1, 1<<20, true), newSource(t, 2, 1<<20, false)
		src := inFile
		s := serve(t, b, Config{}, &testHandler{request: func(r *Request) {
			for _, n := range lengths {
				r.Response().Write([]byte("head"))
				r.Response().File(src, 10, n)
			}
			r.Respond()
		}})
		c := s.dial()
		one, many := sendfile.CopyThreshold, sendfile.MultiCopyThreshold
		for _, tc := range []struct {
			src                *memSource
			lengths            []int
			sent, copied, rest int
		}{
			{inFile, []int{one - 1}, 0, one - 1, 0},
			{inFile, []int{one}, one, 0, 0},
			{inFile, []int{one, many - 1}, 0, one + many - 1, 0},
			{inFile, []int{one, many}, many, one, 0},
			{inMemory, []int{one}, 0, 0, one},
			{inMemory, []int{one - 1}, 0, one - 1, 0},
		} {
			onLoop(t, s.loops[0], func() { src, lengths = tc.src, tc.lengths })
			before := s.Stats()
			c.send(nil)
			want := []byte{}
			for _, n := range tc.lengths {
				want = append(append(want, "head"...), tc.src.data[10:10+n]...)
			}
			c.expect(want)
			onLoop(t, s.loops[0], func() {}) // the client may be ahead of the counters
			st := s.Stats()
			got := [3]int64{st.BytesSendfile - before.BytesSendfile, st.BytesCopied - before.BytesCopied, st.BytesUnsendable - before.BytesUnsendable}
			if got != [3]int64{int64(tc.sent), int64(tc.copied), int64(tc.rest)} {
				t.Errorf("ranges of %d: %d bytes by sendfile, copied, unsendable; want %d %d %d", tc.lengths, got, tc.sent, tc.copied, tc.rest)
			}
		}
	})
}

// Without sendfile every range goes through memory, whatever its length.
func TestNoSendfile(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		lengths := []int{100, sendfile.CopyThreshold, maxBlock - 1, maxBlock, sendfile.MaxWindow + maxBlock + 1}
		src := newSource(t, 1, 2<<20, true)
		s := serve(t, b, Config{NoSendfile: true}, &testHandler{request: func(r *Request) {
			for _, n := range lengths {
				r.Response().Write([]byte("head"))
				r.Response().File(src, 10, n)
			}
			r.Respond()
		}})
		c := s.dial()
		c.send(nil)
		var want []byte
		var bytes int64
		for _, n := range lengths {
			want = append(append(want, "head"...), src.data[10:10+n]...)
			bytes += int64(n)
		}
		c.expect(want)
		eventually(t, "all ranges are released", func() bool { return src.released.Load() == int64(len(lengths)) })
		onLoop(t, s.loops[0], func() {}) // the client may be ahead of the counters
		if st := s.Stats(); st.BytesSendfile != 0 || st.BytesCopied+st.BytesUnsendable != bytes {
			t.Errorf("%d bytes by sendfile, %d of small ranges and %d of large ones through memory; want %d through memory",
				st.BytesSendfile, st.BytesCopied, st.BytesUnsendable, bytes)
		}
	})
}

// A cold range parks its own connection only, in windows of at most 1 MiB.
func TestColdRangeParksItsConnection(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		for _, n := range []int{100, 3<<20 + 5} {
			src := newSource(t, 1, n+1, true)
			src.cold = true
			s := serve(t, b, Config{}, &testHandler{request: func(r *Request) {
				if string(r.Frame()) != "file" {
					echo(r)
					return
				}
				r.Response().Write([]byte("head"))
				r.Response().File(src, 1, n)
				r.Respond()
			}})
			parked, other := s.dial(), s.dial()
			parked.send([]byte("file"))
			parked.send([]byte("behind"))
			eventually(t, "the answer is parked", func() bool { return s.Stats().ColdWaits == 1 })
			for range 10 {
				other.send([]byte("x"))
				other.expect([]byte("x"))
			}
			src.warmUp(t)
			parked.expect(append([]byte("head"), src.data[1:]...))
			parked.expect([]byte("behind"))
			onLoop(t, s.loops[0], func() {
				for _, k := range src.asked {
					if k > sendfile.MaxWindow {
						t.Errorf("Ready was asked for %d bytes", k)
					}
				}
			})
			if n := src.released.Load(); n != 1 {
				t.Errorf("released %d times", n)
			}
		}
	})
}

func TestCloseWhileCold(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		for _, n := range []int{100, 1 << 20} {
			src := newSource(t, 1, n, true)
			src.cold = true
			var conn *Conn
			s := serve(t, b, Config{}, &testHandler{request: func(r *Request) {
				conn = r.Conn()
				r.Response().File(src, 0, n)
				r.Response().File(src, 0, n)
				r.Respond()
			}})
			s.dial().send([]byte("file"))
			eventually(t, "the answer is parked", func() bool { return s.Stats().ColdWaits == 1 })
			onLoop(t, s.loops[0], func() { conn.Close(nil) })
			eventually(t, "the connection is gone", func() bool { return s.Stats().Connections == 0 })
			src.warmUp(t)
			onLoop(t, s.loops[0], func() {})
			if n := src.released.Load(); n != 2 {
				t.Errorf("%d of 2 ranges released", n)
			}
		}
	})
}

// The peer resets while large answers are under way, from memory and from files.
func TestResetDuringSend(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		src := newSource(t, 1, 8<<20, true)
		s := serve(t, b, Config{}, &testHandler{request: func(r *Request) {
			if len(r.Frame())%2 == 0 {
				r.Response().Write(src.data)
			}
			r.Response().File(src, 0, len(src.data))
			r.Respond()
		}})
		const n = 20
		for i := range n {
			c := s.dial()
			c.send(make([]byte, i))
			if _, err := io.ReadFull(c, make([]byte, 1000*i)); err != nil {
				t.Fatal(err)
			}
			if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		eventually(t, "connections are gone", func() bool { return s.Stats().Accepted == n && s.Stats().Connections == 0 })
		if k, sent := src.released.Load(), s.Stats().Frames; k != sent || sent < n/2 {
			t.Errorf("%d of %d ranges released", k, sent)
		}
	})
}

// failingSource cannot be read.
type failingSource struct{ *memSource }

func (failingSource) ReadAt([]byte, int64) (int, error) { return 0, os.ErrInvalid }

// A range that cannot be delivered as promised ends the connection: the length
// has been sent.
func TestRangeThatCannotBeRead(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		for name, tc := range map[string]struct {
			n    int // bytes promised of a file of 100,000
			bad  bool
			want error
		}{
			"read error":              {n: 100, bad: true, want: os.ErrInvalid},
			"sendfile past the end":   {n: 200_000, want: io.ErrUnexpectedEOF},
			"read past the end":       {n: 8 << 10, want: io.ErrUnexpectedEOF},
			"windows past the end":    {n: 200_000, bad: true, want: os.ErrInvalid},
			"no descriptor, past end": {n: 150_000, want: io.ErrUnexpectedEOF},
		} {
			t.Run(name, func(t *testing.T) {
				src := newSource(t, 1, 100_000, name == "sendfile past the end")
				closed := make(chan error, 1)
				s := serve(t, b, Config{}, &testHandler{
					request: func(r *Request) {
						off := int64(0)
						if tc.n < 100_000 {
							off = 99_000
						}
						if tc.bad {
							r.Response().File(failingSource{src}, off, tc.n)
						} else {
							r.Response().File(src, off, tc.n)
						}
						r.Respond()
					},
					closed: func(_ *Conn, err error) { closed <- err },
				})
				c := s.dial()
				c.send(nil)
				if _, err := readFrame(c); err == nil {
					t.Error("a whole answer arrived")
				}
				if err := wait(t, closed); !errors.Is(err, tc.want) {
					t.Errorf("closed with %v, want %v", err, tc.want)
				}
				if n := src.released.Load(); n != 1 {
					t.Errorf("released %d times", n)
				}
			})
		}
	})
}

// One connection takes at most its share per turn.
func TestOutputShareOfATurn(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		const total = 32 << 20
		src := newSource(t, 1, total, true)
		s := serve(t, b, Config{SendBufferBytes: 8 << 20}, &testHandler{request: func(r *Request) {
			r.Response().File(src, 0, total)
			r.Respond()
		}})
		c := s.dial()
		before := s.Stats().Turns
		c.send(nil)
		if got := c.receive(); !bytes.Equal(got, src.data) {
			t.Fatal("wrong bytes")
		}
		if turns := s.Stats().Turns - before; turns < total/turnBytes {
			t.Errorf("%d bytes in %d turns", total, turns)
		}
	})
}

func TestQueuedOutputStopsDelivery(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		src := newSource(t, 1, 4<<20, true)
		s := serve(t, b, Config{MaxQueuedOutputBytes: 1 << 20, SendBufferBytes: 64 << 10}, &testHandler{request: func(r *Request) {
			r.Response().File(src, 0, len(src.data))
			r.Respond()
		}})
		c := s.dial()
		const n = 4
		for range n {
			c.send([]byte("x"))
		}
		eventually(t, "the socket is full", func() bool { return s.Stats().SocketFull > 0 })
		onLoop(t, s.loops[0], func() {})
		if k := s.Stats().Frames; k != 1 {
			t.Errorf("%d frames delivered while the first answer waits", k)
		}
		for range n {
			c.expect(src.data)
		}
	})
}

// Who does not read the answers is not served further, however little is queued.
func TestFullSocketStopsDelivery(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		answer := pattern(1, 6<<20) // more than the buffers of both ends take
		s := serve(t, b, Config{SendBufferBytes: 4 << 10}, &testHandler{request: func(r *Request) {
			r.Response().Write(answer[:1+int(r.Frame()[0])*(len(answer)-1)])
			r.Respond()
		}})
		c := s.dial()
		c.send([]byte{1})
		eventually(t, "the answer is on its way", func() bool { return s.Stats().Frames == 1 })
		for range 4 { // turns in which the first send could have ended
			onLoop(t, s.loops[0], func() {})
		}
		const more = 20
		received := s.Stats().BytesReceived
		for range more {
			c.send([]byte{0})
		}
		eventually(t, "all requests are received", func() bool { return s.Stats().BytesReceived == received+more*5 })
		onLoop(t, s.loops[0], func() {})
		if n := s.Stats().Frames; n != 1 {
			t.Errorf("%d requests served while nobody reads", n)
		}
		c.expect(answer)
		for range more {
			c.expect(answer[:1])
		}
	})
}

func TestStalledOutputIsClosed(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		for _, inFile := range []bool{true, false} {
			src := newSource(t, 1, 16<<20, inFile)
			closed := make(chan error, 1)
			s := serve(t, b, Config{OutputStallTimeout: 100 * time.Millisecond, SendBufferBytes: 4 << 10}, &testHandler{
				request: func(r *Request) {
					r.Response().File(src, 0, len(src.data))
					r.Respond()
				},
				closed: func(_ *Conn, err error) { closed <- err },
			})
			c := s.dial()
			c.send(nil)
			if err := wait(t, closed); !errors.Is(err, ErrOutputStalled) {
				t.Errorf("closed with %v", err)
			}
			if n := src.released.Load(); n != 1 {
				t.Errorf("released %d times", n)
			}
		}
	})
}
