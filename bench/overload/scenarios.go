package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/bench/internal/beside"
	"kserver/cmd/kbench/wire"
)

const (
	topic         = "overload"
	dialTimeout   = 20 * time.Second
	answerTimeout = 60 * time.Second // of one request under overload
	recordBytes   = 1000
	longestUs     = 120_000_000
	unreadAsks    = 100 // requests of a consumer that reads nothing
)

// client is what one producer got.
type client struct {
	acked   int64 // records
	latency *hdrhistogram.Histogram
	err     error
}

// produce lets n producers write until ctx ends, each to its own partition of as many as there are, one request at a
// time and no more than rate bytes per second each; the latency is that of a request from its sending.
func (o *options) produce(ctx context.Context, addr string, n int, rate float64) []client {
	clients := make([]client, n)
	var wg sync.WaitGroup
	for i := range clients {
		c := &clients[i]
		c.latency = hdrhistogram.New(1, longestUs, 3)
		wg.Go(func() { c.err = o.producer(ctx, addr, int32(i), rate, c) })
	}
	wg.Wait()
	return clients
}

func (o *options) producer(ctx context.Context, addr string, id int32, rate float64, c *client) (err error) {
	conn, err := wire.Dial(ctx, addr, fmt.Sprintf("overload-%d", id), dialTimeout)
	if err != nil {
		return ignoreEnd(ctx, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	batch, err := wire.EncodeBatch(max(1, o.batchBytes/recordBytes), recordBytes, wire.CodecNone, time.Now().UnixMilli(), func(int, []byte) {})
	if err != nil {
		return err
	}
	partition := id % int32(o.producers)
	frame, err := conn.NewProduceFrame(topic, partition, -1, int32(answerTimeout.Milliseconds()), batch)
	if err != nil {
		return err
	}
	answers, err := conn.NewProduceReader()
	if err != nil {
		return err
	}
	batch.Seal()
	began := time.Now()
	for i := int32(0); ctx.Err() == nil; i++ {
		if due := began.Add(time.Duration(float64(i) * float64(len(batch.Bytes())) / rate * float64(time.Second))); time.Until(due) > 0 {
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
				return nil
			}
		}
		sent := time.Now()
		if err := conn.SetDeadline(sent.Add(answerTimeout)); err != nil {
			return err
		}
		if err := conn.WriteFrame(frame.Bytes(), i); err != nil {
			return err
		}
		res, err := answers.Next()
		if err = errors.Join(err, res.Err); err != nil {
			return err
		}
		c.acked += int64(batch.Count())
		_ = c.latency.RecordValue(min(time.Since(sent).Microseconds(), longestUs)) // always in range
	}
	return nil
}

// ignoreEnd is nil when ctx has ended, else err.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// unreadBeside lets consumers ask for everything and read nothing until ctx ends. The broker may close them.
func (o *options) unreadBeside(ctx context.Context, addr string) func() string {
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxBytes, fetch.MinBytes, fetch.MaxWaitMillis, fetch.SessionEpoch = 11, 50<<20, 1, 10, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	for p := range int32(o.producers) {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.PartitionMaxBytes = p, 50<<20
		t.Partitions = append(t.Partitions, part)
	}
	fetch.Topics = append(fetch.Topics, t)
	ask := kmsg.NewRequestFormatter(kmsg.FormatterClientID("unread")).AppendRequest(nil, fetch, 1)
	var wg sync.WaitGroup
	var refused atomic.Int64
	for range o.unread {
		wg.Go(func() {
			c, err := net.DialTimeout("tcp", addr, dialTimeout)
			if err != nil {
				refused.Add(1)
				return
			}
			defer c.Close()
			for range unreadAsks {
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				if _, err := c.Write(ask); err != nil {
					break // the broker has stopped reading, which is right
				}
			}
			<-ctx.Done()
		})
	}
	return func() string {
		wg.Wait()
		return fmt.Sprintf("%d consumers read nothing, %d could not connect", o.unread, refused.Load())
	}
}

// reconnectBeside has another process let clients connect, ask for the API versions and leave until ctx ends.
func (o *options) reconnectBeside(ctx context.Context, addr string) func() string {
	visits := func() (served, refused int64, err error) {
		p, err := beside.Start(o.reconnectNice, "reconnect", addr, strconv.Itoa(o.reconnects))
		if err != nil {
			return 0, 0, err
		}
		<-ctx.Done()
		err = p.In.Close()
		_, err2 := fmt.Fscan(p.Out, &served, &refused)
		return served, refused, errors.Join(err, err2, p.Wait())
	}
	remark := make(chan string, 1)
	go func() {
		served, refused, err := visits()
		if err != nil {
			remark <- fmt.Sprintf("no reconnecting clients: %v", err)
			return
		}
		remark <- fmt.Sprintf("%d clients connected %d times and were refused %d times", o.reconnects, served, refused)
	}()
	return func() string { return <-remark }
}

// newReconnectCommand is the process of the clients that connect again and again until its input ends. It prints how
// often they were served, and refused.
func newReconnectCommand() *cobra.Command {
	return beside.Command("reconnect ADDRESS CLIENTS", cobra.ExactArgs(2), func(cmd *cobra.Command, args []string) error {
		clients, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(cmd.Context())
		go func() {
			_, _ = io.Copy(io.Discard, cmd.InOrStdin()) // that it has ended is all, however it did
			cancel()
		}()
		served, refused := reconnects(ctx, args[0], clients)
		_, err = fmt.Fprintln(cmd.OutOrStdout(), served, refused)
		return err
	})
}

// reconnects lets clients connect, ask and leave until ctx ends.
func reconnects(ctx context.Context, addr string, clients int) (served, refused int64) {
	ask := kmsg.NewRequestFormatter(kmsg.FormatterClientID("reconnect")).AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1)
	var wg sync.WaitGroup
	var ok, failed atomic.Int64
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := reconnect(ctx, addr, ask); err != nil {
					failed.Add(1)
					continue
				}
				ok.Add(1)
			}
		})
	}
	wg.Wait()
	return ok.Load(), failed.Load()
}

// reconnect is one such visit. It leaves with a reset, which keeps no port.
func reconnect(ctx context.Context, addr string, ask []byte) error {
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	if _, err := c.Write(ask); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 8))
	return err
}

// unlimited is the rate of a producer that waits for nothing but its answers.
const unlimited = math.MaxFloat64
