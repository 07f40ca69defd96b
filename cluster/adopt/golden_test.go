package adopt

import (
	"crypto/sha256"
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kserver/cluster/adopt/adopttest"
	"kserver/cluster/controller"
	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// goldenDir is where goldenFS has the directory.
const goldenDir = "/kafka"

// goldenFS is a file system with a log directory that Apache Kafka 4.3.1 filled and stopped cleanly, all of it durable.
func goldenFS(t testing.TB) *vfs.Mem {
	t.Helper()
	fsys := vfs.NewMem()
	err := adopttest.EachFile("testdata/kafka-4.3.1.tar.gz", func(path string, contents []byte) error {
		name, found := strings.CutPrefix(path, "data/")
		if !found {
			return nil
		}
		path = filepath.Join(goldenDir, name)
		return errors.Join(fsys.MkdirAll(filepath.Dir(path)), vfs.WriteFile(fsys, path, contents))
	})
	if err != nil {
		t.Fatal(err)
	}
	return fsys.Crash(1) // everything kept, and durable
}

// contents hashes every file below dir, by its path.
func contents(t testing.TB, fsys vfs.FS, dir string) map[string][32]byte {
	t.Helper()
	out := make(map[string][32]byte)
	entries, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name)
		if e.Dir {
			maps.Copy(out, contents(t, fsys, path))
			continue
		}
		b, err := vfs.ReadFile(fsys, path, 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		out[path] = sha256.Sum256(b)
	}
	return out
}

// without leaves out the paths below any of the names, and the lock.
func without(files map[string][32]byte, names ...string) map[string][32]byte {
	out := maps.Clone(files)
	maps.DeleteFunc(out, func(path string, _ [32]byte) bool {
		return filepath.Base(path) == lockFile ||
			slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(path, goldenDir+"/"+n+"/") })
	})
	return out
}

func goldenOptions(fsys vfs.FS) Options { return Options{FS: fsys, Dirs: []string{goldenDir}} }

// carry runs a direction that must not be refused.
func carry(t *testing.T, what func(Options) (*Plan, error), fsys vfs.FS) *Plan {
	t.Helper()
	p, err := what(goldenOptions(fsys))
	if err != nil || p.Refused() {
		t.Fatalf("%v, %+v", err, p)
	}
	return p
}

func readLog(t *testing.T, fsys vfs.FS, name string) *kraftLog {
	t.Helper()
	l, err := readKRaftLog(fsys, filepath.Join(goldenDir, name), "c")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A dry run of either direction tells the plan and changes nothing.
func TestDryRunsChangeNothing(t *testing.T) {
	fsys := goldenFS(t)
	before := contents(t, fsys, goldenDir)
	p := carry(t, PlanAdoption, fsys)
	if p.Done || len(p.Steps) != 3 || p.NodeID != 1 || p.MetadataVersion != controller.MetadataVersion || len(p.Topics) != 6 || p.Records < 30 {
		t.Errorf("%+v", p)
	}
	if !reflect.DeepEqual(before, contents(t, fsys, goldenDir)) {
		t.Error("a dry run changed a file")
	}
	carry(t, Adopt, fsys)
	before = contents(t, fsys, goldenDir)
	if p := carry(t, PlanReturn, fsys); p.Done || len(p.Steps) != 3 {
		t.Errorf("%+v", p)
	}
	if !reflect.DeepEqual(before, contents(t, fsys, goldenDir)) {
		t.Error("a dry run of giving back changed a file")
	}
}

// An adoption leaves every file of every partition, and Kafka's metadata, as they were, and kserver's metadata says
// what Kafka's said; given back at once, Kafka's metadata differs in epochs alone.
func TestThereAndBack(t *testing.T) {
	fsys := goldenFS(t)
	before := contents(t, fsys, goldenDir)
	theirs := readLog(t, fsys, metadataDir)
	if err := CheckStart(fsys, []string{goldenDir}); !errors.Is(err, ErrKafkas) {
		t.Errorf("a start on Kafka's directory: %v", err)
	}

	if p := carry(t, Adopt, fsys); !p.Done {
		t.Errorf("%+v", p)
	}
	if err := CheckStart(fsys, []string{goldenDir}); err != nil {
		t.Error(err)
	}
	after := contents(t, fsys, goldenDir)
	if !reflect.DeepEqual(without(before, metadataDir), without(after, metadataDir, keptDir)) {
		t.Error("a file besides the metadata was changed")
	}
	for path, sum := range before {
		if rest, ok := strings.CutPrefix(path, goldenDir+"/"+metadataDir); ok && after[goldenDir+"/"+keptDir+rest] != sum {
			t.Errorf("%s was changed", path)
		}
	}
	ours := readLog(t, fsys, metadataDir)
	sameTopics(t, theirs.draft.Image(), ours.draft.Image(), 1)
	for topic := range ours.draft.Image().Topics() {
		for _, p := range topic.Partitions {
			if p.Leader != 1 || len(p.Directories) != 1 {
				t.Fatalf("%s: %+v", topic.Name, p)
			}
		}
	}

	if p := carry(t, GiveBack, fsys); !p.Done {
		t.Errorf("%+v", p)
	}
	last := contents(t, fsys, goldenDir)
	added := goldenDir + "/" + metadataDir + "/" + offsetName(theirs.end) + segmentSuffix
	if _, ok := last[added]; !ok {
		t.Errorf("%s was not written", added)
	}
	delete(last, added)
	if !reflect.DeepEqual(without(before), without(last)) {
		t.Errorf("given back with other files: %v", slices.Sorted(maps.Keys(without(last))))
	}
	again := readLog(t, fsys, metadataDir)
	sameTopics(t, theirs.draft.Image(), again.draft.Image(), 2)
	for topic := range again.draft.Image().Topics() {
		for _, p := range topic.Partitions {
			if p.Leader != controller.NoLeader {
				t.Fatalf("%s: %+v", topic.Name, p)
			}
		}
	}
	if !maps.Equal(theirs.draft.Image().Features(), again.draft.Image().Features()) || again.epoch != theirs.epoch {
		t.Errorf("features %v, epoch %d", again.draft.Image().Features(), again.epoch)
	}
}

// sameTopics compares two images in all but brokers, features, leaders and directories; epochs are raised by so many.
func sameTopics(t *testing.T, a, b *controller.MetadataImage, raised int32) {
	t.Helper()
	if a.TopicCount() != b.TopicCount() || a.NextProducerID != b.NextProducerID || a.TopicCount() == 0 {
		t.Errorf("%d and %d topics, next producer ids %d and %d", a.TopicCount(), b.TopicCount(), a.NextProducerID, b.NextProducerID)
	}
	for x := range a.Topics() {
		y, ok := b.TopicByID(x.ID)
		if !ok || y.Name != x.Name || !maps.Equal(x.Configs, y.Configs) || len(x.Partitions) != len(y.Partitions) {
			t.Errorf("%+v became %+v", x, y)
			continue
		}
		for i, p := range x.Partitions {
			if q := y.Partitions[i]; q.LeaderEpoch != p.LeaderEpoch+raised || q.PartitionEpoch != p.PartitionEpoch+raised || !slices.Equal(q.Replicas, p.Replicas) {
				t.Errorf("%s-%d: %+v became %+v", x.Name, i, p, q)
			}
		}
	}
}

// Whatever operation the power fails at, in either direction: the directory is Kafka's, or kserver's, or neither
// starts on it; the command run again ends what it began, and no file of a partition is touched.
func TestHandoversSurviveCrashes(t *testing.T) {
	for name, direction := range map[string]func(Options) (*Plan, error){"adopt": Adopt, "give back": GiveBack} {
		t.Run(name, func(t *testing.T) {
			start := goldenFS(t)
			if name == "give back" {
				carry(t, Adopt, start)
				start = start.Crash(0)
			}
			before := without(contents(t, start, goldenDir), metadataDir, keptDir)
			theirs := metadataDir
			if name == "give back" {
				theirs = keptDir
			}
			topics := readLog(t, start, theirs).draft.Image()
			crashes := 0
			step := 1
			if testing.Short() && name == "adopt" { // more than a hundred operations
				step = 3
			}
			for at := 0; ; at += step {
				mem := start.Kill()
				fault := vfs.NewFault(mem)
				fault.CrashAfter(at)
				p, err := direction(goldenOptions(fault))
				if !fault.Crashed() {
					if err != nil || !p.Done {
						t.Fatal(err, p)
					}
					break
				}
				crashes++
				seed := uint64(at) // decides what of the unsynced is lost: four kinds in turn
				left := mem.Crash(seed)
				owner, _, err := ownerOf(left, []string{goldenDir})
				if err != nil || owner == unused || owner == kservers {
					t.Fatalf("operation %d, seed %d: owner %d, %v", at, seed, owner, err)
				}
				finish(t, left, name, direction, owner)
				image := readLog(t, left, metadataDir).draft.Image()
				if got := without(contents(t, left, goldenDir), metadataDir, keptDir); !reflect.DeepEqual(got, before) || image.TopicCount() != topics.TopicCount() {
					t.Fatalf("operation %d, seed %d: files or topics were lost", at, seed)
				}
			}
			if crashes < 10 {
				t.Errorf("only %d operations", crashes)
			}
		})
	}
}

// finish runs a direction again after a crash, unless it had ended.
func finish(t *testing.T, fsys *vfs.Mem, name string, direction func(Options) (*Plan, error), owner ownership) {
	t.Helper()
	want := adopted
	if name == "give back" {
		want = kafkas
	}
	if owner != want {
		carry(t, direction, fsys)
	}
	if got, _, err := ownerOf(fsys, []string{goldenDir}); err != nil || got != want {
		t.Fatalf("owner %d, want %d: %v", got, want, err)
	}
}

// A log whose beginning is gone is read from its newest snapshot on, and leads to the same.
func TestReadsFromTheNewestSnapshot(t *testing.T) {
	fsys := goldenFS(t)
	want := readLog(t, fsys, metadataDir)
	newest := strings.TrimSuffix(want.snapshot, snapshotSuffix)[:20]
	dir := filepath.Join(goldenDir, metadataDir)
	entries, err := fsys.List(dir)
	must(t, err)
	var segments []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name, segmentSuffix) {
			segments = append(segments, e.Name)
		}
		if strings.HasSuffix(e.Name, snapshotSuffix) && e.Name != want.snapshot {
			must(t, fsys.Remove(filepath.Join(dir, e.Name)))
		}
	}
	if len(segments) < 3 || newest <= segments[1] {
		t.Fatalf("segments %v, snapshot %s: too little for this test", segments, want.snapshot)
	}
	for i, name := range segments[:len(segments)-1] {
		if segments[i+1] <= newest {
			must(t, fsys.Remove(filepath.Join(dir, name)))
		}
	}
	got := readLog(t, fsys, metadataDir)
	if left := controller.Difference(want.draft.Image(), got.draft.Image()); got.end != want.end || got.epoch != want.epoch || len(left) > 0 {
		t.Errorf("ends at %d in epoch %d, want %d and %d, %d differences", got.end, got.epoch, want.end, want.epoch, len(left))
	}
	must(t, fsys.Remove(filepath.Join(dir, want.snapshot)))
	if _, err := readKRaftLog(fsys, dir, "c"); !errors.Is(err, ErrDamaged) {
		t.Errorf("a log without its beginning: %v", err)
	}
}

// A snapshot that was not finished, or is damaged anywhere, is refused.
func TestRefusesDamagedSnapshots(t *testing.T) {
	fsys := goldenFS(t)
	path := filepath.Join(goldenDir, metadataDir, readLog(t, fsys, metadataDir).snapshot)
	good, err := vfs.ReadFile(fsys, path, 1<<20)
	must(t, err)
	for at := range good {
		bad := slices.Clone(good)
		bad[at] ^= 1 << (at % 8)
		must(t, vfs.WriteFile(fsys, path, bad))
		_, err := readKRaftLog(fsys, filepath.Dir(path), "c")
		// The leader epoch of a batch is under no checksum, and a snapshot's says nothing.
		if inBatch := at - batchStart(good, at); !errors.Is(err, ErrDamaged) && (inBatch < 12 || inBatch >= 16) {
			t.Fatalf("bit %d of byte %d flipped: %v", at%8, at, err)
		}
		must(t, vfs.WriteFile(fsys, path, good[:at]))
		if _, err := readKRaftLog(fsys, filepath.Dir(path), "c"); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d of %d bytes: %v", at, len(good), err)
		}
	}
}

// batchStart is where the batch begins that has a byte.
func batchStart(data []byte, at int) int {
	for pos := 0; ; {
		n, err := recordbatch.PeekSize(data[pos:])
		if err != nil || pos+n > at {
			return pos
		}
		pos += n
	}
}

// Of several log directories all are to be named; kserver's metadata says which of them has a partition.
func TestAdoptsSeveralDirectories(t *testing.T) {
	fsys := goldenFS(t)
	const second = "/second"
	id := controller.UUID{15: 200}
	must(t, fsys.MkdirAll(second))
	must(t, fsys.Rename(goldenDir+"/txns-0", second+"/txns-0"))
	must(t, vfs.WriteFile(fsys, filepath.Join(second, cleanShutdownFile), nil))
	must(t, vfs.WriteFile(fsys, filepath.Join(second, "meta.properties"), []byte("version=1\nnode.id=1\ncluster.id=Nk8nQm1YTEqXv0PZ0c6J3g\ndirectory.id="+id.String()+"\n")))
	refused(t, PlanAdoption, fsys, "name all of log.dirs")

	o := Options{FS: fsys, Dirs: []string{second, goldenDir}}
	p, err := Adopt(o)
	if err != nil || !p.Done || len(p.Dirs) != 2 {
		t.Fatalf("%v: %+v", err, p)
	}
	for topic := range readLog(t, fsys, metadataDir).draft.Image().Topics() {
		for _, part := range topic.Partitions {
			if (part.Directories[0] == id) != (topic.Name == "txns") {
				t.Errorf("%s is in %s", topic.Name, part.Directories[0])
			}
		}
	}
	if p, err = GiveBack(o); err != nil || !p.Done {
		t.Fatalf("%v: %+v", err, p)
	}
	for _, dir := range o.Dirs {
		if b, err := vfs.ReadFile(fsys, filepath.Join(dir, cleanShutdownFile), 1000); err != nil || strings.Contains(string(b), ":-1}") {
			t.Errorf("%s: %s, %v", dir, b, err)
		}
	}
}
