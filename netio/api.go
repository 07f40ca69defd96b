package netio

import (
	"context"
	"net"
	"net/netip"
	"time"

	"kserver/sendfile"
)

// Server owns the listeners and the loops.
type Server struct{}

// New makes a server. cfg gets its defaults.
func New(cfg Config, h Handler) (*Server, error) {
	cfg.EnsureDefaults()
	return &Server{}, cfg.Validate()
}

// Listen binds addr (network "tcp", "tcp4" or "tcp6") under a listener name. Before Start.
func (s *Server) Listen(network, addr, name string) (net.Addr, error) { return nil, ErrServerClosed }

// Start begins to accept and serve.
func (s *Server) Start() error { return ErrServerClosed }

// Drain stops accepting, answers what is in flight and closes.
func (s *Server) Drain(ctx context.Context) error { return nil }

// Close closes everything at once and waits for the loops.
func (s *Server) Close() error { return nil }

// Backend is the back-end in use and why.
func (s *Server) Backend() (Backend, string) { return BackendEpoll, "" }

// Loops are the event loops.
func (s *Server) Loops() []*Loop { return nil }

// Stats sums the counters of all loops.
func (s *Server) Stats() Stats { return Stats{} }

// Stats are counters since start, and gauges where said so.
type Stats struct {
	Connections int64 // open now
	Frames      int64
}

// Loop is one event loop.
type Loop struct{}

// Post runs f on the loop. Any goroutine.
func (l *Loop) Post(f func()) {}

// After runs f on the loop after d. Loop thread only.
func (l *Loop) After(d time.Duration, f func()) *Timer { return nil }

// Now is the time at the start of the loop's turn. Loop thread only.
func (l *Loop) Now() time.Time { return time.Time{} }

// Timer is a pending After.
type Timer struct{}

// Stop cancels the timer and reports whether it was still pending. Loop thread only.
func (t *Timer) Stop() bool { return false }

// Conn is one connection.
type Conn struct {
	// Attachment is the handler's; netio does not touch it.
	Attachment any
}

// ID is unique within the server.
func (c *Conn) ID() uint64 { return 0 }

// Loop is the loop that serves the connection.
func (c *Conn) Loop() *Loop { return nil }

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() netip.AddrPort { return netip.AddrPort{} }

// LocalAddr is our address.
func (c *Conn) LocalAddr() netip.AddrPort { return netip.AddrPort{} }

// Listener is the name given to Listen.
func (c *Conn) Listener() string { return "" }

// Close closes the connection; err is given to Closed. Loop thread only.
func (c *Conn) Close(err error) {}

// Request is one frame and its answer.
type Request struct{}

// Conn is the connection the frame came from.
func (r *Request) Conn() *Conn { return nil }

// Frame is the frame without its length.
func (r *Request) Frame() []byte { return nil }

// Keep makes the frame valid until the request is answered, and returns it.
func (r *Request) Keep() []byte { return nil }

// Hold stops delivery of further frames until answered or Proceed.
func (r *Request) Hold() {}

// Proceed ends Hold.
func (r *Request) Proceed() {}

// Response is the builder of the answer.
func (r *Request) Response() *Response { return nil }

// Respond completes the slot. Loop thread, exactly once.
func (r *Request) Respond() {}

// NoResponse completes the slot without bytes. Loop thread, exactly once.
func (r *Request) NoResponse() {}

// Response collects the parts of an answer.
type Response struct{}

// Write appends a copy of p.
func (r *Response) Write(p []byte) {}

// File appends n bytes of src from off.
func (r *Response) File(src sendfile.Source, off int64, n int) {}

// Len is the number of bytes so far, without the length prefix.
func (r *Response) Len() int { return 0 }
