package interop

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// TestFetchLimits checks how many bytes a fetch returns: both limits hold, except that the first
// partition with data always gets its first batch whole (KIP-74).
func TestFetchLimits(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 3)
	conn := newConn(t)
	now := time.Now().UnixMilli()
	const perPartition = 5
	var size int
	for p := range int32(3) {
		for range perPartition {
			b := wire.NewBatch(now, bytes.Repeat([]byte{byte(p)}, 1000))
			size = len(b.Encode())
			mustProduce(t, conn, topic, p, b)
		}
	}
	cases := []struct {
		name           string
		max, perPart   int
		want           [3]int // bytes at least, in whole batches below
		skipPartitions bool
	}{
		{"no limit", 1 << 20, 1 << 20, [3]int{5, 5, 5}, false},
		{"one byte each", 1 << 20, 1, [3]int{1, 0, 0}, false},
		{"one byte in all", 1, 1 << 20, [3]int{1, 0, 0}, false},
		{"two batches each", 1 << 20, 2 * size, [3]int{2, 2, 2}, false},
		{"two and a half each", 1 << 20, 2*size + size/2, [3]int{2, 2, 2}, false},
		{"seven in all", 7 * size, 1 << 20, [3]int{5, 2, 0}, false},
		{"seven in all, three each", 7 * size, 3 * size, [3]int{3, 3, 1}, false},
	}
	for _, c := range cases {
		for _, version := range []int16{4, 7, 11, 12} {
			req := fetchRequest(version, topic, map[int32]int64{0: 0, 1: 0, 2: 0})
			req.MaxBytes = int32(c.max)
			for i := range req.Topics[0].Partitions {
				req.Topics[0].Partitions[i].PartitionMaxBytes = int32(c.perPart)
			}
			resp := ask[*kmsg.FetchResponse](t, conn, req)
			for p, want := range c.want {
				part, err := fetched(resp, int32(p))
				if err != nil {
					t.Fatal(err)
				}
				whole, partial := wire.SplitBatches(part.RecordBatches)
				if len(whole) != want || part.ErrorCode != 0 || part.HighWatermark != perPartition {
					t.Errorf("v%d %s: partition %d has %d batches and %d bytes more, code %d, high watermark %d; want %d batches",
						version, c.name, p, len(whole), partial, part.ErrorCode, part.HighWatermark, want)
				}
				if partial >= size {
					t.Errorf("v%d %s: partition %d has %d bytes behind its whole batches", version, c.name, p, partial)
				}
			}
		}
	}
	// The exception goes to the first partition that has data, not to the first.
	req := fetchRequest(12, topic, map[int32]int64{0: perPartition, 1: 0, 2: 0})
	req.MaxBytes = 1
	resp := ask[*kmsg.FetchResponse](t, conn, req)
	for p, want := range []int{0, 1, 0} {
		part, err := fetched(resp, int32(p))
		if err != nil {
			t.Fatal(err)
		}
		if whole, _ := wire.SplitBatches(part.RecordBatches); len(whole) != want {
			t.Errorf("partition %d has %d batches, want %d", p, len(whole), want)
		}
	}
}

// TestFetchFields checks what a response says besides records: watermarks, log start, aborted
// transactions (null for read_uncommitted, empty for read_committed), no preferred replica.
func TestFetchFields(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	mustProduce(t, conn, topic, 0, wire.NewBatch(time.Now().UnixMilli(), []byte("a"), []byte("b")))
	versions := servedRange(t, 1)
	id := topicID(t, conn, topic)
	for version := versions.MinVersion; version <= versions.MaxVersion; version++ {
		for isolation := range int8(2) {
			req := fetchRequest(version, topic, map[int32]int64{0: 0})
			req.IsolationLevel = isolation
			req.Topics[0].TopicID = id
			resp := ask[*kmsg.FetchResponse](t, conn, req)
			p, err := fetched(resp, 0)
			if err != nil {
				t.Fatal(err)
			}
			logStart := int64(0)
			if version < 5 {
				logStart = p.LogStartOffset
			}
			if p.ErrorCode != 0 || p.HighWatermark != 2 || p.LastStableOffset != 2 || p.LogStartOffset != logStart || p.PreferredReadReplica != -1 {
				t.Errorf("v%d: %+v", version, p)
			}
			if (p.AbortedTransactions == nil) != (isolation == 0) {
				t.Errorf("v%d isolation %d: aborted transactions null: %v", version, isolation, p.AbortedTransactions == nil)
			}
			if whole, partial := wire.SplitBatches(p.RecordBatches); len(whole) != 1 || partial != 0 {
				t.Errorf("v%d: %d batches, %d bytes more", version, len(whole), partial)
			}
			if version >= 13 && resp.Topics[0].TopicID != id || version < 13 && resp.Topics[0].Topic != topic {
				t.Errorf("v%d: topic %q %x", version, resp.Topics[0].Topic, resp.Topics[0].TopicID)
			}
		}
	}
}

// TestFetchErrors fetches what does not exist and with leader epochs that are not current.
func TestFetchErrors(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	code := func(req *kmsg.FetchRequest, partition int32) int16 {
		t.Helper()
		p, err := fetched(ask[*kmsg.FetchResponse](t, conn, req), partition)
		if err != nil {
			t.Fatal(err)
		}
		if p.ErrorCode != 0 && (p.HighWatermark != -1 || len(p.RecordBatches) != 0) {
			t.Errorf("error %d with high watermark %d and %d bytes", p.ErrorCode, p.HighWatermark, len(p.RecordBatches))
		}
		return p.ErrorCode
	}
	wantCode(t, "unknown topic", code(fetchRequest(12, uniqueName(t), map[int32]int64{0: 0}), 0), 3)
	wantCode(t, "unknown partition", code(fetchRequest(12, topic, map[int32]int64{9: 0}), 9), 3)
	req := fetchRequest(13, "", map[int32]int64{0: 0})
	req.Topics[0].TopicID = [16]byte{9, 9}
	wantCode(t, "unknown topic id", code(req, 0), 100)
	for epoch, want := range map[int32]int16{-1: 0, 0: 0, 1: 75} {
		req := fetchRequest(12, topic, map[int32]int64{0: 0})
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
		wantCode(t, "leader epoch", code(req, 0), want)
	}
}

// TestFetchDivergingEpoch gives the epoch of the last record the client has: one that the broker
// never had leads to a diverging epoch and no data (KIP-595 field, used by consumers since v12).
func TestFetchDivergingEpoch(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	mustProduce(t, conn, topic, 0, wire.NewBatch(time.Now().UnixMilli(), []byte("a"), []byte("b")))
	req := fetchRequest(12, topic, map[int32]int64{0: 1})
	req.Topics[0].Partitions[0].LastFetchedEpoch = 0
	p, err := fetched(ask[*kmsg.FetchResponse](t, conn, req), 0)
	if err != nil || p.ErrorCode != 0 || len(p.RecordBatches) == 0 || p.DivergingEpoch.EndOffset != -1 {
		t.Errorf("known epoch: %v, %+v", err, p)
	}
}

// TestLongPoll checks when a fetch that finds too little is answered: not before min_bytes are there or
// max_wait is over, and at once when they are. The test allows a late answer, never an early one.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 2)
	conn, writer := newConn(t), newConn(t)
	now := time.Now().UnixMilli()
	one := wire.NewBatch(now, make([]byte, 500))
	size := int32(len(one.Encode()))
	request := func(minBytes, maxWaitMs int32, offsets map[int32]int64) *kmsg.FetchRequest {
		req := fetchRequest(12, topic, offsets)
		req.MinBytes, req.MaxWaitMillis = minBytes, maxWaitMs
		return req
	}
	both := map[int32]int64{0: 0, 1: 0}

	// Nothing there: the whole wait, then an empty answer.
	start := time.Now()
	resp := ask[*kmsg.FetchResponse](t, conn, request(1, 400, both))
	if waited := time.Since(start); waited < 390*time.Millisecond {
		t.Errorf("an empty fetch was answered after %v, max_wait is 400 ms", waited)
	}
	if got := recordBytes(resp); got != 0 {
		t.Errorf("%d bytes out of empty partitions", got)
	}

	// No wait asked for, and no partition to wait on.
	start = time.Now()
	ask[*kmsg.FetchResponse](t, conn, request(1, 0, both))
	ask[*kmsg.FetchResponse](t, conn, request(1, 60_000, nil))
	// An error of the log does not wait either; an unknown partition beside a good one would,
	// in Apache Kafka.
	ask[*kmsg.FetchResponse](t, conn, request(1, 60_000, map[int32]int64{0: 0, 1: 5}))
	ask[*kmsg.FetchResponse](t, conn, request(1, 60_000, map[int32]int64{9: 0}))
	// min_bytes 0 never waits.
	ask[*kmsg.FetchResponse](t, conn, request(0, 60_000, both))
	if waited := time.Since(start); waited > 30*time.Second {
		t.Errorf("fetches that must not wait took %v", waited)
	}

	// One append wakes a fetch that wants one byte.
	sent, err := conn.Send(request(1, 60_000, both))
	if err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	mustProduce(t, writer, topic, 1, one)
	got, err := conn.Receive(sent)
	if err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(start); waited > 30*time.Second {
		t.Errorf("the fetch woke %v after the append", waited)
	}
	if n := recordBytes(got.(*kmsg.FetchResponse)); n != int(size) {
		t.Errorf("the woken fetch has %d bytes, want %d", n, size)
	}

	// Three batches wanted over both partitions: two are not enough, the third is.
	sent, err = conn.Send(request(3*size, 60_000, both))
	if err != nil {
		t.Fatal(err)
	}
	mustProduce(t, writer, topic, 0, one)
	conn.SetTimeout(300 * time.Millisecond)
	if _, err := conn.ReadFrame(); err == nil {
		t.Fatal("answered with two of three batches")
	}
	conn.SetTimeout(wire.DefaultTimeout)
	mustProduce(t, writer, topic, 0, one)
	got, err = conn.Receive(sent)
	if err != nil {
		t.Fatal(err)
	}
	if n := recordBytes(got.(*kmsg.FetchResponse)); n != 3*int(size) {
		t.Errorf("%d bytes, want %d", n, 3*size)
	}

	// Never reached: what is there at the end of the wait.
	start = time.Now()
	resp = ask[*kmsg.FetchResponse](t, conn, request(1<<20, 300, both))
	if waited := time.Since(start); waited < 290*time.Millisecond {
		t.Errorf("answered after %v without min_bytes, max_wait is 300 ms", waited)
	}
	if n := recordBytes(resp); n != 3*int(size) {
		t.Errorf("%d bytes at the end of the wait, want %d", n, 3*size)
	}
}

func recordBytes(resp *kmsg.FetchResponse) int {
	n := 0
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			n += len(p.RecordBatches)
		}
	}
	return n
}

// TestDeletedTopicWakesFetch checks that a waiting fetch does not sleep on when its topic goes.
func TestDeletedTopicWakesFetch(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	req := fetchRequest(12, topic, map[int32]int64{0: 0})
	req.MaxWaitMillis = 45_000
	sent, err := conn.Send(req)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := newAdmin(t).DeleteTopics(testContext(t), topic); err != nil {
		t.Fatal(err)
	}
	resp, err := conn.Receive(sent)
	if err != nil {
		t.Fatal(err)
	}
	p, err := fetched(resp.(*kmsg.FetchResponse), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("code %d after %v", p.ErrorCode, time.Since(start))
}
