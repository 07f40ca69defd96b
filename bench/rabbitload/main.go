// Rabbitload publishes to RabbitMQ as fast as confirms allow and writes a result as kbench does, so that kbench compare
// can set the two side by side. It takes kbench produce's flags as far as they mean something: partitions are queues,
// each producer has a connection and publishes to a queue of its own as long as there are as many.
//
// Kinds of queues: classic (durable, messages persistent) and quorum over AMQP 0.9.1, stream over the stream protocol
// with the client's own batches. Every message is confirmed by the broker; its latency counts from when it was handed to
// the client. A producer has at least leastInFlight messages unconfirmed, more when pipeline times batch-records is more.
//
// Files: main.go options; load.go the course of a run; amqp.go and stream.go the two protocols; result.go what is written.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// leastInFlight is how many messages a producer has unconfirmed at least: RabbitMQ's throughput needs many.
const leastInFlight = 1000

// Bounds of the options.
const (
	maxProducers  = 1024
	maxRecordSize = 1 << 20
	maxInFlight   = 1_000_000
)

type options struct {
	kind             string
	port             int
	brokerPID        int
	warmUp, duration time.Duration
	queues           int
	producers        int
	pipeline         int
	batchRecords     int
	recordSize       int
	jsonFile         string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "rabbitload:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "rabbitload", Short: "Publish to RabbitMQ as fast as confirms allow", Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			connect := connectAMQP
			if o.kind == kindStream {
				connect = connectStream
			}
			r, err := run(cmd.Context(), o, connect)
			if err != nil {
				return err
			}
			return r.write(cmd.OutOrStdout(), o.jsonFile)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.kind, "kind", kindClassic, "kind of queue: classic, quorum or stream")
	f.IntVar(&o.port, "port", 5672, "port of AMQP on 127.0.0.1; streams are on the next one")
	f.IntVar(&o.brokerPID, "broker-pid", 0, "process id of the broker, to report its CPU time and memory")
	f.DurationVar(&o.warmUp, "warm-up", 2*time.Second, "load before measuring")
	f.DurationVar(&o.duration, "duration", 10*time.Second, "measured time")
	f.IntVarP(&o.queues, "partitions", "p", 1, "number of queues")
	f.IntVar(&o.producers, "producers", 1, "number of producers, each a connection")
	f.IntVar(&o.pipeline, "pipeline", 5, "batches unconfirmed per producer")
	f.IntVar(&o.batchRecords, "batch-records", 1, "messages that count as a batch")
	f.IntVar(&o.recordSize, "record-size", 1024, "bytes of a message")
	f.StringVar(&o.jsonFile, "json", "", "write the result to this file, too")
	return cmd
}

func (o *options) validate() error {
	var errs []error
	rule := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	rule(o.kind == kindClassic || o.kind == kindQuorum || o.kind == kindStream, "--kind must be classic, quorum or stream")
	rule(o.warmUp >= 0 && o.duration > 0, "--warm-up must not be negative, --duration must be positive")
	rule(o.producers >= 1 && o.producers <= maxProducers, "--producers must be 1 to %d", maxProducers)
	rule(o.queues >= 1 && o.queues <= maxProducers, "--partitions must be 1 to %d", maxProducers)
	rule(o.pipeline >= 1 && o.batchRecords >= 1 && o.pipeline*o.batchRecords <= maxInFlight, "--pipeline and --batch-records must be positive, %d together", maxInFlight)
	rule(o.recordSize >= 1 && o.recordSize <= maxRecordSize, "--record-size must be 1 to %d", maxRecordSize)
	return errors.Join(errs...)
}

// inFlight is how many messages a producer may have unconfirmed.
func (o *options) inFlight() int { return max(leastInFlight, o.pipeline*o.batchRecords) }

// queue names the queue of a producer. Runs do not share queues, so that none begins with what another left.
func (o *options) queue(producer int, run int64) string {
	return fmt.Sprintf("rabbitload-%s-%d-%d", o.kind, run, producer%o.queues)
}
