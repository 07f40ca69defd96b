package handlers

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/purgatory"
	"kserver/cluster/quota"
	"kserver/cluster/replica"
	"kserver/engine"
	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// Produce (key 0), versions 3-13 (0-2 are advertised, as Kafka does, and refused).
//
// Every partition's batch is appended in request order before the handler
// returns, so that the connection's next request finds it in the log. The
// answer waits, as a delayedProduce, until every appended partition is
// acknowledged: acks=1 and acks=all both mean on stable storage here, and
// acks=all in every in-sync replica. acks=0 has no answer; an error then
// closes the connection, so that the client looks for metadata again. Its bytes
// count for the client's quota, its time does not.
//
// v8 record errors (KIP-467) · v9 flexible · v10 leader hints (KIP-951) · v13
// topic ids (KIP-516). Transactions are not served: a transactional batch is
// answered as one whose partition was never added to a transaction.

// adminClientID may write to internal topics, as in Kafka.
const adminClientID = "__admin_client"

// What takes long is appended on a worker, and the connection's next request
// begins when that is done: requests of many bytes or partitions, batches that
// decompress to much, those that have to be compressed anew, and the first ones
// to partitions whose log has to be read, or recovered, first. Among them a
// small request has a second try as light work, so that records that pack well do
// not queue behind those that only seem to.

// What an event loop appends itself of one request.
const (
	produceLoopBytes    = 4 << 20 // of the body
	produceLoopElements = 500     // topics, partitions
	// produceLoopDecompressed is what all compressed batches together, and
	// produceLoopRatio by how much each of them, may grow.
	produceLoopDecompressed = 512 << 10
	produceLoopRatio        = 8
	// What is light work on a worker, in the same terms, and in bytes of the body.
	produceLightBytes        = 256 << 10
	produceLightDecompressed = 1 << 20
	// produceWorkerBytes is about the memory that validating a compressed batch
	// takes: a decompressor and its window.
	produceWorkerBytes = 16 << 20
)

// delayedProduce is one produce request from its appends to its answer. It serves
// one request after another: see Request.produce.
type delayedProduce struct {
	b    *Broker
	r    *Request
	req  protocol.ProduceRequest
	resp kmsg.ProduceResponse
	// quick is how many bytes may still be decompressed, unless bounded is false.
	bounded bool
	quick   int64
	light   bool // this is the second try
	// appended are the partitions whose acknowledgement is awaited.
	appended []appended
	leaders  []int32

	waits     []producePart // by token
	delayed   purgatory.Delayed
	pending   atomic.Int32
	due, late func() // reply and expire
}

// producePart is one partition that waits for its acknowledgement.
type producePart struct {
	part *kmsg.ProduceResponseTopicPartition
	// err is written before state becomes partDone and read after.
	err   error
	state atomic.Uint32
}

const (
	partWaiting = iota
	partDone
)

// keptParts is how many partitions a delayedProduce may have had room for to serve
// another request.
const keptParts = 64

// newProduce takes the delayedProduce of the request before, or makes one.
func newProduce(b *Broker, r *Request) *delayedProduce {
	d := r.produce
	if d == nil {
		d = new(delayedProduce)
		d.due, d.late = d.reply, d.expire
		r.produce = d
	}
	topics := d.resp.Topics[:0]
	*d = delayedProduce{
		b: b, r: r, req: d.req, bounded: true, quick: produceLoopDecompressed,
		appended: d.appended[:0], leaders: d.leaders[:0], waits: d.waits[:0], due: d.due, late: d.late,
	}
	d.resp.Default()
	d.resp.Version, d.resp.Topics = r.Version, topics
	return d
}

// spent says that the request will have been answered by the next call of its
// Responder, and that nobody refers to it but who makes that call.
func (d *delayedProduce) spent() {
	if cap(d.appended) > keptParts || cap(d.req.Topics) > keptParts || cap(d.resp.Topics) > keptParts {
		d.r.produce = nil
	}
	clear(d.appended) // partitions may be deleted
	d.r.reusable = true
}

// producePartMemory is about what an element of a request takes in memory, decoded and
// in the answer.
const producePartMemory = 256

func handle00Produce(b *Broker, r *Request) {
	d := newProduce(b, r)
	light := false
	err := protocol.ErrElements
	if len(r.Body) <= produceLoopBytes {
		err = d.req.Decode(r.Version, r.Body, produceLoopElements)
	}
	switch {
	case err == nil:
		r.ChargeMemory(int64(d.req.Elements) * producePartMemory)
		if d.append() {
			d.charge()
			d.finish()
			return
		}
		light = len(r.Body) <= produceLightBytes
	case !errors.Is(err, protocol.ErrElements):
		r.Close(err)
		return
	case !r.Check():
		return
	}
	r.Detach()
	if light {
		d.quick, d.light = produceLightDecompressed, true
		d.later(produceLightDecompressed)
		return
	}
	d.bounded = false
	d.later(produceWorkerBytes)
}

// charge records the bytes of the request.
func (d *delayedProduce) charge() { d.r.charge(quota.ProducerBytes, float64(len(d.r.Body))) }

// later goes on with the appends on a worker, where they are expected to take so
// many bytes.
func (d *delayedProduce) later(bytes int64) {
	d.b.Workers(bytes, func() {
		// The body has moved since it was decoded, if it was.
		if err := d.req.Decode(d.r.Version, d.r.Body, protocol.MaxElements); err != nil {
			d.r.Close(err)
			return
		}
		if !d.append() {
			d.bounded = false
			d.later(produceWorkerBytes)
			return
		}
		d.r.Post(func() {
			d.charge()
			d.r.Attach()
			d.finish()
		})
	})
}

// finish answers, or waits for what was appended. Loop only.
func (d *delayedProduce) finish() {
	switch {
	case d.req.Acks == 0:
		if err := firstProduceError(&d.resp); err != nil {
			d.r.Close(err)
			return
		}
		d.spent()
		d.r.NoResponse()
	case len(d.appended) == 0:
		d.spent()
		d.answer()
	default:
		d.wait()
	}
}

// appended is a partition whose acknowledgement is awaited.
type appended struct {
	partition *replica.Partition
	topic     int // where its entry is in the response
	index     int
	offset    int64 // the high watermark that acknowledges it
}

// append makes every partition's append and fills the response with what is
// known already. It stops and returns false at a partition that takes too long,
// and goes on there when it is called again.
func (d *delayedProduce) append() (done bool) {
	topics := d.req.Topics
	for i := max(len(d.resp.Topics)-1, 0); i < len(topics); i++ {
		rt := &topics[i]
		topic, terr := d.topic(rt)
		if i == len(d.resp.Topics) {
			d.answerTopic(rt, topic)
		}
		for j := len(d.resp.Topics[i].Partitions); j < len(rt.Partitions); j++ {
			if !d.appendPartition(i, j, topic, terr) {
				return false
			}
		}
	}
	for _, n := range endpoints(d.b, d.r.Client.Listener, d.leaders) {
		e := kmsg.NewProduceResponseBroker()
		e.NodeID, e.Host, e.Port, e.Rack = n.NodeID, n.Host, n.Port, n.Rack
		d.resp.Brokers = append(d.resp.Brokers, e)
	}
	return true
}

// answerTopic adds a topic to the answer, in memory it had before if there is any.
func (d *delayedProduce) answerTopic(rt *protocol.ProduceTopic, topic *replica.Topic) {
	out := kmsg.NewProduceResponseTopic()
	out.TopicID, out.Topic = rt.ID, rt.Name
	if topic != nil {
		out.Topic = topic.Name
	}
	if k := len(d.resp.Topics); k < cap(d.resp.Topics) {
		out.Partitions = d.resp.Topics[:k+1][k].Partitions[:0]
	}
	d.resp.Topics = append(d.resp.Topics, out)
}

// appendPartition appends to partition j of topic i and adds its answer, unless
// that would take too long.
func (d *delayedProduce) appendPartition(i, j int, topic *replica.Topic, terr *protocol.Error) (done bool) {
	rp := &d.req.Topics[i].Partitions[j]
	part := kmsg.NewProduceResponseTopicPartition()
	part.Partition, part.BaseOffset, part.LogStartOffset, part.LogAppendTime = rp.Index, -1, -1, -1
	var p *replica.Partition
	err := terr
	if err == nil {
		p, err = topic.Partition(rp.Index)
	}
	limit, ok := d.allow(rp.Records)
	if !ok || p != nil && d.onLoop() && !p.Loaded() {
		return false
	}
	switch info, aerr := appendBatch(p, err, &d.req, rp.Records, limit); {
	case errors.Is(aerr, engine.ErrCostly):
		return false
	case aerr != nil:
		d.leaders = failPartition(&part, p, aerr, d.req.Version, d.leaders)
		if p != nil && refusedByLog(aerr) {
			part.LogStartOffset = p.Log().LogStartOffset()
		}
	default:
		part.BaseOffset, part.LogStartOffset, part.LogAppendTime = info.FirstOffset, info.LogStartOffset, info.LogAppendTime
		if d.req.Acks != 0 {
			d.appended = append(d.appended, appended{p, i, j, info.LastOffset + 1})
		}
	}
	d.resp.Topics[i].Partitions = append(d.resp.Topics[i].Partitions, part)
	return true
}

// onLoop says that this is the first try, which may not wait for the disk.
func (d *delayedProduce) onLoop() bool { return d.bounded && !d.light }

// allow is what a batch may decompress to, 0 without a limit; false when that is
// too little to try. Batches that are not compressed cost nothing of it.
func (d *delayedProduce) allow(records []byte) (limit int64, ok bool) {
	if !d.bounded {
		return 0, true
	}
	batch, _, err := recordbatch.Next(records)
	if err != nil || batch.Codec() == recordbatch.CodecNone {
		return d.quick, true
	}
	ratio := int64(produceLoopRatio)
	if d.light {
		ratio = packs(batch.Codec())
	}
	limit = ratio * int64(len(records))
	if d.quick-limit <= 0 || ratio == 0 {
		return 0, false
	}
	d.quick -= limit
	return limit, true
}

// packs is about the most by which records may grow when they are decompressed
// as light work; 0 for a codec that may take megabytes for a few bytes.
func packs(codec recordbatch.Codec) int64 {
	switch codec {
	case recordbatch.CodecGzip:
		return 1032 // deflate: 258 bytes from 2 bits
	case recordbatch.CodecSnappy:
		return 22 // 64 bytes from 3
	case recordbatch.CodecLZ4:
		return 255
	}
	return 0 // zstd's window
}

// topic finds a topic of the request and refuses the internal ones.
func (d *delayedProduce) topic(rt *protocol.ProduceTopic) (*replica.Topic, *protocol.Error) {
	t, err := d.b.topic(d.r.Version >= 13, rt.Name, rt.ID)
	if err == nil && t.Internal && d.r.ClientIDString() != adminClientID {
		return nil, errInternalTopic
	}
	return t, err
}

var (
	errInternalTopic = protocol.Errorf(protocol.InvalidTopicException, "Cannot append to an internal topic.")
	errRequiredAcks  = protocol.Errorf(protocol.InvalidRequiredAcks, "The value of acks must be -1, 0 or 1.")
	// What Kafka answers when a transactional batch reaches a partition that
	// was not added to the transaction (KIP-890), by version.
	errNotInTransaction   = protocol.Errorf(protocol.TransactionAbortable, "The partition was not added to the transaction.")
	errNotInTransactionV0 = protocol.Errorf(protocol.InvalidTxnState, "The partition was not added to the transaction.")
)

// appendBatch appends one partition's records, unless they decompress to more
// than limit bytes; perr is why there is no p.
func appendBatch(p *replica.Partition, perr *protocol.Error, req *protocol.ProduceRequest, records []byte, limit int64) (engine.AppendInfo, error) {
	switch {
	case perr != nil:
		return engine.AppendInfo{}, perr
	case req.Acks < -1 || req.Acks > 1:
		return engine.AppendInfo{}, errRequiredAcks
	case req.TransactionID != nil && req.Version >= 11:
		return engine.AppendInfo{}, errNotInTransaction
	case req.TransactionID != nil:
		return engine.AppendInfo{}, errNotInTransactionV0
	}
	return p.Append(records, req.Acks == -1, engine.AppendOptions{Origin: engine.OriginClient, ProduceVersion: req.Version, MaxDecompressed: limit})
}

// failPartition fills a partition's answer from err and adds to leaders the
// node a hint names.
func failPartition(part *kmsg.ProduceResponseTopicPartition, p *replica.Partition, err error, version int16, leaders []int32) []int32 {
	part.BaseOffset, part.LogAppendTime = -1, -1
	e := replica.KafkaError(err)
	part.ErrorCode = int16(e.Code)
	part.ErrorMessage = kmsg.StringPtr(e.Text())
	var invalid *recordbatch.InvalidError
	if errors.As(err, &invalid) {
		for _, re := range invalid.Records {
			r := kmsg.NewProduceResponseTopicPartitionErrorRecord()
			r.RelativeOffset, r.ErrorMessage = int32(re.Index), kmsg.StringPtr(re.Message)
			part.ErrorRecords = append(part.ErrorRecords, r)
		}
	}
	if e.Code == protocol.NotLeaderOrFollower && version >= 10 {
		var hint *protocol.LeaderIDAndEpoch
		if hint, leaders = leaderHint(p, leaders); hint != nil {
			part.CurrentLeader.LeaderID, part.CurrentLeader.LeaderEpoch = hint.LeaderID, hint.LeaderEpoch
		}
	}
	return leaders
}

// refusedByLog reports whether a batch was looked at by the log and refused for
// what it holds: the answer then says where the log starts, as Kafka's does. A
// batch of the wrong size or format, or damaged, is not looked at that far.
func refusedByLog(err error) bool {
	var before *protocol.Error // refused before the log had it
	if errors.As(err, &before) || errors.Is(err, recordbatch.ErrTruncated) || errors.Is(err, recordbatch.ErrMagic) {
		return false
	}
	switch replica.KafkaError(err).Code {
	case protocol.MessageTooLarge, protocol.RecordListTooLarge, protocol.CorruptMessage,
		protocol.KafkaStorageError, protocol.NotLeaderOrFollower:
		return false
	}
	return true
}

// firstProduceError is the first partition's error, nil when all succeeded.
func firstProduceError(resp *kmsg.ProduceResponse) error {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if c := resp.Topics[i].Partitions[j].ErrorCode; c != 0 {
				return protocol.Errorf(protocol.ErrorCode(c), "produce with acks=0 to %s-%d failed", resp.Topics[i].Topic, resp.Topics[i].Partitions[j].Partition)
			}
		}
	}
	return nil
}

// wait parks the request until its partitions are acknowledged or the timeout
// has passed. The client's connection may close meanwhile: the appends stand.
func (d *delayedProduce) wait() {
	d.r.Async()
	d.r.Metrics.waitingProduces(+1)
	n := len(d.appended)
	if cap(d.waits) < n {
		d.waits = make([]producePart, n)
	}
	d.waits = d.waits[:n]
	// One more than the parts, so that nothing completes while they register.
	d.pending.Store(int32(n) + 1)
	for i := range d.appended {
		a := &d.appended[i]
		d.waits[i] = producePart{part: &d.resp.Topics[a.topic].Partitions[a.index]}
		if already, err := a.partition.WaitAppended(a.offset, d, int32(i)); already || err != nil {
			d.Reached(int32(i), err)
		}
	}
	d.r.Await(time.Duration(d.req.TimeoutMs)*time.Millisecond, d.due, d.late)
	d.reached()
}

// Reached implements purgatory.Reached. Any goroutine.
func (d *delayedProduce) Reached(token int32, err error) {
	w := &d.waits[token]
	w.err = err
	w.state.Store(partDone)
	d.reached()
}

// reached counts down; the last one has the request answered, and does not touch it
// any more.
func (d *delayedProduce) reached() {
	if d.pending.Add(-1) == 0 && d.delayed.Complete() {
		d.r.Due()
	}
}

// expire answers what is not acknowledged by the deadline with a timeout: its
// records are in the log and may yet be acknowledged. The partitions go on to refer
// to the request.
func (d *delayedProduce) expire() {
	if d.delayed.Complete() {
		d.end()
	}
}

// reply answers when all partitions are acknowledged, or have failed.
func (d *delayedProduce) reply() {
	d.spent()
	d.end()
}

// end answers a request that has waited. It runs on the loop, by whoever won
// delayed.Complete.
func (d *delayedProduce) end() {
	d.r.Metrics.waitingProduces(-1)
	for i := range d.waits {
		w := &d.waits[i]
		switch {
		case w.state.Load() != partDone:
			failPartition(w.part, nil, errProduceTimeout, d.r.Version, nil)
		case w.err != nil:
			failPartition(w.part, nil, w.err, d.r.Version, nil)
		}
	}
	d.r.async = false
	d.answer()
}

// answer encodes the response and sends it. Loop only.
func (d *delayedProduce) answer() {
	r := d.r
	r.chargeTime()
	d.resp.ThrottleMillis = r.throttleMs()
	r.Metrics.errorsOf(r.Key, &d.resp)
	buf := takeBuffer()
	*buf = protocol.AppendProduceResponse(*buf, r.CorrelationID, &d.resp)
	r.sendBuffer(buf)
}

var errProduceTimeout = protocol.Errorf(protocol.RequestTimedOut, "The records were not acknowledged within the request's timeout.")
