package interop

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// joinRequest asks to join with the protocols named, "range" when none are; the version is to be set.
func joinRequest(group, memberID, instance string, protocols ...string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = group, memberID, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 30_000, 30_000
	if instance != "" {
		req.InstanceID = &instance
	}
	if len(protocols) == 0 {
		protocols = []string{"range"}
	}
	for _, name := range protocols {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, subscription(name)
		req.Protocols = append(req.Protocols, p)
	}
	return req
}

// subscription is a consumer's metadata for a protocol. Apache Kafka parses what members of protocol
// type "consumer" send, and never answers a join whose metadata it cannot parse.
func subscription(protocol string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version = 1
	m.Topics = []string{"some-topic"}
	m.UserData = []byte(protocol)
	return m.AppendTo(nil)
}

// joined is a raw member that has joined and synced.
type joined struct {
	conn       *wire.Conn
	group, id  string
	instance   *string
	generation int32
}

// join joins as the only member, with the two steps of KIP-394 from version 4 on, and syncs with
// itself as leader.
func joinAlone(t *testing.T, conn *wire.Conn, group, instance string, joinVersion, syncVersion int16) *joined {
	t.Helper()
	resp := ask[*kmsg.JoinGroupResponse](t, conn, at(joinRequest(group, "", instance), joinVersion))
	if joinVersion >= 4 && instance == "" {
		wantCode(t, "join without a member id", resp.ErrorCode, 79)
		if !strings.HasPrefix(resp.MemberID, "interop-raw-") {
			t.Errorf("member id %q does not begin with the client id", resp.MemberID)
		}
		resp = ask[*kmsg.JoinGroupResponse](t, conn, at(joinRequest(group, resp.MemberID, instance), joinVersion))
	}
	if resp.ErrorCode != 0 || resp.LeaderID != resp.MemberID || len(resp.Members) != 1 || resp.Generation != 1 {
		t.Fatalf("join v%d: %+v", joinVersion, resp)
	}
	if got := resp.Members[0].ProtocolMetadata; !bytes.Equal(got, subscription("range")) {
		t.Errorf("join v%d: metadata %q", joinVersion, got)
	}
	m := &joined{conn: conn, group: group, id: resp.MemberID, generation: resp.Generation}
	if instance != "" {
		m.instance = &instance
	}
	sync := m.syncRequest(syncVersion)
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: m.id, MemberAssignment: []byte("everything")}}
	synced := ask[*kmsg.SyncGroupResponse](t, conn, sync)
	if synced.ErrorCode != 0 || string(synced.MemberAssignment) != "everything" {
		t.Fatalf("sync v%d: %+v", syncVersion, synced)
	}
	return m
}

func (m *joined) syncRequest(version int16) *kmsg.SyncGroupRequest {
	req := at(kmsg.NewPtrSyncGroupRequest(), version)
	req.Group, req.Generation, req.MemberID, req.InstanceID = m.group, m.generation, m.id, m.instance
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	return req
}

func (m *joined) heartbeat(t *testing.T, version int16) int16 {
	t.Helper()
	req := at(kmsg.NewPtrHeartbeatRequest(), version)
	req.Group, req.Generation, req.MemberID, req.InstanceID = m.group, m.generation, m.id, m.instance
	return ask[*kmsg.HeartbeatResponse](t, m.conn, req).ErrorCode
}

func (m *joined) leave(t *testing.T, version int16) []int16 {
	t.Helper()
	req := at(kmsg.NewPtrLeaveGroupRequest(), version)
	req.Group, req.MemberID = m.group, m.id
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID, member.InstanceID = m.id, m.instance
	req.Members = append(req.Members, member)
	return errorCodes(ask[*kmsg.LeaveGroupResponse](t, m.conn, req))
}

// TestGroupProtocolVersions lives a member's whole life at every version: flow i takes the i-th version of
// each API of the classic group protocol, or its last.
func TestGroupProtocolVersions(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	id := topicID(t, newConn(t), topic)
	version := func(key int16, i int) int16 {
		r := servedRange(t, key)
		return min(r.MinVersion+int16(i), r.MaxVersion)
	}
	for i := range 11 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			group := uniqueName(t)
			conn := coordinatorConn(t, suite.endpoint, group)
			m := joinAlone(t, conn, group, "", version(11, i), version(14, i))
			wantCode(t, "heartbeat", m.heartbeat(t, version(12, i)), 0)

			commit := at(kmsg.NewPtrOffsetCommitRequest(), version(8, i))
			commit.Group, commit.Generation, commit.MemberID = group, m.generation, m.id
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Offset, p.LeaderEpoch, p.Metadata = int64(1000+i), 0, kmsg.StringPtr("m")
			commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
			if codes := errorCodes(ask[*kmsg.OffsetCommitResponse](t, conn, commit)); len(codes) > 0 {
				t.Fatalf("commit: codes %v", codes)
			}
			if got := fetchOffset(t, conn, group, topic, id, version(9, i)); got != int64(1000+i) {
				t.Errorf("committed offset %d, want %d", got, 1000+i)
			}

			describe := at(kmsg.NewPtrDescribeGroupsRequest(), version(15, i))
			describe.Groups = []string{group}
			d := ask[*kmsg.DescribeGroupsResponse](t, conn, describe).Groups[0]
			if d.ErrorCode != 0 || d.State != "Stable" || d.ProtocolType != "consumer" || d.Protocol != "range" || len(d.Members) != 1 ||
				d.Members[0].MemberID != m.id || d.Members[0].ClientID != "interop-raw" || !strings.HasPrefix(d.Members[0].ClientHost, "/127.") ||
				string(d.Members[0].MemberAssignment) != "everything" {
				t.Errorf("describe v%d: %+v", describe.Version, d)
			}
			list := at(kmsg.NewPtrListGroupsRequest(), version(16, i))
			found := false
			for _, g := range ask[*kmsg.ListGroupsResponse](t, conn, list).Groups {
				if g.Group == group {
					found = true
					if g.ProtocolType != "consumer" || list.Version >= 4 && g.GroupState != "Stable" || list.Version >= 5 && g.GroupType != "classic" {
						t.Errorf("list v%d: %+v", list.Version, g)
					}
				}
			}
			if !found {
				t.Errorf("list v%d: the group is missing", list.Version)
			}
			if codes := m.leave(t, version(13, i)); len(codes) > 0 {
				t.Errorf("leave: codes %v", codes)
			}
			wantCode(t, "heartbeat after leaving", m.heartbeat(t, version(12, i)), 25)
		})
	}
}

// fetchOffset reads the committed offset of partition 0.
func fetchOffset(t *testing.T, conn *wire.Conn, group, topic string, id [16]byte, version int16) int64 {
	t.Helper()
	req := at(kmsg.NewPtrOffsetFetchRequest(), version)
	if version < 8 {
		req.Group = group
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{0}}}
	} else {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = group
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, TopicID: id, Partitions: []int32{0}}}
		req.Groups = append(req.Groups, g)
	}
	var resp *kmsg.OffsetFetchResponse
	eventually(t, "offset fetch", func() error { // a coordinator that has just started may be loading
		resp = ask[*kmsg.OffsetFetchResponse](t, conn, req)
		if codes := errorCodes(resp); len(codes) > 0 {
			return fmt.Errorf("v%d: codes %v", version, codes)
		}
		return nil
	})
	if version < 8 {
		return resp.Topics[0].Partitions[0].Offset
	}
	return resp.Groups[0].Topics[0].Partitions[0].Offset
}

// TestGroupProtocolErrors makes the mistakes a member can make. Codes as Apache Kafka 4.3.1 gives them.
func TestGroupProtocolErrors(t *testing.T) {
	t.Parallel()
	group := uniqueName(t)
	conn := coordinatorConn(t, suite.endpoint, group)
	join := func(req *kmsg.JoinGroupRequest) int16 {
		t.Helper()
		return ask[*kmsg.JoinGroupResponse](t, conn, at(req, 9)).ErrorCode
	}
	wantCode(t, "empty group id", join(joinRequest("", "", "")), 24)
	short := joinRequest(group, "", "")
	short.SessionTimeoutMillis = 1
	wantCode(t, "session timeout below the minimum", join(short), 26)
	long := joinRequest(group, "", "")
	long.SessionTimeoutMillis = 1_800_001
	wantCode(t, "session timeout above the maximum", join(long), 26)
	wantCode(t, "member id in an unknown group", join(joinRequest(unknownGroup(t), "somebody", "")), 25)

	m := joinAlone(t, conn, group, "", 9, 5)
	wantCode(t, "unknown member id", join(joinRequest(group, "somebody", "")), 25)
	other := joinRequest(group, "", "")
	other.ProtocolType = "connect"
	wantCode(t, "other protocol type", join(other), 23)
	wantCode(t, "no common protocol", join(joinRequest(group, "", "", "roundrobin")), 23)

	stale := *m
	stale.generation = 7
	wantCode(t, "heartbeat of another generation", stale.heartbeat(t, 4), 22)
	wantCode(t, "sync of another generation", ask[*kmsg.SyncGroupResponse](t, conn, stale.syncRequest(5)).ErrorCode, 22)
	sync := m.syncRequest(5)
	sync.Protocol = kmsg.StringPtr("roundrobin")
	wantCode(t, "sync with another protocol", ask[*kmsg.SyncGroupResponse](t, conn, sync).ErrorCode, 23)
	wantCode(t, "sync again", ask[*kmsg.SyncGroupResponse](t, conn, m.syncRequest(5)).ErrorCode, 0)
	nobody := *m
	nobody.id = "nobody"
	wantCode(t, "heartbeat of nobody", nobody.heartbeat(t, 4), 25)

	// A second member makes the first one's heartbeat say that a rebalance is on.
	second := coordinatorConn(t, suite.endpoint, group)
	id := ask[*kmsg.JoinGroupResponse](t, second, at(joinRequest(group, "", ""), 9)).MemberID
	waiting, err := second.Send(at(joinRequest(group, id, ""), 9))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "rebalance", func() error {
		if code := m.heartbeat(t, 4); code != 27 {
			return fmt.Errorf("heartbeat code %d", code)
		}
		return nil
	})
	wantCode(t, "sync while preparing", ask[*kmsg.SyncGroupResponse](t, conn, m.syncRequest(5)).ErrorCode, 27)
	again := ask[*kmsg.JoinGroupResponse](t, conn, at(joinRequest(group, m.id, ""), 9))
	if again.ErrorCode != 0 || again.Generation != 2 || len(again.Members) != 2 || again.LeaderID != m.id {
		t.Fatalf("rejoin of the leader: %+v", again)
	}
	resp, err := second.Receive(waiting)
	if err != nil {
		t.Fatal(err)
	}
	if r := resp.(*kmsg.JoinGroupResponse); r.ErrorCode != 0 || r.Generation != 2 || len(r.Members) != 0 || r.LeaderID != m.id {
		t.Errorf("second member: %+v", r)
	}
	m.generation = 2
	wantCode(t, "heartbeat while awaiting sync", m.heartbeat(t, 4), 0)

	// The follower's sync waits for the leader's.
	follower := &joined{conn: second, group: group, id: id, generation: 2}
	waiting, err = second.Send(follower.syncRequest(5))
	if err != nil {
		t.Fatal(err)
	}
	sync = m.syncRequest(5)
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: id, MemberAssignment: []byte("for the follower")}}
	if r := ask[*kmsg.SyncGroupResponse](t, conn, sync); r.ErrorCode != 0 || len(r.MemberAssignment) != 0 {
		t.Errorf("leader's sync: %+v", r)
	}
	if resp, err = second.Receive(waiting); err != nil {
		t.Fatal(err)
	}
	if r := resp.(*kmsg.SyncGroupResponse); r.ErrorCode != 0 || string(r.MemberAssignment) != "for the follower" {
		t.Errorf("follower's sync: %+v", r)
	}
	if codes := follower.leave(t, 5); len(codes) > 0 {
		t.Errorf("leave: %v", codes)
	}
	if codes := m.leave(t, 5); len(codes) > 0 {
		t.Errorf("leave: %v", codes)
	}
}

// TestStaticMemberFencing replaces a static member by a new one of the same instance id: the
// generation stays, the old member id is fenced, and an administrator removes the instance by
// name alone (KIP-345).
func TestStaticMemberFencing(t *testing.T) {
	t.Parallel()
	group := uniqueName(t)
	conn := coordinatorConn(t, suite.endpoint, group)
	old := joinAlone(t, conn, group, "instance", 9, 5)
	resp := ask[*kmsg.JoinGroupResponse](t, conn, at(joinRequest(group, "", "instance"), 9))
	if resp.ErrorCode != 0 || resp.Generation != 1 || resp.MemberID == old.id || !resp.SkipAssignment || len(resp.Members) != 1 {
		t.Fatalf("replacement: %+v", resp)
	}
	replaced := *old
	replaced.id = resp.MemberID
	wantCode(t, "heartbeat of the old member", old.heartbeat(t, 4), 82)
	wantCode(t, "sync of the old member", ask[*kmsg.SyncGroupResponse](t, conn, old.syncRequest(5)).ErrorCode, 82)
	wantCode(t, "heartbeat of the new member", replaced.heartbeat(t, 4), 0)
	synced := ask[*kmsg.SyncGroupResponse](t, conn, replaced.syncRequest(5))
	if synced.ErrorCode != 0 || string(synced.MemberAssignment) != "everything" {
		t.Errorf("sync of the new member: %+v", synced)
	}
	removed := replaced
	removed.id = ""
	if codes := removed.leave(t, 5); len(codes) > 0 {
		t.Errorf("removal by instance id: %v", codes)
	}
	wantCode(t, "heartbeat after the removal", replaced.heartbeat(t, 4), 25)
}
