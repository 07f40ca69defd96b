package engine

import (
	"slices"
	"strings"
	"testing"

	"kserver/engine/vfs"
)

// inspectedDir makes a log directory with one log of several segments and stops cleanly or, with crash set, not
// at all. The log ends at offset 40.
func inspectedDir(t *testing.T, crash bool) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	m := openManager(t, Config{FS: mem})
	l := create(t, m, testTP, testLogConfig())
	for i := range 20 {
		appendBatch(t, l, batchSpec{records: 2, value: "inspected", padBytes: 40, pid: 7, seq: int32(2 * i)})
		if i == 10 {
			waitDurable(t, l, l.LogEndOffset())
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	waitDurable(t, l, 40)
	crashed := mem.Crash(1)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if crash {
		return crashed
	}
	return mem
}

func inspect(t *testing.T, fsys vfs.FS, verify bool) *DirInspection {
	t.Helper()
	d, err := InspectDir(fsys, "/data", InspectOptions{Verify: verify})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// problems are the problems of everything in d, as file/severity.
func problems(d *DirInspection) (list []string) {
	for _, p := range d.Problems {
		list = append(list, p.File+" "+string(p.Severity))
	}
	for _, part := range d.Partitions {
		for _, p := range part.Problems {
			list = append(list, p.File+" "+string(p.Severity))
		}
	}
	return list
}

func TestInspectCleanDirectory(t *testing.T) {
	mem := inspectedDir(t, false)
	for _, verify := range []bool{false, true} {
		d := inspect(t, mem, verify)
		if found := problems(d); len(found) > 0 || !d.Clean || d.Damaged() {
			t.Errorf("verify %v: clean %v, problems %q", verify, d.Clean, found)
		}
		p := d.Partitions[0]
		if p.LogStartOffset != 0 || p.LogEndOffset != 40 || p.RecoveryPoint != 40 || p.Recovery != nil || p.TopicID != uuidText(testTID) {
			t.Errorf("verify %v: %+v", verify, p)
		}
		if len(p.Segments) < 3 || len(p.Epochs) != 1 || len(p.Snapshots) == 0 || p.Snapshots[len(p.Snapshots)-1].Producers != 1 {
			t.Errorf("verify %v: segments %v, epochs %v, snapshots %v", verify, p.Segments, p.Epochs, p.Snapshots)
		}
		if !verify {
			continue
		}
		batches, entries := 0, 0
		for _, s := range p.Segments {
			batches += s.Batches
			entries += s.OffsetIndexEntries
		}
		if batches != 20 || entries == 0 {
			t.Errorf("%d batches and %d index entries", batches, entries)
		}
	}
}

func TestInspectWritesNothing(t *testing.T) {
	fault := vfs.NewFault(inspectedDir(t, true))
	before := fault.Ops()
	inspect(t, fault, true)
	if after := fault.Ops(); after != before {
		t.Errorf("%d operations that change something", after-before)
	}
}

// change rewrites a file of the partition.
func change(t *testing.T, mem *vfs.Mem, file string, edit func(b []byte) []byte) {
	t.Helper()
	path := "/data/t-0/" + file
	b, err := vfs.ReadFile(mem, path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := vfs.WriteFile(mem, path, edit(b)); err != nil {
		t.Fatal(err)
	}
}

func flip(at int) func(b []byte) []byte {
	return func(b []byte) []byte {
		b[(at+len(b))%len(b)] ^= 0x40
		return b
	}
}

func cut(n int) func(b []byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }

// lastFile is the newest file of the partition with a suffix.
func lastFile(t *testing.T, mem *vfs.Mem, suffix string) (name string) {
	t.Helper()
	entries, err := mem.List("/data/t-0")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name, suffix) {
			name = e.Name
		}
	}
	return name
}

func TestInspectFindsDamage(t *testing.T) {
	first := offsetFileName(0)
	for name, test := range map[string]struct {
		crash bool
		file  func(mem *vfs.Mem) string
		edit  func(b []byte) []byte
		want  Severity
		quick bool // found without reading every batch
	}{
		"bit in an old batch":         {false, func(*vfs.Mem) string { return first + ".log" }, flip(100), Damage, false},
		"old segment cut":             {false, func(*vfs.Mem) string { return first + ".log" }, cut(5), Damage, false},
		"old batch after a crash":     {true, func(*vfs.Mem) string { return first + ".log" }, flip(100), Damage, false},
		"active segment cut":          {false, func(m *vfs.Mem) string { return lastFile(t, m, ".log") }, cut(5), Damage, true},
		"torn tail after a crash":     {true, func(m *vfs.Mem) string { return lastFile(t, m, ".log") }, cut(5), Repairable, true},
		"bit in the tail after crash": {true, func(m *vfs.Mem) string { return lastFile(t, m, ".log") }, flip(-3), Repairable, true},
		"offset index out of order":   {false, func(*vfs.Mem) string { return first + ".index" }, flip(0), Repairable, true},
		"offset index names no batch": {false, func(*vfs.Mem) string { return first + ".index" }, flip(7), Repairable, false},
		"offset index torn":           {false, func(*vfs.Mem) string { return first + ".index" }, cut(3), Repairable, true},
		"time index wrong":            {false, func(*vfs.Mem) string { return first + ".timeindex" }, flip(7), Repairable, false},
		"transaction index":           {false, func(*vfs.Mem) string { return first + ".txnindex" }, cut(1), Repairable, true},
		"transaction index missing":   {false, func(*vfs.Mem) string { return first + ".txnindex" }, func([]byte) []byte { return nil }, Repairable, true},
		"transaction index sums":      {false, func(*vfs.Mem) string { return txnSumsFile }, flip(8), Repairable, true},
		"snapshot":                    {false, func(m *vfs.Mem) string { return lastFile(t, m, ".snapshot") }, flip(-1), Repairable, true},
		"leader epochs":               {false, func(*vfs.Mem) string { return leaderEpochFile }, cut(2), Repairable, true},
		"partition.metadata":          {false, func(*vfs.Mem) string { return partitionMetadataFile }, cut(5), Repairable, true},
	} {
		t.Run(name, func(t *testing.T) {
			mem := inspectedDir(t, test.crash)
			file := test.file(mem)
			if strings.HasSuffix(file, txnIndexSuffix) {
				b := AbortedTxn{7, 0, 1, 0}.append(nil)
				if err := vfs.WriteFile(mem, "/data/t-0/"+file, b); err != nil {
					t.Fatal(err)
				}
			}
			sums := encodeTxnSums([]txnSumLine{{base: 0, sum: txnSum{bytes: txnEntryBytes}}})
			if strings.HasPrefix(name, "transaction index ") {
				if err := vfs.WriteFile(mem, "/data/t-0/"+txnSumsFile, sums); err != nil {
					t.Fatal(err)
				}
			}
			change(t, mem, file, test.edit)
			want := file + " " + string(test.want)
			if found := problems(inspect(t, mem, true)); !slices.Contains(found, want) {
				t.Errorf("verifying: found %q, want %q", found, want)
			}
			found := problems(inspect(t, mem, false))
			if test.quick != (len(found) > 0) {
				t.Errorf("not verifying: found %q", found)
			}
		})
	}
}

// TestInspectTellsWhatRecoveryDoes compares the plan with a start on the same files.
func TestInspectTellsWhatRecoveryDoes(t *testing.T) {
	mem := inspectedDir(t, true)
	change(t, mem, lastFile(t, mem, ".log"), cut(5))
	p := inspect(t, mem, false).Partitions[0]
	if p.Recovery == nil || p.Recovery.CutBytes == 0 || p.Recovery.ScanBytes == 0 || p.Recovery.ScanBytes >= p.Size {
		t.Fatalf("plan %+v of %d bytes", p.Recovery, p.Size)
	}
	m := openManager(t, Config{FS: mem})
	defer m.Close()
	l := create(t, m, testTP, testLogConfig())
	if l.LogEndOffset() != p.LogEndOffset || p.LogEndOffset != 38 {
		t.Errorf("recovered to %d, the plan said %d", l.LogEndOffset(), p.LogEndOffset)
	}
	if after := inspect(t, mem, true).Partitions[0]; after.Size != p.Size-p.Recovery.CutBytes {
		t.Errorf("%d bytes after the start, %d before, %d were to be cut", after.Size, p.Size, p.Recovery.CutBytes)
	}
}

func TestInspectDirectoryFiles(t *testing.T) {
	mem := inspectedDir(t, false)
	if err := mem.MkdirAll("/data/t-1.00000000000000000000000000000000-delete"); err != nil {
		t.Fatal(err)
	}
	if err := vfs.WriteFile(mem, "/data/"+recoveryPointFile, []byte("0\n9\n")); err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove("/data/" + metaPropertiesFile); err != nil {
		t.Fatal(err)
	}
	d := inspect(t, mem, false)
	if got := strings.Join(problems(d), ", "); got != metaPropertiesFile+" repairable, "+recoveryPointFile+" repairable" {
		t.Errorf("found %s", got)
	}
	if d.Clean || d.Partitions[0].Recovery == nil || d.Partitions[0].Recovery.ScanBytes != d.Partitions[0].Size {
		t.Errorf("without a checkpoint everything is recovered: clean %v, %+v", d.Clean, d.Partitions[0].Recovery)
	}
	if len(d.SetAside) != 1 {
		t.Errorf("set aside: %q", d.SetAside)
	}
	if _, err := InspectDir(mem, "/nowhere", InspectOptions{}); !isNotExist(err) {
		t.Errorf("a directory that is not there: %v", err)
	}
}
