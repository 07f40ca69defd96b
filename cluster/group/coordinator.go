package group

import (
	"math"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// Client is what a connection knows of the client that sends a request.
type Client struct {
	ID   string // client.id of the request, "" if none; may alias the request
	Host string // as Kafka shows it: "/127.0.0.1"
}

// Coordinator is the group coordinator of one broker, for the partitions of
// __consumer_offsets that the broker leads. All methods may be called from any
// goroutine and none waits for the disk.
//
// The request methods call reply exactly once, perhaps before they return,
// from any goroutine. A request must stay unchanged, with the memory its
// strings alias, until then; nothing of it is kept longer. Responses belong to
// reply, except for byte slices, which must not be changed.
type Coordinator struct {
	cfg        Config
	runtime    *coordinator.Runtime
	metrics    Metrics
	partitions atomic.Int32 // of __consumer_offsets
}

// New makes a coordinator that owns no partition yet; see Load.
func New(cfg Config) (*Coordinator, error) {
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{cfg: cfg}
	c.partitions.Store(cfg.OffsetsTopicPartitions)
	runtime, err := coordinator.NewRuntime(coordinator.Config{
		Topic:        TopicName,
		Storage:      cfg.Storage,
		Clock:        cfg.Clock,
		Timer:        cfg.Timer,
		Logger:       cfg.Logger,
		WriteTimeout: cfg.OffsetsCommitTimeout,
		Loaders:      cfg.Loaders,
		NewState:     func(p int32) coordinator.State { return newShard(p, &c.cfg, &c.metrics) },
	})
	if err != nil {
		return nil, err
	}
	c.runtime = runtime
	return c, nil
}

// SetPartitions says how many partitions __consumer_offsets really has. Call it
// before the first Load; a topic that exists wins over the configuration.
func (c *Coordinator) SetPartitions(n int32) { c.partitions.Store(n) }

// PartitionFor is the partition of __consumer_offsets that holds a group.
func (c *Coordinator) PartitionFor(group string) int32 {
	return protocol.CoordinatorPartition(group, c.partitions.Load())
}

// Load takes charge of a partition that this broker leads as of leaderEpoch;
// its groups answer COORDINATOR_LOAD_IN_PROGRESS until they are read.
func (c *Coordinator) Load(partition, leaderEpoch int32) { c.runtime.Load(partition, leaderEpoch) }

// Unload gives up a partition that another broker leads as of leaderEpoch, or
// whose topic was deleted (-1). Parked requests get NOT_COORDINATOR.
func (c *Coordinator) Unload(partition, leaderEpoch int32) { c.runtime.Unload(partition, leaderEpoch) }

// Close gives up all partitions. Later requests get COORDINATOR_NOT_AVAILABLE.
func (c *Coordinator) Close() { c.runtime.Close() }

// Metrics gives the coordinator's counters.
func (c *Coordinator) Metrics() *Metrics { return &c.metrics }

// RuntimeMetrics gives the counters of the machinery below.
func (c *Coordinator) RuntimeMetrics() *coordinator.Metrics { return c.runtime.Metrics() }

// TopicsDeleted removes the offsets of deleted topics from every group here.
func (c *Coordinator) TopicsDeleted(deleted []TopicInfo) {
	for _, p := range c.runtime.Partitions() {
		c.do(p, func(ev *coordinator.Event, s *shard) {
			s.topicsDeleted(ev, deleted)
		}, func(code protocol.ErrorCode) {
			c.cfg.Logger.Warn("offsets of deleted topics not removed", "partition", p, "err", code.String())
		})
	}
}

// do runs fn on a partition's shard.
func (c *Coordinator) do(partition int32, fn func(*coordinator.Event, *shard), refused func(protocol.ErrorCode)) {
	c.runtime.Do(partition, func(ev *coordinator.Event, s coordinator.State) { fn(ev, s.(*shard)) }, refused)
}

// JoinGroup handles JoinGroup v0-9.
func (c *Coordinator) JoinGroup(client Client, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse)) {
	version := req.Version
	answer := func(resp *kmsg.JoinGroupResponse) {
		if version < joinNullableProtocol && resp.Protocol == nil {
			none := ""
			resp.Protocol = &none
		}
		reply(resp)
	}
	session := int64(req.SessionTimeoutMillis)
	switch {
	case !validName(req.Group):
		answer(joinError(req.MemberID, protocol.InvalidGroupID))
		return
	case session < c.cfg.MinSessionTimeout.Milliseconds(), session > c.cfg.MaxSessionTimeout.Milliseconds():
		answer(joinError(req.MemberID, protocol.InvalidSessionTimeout))
		return
	case !validJoin(req):
		answer(joinError(req.MemberID, protocol.InvalidRequest))
		return
	}
	c.do(c.PartitionFor(req.Group), func(ev *coordinator.Event, s *shard) {
		s.joinGroup(ev, joinRequest{JoinGroupRequest: req, client: client, reply: answer})
	}, func(code protocol.ErrorCode) { answer(joinError("", code)) })
}

// SyncGroup handles SyncGroup v0-5.
func (c *Coordinator) SyncGroup(req *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse)) {
	switch {
	case req.Version >= syncNamesProtocol && (req.ProtocolType == nil || req.Protocol == nil):
		reply(syncError(protocol.InconsistentGroupProtocol))
		return
	case req.Group == "":
		reply(syncError(protocol.InvalidGroupID))
		return
	}
	c.do(c.PartitionFor(req.Group), func(ev *coordinator.Event, s *shard) {
		s.syncGroup(ev, req, reply)
	}, func(code protocol.ErrorCode) { reply(syncError(code)) })
}

// Heartbeat handles Heartbeat v0-4. While the group is loading it answers NONE,
// as Kafka does: a member need not rejoin for that.
func (c *Coordinator) Heartbeat(req *kmsg.HeartbeatRequest, reply func(*kmsg.HeartbeatResponse)) {
	answer := func(code protocol.ErrorCode) {
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = int16(code)
		reply(resp)
	}
	if req.Group == "" {
		answer(protocol.InvalidGroupID)
		return
	}
	c.do(c.PartitionFor(req.Group), func(ev *coordinator.Event, s *shard) {
		result := s.heartbeat(ev, req)
		ev.Answer(func(code protocol.ErrorCode) {
			if code == protocol.None {
				code = result
			}
			answer(code)
		})
	}, func(code protocol.ErrorCode) {
		if code == protocol.CoordinatorLoadInProgress {
			code = protocol.None
		}
		answer(code)
	})
}

// LeaveGroup handles LeaveGroup v0-5.
func (c *Coordinator) LeaveGroup(req *kmsg.LeaveGroupRequest, reply func(*kmsg.LeaveGroupResponse)) {
	fail := func(code protocol.ErrorCode) {
		resp := kmsg.NewPtrLeaveGroupResponse()
		resp.ErrorCode = int16(code)
		reply(resp)
	}
	if req.Group == "" {
		fail(protocol.InvalidGroupID)
		return
	}
	leaving := req.Members
	if req.Version < leaveBatch {
		leaving = []kmsg.LeaveGroupRequestMember{{MemberID: req.MemberID}}
	}
	c.do(c.PartitionFor(req.Group), func(ev *coordinator.Event, s *shard) {
		left := s.leaveGroup(ev, req.Group, leaving)
		ev.Answer(func(code protocol.ErrorCode) {
			if code != protocol.None {
				fail(code)
				return
			}
			resp := kmsg.NewPtrLeaveGroupResponse()
			if req.Version < leaveBatch {
				resp.ErrorCode = left[0].ErrorCode
			} else {
				resp.Members = left
			}
			reply(resp)
		})
	}, fail)
}

// OffsetCommit handles OffsetCommit v2-10. Partitions that do not exist are
// answered without the group; so is a request that has no others. An empty
// group id is a group like any other here.
func (c *Coordinator) OffsetCommit(req *kmsg.OffsetCommitRequest, reply func(*kmsg.OffsetCommitResponse)) {
	resp, items := c.commitResponse(req)
	if len(items) == 0 {
		reply(resp)
		return
	}
	fail := func(code protocol.ErrorCode) {
		setCodes(items, code)
		reply(resp)
	}
	if len(req.Group) > math.MaxInt16 {
		fail(protocol.InvalidGroupID)
		return
	}
	c.do(c.PartitionFor(req.Group), func(ev *coordinator.Event, s *shard) {
		s.commitOffsets(ev, req, items)
		ev.Answer(func(code protocol.ErrorCode) {
			if code != protocol.None {
				setCodes(items, code)
			}
			reply(resp)
		})
	}, fail)
}

// OffsetFetch handles OffsetFetch v1-10.
func (c *Coordinator) OffsetFetch(req *kmsg.OffsetFetchRequest, reply func(*kmsg.OffsetFetchResponse)) {
	groups := req.Groups
	if req.Version < fetchBatch {
		groups = []kmsg.OffsetFetchRequestGroup{singleGroup(req)}
	}
	results := make([]kmsg.OffsetFetchResponseGroup, len(groups))
	all := newGather(len(groups), func() { reply(fetchResponse(req.Version, results)) })
	for i := range groups {
		g, result := &groups[i], &results[i]
		result.Group = g.Group
		topics := c.fetchTopics(req.Version, g)
		c.do(c.PartitionFor(g.Group), func(ev *coordinator.Event, s *shard) {
			fetched := s.fetchOffsets(g.Group, topics, req.RequireStable)
			ev.Answer(func(code protocol.ErrorCode) {
				if code != protocol.None {
					failFetch(req.Version, result, g, code)
				} else if result.Topics = fetched; g.Topics == nil {
					result.Topics = dropUnnamed(req.Version, fetched)
				}
				all.done()
			})
		}, func(code protocol.ErrorCode) {
			failFetch(req.Version, result, g, code)
			all.done()
		})
	}
}

// DescribeGroups handles DescribeGroups v0-6.
func (c *Coordinator) DescribeGroups(req *kmsg.DescribeGroupsRequest, reply func(*kmsg.DescribeGroupsResponse)) {
	resp := kmsg.NewPtrDescribeGroupsResponse()
	resp.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(req.Groups))
	all := newGather(len(req.Groups), func() { reply(resp) })
	for i, id := range req.Groups {
		result := &resp.Groups[i]
		fail := func(code protocol.ErrorCode) {
			*result = describeError(id, code)
			all.done()
		}
		c.do(c.PartitionFor(id), func(ev *coordinator.Event, s *shard) {
			described := s.describe(id, req.Version)
			if req.IncludeAuthorizedOperations && described.ErrorCode == 0 {
				described.AuthorizedOperations = groupOperations
			}
			ev.Answer(func(code protocol.ErrorCode) {
				if code != protocol.None {
					fail(code)
					return
				}
				*result = described
				all.done()
			})
		}, fail)
	}
}

// ListGroups handles ListGroups v0-5: the groups of all partitions here. If one
// of them cannot be read now the answer is its error and no group.
func (c *Coordinator) ListGroups(req *kmsg.ListGroupsRequest, reply func(*kmsg.ListGroupsResponse)) {
	partitions := c.runtime.Partitions()
	lists := make([][]kmsg.ListGroupsResponseGroup, len(partitions))
	codes := make([]protocol.ErrorCode, len(partitions))
	all := newGather(len(partitions), func() { reply(listResponse(lists, codes)) })
	for i, p := range partitions {
		c.do(p, func(ev *coordinator.Event, s *shard) {
			list := s.list(listFilter{states: req.StatesFilter, types: req.TypesFilter})
			ev.Answer(func(code protocol.ErrorCode) {
				lists[i], codes[i] = list, code
				all.done()
			})
		}, func(code protocol.ErrorCode) {
			if code != protocol.NotCoordinator { // the partition moved away
				codes[i] = code
			}
			all.done()
		})
	}
}

func listResponse(lists [][]kmsg.ListGroupsResponseGroup, codes []protocol.ErrorCode) *kmsg.ListGroupsResponse {
	resp := kmsg.NewPtrListGroupsResponse()
	for i := range lists {
		if codes[i] != protocol.None {
			resp.Groups = nil
			resp.ErrorCode = int16(codes[i])
			return resp
		}
		resp.Groups = append(resp.Groups, lists[i]...)
	}
	return resp
}

// gather calls f when n parts are done.
type gather struct {
	left atomic.Int64
	f    func()
}

// newGather calls f at once when there is nothing to wait for.
func newGather(n int, f func()) *gather {
	g := &gather{f: f}
	g.left.Store(int64(n))
	if n == 0 {
		f()
	}
	return g
}

func (g *gather) done() {
	if g.left.Add(-1) == 0 {
		g.f()
	}
}

// validName reports whether a group id can be stored and is not empty. Strings
// of flexible requests may be longer than those of records.
func validName(s string) bool { return s != "" && len(s) <= math.MaxInt16 }

// validJoin reports whether what a member says of itself can be stored.
func validJoin(req *kmsg.JoinGroupRequest) bool {
	if len(deref(req.InstanceID)) > math.MaxInt16 || len(req.ProtocolType) > math.MaxInt16 {
		return false
	}
	for i := range req.Protocols {
		if len(req.Protocols[i].Name) > math.MaxInt16 {
			return false
		}
	}
	return true
}
