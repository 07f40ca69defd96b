package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/broker"
	"kserver/interop/wire"
)

// TestRestart stops a broker by SIGTERM and starts it again: topics with their ids and configs,
// records, committed offsets and producer state are what they were.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := restartable(t)
	ctx := testContext(t)
	topic, group := uniqueName(t), uniqueName(t)
	newTopicAt(t, b.Addr(), topic, 2, "retention.ms=98765432")
	conn := newConnAt(t, b.Addr())
	id := topicID(t, conn, topic)
	written := franzProduce(t, topic, produceOptions{addr: b.Addr(), codec: "zstd", idempotent: true}, oddRecords(0, 100))
	producer, epoch := newProducerID(t, conn)
	first := wire.NewBatch(written[0].Timestamp, []byte("a"), []byte("b")).WithProducer(producer, epoch, 0)
	at := mustProduce(t, conn, topic, 1, first)
	commitAt(t, b.Addr(), group, topic, 42)

	for round := range 2 {
		if err := b.Terminate(); err != nil {
			t.Fatalf("SIGTERM: %v", err)
		}
		if round == 0 {
			if _, err := os.Stat(filepath.Join(b.DataDir(), ".kafka_cleanshutdown")); err != nil {
				t.Errorf("after a clean stop: %v", err)
			}
		}
		if err := b.Run(ctx); err != nil {
			t.Fatal(err)
		}
		conn = newConnAt(t, b.Addr())
		awaitTopic(t, b, topic, 2)
		if again := topicID(t, conn, topic); again != id {
			t.Errorf("topic id %x, was %x", again, id)
		}
		for _, l := range libraries {
			wantRecords(t, l.consume(t, consumeOptions{addr: b.Addr(), topic: topic, from: startOffset, count: len(written)}), written)
		}
		configs, err := kadm.NewClient(newKgoAt(t, b.Addr())).DescribeTopicConfigs(ctx, topic)
		if err != nil || configValue(configs, "retention.ms") != "98765432" {
			t.Errorf("retention.ms after the restart: %v, %v", configValue(configs, "retention.ms"), err)
		}
		coordinator := coordinatorConn(t, b.Addr(), group)
		if got := fetchOffset(t, coordinator, group, topic, id, 7); got != 42 {
			t.Errorf("committed offset %d, want 42", got)
		}
		// The producer's last batch is known, its next one continues.
		if again := mustProduce(t, conn, topic, 1, first); again != at {
			t.Errorf("repeated batch got offset %d, want %d", again, at)
		}
		next := wire.NewBatch(written[0].Timestamp, []byte("c"), []byte("d")).WithProducer(producer, epoch, int32(2*(round+1)))
		at, first = mustProduce(t, conn, topic, 1, next), next
		if another, _ := newProducerID(t, conn); another <= producer {
			t.Errorf("producer id %d handed out after %d", another, producer)
		}
	}
}

// awaitTopic waits until a restarted broker leads all partitions of a topic. (Apache Kafka accepts
// connections before it does.)
func awaitTopic(t *testing.T, b *broker.Broker, topic string, partitions int) {
	t.Helper()
	admin := kadm.NewClient(newKgoAt(t, b.Addr()))
	eventually(t, "topic "+topic, func() error {
		ends, err := admin.ListEndOffsets(testContext(t), topic)
		if err == nil {
			err = ends.Error()
		}
		if err == nil && len(ends[topic]) != partitions {
			err = fmt.Errorf("%d partitions", len(ends[topic]))
		}
		return err
	})
}

func configValue(configs kadm.ResourceConfigs, name string) string {
	for _, r := range configs {
		for _, c := range r.Configs {
			if c.Key == name {
				return c.MaybeValue()
			}
		}
	}
	return ""
}

// commitAt commits an offset of partition 0 without membership.
func commitAt(t *testing.T, addr, group, topic string, offset int64) {
	t.Helper()
	conn := coordinatorConn(t, addr, group)
	req := at(kmsg.NewPtrOffsetCommitRequest(), 7)
	req.Group, req.Generation = group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	eventually(t, "commit", func() error {
		if codes := errorCodes(ask[*kmsg.OffsetCommitResponse](t, conn, req)); len(codes) > 0 {
			return fmt.Errorf("codes %v", codes)
		}
		return nil
	})
}

// TestImmediateRestart starts a broker again the moment its process has ended, by SIGTERM and by
// SIGKILL, with clients connected: the port has to be free, whatever the kernel still does for the
// ended process.
func TestImmediateRestart(t *testing.T) {
	t.Parallel()
	b := restartable(t)
	rounds := 10
	if suite.spec.Kind == broker.Apache {
		rounds = 1 // seconds each
	}
	for range rounds {
		for _, end := range []func() error{b.Terminate, b.Kill} {
			for range 4 {
				ask[*kmsg.MetadataResponse](t, newConnAt(t, b.Addr()), at(kmsg.NewPtrMetadataRequest(), 9))
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if err := b.Run(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRestartUnderLoad stops the broker, once by SIGTERM and twice by SIGKILL, while an idempotent producer
// writes and groups of both libraries read: every acknowledged record is there afterwards, once and
// in order, and both groups read on to the end.
func TestRestartUnderLoad(t *testing.T) {
	t.Parallel()
	b := restartable(t)
	ctx := testContext(t)
	topic := uniqueName(t)
	newTopicAt(t, b.Addr(), topic, groupPartitions)
	w := newWriter(t, b.Addr(), topic)
	books := make([]*ledger, len(libraries))
	for i, l := range libraries {
		books[i] = newLedger()
		for n := range 2 {
			l.join(t, memberOptions{
				addr: b.Addr(), group: uniqueName(t) + "-" + l.name, topic: topic, strategy: "range",
				ledger: books[i], name: fmt.Sprintf("%s-%d", l.name, n),
			})
		}
	}
	for _, end := range []func() error{b.Terminate, b.Kill, b.Kill} {
		before := w.acked()
		eventually(t, "records before the stop", func() error {
			if n := w.acked() - before; n < 300 {
				return fmt.Errorf("%d records", n)
			}
			return nil
		})
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := b.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	total := w.stop(t)
	for i := range libraries {
		books[i].awaitDelivered(t, total)
	}
	// What was acknowledged is in the log exactly once, in the order of each partition's producer.
	for p := range int32(groupPartitions) {
		want := w.ackedOf(p)
		got := franz.consume(t, consumeOptions{addr: b.Addr(), topic: topic, partition: p, from: startOffset, count: len(want)})
		for i, r := range got {
			if want[i] != string(r.Value) || r.Offset != int64(i) {
				t.Fatalf("partition %d: offset %d holds %q, want %q", p, r.Offset, r.Value, want[i])
			}
		}
	}
}

// writer produces idempotently to all partitions and remembers what was acknowledged; it retries
// through restarts.
type writer struct {
	client *kgo.Client
	quit   chan struct{}
	done   chan struct{}

	mu     sync.Mutex
	count  int
	values [groupPartitions][]string
	err    error
}

func newWriter(t *testing.T, addr, topic string) *writer {
	t.Helper()
	w := &writer{
		client: newKgoAt(t, addr, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(64)),
		quit:   make(chan struct{}), done: make(chan struct{}),
	}
	ctx := testContext(t)
	go func() {
		defer close(w.done)
		for n := 0; ; n++ {
			select {
			case <-w.quit:
				if err := w.client.Flush(ctx); err != nil {
					w.fail(err)
				}
				return
			default:
			}
			r := &kgo.Record{Partition: int32(n % groupPartitions), Value: fmt.Appendf(nil, "%d", n)}
			w.client.Produce(ctx, r, func(r *kgo.Record, err error) { // blocks when 64 wait
				if err != nil {
					w.fail(err)
					return
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				w.count++
				w.values[r.Partition] = append(w.values[r.Partition], string(r.Value))
			})
		}
	}()
	return w
}

func (w *writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *writer) acked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

func (w *writer) ackedOf(partition int32) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.values[partition]
}

// stop flushes, waits and returns the number of acknowledged records.
func (w *writer) stop(t *testing.T) int {
	t.Helper()
	close(w.quit)
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		t.Fatalf("producing: %v", w.err)
	}
	return w.count
}
