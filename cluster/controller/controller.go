package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Controller changes the metadata and shows its latest image. All methods may be
// called from any goroutine.
type Controller struct {
	cfg   Config
	log   *slog.Logger
	image atomic.Pointer[MetadataImage]

	queue chan *operation
	done  chan struct{} // closed when run has returned

	// mu is held for reading while something is queued, so that nothing is after
	// Close set closed: run answers all that was.
	mu     sync.RWMutex
	closed bool
	stop   chan struct{} // closed by Close

	// loading is the delta of everything that is committed before Open returns,
	// nil afterwards.
	loading *Delta

	ids     producerIDs
	ensured ensuredTopics
	metrics Metrics
}

// operation is one change, or one question that wants an answer consistent with
// the changes before it.
type operation struct {
	// plan looks at the image with everything before the operation applied, and
	// returns the records it needs: none where there is nothing to change. It
	// runs on the controller's goroutine, once.
	plan func(*MetadataImage) []Record
	// done hears when the records are committed, published and visible; an error
	// is a *protocol.Error. It runs on the controller's goroutine, once, and
	// does not block.
	done func(err error)
}

// Open replays the metadata log, registers this broker, publishes what the log
// says and starts to take changes. An empty log begins a new cluster. The caller
// closes the controller before the log.
func Open(cfg Config) (*Controller, error) {
	cfg.EnsureDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Controller{
		cfg: cfg, log: cfg.Logger,
		queue: make(chan *operation, cfg.MaxPending),
		stop:  make(chan struct{}), done: make(chan struct{}),
	}
	c.loading = newDelta(newImage(cfg.ClusterID))
	if err := cfg.Quorum.Start(c.apply); err != nil {
		return nil, fmt.Errorf("controller: replay: %w", err)
	}
	if err := c.start(); err != nil {
		return nil, errors.Join(err, cfg.Quorum.Close())
	}
	go c.run()
	return c, nil
}

// start brings the replayed log up to date with this broker, publishes all of it
// and makes it visible.
func (c *Controller) start() error {
	loaded := c.loading
	for _, name := range slices.Sorted(maps.Keys(loaded.skipped)) {
		c.log.Warn("metadata records without effect here", "type", name, "records", loaded.skipped[name])
	}
	if level, ok := loaded.next.features[MetadataVersionFeature]; ok && level != MetadataVersion {
		return fmt.Errorf("controller: the metadata log has %s %d, this release works with %d", MetadataVersionFeature, level, MetadataVersion)
	}
	records, err := c.startRecords(loaded)
	if err != nil {
		return err
	}
	if err := c.cfg.Quorum.Propose([][]Record{records})[0]; err != nil {
		return fmt.Errorf("controller: register broker %d: %w", c.cfg.NodeID, err)
	}
	c.loading = nil
	image := loaded.image()
	if err := c.cfg.Publisher.Publish(loaded, image); err != nil {
		return fmt.Errorf("controller: publish at start: %w", err)
	}
	c.image.Store(image)
	c.log.Info("metadata ready", "cluster", c.cfg.ClusterID, "offset", image.Version, "topics", image.TopicCount())
	return nil
}

// startRecords are what a start writes: the end of a transaction its writer left
// open, the features of a new cluster, and the registration of this broker, whose
// epoch is the offset its record will have.
func (c *Controller) startRecords(loaded *Delta) ([]Record, error) {
	image := loaded.next
	incarnation, err := NewUUID(c.cfg.Random)
	if err != nil {
		return nil, err
	}
	var records []Record
	if loaded.transaction {
		reason := "The controller that began it has gone"
		records = append(records, &AbortTransactionRecord{Reason: &reason})
	}
	if _, ok := image.features[MetadataVersionFeature]; !ok {
		records = append(records, &FeatureLevelRecord{Name: MetadataVersionFeature, Level: MetadataVersion})
	}
	return append(records, &RegisterBrokerRecord{Broker{
		ID: c.cfg.NodeID, Epoch: image.Version + 1 + int64(len(records)), Incarnation: incarnation,
		Endpoints: c.cfg.Endpoints, Rack: c.cfg.Rack, Features: SupportedFeatures(), LogDirs: c.cfg.LogDirs,
	}}), nil
}

// Image returns the latest image: every change that was answered is in it.
func (c *Controller) Image() *MetadataImage { return c.image.Load() }

// Close answers what is queued and ends the controller. What is asked later is
// answered with NOT_CONTROLLER.
func (c *Controller) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		close(c.stop)
	}
	<-c.done
	if !first {
		return nil
	}
	return c.cfg.Quorum.Close()
}

// submit queues op, waiting for room. The error is a *protocol.Error.
func (c *Controller) submit(ctx context.Context, op *operation) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return errNotController
	}
	select {
	case c.queue <- op:
		return nil
	case <-ctx.Done():
		return errTimedOut
	}
}

// trySubmit queues op if there is room. The error is a *protocol.Error.
func (c *Controller) trySubmit(op *operation) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return errNotController
	}
	select {
	case c.queue <- op:
		return nil
	default:
		c.metrics.QueueFull.Add(1)
		return errBusy
	}
}

// execute queues a change and waits for its end. After an error plan may still
// run: the caller must not look at what it writes.
func (c *Controller) execute(ctx context.Context, plan func(*MetadataImage) []Record) error {
	if ctx.Err() != nil {
		return errTimedOut
	}
	ended := make(chan error, 1)
	op := &operation{plan: plan, done: func(err error) { ended <- err }}
	if err := c.submit(ctx, op); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return errTimedOut
	}
}

// maxGroup bounds the operations of one commit.
const maxGroup = 256

// run takes the queued operations, all there are at a time, until Close.
func (c *Controller) run() {
	defer close(c.done)
	group := make([]*operation, 0, maxGroup)
	for {
		select {
		case op := <-c.queue:
			c.commit(c.drain(append(group[:0], op)))
		case <-c.stop:
			for group = c.drain(group[:0]); len(group) > 0; group = c.drain(group[:0]) {
				c.commit(group)
			}
			return
		}
	}
}

// drain adds what is queued to group.
func (c *Controller) drain(group []*operation) []*operation {
	for len(group) < maxGroup {
		select {
		case op := <-c.queue:
			group = append(group, op)
		default:
			return group
		}
	}
	return group
}

// commit plans the operations one after another, each on the state the ones
// before it lead to, commits their records with one wait for the disk, and
// answers all of them.
func (c *Controller) commit(group []*operation) {
	draft := c.Image()
	errs := make([]error, len(group))
	var batches [][]Record
	var owners []int
	for i, op := range group {
		records := op.plan(draft)
		if len(records) == 0 {
			continue
		}
		d := newDelta(draft)
		if err := d.applyAll(records); err != nil {
			panic(fmt.Sprintf("controller: planned records that do not apply: %v", err))
		}
		draft = d.image()
		batches, owners = append(batches, records), append(owners, i)
	}
	if len(batches) > 0 {
		c.metrics.Commits.Add(1)
		for i, err := range c.cfg.Quorum.Propose(batches) {
			errs[owners[i]] = err
		}
	}
	var lost error
	for i, op := range group {
		// What was planned on top of an uncommitted change is not true either.
		if errors.Is(errs[i], ErrNotCommitted) {
			lost = errs[i]
		}
		if lost != nil {
			errs[i] = lost
		}
		op.done(c.answer(errs[i]))
	}
}

// answer makes the error clients see.
func (c *Controller) answer(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotCommitted):
		c.log.Error("metadata change lost", "err", err)
		return errStorage
	}
	return asError(err)
}

// apply takes a committed batch into the image: it publishes the change, then
// shows it.
func (c *Controller) apply(b Committed) error {
	d := c.loading
	if d == nil {
		d = newDelta(c.Image())
	}
	for i, r := range b.Records {
		err := d.apply(b.BaseOffset+int64(i), r)
		switch {
		case err == nil:
		case c.loading != nil:
			return err
		default:
			panic(fmt.Sprintf("controller: committed records that do not apply: %v", err))
		}
	}
	d.next.Version = b.LastOffset
	c.metrics.Records.Add(int64(len(b.Records)))
	if c.loading != nil {
		return nil
	}
	next := d.image()
	err := c.cfg.Publisher.Publish(d, next)
	if err != nil {
		c.metrics.PublishFailures.Add(1)
		c.log.Error("metadata change not carried out", "offset", b.LastOffset, "err", err)
	}
	c.image.Store(next)
	return err
}
