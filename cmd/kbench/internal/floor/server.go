package floor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

const (
	maxFrameBytes   = 100 << 20
	readBufferBytes = 1 << 20
	// writeBufferBytes is SO_SNDBUF, kserver's default: with bbr the system's own sizing costs a cached log twice the
	// processor time per byte; without bbr it costs no more.
	writeBufferBytes = 256 << 10
	// headBytes is the least a request header has: key, version, correlation id, length of the client id.
	headBytes = 10
)

// Server is the floor. Make one with Listen.
type Server struct {
	dir     string
	journal *journal // nil when an acknowledgement promises nothing
	ln      net.Listener
	wg      sync.WaitGroup

	mu     sync.Mutex
	topics map[string]topic
	conns  map[net.Conn]struct{} // nil when closed
	errs   []error               // of connections
}

// Listen returns a server on address (host:port, an IPv4 address) that keeps its files in dir. If it is durable, what it
// acknowledges is on stable storage.
func Listen(address, dir string, durable bool) (*Server, error) {
	ln, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, ln: ln, topics: make(map[string]topic), conns: make(map[net.Conn]struct{})}
	if durable {
		if s.journal, err = openJournal(dir); err != nil {
			return nil, errors.Join(err, ln.Close())
		}
	}
	s.wg.Go(s.accept)
	return s, nil
}

// Address is where the server listens.
func (s *Server) Address() *net.TCPAddr { return s.ln.Addr().(*net.TCPAddr) }

// Close ends all connections, removes the files and returns what went wrong with connections.
func (s *Server) Close() error {
	err := s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close() // its goroutine ends with it
	}
	s.conns = nil
	s.mu.Unlock()
	s.wg.Wait()
	errs := append(s.errs, err)
	if s.journal != nil {
		errs = append(errs, s.journal.close())
	}
	for _, t := range s.topics {
		errs = append(errs, t.close())
	}
	return errors.Join(errs...)
}

func (s *Server) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		if s.conns == nil {
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() {
			served := &conn{server: s, tcp: c.(*net.TCPConn), in: make([]byte, readBufferBytes)}
			err := served.tcp.SetWriteBuffer(writeBufferBytes)
			if err == nil {
				err = served.serve()
			}
			_ = c.Close() // nothing is left to be sent
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, c)
			if s.conns != nil && !ended(err) {
				s.errs = append(s.errs, err)
			}
		})
	}
}

// ended reports whether an error only says that the client went away.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
}

// conn is one connection.
type conn struct {
	server *Server
	tcp    *net.TCPConn
	in     []byte
	out    []byte // answers that wait until no whole request is left in the buffer
	round  uint64 // of the journal that must be durable before they are sent; 0 for none
	// Used again by each produce request.
	produced *kmsg.ProduceResponse
	reader   kbin.Reader
}

// serve answers requests until the client ends.
func (c *conn) serve() error {
	from, to := 0, 0 // what is read and not yet looked at
	for {
		for to-from >= 4 {
			size := int(binary.BigEndian.Uint32(c.in[from:]))
			if size < headBytes || size > maxFrameBytes {
				return fmt.Errorf("a request of %d bytes", size)
			}
			if to-from < 4+size {
				if 4+size > len(c.in) {
					c.in = append(c.in[from:to:to], make([]byte, 4+size-(to-from))...)
					from, to = 0, to-from
				}
				break
			}
			if err := c.request(c.in[from+4 : from+4+size]); err != nil {
				return err
			}
			from += 4 + size
		}
		if err := c.flush(); err != nil {
			return err
		}
		if from > 0 { // what is left of a request goes to the front
			to = copy(c.in, c.in[from:to])
			from = 0
		}
		n, err := c.tcp.Read(c.in[to:])
		if err != nil {
			return err
		}
		to += n
	}
}

func (c *conn) flush() error {
	if c.round > 0 {
		if err := c.server.journal.wait(c.round); err != nil {
			return err
		}
		c.round = 0
	}
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.tcp.Write(c.out)
	c.out = c.out[:0]
	return err
}

// request answers one request, or leaves its answer in out.
func (c *conn) request(frame []byte) error {
	key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
	corr := binary.BigEndian.Uint32(frame[4:])
	client := max(0, int(int16(binary.BigEndian.Uint16(frame[8:]))))
	if headBytes+client > len(frame) {
		return fmt.Errorf("request %d: the header is cut off", key)
	}
	body := frame[headBytes+client:]
	switch {
	case kmsg.Key(key) == kmsg.Produce && version == produceVersion:
		return c.produce(corr, body)
	case kmsg.Key(key) == kmsg.Fetch && version == fetchVersion:
		return c.fetch(corr, body)
	}
	return c.admin(key, version, corr, body)
}

// answer puts a response behind the others that wait.
func (c *conn) answer(corr uint32, resp kmsg.Response) {
	start := len(c.out)
	c.out = append(c.out, 0, 0, 0, 0)
	c.out = binary.BigEndian.AppendUint32(c.out, corr)
	if resp.IsFlexible() && kmsg.Key(resp.Key()) != kmsg.ApiVersions {
		c.out = append(c.out, 0) // no tags in the header
	}
	c.out = resp.AppendTo(c.out)
	binary.BigEndian.PutUint32(c.out[start:], uint32(len(c.out)-start-4))
}

// skipTags passes over a section of tagged fields.
func skipTags(r *kbin.Reader) {
	for n := r.Uvarint(); n > 0 && r.Ok(); n-- {
		r.Uvarint()
		r.Span(int(r.Uvarint()))
	}
}
