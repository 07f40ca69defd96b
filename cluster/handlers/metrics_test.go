package handlers

import (
	"maps"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// Every error code of an answer is counted, wherever it stands.
func TestErrorsOf(t *testing.T) {
	var m Metrics
	produce := kmsg.NewPtrProduceResponse()
	produce.Topics = []kmsg.ProduceResponseTopic{
		{Partitions: []kmsg.ProduceResponseTopicPartition{{ErrorCode: 3}, {}, {ErrorCode: 3}}},
		{Partitions: []kmsg.ProduceResponseTopicPartition{{ErrorCode: 10}}},
	}
	m.errorsOf(0, produce)
	offsets := kmsg.NewPtrListOffsetsResponse()
	offsets.Topics = []kmsg.ListOffsetsResponseTopic{{Partitions: []kmsg.ListOffsetsResponseTopicPartition{{ErrorCode: 6}, {}}}}
	m.errorsOf(2, offsets)
	m.errorsOf(12, &kmsg.HeartbeatResponse{ErrorCode: 27})
	m.errorsOf(12, &kmsg.HeartbeatResponse{})
	quorum := kmsg.NewPtrDescribeQuorumResponse()
	quorum.ErrorCode = 31
	quorum.Topics = []kmsg.DescribeQuorumResponseTopic{{Partitions: []kmsg.DescribeQuorumResponseTopicPartition{{ErrorCode: 3}}}}
	m.errorsOf(55, quorum)
	m.Error(1, protocol.None)
	var none *Metrics
	none.Error(1, protocol.UnknownServerError)
	none.errorsOf(55, quorum)
	want := map[APIError]int64{{0, 3}: 2, {0, 10}: 1, {2, 6}: 1, {12, 27}: 1, {55, 31}: 1, {55, 3}: 1}
	if got := maps.Collect(m.Errors()); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What every request pays allocates nothing.
func TestMetricsAllocateNothing(t *testing.T) {
	var m Metrics
	times := m.Shard()
	resp := kmsg.NewPtrProduceResponse()
	resp.Topics = []kmsg.ProduceResponseTopic{{Partitions: make([]kmsg.ProduceResponseTopicPartition, 2)}}
	count := func() {
		m.errorsOf(0, resp)
		times.Observe(0, time.Millisecond)
	}
	count()
	if n := testing.AllocsPerRun(100, count); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Times adds the loops up.
func TestTimes(t *testing.T) {
	var m Metrics
	for range 2 {
		m.Shard().Observe(18, time.Second)
	}
	n := 0
	for key, s := range m.Times() {
		n++
		if key != 18 || s.Count() != 2 || s.Sum() != 2*time.Second {
			t.Errorf("API %d: %d, %v", key, s.Count(), s.Sum())
		}
	}
	if n != 1 {
		t.Errorf("%d APIs", n)
	}
}

func BenchmarkErrorsOf(b *testing.B) {
	var m Metrics
	resp := kmsg.NewPtrProduceResponse()
	resp.Topics = []kmsg.ProduceResponseTopic{{Partitions: make([]kmsg.ProduceResponseTopicPartition, 1)}}
	for b.Loop() {
		m.errorsOf(0, resp)
	}
}
