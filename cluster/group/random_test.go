package group_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/cluster/coordinator/coordinatortest"
	"kserver/cluster/group"
	"kserver/protocol"
)

// TestRandomWalk sends clients that behave well and badly at one partition,
// with lost writes and restarts between. After each step the data of every
// group is consistent; when all is quiet, every request has been answered and
// replay gives what was there.
func TestRandomWalk(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomWalk(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func randomWalk(t *testing.T, r *rand.Rand) {
	s := newScript(t)
	w := &walker{s: s, r: r}
	for step := range 400 {
		w.step()
		synctest.Wait()
		if err := s.coordinator.CheckInvariants(0); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
	s.storage.Refuse(nil)
	s.storage.Release()
	s.time.Advance(time.Hour) // sessions and rebalances end
	synctest.Wait()
	if w.asked != w.answered {
		t.Errorf("%d requests, %d answers", w.asked, w.answered)
	}
	before := s.coordinator.Dump(0, false)
	s.coordinator.Close()
	s.start()
	if after := s.coordinator.Dump(0, false); after != before {
		t.Errorf("replay differs; before:\n%safter:\n%s", before, after)
	}
	s.coordinator.Close()
}

// walker makes up requests and remembers just enough to make good ones likely.
type walker struct {
	s               *script
	r               *rand.Rand
	asked, answered int
	known           []known
}

type known struct {
	group, member string
	instance      *string
	generation    int32
	leader        bool
	all           []string
}

func (w *walker) pick() known {
	if len(w.known) == 0 {
		return known{group: "g0", member: "nobody"}
	}
	return w.known[w.r.IntN(len(w.known))]
}

func (w *walker) step() {
	s, r := w.s, w.r
	switch r.IntN(20) {
	case 0, 1, 2, 3, 4, 5, 6:
		w.join()
	case 7, 8, 9, 10, 11:
		w.sync()
	case 12, 13:
		k := w.pick()
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.InstanceID, req.Generation = k.group, k.member, k.instance, k.generation
		w.asked++
		s.coordinator.Heartbeat(req, func(*kmsg.HeartbeatResponse) { w.answered++ })
	case 14:
		k := w.pick()
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Version = 3
		req.Group, req.Members = k.group, []kmsg.LeaveGroupRequestMember{{MemberID: k.member, InstanceID: k.instance}}
		w.asked++
		s.coordinator.LeaveGroup(req, func(*kmsg.LeaveGroupResponse) { w.answered++ })
	case 15, 16:
		w.commit()
	case 17:
		s.time.Advance(time.Duration(r.IntN(8000)) * time.Millisecond)
	case 18:
		s.storage.Hold()
	case 19:
		switch r.IntN(6) {
		case 0:
			s.storage.Lose(&protocol.Error{Code: protocol.NotEnoughReplicas})
		case 1:
			s.storage.Refuse(&protocol.Error{Code: protocol.NotEnoughReplicas})
		default:
			s.storage.Refuse(nil)
			s.storage.Release()
		}
	}
}

func (w *walker) join() {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = int16(w.r.IntN(10))
	req.Group = fmt.Sprintf("g%d", w.r.IntN(2))
	req.ProtocolType = "consumer"
	req.SessionTimeoutMillis = 6000 + int32(w.r.IntN(20000))
	req.RebalanceTimeoutMillis = int32(w.r.IntN(20000))
	if w.r.IntN(3) > 0 {
		k := w.pick()
		req.Group, req.MemberID, req.InstanceID = k.group, k.member, k.instance
	} else if w.r.IntN(2) == 0 {
		instance := fmt.Sprintf("i%d", w.r.IntN(3))
		req.InstanceID = &instance
	}
	for _, name := range []string{"range", "rr"}[w.r.IntN(2):] {
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: []byte{byte(w.r.IntN(2))}})
	}
	w.asked++
	instance, id := req.InstanceID, req.Group
	w.s.coordinator.JoinGroup(group.Client{ID: "c", Host: "/h"}, req, func(resp *kmsg.JoinGroupResponse) {
		w.answered++
		code := protocol.ErrorCode(resp.ErrorCode)
		if code != protocol.None && code != protocol.MemberIDRequired {
			return
		}
		k := known{group: id, member: resp.MemberID, instance: instance, generation: resp.Generation, leader: resp.LeaderID == resp.MemberID}
		for _, m := range resp.Members {
			k.all = append(k.all, m.MemberID)
		}
		w.known = append(w.known, k)
		if len(w.known) > 12 {
			w.known = w.known[1:]
		}
	})
}

func (w *walker) sync() {
	k := w.pick()
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = 4
	req.Group, req.MemberID, req.InstanceID, req.Generation = k.group, k.member, k.instance, k.generation
	if k.leader {
		for _, id := range k.all {
			req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: []byte(id)})
		}
	}
	w.asked++
	w.s.coordinator.SyncGroup(req, func(*kmsg.SyncGroupResponse) { w.answered++ })
}

func (w *walker) commit() {
	k := w.pick()
	if w.r.IntN(4) == 0 {
		k = known{group: "simple", generation: -1}
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version = 8
	req.Group, req.MemberID, req.InstanceID, req.Generation = k.group, k.member, k.instance, k.generation
	part := kmsg.NewOffsetCommitRequestTopicPartition()
	part.Partition, part.Offset = int32(w.r.IntN(2)), w.r.Int64N(100)
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{part}}}
	w.asked++
	w.s.coordinator.OffsetCommit(req, func(*kmsg.OffsetCommitResponse) { w.answered++ })
}

// TestManyGroupsAtOnce runs many clients on the real timer wheel and clock,
// each through a whole life in a group; with -race it checks the locking.
func TestManyGroupsAtOnce(t *testing.T) {
	const groups, membersPerGroup, partitions = 40, 4, 8
	wheel := coordinator.NewWheel()
	defer wheel.Close()
	cfg := group.DefaultConfig()
	cfg.InitialRebalanceDelay = 50 * time.Millisecond
	cfg.OffsetsTopicPartitions = partitions
	storage := coordinatortest.NewStorage()
	ts := &topics{byName: make(map[string]group.TopicInfo)}
	ts.create("t", groups)
	cfg.Storage, cfg.Topics, cfg.Timer = storage, ts, wheel
	c, err := group.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for p := range int32(partitions) {
		c.Load(p, 1)
	}
	var wg sync.WaitGroup
	for g := range groups {
		for range membersPerGroup {
			wg.Go(func() { liveInGroup(t, c, fmt.Sprintf("group-%d", g), int32(g)) })
		}
		wg.Go(func() {
			call(func(done func(*kmsg.ListGroupsResponse)) { c.ListGroups(kmsg.NewPtrListGroupsRequest(), done) })
		})
	}
	wg.Wait()
	for p := range int32(partitions) {
		if err := c.CheckInvariants(p); err != nil {
			t.Errorf("partition %d: %v", p, err)
		}
	}
	if n := c.Metrics().Offsets.Load(); n != groups {
		t.Errorf("%d offsets, want %d", n, groups)
	}
}

// call makes an asynchronous request synchronous.
func call[R any](f func(done func(R))) R {
	ch := make(chan R, 1)
	f(func(r R) { ch <- r })
	return <-ch
}

// liveInGroup joins until a generation is complete, commits, and leaves.
func liveInGroup(t *testing.T, c *group.Coordinator, id string, partition int32) {
	member := ""
	for {
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version = 9
		join.Group, join.MemberID, join.ProtocolType = id, member, "consumer"
		join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 10_000, 10_000
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		joined := call(func(done func(*kmsg.JoinGroupResponse)) {
			c.JoinGroup(group.Client{ID: "c", Host: "/h"}, join, done)
		})
		member = joined.MemberID
		if protocol.ErrorCode(joined.ErrorCode) != protocol.None {
			continue // an id, or loading
		}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version = 4
		sync.Group, sync.MemberID, sync.Generation = id, member, joined.Generation
		for _, m := range joined.Members {
			sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: []byte(m.MemberID)})
		}
		synced := call(func(done func(*kmsg.SyncGroupResponse)) { c.SyncGroup(sync, done) })
		switch code := protocol.ErrorCode(synced.ErrorCode); {
		case code == protocol.RebalanceInProgress:
			continue
		case code != protocol.None || string(synced.MemberAssignment) != member:
			t.Errorf("%s: sync %v, assignment %q of member %q", id, code, synced.MemberAssignment, member)
			return
		}
		commit := kmsg.NewPtrOffsetCommitRequest()
		commit.Version = 8
		commit.Group, commit.MemberID, commit.Generation = id, member, joined.Generation
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Partition = partition
		commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{part}}}
		committed := call(func(done func(*kmsg.OffsetCommitResponse)) { c.OffsetCommit(commit, done) })
		if code := protocol.ErrorCode(committed.Topics[0].Partitions[0].ErrorCode); code != protocol.None {
			// Others left already: their leaving started a rebalance.
			if code != protocol.RebalanceInProgress && code != protocol.IllegalGeneration {
				t.Errorf("%s: commit %v", id, code)
				return
			}
			continue
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Version = 1
		leave.Group, leave.MemberID = id, member
		left := call(func(done func(*kmsg.LeaveGroupResponse)) { c.LeaveGroup(leave, done) })
		if code := protocol.ErrorCode(left.ErrorCode); code != protocol.None {
			t.Errorf("%s: leave %v", id, code)
		}
		return
	}
}
