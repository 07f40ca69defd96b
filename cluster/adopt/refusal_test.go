package adopt

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"kserver/cluster/controller"
	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// replace changes a file's contents.
func replace(t *testing.T, fsys vfs.FS, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := vfs.ReadFile(fsys, path, 64<<20)
	if err == nil {
		err = vfs.WriteFile(fsys, path, change(b))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// appendKafka appends records to Kafka's metadata, as its controller would.
func appendKafka(t *testing.T, fsys vfs.FS, records ...controller.Record) {
	t.Helper()
	l := readLog(t, fsys, metadataDir)
	b, err := controller.EncodeBatches(records, l.end, l.epoch, 1)
	if err == nil {
		err = vfs.WriteFile(fsys, filepath.Join(goldenDir, metadataDir, offsetName(l.end)+segmentSuffix), b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// appendKafkaBatch appends a batch as it is, at the end of Kafka's metadata.
func appendKafkaBatch(t *testing.T, fsys vfs.FS, cfg recordbatch.BuilderConfig, key, value []byte) {
	t.Helper()
	l := readLog(t, fsys, metadataDir)
	cfg.BaseOffset, cfg.PartitionLeaderEpoch = l.end, l.epoch
	build := recordbatch.NewBuilder(cfg)
	build.Append(1, key, value)
	b, err := build.Build()
	if err == nil {
		err = vfs.WriteFile(fsys, filepath.Join(goldenDir, metadataDir, offsetName(l.end)+segmentSuffix), b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// leaderChange is the control record of a leader that so many voters elected.
func leaderChange(voters int) (key, value []byte) {
	value = []byte{0, 0, 0, 0, 0, 1}
	for range 2 {
		value = append(value, byte(voters+1))
		for i := range voters {
			value = append(binary.BigEndian.AppendUint32(value, uint32(i)), 0)
		}
	}
	return []byte{0, 0, 0, controlLeaderChange}, append(value, 0)
}

// Whatever speaks against an adoption refuses it with a reason, in a dry run and in earnest, and nothing changes.
func TestAdoptionRefuses(t *testing.T) {
	in := func(name ...string) string { return filepath.Join(append([]string{goldenDir}, name...)...) }
	id := controller.UUID{1, 2, 3}
	for name, test := range map[string]struct {
		break_ func(t *testing.T, fsys *vfs.Mem)
		want   string
	}{
		"unclean stop": {func(t *testing.T, fsys *vfs.Mem) { must(t, fsys.Remove(in(cleanShutdownFile))) }, "was not stopped cleanly"},
		"no directory": {func(t *testing.T, fsys *vfs.Mem) { must(t, fsys.RemoveAll(in(metadataDir))) }, "no directory has the metadata"},
		"ZooKeeper era": {func(t *testing.T, fsys *vfs.Mem) {
			replace(t, fsys, in("meta.properties"), func([]byte) []byte { return []byte("version=0\nbroker.id=1\ncluster.id=x\n") })
		}, "only version 1 (KRaft)"},
		"torn metadata": {func(t *testing.T, fsys *vfs.Mem) {
			replace(t, fsys, in(metadataDir, lastSegment(t, fsys)), func(b []byte) []byte { return b[:len(b)-7] })
		}, "metadata is damaged"},
		"flipped bit": {func(t *testing.T, fsys *vfs.Mem) {
			replace(t, fsys, in(metadataDir, lastSegment(t, fsys)), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
		}, "metadata is damaged"},
		"move under way": {func(t *testing.T, fsys *vfs.Mem) {
			must(t, fsys.MkdirAll(in("txns-0.0123456789abcdef0123456789abcdef-future")))
		}, "move between log directories"},
		"strange name":      {func(t *testing.T, fsys *vfs.Mem) { must(t, fsys.MkdirAll(in("some-backup"))) }, "no partition's directory"},
		"unknown partition": {func(t *testing.T, fsys *vfs.Mem) { must(t, fsys.MkdirAll(in("lost-0"))) }, "of no topic of the metadata"},
		"missing partition": {func(t *testing.T, fsys *vfs.Mem) { must(t, fsys.RemoveAll(in("txns-0"))) }, "in none of the directories"},
		"other topic id": {func(t *testing.T, fsys *vfs.Mem) {
			must(t, vfs.WriteFile(fsys, in("txns-0", "partition.metadata"), []byte("version: 0\ntopic_id: "+id.String()+"\n")))
		}, "is of topic id"},
		"second broker": {func(t *testing.T, fsys *vfs.Mem) {
			appendKafka(t, fsys, &controller.RegisterBrokerRecord{Broker: controller.Broker{ID: 2, Incarnation: id}})
		}, "broker 2 is registered"},
		"replicas elsewhere": {func(t *testing.T, fsys *vfs.Mem) {
			appendKafka(t, fsys, &controller.TopicRecord{Name: "r", ID: id}, &controller.PartitionRecord{TopicID: id, Partition: controller.Partition{Leader: 1, Replicas: []int32{1, 2}, ISR: []int32{1}}})
			must(t, fsys.MkdirAll(in("r-0")))
		}, "replicas on brokers [1 2]"},
		"other log directory": {func(t *testing.T, fsys *vfs.Mem) {
			appendKafka(t, fsys, &controller.TopicRecord{Name: "r", ID: id}, &controller.PartitionRecord{TopicID: id, Partition: controller.Partition{
				Leader: 1, Replicas: []int32{1}, ISR: []int32{1}, Directories: []controller.UUID{id},
			}})
		}, "none of those named"},
		"several voters": {func(t *testing.T, fsys *vfs.Mem) {
			key, value := leaderChange(3)
			appendKafkaBatch(t, fsys, recordbatch.BuilderConfig{Control: true}, key, value)
		}, "3 controllers vote"},
		"newer metadata.version": {func(t *testing.T, fsys *vfs.Mem) {
			appendKafka(t, fsys, &controller.FeatureLevelRecord{Name: controller.MetadataVersionFeature, Level: 31})
		}, "has metadata.version 31"},
		"older metadata.version": {func(t *testing.T, fsys *vfs.Mem) {
			appendKafka(t, fsys, &controller.FeatureLevelRecord{Name: controller.MetadataVersionFeature, Level: 16})
		}, "kafka-features.sh upgrade"},
		"ACLs": {func(t *testing.T, fsys *vfs.Mem) {
			appendKafkaBatch(t, fsys, recordbatch.BuilderConfig{}, nil, []byte{1, 18, 0})
		}, "--without-security"},
		"tiered storage": {func(t *testing.T, fsys *vfs.Mem) {
			yes := "true"
			appendKafka(t, fsys, &controller.ConfigRecord{Resource: controller.ConfigResource{Type: controller.ResourceTopic, Name: "txns"}, Name: "remote.storage.enable", Value: &yes})
		}, "tiered storage"},
		"old record format": {func(t *testing.T, fsys *vfs.Mem) {
			replace(t, fsys, in("deleted-0", firstSegment(t, fsys, "deleted-0")), func(b []byte) []byte { b[16] = 1; return b })
		}, "format v1"},
		"adopted already": {func(t *testing.T, fsys *vfs.Mem) { carry(t, Adopt, fsys) }, "is adopted already"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := goldenFS(t)
			test.break_(t, fsys)
			before := contents(t, fsys, goldenDir)
			refused(t, PlanAdoption, fsys, test.want)
			refused(t, Adopt, fsys, test.want)
			if after := contents(t, fsys, goldenDir); len(without(after)) != len(without(before)) {
				t.Error("a refused adoption changed files")
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, what func(Options) (*Plan, error), fsys vfs.FS, want string) {
	t.Helper()
	p, err := what(goldenOptions(fsys))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Findings {
		if f.Severity == Refusal && strings.Contains(f.Subject+" "+f.Text, want) && !p.Done {
			return
		}
	}
	t.Errorf("no refusal says %q: %+v", want, p.Findings)
}

func lastSegment(t *testing.T, fsys vfs.FS) (name string) {
	t.Helper()
	entries, err := fsys.List(filepath.Join(goldenDir, metadataDir))
	must(t, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name, segmentSuffix) {
			name = e.Name
		}
	}
	return name
}

func firstSegment(t *testing.T, fsys vfs.FS, partition string) string {
	t.Helper()
	entries, err := fsys.List(filepath.Join(goldenDir, partition))
	must(t, err)
	for _, e := range entries {
		if info, err := fsys.Stat(filepath.Join(goldenDir, partition, e.Name)); err == nil && info.Size > 0 && strings.HasSuffix(e.Name, segmentSuffix) {
			return e.Name
		}
	}
	t.Fatal("no segment")
	return ""
}

// A directory in use is refused by name, in a dry run as a finding.
func TestAdoptionRefusesDirectoriesInUse(t *testing.T) {
	fsys := goldenFS(t)
	held, err := fsys.Lock(filepath.Join(goldenDir, lockFile))
	must(t, err)
	refused(t, PlanAdoption, fsys, "is in use by a broker")
	if _, err := Adopt(goldenOptions(fsys)); !errors.Is(err, vfs.ErrLocked) {
		t.Error(err)
	}
	must(t, held.Close())
	carry(t, Adopt, fsys)
}

// ACLs are given up only when that is asked for, and then warned of.
func TestAdoptionWithoutSecurity(t *testing.T) {
	fsys := goldenFS(t)
	appendKafkaBatch(t, fsys, recordbatch.BuilderConfig{}, nil, []byte{1, 18, 0})
	o := goldenOptions(fsys)
	o.WithoutSecurity = true
	p, err := PlanAdoption(o)
	if err != nil || p.Refused() || p.Findings[len(p.Findings)-1].Severity == Refusal {
		t.Fatalf("%v: %+v", err, p)
	}
}

// Giving back waits for a clean stop, and for the journal to be empty.
func TestGivingBackRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		break_ func(t *testing.T, fsys *vfs.Mem)
		want   string
	}{
		"unclean stop": {func(t *testing.T, fsys *vfs.Mem) { must(t, fsys.Remove(filepath.Join(goldenDir, cleanShutdownFile))) }, "was not stopped cleanly"},
		"journal left": {func(t *testing.T, fsys *vfs.Mem) {
			must(t, fsys.MkdirAll(filepath.Join(goldenDir, journalDir)))
		}, "holds records the segments lack"},
		"Kafka's log damaged": {func(t *testing.T, fsys *vfs.Mem) {
			l, err := fsys.List(filepath.Join(goldenDir, keptDir))
			must(t, err)
			for _, e := range l {
				if strings.HasSuffix(e.Name, segmentSuffix) {
					replace(t, fsys, filepath.Join(goldenDir, keptDir, e.Name), func(b []byte) []byte { return append(b, 0) })
				}
			}
		}, "metadata is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := goldenFS(t)
			carry(t, Adopt, fsys)
			test.break_(t, fsys)
			refused(t, PlanReturn, fsys, test.want)
			refused(t, GiveBack, fsys, test.want)
		})
	}
	refused(t, GiveBack, goldenFS(t), "is Kafka's already")
}
