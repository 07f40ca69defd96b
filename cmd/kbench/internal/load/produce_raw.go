package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/pace"
	"kserver/cmd/kbench/wire"
)

const (
	dialTimeout      = 10 * time.Second
	produceTimeoutMs = 30_000
)

// RawProducers are producers of the raw driver that are connected and have encoded their requests.
type RawProducers []*rawProducer

// PrepareRaw connects producers of the raw driver, o.Connections per producer to each broker that leads a partition,
// and encodes their requests. Run must follow.
func PrepareRaw(ctx context.Context, o *ProduceOptions) (RawProducers, error) {
	lanes := rawLanes(o.Producers, o.Leaders)
	ps := make(RawProducers, len(lanes))
	err := runAll(ctx, len(lanes), func(ctx context.Context, i int) (err error) {
		ps[i], err = newRawProducer(ctx, o, i, lanes[i])
		return err
	})
	if err != nil {
		for _, p := range ps {
			if p != nil {
				err = errors.Join(err, p.close())
			}
		}
		return nil, err
	}
	return ps, nil
}

// Run produces until the meter's window ends or ctx does, waits for the answers and closes the connections. The meter
// needs a worker for each of ps.
func (ps RawProducers) Run(ctx context.Context, m *Meter) error {
	return runAll(ctx, len(ps), func(ctx context.Context, i int) error { return ps[i].run(ctx, m) })
}

// rawProducer is one lane: run writes on each of its links in turn, and a goroutine per link reads answers.
type rawProducer struct {
	o      *ProduceOptions
	m      *Meter // set by run
	worker int    // index among the lanes, for the meter
	lane   lane
	links  []*rawLink
	frames []*rawFrame
	count  int // records per batch
	id     int64
	epoch  int16
}

// rawLink is one connection.
type rawLink struct {
	conn   *wire.Conn
	reader *wire.ProduceReader
	room   chan struct{} // one token per unanswered request; its capacity is the pipeline
	// flying holds what was sent and not answered, in order. The writer puts in only what it has a token for, and the
	// reader gives a token back after it took one out, so it never overflows.
	flying chan flight
}

// rawFrame is the request for one partition, used again and again.
type rawFrame struct {
	*wire.ProduceFrame
	stampSeq int64 // next sequence number of the stamps
	baseSeq  int32 // next base sequence of the idempotent producer
}

type flight struct {
	corr      int32
	partition int32
	firstSeq  int64
	due, sent int64
}

// manyConnections is the number of connections per producer from which each has a small read buffer: answers to produce
// requests are short, and buffers of the usual size would take gigabytes.
const manyConnections, smallReadBuffer = 16, 4 << 10

func newRawProducer(ctx context.Context, o *ProduceOptions, index int, l lane) (*rawProducer, error) {
	p := &rawProducer{o: o, worker: index, lane: l, count: o.recordsPerBatch(), id: -1, epoch: -1}
	for range max(1, o.Connections) {
		link, err := newRawLink(ctx, o, l.addr)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.links = append(p.links, link)
	}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func newRawLink(ctx context.Context, o *ProduceOptions, addr string) (*rawLink, error) {
	conn, err := wire.Dial(ctx, addr, o.ClientID, dialTimeout)
	if err != nil {
		return nil, err
	}
	if o.Connections >= manyConnections {
		conn.SetReadBuffer(smallReadBuffer)
	}
	reader, err := conn.NewProduceReader()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	inFlight := o.Pipeline
	if o.InFlight > 0 {
		inFlight = o.InFlight
	}
	return &rawLink{conn: conn, reader: reader, room: make(chan struct{}, inFlight), flying: make(chan flight, inFlight)}, nil
}

// prepare encodes the frames. They fit every link, for all are to the same broker.
func (p *rawProducer) prepare() (err error) {
	conn := p.links[0].conn
	if p.o.Idempotent {
		if p.id, p.epoch, err = conn.InitProducerID(); err != nil {
			return err
		}
	}
	now := time.Now().UnixMilli()
	for _, partition := range p.lane.partitions {
		batch, err := wire.EncodeBatch(p.count, p.o.RecordSize, p.o.Codec, now, func(i int, value []byte) {
			p.o.Payload.Fill(value, integrity.Stamp{Producer: uint32(p.lane.worker), Partition: partition, Sequence: int64(i)})
		})
		if err != nil {
			return err
		}
		f, err := conn.NewProduceFrame(p.o.Topic, partition, p.o.Acks, produceTimeoutMs, batch)
		if err != nil {
			return err
		}
		p.frames = append(p.frames, &rawFrame{ProduceFrame: f})
	}
	return nil
}

// run writes until the window ends, then waits for the answers.
func (p *rawProducer) run(ctx context.Context, m *Meter) error {
	p.m = m
	if err := p.setDeadline(deadline(m.Window.End + int64(p.o.Drain))); err != nil {
		return errors.Join(err, p.close())
	}
	// An interrupted run gives up what is unanswered after a moment. Close reports what this could not set.
	stop := context.AfterFunc(ctx, func() { _ = p.setDeadline(time.Now().Add(interruptGrace)) })
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan error, len(p.links))
	for _, l := range p.links {
		go func() {
			err := p.receive(l)
			if err != nil {
				cancel() // the writer must not wait for room in the pipeline any more
			}
			read <- err
		}()
	}
	errs := []error{p.send(ctx)}
	for _, l := range p.links {
		close(l.flying)
	}
	for range p.links {
		errs = append(errs, <-read)
	}
	for _, l := range p.links {
		for range l.flying { // what a failed reader left
			p.m.Fail(int64(p.count), errUnanswered)
		}
	}
	return errors.Join(append(errs, p.close())...)
}

func (p *rawProducer) setDeadline(t time.Time) error {
	var errs []error
	for _, l := range p.links {
		errs = append(errs, l.conn.SetDeadline(t))
	}
	return errors.Join(errs...)
}

func (p *rawProducer) close() error {
	var errs []error
	for _, l := range p.links {
		errs = append(errs, l.conn.Close())
	}
	return errors.Join(errs...)
}

func (p *rawProducer) send(ctx context.Context) error {
	rate := p.o.Rate * p.lane.share / float64(p.count) // batches per second of this lane
	start := p.m.Window.Start
	if rate > 0 {
		start += int64(1e9 / rate * float64(p.worker) / float64(p.o.Producers)) // lanes take turns
	}
	pacer := pace.New(pace.Split(start, rate, 0, 1), pace.LockThread())
	for corr := int32(0); ; corr++ {
		due, ok := pacer.Wait(ctx, p.m.Window.End)
		if !ok {
			return nil
		}
		link := p.links[int(corr)%len(p.links)]
		if p.o.Acks != 0 {
			select {
			case link.room <- struct{}{}:
			case <-ctx.Done():
				p.m.Unsent(int64(p.count))
				return nil
			}
			if rate == 0 { // at full speed a batch is due when there is room for it
				due = pace.Now()
			}
		}
		f := p.frames[int(corr)%len(p.frames)]
		fl := flight{corr: corr, partition: f.Partition, firstSeq: f.stampSeq, due: due}
		p.patch(f, due)
		fl.sent = pace.Now()
		if p.o.Acks != 0 {
			link.flying <- fl // has room: see its declaration
		}
		if err := link.conn.WriteFrame(f.Bytes(), corr); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("send to %s: %w", p.lane.addr, err)
		}
		if p.o.Acks == 0 {
			p.m.Done(p.worker, due, fl.sent, pace.Now(), int64(p.count), p.batchBytes())
		}
	}
}

// batchBytes is the size of the values of one batch.
func (p *rawProducer) batchBytes() int64 { return int64(p.count) * int64(p.o.RecordSize) }

// patch brings a frame up to date: stamps and base sequence, where they are asked for, and then the checksum.
func (p *rawProducer) patch(f *rawFrame, due int64) {
	stream := ledgerStream(p.lane.worker, f.Partition)
	if p.o.Payload.Stamped() {
		for i := range p.count {
			p.o.Payload.Restamp(f.Batch.Value(i), integrity.Stamp{
				Producer: stream.Producer, Partition: f.Partition, Sequence: f.stampSeq + int64(i), Time: due,
			})
		}
	}
	if p.o.Idempotent {
		f.Batch.SetProducer(p.id, p.epoch, f.baseSeq)
	}
	if p.o.Payload.Stamped() || p.o.Idempotent {
		f.Batch.Seal()
	}
	if p.o.Ledger != nil {
		p.o.Ledger.Next(stream, int64(p.count))
	}
	f.stampSeq += int64(p.count)
	f.baseSeq = wire.NextSequence(f.baseSeq, p.count)
}

// receive reads a link's answers until the writer has closed flying and all are answered.
func (p *rawProducer) receive(l *rawLink) error {
	for f := range l.flying {
		res, err := l.reader.Next()
		now := pace.Now()
		if err == nil && (res.Correlation != f.corr || res.Partition != f.partition) {
			err = fmt.Errorf("answer %d for partition %d, expected %d for %d", res.Correlation, res.Partition, f.corr, f.partition)
		}
		if err != nil {
			p.m.Fail(int64(p.count), errUnanswered)
			return fmt.Errorf("answer from %s: %w", p.lane.addr, err)
		}
		<-l.room
		if res.Err != nil {
			p.m.Fail(int64(p.count), res.Err)
			continue
		}
		if p.o.Ledger != nil {
			p.o.Ledger.Ack(ledgerStream(p.lane.worker, f.partition), f.firstSeq, int64(p.count))
		}
		p.m.Done(p.worker, f.due, f.sent, now, int64(p.count), p.batchBytes())
	}
	return nil
}
