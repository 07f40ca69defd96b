package hostile

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Positions of what identifies a producer inside a record batch.
const (
	batchProducerID    = 43
	batchProducerEpoch = 51
	batchBaseSequence  = 53
)

// Dialogue is a client whose requests follow from the answers it had: it gets where single requests do not, to a
// joined group, an open fetch session, a known producer. Most of what it asks for is right then, some of it is not:
// an epoch, generation or sequence of before or of nobody. All its requests are of versions without tagged fields.
type Dialogue struct {
	kind   func(*Dialogue, *rand.Rand) kmsg.Request
	topic  string
	group  string
	number int // of the next request

	member     string
	generation int32
	joined     bool

	session, sessionEpoch int32

	producer struct {
		id      int64
		epoch   int16
		next    int32 // sequence
		records int32 // of the batch under way
	}

	// Accepted is how many requests were answered without an error.
	Accepted int
}

// dialogues are the kinds there are.
var dialogues = []func(*Dialogue, *rand.Rand) kmsg.Request{(*Dialogue).asMember, (*Dialogue).asReader, (*Dialogue).asProducer}

// Dialogues is the number of kinds.
var Dialogues = len(dialogues)

// NewDialogue begins a dialogue of a kind from 0 to Dialogues-1.
func NewDialogue(rng *rand.Rand, kind int) *Dialogue {
	d := &Dialogue{kind: dialogues[kind], topic: Topic(rng), group: fmt.Sprintf("hostile-group-%d", rng.IntN(topics)), generation: -1}
	d.producer.id, d.producer.epoch = -1, -1
	return d
}

// Next returns the next request.
func (d *Dialogue) Next(rng *rand.Rand) kmsg.Request {
	d.number++
	if d.number == 1 {
		return d.createTopic()
	}
	return d.kind(d, rng)
}

func (d *Dialogue) createTopic() kmsg.Request {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 4, 1000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = d.topic, 1, 1
	req.Topics = append(req.Topics, t)
	return req
}

// sometimes returns the value that is right, and now and then one beside it.
func sometimes[T int16 | int32 | int64](rng *rand.Rand, right T) T {
	switch rng.IntN(12) {
	case 0:
		return right - 1
	case 1:
		return right + 1
	case 2:
		return -1
	}
	return right
}

func (d *Dialogue) asMember(rng *rand.Rand) kmsg.Request {
	step := rng.IntN(6)
	if !d.joined {
		step = 0
	}
	switch step {
	case 0:
		d.joined = false
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.MemberID, req.ProtocolType = 5, d.group, d.member, "consumer"
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 6000, 50
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = "range", RandomBytes(rng, rng.IntN(200))
		req.Protocols = append(req.Protocols, p)
		return req
	case 1:
		req := kmsg.NewPtrSyncGroupRequest()
		req.Version, req.Group, req.MemberID, req.Generation = 3, d.group, d.member, sometimes(rng, d.generation)
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = d.member, RandomBytes(rng, rng.IntN(200))
		req.GroupAssignment = append(req.GroupAssignment, a)
		return req
	case 2, 3:
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.MemberID, req.Generation = 7, d.group, d.member, sometimes(rng, d.generation)
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = d.topic
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset = rng.Int64N(1000)
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		return req
	case 4:
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Version, req.Group, req.MemberID = 2, d.group, d.member
		d.member, d.joined = "", false
		return req
	default:
		req := kmsg.NewPtrHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.Generation = 3, d.group, d.member, sometimes(rng, d.generation)
		return req
	}
}

func (d *Dialogue) asReader(rng *rand.Rand) kmsg.Request {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes, req.MinBytes, req.MaxWaitMillis = 11, 1<<20, 1, 1
	req.SessionID, req.SessionEpoch = d.session, sometimes(rng, d.sessionEpoch)
	if d.session == 0 || rng.IntN(4) == 0 {
		t := kmsg.NewFetchRequestTopic()
		t.Topic = d.topic
		p := kmsg.NewFetchRequestTopicPartition()
		p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = int64(rng.IntN(3)), 1<<20, -1
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
	} else if rng.IntN(8) == 0 {
		f := kmsg.NewFetchRequestForgottenTopic()
		f.Topic, f.Partitions = d.topic, []int32{0}
		req.ForgottenTopics = append(req.ForgottenTopics, f)
	}
	return req
}

func (d *Dialogue) asProducer(rng *rand.Rand) kmsg.Request {
	p := &d.producer
	if p.id < 0 || rng.IntN(16) == 0 {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version, req.TransactionTimeoutMillis = 1, 1000
		return req
	}
	b := RecordBatch(rng, rng.IntN(Codecs))
	p.records = int32(binary.BigEndian.Uint32(b[batchCount:]))
	binary.BigEndian.PutUint64(b[batchProducerID:], uint64(p.id))
	binary.BigEndian.PutUint16(b[batchProducerEpoch:], uint16(sometimes(rng, p.epoch)))
	binary.BigEndian.PutUint32(b[batchBaseSequence:], uint32(sometimes(rng, p.next)))
	seal(b)
	return Produce(d.topic, -1, b)
}

// Observe takes the answer to a request of the dialogue, which may have been sent more than once.
func (d *Dialogue) Observe(resp kmsg.Response) {
	switch r := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		return // others create the same
	case *kmsg.JoinGroupResponse:
		if r.MemberID != "" {
			d.member = r.MemberID
		}
		if r.ErrorCode != 0 {
			return
		}
		d.generation, d.joined = r.Generation, true
	case *kmsg.SyncGroupResponse:
		if d.rejected(r.ErrorCode) {
			return
		}
	case *kmsg.HeartbeatResponse:
		if d.rejected(r.ErrorCode) {
			return
		}
	case *kmsg.LeaveGroupResponse:
		if r.ErrorCode != 0 {
			return
		}
	case *kmsg.OffsetCommitResponse:
		if d.rejected(r.Topics[0].Partitions[0].ErrorCode) {
			return
		}
	case *kmsg.FetchResponse:
		if r.ErrorCode != 0 {
			d.session, d.sessionEpoch = 0, 0
			return
		}
		if d.session != r.SessionID {
			d.session, d.sessionEpoch = r.SessionID, 0
		}
		d.sessionEpoch++
	case *kmsg.InitProducerIDResponse:
		if r.ErrorCode != 0 {
			return
		}
		d.producer.id, d.producer.epoch, d.producer.next = r.ProducerID, r.ProducerEpoch, 0
	case *kmsg.ProduceResponse:
		if r.Topics[0].Partitions[0].ErrorCode != 0 {
			return
		}
		d.producer.next += d.producer.records
	}
	d.Accepted++
}

// rejected reports that the group has refused the member, which then joins anew.
func (d *Dialogue) rejected(code int16) bool {
	const unknownMember = 25
	if code == unknownMember {
		d.member = ""
	}
	d.joined = d.joined && code == 0
	return code != 0
}
