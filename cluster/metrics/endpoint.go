package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of the endpoint.
const (
	// maxConnections bounds open connections of one listener: a few scrapers, and a human.
	maxConnections = 16
	// maxScrapes bounds scrapes at a time; another gets 503.
	maxScrapes = 4
	// maxHeaderBytes bounds a request.
	maxHeaderBytes = 16 << 10
	// requestTimeout bounds the arrival of a request, answerTimeout what follows.
	requestTimeout = 5 * time.Second
	answerTimeout  = 30 * time.Second
	// idleTimeout closes connections between scrapes; it is longer than the usual interval of a minute.
	idleTimeout = 2 * time.Minute
	// closeTimeout is how long Close waits for scrapes under way.
	closeTimeout = time.Second
)

// Path is where metrics are read.
const Path = "/metrics"

// Endpoint serves metrics over HTTP. A nil Endpoint serves nothing.
type Endpoint struct {
	listeners []net.Listener
	server    http.Server
	logger    *slog.Logger
	serving   sync.WaitGroup
}

// Open binds the addresses, host:port. Without any it returns nil. Nothing is answered before Serve.
func Open(addresses []string, src *Sources, logger *slog.Logger) (*Endpoint, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	e := &Endpoint{logger: logger}
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("metrics.listeners: %w", err), e.closeListeners())
		}
		e.listeners = append(e.listeners, &boundedListener{Listener: l, free: make(chan struct{}, maxConnections), closed: make(chan struct{})})
	}
	e.server = http.Server{
		Handler: handler(src, logger), ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	return e, nil
}

// handler answers GET and HEAD of Path, and of / with where to go. The registry is made for the first scrape.
func handler(src *Sources, logger *slog.Logger) http.Handler {
	scrape := sync.OnceValue(func() http.Handler {
		r := prometheus.NewRegistry()
		r.MustRegister(newCatalogue(src), clients{src.Telemetry}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		return promhttp.HandlerFor(r, promhttp.HandlerOpts{
			ErrorLog: scrapeErrors{logger}, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes, EnableOpenMetrics: true,
		})
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path, func(w http.ResponseWriter, r *http.Request) { scrape().ServeHTTP(w, r) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!DOCTYPE html><title>kserver</title><a href=\"%s\">metrics</a>\n", Path)
	})
	return mux
}

// scrapeErrors logs what promhttp has to say. It implements promhttp.Logger.
type scrapeErrors struct{ logger *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeErrors) Println(v ...any) {
	l.logger.Warn("scrape of metrics", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}

// URLs are where metrics are read.
func (e *Endpoint) URLs() (urls []string) {
	if e == nil {
		return nil
	}
	for _, l := range e.listeners {
		urls = append(urls, "http://"+l.Addr().String()+Path)
	}
	return urls
}

// Serve begins to answer.
func (e *Endpoint) Serve() {
	if e == nil {
		return
	}
	for _, l := range e.listeners {
		e.serving.Go(func() {
			if err := e.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				e.logger.Error("metrics are served no more", "listener", l.Addr().String(), "err", err)
			}
		})
	}
}

// Close ends the endpoint, with scrapes under way after a moment. A second Close does nothing.
func (e *Endpoint) Close() error {
	if e == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := e.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = e.server.Close()
	}
	err = errors.Join(err, e.closeListeners()) // those that were never served
	e.serving.Wait()
	return err
}

func (e *Endpoint) closeListeners() error {
	var errs []error
	for _, l := range e.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// boundedListener accepts while fewer than cap(free) of its connections are open.
type boundedListener struct {
	net.Listener
	free   chan struct{} // holds one for each open connection
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &boundedConn{Conn: c, l: l}, nil
}

// Close implements net.Listener.
func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	l    *boundedListener
	once sync.Once
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.once.Do(func() { <-c.l.free })
	return c.Conn.Close()
}
