package group_test

import (
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// A fetch of topics that are named answers each of them, also one whose id is
// zero; only in a fetch of all is a topic without id left out.
func TestOffsetFetchOfZeroTopicID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		defer s.coordinator.Close()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "g"
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Partitions: []int32{0}}}
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version, req.Groups = 10, []kmsg.OffsetFetchRequestGroup{g}
		var got *kmsg.OffsetFetchResponse
		s.coordinator.OffsetFetch(req, func(r *kmsg.OffsetFetchResponse) { got = r })
		synctest.Wait()
		if got == nil || len(got.Groups) != 1 || len(got.Groups[0].Topics) != 1 || len(got.Groups[0].Topics[0].Partitions) != 1 {
			t.Fatalf("answer %+v", got)
		}
		if code := protocol.ErrorCode(got.Groups[0].Topics[0].Partitions[0].ErrorCode); code != protocol.UnknownTopicID {
			t.Errorf("%v, want %v", code, protocol.UnknownTopicID)
		}
	})
}
