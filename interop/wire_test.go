package interop

import (
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// newConn opens a raw connection that is closed with the test.
func newConn(t *testing.T) *wire.Conn {
	t.Helper()
	return newConnAt(t, suite.endpoint)
}

func newConnAt(t *testing.T, addr string) *wire.Conn {
	t.Helper()
	conn, err := wire.Dial(testContext(t), addr, "interop-raw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask sends a request whose version is set and returns its response, typed.
func ask[R kmsg.Response](t *testing.T, conn *wire.Conn, req kmsg.Request) R {
	t.Helper()
	resp, err := conn.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(R)
}

// at sets a request's version.
func at[R kmsg.Request](req R, version int16) R {
	req.SetVersion(version)
	return req
}

// topicID looks a topic's id up.
func topicID(t *testing.T, conn *wire.Conn, topic string) [16]byte {
	t.Helper()
	req := at(kmsg.NewPtrMetadataRequest(), 12)
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	resp := ask[*kmsg.MetadataResponse](t, conn, req)
	if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("metadata of %s: %+v", topic, resp.Topics)
	}
	return resp.Topics[0].TopicID
}

// produceRequest makes a Produce request of one batch by topic name.
func produceRequest(version int16, topic string, partition int32, batch []byte) *kmsg.ProduceRequest {
	req := at(kmsg.NewPtrProduceRequest(), version)
	req.Acks = -1
	req.TimeoutMillis = 30_000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	topicReq := kmsg.NewProduceRequestTopic()
	topicReq.Topic = topic
	topicReq.Partitions = append(topicReq.Partitions, p)
	req.Topics = append(req.Topics, topicReq)
	return req
}

// produceBatch sends one batch with acks=all and returns the partition's answer.
func produceBatch(t *testing.T, conn *wire.Conn, topic string, partition int32, batch []byte) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	return onlyProduced(t, ask[*kmsg.ProduceResponse](t, conn, produceRequest(9, topic, partition, batch)))
}

func onlyProduced(t *testing.T, resp *kmsg.ProduceResponse) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("produce response for %d topics, want one partition", len(resp.Topics))
	}
	return resp.Topics[0].Partitions[0]
}

// mustProduce is produceBatch for a batch that has to be accepted; it returns the base offset.
func mustProduce(t *testing.T, conn *wire.Conn, topic string, partition int32, batch *wire.Batch) int64 {
	t.Helper()
	p := produceBatch(t, conn, topic, partition, batch.Encode())
	if p.ErrorCode != 0 {
		t.Fatalf("produce to %s/%d: error code %d, %v", topic, partition, p.ErrorCode, p.ErrorMessage)
	}
	return p.BaseOffset
}

// fetchRequest makes a Fetch of partitions of one topic by name, without a session, that does
// not wait.
func fetchRequest(version int16, topic string, offsets map[int32]int64) *kmsg.FetchRequest {
	req := at(kmsg.NewPtrFetchRequest(), version)
	req.MaxWaitMillis = 0
	req.MinBytes = 1
	req.MaxBytes = 50 << 20
	req.SessionEpoch = -1
	topicReq := kmsg.NewFetchRequestTopic()
	topicReq.Topic = topic
	for p := range int32(1000) {
		if offset, ok := offsets[p]; ok {
			topicReq.Partitions = append(topicReq.Partitions, fetchPartition(p, offset))
		}
	}
	req.Topics = append(req.Topics, topicReq)
	return req
}

func fetchPartition(partition int32, offset int64) kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset = partition, offset
	p.PartitionMaxBytes = 10 << 20
	return p
}

// fetched finds a partition of a Fetch response of one topic.
func fetched(resp *kmsg.FetchResponse, partition int32) (kmsg.FetchResponseTopicPartition, error) {
	if resp.ErrorCode != 0 {
		return kmsg.FetchResponseTopicPartition{}, fmt.Errorf("fetch: error code %d", resp.ErrorCode)
	}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			if p.Partition == partition {
				return p, nil
			}
		}
	}
	return kmsg.FetchResponseTopicPartition{}, fmt.Errorf("partition %d is not in the fetch response", partition)
}

// fetchBatches reads a partition from an offset to its end.
func fetchBatches(t *testing.T, conn *wire.Conn, topic string, partition int32, from int64) []wire.BatchHeader {
	t.Helper()
	var all []wire.BatchHeader
	for {
		resp := ask[*kmsg.FetchResponse](t, conn, fetchRequest(12, topic, map[int32]int64{partition: from}))
		p, err := fetched(resp, partition)
		if err != nil {
			t.Fatal(err)
		}
		if p.ErrorCode != 0 {
			t.Fatalf("fetch %s/%d at %d: error code %d", topic, partition, from, p.ErrorCode)
		}
		headers, _ := wire.SplitBatches(p.RecordBatches)
		if len(headers) == 0 {
			return all
		}
		all = append(all, headers...)
		from = headers[len(headers)-1].NextOffset()
	}
}

// coordinatorConn opens a raw connection to the coordinator of a group, once it has loaded the group.
// (Apache Kafka answers FindCoordinator before.)
func coordinatorConn(t *testing.T, addr, group string) *wire.Conn {
	t.Helper()
	conn := newConnAt(t, addr)
	var coordinator *wire.Conn
	eventually(t, "coordinator of "+group, func() error {
		req := at(kmsg.NewPtrFindCoordinatorRequest(), 3)
		req.CoordinatorKey = group
		resp := ask[*kmsg.FindCoordinatorResponse](t, conn, req)
		if resp.ErrorCode != 0 {
			return kerr.ErrorForCode(resp.ErrorCode)
		}
		if coordinator != nil {
			coordinator.Close()
		}
		coordinator = newConnAt(t, net.JoinHostPort(resp.Host, strconv.Itoa(int(resp.Port))))
		// Not a heartbeat, which is answered well while the coordinator loads.
		probe := at(kmsg.NewPtrOffsetFetchRequest(), 6)
		probe.Group = group
		return kerr.ErrorForCode(ask[*kmsg.OffsetFetchResponse](t, coordinator, probe).ErrorCode)
	})
	return coordinator
}

// unknownGroup names a group that nobody used and whose coordinator is ready.
func unknownGroup(t *testing.T) string {
	t.Helper()
	group := uniqueName(t)
	coordinatorConn(t, suite.endpoint, group)
	return group
}
