package integrity

import (
	"errors"
	"fmt"
)

// maxExamples bounds the findings a Checker describes in words; all are counted.
const maxExamples = 20

// Checker judges the records of one run as a reader sees them. Records of one partition must be shown in the order
// of their offsets; partitions may be mixed. It belongs to one goroutine.
type Checker struct {
	run        uint64
	streams    map[Stream]*seen
	partitions map[int32]int64 // next offset expected
	report     Report
}

// seen is what was observed of one stream.
type seen struct {
	next    int64    // lowest sequence number above all seen
	missing RangeSet // holes below next
}

// Report is the outcome of a check. The counts are records.
type Report struct {
	Records   int64 `json:"records"` // records of this run that were read and intact
	Foreign   int64 `json:"foreign"` // records of other runs or of somebody else: not judged
	Acked     int64 `json:"acked"`   // records the ledger says were acknowledged
	Lost      int64 `json:"lost"`    // acknowledged and not read
	Duplicate int64 `json:"duplicate"`
	Disorder  int64 `json:"disorder"` // read after a record with a higher sequence number of the same stream
	Corrupt   int64 `json:"corrupt"`  // hash mismatch, wrong partition, or a sequence number never attempted
	// Unacked counts records read although their acknowledgement never reached the producer. That is allowed.
	Unacked int64 `json:"unacked"`
	// OffsetGaps counts places where the offset is not the previous one plus one. Control records and compaction
	// make gaps, so this is a fault only to callers that know there are none.
	OffsetGaps int64    `json:"offset_gaps"`
	Examples   []string `json:"examples,omitempty"` // the first findings in words
}

// OK reports whether nothing was lost, repeated, reordered or corrupted.
func (r *Report) OK() bool {
	return r.Lost == 0 && r.Duplicate == 0 && r.Disorder == 0 && r.Corrupt == 0
}

func (r *Report) note(format string, args ...any) {
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// NewChecker returns a checker for the records of run. Run 0 takes the run of the first stamped record it sees.
func NewChecker(run uint64) *Checker {
	return &Checker{run: run, streams: make(map[Stream]*seen), partitions: make(map[int32]int64)}
}

// Observe judges the record at offset of partition. The value is not kept. The only error is ErrTooManyRanges.
func (c *Checker) Observe(partition int32, offset int64, value []byte) error {
	if next, ok := c.partitions[partition]; ok && offset != next {
		c.report.OffsetGaps++
		c.report.note("partition %d: offset %d where %d was expected", partition, offset, next)
	}
	c.partitions[partition] = offset + 1

	s, err := ParseChecked(value)
	switch {
	case errors.Is(err, ErrForeign), err == nil && c.run != 0 && s.Run != c.run:
		c.report.Foreign++
		return nil
	case err != nil:
		c.report.Corrupt++
		c.report.note("partition %d offset %d: %v", partition, offset, err)
		return nil
	case s.Partition != partition || s.Sequence < 0:
		c.report.Corrupt++
		c.report.note("partition %d offset %d: stamped for partition %d sequence %d", partition, offset, s.Partition, s.Sequence)
		return nil
	}
	if c.run == 0 {
		c.run = s.Run
	}
	return c.sequence(Stream{s.Producer, partition}, s.Sequence, offset)
}

// sequence places one intact record in its stream.
func (c *Checker) sequence(stream Stream, seq, offset int64) error {
	st := c.streams[stream]
	if st == nil {
		st = &seen{}
		c.streams[stream] = st
	}
	switch {
	case seq == st.next:
		st.next++
	case seq > st.next:
		if err := st.missing.Add(st.next, seq-1); err != nil {
			return fmt.Errorf("producer %d partition %d: %w", stream.Producer, stream.Partition, err)
		}
		st.next = seq + 1
	case st.missing.Remove(seq):
		c.report.Disorder++
		c.report.note("producer %d partition %d: sequence %d at offset %d comes after %d", stream.Producer, stream.Partition, seq, offset, st.next-1)
	default:
		c.report.Duplicate++
		c.report.note("producer %d partition %d: sequence %d again at offset %d", stream.Producer, stream.Partition, seq, offset)
		return nil
	}
	c.report.Records++
	return nil
}

// Report closes the check. With a manifest, every acknowledged record must have been observed. Without one (nil),
// holes between the records of a stream count as lost, and a missing tail cannot be noticed.
func (c *Checker) Report(m *Manifest) Report {
	r := c.report
	if m == nil {
		for stream, st := range c.streams {
			if n := st.missing.Len(); n > 0 {
				r.Lost += n
				r.note("producer %d partition %d: %d records missing, first sequence %d", stream.Producer, stream.Partition, n, st.missing.Ranges()[0][0])
			}
		}
		return r
	}
	known := make(map[Stream]bool, len(m.Streams))
	for _, ms := range m.Streams {
		stream := Stream{ms.Producer, ms.Partition}
		known[stream] = true
		st := c.streams[stream]
		if st == nil {
			st = &seen{}
		}
		c.settle(&r, stream, st, ms)
	}
	for stream, st := range c.streams {
		if !known[stream] {
			n := st.next - st.missing.Len()
			r.Corrupt += n
			r.note("producer %d partition %d: %d records of a stream nobody wrote", stream.Producer, stream.Partition, n)
		}
	}
	return r
}

// settle compares one stream with its line of the manifest.
func (c *Checker) settle(r *Report, stream Stream, st *seen, ms ManifestStream) {
	var acked, lost int64
	first := int64(-1)
	for _, a := range ms.Acked {
		acked += a[1] - a[0] + 1
		n, at := st.missing.overlap(a[0], a[1])
		if a[1] >= st.next { // acknowledged beyond the last record read
			from := max(a[0], st.next)
			n += a[1] - from + 1
			if at < 0 {
				at = from
			}
		}
		lost += n
		if first < 0 {
			first = at
		}
	}
	r.Acked += acked
	r.Lost += lost
	if lost > 0 {
		r.note("producer %d partition %d: %d acknowledged records missing, first sequence %d", stream.Producer, stream.Partition, lost, first)
	}
	present := st.next - st.missing.Len()
	r.Unacked += present - (acked - lost)
	if st.next > ms.Attempted {
		r.Corrupt += st.next - ms.Attempted
		r.note("producer %d partition %d: sequence %d read, only %d attempted", stream.Producer, stream.Partition, st.next-1, ms.Attempted)
	}
}
