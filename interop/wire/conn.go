package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// MaxFrameBytes bounds a response frame; a broker that announces more is taken to be out of step.
const MaxFrameBytes = 256 << 20

// DefaultTimeout is how long one read or write may take before the connection fails.
const DefaultTimeout = 45 * time.Second

// ErrCorrelation is returned when a response does not carry the correlation id of the request it
// is expected to answer: the broker answered out of order or lost a response.
var ErrCorrelation = errors.New("response carries another correlation id")

// ErrNotCanonical is returned when a decoded response does not encode to the bytes it came from.
var ErrNotCanonical = errors.New("response does not encode to the bytes received")

// Conn is one connection to a broker.
type Conn struct {
	nc          net.Conn
	formatter   *kmsg.RequestFormatter
	correlation int32
	timeout     time.Duration
}

// Sent is a request that waits for its response.
type Sent struct {
	Request     kmsg.Request
	Correlation int32
}

// Dial connects to addr ("host:port") with the given client id.
func Dial(ctx context.Context, addr, clientID string) (*Conn, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	nc, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Conn{
		nc:        nc,
		formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)),
		timeout:   DefaultTimeout,
	}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.nc.Close() }

// SetTimeout replaces DefaultTimeout for the reads and writes that follow.
func (c *Conn) SetTimeout(d time.Duration) { c.timeout = d }

// LocalAddr is the client's end of the connection.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// AppendFrame appends req, as version req.GetVersion(), with its length in front. The correlation
// id is the connection's next.
func (c *Conn) AppendFrame(dst []byte, req kmsg.Request) ([]byte, Sent) {
	c.correlation++
	frame := c.formatter.AppendRequest(nil, req, c.correlation) // writes the length at the start of its argument
	return append(dst, frame...), Sent{Request: req, Correlation: c.correlation}
}

// Send writes one request and does not wait.
func (c *Conn) Send(req kmsg.Request) (Sent, error) {
	frame, sent := c.AppendFrame(nil, req)
	return sent, c.Write(frame)
}

// Write sends bytes as they are; the caller has put the length in front.
func (c *Conn) Write(p []byte) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := c.nc.Write(p)
	return err
}

// ReadFrame reads one frame and returns it without its length. io.EOF means that the broker closed
// the connection between frames.
func (c *Conn) ReadFrame() ([]byte, error) {
	if err := c.nc.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		return nil, err
	}
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size < 4 || size > MaxFrameBytes {
		return nil, fmt.Errorf("response frame of %d bytes", size)
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(c.nc, frame); err != nil {
		return nil, fmt.Errorf("in a frame of %d bytes: %w", size, err)
	}
	return frame, nil
}

// Receive reads the response to sent, which must be the oldest request without one.
func (c *Conn) Receive(sent Sent) (kmsg.Response, error) {
	frame, err := c.ReadFrame()
	if err != nil {
		return nil, fmt.Errorf("%s v%d: %w", kmsg.NameForKey(sent.Request.Key()), sent.Request.GetVersion(), err)
	}
	return Decode(frame, sent)
}

// Do sends one request and returns its response.
func (c *Conn) Do(req kmsg.Request) (kmsg.Response, error) {
	sent, err := c.Send(req)
	if err != nil {
		return nil, err
	}
	return c.Receive(sent)
}

// Decode parses a response frame: header, body, nothing behind it.
func Decode(frame []byte, sent Sent) (kmsg.Response, error) {
	name := kmsg.NameForKey(sent.Request.Key())
	if got := int32(binary.BigEndian.Uint32(frame)); got != sent.Correlation {
		return nil, fmt.Errorf("%s: %w: got %d, want %d", name, ErrCorrelation, got, sent.Correlation)
	}
	body := frame[4:]
	resp := sent.Request.ResponseKind()
	resp.SetVersion(sent.Request.GetVersion())
	// The ApiVersions response header never has tags (KIP-511); all flexible others do, and
	// no response header tag is defined yet, so the count is one zero byte.
	if resp.IsFlexible() && resp.Key() != 18 {
		if len(body) == 0 || body[0] != 0 {
			return nil, fmt.Errorf("%s v%d: response header tags are not empty", name, resp.GetVersion())
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%s v%d: decode: %w", name, resp.GetVersion(), err)
	}
	if again := resp.AppendTo(nil); string(again) != string(body) {
		return nil, fmt.Errorf("%s v%d: %w: %d bytes, encoded %d, first difference at %d",
			name, resp.GetVersion(), ErrNotCanonical, len(body), len(again), firstDifference(again, body))
	}
	return resp, nil
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// WaitClosed reads until the broker closes the connection and reports an error when it sends a
// frame or keeps the connection open past the timeout.
func (c *Conn) WaitClosed(timeout time.Duration) error {
	if err := c.nc.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	var one [1]byte
	n, err := c.nc.Read(one[:])
	var ne net.Error
	switch {
	case n > 0:
		return errors.New("the broker answered instead of closing the connection")
	case errors.As(err, &ne) && ne.Timeout():
		return fmt.Errorf("the connection is still open after %v", timeout)
	default:
		return nil // EOF or a reset: closed.
	}
}
