package handlers

import (
	"time"

	"kserver/cluster/purgatory"
	"kserver/cluster/quota"
	"kserver/cluster/replica"
	"kserver/engine"
	"kserver/protocol"
)

// Fetch (key 1), versions 4-18.
//
// The answer is a list of headers and file ranges: no record byte is read
// here. Partitions are read in request, or session, order within the request's
// and the partitions' byte limits; the first that has data gives at least one
// whole batch (KIP-74). A read_committed fetch ends at the last stable offset and
// tells which transactions in its range were aborted, whose records the consumer
// drops (KIP-98); they are looked up on disk, on a worker, where there are any. A
// fetch that finds fewer than min_bytes waits, as a delayedFetch, for its
// partitions to signal, and then reads again.
//
// v7 fetch sessions (KIP-227) · v9 leader epochs (KIP-320) · v12 flexible,
// truncation detection by last_fetched_epoch · v13 topic ids (KIP-516) · v16
// node endpoints (KIP-951). Follower fetches (replica_id >= 0) are refused
// until there are followers.

// delayedFetch is one fetch from its first read to its answer. It serves one request
// after another: see Request.fetch. All fields but delayed and the waiting ones belong
// to the loop of the request, or to the worker that reads for it.
type delayedFetch struct {
	b    *Broker
	r    *Request
	req  protocol.FetchRequest
	head replica.FetchHead
	ctx  replica.FetchContext

	minBytes, maxBytes int64
	maxWait            time.Duration
	parts              []*replica.Partition // by index of ctx.Partitions; nil when not found
	found              int                  // parts that are not nil, and quiet ones of the session
	errs               []*protocol.Error    // why a part is nil
	results            []replica.FetchResult
	bytes              int64 // of the last read
	// failed: a partition that was found has an error or a diverging epoch, which
	// is told at once. One that is unknown does not keep a client from waiting for
	// the others, as in Kafka: it would ask again and again.
	failed bool
	// once: whoever called the handler goes on to refer to the request.
	once bool

	delayed   purgatory.Delayed
	watched   bool
	waiting   waitingBytes
	due, late func() // finish and Hurry
	aborted   []protocol.AbortedTxn
}

// keptFetchParts is how many partitions a delayedFetch may have had room for to serve
// another request.
const keptFetchParts = 64

// newFetch takes the delayedFetch of the request before, or makes one.
func newFetch(b *Broker, r *Request) *delayedFetch {
	f := r.fetch
	if f == nil {
		f = new(delayedFetch)
		f.due, f.late = f.finish, f.Hurry
		r.fetch = f
	}
	*f = delayedFetch{
		b: b, r: r, req: f.req, head: f.head, ctx: f.ctx, parts: f.parts, errs: f.errs, results: f.results,
		waiting: waitingBytes{parts: f.waiting.parts}, due: f.due, late: f.late, aborted: f.aborted,
	}
	return f
}

// spent says that the request will have been answered by the next call of its
// Responder, and that nobody refers to it but who makes that call.
func (f *delayedFetch) spent() {
	if cap(f.parts) > keptFetchParts || cap(f.head.Partitions) > keptFetchParts || cap(f.head.Forgotten) > keptFetchParts || f.req.Elements > keptFetchParts {
		f.r.fetch = nil
	}
	clear(f.parts) // partitions may be deleted
	clear(f.results)
	f.r.reusable = !f.once
}

func handle01Fetch(b *Broker, r *Request) {
	f := newFetch(b, r)
	f.once = r.async
	if err := f.req.Decode(r.Version, r.Body); err != nil {
		r.Close(err)
		return
	}
	r.ChargeMemory(int64(f.req.Elements) * fetchPartitionMemory)
	f.readHead()
	err := b.Sessions.Begin(&f.head, &f.ctx)
	if err == nil && f.req.ReplicaID >= 0 {
		err = protocol.Errorf(protocol.NotLeaderOrFollower, "this broker has no followers")
	}
	if err != nil {
		r.chargeTime()
		f.replyNoData(err.Code, 0)
		return
	}
	f.maxWait = time.Duration(f.req.MaxWaitMs) * time.Millisecond
	f.maxBytes = min(int64(f.req.MaxBytes), int64(b.FetchMaxBytes), r.use.client.MostBytes(quota.ConsumerBytes))
	f.minBytes = min(int64(f.req.MinBytes), f.maxBytes)
	r.ChargeMemory(int64(len(f.ctx.Partitions)) * fetchPartitionMemory)
	f.resolve()
	if r.async { // on a worker already: a long request
		f.read(false)
		r.Post(f.answerOrWait)
		return
	}
	if len(f.parts) <= fetchOnLoop && f.read(true) {
		f.answerOrWait()
		return
	}
	r.Async()
	b.Workers(small(0), func() {
		f.read(false)
		r.Post(f.answerOrWait)
	})
}

// fetchPartitionMemory is about what a partition of a fetch takes in memory until
// the answer, with what watching it takes.
const fetchPartitionMemory = 256

// fetchOnLoop is how many partitions are read on an event loop, and fetchWatched
// how many a waiting fetch watches: one of more is looked at again at its
// deadline only.
const (
	fetchOnLoop  = 2_000
	fetchWatched = 10_000
)

// answerOrWait follows the first read. Loop only.
func (f *delayedFetch) answerOrWait() {
	if f.maxWait <= 0 || f.b.Stopping.Load() || f.found == 0 || f.bytes >= f.minBytes || f.failed || !f.r.mayWait() {
		f.reply()
		return
	}
	f.release()
	f.wait()
}

// readHead takes the session and the partitions out of the request.
func (f *delayedFetch) readHead() {
	req, h := &f.req, &f.head
	*h = replica.FetchHead{
		SessionID: req.SessionID, SessionEpoch: req.SessionEpoch, UsesTopicID: req.Version >= 13,
		Isolation: replica.Isolation(req.Isolation), Partitions: h.Partitions[:0], Forgotten: h.Forgotten[:0],
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		key := replica.SessionKey{Topic: f.b.Replicas.NameOf(t.Name), ID: t.ID}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			key.Partition = p.Index
			h.Partitions = append(h.Partitions, replica.FetchPartition{
				SessionKey: key,
				FetchRequest: replica.FetchRequest{
					Offset: p.Offset, MaxBytes: int(p.MaxBytes), CurrentLeaderEpoch: p.CurrentLeaderEpoch,
					LastFetchedEpoch: p.LastFetchedEpoch, Isolation: replica.Isolation(req.Isolation),
				},
			})
		}
	}
	for i := range req.Forgotten {
		t := &req.Forgotten[i]
		key := replica.SessionKey{Topic: f.b.Replicas.NameOf(t.Name), ID: t.ID}
		for _, key.Partition = range t.Partitions {
			h.Forgotten = append(h.Forgotten, key)
		}
	}
}

// resolve finds the partitions of the fetch.
func (f *delayedFetch) resolve() {
	n := len(f.ctx.Partitions)
	f.parts, f.errs, f.results = resized(f.parts, n), resized(f.errs, n), resized(f.results, n)
	f.found = f.ctx.Quiet()
	for i := range f.ctx.Partitions {
		p := &f.ctx.Partitions[i]
		var t *replica.Topic
		if t, f.errs[i] = f.b.topic(f.r.Version >= 13, p.Topic, p.ID); t != nil {
			f.parts[i], f.errs[i] = t.Partition(p.Partition)
		}
		if f.parts[i] != nil {
			f.found++
		}
	}
}

// resized is a slice of n zero values, in the memory of s if they fit.
func resized[T any](s []T, n int) []T {
	if n > cap(s) {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// read fills the results within the limits. With noWait it gives up, and
// returns false, when some read would have to wait for the disk.
func (f *delayedFetch) read(noWait bool) bool {
	f.bytes, f.failed = 0, false
	left := f.maxBytes
	for i, p := range f.parts {
		if p == nil {
			f.results[i] = replica.FailedFetch(f.errs[i])
			continue
		}
		res, ok := p.Read(&f.ctx.Partitions[i].FetchRequest, int(left), f.bytes == 0, noWait)
		if !ok {
			f.release()
			return false
		}
		if res.Range != nil {
			f.bytes += int64(res.Range.Len())
			left = max(left-int64(res.Range.Len()), 0)
		}
		f.failed = f.failed || res.Err != nil || res.Diverging != nil
		f.results[i] = res
	}
	return true
}

// release gives back what read has pinned.
func (f *delayedFetch) release() {
	for i := range f.results {
		if rg := f.results[i].Range; rg != nil {
			rg.Release()
			f.results[i].Range = nil
		}
	}
}

// finish reads again and answers. It runs on the loop, by whoever won
// delayed.Complete.
func (f *delayedFetch) finish() {
	f.unwatch()
	if f.ctx.InSession() {
		if err := f.ctx.Again(); err != nil {
			f.r.chargeTime()
			f.r.async = false
			f.replyNoData(err.Code, f.ctx.SessionID())
			return
		}
		f.resolve()
	}
	if len(f.parts) <= fetchOnLoop && f.read(true) {
		f.reply()
		return
	}
	f.b.Workers(small(0), func() {
		f.read(false)
		f.r.Post(f.reply)
	})
}

// reply encodes and sends the results. A client over its quota gets none of them,
// and its session has not been told anything (KIP-219).
func (f *delayedFetch) reply() {
	f.r.chargeTime()
	f.r.async = false
	if !f.r.chargeFetch(f.answerBytes()) {
		f.release()
		f.replyNoData(protocol.None, f.ctx.GiveUp())
		return
	}
	told, err := f.ctx.Finish(f.results, f.parts)
	if err != nil {
		f.release()
		f.replyNoData(err.Code, f.ctx.SessionID())
		return
	}
	f.replyData(told)
}

// fetchPartitionBytes is about what a partition's header takes in an answer.
const fetchPartitionBytes = 60

// answerBytes is about what the answer will take: its records, which are nearly
// all of it, and the headers of the partitions that have any.
func (f *delayedFetch) answerBytes() (n int64) {
	for i := range f.results {
		if rg := f.results[i].Range; rg != nil {
			n += int64(rg.Len()) + fetchPartitionBytes
		}
	}
	return n
}

// replyData encodes the answer around its file ranges and sends it: the partitions at
// the indexes of told, neighbours of one topic together.
func (f *delayedFetch) replyData(told []int) {
	r, parts := f.r, f.ctx.Partitions
	topics := 0
	for i := range told {
		if i == 0 || !parts[told[i-1]].SameTopic(&parts[told[i]].SessionKey) {
			topics++
		}
	}
	w := fetchWriter{f: f, buf: takeBuffer()}
	b := w.enc.Begin((*w.buf)[:0], r.Version, r.CorrelationID, r.throttleMs(), protocol.None, f.ctx.SessionID(), topics)
	for len(told) > 0 {
		first, n := &parts[told[0]].SessionKey, 1
		for n < len(told) && parts[told[n]].SameTopic(first) {
			n++
		}
		b = w.enc.Topic(b, first.Topic, first.ID, n)
		for _, i := range told[:n] {
			b = w.partition(b, i)
		}
		b = w.enc.TopicTail(b)
		told = told[n:]
	}
	*w.buf = w.enc.End(b, endpoints(f.b, r.Client.Listener, w.leaders))
	f.release()
	f.spent()
	r.sendBuffer(w.buf)
}

// fetchWriter encodes a fetch answer around its file ranges.
type fetchWriter struct {
	f       *delayedFetch
	buf     *[]byte
	enc     protocol.FetchEncoder
	leaders []int32 // that partitions hint at
}

// partition appends partition i to b. Where its records begin, what is in b goes to
// the answer, and b begins anew.
func (w *fetchWriter) partition(b []byte, i int) []byte {
	f := w.f
	res, req, r := &f.results[i], &f.ctx.Partitions[i], f.r
	p := protocol.FetchPartition{
		Index: req.Partition, HighWatermark: res.HighWatermark,
		LastStable: res.LastStableOffset, LogStartOffset: res.LogStartOffset,
		PreferredReadReplica: -1, Diverging: res.Diverging,
	}
	if f.parts[i] == nil || req.Isolation == replica.ReadCommitted && res.Err == nil {
		p.Aborted = f.abortedTxns(res.Aborted) // for a partition that is not there too, as in Kafka
	}
	if res.Err != nil {
		p.Code = fetchCode(res.Err.Code, r.Version)
		r.Metrics.Error(r.Key, p.Code)
		if p.Code == protocol.NotLeaderOrFollower || p.Code == protocol.FencedLeaderEpoch {
			p.CurrentLeader, w.leaders = leaderHint(f.parts[i], w.leaders)
		}
	}
	if res.Range == nil {
		return w.enc.PartitionTail(w.enc.PartitionHead(b, &p, 0), &p)
	}
	n := res.Range.Len()
	f.parts[i].Sent(n)
	r.w.Write(w.enc.PartitionHead(b, &p, n))
	r.w.File(res.Range)
	res.Range = nil
	return w.enc.PartitionTail(b[:0], &p)
}

// abortedTxns is the list as the answer has it: empty, not null, for a read_committed
// fetch. It is valid until the next call.
func (f *delayedFetch) abortedTxns(txns []engine.AbortedTxn) []protocol.AbortedTxn {
	if f.aborted == nil {
		f.aborted = []protocol.AbortedTxn{}
	}
	f.aborted = f.aborted[:0]
	for _, t := range txns {
		f.aborted = append(f.aborted, protocol.AbortedTxn{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset})
	}
	return f.aborted
}

// fetchCode is the code a partition error has in the given version.
func fetchCode(c protocol.ErrorCode, version int16) protocol.ErrorCode {
	if c == protocol.KafkaStorageError && version < 6 {
		return protocol.NotLeaderOrFollower
	}
	return c
}

// replyNoData answers without partitions.
func (f *delayedFetch) replyNoData(code protocol.ErrorCode, sessionID int32) {
	r := f.r
	r.Metrics.Error(r.Key, code)
	buf := takeBuffer()
	var enc protocol.FetchEncoder
	b := enc.Begin((*buf)[:0], r.Version, r.CorrelationID, r.throttleMs(), code, sessionID, 0)
	*buf = enc.End(b, nil)
	f.spent()
	r.sendBuffer(buf)
}
