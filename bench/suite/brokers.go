package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"kserver/bench/internal/launch"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
	// lastWordsBytes of a broker's log are shown after a failure.
	lastWordsBytes = 2 << 10
)

// runningBroker is a process with its directory, its port and its log.
type runningBroker struct {
	launch.Spec
	name    string
	process *launch.Process
	log     *os.File
}

// runningBrokers are those of one scenario.
type runningBrokers struct {
	dir      string
	programs *programs
	list     []*runningBroker
}

// get returns the running broker of that name and starts it when it does not run yet.
func (r *runningBrokers) get(ctx context.Context, name string) (*runningBroker, error) {
	for _, b := range r.list {
		if b.name == name {
			return b, nil
		}
	}
	b := &runningBroker{Spec: r.programs.spec(name), name: name}
	b.Dir = filepath.Join(r.dir, name)
	err := os.Mkdir(b.Dir, 0o755)
	if err != nil {
		return nil, err
	}
	if b.Port, err = launch.FreePort(); err != nil {
		return nil, err
	}
	if b.log, err = os.Create(b.Dir + ".log"); err != nil {
		return nil, err
	}
	b.Output = b.log
	if b.process, err = b.Start(); err != nil {
		return nil, errors.Join(err, b.log.Close())
	}
	r.list = append(r.list, b)
	if err := b.wait(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", name, err, launch.Tail(b.log.Name(), lastWordsBytes))
	}
	return b, nil
}

// wait waits until the broker answers, or takes connections where it does not speak Kafka's protocol.
func (b *runningBroker) wait(ctx context.Context) error {
	if brokers[b.name].amqp {
		return b.process.Until(ctx, startTimeout, func() error {
			c, err := net.DialTimeout("tcp", b.Addr(), time.Second)
			if err != nil {
				return err
			}
			return c.Close()
		})
	}
	c, err := b.process.Connect(ctx, b.Addr(), startTimeout)
	if err != nil {
		return err
	}
	return c.Close()
}

// stop ends all of them.
func (r *runningBrokers) stop() error {
	var errs []error
	for _, b := range r.list {
		if err := b.process.Terminate(stopTimeout); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", b.name, err))
		}
		errs = append(errs, b.log.Close())
	}
	return errors.Join(errs...)
}

// lastWords is an error with the ends of the brokers' logs.
func (r *runningBrokers) lastWords() error {
	var errs []error
	for _, b := range r.list {
		errs = append(errs, fmt.Errorf("last words of %s:\n%s", b.name, launch.Tail(b.log.Name(), lastWordsBytes)))
	}
	return errors.Join(errs...)
}
