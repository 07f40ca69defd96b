package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"reflect"
	"sort"
	"strings"
	"testing"

	"kserver/engine/vfs"
	"kserver/internal/fuzzing"
)

// memFile is a file system with one directory and one file in it.
func memFile(t testing.TB, name string, data []byte) vfs.FS {
	t.Helper()
	fsys := vfs.NewMem()
	if err := errors.Join(fsys.MkdirAll("/d"), vfs.WriteFile(fsys, "/d/"+name, data)); err != nil {
		t.Fatal(err)
	}
	return fsys
}

// fuzzIndex holds an index file against what it promises for any content: a file that passes the check finds for
// every entry what a search through all of them finds, also after a truncation and an append; one that fails it says
// errBadIndex; and looking into a file that was not checked fails no other way.
func fuzzIndex[E comparable](f *testing.F, codec *entryCodec[E], seed []E, key func(E) int64) {
	var file []byte
	for _, e := range seed {
		file = codec.append(file, e)
		f.Add(bytes.Clone(file), int64(1))
	}
	f.Add(file[:len(file)-1], int64(0))
	f.Fuzz(func(t *testing.T, data []byte, at int64) {
		fsys := memFile(t, "x", data)
		before := func(e E) bool { return key(e) <= at }
		var x indexFile[E]
		x.init(codec, oneFile{fsys, "/d/x"})
		var loaded error
		fuzzing.Bounded(t, 8*uint64(len(data)), func() { loaded = x.load(true) })
		if loaded != nil {
			if !errors.Is(loaded, errBadIndex) {
				t.Errorf("load: %v", loaded)
			}
			if x.load(false) == nil {
				if _, _, err := x.find(before, false); err != nil && !errors.Is(err, errBadIndex) {
					t.Errorf("find in a damaged file: %v", err)
				}
			}
			return
		}
		var entries []E
		for b := data; len(b) > 0; b = b[codec.size:] {
			entries = append(entries, codec.get(b))
		}
		check := func(entries []E) {
			t.Helper()
			n := sort.Search(len(entries), func(i int) bool { return !before(entries[i]) })
			e, found, err := x.find(before, false)
			if err != nil || found != (n > 0) || found && e != entries[n-1] || x.count() != len(entries) {
				t.Errorf("find %d among %v: %v, %v, %v", at, entries, e, found, err)
			}
			if last, ok := x.lastEntry(); ok != (len(entries) > 0) || ok && last != entries[len(entries)-1] {
				t.Errorf("last of %v is %v, %v", entries, last, ok)
			}
		}
		check(entries)
		if err := x.truncate(before); err != nil {
			t.Fatal(err)
		}
		left := entries[:sort.Search(len(entries), func(i int) bool { return !before(entries[i]) })]
		check(left)
		for _, e := range entries[len(left):] {
			if err := x.append(e); err != nil {
				t.Fatal(err)
			}
		}
		check(entries)
		if err := x.flush(); err != nil {
			t.Fatal(err)
		}
		if got, err := vfs.ReadFile(fsys, "/d/x", math.MaxInt32); err != nil || !bytes.Equal(got, data) {
			t.Errorf("written again as % x, %v; was % x", got, err, data)
		}
	})
}

func FuzzOffsetIndex(f *testing.F) {
	fuzzIndex(f, &offsetCodec, []offsetEntry{{0, 0}, {3, 100}, {9, 4000}, {math.MaxInt32, math.MaxInt32}}, func(e offsetEntry) int64 { return int64(e.relOffset) })
}

func FuzzTimeIndex(f *testing.F) {
	fuzzIndex(f, &timeCodec, []timeEntry{{-1, 0}, {5, 3}, {1_700_000_000_000, 9}, {math.MaxInt64, math.MaxInt32}}, func(e timeEntry) int64 { return e.timestamp })
}

// FuzzProducerSnapshot: a snapshot is taken as a whole or refused as corrupt, costs memory as its length allows, and
// comes out as the same bytes again.
func FuzzProducerSnapshot(f *testing.F) {
	p := newProducerState()
	for i := range int32(3) {
		b := batchSpec{records: 2, pid: int64(i + 1), epoch: int16(i), seq: 4 * i, txn: i == 2}.build(f)
		b.SetBaseOffset(int64(10 * i))
		p.apply(b)
	}
	f.Add(p.encode())
	f.Add(newProducerState().encode())
	f.Add(p.encode()[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, sealed := range []bool{false, true} {
			if b = bytes.Clone(b); sealed && len(b) >= snapshotHeadBytes {
				binary.BigEndian.PutUint32(b[2:], crc32.Checksum(b[6:], castagnoli)) // else nothing gets past the checksum
			}
			var err error
			q := newProducerState()
			fuzzing.Bounded(t, 32*uint64(len(b)), func() { q = newProducerState(); err = q.decode(b, 7) })
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("error %v", err)
				}
				continue
			}
			again := newProducerState()
			if err := again.decode(q.encode(), 7); err != nil {
				t.Fatalf("encoded again: %v", err)
			}
			if !bytes.Equal(again.encode(), q.encode()) || again.firstOpen() != q.firstOpen() {
				t.Errorf("first %+v, then %+v", q, again)
			}
		}
	})
}

// FuzzLeaderEpochs: a file that is taken is in order, comes out as the same entries, and answers every question about
// epochs and offsets in order.
func FuzzLeaderEpochs(f *testing.F) {
	f.Add([]byte("0\n3\n2 0\n5 10\n7 20\n"), int32(5), int64(12))
	f.Add([]byte("0\n0\n"), int32(-1), int64(0))
	f.Add([]byte("0\n1\n2147483647 9223372036854775807"), int32(math.MaxInt32), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, b []byte, epoch int32, offset int64) {
		var c leaderEpochs
		var err error
		fuzzing.Bounded(t, 128*uint64(len(b)), func() { err = c.parse(b) })
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || c.latest() != -1 {
				t.Errorf("error %v, latest %d", err, c.latest())
			}
			return
		}
		for i, e := range c.entries {
			if e.epoch < 0 || e.start < 0 || i > 0 && (e.epoch <= c.entries[i-1].epoch || e.start <= c.entries[i-1].start) {
				t.Fatalf("entries %v", c.entries)
			}
		}
		found, end := c.endOffset(epoch, math.MaxInt64)
		if found > epoch && found != -1 || (found == -1) != (end == -1) {
			t.Errorf("epoch %d of %v: %d, %d", epoch, c.entries, found, end)
		}
		if at := c.at(offset); at >= 0 && epoch >= 0 {
			if _, end := c.endOffset(at, math.MaxInt64); end <= offset && end != math.MaxInt64 {
				t.Errorf("offset %d of %v is of epoch %d, which ends at %d", offset, c.entries, at, end)
			}
		}
		before := append([]epochEntry(nil), c.entries...)
		c.changed = true
		var again leaderEpochs
		if err := again.parse(c.take()); err != nil || len(before)+len(again.entries) > 0 && !reflect.DeepEqual(again.entries, before) {
			t.Errorf("%v came back as %v, %v", before, again.entries, err)
		}
		c.truncateFromEnd(offset)
		c.truncateFromStart(offset)
		c.changed = true
		if err := again.parse(c.take()); err != nil && offset >= 0 {
			t.Errorf("%v cut at %d: %v", before, offset, err)
		}
	})
}

// FuzzOffsetCheckpoint: a checkpoint is taken as a whole or refused as corrupt, and comes out the same again.
func FuzzOffsetCheckpoint(f *testing.F) {
	f.Add([]byte("0\n3\na 2 0\na 10 1099511627776\nb 1 7\n"))
	f.Add([]byte("0\n0\n"))
	f.Add([]byte("0\n1\n 0 0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := memFile(t, "c", b)
		var offsets map[TopicPartition]int64
		var err error
		fuzzing.Bounded(t, 512*uint64(len(b)), func() { offsets, err = readOffsetCheckpoint(fsys, "/d/c") })
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v", err)
			}
			return
		}
		if err := writeOffsetCheckpoint(fsys, "/d", "again", offsets); err != nil {
			t.Fatal(err)
		}
		again, err := readOffsetCheckpoint(fsys, "/d/again")
		if err != nil || !reflect.DeepEqual(again, offsets) {
			t.Errorf("%v came back as %v, %v", offsets, again, err)
		}
	})
}

// FuzzMetaProperties: the owner of a directory is read whole or not at all, and comes out the same again.
func FuzzMetaProperties(f *testing.F) {
	f.Add([]byte("#\n#Mon\ncluster.id=AAAAAAAAAAAAAAAAAAAAAA\ndirectory.id=AQIDBAUGBwgJCgsMDQ4PEA\nnode.id=1\nversion=1\n"))
	f.Add([]byte("version=1\nnode.id=-1"))
	f.Add([]byte("version=0\nbroker.id=1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := memFile(t, metaPropertiesFile, b)
		p, ok, err := readMetaProperties(fsys, "/d")
		if _, _, err2 := readMetaProperties(fsys, "/d"); fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Errorf("first %v, then %v", err, err2)
		}
		if err != nil || !ok {
			return
		}
		if err := p.write(fsys, "/d"); err != nil {
			t.Fatal(err)
		}
		if again, ok, err := readMetaProperties(fsys, "/d"); err != nil || !ok || again != p {
			t.Errorf("%+v came back as %+v, %v", p, again, err)
		}
	})
}

// FuzzPartitionMetadata: a topic id is read, or the file counts as missing; it is never an error of the log.
func FuzzPartitionMetadata(f *testing.F) {
	f.Add([]byte("version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA"))
	f.Add([]byte("version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA\n"))
	f.Add([]byte("version: 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := memFile(t, partitionMetadataFile, b)
		id, ok, err := readTopicID(fsys, "/d")
		if err != nil && len(b) <= maxPropertiesBytes {
			t.Errorf("error %v", err)
		}
		if !ok {
			return
		}
		if err := writeTopicID(fsys, "/d", id); err != nil {
			t.Fatal(err)
		}
		if again, ok, err := readTopicID(fsys, "/d"); err != nil || !ok || again != id {
			t.Errorf("%x came back as %x, %v, %v", id, again, ok, err)
		}
	})
}

// FuzzFileNames: a name that is taken for one of ours is exactly the one we would have made.
func FuzzFileNames(f *testing.F) {
	for _, name := range []string{"00000000000000000007.log", "99999999999999999999.log", "a-b-12", "__consumer_offsets-49", "t-01", "-1"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if offset, ok := parseOffsetFileName(name, ".log"); ok && offsetFileName(offset)+".log" != name {
			t.Errorf("%q was taken for offset %d", name, offset)
		}
		tp, ok := parsePartitionDir(name)
		if !ok {
			return
		}
		if tp.String() != name || tp.validate() != nil {
			t.Errorf("%q was taken for %v, %v", name, tp, tp.validate())
		}
	})
}

func FuzzTxnIndex(f *testing.F) {
	var b []byte
	for i := range int64(3) {
		b = AbortedTxn{ProducerID: i, FirstOffset: 10 * i, LastOffset: 10*i + 5, LastStableOffset: 10 * i}.append(b)
		f.Add(bytes.Clone(b), int64(0))
	}
	f.Add(b[1:], int64(5))
	f.Fuzz(func(t *testing.T, b []byte, base int64) {
		var txns []AbortedTxn
		var err error
		fuzzing.Bounded(t, 8*uint64(len(b)), func() { txns, err = parseTxnIndex(b, base) })
		if err != nil {
			if !errors.Is(err, errBadIndex) {
				t.Error(err)
			}
			return
		}
		var again []byte
		for _, txn := range txns {
			again = txn.append(again)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%x was read as %v", b, txns)
		}
	})
}

func FuzzTxnSums(f *testing.F) {
	whole := string(encodeTxnSums([]txnSumLine{{base: 0, logBytes: 900, sum: txnSum{bytes: 34, crc: 7}}, {base: 41, logBytes: 0}}))
	f.Add(whole, []byte("index"), false)
	f.Add("0 900 34 7\n41 0 0 0", []byte{}, true)
	f.Add("0 0 -1 0", []byte{}, true)
	f.Fuzz(func(t *testing.T, text string, index []byte, sealed bool) {
		if sealed { // else nothing gets past the checksum
			lines := strings.Split(text, "\n")
			lines = append(lines, txnSumLine{base: -1, sum: txnSum{crc: uint32(checksumOf(lines))}}.String())
			text = fmt.Sprintf("0\n%d\n%s\n", len(lines), strings.Join(lines, "\n"))
		}
		sums, err := parseTxnSums([]byte(text))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		for _, s := range sums {
			if err := s.sum.check(index); err != nil && !errors.Is(err, errBadIndex) {
				t.Error(err)
			}
		}
		if again, err := parseTxnSums(encodeTxnSums(sums)); err != nil || !reflect.DeepEqual(again, sums) {
			t.Errorf("%q was read as %v, and that as %v: %v", text, sums, again, err)
		}
	})
}
