package handlers

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

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

// delayedFetch is one fetch from its first read to its answer. All fields but
// delayed and the two watched ones belong to the loop of the request.
type delayedFetch struct {
	b   *Broker
	r   *Request
	ctx *replica.FetchContext

	minBytes, maxBytes int64
	maxWait            time.Duration
	parts              []*replica.Partition // by index of ctx.Partitions; nil when not found
	found              int                  // parts that are not nil
	errs               []*protocol.Error    // why a part is nil
	results            []replica.FetchResult
	bytes              int64 // of the last read
	// failed: a partition that was found has an error or a diverging epoch, which
	// is told at once. One that is unknown does not keep a client from waiting for
	// the others, as in Kafka: it would ask again and again.
	failed bool

	delayed purgatory.Delayed
	timer   Timer
	watched bool
	waiting waitingBytes
}

func handle01Fetch(b *Broker, r *Request) {
	var req kmsg.FetchRequest
	if !r.DecodeAliased(&req) {
		return
	}
	head := fetchHead(&req)
	ctx, err := b.Sessions.Begin(&head)
	if err == nil && replicaID(&req) >= 0 {
		err = protocol.Errorf(protocol.NotLeaderOrFollower, "this broker has no followers")
	}
	if err != nil {
		r.chargeTime()
		replyNoData(r, err.Code, 0)
		return
	}
	f := &delayedFetch{b: b, r: r, ctx: ctx, maxWait: time.Duration(req.MaxWaitMillis) * time.Millisecond}
	f.maxBytes = min(int64(req.MaxBytes), int64(b.FetchMaxBytes), r.use.client.MostBytes(quota.ConsumerBytes))
	f.minBytes = min(int64(req.MinBytes), f.maxBytes)
	r.ChargeMemory(int64(len(ctx.Partitions)) * fetchPartitionMemory)
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

// replicaID is the broker id of a follower, -1 of a consumer.
func replicaID(req *kmsg.FetchRequest) int32 {
	if req.Version >= 15 {
		return req.ReplicaState.ID
	}
	return req.ReplicaID
}

// fetchHead takes the session and the partitions out of a request. Names are
// copied: a session outlives the frame they came in.
func fetchHead(req *kmsg.FetchRequest) replica.FetchHead {
	h := replica.FetchHead{SessionID: req.SessionID, SessionEpoch: req.SessionEpoch, UsesTopicID: req.Version >= 13}
	if req.Version < 7 {
		h.SessionID, h.SessionEpoch = replica.InvalidSessionID, replica.FinalEpoch
	}
	iso := replica.Isolation(req.IsolationLevel)
	for i := range req.Topics {
		t := &req.Topics[i]
		name := strings.Clone(t.Topic)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			h.Partitions = append(h.Partitions, replica.FetchPartition{
				SessionKey: replica.SessionKey{Topic: name, ID: t.TopicID, Partition: p.Partition},
				FetchRequest: replica.FetchRequest{
					Offset: p.FetchOffset, MaxBytes: int(p.PartitionMaxBytes), CurrentLeaderEpoch: p.CurrentLeaderEpoch,
					LastFetchedEpoch: p.LastFetchedEpoch, Isolation: iso,
				},
			})
		}
	}
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		for _, p := range t.Partitions {
			h.Forgotten = append(h.Forgotten, replica.SessionKey{Topic: t.Topic, ID: t.TopicID, Partition: p})
		}
	}
	return h
}

// resolve finds the partitions of the fetch.
func (f *delayedFetch) resolve() {
	n := len(f.ctx.Partitions)
	f.parts, f.errs = make([]*replica.Partition, n), make([]*protocol.Error, n)
	f.results = make([]replica.FetchResult, n)
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
	if !f.r.chargeFetch(f.answerBytes()) {
		f.release()
		f.r.async = false
		replyNoData(f.r, protocol.None, f.ctx.GiveUp())
		return
	}
	keep, err := f.ctx.Finish(f.results)
	if err != nil {
		f.release()
		f.r.async = false
		replyNoData(f.r, err.Code, f.ctx.SessionID())
		return
	}
	w := fetchWriter{r: f.r, buf: takeBuffer()}
	w.write(f, keep)
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

// fetchWriter encodes a fetch answer around its file ranges.
type fetchWriter struct {
	r   *Request
	buf *[]byte
	enc protocol.FetchEncoder
}

func (w *fetchWriter) write(f *delayedFetch, keep []bool) {
	groups := groupByTopic(f.ctx.Partitions, keep)
	b := w.enc.Begin((*w.buf)[:0], w.r.Version, w.r.CorrelationID, w.r.throttleMs(), protocol.None, f.ctx.SessionID(), len(groups))
	var leaders []int32
	for _, g := range groups {
		key := f.ctx.Partitions[g[0]].SessionKey
		b = w.enc.Topic(b, key.Topic, key.ID, len(g))
		for _, i := range g {
			res := &f.results[i]
			p := protocol.FetchPartition{
				Index: f.ctx.Partitions[i].Partition, HighWatermark: res.HighWatermark,
				LastStable: res.LastStableOffset, LogStartOffset: res.LogStartOffset,
				PreferredReadReplica: -1, Diverging: res.Diverging,
			}
			if f.parts[i] == nil || f.ctx.Partitions[i].Isolation == replica.ReadCommitted && res.Err == nil {
				p.Aborted = abortedTxns(res.Aborted) // for a partition that is not there too, as in Kafka
			}
			if res.Err != nil {
				p.Code = fetchCode(res.Err.Code, w.r.Version)
				w.r.Metrics.Error(w.r.Key, p.Code)
				if p.Code == protocol.NotLeaderOrFollower || p.Code == protocol.FencedLeaderEpoch {
					p.CurrentLeader, leaders = leaderHint(f.parts[i], leaders)
				}
			}
			n := 0
			if res.Range != nil {
				n = res.Range.Len()
			}
			b = w.enc.PartitionHead(b, &p, n)
			if n > 0 {
				f.parts[i].Sent(n)
				w.r.w.Write(b)
				w.r.w.File(res.Range)
				res.Range = nil
				b = b[:0]
			}
			b = w.enc.PartitionTail(b, &p)
		}
		b = w.enc.TopicTail(b)
	}
	*w.buf = w.enc.End(b, endpoints(f.b, w.r.Client.Listener, leaders))
	f.releaseUnsent(keep)
	f.r.async = false
	f.r.sendBuffer(w.buf)
}

// abortedTxns is the list as the answer has it: empty, not null, for a read_committed fetch.
func abortedTxns(txns []engine.AbortedTxn) []protocol.AbortedTxn {
	if len(txns) == 0 {
		return []protocol.AbortedTxn{}
	}
	out := make([]protocol.AbortedTxn, len(txns))
	for i, t := range txns {
		out[i] = protocol.AbortedTxn{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset}
	}
	return out
}

// releaseUnsent gives back ranges of partitions the answer leaves out.
func (f *delayedFetch) releaseUnsent(keep []bool) {
	for i := range f.results {
		if !keep[i] && f.results[i].Range != nil {
			f.results[i].Range.Release()
			f.results[i].Range = nil
		}
	}
}

// groupByTopic lists the kept partitions' indexes, neighbours of one topic
// together.
func groupByTopic(parts []replica.FetchPartition, keep []bool) [][]int {
	var groups [][]int
	last := -1
	for i := range parts {
		if !keep[i] {
			continue
		}
		if last >= 0 && parts[last].Topic == parts[i].Topic && parts[last].ID == parts[i].ID {
			groups[len(groups)-1] = append(groups[len(groups)-1], i)
		} else {
			groups = append(groups, []int{i})
		}
		last = i
	}
	return groups
}

// fetchCode is the code a partition error has in the given version.
func fetchCode(c protocol.ErrorCode, version int16) protocol.ErrorCode {
	if c == protocol.KafkaStorageError && version < 6 {
		return protocol.NotLeaderOrFollower
	}
	return c
}

// replyNoData answers without partitions.
func replyNoData(r *Request, code protocol.ErrorCode, sessionID int32) {
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(r.Version)
	resp.ErrorCode, resp.SessionID, resp.ThrottleMillis = int16(code), sessionID, r.throttleMs()
	r.Metrics.Error(r.Key, code)
	buf := takeBuffer()
	*buf = protocol.AppendResponseHeader(*buf, r.Key, r.Version, r.CorrelationID)
	*buf = resp.AppendTo(*buf)
	r.sendBuffer(buf)
}
