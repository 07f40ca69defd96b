package engine

import (
	"context"
	"sync/atomic"
)

const timeEntryBytes = 12

// Origin says who made a batch; it decides what AppendAsLeader checks.
type Origin int8

const (
	// OriginClient is a producer: the batch is validated in full.
	OriginClient Origin = iota
	// OriginCoordinator is a group or transaction coordinator of this broker, which may write markers.
	OriginCoordinator
	// OriginController is the metadata log's own writer.
	OriginController
)

// AppendOptions accompany an append.
type AppendOptions struct {
	LeaderEpoch    int32
	Origin         Origin
	ProduceVersion int16
}

// AppendInfo tells what an append did. Offsets are inclusive. LogAppendTime is -1 unless the topic uses it
// (or the batch is a duplicate, then it is the stored batch's timestamp, as in Kafka).
type AppendInfo struct {
	FirstOffset, LastOffset       int64
	LogAppendTime, LogStartOffset int64
	Duplicate                     bool
}

// ReadInfo is what Read found. Range is nil when there is nothing to read.
type ReadInfo struct {
	Range       *Range
	StartOffset int64 // base offset of the first batch of the range, when known from memory, else the asked one
	Size        int
	Partial     bool // the range may end inside a batch (it was cut by maxBytes)
}

// DurableListener hears about one log's durable end. See SetDurableListener.
type DurableListener interface {
	Durable(end int64)
	Failed(err error)
}

// DurableFuncs makes a DurableListener of two functions; either may be nil.
type DurableFuncs struct {
	OnDurable func(end int64)
	OnFailed  func(err error)
}

func (f DurableFuncs) Durable(end int64) {
	if f.OnDurable != nil {
		f.OnDurable(end)
	}
}

func (f DurableFuncs) Failed(err error) {
	if f.OnFailed != nil {
		f.OnFailed(err)
	}
}

// SegmentInfo describes one segment.
type SegmentInfo struct {
	BaseOffset   int64
	Size         int64
	MaxTimestamp int64
}

// ProducerInfo is one producer's state, as DescribeProducers shows it.
type ProducerInfo struct {
	ProducerID            int64
	ProducerEpoch         int16
	LastSequence          int32
	LastTimestamp         int64
	CoordinatorEpoch      int32 // -1 unknown
	CurrentTxnStartOffset int64 // -1 none
}

type Log struct{ leo atomic.Int64 }
type Range struct{ log *Log }
type LogManager struct{}

func OpenLogManager(cfg Config) (*LogManager, error)     { panic("skeleton") }
func (m *LogManager) Log(tp TopicPartition) (*Log, bool) { panic("skeleton") }
func (m *LogManager) Logs() []*Log                       { panic("skeleton") }
func (m *LogManager) ClusterID() string                  { panic("skeleton") }
func (m *LogManager) DirectoryIDs() map[string][16]byte  { panic("skeleton") }
func (m *LogManager) Delete(tp TopicPartition) error     { panic("skeleton") }
func (m *LogManager) Checkpoint() error                  { panic("skeleton") }
func (m *LogManager) RunRetention() error                { panic("skeleton") }
func (m *LogManager) Close() error                       { panic("skeleton") }
func (m *LogManager) Create(tp TopicPartition, topicID [16]byte, cfg LogConfig) (*Log, error) {
	panic("skeleton")
}

func (l *Log) TopicPartition() TopicPartition                               { panic("skeleton") }
func (l *Log) TopicID() (id [16]byte, ok bool)                              { panic("skeleton") }
func (l *Log) Dir() string                                                  { panic("skeleton") }
func (l *Log) AppendAsLeader(b []byte, o AppendOptions) (AppendInfo, error) { panic("skeleton") }
func (l *Log) AppendAsFollower(b []byte) (AppendInfo, error)                { panic("skeleton") }
func (l *Log) Read(offset int64, maxBytes int, upTo int64, minOneBatch bool) (ReadInfo, error) {
	panic("skeleton")
}
func (l *Log) ReadNoWait(offset int64, maxBytes int, upTo int64, minOneBatch bool) (ReadInfo, error) {
	panic("skeleton")
}
func (l *Log) BytesAvailable(offset, upTo int64) (bytes int64, olderSegment bool) { panic("skeleton") }
func (l *Log) LogStartOffset() int64                                              { panic("skeleton") }
func (l *Log) LogEndOffset() int64                                                { panic("skeleton") }
func (l *Log) HighWatermark() int64                                               { panic("skeleton") }
func (l *Log) LastStableOffset() int64                                            { panic("skeleton") }
func (l *Log) DurableEndOffset() int64                                            { panic("skeleton") }
func (l *Log) UpdateHighWatermark(hw int64) int64                                 { panic("skeleton") }
func (l *Log) SetDurableListener(d DurableListener)                               { panic("skeleton") }
func (l *Log) WaitDurable(ctx context.Context, end int64) error                   { panic("skeleton") }
func (l *Log) OffsetForTimestamp(ts, upTo int64) (offset, timestamp int64, epoch int32, ok bool, err error) {
	panic("skeleton")
}
func (l *Log) MaxTimestampOffset(upTo int64) (offset, timestamp int64, epoch int32, ok bool, err error) {
	panic("skeleton")
}
func (l *Log) EndOffsetForEpoch(epoch int32) (foundEpoch int32, endOffset int64) { panic("skeleton") }
func (l *Log) LatestEpoch() int32                                                { panic("skeleton") } // -1 none
func (l *Log) AssignEpochStart(epoch int32) error                                { panic("skeleton") }
func (l *Log) SetConfig(cfg LogConfig)                                           { panic("skeleton") }
func (l *Log) Config() LogConfig                                                 { panic("skeleton") }
func (l *Log) Size() int64                                                       { panic("skeleton") }
func (l *Log) Segments() []SegmentInfo                                           { panic("skeleton") }
func (l *Log) TruncateTo(offset int64) error                                     { panic("skeleton") }
func (l *Log) SetLogStartOffset(offset int64) error                              { panic("skeleton") }
func (l *Log) Producers() []ProducerInfo                                         { panic("skeleton") }

func (r *Range) Offset() int64                            { panic("skeleton") }
func (r *Range) Len() int                                 { panic("skeleton") }
func (r *Range) Fd() int                                  { panic("skeleton") }
func (r *Range) ReadAt(p []byte, off int64) (int, error)  { panic("skeleton") }
func (r *Range) Ready(off int64, n int, wake func()) bool { panic("skeleton") }
func (r *Range) Release()                                 { panic("skeleton") }
