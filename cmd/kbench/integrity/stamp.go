package integrity

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// StampSize is the number of bytes a Stamp takes at the beginning of a record value, so the smallest record that can
// be verified.
const StampSize = 40

// Layout of a stamp, big-endian:
//
//	0  magic     uint32
//	4  hash      uint32  CRC-32 (IEEE) of everything after it, the filler included
//	8  run       uint64
//	16 producer  uint32
//	20 partition uint32
//	24 sequence  uint64
//	32 time      int64
//
// The hash is the IEEE polynomial on purpose: the record batch is already covered by CRC-32C, and damage that cancels
// out in one of them does not in the other.
const (
	stampMagic     = 0x6b_62_76_01 // "kbv", version 1
	hashOffset     = 4
	hashedOffset   = 8
	producerOffset = 16
	sequenceOffset = 24
	timeOffset     = 32
)

// Stamp is what a record value says about itself.
type Stamp struct {
	Run       uint64 // one run of the benchmark; records of other runs in the same topic are not judged
	Producer  uint32 // index of the producer in its run
	Partition int32  // the partition it was sent to
	Sequence  int64  // position in the stream of (producer, partition), from 0
	// Time is when the record was due to be sent, in nanoseconds of the sender's own clock. Only the process that
	// wrote it can make sense of it.
	Time int64
}

var (
	// ErrForeign is returned for a value that carries no stamp: something else wrote it.
	ErrForeign = errors.New("record carries no kbench stamp")
	// ErrCorrupt is returned for a value that carries a stamp whose hash does not match its bytes.
	ErrCorrupt = errors.New("record hash does not match its bytes")
)

// Put writes s into the first StampSize bytes of value and hashes the whole value. Whatever stands behind the stamp
// is filler and is covered by the hash. It panics when value is shorter than StampSize.
func (s Stamp) Put(value []byte) {
	_ = value[StampSize-1]
	binary.BigEndian.PutUint32(value, stampMagic)
	binary.BigEndian.PutUint64(value[hashedOffset:], s.Run)
	binary.BigEndian.PutUint32(value[producerOffset:], s.Producer)
	binary.BigEndian.PutUint32(value[producerOffset+4:], uint32(s.Partition))
	binary.BigEndian.PutUint64(value[sequenceOffset:], uint64(s.Sequence))
	binary.BigEndian.PutUint64(value[timeOffset:], uint64(s.Time))
	binary.BigEndian.PutUint32(value[hashOffset:], crc32.ChecksumIEEE(value[hashedOffset:]))
}

// Parse reads the stamp of value without checking the hash. It returns ErrForeign when there is none.
func Parse(value []byte) (Stamp, error) {
	if len(value) < StampSize || binary.BigEndian.Uint32(value) != stampMagic {
		return Stamp{}, ErrForeign
	}
	return Stamp{
		Run:       binary.BigEndian.Uint64(value[hashedOffset:]),
		Producer:  binary.BigEndian.Uint32(value[producerOffset:]),
		Partition: int32(binary.BigEndian.Uint32(value[producerOffset+4:])),
		Sequence:  int64(binary.BigEndian.Uint64(value[sequenceOffset:])),
		Time:      int64(binary.BigEndian.Uint64(value[timeOffset:])),
	}, nil
}

// ParseChecked is Parse followed by the hash of the whole value: ErrForeign or ErrCorrupt.
func ParseChecked(value []byte) (Stamp, error) {
	s, err := Parse(value)
	if err != nil {
		return Stamp{}, err
	}
	if crc32.ChecksumIEEE(value[hashedOffset:]) != binary.BigEndian.Uint32(value[hashOffset:]) {
		return s, ErrCorrupt
	}
	return s, nil
}
