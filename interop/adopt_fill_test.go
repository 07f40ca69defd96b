package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/interop/broker"
)

// What lies in the Kafka directory that TestAdopt and cluster/adopt read.
const (
	adoptCodecs    = "codecs"    // two partitions, batches of all codecs, several segments
	adoptTxns      = "txns"      // committed and aborted transactions, interleaved
	adoptCompacted = "compacted" // compacted at least once
	adoptDeleted   = "deleted"   // records deleted at its front
	adoptGroup     = "readers"
	adoptTxnGroup  = "txn-readers"
)

// adoptSettings make Kafka compact at once, and its metadata a log that begins behind a snapshot.
var adoptSettings = map[string]string{
	"metadata.log.max.record.bytes.between.snapshots": "2000", "internal.metadata.log.segment.bytes": "3000",
	"internal.metadata.max.batch.size.in.bytes": "3000", "metadata.max.retention.bytes": "8000",
	"log.cleaner.backoff.ms": "100", "log.initial.task.delay.ms": "100",
	"offsets.topic.num.partitions": "2", "transaction.state.log.num.partitions": "2", "num.partitions": "1",
}

// fillForAdoption writes what an adoption has to bring over, with two restarts between, so that there are several
// leader epochs.
func fillForAdoption(t *testing.T, kafka *broker.Broker) {
	t.Helper()
	addr := kafka.Addr()
	for topic, settings := range map[string][]string{
		adoptCodecs:    {"internal.segment.bytes=6000", "index.interval.bytes=500", "retention.ms=-1"},
		adoptTxns:      {"internal.segment.bytes=2000", "retention.ms=-1"},
		adoptCompacted: {"internal.segment.bytes=3000", "cleanup.policy=compact", "min.cleanable.dirty.ratio=0.01", "delete.retention.ms=86400000"},
		adoptDeleted:   {"internal.segment.bytes=1000", "retention.ms=-1"},
	} {
		partitions := 1
		if topic == adoptCodecs {
			partitions = 2
		}
		createForAdoption(t, addr, topic, partitions, settings...)
	}
	for round := range 3 {
		if round > 0 {
			restartForAdoption(t, kafka)
		}
		for i, codec := range codecs {
			for partition := range int32(2) {
				franzProduce(t, adoptCodecs, produceOptions{addr: addr, codec: codec, idempotent: i%2 == 0}, oddRecords(partition, 12))
			}
		}
		writeTransactions(t, addr, round)
		for i := range 120 {
			key := fmt.Sprintf("key-%d", i%20)
			r := record{Key: []byte(key), Value: []byte(strings.Repeat(fmt.Sprint(round, i), 10)), Timestamp: 1_700_000_000_000 + int64(i)}
			if i%13 == 0 {
				r.Value = nil
			}
			franzProduce(t, adoptCompacted, produceOptions{addr: addr}, []record{r})
		}
		franzProduce(t, adoptDeleted, produceOptions{addr: addr}, plainRecords(0, 60, "d"))
		commitAt(t, addr, adoptGroup, adoptCodecs, int64(7*(round+1)))
	}
	ctx := testContext(t)
	admin := kadm.NewClient(newKgoAt(t, addr))
	if _, err := admin.DeleteRecords(ctx, kadm.Offsets{adoptDeleted: {0: {Topic: adoptDeleted, At: 77}}}); err != nil {
		t.Fatal(err)
	}
	createForAdoption(t, addr, "gone", 1)
	if _, err := admin.DeleteTopics(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cleaner has compacted", func() error {
		if !strings.Contains(readText(filepath.Join(kafka.DataDir(), "cleaner-offset-checkpoint")), adoptCompacted+" 0 ") {
			return fmt.Errorf("no entry in the cleaner's checkpoint yet")
		}
		return nil
	})
}

func readText(name string) string {
	b, _ := os.ReadFile(name)
	return string(b)
}

// createForAdoption is newTopicAt for a topic that stays.
func createForAdoption(t *testing.T, addr, name string, partitions int, settings ...string) {
	t.Helper()
	configs := make(map[string]*string)
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		configs[key] = &value
	}
	admin := kadm.NewClient(newKgoAt(t, addr))
	if _, err := admin.CreateTopic(testContext(t), int32(partitions), 1, configs, name); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
}

func restartForAdoption(t *testing.T, b *broker.Broker) {
	t.Helper()
	if err := b.Terminate(); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(testContext(t)); err != nil {
		t.Fatal(err)
	}
	awaitTopic(t, b, adoptCodecs, 2)
}

// writeTransactions lets two producers write transactions that overlap: of each three, one is aborted, and one commits
// the offset of a group.
func writeTransactions(t *testing.T, addr string, round int) {
	t.Helper()
	ctx := testContext(t)
	var producers [2]*kgo.Client
	for i := range producers {
		producers[i] = newKgoAt(t, addr, kgo.TransactionalID(fmt.Sprintf("txn-%d", i)), kgo.DefaultProduceTopic(adoptTxns),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	}
	send := func(i, n int) {
		value := fmt.Sprintf("%d/%d/%d", round, i, n)
		r := &kgo.Record{Value: []byte(value), Timestamp: time.UnixMilli(1_700_000_000_000 + int64(n))}
		if err := producers[i].ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	end := func(i int, commit kgo.TransactionEndTry) {
		if err := producers[i].EndTransaction(ctx, commit); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		for i := range producers {
			if err := producers[i].BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			send(i, 10*n)
		}
		send(0, 10*n+1)
		end(0, n != 1) // the second is aborted
		send(1, 10*n+2)
		end(1, n != 2)
	}
	commitAt(t, addr, adoptTxnGroup, adoptTxns, int64(round+1))
	for _, p := range producers {
		p.Close()
	}
}

// startForAdoption starts an Apache Kafka in dir.
func startForAdoption(t *testing.T, dir string) *broker.Broker {
	t.Helper()
	javaTools(t)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	b, err := broker.Start(ctx, broker.Spec{Kind: broker.Apache, Dir: dir, Settings: adoptSettings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.Running() {
			if err := b.Kill(); err != nil {
				t.Error(err)
			}
		}
	})
	return b
}
