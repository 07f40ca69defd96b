package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/pace"
)

// recordOverheadBytes is what a batch with one record needs beside the value.
const recordOverheadBytes = 1024

type kgoProducer struct {
	o      *ProduceOptions
	m      *Meter
	index  int
	client *kgo.Client
	slots  chan struct{} // closed loop: one token per unanswered record; nil in an open loop
	free   chan []byte   // values to use again
}

func newKgoProducer(o *ProduceOptions, m *Meter, index int) (*kgoProducer, error) {
	acks := kgo.AllISRAcks()
	switch o.Acks {
	case 0:
		acks = kgo.NoAck()
	case 1:
		acks = kgo.LeaderAck()
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID(o.ClientID),
		kgo.DefaultProduceTopic(o.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(acks),
		kgo.ProducerBatchCompression(kgoCodec(int8(o.Codec))),
		kgo.ProducerBatchMaxBytes(int32(max(o.BatchBytes, o.RecordSize+recordOverheadBytes))),
		kgo.ProducerLinger(o.Linger),
		kgo.MaxBufferedRecords(o.Buffered),
		kgo.DisableClientMetrics(),
	}
	if !o.Idempotent {
		// An idempotent client fixes its pipeline itself.
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(o.Pipeline))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	p := &kgoProducer{o: o, m: m, index: index, client: client, free: make(chan []byte, o.Buffered)}
	if o.InFlight > 0 {
		p.slots = make(chan struct{}, o.InFlight)
	}
	return p, nil
}

func kgoCodec(codec int8) kgo.CompressionCodec {
	return [...]kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}[codec]
}

// run sends until the window ends, then waits for the answers.
func (p *kgoProducer) run(ctx context.Context) error {
	// Answers may come until drainEnd; when ctx ends earlier, what is unanswered is given up after a moment.
	drain, stop := context.WithDeadline(context.WithoutCancel(ctx), deadline(p.m.Window.End+int64(p.o.Drain)))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(interruptGrace, stop) })()

	p.send(ctx, drain)
	if err := p.client.Flush(drain); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%d records of producer %d are unanswered %v after the end", p.client.BufferedProduceRecords(), p.index, p.o.Drain)
	}
	return nil
}

// interruptGrace is how long an interrupted run still waits for answers under way.
const interruptGrace = time.Second

// deadline turns a time of pace.Now into a time.Time.
func deadline(t int64) time.Time { return time.Now().Add(time.Duration(t - pace.Now())) }

func (p *kgoProducer) send(ctx, drain context.Context) {
	schedule := pace.Split(p.m.Window.Start, p.o.Rate, p.index, p.o.Producers)
	pacer := pace.New(schedule, pace.LockThread())
	partitions := int32(len(p.o.Leaders))
	perPartition := 1
	if !p.o.RoundRobin {
		perPartition = p.o.recordsPerBatch()
	}
	partition := int32(p.index) % partitions
	sequences := make([]int64, partitions)
	for n := int64(0); ; n++ {
		due, ok := pacer.Wait(ctx, p.m.Window.End)
		if !ok {
			return
		}
		if drain.Err() != nil { // hopelessly behind the schedule
			p.m.Unsent(1)
			continue
		}
		if n > 0 && n%int64(perPartition) == 0 {
			partition = (partition + 1) % partitions
		}
		if p.slots != nil {
			select {
			case p.slots <- struct{}{}:
			case <-drain.Done():
				p.m.Unsent(1)
				continue
			}
			if p.o.Rate == 0 { // at full speed a record is due when there is room for it
				due = pace.Now()
			}
		}
		p.produce(drain, partition, sequences[partition], due)
		sequences[partition]++
	}
}

func (p *kgoProducer) produce(ctx context.Context, partition int32, seq, due int64) {
	var value []byte
	select {
	case value = <-p.free:
	default:
		value = make([]byte, p.o.RecordSize)
	}
	p.o.Payload.Fill(value, integrity.Stamp{Producer: uint32(p.index), Partition: partition, Sequence: seq, Time: due})
	if p.o.Ledger != nil {
		if first := p.o.Ledger.Next(ledgerStream(p.index, partition), 1); first != seq {
			panic(fmt.Sprintf("load: sequence %d, ledger says %d", seq, first))
		}
	}
	sent := pace.Now()
	p.client.Produce(ctx, &kgo.Record{Partition: partition, Value: value}, func(_ *kgo.Record, err error) {
		p.answered(partition, seq, due, sent, value, err)
	})
}

func (p *kgoProducer) answered(partition int32, seq, due, sent int64, value []byte, err error) {
	now := pace.Now()
	if p.slots != nil {
		<-p.slots
	}
	if err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			err = errUnanswered
		}
		p.m.Fail(1, err)
		return
	}
	if p.o.Ledger != nil && p.o.Acks != 0 {
		p.o.Ledger.Ack(ledgerStream(p.index, partition), seq, 1)
	}
	p.m.Done(p.index, due, sent, now, 1, int64(len(value)))
	select {
	case p.free <- value:
	default:
	}
}
