package engine

import (
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"

	"kserver/engine/vfs"
)

// txnSumsFile says what the transaction indexes of a partition must hold. Their format is Kafka's and has no checksum,
// no entry says whether another one is missing, and what a reader is not told he takes for committed. The file is ours;
// Kafka passes over it. It is written with the checkpoint, in its form of lines: base offset of the segment, bytes of
// its log, bytes and CRC-32C of its index; the last line is that of base -1, with the CRC-32C of the lines above it.
//
// It vouches for a prefix of each index: entries that are newer than the last checkpoint follow from the batches behind
// the recovery point. Without it, or without a line in it, as in a directory written by Kafka, an index is believed if
// it does not contradict itself.
const txnSumsFile = "transaction-index-checksums"

// txnSum vouches for the first bytes of a transaction index.
type txnSum struct {
	bytes int64
	crc   uint32
	known bool
}

// add takes in b, which follows what the sum covers.
func (s *txnSum) add(b []byte) {
	s.bytes += int64(len(b))
	s.crc = crc32.Update(s.crc, castagnoli, b)
}

// check compares it with the contents of the file; errBadIndex.
func (s txnSum) check(b []byte) error {
	if !s.known || int64(len(b)) >= s.bytes && crc32.Checksum(b[:s.bytes], castagnoli) == s.crc {
		return nil
	}
	return fmt.Errorf("%w: transaction index of %d bytes is not the one of %d bytes that was written", errBadIndex, len(b), s.bytes)
}

// txnSumLine is a line of the file.
type txnSumLine struct {
	base     int64
	logBytes int64 // the line is about a segment of at least that size: a compaction or truncation leaves less
	sum      txnSum
}

func (t txnSumLine) String() string {
	return fmt.Sprintf("%d %d %d %d", t.base, t.logBytes, t.sum.bytes, t.sum.crc)
}

// encodeTxnSums writes the file's contents.
func encodeTxnSums(sums []txnSumLine) []byte {
	lines := make([]string, len(sums), len(sums)+1)
	for i, t := range sums {
		lines[i] = t.String()
	}
	lines = append(lines, txnSumLine{base: -1, sum: txnSum{crc: uint32(checksumOf(lines))}}.String())
	return fmt.Appendf(nil, "0\n%d\n%s\n", len(lines), strings.Join(lines, "\n"))
}

// parseTxnSums reads the file's contents; ErrCorrupt if they do not check.
func parseTxnSums(b []byte) ([]txnSumLine, error) {
	lines, err := checkpointLines(b)
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%w: no checksum", ErrCorrupt)
	}
	var sums []txnSumLine
	for i, line := range lines {
		t := txnSumLine{sum: txnSum{known: true}}
		if _, err := fmt.Sscanf(line, "%d %d %d %d", &t.base, &t.logBytes, &t.sum.bytes, &t.sum.crc); err != nil || t.String() != line {
			return nil, fmt.Errorf("%w: line %q", ErrCorrupt, line)
		}
		if i+1 < len(lines) {
			if t.base < 0 || t.logBytes < 0 || t.sum.bytes < 0 {
				return nil, fmt.Errorf("%w: line %q", ErrCorrupt, line)
			}
			sums = append(sums, t)
		} else if t.base != -1 || t.sum.crc != uint32(checksumOf(lines[:i])) {
			return nil, fmt.Errorf("%w: the checksum does not match", ErrCorrupt)
		}
	}
	return sums, nil
}

// loadTxnSums reads the file if there is one; a damaged one is made anew by the next checkpoint that has a reason to.
// The log is being loaded.
func (l *Log) loadTxnSums(end int64) {
	b, err := vfs.ReadFile(l.m.cfg.FS, filepath.Join(l.path, txnSumsFile), maxCheckpointBytes)
	var sums []txnSumLine
	if err == nil {
		sums, err = parseTxnSums(b)
	}
	if err != nil {
		if !isNotExist(err) {
			l.m.logger.Warn("checksums of transaction indexes cannot be read", "topic", l.tp.Topic, "partition", l.tp.Partition, "err", err)
		}
		return
	}
	var bases []int64
	for _, t := range sums {
		s := l.segments[segmentFor(l.segments, t.base)]
		if s.base == t.base && s.size.Load() >= t.logBytes {
			s.txns.vouch(t.sum)
			bases = append(bases, t.base)
		}
	}
	l.noteTxnIndexes(bases, end) // also if the index itself is missing
}

// vouch takes over what the file says.
func (x *TransactionIndex) vouch(sum txnSum) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sum = sum
}

// writeTxnSums writes the file under a temporary name. appendMu is held.
func (l *Log) writeTxnSums(work *checkpointWork) error {
	var sums []txnSumLine
	for _, s := range l.segments {
		s.txns.mu.Lock()
		sum := s.txns.sum
		s.txns.mu.Unlock()
		if sum.known && sum.bytes > 0 {
			sums = append(sums, txnSumLine{s.base, s.size.Load(), sum})
		}
	}
	path := filepath.Join(l.path, txnSumsFile)
	if err := vfs.WriteFile(l.m.cfg.FS, path+tmpSuffix, encodeTxnSums(sums)); err != nil {
		return err
	}
	work.replace(path, l.path, func() {
		l.appendMu.Lock()
		defer l.appendMu.Unlock()
		l.txnSumsLost = true
	})
	return nil
}
