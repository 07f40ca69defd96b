package controller

import (
	"kserver/protocol/recordbatch"
)

// Draft leads the batches of a metadata log, or of a snapshot of one, to an image
// without a controller: for tools that look at a log nobody uses. It belongs to
// one goroutine.
type Draft struct{ d *Delta }

// NewDraft begins with the image of an empty log.
func NewDraft(clusterID string) *Draft { return &Draft{newDelta(newImage(clusterID))} }

// Apply makes the changes of the next batch; one of control records makes none.
// After an error, which wraps ErrRecord, ErrRecordType or ErrInconsistent, or is
// of package recordbatch, the draft is of no use.
func (x *Draft) Apply(b recordbatch.Batch) error {
	c, err := decodeBatch(b)
	if err != nil {
		return err
	}
	for i, r := range c.Records {
		if err := x.d.apply(c.BaseOffset+int64(i), r); err != nil {
			return err
		}
	}
	return nil
}

// Image is what the batches have led to. The records of a transaction that was
// not ended are not in it.
func (x *Draft) Image() *MetadataImage { return x.d.next }

// Skipped counts, by Kafka's name, the records whose state the image does not
// hold.
func (x *Draft) Skipped() map[string]int { return x.d.skipped }

// EncodeBatches makes batches of records, as many as their bounds need, for a log
// that ends at offset base: the first record gets that offset. epoch is the leader
// epoch and nowMs the timestamp of all of them.
func EncodeBatches(records []Record, base int64, epoch int32, nowMs int64) ([]byte, error) {
	var out []byte
	for len(records) > 0 {
		n := fitting(records)
		b, err := encodeBatch(records[:n], nowMs)
		if err != nil {
			return nil, err
		}
		b.SetBaseOffset(base)
		b.SetPartitionLeaderEpoch(epoch)
		out = append(out, b...)
		records, base = records[n:], base+int64(n)
	}
	return out, nil
}

// recordOverhead is at least what a record of a batch takes besides its value.
const recordOverhead = 64

// fitting is how many of the records go into one batch, at least one.
func fitting(records []Record) int {
	size, n := 0, 0
	var value []byte
	for n < min(len(records), maxRecordsPerBatch) {
		value = appendRecord(value[:0], records[n])
		if size += len(value) + recordOverhead; size > maxBatchBytes && n > 0 {
			break
		}
		n++
	}
	return n
}
