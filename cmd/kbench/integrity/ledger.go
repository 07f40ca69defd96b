package integrity

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Stream names everything one producer of a run writes to one partition.
type Stream struct {
	Producer  uint32
	Partition int32
}

// Ledger is the producing side's book: per stream, how many records were attempted and which were acknowledged.
// It is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	streams map[Stream]*entry
	err     error
}

type entry struct {
	attempted int64 // sequence numbers [0, attempted) were handed to the client
	acked     RangeSet
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger { return &Ledger{streams: make(map[Stream]*entry)} }

// Next takes the next n sequence numbers of the stream and returns the first of them; they count as attempted.
func (l *Ledger) Next(s Stream, n int64) (first int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.streams[s]
	if e == nil {
		e = &entry{}
		l.streams[s] = e
	}
	first = e.attempted
	e.attempted += n
	return first
}

// Ack notes that n records of the stream from sequence number first were acknowledged.
func (l *Ledger) Ack(s Stream, first, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.streams[s]
	if e == nil || first < 0 || first+n > e.attempted {
		panic(fmt.Sprintf("integrity: acknowledgement of %d records from %d of %+v that were never attempted", n, first, s))
	}
	if err := e.acked.Add(first, first+n-1); err != nil && l.err == nil {
		l.err = fmt.Errorf("producer %d partition %d: %w", s.Producer, s.Partition, err)
	}
}

// Manifest is what a later reader needs to judge a run. It is what `kbench produce --manifest` writes.
type Manifest struct {
	Topic   string           `json:"topic"`
	Run     uint64           `json:"run,string"`
	Streams []ManifestStream `json:"streams"`
}

// ManifestStream is one stream of a Manifest.
type ManifestStream struct {
	Producer  uint32  `json:"producer"`
	Partition int32   `json:"partition"`
	Attempted int64   `json:"attempted"` // sequence numbers [0, attempted) were handed to the client
	Acked     []Range `json:"acked"`     // closed intervals, sorted
}

// Manifest returns a copy of the book. It fails with ErrTooManyRanges when acknowledgements were too scattered to be
// kept.
func (l *Ledger) Manifest(topic string, run uint64) (*Manifest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &Manifest{Topic: topic, Run: run, Streams: make([]ManifestStream, 0, len(l.streams))}
	for s, e := range l.streams {
		m.Streams = append(m.Streams, ManifestStream{
			Producer: s.Producer, Partition: s.Partition, Attempted: e.attempted, Acked: slices.Clone(e.acked.Ranges()),
		})
	}
	slices.SortFunc(m.Streams, func(a, b ManifestStream) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Producer, b.Producer))
	})
	return m, l.err
}

// Write writes the manifest as JSON.
func (m *Manifest) Write(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(m); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// ReadManifest reads what Write wrote and checks that its ranges are sorted and inside what was attempted.
func ReadManifest(r io.Reader) (*Manifest, error) {
	m := new(Manifest)
	if err := json.NewDecoder(r).Decode(m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	for _, s := range m.Streams {
		last := int64(-1)
		for _, a := range s.Acked {
			if a[0] <= last || a[1] < a[0] || a[1] >= s.Attempted {
				return nil, fmt.Errorf("manifest: producer %d partition %d: range %v is out of order or beyond the %d attempted", s.Producer, s.Partition, a, s.Attempted)
			}
			last = a[1]
		}
	}
	return m, nil
}

// Acked returns the number of acknowledged records.
func (m *Manifest) Acked() int64 {
	var n int64
	for _, s := range m.Streams {
		for _, r := range s.Acked {
			n += r[1] - r[0] + 1
		}
	}
	return n
}
