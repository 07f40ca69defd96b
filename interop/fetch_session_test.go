package interop

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// session is a fetch session of one topic, held by hand (KIP-227).
type session struct {
	t     *testing.T
	conn  *wire.Conn
	topic string
	id    [16]byte // non-zero: requests by topic id, v13
	sid   int32
	epoch int32
}

// open starts a session with partitions at offsets.
func openSession(t *testing.T, conn *wire.Conn, topic string, offsets map[int32]int64) *session {
	t.Helper()
	s := &session{t: t, conn: conn, topic: topic}
	resp := s.ask(s.request(offsets))
	if resp.ErrorCode != 0 || resp.SessionID == 0 {
		t.Fatalf("open session: code %d, id %d", resp.ErrorCode, resp.SessionID)
	}
	s.sid, s.epoch = resp.SessionID, 1
	return s
}

func (s *session) request(offsets map[int32]int64, forgotten ...int32) *kmsg.FetchRequest {
	version := int16(12)
	if s.id != [16]byte{} {
		version = 13
	}
	req := fetchRequest(version, s.topic, offsets)
	if len(offsets) == 0 {
		req.Topics = nil
	} else {
		req.Topics[0].TopicID = s.id
	}
	req.SessionID, req.SessionEpoch = s.sid, s.epoch
	if len(forgotten) > 0 {
		req.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: s.topic, TopicID: s.id, Partitions: forgotten}}
	}
	return req
}

func (s *session) ask(req *kmsg.FetchRequest) *kmsg.FetchResponse {
	s.t.Helper()
	return ask[*kmsg.FetchResponse](s.t, s.conn, req)
}

// step sends an incremental request and returns the partitions of the answer in order.
func (s *session) step(what string, offsets map[int32]int64, forgotten ...int32) []kmsg.FetchResponseTopicPartition {
	s.t.Helper()
	resp := s.ask(s.request(offsets, forgotten...))
	if resp.ErrorCode != 0 || resp.SessionID != s.sid {
		s.t.Fatalf("%s: code %d, session %d, want 0 and %d", what, resp.ErrorCode, resp.SessionID, s.sid)
	}
	s.epoch++
	var all []kmsg.FetchResponseTopicPartition
	for _, topic := range resp.Topics {
		all = append(all, topic.Partitions...)
	}
	return all
}

func partitionsOf(all []kmsg.FetchResponseTopicPartition) []int32 {
	ids := []int32{}
	for _, p := range all {
		ids = append(ids, p.Partition)
	}
	slices.Sort(ids)
	return ids
}

// TestFetchSession walks through a session's life: only changes are answered, partitions are added,
// moved and forgotten.
func TestFetchSession(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 4)
	conn := newConn(t)
	for _, byID := range []bool{false, true} {
		t.Run(fmt.Sprintf("byID=%v", byID), func(t *testing.T) { sessionLife(t, conn, topic, byID) })
	}
}

func sessionLife(t *testing.T, conn *wire.Conn, topic string, byID bool) {
	batch := wire.NewBatch(time.Now().UnixMilli(), []byte("v"))
	var ends [4]int64
	for p := range int32(4) {
		ends[p] = mustProduce(t, conn, topic, p, batch) + 1
	}
	s := &session{t: t, conn: conn, topic: topic}
	if byID {
		s.id = topicID(t, conn, topic)
	}
	want := func(what string, got []kmsg.FetchResponseTopicPartition, partitions ...int32) {
		t.Helper()
		if partitions == nil {
			partitions = []int32{}
		}
		if !slices.Equal(partitionsOf(got), partitions) {
			t.Errorf("%s: answered partitions %v, want %v", what, partitionsOf(got), partitions)
		}
	}
	produce := func(p int32) {
		t.Helper()
		ends[p] = mustProduce(t, conn, topic, p, batch) + 1
	}
	full := s.ask(s.request(map[int32]int64{0: ends[0], 1: ends[1], 2: ends[2]}))
	if full.ErrorCode != 0 || full.SessionID == 0 || len(full.Topics) != 1 || len(full.Topics[0].Partitions) != 3 {
		t.Fatalf("full fetch: code %d, session %d, %d topics", full.ErrorCode, full.SessionID, len(full.Topics))
	}
	s.sid, s.epoch = full.SessionID, 1

	want("nothing changed", s.step("nothing changed", nil))
	produce(1)
	got := s.step("append", nil)
	want("append", got, 1)
	if len(got) == 1 && (got[0].HighWatermark != ends[1] || len(got[0].RecordBatches) == 0) {
		t.Errorf("append: high watermark %d, %d bytes", got[0].HighWatermark, len(got[0].RecordBatches))
	}
	want("records not taken are sent again", s.step("again", nil), 1)
	want("offset moved on", s.step("moved on", map[int32]int64{1: ends[1]}))
	want("partition added", s.step("added", map[int32]int64{3: 0}), 3)
	want("added partition taken", s.step("taken", map[int32]int64{3: ends[3]}))
	produce(2)
	produce(3)
	want("forgotten partition", s.step("forgotten", nil, 2), 3)
	want("partition back at its end", s.step("back", map[int32]int64{2: ends[2], 3: ends[3]}), 2) // a new one shows its watermark
	want("out of range is said", s.step("out of range", map[int32]int64{0: ends[0] + 5}), 0)
	want("and said again", s.step("out of range again", nil), 0)
	want("healed", s.step("healed", map[int32]int64{0: ends[0]}), 0)
	want("and silent", s.step("silent", nil))
}

// TestFetchSessionErrors uses sessions wrongly.
func TestFetchSessionErrors(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 2)
	conn := newConn(t)
	offsets := map[int32]int64{0: 0, 1: 0}

	s := openSession(t, conn, topic, offsets)
	req := s.request(nil)
	req.SessionID++
	resp := s.ask(req)
	wantCode(t, "unknown session", resp.ErrorCode, 70)
	if len(resp.Topics) != 0 || resp.SessionID != 0 {
		t.Errorf("unknown session: session %d, %d topics", resp.SessionID, len(resp.Topics))
	}

	for _, epoch := range []int32{5, 2} {
		req = s.request(nil)
		req.SessionEpoch = epoch
		wantCode(t, "session epoch of the future", s.ask(req).ErrorCode, 71)
	}
	s.step("the right epoch", nil)
	req = s.request(nil)
	req.SessionEpoch = 1
	wantCode(t, "session epoch of the past", s.ask(req).ErrorCode, 71)

	// A session belongs to no connection.
	s.conn = newConn(t)
	s.step("another connection", nil)

	// Named with epoch 0 it is closed and a new one begins.
	req = s.request(offsets)
	req.SessionEpoch = 0
	resp = s.ask(req)
	if resp.ErrorCode != 0 || resp.SessionID == 0 || resp.SessionID == s.sid {
		t.Errorf("epoch 0: code %d, session %d after %d", resp.ErrorCode, resp.SessionID, s.sid)
	}
	wantCode(t, "the closed session", s.ask(s.request(nil)).ErrorCode, 70)

	// With epoch -1 it is closed and none begins.
	s.sid, s.epoch = resp.SessionID, -1
	resp = s.ask(s.request(offsets))
	if resp.ErrorCode != 0 || resp.SessionID != 0 || len(resp.Topics) != 1 {
		t.Errorf("epoch -1: code %d, session %d", resp.ErrorCode, resp.SessionID)
	}
	s.epoch = 1
	wantCode(t, "the session closed by -1", s.ask(s.request(nil)).ErrorCode, 70)

	// A session made by names does not take ids.
	s = openSession(t, conn, topic, offsets)
	s.id = topicID(t, conn, topic)
	wantCode(t, "ids in a session of names", s.ask(s.request(map[int32]int64{0: 0})).ErrorCode, 106)
}

// TestFetchSessionFairness checks that partitions which returned data go behind the others: with
// room for one batch per response, all partitions have their turn.
func TestFetchSessionFairness(t *testing.T) {
	t.Parallel()
	const partitions = 4
	topic := newTopic(t, partitions)
	conn := newConn(t)
	offsets := make(map[int32]int64)
	for p := range int32(partitions) {
		for range 2 {
			mustProduce(t, conn, topic, p, wire.NewBatch(time.Now().UnixMilli(), make([]byte, 1000)))
		}
		offsets[p] = 0
	}
	s := &session{t: t, conn: conn, topic: topic}
	served := make(map[int32]int)
	// The full request that opens the session moves nothing in its order (Apache Kafka), so it is
	// not counted; the incremental ones name nothing.
	for turn := range partitions + 1 {
		named := offsets
		if turn > 0 {
			named = nil
		}
		req := s.request(named)
		req.MaxBytes = 1
		resp := s.ask(req)
		if resp.ErrorCode != 0 {
			t.Fatalf("turn %d: code %d", turn, resp.ErrorCode)
		}
		s.sid = resp.SessionID
		s.epoch++
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if turn > 0 && len(p.RecordBatches) > 0 {
					served[p.Partition]++
				}
			}
		}
	}
	for p := range int32(partitions) {
		if served[p] != 1 {
			t.Errorf("in %d incremental responses of one batch each the partitions had data %v times, want once each", partitions, served)
			break
		}
	}
}
