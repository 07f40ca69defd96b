package adopt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"
)

// The control records of a KRaft log (ControlRecordType). A record's key is its version and its type.
const (
	controlLeaderChange   = 2
	controlSnapshotHeader = 3
	controlSnapshotFooter = 4
	controlKRaftVersion   = 5
	controlVoters         = 6
)

// errControlRecord says that a control record does not follow Kafka's format.
var errControlRecord = errors.New("malformed control record")

// controlRecord is what is of interest of a control record.
type controlRecord struct {
	kind   int16
	voters int // controllers it names; 0 for a type that names none
}

// readControlRecord reads a control record. Types that are not known here have been made since and say nothing of the
// metadata.
func readControlRecord(key, value []byte) (controlRecord, error) {
	if len(key) != 4 {
		return controlRecord{}, fmt.Errorf("%w: key of %d bytes", errControlRecord, len(key))
	}
	c := controlRecord{kind: int16(binary.BigEndian.Uint16(key[2:]))}
	r := kbin.Reader{Src: value}
	switch c.kind {
	case controlLeaderChange:
		version := r.Int16()
		r.Int32() // leader id
		c.voters = countVoters(&r, func() {
			if version >= 1 {
				r.Uuid()
			}
		})
	case controlVoters:
		r.Int16() // version
		c.voters = countVoters(&r, func() {
			r.Uuid()
			for range r.CompactArrayLen() {
				if r.CompactString(); r.Ok() {
					r.CompactString()
					r.Uint16()
					skipTags(&r)
				}
			}
			r.Int16() // kraft.version, least and most
			r.Int16()
			skipTags(&r)
		})
	}
	if !r.Ok() {
		return c, fmt.Errorf("%w: type %d of %d bytes", errControlRecord, c.kind, len(value))
	}
	return c, nil
}

// countVoters reads an array of voters, of which rest is what follows the id of each.
func countVoters(r *kbin.Reader, rest func()) int {
	n := int(r.CompactArrayLen())
	for range n {
		if r.Int32(); !r.Ok() {
			return 0
		}
		rest()
		skipTags(r)
	}
	return max(n, 0)
}

// skipTags reads over the tagged fields that end a structure.
func skipTags(r *kbin.Reader) {
	for n := r.Uvarint(); n > 0 && r.Ok(); n-- {
		r.Uvarint()
		r.Span(int(r.Uvarint()))
	}
}
