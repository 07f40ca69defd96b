package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"kserver/cluster/configs"
)

// node is a composed broker.
type node interface {
	// Start opens the listeners and serves.
	Start() error
	// Listening returns NAME://host:port of each open listener.
	Listening() []string
	// Metrics returns the URLs at which metrics are read.
	Metrics() []string
	// Backend returns how sockets are driven and why.
	Backend() (name, reason string)
	// Failed tells, once, why the broker cannot go on.
	Failed() <-chan error
	// Stop answers what is in flight until ctx ends, then closes everything and leaves clean directories.
	Stop(ctx context.Context) error
}

// compose makes the broker; tests put their own in its place.
var compose = composeCluster

// serve runs the broker until a signal asks it to stop.
func serve(b *configs.Broker, skipped []string, logger *slog.Logger, stdout io.Writer) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	signal.Ignore(syscall.SIGPIPE)

	ensureProcs(b.Network.EventLoops)
	raiseOpenFiles(logger)
	limitMemory(b)
	for _, notice := range b.Notices {
		logger.Warn(notice)
	}
	for _, l := range b.Network.Controller {
		logger.Info("a controller listener is not opened: a single node keeps its controller inside", "listener", l.String())
	}
	for _, name := range skipped {
		logger.Warn("an environment variable looks like a setting and names no key", "variable", name)
	}
	if err := prepareDirs(b.Storage.Dirs, logger); err != nil {
		return err
	}
	n, err := compose(b, logger)
	if err != nil {
		return explainStart(b, err)
	}
	if err := n.Start(); err != nil {
		return explainStart(b, errors.Join(err, n.Stop(expired())))
	}
	if err := announce(stdout, b, n); err != nil {
		return errors.Join(err, stop(n, b, logger, signals))
	}
	var first os.Signal
	select {
	case first = <-signals:
	case err := <-n.Failed():
		// Whoever waits for this broker finds another one sooner if it goes at once.
		return errors.Join(err, n.Stop(expired()))
	}
	logger.Info("stopping", "signal", first.String(), "timeout", b.ShutdownTimeout)
	return stop(n, b, logger, signals)
}

// stop stops the broker within its bound; another signal ends the process at once.
func stop(n node, b *configs.Broker, logger *slog.Logger, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), b.ShutdownTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Stop(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("stopped, but not cleanly: %w", err)
		}
		logger.Info("stopped")
		return nil
	case second := <-signals:
		logger.Warn("stopped at once by a second signal; the next start will recover the logs", "signal", second.String())
		code := exitFailed
		if s, ok := second.(syscall.Signal); ok {
			code = 128 + int(s)
		}
		return exitError(code)
	}
}

// expired is a context that leaves no time.
func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// announce tells a human what was started.
func announce(w io.Writer, b *configs.Broker, n node) error {
	backend, why := n.Backend()
	if why != "" {
		backend += " (" + why + ")"
	}
	dirs := make([]string, len(b.Storage.Dirs))
	for i, dir := range b.Storage.Dirs {
		dirs[i] = dir
		if abs, err := filepath.Abs(dir); err == nil {
			dirs[i] = abs
		}
	}
	metrics := ""
	if urls := n.Metrics(); len(urls) > 0 {
		metrics = "metrics     " + strings.Join(urls, ", ") + "\n"
	}
	_, err := fmt.Fprintf(w, "%s\nlistening   %s\n%sdata        %s\nI/O         %s, %s\ndurability  %s\n",
		versionLine(), strings.Join(n.Listening(), ", "), metrics, strings.Join(dirs, ", "), backend, count(b.Network.EventLoops, "event loop"), durability(b))
	return err
}

// durability says what an acknowledgement means with this configuration.
func durability(b *configs.Broker) string {
	switch messages, _ := b.Value("log.flush.interval.messages"); messages {
	case "1":
		return "acknowledged records are on stable storage"
	default:
		return "acknowledged records are in the page cache; a crash of the machine may lose them (log.flush.interval.messages=" + messages + ")"
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
