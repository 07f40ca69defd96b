package adopt

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"kserver/cluster/controller"
	"kserver/engine"
	"kserver/engine/vfs"
)

// Options say which directories, and how.
type Options struct {
	// FS holds the directories; default vfs.OS.
	FS vfs.FS
	// Dirs are all log directories of the node (log.dirs, and metadata.log.dir if that is another one).
	Dirs []string
	// WithoutSecurity adopts metadata with ACLs, SCRAM credentials or delegation tokens, which kserver does not enforce.
	WithoutSecurity bool
	// Verify reads every batch of every partition and compares its checksum, and every index entry.
	Verify bool
	// Threads reading partitions at the same time; 0 is 1.
	Threads int
	// Now gives the timestamps of records; default time.Now.
	Now func() time.Time

	locked bool // the caller holds the directories' locks
}

func (o *Options) ensureDefaults() {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Severity says what a Finding means for the plan.
type Severity string

const (
	// Refusal: the plan is not carried out.
	Refusal Severity = "refusal"
	// Warning: something will be different from what one may expect.
	Warning Severity = "warning"
	// Note: something worth knowing.
	Note Severity = "note"
)

// Finding is something the directories have that the plan has to say something about.
type Finding struct {
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // a path, a topic, a partition, or the metadata
	Text     string   `json:"text"`
}

// Dir is one log directory.
type Dir struct {
	Path        string `json:"path"`
	DirectoryID string `json:"directory_id"`
	Partitions  int    `json:"partitions"`
	Bytes       int64  `json:"bytes"` // of segments
}

// Topic is a topic of the metadata.
type Topic struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	Partitions int    `json:"partitions"`
	Bytes      int64  `json:"bytes"`
	// Change is what giving back tells Kafka: "created", "deleted", "more partitions", or "".
	Change string `json:"change,omitempty"`
}

// Plan is what was found and what is done about it, in order.
type Plan struct {
	Action          string    `json:"action"` // "adopt" or "give back"
	NodeID          int32     `json:"node_id"`
	ClusterID       string    `json:"cluster_id"`
	MetadataVersion int16     `json:"metadata_version"`
	Dirs            []Dir     `json:"dirs"`
	Topics          []Topic   `json:"topics"`
	Findings        []Finding `json:"findings"`
	// Records are written to the metadata of the side that takes over.
	Records int      `json:"records"`
	Steps   []string `json:"steps"`
	Done    bool     `json:"done"`

	o       Options
	metaDir string // which of the directories has the metadata
	records []controller.Record
	// brokerEpoch is that of this node's registration in Kafka's metadata, -1 if there is none.
	brokerEpoch int64
}

// Refused reports whether a finding forbids the plan.
func (p *Plan) Refused() bool {
	for _, f := range p.Findings {
		if f.Severity == Refusal {
			return true
		}
	}
	return false
}

func (p *Plan) find(s Severity, subject, format string, args ...any) {
	p.Findings = append(p.Findings, Finding{s, subject, fmt.Sprintf(format, args...)})
}

// newPlan begins a plan.
func newPlan(action string, o Options) *Plan {
	return &Plan{
		Action: action, NodeID: -1, Dirs: []Dir{}, Topics: []Topic{}, Findings: []Finding{}, Steps: []string{}, o: o, brokerEpoch: -1,
	}
}

// inspectDirs looks at all directories, and at every partition in them, without changing anything. The partitions come
// back by name, with the number of their directory.
func (p *Plan) inspectDirs() (map[engine.TopicPartition]foundPartition, error) {
	found := make(map[engine.TopicPartition]foundPartition)
	for i, path := range p.o.Dirs {
		d, err := engine.InspectDir(p.o.FS, path, engine.InspectOptions{
			Verify: p.o.Verify, Threads: p.o.Threads,
			Wants: func(tp engine.TopicPartition) bool { return tp.String() != metadataDir },
		})
		if err != nil {
			return nil, err
		}
		p.dir(i, d)
		for j := range d.Partitions {
			part := &d.Partitions[j]
			tp := engine.TopicPartition{Topic: part.Topic, Partition: part.Partition}
			if other, twice := found[tp]; twice {
				p.find(Refusal, tp.String(), "is in both %s and %s", p.o.Dirs[other.dir], path)
			}
			found[tp] = foundPartition{i, part}
		}
	}
	return found, nil
}

// foundPartition is a partition on disk.
type foundPartition struct {
	dir int // of Options.Dirs
	*engine.PartitionInspection
}

// dir takes what one directory says of itself into the plan.
func (p *Plan) dir(i int, d *engine.DirInspection) {
	out := Dir{Path: d.Path, DirectoryID: d.DirectoryID, Partitions: len(d.Partitions)}
	for j := range d.Partitions {
		out.Bytes += d.Partitions[j].Size
	}
	p.Dirs = append(p.Dirs, out)
	for _, problem := range d.Problems {
		s := Warning
		if problem.Severity == engine.Damage {
			s = Refusal
		}
		p.find(s, filepath.Join(d.Path, problem.File), "%s", problem.Text)
	}
	switch {
	case d.NodeID < 0:
		p.find(Refusal, d.Path, "is no log directory of a KRaft node: it has no meta.properties of version 1 (one of version 0 is of a broker with ZooKeeper: migrate it to KRaft with Kafka 3.9 first)")
	case i == 0:
		p.NodeID, p.ClusterID = d.NodeID, d.ClusterID
	case d.NodeID != p.NodeID || d.ClusterID != p.ClusterID:
		p.find(Refusal, d.Path, "belongs to node %d of cluster %s, %s to node %d of cluster %s", d.NodeID, d.ClusterID, p.o.Dirs[0], p.NodeID, p.ClusterID)
	}
	for _, name := range d.SetAside {
		path := filepath.Join(d.Path, name)
		switch {
		case name == keptDir, name == journalDir, name == goneJournalDir:
		case strings.HasSuffix(name, "-delete"):
			p.find(Note, path, "is of a deleted partition; the next start removes it, of either broker")
		case strings.HasSuffix(name, "-stray"):
			p.find(Note, path, "was set aside as stray; it stays as it is")
		case strings.HasSuffix(name, "-future"):
			p.find(Refusal, path, "is a move between log directories that is not done: let its broker end it, or cancel it")
		default:
			p.find(Refusal, path, "is no partition's directory, and Kafka would not start with it: move it away")
		}
	}
}

// clean demands that the last stop was a clean one.
func (p *Plan) clean(how string) error {
	for _, path := range p.o.Dirs {
		ok, err := exists(p.o.FS, filepath.Join(path, cleanShutdownFile))
		if err != nil {
			return err
		}
		if !ok {
			p.find(Refusal, path, "is in use or was not stopped cleanly (%s is missing): %s", cleanShutdownFile, how)
		}
	}
	return nil
}

// checkPartitions compares the partitions on disk with those of the metadata, and sums topics up.
func (p *Plan) checkPartitions(image *controller.MetadataImage, found map[engine.TopicPartition]foundPartition) {
	known := 0
	for t := range image.Topics() {
		out := Topic{Name: t.Name, ID: t.ID.String(), Partitions: len(t.Partitions)}
		for i := range t.Partitions {
			tp := engine.TopicPartition{Topic: t.Name, Partition: int32(i)}
			part, ok := found[tp]
			if !ok {
				p.find(Refusal, tp.String(), "is in the metadata and in none of the directories: name all of log.dirs")
				continue
			}
			known++
			out.Bytes += part.Size
			p.checkPartition(tp, t, part)
		}
		p.Topics = append(p.Topics, out)
	}
	if known == len(found) {
		return
	}
	for _, tp := range sortedPartitions(found) {
		if t, ok := image.Topic(tp.Topic); !ok || int(tp.Partition) >= len(t.Partitions) {
			p.find(Refusal, filepath.Join(p.o.Dirs[found[tp].dir], tp.String()), "is of no topic of the metadata: move it away if it is not needed")
		}
	}
}

func (p *Plan) checkPartition(tp engine.TopicPartition, t *controller.Topic, part foundPartition) {
	if part.TopicID != "" && part.TopicID != t.ID.String() {
		p.find(Refusal, tp.String(), "is of topic id %s on disk, and %s in the metadata", part.TopicID, t.ID)
	}
	for _, problem := range part.Problems {
		if problem.Severity == engine.Damage {
			p.find(Refusal, tp.String(), "%s: %s", problem.File, problem.Text)
		} else {
			p.find(Note, tp.String(), "%s: %s", problem.File, problem.Text)
		}
	}
	if n := len(part.Snapshots); n > 0 && part.Snapshots[n-1].OpenTransactions > 0 {
		p.find(Warning, tp.String(), "has %d open transactions: read_committed consumers stop before them until they are ended", part.Snapshots[n-1].OpenTransactions)
	}
}

// carryOut makes a plan with the directories locked and, unless it is refused, carries it out.
func carryOut(o Options, plan func(Options) (*Plan, error), carry func(*Plan) error) (p *Plan, err error) {
	o.ensureDefaults()
	held, err := lockDirs(o.FS, o.Dirs)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, held.release()) }()
	o.locked = true
	if p, err = plan(o); err != nil || p.Refused() {
		return p, err
	}
	if err = carry(p); err == nil {
		p.Done = true
	}
	return p, err
}
