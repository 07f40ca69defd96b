package floor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sort"
	"sync"
)

// Where a record batch of format 2 keeps what is looked at (KIP-98).
const (
	batchLengthAt    = 8
	batchMagicAt     = 16
	batchCRCAt       = 17
	batchCheckedFrom = 21 // the CRC covers everything from here on
	lastOffsetAt     = 23
	batchHeadBytes   = 61
)

// maxBatches bounds the places kept of a partition's batches: 1 GiB of them.
const maxBatches = 1 << 26

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errBatch = errors.New("damaged record batch")
	errFull  = errors.New("too many batches in a partition")
)

// place is where a batch begins.
type place struct{ offset, position int64 }

// partition is a file of batches.
type partition struct {
	mu     sync.Mutex
	file   *os.File
	places []place
	next   int64 // offset
	size   int64
}

// append checks one batch, gives it the next offset, in place, and writes it.
func (p *partition) append(batch []byte) (offset int64, err error) {
	if len(batch) < batchHeadBytes || batch[batchMagicAt] != 2 || int(binary.BigEndian.Uint32(batch[batchLengthAt:]))+batchLengthAt+4 != len(batch) {
		return 0, errBatch
	}
	if crc32.Checksum(batch[batchCheckedFrom:], castagnoli) != binary.BigEndian.Uint32(batch[batchCRCAt:]) {
		return 0, errBatch
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.places) >= maxBatches {
		return 0, errFull
	}
	offset = p.next
	binary.BigEndian.PutUint64(batch, uint64(offset)) // the CRC does not cover it
	if _, err := p.file.WriteAt(batch, p.size); err != nil {
		return 0, err
	}
	p.places = append(p.places, place{offset, p.size})
	p.next += int64(binary.BigEndian.Uint32(batch[lastOffsetAt:])) + 1
	p.size += int64(len(batch))
	return offset, nil
}

// find returns where the batch with an offset begins, the end of the file, and the next offset.
func (p *partition) find(offset int64) (position, size, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := sort.Search(len(p.places), func(i int) bool { return p.places[i].offset > offset })
	if i == 0 || offset >= p.next {
		return p.size, p.size, p.next
	}
	return p.places[i-1].position, p.size, p.next
}

// topic is its partitions.
type topic []*partition

func newTopic(dir, name string, partitions int) (topic, error) {
	var t topic
	for i := range partitions {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%d", name, i)))
		if err != nil {
			return nil, errors.Join(err, t.close())
		}
		t = append(t, &partition{file: f})
	}
	return t, nil
}

// close closes and removes the files.
func (t topic) close() error {
	var errs []error
	for _, p := range t {
		errs = append(errs, p.file.Close(), os.Remove(p.file.Name()))
	}
	return errors.Join(errs...)
}
