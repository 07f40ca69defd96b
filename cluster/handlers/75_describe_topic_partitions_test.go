package handlers

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// describePages renders an answer: topic, code, first partition and count; then
// the cursor.
func describePages(resp *kmsg.DescribeTopicPartitionsResponse) (out []string) {
	for _, t := range resp.Topics {
		first := int32(-1)
		if len(t.Partitions) > 0 {
			first = t.Partitions[0].Partition
		}
		out = append(out, fmt.Sprintf("%s %d %d+%d", *t.Topic, t.ErrorCode, first, len(t.Partitions)))
	}
	if c := resp.NextCursor; c != nil {
		out = append(out, fmt.Sprintf("-> %s %d", c.Topic, c.Partition))
	}
	return out
}

func TestDescribeTopicPartitions(t *testing.T) {
	b := newAdminBroker(t, nil) // at most 6 partitions a page
	for name, n := range map[string]int32{"a": 2, "b": 3, "c": 4} {
		makeTopic(t, b, name, n)
	}
	type cursor = *kmsg.DescribeTopicPartitionsRequestCursor
	at := func(topic string, partition int32) cursor {
		return &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: partition}
	}
	for _, test := range []struct {
		names  []string
		limit  int32
		cursor cursor
		want   []string
	}{
		{nil, 2000, nil, []string{"a 0 0+2", "b 0 0+3", "c 0 0+1", "-> c 1"}},
		{nil, 2000, at("c", 1), []string{"c 0 1+3"}},
		{nil, 2, nil, []string{"a 0 0+2", "-> b 0"}},
		{nil, 4, nil, []string{"a 0 0+2", "b 0 0+2", "-> b 2"}},
		{nil, 0, nil, []string{"a 0 0+1", "-> a 1"}},
		{nil, -5, nil, []string{"a 0 0+1", "-> a 1"}},
		{nil, 6, at("b", 9), []string{"b 0 -1+0", "c 0 0+4"}},
		{nil, 6, at("bb", 2), []string{"c 0 0+4"}},
		{nil, 6, at("zzz", 0), nil},
		{nil, 6, at("a", -1), nil},
		{[]string{"c", "none", "a", "x y", "c"}, 6, nil, []string{"a 0 0+2", "c 0 0+4", "-> none 0"}},
		{[]string{"none", "a", "x y", ""}, 6, nil, []string{" 17 -1+0", "a 0 0+2", "none 3 -1+0", "x y 17 -1+0"}},
		{[]string{"a", "b", "c"}, 6, at("b", 1), []string{"b 0 1+2", "c 0 0+4"}},
		{[]string{"a", "none"}, 6, at("none", 1), []string{"none 3 -1+0"}},
		{[]string{"a", "b"}, 6, at("c", 1), []string{"a 42 -1+0", "b 42 -1+0"}},
		{[]string{"a"}, 6, at("a", -1), []string{"a 42 -1+0"}},
	} {
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit, req.Cursor = test.limit, test.cursor
		for _, name := range test.names {
			req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
		}
		resp := ask[*kmsg.DescribeTopicPartitionsResponse](t, b, req, 0)
		if got := describePages(resp); !slices.Equal(got, test.want) {
			t.Errorf("%v limit %d cursor %v:\n got %q\nwant %q", test.names, test.limit, test.cursor, got, test.want)
		}
		for _, topic := range resp.Topics {
			want := topicOperations
			if topic.ErrorCode == 42 {
				want = -2147483648
			}
			if topic.AuthorizedOperations != want {
				t.Errorf("%s: operations %d", *topic.Topic, topic.AuthorizedOperations)
			}
			for _, p := range topic.Partitions {
				if p.LeaderID != 1 || p.LeaderEpoch != 0 || len(p.Replicas) != 1 || len(p.ISR) != 1 || p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
					t.Errorf("%s: %+v", *topic.Topic, p)
				}
			}
		}
	}
}
