package cluster

import (
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// manyPartitions is a fetch that names one partition n times and waits for an hour.
func manyPartitions(n int) *kmsg.FetchRequest {
	fetch := kmsg.NewPtrFetchRequest()
	fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes, fetch.SessionEpoch = int32(time.Hour.Milliseconds()), 1, 1<<20, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = "t"
	for range n {
		topic.Partitions = append(topic.Partitions, kmsg.NewFetchRequestTopicPartition())
	}
	fetch.Topics = append(fetch.Topics, topic)
	return fetch
}

// What a request is decoded into is charged to the memory of requests until it is answered, on event loops and on
// workers; when that is spent, those that only wait are answered before their time.
func TestDecodedRequestsAreCharged(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		const memory = 2 << 20
		b := startBroker(t, backend, t.TempDir(), "socket.request.max.bytes", "1048576", "queued.max.request.bytes", "2097152")
		defer stopBroker(t, b)
		cl, err := kgo.NewClient(kgo.SeedBrokers(b.address()))
		if err != nil {
			t.Fatal(err)
		}
		createTopic(t, cl, "t", 1, nil)
		cl.Close()

		const loop, worker = 400, 3_000 // elements of some 30 bytes: below and above what event loops decode
		for _, n := range []int{loop, worker} {
			c := openPipe(t, b)
			c.send(encodeRaw(manyPartitions(n), 11, 1))
			least := int64(n) * 200
			waitFor(t, "the request is charged", func() bool { return b.Stats().InputBytes >= least })
			if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil { // else a waiting request is still answered
				t.Fatal(err)
			}
			c.Close()
			waitFor(t, "nothing is charged", func() bool { return b.Stats().InputBytes == 0 })
		}

		var all []*pipe
		for range memory / (worker * 200) * 3 { // three times what there is
			c := openPipe(t, b)
			c.send(encodeRaw(manyPartitions(worker), 11, 1))
			all = append(all, c)
		}
		waitFor(t, "the memory is not spent", func() bool { return b.Stats().Frames >= int64(len(all)) && b.Stats().InputBytes < memory })
		answered := 0
		for _, c := range all {
			if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, _ := c.Read(make([]byte, 1)); n > 0 {
				answered++
			}
		}
		// How many depends on what the event loops see of each other, and on what has arrived by now.
		if answered == 0 {
			t.Errorf("%d of %d waiting requests were answered before their time", answered, len(all))
		}
	})
}
