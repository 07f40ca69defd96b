package cluster

import (
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// No goroutine per connection, partition or waiting request, and no buffer of a
// connection that is silent; a waiting fetch is charged for its ten partitions. What
// each costs is measured by bench/idle.
func TestNothingPerConnectionOrPartition(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		const partitions, silent, fetches, fetchBytes = 200, 300, 200, 6 << 10
		setup := openPipe(t, b)
		create := kmsg.NewPtrCreateTopicsRequest()
		create.TimeoutMillis = 20000
		ct := kmsg.NewCreateTopicsRequestTopic()
		ct.Topic, ct.NumPartitions, ct.ReplicationFactor = "first", 1, 1
		create.Topics = []kmsg.CreateTopicsRequestTopic{ct}
		setup.send(encodeRaw(create, 4, 1))
		setup.receive(kmsg.NewPtrCreateTopicsResponse(), 4, 1)
		before := runtime.NumGoroutine()

		create.Topics[0].Topic, create.Topics[0].NumPartitions = "many", partitions
		setup.send(encodeRaw(create, 4, 2))
		setup.receive(kmsg.NewPtrCreateTopicsResponse(), 4, 2)
		api := encodeRaw(kmsg.NewPtrApiVersionsRequest(), 0, 1)
		for range silent {
			c := openPipe(t, b)
			c.send(api)
			c.receive(kmsg.NewPtrApiVersionsResponse(), 0, 1)
		}
		waitFor(t, "silent connections to hold nothing", func() bool { return b.Stats().InputBytes == 0 })
		fetch := kmsg.NewPtrFetchRequest()
		fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes, fetch.SessionEpoch = 60_000, 1, 1<<20, -1
		ft := kmsg.NewFetchRequestTopic()
		ft.Topic = "many"
		for p := range int32(10) {
			fp := kmsg.NewFetchRequestTopicPartition()
			fp.Partition, fp.PartitionMaxBytes = p, 1<<20
			ft.Partitions = append(ft.Partitions, fp)
		}
		fetch.Topics = append(fetch.Topics, ft)
		frames := b.Stats().Frames
		for range fetches {
			openPipe(t, b).send(encodeRaw(fetch, 11, 3))
		}
		waitFor(t, "the fetches to wait", func() bool { return b.Stats().Frames == frames+fetches })
		// Workers come as they are needed, up to num.io.threads.
		if now, most := runtime.NumGoroutine(), before+b.cfg.Broker.Network.Workers+5; now > most {
			t.Errorf("%d goroutines, %d before; want at most %d", now, before, most)
		}
		if held := b.Stats().InputBytes; held > fetches*fetchBytes {
			t.Errorf("%d waiting fetches hold %d bytes, more than %d each", fetches, held, fetchBytes)
		}
	})
}
