package adopt

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"kserver/cluster/controller"
	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// PlanReturn says what GiveBack would do, and whether it would. It changes nothing.
//
// An error means that the directories could not be looked at; whatever is wrong with them is a Finding.
func PlanReturn(o Options) (*Plan, error) {
	o.ensureDefaults()
	p := newPlan("give back", o)
	owner, metaDir, err := ownerOf(o.FS, o.Dirs)
	if err != nil {
		return nil, err
	}
	p.metaDir = metaDir
	switch owner {
	case unused:
		p.find(Refusal, strings.Join(o.Dirs, ", "), "no directory has the metadata of a cluster (%s): name all of log.dirs", metadataDir)
	case kafkas:
		p.find(Refusal, metaDir, "is Kafka's already: Kafka can start on it")
	case interrupted:
		p.find(Note, metaDir, "a handover was interrupted: the metadata has all that was to be given back")
		p.step("rename %s to %s", filepath.Join(metaDir, keptDir), filepath.Join(metaDir, metadataDir))
	}
	found, err := p.inspectDirs()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.clean("start kserver on it and stop it"), p.noJournal(), p.probeLocks()); err != nil {
		return nil, err
	}
	if owner == kservers {
		p.find(Note, metaDir, "never was Kafka's, and nothing has to change: kserver's metadata is a KRaft log that Kafka 4.3 reads as it is, with node.id=%d and this node alone in controller.quorum.voters", p.NodeID)
	}
	if owner != adopted {
		return p, nil
	}
	ours, err := p.read(metadataDir)
	if err != nil {
		return nil, err
	}
	theirs, err := p.read(keptDir)
	if err != nil || p.Refused() {
		return p, err
	}
	p.MetadataVersion = theirs.draft.Image().Features()[controller.MetadataVersionFeature]
	p.checkPartitions(ours.draft.Image(), found)
	if p.Refused() {
		return p, nil
	}
	if err := p.returnedRecords(theirs, ours); err != nil {
		return nil, err
	}
	p.Records = len(p.records)
	p.changes(theirs.draft.Image(), ours.draft.Image())
	if p.Records > 0 {
		p.step("append %d records to Kafka's metadata, as segment %s of %s", p.Records, offsetName(theirs.end), filepath.Join(metaDir, keptDir))
	}
	p.step("write broker epoch %d, of Kafka's registration, into %s", p.brokerEpoch, cleanShutdownFile)
	p.step("take kserver's metadata log away and rename %s to %s", filepath.Join(metaDir, keptDir), filepath.Join(metaDir, metadataDir))
	return p, nil
}

// read reads a metadata log; damage is a finding.
func (p *Plan) read(name string) (*kraftLog, error) {
	path := filepath.Join(p.metaDir, name)
	log, err := readKRaftLog(p.o.FS, path, p.ClusterID)
	if errors.Is(err, ErrDamaged) {
		p.find(Refusal, path, "%v", err)
		return nil, nil
	}
	return log, err
}

// noJournal demands that no commit journal is left: what it holds is not in the segments.
func (p *Plan) noJournal() error {
	for _, dir := range p.o.Dirs {
		left, err := exists(p.o.FS, filepath.Join(dir, journalDir))
		if err != nil {
			return err
		}
		if left {
			p.find(Refusal, filepath.Join(dir, journalDir), "is left of an unclean stop, and holds records the segments lack: start kserver on it and stop it")
		}
	}
	return nil
}

// returnedRecords makes the records that lead Kafka's metadata to what kserver's has become, with every partition
// without a leader and in a new epoch, as Kafka leaves them when it stops.
func (p *Plan) returnedRecords(theirs, ours *kraftLog) error {
	empty := controller.NewDraft(p.ClusterID).Image()
	records := controller.Difference(empty, ours.draft.Image())
	for _, r := range records {
		if part, ok := r.(*controller.PartitionRecord); ok {
			part.Leader = controller.NoLeader
			part.LeaderEpoch++
			part.PartitionEpoch++
		}
	}
	left, err := imageOf(p.ClusterID, records)
	if err != nil {
		return err
	}
	if b, ok := theirs.draft.Image().Broker(p.NodeID); ok {
		p.brokerEpoch = b.Epoch
	}
	p.records = nil
	for _, r := range controller.Difference(theirs.draft.Image(), left) {
		switch r := r.(type) {
		case *controller.FeatureLevelRecord:
			continue // Kafka keeps its own
		case *controller.ProducerIDsRecord:
			r.BrokerID, r.BrokerEpoch = p.NodeID, p.brokerEpoch
		}
		p.records = append(p.records, r)
	}
	return nil
}

// imageOf is what records lead to.
func imageOf(clusterID string, records []controller.Record) (*controller.MetadataImage, error) {
	data, err := controller.EncodeBatches(records, 0, 0, 0)
	if err != nil {
		return nil, err
	}
	draft := controller.NewDraft(clusterID)
	for len(data) > 0 {
		b, rest, err := recordbatch.Next(data)
		if err != nil {
			return nil, err
		}
		if err := draft.Apply(b); err != nil {
			return nil, err
		}
		data = rest
	}
	return draft.Image(), nil
}

// changes marks the topics that Kafka does not know as they are now.
func (p *Plan) changes(theirs, ours *controller.MetadataImage) {
	for i := range p.Topics {
		now, _ := ours.Topic(p.Topics[i].Name)
		before, known := theirs.TopicByID(now.ID)
		switch {
		case !known:
			p.Topics[i].Change = "created"
		case len(before.Partitions) < len(now.Partitions):
			p.Topics[i].Change = "more partitions"
		}
	}
	for t := range theirs.Topics() {
		if _, ok := ours.TopicByID(t.ID); !ok {
			p.Topics = append(p.Topics, Topic{Name: t.Name, ID: t.ID.String(), Partitions: len(t.Partitions), Change: "deleted"})
		}
	}
}

// GiveBack makes the plan and, unless it is refused, carries it out. After an error, or a crash, run it again.
func GiveBack(o Options) (*Plan, error) { return carryOut(o, PlanReturn, (*Plan).giveBack) }

func (p *Plan) giveBack() error {
	fsys, dir := p.o.FS, p.metaDir
	owner, _, err := ownerOf(fsys, p.o.Dirs)
	if err != nil {
		return err
	}
	switch owner {
	case kservers:
		return nil
	case adopted:
		if err := p.appendToKafkas(); err != nil {
			return fmt.Errorf("adopt: write Kafka's metadata: %w", err)
		}
		if err := p.markClean(); err != nil {
			return err
		}
		scratch := filepath.Join(dir, keptDir, scratchDir)
		if err := fsys.RemoveAll(scratch); err != nil {
			return err
		}
		if err := fsys.Rename(filepath.Join(dir, metadataDir), scratch); err != nil {
			return err
		}
		if err := errors.Join(fsys.SyncDir(dir), fsys.SyncDir(filepath.Join(dir, keptDir))); err != nil {
			return err
		}
	}
	if err := settle(fsys, dir); err != nil {
		return err
	}
	place := filepath.Join(dir, metadataDir)
	return errors.Join(fsys.RemoveAll(filepath.Join(place, scratchDir)), fsys.SyncDir(place))
}

// appendToKafkas writes the records as a new segment of Kafka's log, in its last epoch: the only voter would have
// written them so.
func (p *Plan) appendToKafkas() error {
	if len(p.records) == 0 {
		return nil
	}
	fsys, dir := p.o.FS, filepath.Join(p.metaDir, keptDir)
	log, err := readKRaftLog(fsys, dir, p.ClusterID)
	if err != nil {
		return err
	}
	batches, err := controller.EncodeBatches(p.records, log.end, log.epoch, p.o.Now().UnixMilli())
	if err != nil {
		return err
	}
	path := filepath.Join(dir, offsetName(log.end)+segmentSuffix)
	info, err := fsys.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && info.Size > 0 {
		return fmt.Errorf("%w: %s is there already", ErrDamaged, path)
	}
	return vfs.ReplaceFileDurably(fsys, dir, path, batches)
}

// markClean tells Kafka that what it acknowledged is all there: with a broker epoch other than that of its last
// registration in the file, its controller counts the stop as an unclean one, and the replicas as not eligible to lead
// (KIP-966). What is left of a journal goes before: Kafka does not start beside a directory of that name.
func (p *Plan) markClean() error {
	for _, dir := range p.o.Dirs {
		if err := p.o.FS.RemoveAll(filepath.Join(dir, goneJournalDir)); err != nil {
			return err
		}
		text := fmt.Sprintf(`{"version":0,"brokerEpoch":%d}`, p.brokerEpoch)
		if err := vfs.ReplaceFileDurably(p.o.FS, dir, filepath.Join(dir, cleanShutdownFile), []byte(text)); err != nil {
			return err
		}
	}
	return nil
}
