package adopt

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"kserver/cluster/configs"
	"kserver/cluster/controller"
	"kserver/engine"
	"kserver/engine/vfs"
)

// Levels of metadata.version that can be adopted: from the first that knows log directories (3.7-IV2), which records
// given back need, to that of Kafka 4.3.
const (
	minMetadataVersion = 17
	maxMetadataVersion = controller.MetadataVersion
)

// PlanAdoption says what Adopt would do, and whether it would. It changes nothing.
//
// An error means that the directories could not be looked at; whatever is wrong with them is a Finding.
func PlanAdoption(o Options) (*Plan, error) {
	o.ensureDefaults()
	p := newPlan("adopt", o)
	owner, metaDir, err := ownerOf(o.FS, o.Dirs)
	if err != nil {
		return nil, err
	}
	p.metaDir = metaDir
	from := metadataDir
	switch owner {
	case unused:
		p.find(Refusal, strings.Join(o.Dirs, ", "), "no directory has the metadata of a KRaft cluster (%s): name all of log.dirs, and metadata.log.dir", metadataDir)
	case adopted:
		p.find(Refusal, metaDir, "is adopted already: kserver can start on it")
	case kservers:
		p.find(Refusal, metaDir, "is kserver's own: there is nothing to adopt")
	case interrupted:
		from = keptDir
		p.find(Note, metaDir, "a handover was interrupted: it is undone first")
		p.step("rename %s to %s", filepath.Join(metaDir, keptDir), filepath.Join(metaDir, metadataDir))
	}
	found, err := p.inspectDirs()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.clean("start Kafka on it and stop it, so that it recovers its logs itself"), p.noJournal(), p.probeLocks()); err != nil {
		return nil, err
	}
	if owner != kafkas && owner != interrupted {
		return p, nil
	}
	log, err := readKRaftLog(o.FS, filepath.Join(metaDir, from), p.ClusterID)
	if errors.Is(err, ErrDamaged) {
		p.find(Refusal, filepath.Join(metaDir, from), "%v", err)
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if err := p.checkMetadata(log); err != nil {
		return nil, err
	}
	p.checkPartitions(log.draft.Image(), found)
	if err := p.checkFormats(found); err != nil {
		return nil, err
	}
	if p.Refused() {
		return p, nil
	}
	p.records = p.adoptedRecords(log.draft.Image(), found)
	p.Records = len(p.records)
	p.step("write a metadata log of %d records that lead to the topics, settings, quotas and producer ids above", p.Records)
	p.step("rename %s to %s, where it stays as it is", filepath.Join(metaDir, metadataDir), filepath.Join(metaDir, keptDir))
	p.step("put kserver's metadata log in its place, with a %s that keeps Kafka from starting", quorumStateFile)
	return p, nil
}

func (p *Plan) step(format string, args ...any) {
	p.Steps = append(p.Steps, fmt.Sprintf(format, args...))
}

// probeLocks refuses directories a broker has open. It makes no lock file.
func (p *Plan) probeLocks() error {
	if p.o.locked {
		return nil
	}
	for _, dir := range p.o.Dirs {
		there, err := exists(p.o.FS, filepath.Join(dir, lockFile))
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		held, err := lockDirs(p.o.FS, []string{dir})
		if errors.Is(err, vfs.ErrLocked) {
			p.find(Refusal, dir, "is in use by a broker: stop it first")
			continue
		}
		if err := errors.Join(err, held.release()); err != nil {
			return err
		}
	}
	return nil
}

// checkMetadata finds what of Kafka's metadata cannot be served, or will not be.
func (p *Plan) checkMetadata(log *kraftLog) error {
	image := log.draft.Image()
	level := image.Features()[controller.MetadataVersionFeature]
	p.MetadataVersion = level
	switch {
	case level == 0:
		p.find(Refusal, "metadata", "has no %s: this directory was formatted and never used; kserver starts on an empty one", controller.MetadataVersionFeature)
	case level < minMetadataVersion:
		p.find(Refusal, "metadata", "has %s %d, before 3.7-IV2 (%d): raise it with kafka-features.sh upgrade first", controller.MetadataVersionFeature, level, minMetadataVersion)
	case level > maxMetadataVersion:
		p.find(Refusal, "metadata", "has %s %d; this release knows levels up to %d (Kafka 4.3)", controller.MetadataVersionFeature, level, maxMetadataVersion)
	}
	var others []string
	for _, name := range slices.Sorted(maps.Keys(image.Features())) {
		if name != controller.MetadataVersionFeature {
			others = append(others, fmt.Sprintf("%s=%d", name, image.Features()[name]))
		}
	}
	if len(others) > 0 {
		p.find(Note, "metadata", "features %s stay with Kafka's metadata and are in force again when the directory goes back", strings.Join(others, ", "))
	}
	for _, b := range image.Brokers() {
		if b.ID != p.NodeID {
			p.find(Refusal, "metadata", "broker %d is registered, too: only a cluster of one node can be adopted", b.ID)
		}
	}
	if log.voters > 1 {
		p.find(Refusal, "metadata", "%d controllers vote: only a cluster of one node can be adopted", log.voters)
	}
	p.checkSecurity(log.draft.Skipped())
	for t := range image.Topics() {
		p.checkPlacement(t)
	}
	return p.checkSettings(image)
}

// checkSecurity refuses to open what Kafka kept closed, unless that is wanted.
func (p *Plan) checkSecurity(skipped map[string]int) {
	for _, kind := range []struct{ name, set, taken string }{
		{"ACLs", "ACCESS_CONTROL_ENTRY_RECORD", "REMOVE_ACCESS_CONTROL_ENTRY_RECORD"},
		{"SCRAM credentials", "USER_SCRAM_CREDENTIAL_RECORD", "REMOVE_USER_SCRAM_CREDENTIAL_RECORD"},
		{"delegation tokens", "DELEGATION_TOKEN_RECORD", "REMOVE_DELEGATION_TOKEN_RECORD"},
	} {
		if skipped[kind.set] <= skipped[kind.taken] {
			continue
		}
		if p.o.WithoutSecurity {
			p.find(Warning, "metadata", "%s are not in force under kserver; Kafka has them again when the directory goes back", kind.name)
		} else {
			p.find(Refusal, "metadata", "there are %s, which would not be in force under kserver; --without-security adopts all the same", kind.name)
		}
	}
}

// checkPlacement demands that all replicas of a topic are this node's, in the directories named.
func (p *Plan) checkPlacement(t *controller.Topic) {
	for i, part := range t.Partitions {
		subject := fmt.Sprintf("%s-%d", t.Name, i)
		if len(part.Replicas) != 1 || part.Replicas[0] != p.NodeID {
			p.find(Refusal, subject, "has replicas on brokers %v: only a cluster of one node can be adopted", part.Replicas)
			continue
		}
		if len(part.Directories) == 1 && !reserved(part.Directories[0]) &&
			!slices.ContainsFunc(p.Dirs, func(d Dir) bool { return d.DirectoryID == part.Directories[0].String() }) {
			p.find(Refusal, subject, "lies in the log directory with id %s, which is none of those named", part.Directories[0])
		}
	}
}

// reserved reports whether a directory id is one of those Kafka has set aside: unassigned, lost, migrating.
func reserved(id controller.UUID) bool {
	for _, b := range id[:15] {
		if b != 0 {
			return false
		}
	}
	return id[15] < 100
}

// checkSettings finds settings that have no effect here. They go along, and back.
func (p *Plan) checkSettings(image *controller.MetadataImage) error {
	defaults, err := configs.ParseBroker()
	if err != nil {
		return err
	}
	for t := range image.Topics() {
		if strings.EqualFold(t.Configs["remote.storage.enable"], "true") {
			p.find(Refusal, t.Name, "has segments in tiered storage (remote.storage.enable): bring them back before")
		}
		_, ignored := configs.ResolveStored(defaults, t.Configs)
		for _, err := range ignored {
			p.find(Warning, t.Name, "a setting has no effect: %v", err)
		}
	}
	p.find(Note, "server.properties", "settings of the broker (log.retention.*, log.cleaner.*, ...) are not in the directory: start kserver with Kafka's file, or they change")
	return nil
}

// checkFormats refuses segments whose first batch is of a format before Kafka 0.11.
func (p *Plan) checkFormats(found map[engine.TopicPartition]foundPartition) error {
	for _, tp := range sortedPartitions(found) {
		part := found[tp]
		for _, s := range part.Segments {
			magic, ok, err := firstMagic(p.o.FS, filepath.Join(p.o.Dirs[part.dir], tp.String(), offsetName(s.BaseOffset)+segmentSuffix))
			if err != nil {
				return err
			}
			if ok && magic < 2 {
				p.find(Refusal, tp.String(), "segment %s has records of format v%d, from before Kafka 0.11, which is not served", offsetName(s.BaseOffset), magic)
				break
			}
		}
	}
	return nil
}

// firstMagic reads the format of a segment's first batch; ok is false for an empty one.
func firstMagic(fsys vfs.FS, path string) (magic byte, ok bool, err error) {
	const magicAt = 16
	f, err := fsys.Open(path)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size <= magicAt {
		return 0, false, err
	}
	var b [1]byte
	err = readFull(f, b[:], magicAt)
	return b[0], true, err
}

// adoptedRecords are the records that kserver's metadata begins with: all that the image has, with this node as the
// leader of every partition in a new epoch.
func (p *Plan) adoptedRecords(image *controller.MetadataImage, found map[engine.TopicPartition]foundPartition) []controller.Record {
	names := make(map[controller.UUID]string)
	records := []controller.Record{&controller.FeatureLevelRecord{Name: controller.MetadataVersionFeature, Level: controller.MetadataVersion}}
	for _, r := range controller.Difference(controller.NewDraft(p.ClusterID).Image(), image) {
		switch r := r.(type) {
		case *controller.FeatureLevelRecord:
			continue
		case *controller.TopicRecord:
			names[r.ID] = r.Name
		case *controller.PartitionRecord:
			dir := found[engine.TopicPartition{Topic: names[r.TopicID], Partition: r.Index}].dir
			r.Partition = controller.Partition{
				Leader: p.NodeID, LeaderEpoch: r.LeaderEpoch + 1, PartitionEpoch: r.PartitionEpoch + 1,
				Replicas: r.Replicas, ISR: r.Replicas, Directories: []controller.UUID{p.directoryID(dir)},
			}
		case *controller.ProducerIDsRecord:
			r.BrokerID = p.NodeID
		}
		records = append(records, r)
	}
	return records
}

// directoryID is the id of a directory; it was written by us or by Kafka, and checked.
func (p *Plan) directoryID(dir int) controller.UUID {
	id, err := controller.ParseUUID(p.Dirs[dir].DirectoryID)
	if err != nil {
		panic(fmt.Sprintf("adopt: directory id %q: %v", p.Dirs[dir].DirectoryID, err))
	}
	return id
}

// Adopt makes the plan and, unless it is refused, carries it out. After an error, or a crash, run it again.
func Adopt(o Options) (*Plan, error) { return carryOut(o, PlanAdoption, (*Plan).adopt) }

func (p *Plan) adopt() error {
	fsys, dir := p.o.FS, p.metaDir
	if owner, _, err := ownerOf(fsys, p.o.Dirs); err != nil {
		return err
	} else if owner == interrupted {
		if err := settle(fsys, dir); err != nil {
			return err
		}
	}
	scratch := filepath.Join(dir, metadataDir, scratchDir)
	if err := p.writeMetadataLog(scratch); err != nil {
		return fmt.Errorf("adopt: write the metadata log: %w", err)
	}
	if err := fsys.Rename(filepath.Join(dir, metadataDir), filepath.Join(dir, keptDir)); err != nil {
		return err
	}
	if err := fsys.SyncDir(dir); err != nil {
		return err
	}
	scratch = filepath.Join(dir, keptDir, scratchDir)
	if err := fsys.Rename(filepath.Join(scratch, metadataDir), filepath.Join(dir, metadataDir)); err != nil {
		return err
	}
	return errors.Join(fsys.SyncDir(dir), fsys.RemoveAll(scratch), fsys.SyncDir(filepath.Join(dir, keptDir)))
}

// writeMetadataLog makes kserver's metadata log, with the guard, in a log directory of its own.
func (p *Plan) writeMetadataLog(scratch string) (err error) {
	fsys := p.o.FS
	if err := fsys.RemoveAll(scratch); err != nil {
		return err
	}
	batches, err := controller.EncodeBatches(p.records, 0, controller.QuorumEpoch, p.o.Now().UnixMilli())
	if err != nil {
		return err
	}
	if err := writeLog(fsys, scratch, p.NodeID, p.ClusterID, batches); err != nil {
		return err
	}
	log := filepath.Join(scratch, metadataDir)
	if err := vfs.ReplaceFileDurably(fsys, log, filepath.Join(log, quorumStateFile), []byte(guard)); err != nil {
		return err
	}
	return errors.Join(fsys.SyncDir(scratch), fsys.SyncDir(filepath.Dir(scratch)))
}
