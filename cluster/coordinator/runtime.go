package coordinator

import (
	"errors"
	"slices"
	"sync"

	"kserver/protocol"
)

// State is one shard's state machine. Its methods are called by the runtime
// with the shard locked, or before anyone else can see it; they must not
// block and must not call the Runtime back.
type State interface {
	// Replay applies one record that was read from the log. A record of a
	// type that is not known is no error: a newer broker may have written it.
	Replay(r ReplayedRecord) error
	// ReplayEndTransaction applies a transaction marker found in the log.
	ReplayEndTransaction(producerID int64, producerEpoch int16, commit bool) error
	// Loaded follows the last record: the shard now takes events. Timers start
	// here.
	Loaded(ev *Event)
	// Unloaded precedes the end of the state: whoever is parked in it is
	// answered with code. It must not write.
	Unloaded(ev *Event, code protocol.ErrorCode)
}

// Runtime runs the shards of one internal topic. All methods may be called
// from any goroutine.
type Runtime struct {
	cfg     Config
	metrics Metrics

	mu      sync.RWMutex
	shards  map[int32]*shard // guarded by mu
	closed  bool             // guarded by mu
	queue   []func()         // guarded by mu; loads waiting for a loader
	loaders int              // guarded by mu; running loader goroutines
	idle    sync.WaitGroup   // running loader goroutines
}

// NewRuntime makes a runtime that owns no partition yet.
func NewRuntime(cfg Config) (*Runtime, error) {
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Runtime{cfg: cfg, shards: make(map[int32]*shard)}, nil
}

// Do runs fn as an event of the partition's shard, on this goroutine. If the
// shard takes no events it calls refused, and not fn, with
// COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR or COORDINATOR_NOT_AVAILABLE
// (the runtime is closed, or too many answers wait). It does not wait for the
// disk; answers given to Event.Answer may run before or after Do returns.
func (r *Runtime) Do(partition int32, fn func(ev *Event, s State), refused func(code protocol.ErrorCode)) {
	r.mu.RLock()
	sh, closed := r.shards[partition], r.closed
	r.mu.RUnlock()
	code := protocol.NotCoordinator
	switch {
	case closed:
		code = protocol.CoordinatorNotAvailable
	case sh != nil:
		code = sh.do(fn)
	}
	if code != protocol.None {
		r.metrics.Refused.Add(1)
		refused(code)
		return
	}
	r.metrics.Events.Add(1)
}

// Partitions lists the partitions that have a shard here, loading ones and
// failed ones included, in ascending order.
func (r *Runtime) Partitions() []int32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]int32, 0, len(r.shards))
	for p := range r.shards {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// Load starts the shard of a partition that is led here from leaderEpoch on:
// its log is replayed in the background. A partition already loading or active
// only takes note of a newer epoch; a failed one is tried again.
func (r *Runtime) Load(partition, leaderEpoch int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if sh := r.shards[partition]; sh != nil && !sh.broken() {
		sh.epoch.Store(max(leaderEpoch, sh.epoch.Load()))
		return
	}
	sh := r.newShard(partition, leaderEpoch)
	r.enqueue(func() { r.load(sh) })
}

// Unload ends the shard of a partition that is no longer led here as of
// leaderEpoch; -1 means whatever the epoch (the topic was deleted). A shard
// that was loaded for a newer epoch stays. Parked requests are answered with
// NOT_COORDINATOR.
func (r *Runtime) Unload(partition, leaderEpoch int32) {
	r.mu.Lock()
	sh := r.shards[partition]
	if sh != nil && leaderEpoch >= 0 && sh.epoch.Load() > leaderEpoch {
		sh = nil
	}
	if sh != nil {
		delete(r.shards, partition)
	}
	r.mu.Unlock()
	if sh != nil {
		sh.close(statusClosed, protocol.NotCoordinator)
		r.cfg.Logger.Info("coordinator shard unloaded", "topic", r.cfg.Topic, "partition", partition)
	}
}

// Close unloads all shards and waits for running loads to end. Later events
// are refused with COORDINATOR_NOT_AVAILABLE.
func (r *Runtime) Close() {
	r.mu.Lock()
	r.closed = true
	shards := r.shards
	r.shards = make(map[int32]*shard)
	r.queue = nil
	r.mu.Unlock()
	for _, sh := range shards {
		sh.close(statusClosed, protocol.NotCoordinator)
	}
	r.idle.Wait()
}

// Metrics gives the runtime's counters.
func (r *Runtime) Metrics() *Metrics { return &r.metrics }

// newShard puts a loading shard in the map; called with mu held.
func (r *Runtime) newShard(partition, epoch int32) *shard {
	sh := &shard{
		topic:     r.cfg.Topic,
		partition: partition,
		storage:   r.cfg.Storage,
		timer:     r.cfg.Timer,
		clock:     r.cfg.Clock,
		onFailure: r.failed,
		answers:   newAnswers(r.cfg.Clock, r.cfg.Timer, r.cfg.WriteTimeout, r.cfg.MaxWaiting),
	}
	sh.epoch.Store(epoch)
	r.shards[partition] = sh
	return sh
}

// enqueue sees that a loader runs job; called with mu held.
func (r *Runtime) enqueue(job func()) {
	r.queue = append(r.queue, job)
	if r.loaders < r.cfg.Loaders {
		r.loaders++
		r.idle.Go(r.loadAll)
	}
}

// next takes a job, nil when none is left and the loader ends.
func (r *Runtime) next() func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		r.loaders--
		return nil
	}
	job := r.queue[0]
	r.queue = r.queue[1:]
	return job
}

// loadAll is a loader: it runs jobs until none waits.
func (r *Runtime) loadAll() {
	for job := r.next(); job != nil; job = r.next() {
		job()
	}
}

// failed replaces a shard whose writes were lost by one that is loaded from
// the log, unless the log itself is gone. It may be called within one of the
// shard's events, so whatever locks the shard is left to a loader.
func (r *Runtime) failed(old *shard, err error) {
	r.metrics.Failures.Add(1)
	r.cfg.Logger.Error("coordinator write failed, the shard is rebuilt from the log",
		"topic", old.topic, "partition", old.partition, "err", err)
	code := AppendError(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.shards[old.partition] != old {
		return // it is being closed anyway
	}
	if code == protocol.NotCoordinator {
		r.enqueue(func() { old.close(statusFailed, code) })
		return
	}
	sh := r.newShard(old.partition, old.epoch.Load())
	r.enqueue(func() {
		old.close(statusClosed, code)
		r.load(sh)
	})
}

// load replays one shard and puts it in service.
func (r *Runtime) load(sh *shard) {
	start := r.cfg.Clock.Now()
	n, err := r.replay(sh)
	log := r.cfg.Logger.With("topic", sh.topic, "partition", sh.partition)
	switch {
	case errors.Is(err, ErrUnloaded):
		log.Info("coordinator load abandoned, the partition moved away")
	case err != nil:
		r.metrics.LoadFailures.Add(1)
		log.Error("coordinator load failed", "err", err)
		sh.close(statusFailed, protocol.NotCoordinator)
	default:
		r.metrics.Loads.Add(1)
		log.Debug("coordinator shard loaded", "records", n, "took", r.cfg.Clock.Now().Sub(start))
	}
}
