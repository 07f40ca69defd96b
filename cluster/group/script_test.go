package group_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator/coordinatortest"
	"kserver/cluster/group"
	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// TestScripts runs the scenarios in testdata. Each directive is one request or
// one thing that happens; its output is every answer given because of it. A
// request's first argument names it in the output. All groups live on the one
// partition of the topic.
//
//	join a group=g client=c [member= instance= proto=(range:meta) type= session= rebalance= v=]
//	sync a group=g member= gen= [assign=(member:bytes) type= proto= v=]
//	heartbeat a group=g member= gen= [instance=] ; heartbeats 3h (the same, for a while)
//	leave a group=g members=(id,/instance,id/instance) [v=]
//	commit a group=g topics=(t-0:5:metadata) [member= gen= instance= retention= v=]
//	fetch a groups=(g) [topics=(t-0)] [stable v=]
//	describe a groups=(g) [v=] ; list a [states=() types=()]
//	delete-groups a groups=(g) ; delete-offsets a group=g topics=(t-0)
//	advance 3s · hold · release · lose CODE · refuse [CODE] · maxbytes N
//	restart (checks that replay rebuilds what was there) · unload · dump
//	txn producer=1 group=g topics=(t-0:5) ; marker producer=1 commit|abort
//	delete-topic t ; create-topic t [n]
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		synctest.Test(t, func(t *testing.T) {
			s := newScript(t)
			datadriven.RunTest(t, path, s.run)
			s.coordinator.Close()
		})
	})
}

// script is the state of one scenario.
type script struct {
	t           *testing.T
	time        *coordinatortest.Time
	storage     *coordinatortest.Storage
	topics      *topics
	cfg         group.Config
	coordinator *group.Coordinator
	epoch       int32

	mu  sync.Mutex
	out strings.Builder
}

func newScript(t *testing.T) *script {
	s := &script{
		t: t, time: coordinatortest.NewTime(), storage: coordinatortest.NewStorage(),
		topics: &topics{byName: make(map[string]group.TopicInfo)},
	}
	s.topics.create("t", 4)
	s.topics.create("u", 2)
	ids := 0
	s.cfg = group.DefaultConfig()
	s.cfg.OffsetsTopicPartitions = 1
	s.cfg.Storage, s.cfg.Topics, s.cfg.Timer, s.cfg.Clock = s.storage, s.topics, s.time, s.time
	s.cfg.NewID = func() string { ids++; return strconv.Itoa(ids) }
	s.start()
	return s
}

func (s *script) start() {
	c, err := group.New(s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.coordinator = c
	s.load()
}

func (s *script) load() {
	s.epoch++
	s.coordinator.Load(0, s.epoch)
	synctest.Wait()
}

func (s *script) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.out, format+"\n", args...)
}

// run runs one directive.
func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	mine := *d // answers may come later, when datadriven has gone on
	mine.CmdArgs = slices.Clone(d.CmdArgs)
	a := args{t, &mine}
	switch d.Cmd {
	case "config":
		s.configure(a)
	case "join":
		s.join(a)
	case "sync":
		s.sync(a)
	case "heartbeat":
		s.heartbeat(a)
	case "heartbeats":
		s.heartbeats(a)
	case "leave":
		s.leave(a)
	case "commit":
		s.commit(a)
	case "fetch":
		s.fetch(a)
	case "describe":
		s.describe(a)
	case "list":
		s.list(a)
	case "delete-groups":
		s.deleteGroups(a)
	case "delete-offsets":
		s.deleteOffsets(a)
	case "advance":
		d, err := time.ParseDuration(a.name())
		if err != nil {
			t.Fatal(err)
		}
		s.time.Advance(d)
	case "hold":
		s.storage.Hold()
	case "release":
		s.storage.Release()
	case "lose":
		s.storage.Lose(&protocol.Error{Code: codeOf(a.name())})
	case "refuse":
		s.refuse(a)
	case "maxbytes":
		s.storage.MaxBytes = int(a.int("", 0))
	case "unload":
		s.coordinator.Unload(0, s.epoch)
	case "load":
		s.load()
	case "restart":
		s.restart()
	case "dump":
		s.out.WriteString(s.coordinator.Dump(0, true))
	case "log":
		s.log()
	case "txn":
		s.txn(a)
	case "marker":
		s.marker(a)
	case "create-topic":
		s.topics.create(a.name(), 4)
	case "delete-topic":
		s.coordinator.TopicsDeleted([]group.TopicInfo{s.topics.remove(a.name())})
	default:
		t.Fatalf("%s: unknown directive %q", d.Pos, d.Cmd)
	}
	synctest.Wait()
	if err := s.coordinator.CheckInvariants(0); err != nil {
		t.Errorf("%s: %v", d.Pos, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.out.String()
	s.out.Reset()
	return out
}

// configure starts over with other properties.
func (s *script) configure(a args) {
	s.coordinator.Close()
	if v := a.int("delay", -1); v >= 0 {
		s.cfg.InitialRebalanceDelay = time.Duration(v) * time.Millisecond
	}
	if v := a.int("max-size", -1); v >= 0 {
		s.cfg.MaxSize = int(v)
	}
	if v := a.int("metadata", -1); v >= 0 {
		s.cfg.OffsetMetadataMaxBytes = int(v)
	}
	s.start()
}

// restart loads the log into a new coordinator and compares it with the old.
func (s *script) restart() {
	before := s.coordinator.Dump(0, false)
	s.coordinator.Close()
	s.start()
	if after := s.coordinator.Dump(0, false); after != before {
		s.printf("replay differs; before:\n%safter:\n%s", before, after)
	}
}

func (s *script) refuse(a args) {
	if len(a.d.CmdArgs) == 0 {
		s.storage.Refuse(nil)
		return
	}
	s.storage.Refuse(&protocol.Error{Code: codeOf(a.name())})
}

func (s *script) join(a args) {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = int16(a.int("v", 9))
	req.Group = a.str("group", "g")
	req.MemberID = a.str("member", "")
	req.InstanceID = a.ptr("instance")
	req.ProtocolType = a.str("type", "consumer")
	req.SessionTimeoutMillis = int32(a.int("session", 10_000))
	req.RebalanceTimeoutMillis = int32(a.int("rebalance", 60_000))
	for _, p := range a.list("proto", "range:m") {
		name, meta, _ := strings.Cut(p, ":")
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: metadata(meta)})
	}
	client := group.Client{ID: a.str("client", "c"), Host: "/10.0.0.1"}
	s.coordinator.JoinGroup(client, req, func(r *kmsg.JoinGroupResponse) {
		var b strings.Builder
		fmt.Fprintf(&b, "%s: %v", a.name(), protocol.ErrorCode(r.ErrorCode))
		if r.MemberID != "" {
			fmt.Fprintf(&b, " member=%s", r.MemberID)
		}
		if r.Generation >= 0 {
			fmt.Fprintf(&b, " gen=%d type=%s protocol=%s leader=%s", r.Generation, show(r.ProtocolType), show(r.Protocol), r.LeaderID)
		}
		for _, m := range r.Members {
			fmt.Fprintf(&b, "\n  %s %q", m.MemberID, m.ProtocolMetadata)
			if m.InstanceID != nil {
				fmt.Fprintf(&b, " instance=%s", *m.InstanceID)
			}
		}
		if r.SkipAssignment {
			b.WriteString("\n  skip assignment")
		}
		s.printf("%s", b.String())
	})
}

func (s *script) sync(a args) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = int16(a.int("v", 5))
	req.Group, req.MemberID = a.str("group", "g"), a.str("member", "")
	req.Generation = int32(a.int("gen", 0))
	req.InstanceID = a.ptr("instance")
	kind, proto := a.str("type", "consumer"), a.str("proto", "range")
	if kind != "none" {
		req.ProtocolType, req.Protocol = &kind, &proto
	}
	for _, x := range a.list("assign", "") {
		id, bytes, _ := strings.Cut(x, ":")
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: []byte(bytes)})
	}
	s.coordinator.SyncGroup(req, func(r *kmsg.SyncGroupResponse) {
		s.printf("%s: %v assignment=%q type=%s protocol=%s", a.name(), protocol.ErrorCode(r.ErrorCode),
			r.MemberAssignment, show(r.ProtocolType), show(r.Protocol))
	})
}

func (s *script) heartbeat(a args) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID = a.str("group", "g"), a.str("member", "")
	req.Generation = int32(a.int("gen", 0))
	req.InstanceID = a.ptr("instance")
	s.coordinator.Heartbeat(req, func(r *kmsg.HeartbeatResponse) {
		s.printf("%s: %v", a.name(), protocol.ErrorCode(r.ErrorCode))
	})
}

// heartbeats lets time pass with a silent heartbeat every ten minutes.
func (s *script) heartbeats(a args) {
	d, err := time.ParseDuration(a.name())
	if err != nil {
		s.t.Fatal(err)
	}
	for ; d > 0; d -= 10 * time.Minute {
		s.time.Advance(10 * time.Minute)
		s.heartbeat(a)
		s.out.Reset()
	}
}

func (s *script) leave(a args) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version = int16(a.int("v", 5))
	req.Group = a.str("group", "g")
	for _, m := range a.list("members", "") {
		id, instance, static := strings.Cut(m, "/")
		lm := kmsg.LeaveGroupRequestMember{MemberID: id}
		if static {
			lm.InstanceID = &instance
		}
		req.Members = append(req.Members, lm)
		req.MemberID = id
	}
	s.coordinator.LeaveGroup(req, func(r *kmsg.LeaveGroupResponse) {
		s.printf("%s: %v", a.name(), protocol.ErrorCode(r.ErrorCode))
		for _, m := range r.Members {
			s.printf("  %s/%s %v", m.MemberID, show(m.InstanceID), protocol.ErrorCode(m.ErrorCode))
		}
	})
}

func (s *script) commit(a args) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version = int16(a.int("v", 9))
	req.Group, req.MemberID = a.str("group", "g"), a.str("member", "")
	req.Generation = int32(a.int("gen", -1))
	req.InstanceID = a.ptr("instance")
	req.RetentionTimeMillis = a.int("retention", -1)
	for _, x := range a.list("topics", "t-0:1") {
		f := append(strings.Split(x, ":"), "")
		topic, p := splitPartition(s.t, f[0])
		offset, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset, part.Metadata = p, offset, &f[2]
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic, rt.TopicID = topic, s.topics.id(topic)
		rt.Partitions = []kmsg.OffsetCommitRequestTopicPartition{part}
		req.Topics = append(req.Topics, rt)
	}
	s.coordinator.OffsetCommit(req, func(r *kmsg.OffsetCommitResponse) {
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				s.printf("%s: %s-%d %v", a.name(), t.Topic, p.Partition, protocol.ErrorCode(p.ErrorCode))
			}
		}
	})
}

func (s *script) fetch(a args) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = int16(a.int("v", 9))
	req.RequireStable = a.d.HasArg("stable")
	var topics []kmsg.OffsetFetchRequestGroupTopic
	for _, x := range a.list("topics", "") {
		topic, p := splitPartition(s.t, x)
		topics = append(topics, kmsg.OffsetFetchRequestGroupTopic{Topic: topic, TopicID: s.topics.id(topic), Partitions: []int32{p}})
	}
	for _, id := range a.list("groups", "g") {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.Topics = id, topics
		req.Groups = append(req.Groups, g)
		req.Group = id
	}
	for _, t := range topics {
		req.Topics = append(req.Topics, kmsg.OffsetFetchRequestTopic{Topic: t.Topic, Partitions: t.Partitions})
	}
	s.coordinator.OffsetFetch(req, func(r *kmsg.OffsetFetchResponse) {
		if req.Version < 8 {
			s.printf("%s: %v", a.name(), protocol.ErrorCode(r.ErrorCode))
		}
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				s.printf("  %s-%d = %d epoch=%d %q %v", t.Topic, p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata, protocol.ErrorCode(p.ErrorCode))
			}
		}
		for _, g := range r.Groups {
			s.printf("%s: %s %v", a.name(), g.Group, protocol.ErrorCode(g.ErrorCode))
			for _, t := range g.Topics {
				for _, p := range t.Partitions {
					s.printf("  %s-%d = %d epoch=%d %q %v", t.Topic, p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata, protocol.ErrorCode(p.ErrorCode))
				}
			}
		}
	})
}

func (s *script) describe(a args) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Version = int16(a.int("v", 6))
	req.Groups = a.list("groups", "g")
	req.IncludeAuthorizedOperations = a.d.HasArg("ops")
	s.coordinator.DescribeGroups(req, func(r *kmsg.DescribeGroupsResponse) {
		for _, g := range r.Groups {
			s.printf("%s: %s %v state=%q type=%q protocol=%q ops=%d %s", a.name(), g.Group, protocol.ErrorCode(g.ErrorCode),
				g.State, g.ProtocolType, g.Protocol, g.AuthorizedOperations, show(g.ErrorMessage))
			for _, m := range g.Members {
				s.printf("  %s/%s %s%s meta=%q assignment=%q", m.MemberID, show(m.InstanceID), m.ClientID, m.ClientHost, m.ProtocolMetadata, m.MemberAssignment)
			}
		}
	})
}

func (s *script) list(a args) {
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = a.list("states", ""), a.list("types", "")
	s.coordinator.ListGroups(req, func(r *kmsg.ListGroupsResponse) {
		s.printf("%s: %v", a.name(), protocol.ErrorCode(r.ErrorCode))
		for _, g := range r.Groups {
			s.printf("  %s %q %s %s", g.Group, g.ProtocolType, g.GroupState, g.GroupType)
		}
	})
}

func (s *script) deleteGroups(a args) {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = a.list("groups", "g")
	s.coordinator.DeleteGroups(req, func(r *kmsg.DeleteGroupsResponse) {
		for _, g := range r.Groups {
			s.printf("%s: %s %v", a.name(), g.Group, protocol.ErrorCode(g.ErrorCode))
		}
	})
}

func (s *script) deleteOffsets(a args) {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = a.str("group", "g")
	for _, x := range a.list("topics", "") {
		topic, p := splitPartition(s.t, x)
		req.Topics = append(req.Topics, kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: p}}})
	}
	s.coordinator.OffsetDelete(req, func(r *kmsg.OffsetDeleteResponse) {
		s.printf("%s: %v", a.name(), protocol.ErrorCode(r.ErrorCode))
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				s.printf("  %s-%d %v", t.Topic, p.Partition, protocol.ErrorCode(p.ErrorCode))
			}
		}
	})
}

// log shows the records, decoded.
func (s *script) log() {
	for _, b := range s.storage.Batches(0) {
		for r, err := range b.Records(1 << 20) {
			if err != nil {
				s.t.Fatal(err)
			}
			s.printf("%d %s", b.BaseOffset()+int64(r.OffsetDelta), showRecord(s.t, r.Key, r.Value))
		}
	}
}

// txn appends offsets as a transactional producer's would be.
func (s *script) txn(a args) {
	b := s.producerBatch(a, false)
	for _, x := range a.list("topics", "") {
		f := strings.Split(x, ":")
		topic, p := splitPartition(s.t, f[0])
		offset, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		key := kmsg.OffsetCommitKey{Version: 1, Group: a.str("group", "g"), Topic: topic, Partition: p}
		value := kmsg.OffsetCommitValue{Version: 4, Offset: offset, LeaderEpoch: 3}
		b.Append(s.time.Now().UnixMilli(), key.AppendTo(nil), value.AppendTo(nil))
	}
	s.appendRaw(b)
}

func (s *script) marker(a args) {
	b := s.producerBatch(a, true)
	kind := byte(0)
	if a.d.HasArg("commit") {
		kind = 1
	}
	b.Append(s.time.Now().UnixMilli(), []byte{0, 0, 0, kind}, make([]byte, 6))
	s.appendRaw(b)
}

func (s *script) producerBatch(a args, control bool) *recordbatch.Builder {
	return recordbatch.NewBuilder(recordbatch.BuilderConfig{Control: control, Transactional: true,
		Producer: &recordbatch.Producer{ID: a.int("producer", 1), BaseSequence: -1}})
}

func (s *script) appendRaw(b *recordbatch.Builder) {
	batch, err := b.Build()
	if err != nil {
		s.t.Fatal(err)
	}
	s.storage.AppendRaw(0, batch)
}

// args reads a directive's arguments.
type args struct {
	t *testing.T
	d *datadriven.TestData
}

func (a args) name() string { return a.d.CmdArgs[0].Key }

func (a args) list(key, def string) []string {
	for _, arg := range a.d.CmdArgs {
		if arg.Key == key {
			return arg.Vals
		}
	}
	if def == "" {
		return nil
	}
	return []string{def}
}

func (a args) str(key, def string) string {
	if l := a.list(key, def); len(l) > 0 {
		return l[0]
	}
	return ""
}

func (a args) ptr(key string) *string {
	if v := a.str(key, ""); v != "" {
		return &v
	}
	return nil
}

// int reads a number; key "" is the first argument.
func (a args) int(key string, def int64) int64 {
	text := a.str(key, "")
	if key == "" {
		text = a.name()
	}
	if text == "" {
		return def
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		a.t.Fatalf("%s: %s: %v", a.d.Pos, key, err)
	}
	return n
}

// metadata is what a member says; "sub+t+u" is a consumer's subscription to t
// and u.
func metadata(s string) []byte {
	f := strings.Split(s, "+")
	if f[0] != "sub" {
		return []byte(s)
	}
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = f[1:]
	return meta.AppendTo(nil)
}

func splitPartition(t *testing.T, s string) (string, int32) {
	i := strings.LastIndexByte(s, '-')
	p, err := strconv.Atoi(s[i+1:])
	if err != nil {
		t.Fatal(err)
	}
	return s[:i], int32(p)
}

func codeOf(name string) protocol.ErrorCode {
	for c := protocol.ErrorCode(-1); c < 140; c++ {
		if c.String() == name {
			return c
		}
	}
	panic("no error " + name)
}

func show(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

func showRecord(t *testing.T, key, value []byte) string {
	if key[1] == 2 {
		var k kmsg.GroupMetadataKey
		var v kmsg.GroupMetadataValue
		if err := k.ReadFrom(key); err != nil {
			t.Fatal(err)
		}
		if value == nil {
			return fmt.Sprintf("group %s deleted", k.Group)
		}
		if err := v.ReadFrom(value); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("group %s v%d gen=%d type=%q members=%d", k.Group, v.Version, v.Generation, v.ProtocolType, len(v.Members))
	}
	var k kmsg.OffsetCommitKey
	var v kmsg.OffsetCommitValue
	if err := k.ReadFrom(key); err != nil {
		t.Fatal(err)
	}
	if value == nil {
		return fmt.Sprintf("offset %s %s-%d deleted", k.Group, k.Topic, k.Partition)
	}
	if err := v.ReadFrom(value); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("offset %s %s-%d v%d = %d", k.Group, k.Topic, k.Partition, v.Version, v.Offset)
}

// topics is a group.Topics that a script changes.
type topics struct {
	mu     sync.Mutex
	byName map[string]group.TopicInfo
	made   byte
}

func (ts *topics) create(name string, partitions int32) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.made++
	ts.byName[name] = group.TopicInfo{Name: name, ID: [16]byte{15: ts.made}, Partitions: partitions}
}

func (ts *topics) remove(name string) group.TopicInfo {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	info := ts.byName[name]
	delete(ts.byName, name)
	return info
}

// id is the topic's, or one that no topic has.
func (ts *topics) id(name string) [16]byte {
	if info, ok := ts.TopicByName(name); ok {
		return info.ID
	}
	return [16]byte{0: 0xee}
}

func (ts *topics) TopicByName(name string) (group.TopicInfo, bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	info, ok := ts.byName[name]
	return info, ok
}

func (ts *topics) TopicByID(id [16]byte) (group.TopicInfo, bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, info := range ts.byName {
		if info.ID == id {
			return info, true
		}
	}
	return group.TopicInfo{}, false
}
