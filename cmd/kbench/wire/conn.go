package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// maxFrameBytes bounds an answer that is read as a whole. Fetch responses are read piece by piece instead.
	maxFrameBytes = 64 << 20
	// readBufferBytes is the size of a connection's read buffer.
	readBufferBytes = 256 << 10
	// correlationOffset is where a request frame holds its correlation id, after length, key and version.
	correlationOffset = 8
)

// ErrUnsupported is returned when the broker serves no version of a request that this client speaks.
var ErrUnsupported = errors.New("the broker serves no usable version of the request")

// Conn is one TCP connection to a broker. Writes and reads are independent of each other: one goroutine may use
// WriteFrame while another uses NextResponse. Do uses both and must not be mixed with them.
type Conn struct {
	c         *net.TCPConn
	formatter *kmsg.RequestFormatter
	clientID  string
	versions  map[int16][2]int16 // by API key: lowest and highest version served
	api       *kmsg.ApiVersionsResponse
	corr      int32
	out       []byte
	r         reader
	bytesRead atomic.Int64
}

// Dial connects to addr (host:port) and asks for the broker's API versions. timeout bounds both together.
func Dial(ctx context.Context, addr, clientID string, timeout time.Duration) (*Conn, error) {
	deadline := time.Now().Add(timeout)
	d := net.Dialer{Deadline: deadline}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		c:         nc.(*net.TCPConn),
		formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)),
		clientID:  clientID,
	}
	c.r.init(c.c, readBufferBytes, &c.bytesRead)
	if err := c.apiVersions(deadline); err != nil {
		return nil, errors.Join(fmt.Errorf("ask %s for its API versions: %w", addr, err), c.Close())
	}
	return c, nil
}

func (c *Conn) apiVersions(deadline time.Time) error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 3
	req.ClientSoftwareName = "kbench"
	req.ClientSoftwareVersion = "1"
	resp, err := c.exchange(req, deadline)
	if err != nil {
		return err
	}
	c.api = resp.(*kmsg.ApiVersionsResponse)
	if err := kerr.ErrorForCode(c.api.ErrorCode); err != nil {
		return err
	}
	c.versions = make(map[int16][2]int16, len(c.api.ApiKeys))
	for _, k := range c.api.ApiKeys {
		c.versions[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	return nil
}

// APIVersions returns the broker's answer to the ApiVersions request sent when connecting.
func (c *Conn) APIVersions() *kmsg.ApiVersionsResponse { return c.api }

// Version returns the highest version of an API that the broker serves and that lies in [lowest, highest], or an
// error that wraps ErrUnsupported.
func (c *Conn) Version(key, lowest, highest int16) (int16, error) {
	served, ok := c.versions[key]
	v := min(highest, served[1])
	if !ok || v < lowest || v < served[0] {
		return 0, fmt.Errorf("%s versions %d-%d, served %v: %w", kmsg.NameForKey(key), lowest, highest, served, ErrUnsupported)
	}
	return v, nil
}

// Do sends one request at the highest version both sides know and waits for its answer. Error codes inside the
// answer are the caller's business. A zero timeout waits for ever.
func (c *Conn) Do(req kmsg.Request, timeout time.Duration) (kmsg.Response, error) {
	highest := req.MaxVersion()
	if req.Key() == int16(kmsg.Produce) || req.Key() == int16(kmsg.Fetch) {
		highest = 12 // from 13 on topics are named by id
	}
	v, err := c.Version(req.Key(), 0, highest)
	if err != nil {
		return nil, err
	}
	req.SetVersion(v)
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	return c.exchange(req, deadline)
}

func (c *Conn) exchange(req kmsg.Request, deadline time.Time) (kmsg.Response, error) {
	if err := c.c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	c.corr++
	c.out = c.formatter.AppendRequest(c.out[:0], req, c.corr)
	if _, err := c.c.Write(c.out); err != nil {
		return nil, fmt.Errorf("send %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	corr, err := c.ReadResponse(resp)
	if err == nil && corr != c.corr {
		err = fmt.Errorf("correlation id %d, expected %d", corr, c.corr)
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return resp, nil
}

// ReadResponse reads the next answer as a whole into resp, whose version must be set, and returns its correlation id.
func (c *Conn) ReadResponse(resp kmsg.Response) (corr int32, err error) {
	n, corr, err := c.frameHead()
	if err != nil {
		return 0, err
	}
	if n > maxFrameBytes {
		return 0, fmt.Errorf("answer of %d bytes, more than %d", n, maxFrameBytes)
	}
	body := make([]byte, n)
	if err := c.r.full(body); err != nil {
		return 0, err
	}
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		if body, err = skipTags(body); err != nil {
			return 0, err
		}
	}
	return corr, resp.ReadFrom(body)
}

// frameHead reads length and correlation id of the next answer and returns how many bytes follow them.
func (c *Conn) frameHead() (rest int, corr int32, err error) {
	c.r.limit = 8
	head, err := c.r.peek(8)
	if err != nil {
		return 0, 0, err
	}
	size := int32(binary.BigEndian.Uint32(head))
	corr = int32(binary.BigEndian.Uint32(head[4:]))
	if size < 4 || size == math.MaxInt32 {
		return 0, 0, fmt.Errorf("answer announces %d bytes", size)
	}
	if err := c.r.skip(8); err != nil {
		return 0, 0, err
	}
	c.r.limit = int(size) - 4
	return int(size) - 4, corr, nil
}

// skipTags drops a tag section from the front of b.
func skipTags(b []byte) ([]byte, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 {
		return nil, io.ErrUnexpectedEOF
	}
	b = b[used:]
	for range n {
		_, tag := binary.Uvarint(b)
		if tag <= 0 {
			return nil, io.ErrUnexpectedEOF
		}
		size, used := binary.Uvarint(b[tag:])
		if used <= 0 || size > uint64(len(b)-tag-used) {
			return nil, io.ErrUnexpectedEOF
		}
		b = b[tag+used+int(size):]
	}
	return b, nil
}

// WriteFrame sends a whole request frame with its correlation id set to corr. The frame is patched in place and may
// be used again when WriteFrame returns.
func (c *Conn) WriteFrame(frame []byte, corr int32) error {
	binary.BigEndian.PutUint32(frame[correlationOffset:], uint32(corr))
	_, err := c.c.Write(frame)
	return err
}

// SetDeadline sets the time at which reads and writes under way and to come fail; the zero time removes it.
func (c *Conn) SetDeadline(t time.Time) error { return c.c.SetDeadline(t) }

// SetReadBuffer changes the size of the read buffer. Nothing may be unread, as after Dial, and no field of an answer may
// be larger.
func (c *Conn) SetReadBuffer(bytes int) { c.r.init(c.c, bytes, &c.bytesRead) }

// BytesRead returns how many bytes were received so far, dropped ones included. Safe for concurrent use.
func (c *Conn) BytesRead() int64 { return c.bytesRead.Load() }

// Close closes the connection; a read or write under way fails.
func (c *Conn) Close() error { return c.c.Close() }
