// Idle measures what a broker pays for clients and partitions that do nothing, or little: memory and threads for each
// of many partitions, silent connections, members of groups that send heartbeats, and fetches that wait.
//
// Each kind is opened beside those before it only as far as it needs them (partitions stay), measured, and closed
// again. The broker is a process of its own, so its memory is its own; that of the kernel for sockets is not counted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/bench/internal/launch"
	"kserver/bench/internal/program"
	"kserver/cmd/kbench/process"
	"kserver/cmd/kbench/wire"
)

const (
	command = launch.DefaultCommand + " --override group.initial.rebalance.delay.ms=0"
	topic   = "idle"
	timeout = 60 * time.Second
	// dialers is how many connections are opened at the same time.
	dialers = 32
	// fetchWait is how long fetches wait: longer than they are measured.
	fetchWait = 5 * time.Minute
	// writers are the connections that write to partitions, and batchValueBytes the value in each of their batches.
	writers         = 8
	batchValueBytes = 1000
	// heartbeats is how often each member sends one while it is measured.
	heartbeats = 2
)

type options struct {
	launch.Options
	partitions, batches, connections, members, waits int
	settle                                           time.Duration
	maxBytes                                         int64
}

func main() { program.Main(newCommand()) }

func newCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use: "idle", Short: "Measure what a broker pays for what does nothing",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.InPlace("idle", func(p *launch.Place) error { return run(cmd.Context(), o, p, cmd.OutOrStdout()) })
		},
	}
	o.AddFlags(cmd, command)
	f := cmd.Flags()
	f.IntVar(&o.partitions, "partitions", 2000, "partitions, each with its files")
	f.IntVar(&o.batches, "batches", 1, "batches written to each partition")
	f.IntVar(&o.connections, "connections", 10000, "connections that have asked for the API versions and are silent")
	f.IntVar(&o.members, "members", 10000, "connections of group members that send heartbeats")
	f.IntVar(&o.waits, "fetches", 5000, "connections with a fetch that waits for records")
	f.DurationVar(&o.settle, "settle", 2*time.Second, "time before each measurement")
	f.Int64Var(&o.maxBytes, "max-bytes", 0, "resident bytes a connection may cost, whatever it does; more is a failure, 0 for no limit")
	return cmd
}

// broker is the one that is measured.
type broker struct {
	addr string
	pid  int
}

// kind is something of which there are many. open returns how to close it.
type kind struct {
	name  string
	n     int
	open  func(ctx context.Context, b *broker, n int) (io.Closer, error)
	stays bool // it is no connection
}

func run(ctx context.Context, o *options, place *launch.Place, out io.Writer) (err error) {
	p, err := place.Start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Terminate(timeout)) }()
	b := &broker{place.Addr(), p.PID()}
	first, err := p.Connect(ctx, b.addr, timeout)
	if err != nil {
		return err
	}
	defer first.Close()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight) // Flush reports what fails
	fmt.Fprintln(w, "kind\tnumber\tRSS before\tRSS with\tbytes each\tthreads before\tthreads with\tRSS after\t")
	var failed error
	for _, k := range []kind{
		{"partitions", o.partitions, openPartitions, true}, {"written partitions", o.partitions, o.writePartitions, true},
		{"silent connections", o.connections, openSilent, false},
		{"group members", o.members, openMembers, false}, {"waiting fetches", o.waits, openFetches, false},
	} {
		if k.n == 0 {
			continue
		}
		each, err := measure(ctx, o, b, &k, w)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		if o.maxBytes > 0 && each > o.maxBytes && !k.stays {
			failed = errors.Join(failed, fmt.Errorf("%s: %d bytes each, more than %d", k.name, each, o.maxBytes))
		}
	}
	return errors.Join(w.Flush(), failed)
}

func measure(ctx context.Context, o *options, b *broker, k *kind, w io.Writer) (each int64, err error) {
	read := func() (rss int64, threads int, err error) {
		select {
		case <-time.After(o.settle):
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
		u, err := process.Read(b.pid)
		if err != nil {
			return 0, 0, err
		}
		tasks, err := os.ReadDir("/proc/" + strconv.Itoa(b.pid) + "/task")
		return u.RSSBytes, len(tasks), err
	}
	before, threadsBefore, err := read()
	if err != nil {
		return 0, err
	}
	c, err := k.open(ctx, b, k.n)
	if err != nil {
		return 0, err
	}
	with, threads, err := read()
	if err := errors.Join(err, c.Close()); err != nil {
		return 0, err
	}
	after, _, err := read()
	if err != nil {
		return 0, err
	}
	each = (with - before) / int64(k.n)
	size := func(n int64) string { return humanize.IBytes(uint64(n)) }
	fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%d\t%d\t%s\t\n", k.name, k.n, size(before), size(with), each, threadsBefore, threads, size(after))
	return each, nil
}

// connections are open ones.
type connections []*wire.Conn

// Close implements io.Closer.
func (c connections) Close() error {
	var errs []error
	for _, conn := range c {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// open dials n connections and calls each on every one.
func open(ctx context.Context, b *broker, n int, each func(i int, c *wire.Conn) error) (io.Closer, error) {
	all := make(connections, 0, n)
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	for d := range dialers {
		wg.Go(func() {
			for i := d; i < n; i += dialers {
				c, err := wire.Dial(ctx, b.addr, "idle", timeout)
				if err == nil && each != nil {
					err = each(i, c)
				}
				mu.Lock()
				if c != nil {
					all = append(all, c)
				}
				if failed == nil {
					failed = err
				}
				stop := failed != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return nil, errors.Join(failed, all.Close())
	}
	return all, nil
}

// nothing closes nothing.
type nothing struct{}

// Close implements io.Closer.
func (nothing) Close() error { return nil }

func openPartitions(ctx context.Context, b *broker, n int) (io.Closer, error) {
	c, err := wire.Dial(ctx, b.addr, "idle", timeout)
	if err != nil {
		return nil, err
	}
	return nothing{}, errors.Join(c.CreateTopic(topic, n), c.Close())
}

// writePartitions has idempotent producers write batches to each of the n partitions.
func (o *options) writePartitions(ctx context.Context, b *broker, n int) (io.Closer, error) {
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wg.Go(func() {
			conn, err := wire.Dial(ctx, b.addr, "idle", timeout)
			if err == nil {
				err = errors.Join(o.write(ctx, conn, i, n), conn.Close())
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return nothing{}, errors.Join(errs...)
}

// write is what one producer writes: to every writers-th partition from first on.
func (o *options) write(ctx context.Context, conn *wire.Conn, first, n int) error {
	id, epoch, err := conn.InitProducerID()
	if err != nil {
		return err
	}
	answers, err := conn.NewProduceReader()
	if err != nil {
		return err
	}
	for round := range int32(o.batches) {
		for p := first; p < n; p += writers {
			batch, err := wire.EncodeBatch(1, batchValueBytes, wire.CodecNone, time.Now().UnixMilli(), func(int, []byte) {})
			if err != nil {
				return err
			}
			frame, err := conn.NewProduceFrame(topic, int32(p), -1, int32(timeout/time.Millisecond), batch)
			if err != nil {
				return err
			}
			frame.Batch.SetProducer(id, epoch, round)
			frame.Batch.Seal()
			if err := conn.WriteFrame(frame.Bytes(), 1); err != nil {
				return err
			}
			res, err := answers.Next()
			if err := errors.Join(err, res.Err, ctx.Err()); err != nil {
				return fmt.Errorf("partition %d: %w", p, err)
			}
		}
	}
	return nil
}

func openSilent(ctx context.Context, b *broker, n int) (io.Closer, error) {
	return open(ctx, b, n, nil)
}

// openMembers makes n groups of one member.
func openMembers(ctx context.Context, b *broker, n int) (io.Closer, error) {
	return open(ctx, b, n, func(i int, c *wire.Conn) error {
		group := fmt.Sprintf("idle-%d", i)
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorKey, find.CoordinatorKeys = group, []string{group}
		join := kmsg.NewPtrJoinGroupRequest()
		join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = group, 300_000, 300_000, "consumer"
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0}}}
		joined, err := joinGroup(c, find, join)
		if err != nil {
			return err
		}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Group, sync.Generation, sync.MemberID = group, joined.Generation, joined.MemberID
		sync.ProtocolType, sync.Protocol = joined.ProtocolType, joined.Protocol
		resp, err := c.Do(sync, timeout)
		if err != nil {
			return err
		}
		code := resp.(*kmsg.SyncGroupResponse).ErrorCode
		for range heartbeats {
			beat := kmsg.NewPtrHeartbeatRequest()
			beat.Group, beat.Generation, beat.MemberID = group, joined.Generation, joined.MemberID
			if resp, err = c.Do(beat, timeout); err != nil {
				return err
			}
			code = max(code, resp.(*kmsg.HeartbeatResponse).ErrorCode)
		}
		return kerr.ErrorForCode(code)
	})
}

// joinGroup joins as soon as the group has a coordinator, which creates its topic for the first.
func joinGroup(c *wire.Conn, find *kmsg.FindCoordinatorRequest, join *kmsg.JoinGroupRequest) (*kmsg.JoinGroupResponse, error) {
	for end := time.Now().Add(timeout); ; {
		if _, err := c.Do(find, timeout); err != nil {
			return nil, err
		}
		resp, err := c.Do(join, timeout)
		if err != nil {
			return nil, err
		}
		joined := resp.(*kmsg.JoinGroupResponse)
		err = kerr.ErrorForCode(joined.ErrorCode)
		switch {
		case err == nil:
			return joined, nil
		case errors.Is(err, kerr.MemberIDRequired):
			join.MemberID = joined.MemberID
		case !kerr.IsRetriable(err) || time.Now().After(end):
			return nil, fmt.Errorf("join: %w", err)
		default:
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func openFetches(ctx context.Context, b *broker, n int) (io.Closer, error) {
	if c, err := wire.Dial(ctx, b.addr, "idle", timeout); err != nil {
		return nil, err
	} else if err := c.CreateTopic(topic, 1); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return nil, errors.Join(err, c.Close())
	} else if err := c.Close(); err != nil {
		return nil, err
	}
	return open(ctx, b, n, func(i int, c *wire.Conn) error {
		fetch := kmsg.NewPtrFetchRequest()
		fetch.Version, fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes, fetch.SessionEpoch = 11, int32(fetchWait.Milliseconds()), 1, 1<<20, -1
		t := kmsg.NewFetchRequestTopic()
		t.Topic = topic
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes = 1 << 20
		t.Partitions = append(t.Partitions, p)
		fetch.Topics = append(fetch.Topics, t)
		frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("idle")).AppendRequest(nil, fetch, int32(i))
		return c.WriteFrame(frame, int32(i))
	})
}
