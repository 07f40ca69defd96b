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

// rawProducer is one connection: run writes, a second goroutine reads answers.
type rawProducer struct {
	o      *ProduceOptions
	m      *Meter
	worker int // index among the lanes, for the meter
	lane   lane
	conn   *wire.Conn
	reader *wire.ProduceReader
	frames []*rawFrame
	count  int           // records per batch
	room   chan struct{} // one token per unanswered request; its capacity is the pipeline
	// flying holds what was sent and not answered, in order. The writer puts in only what it has a token for, and the
	// reader gives a token back after it took one out, so it never overflows.
	flying chan flight
	id     int64
	epoch  int16
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

func newRawProducer(ctx context.Context, o *ProduceOptions, m *Meter, lanes []lane, index int) (*rawProducer, error) {
	l := lanes[index]
	conn, err := wire.Dial(ctx, l.addr, o.ClientID, dialTimeout)
	if err != nil {
		return nil, err
	}
	inFlight := o.Pipeline
	if o.InFlight > 0 {
		inFlight = o.InFlight
	}
	p := &rawProducer{
		o: o, m: m, worker: index, lane: l, conn: conn, count: o.recordsPerBatch(),
		room: make(chan struct{}, inFlight), flying: make(chan flight, inFlight), id: -1, epoch: -1,
	}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return p, nil
}

// prepare encodes the frames.
func (p *rawProducer) prepare() (err error) {
	if p.o.Idempotent {
		if p.id, p.epoch, err = p.conn.InitProducerID(); err != nil {
			return err
		}
	}
	if p.reader, err = p.conn.NewProduceReader(); err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	for _, partition := range p.lane.partitions {
		batch, err := wire.EncodeBatch(p.count, p.o.RecordSize, p.o.Codec, now, func(i int, value []byte) {
			p.o.Payload.Fill(value, integrity.Stamp{Producer: uint32(p.lane.worker), Partition: partition, Sequence: int64(i)})
		})
		if err != nil {
			return err
		}
		f, err := p.conn.NewProduceFrame(p.o.Topic, partition, p.o.Acks, produceTimeoutMs, batch)
		if err != nil {
			return err
		}
		p.frames = append(p.frames, &rawFrame{ProduceFrame: f})
	}
	return p.conn.SetDeadline(deadline(p.m.Window.End + int64(p.o.Drain)))
}

// run writes until the window ends, then waits for the answers.
func (p *rawProducer) run(ctx context.Context) error {
	// An interrupted run gives up what is unanswered after a moment. Close reports what this could not set.
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Now().Add(interruptGrace)) })
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan error, 1)
	go func() {
		err := p.receive()
		if err != nil {
			cancel() // the writer must not wait for room in the pipeline any more
		}
		read <- err
	}()
	writeErr := p.send(ctx)
	close(p.flying)
	readErr := <-read
	for range p.flying { // what a failed reader left
		p.m.Fail(int64(p.count), errUnanswered)
	}
	return errors.Join(writeErr, readErr, p.conn.Close())
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
		if p.o.Acks != 0 {
			select {
			case p.room <- struct{}{}:
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
			p.flying <- fl // has room: see its declaration
		}
		if err := p.conn.WriteFrame(f.Bytes(), corr); err != nil {
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

// receive reads answers until the writer has closed flying and all are answered.
func (p *rawProducer) receive() error {
	for f := range p.flying {
		res, err := p.reader.Next()
		now := pace.Now()
		if err == nil && (res.Correlation != f.corr || res.Partition != f.partition) {
			err = fmt.Errorf("answer %d for partition %d, expected %d for %d", res.Correlation, res.Partition, f.corr, f.partition)
		}
		if err != nil {
			p.m.Fail(int64(p.count), errUnanswered)
			return fmt.Errorf("answer from %s: %w", p.lane.addr, err)
		}
		<-p.room
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
