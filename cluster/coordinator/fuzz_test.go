package coordinator

import (
	"bytes"
	"testing"

	"kserver/internal/fuzzing"
	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// tally is a State that counts what is replayed.
type tally struct{ records, markers, size int }

func (s *tally) Replay(r ReplayedRecord) error {
	s.records++
	s.size += len(r.Key) + len(r.Value)
	return nil
}

func (s *tally) ReplayEndTransaction(int64, int16, bool) error { s.markers++; return nil }
func (s *tally) Loaded(*Event)                                 {}
func (s *tally) Unloaded(*Event, protocol.ErrorCode)           {}

// FuzzReplayBatch: a batch of the log with a good checksum, whatever it holds, is replayed whole or stops with an
// error, in memory that follows its size.
func FuzzReplayBatch(f *testing.F) {
	for _, control := range []bool{false, true} {
		b := recordbatch.NewBuilder(recordbatch.BuilderConfig{Control: control, Producer: &recordbatch.Producer{ID: 1}, Transactional: control})
		b.Append(1, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 5})
		batch, err := b.Build()
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(batch))
		f.Add([]byte(batch[:len(batch)-3]))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, _, err := recordbatch.Next(bytes.Clone(data))
		if err != nil || b.Codec() != recordbatch.CodecNone {
			return
		}
		b.UpdateCRC()
		var s tally
		var n int
		fuzzing.Bounded(t, 64*uint64(len(data)), func() { s = tally{}; n, err = replayBatch(&s, b) })
		if err == nil && (n != int(b.Count()) || s.records+s.markers > n || s.size > len(data)) {
			t.Errorf("%d records of %d: %+v", n, b.Count(), s)
		}
		if b.IsControl() && s.records > 0 || !b.IsControl() && s.markers > 0 {
			t.Errorf("control %v: %+v", b.IsControl(), s)
		}
	})
}
