package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kserver/cmd/kserver/internal/cli"
	"kserver/engine"
	"kserver/engine/vfs"
)

const inspectHelp = `Inspect shows what lies in a log directory of kserver or of Apache Kafka (KRaft): its
partitions with their offsets, segments, leader epochs and producer snapshots, what is
wrong with any file, and what the next start would do about it. It writes nothing and
takes no lock; while a broker uses the directory, what it is just writing may look torn.

Without a selection it prints a line for each partition; partitions named as TOPIC or
TOPIC-PARTITION are shown with their segments. With --verify every batch is read, its
checksum compared, and every index entry held against its batch.

The exit code is 0 when nothing is damaged; what a start repairs by itself, such as a torn
tail behind the recovery point or an index, counts as sound. It is 1 when acknowledged
records are damaged or missing or the directory cannot be read.`

type inspectOptions struct {
	verify bool
	output string
}

func newInspectCommand(stdout io.Writer) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:     "inspect DIR [TOPIC[-PARTITION]...]",
		Short:   "Show and verify a log directory, without changing it",
		Long:    inspectHelp,
		Example: "  kserver inspect kserver-data\n  kserver inspect kserver-data orders-3\n  kserver inspect /var/lib/kafka --verify --output json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("inspect: give the log directory; kserver inspect --help shows how")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return inspect(stdout, args[0], args[1:], o) },
	}
	cmd.Flags().BoolVar(&o.verify, "verify", false, "read all batches, compare checksums and indexes")
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "print a table or json")
	return cmd
}

func inspect(w io.Writer, dir string, names []string, o inspectOptions) error {
	if o.output != "table" && o.output != "json" {
		return usageError{fmt.Errorf("--output %s: give table or json", o.output)}
	}
	d, err := engine.InspectDir(vfs.OS, dir, engine.InspectOptions{
		Verify:  o.verify,
		Threads: runtime.GOMAXPROCS(0),
		Wants: func(tp engine.TopicPartition) bool {
			return len(names) == 0 || slices.Contains(names, tp.Topic) || slices.Contains(names, tp.String())
		},
	})
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	if len(names) > 0 && len(d.Partitions) == 0 {
		return fmt.Errorf("inspect: %s holds no partition %s", dir, strings.Join(names, ", "))
	}
	slices.SortFunc(d.Partitions, func(a, b engine.PartitionInspection) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	if o.output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		err = e.Encode(d)
	} else {
		err = printInspection(w, d, len(names) > 0)
	}
	if err == nil && d.Damaged() {
		err = exitError(exitFailed)
	}
	return err
}

// printInspection prints the directory, then its partitions: one a line, or each with its segments.
func printInspection(w io.Writer, d *engine.DirInspection, details bool) error {
	state := "after a clean stop"
	if !d.Clean {
		state = "in use, or left by an unclean stop: the next start recovers it"
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "directory\t%s\nstate\t%s\nnode\t%d\ncluster\t%s\nid\t%s\n", d.Path, state, d.NodeID, d.ClusterID, d.DirectoryID)
	for _, name := range d.SetAside {
		fmt.Fprintf(out, "set aside\t%s\n", name)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if details {
		for i := range d.Partitions {
			if err := printPartition(w, &d.Partitions[i]); err != nil {
				return err
			}
		}
	} else if err := printPartitions(w, d.Partitions); err != nil {
		return err
	}
	return printProblems(w, d)
}

func printPartitions(w io.Writer, partitions []engine.PartitionInspection) error {
	rows := make([][]string, len(partitions))
	for i := range partitions {
		p := &partitions[i]
		rows[i] = []string{p.Topic, fmt.Sprint(p.Partition), fmt.Sprint(len(p.Segments)), size(p.Size), fmt.Sprint(p.LogStartOffset),
			fmt.Sprint(p.LogEndOffset), fmt.Sprint(p.RecoveryPoint), fmt.Sprint(p.HighWatermark), recovery(p.Recovery), health(p.Problems)}
	}
	fmt.Fprintln(w)
	return cli.Table(w, "TOPIC PARTITION SEGMENTS SIZE START END RECOVERY-POINT HIGH-WATERMARK RECOVERY HEALTH", rows)
}

func printPartition(w io.Writer, p *engine.PartitionInspection) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "\npartition\t%s-%d\ntopic id\t%s\noffsets\t%d to %d\nrecovery point\t%d\nhigh watermark\t%d\nrecovery\t%s\nhealth\t%s\n",
		p.Topic, p.Partition, p.TopicID, p.LogStartOffset, p.LogEndOffset, p.RecoveryPoint, p.HighWatermark, recovery(p.Recovery), health(p.Problems))
	for _, e := range p.Epochs {
		fmt.Fprintf(out, "leader epoch\t%d from offset %d\n", e.Epoch, e.StartOffset)
	}
	for _, s := range p.Snapshots {
		fmt.Fprintf(out, "producer snapshot\tat offset %d: %d producers, %d open transactions\n", s.Offset, s.Producers, s.OpenTransactions)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	rows := make([][]string, len(p.Segments))
	for i, s := range p.Segments {
		rows[i] = []string{fmt.Sprint(s.BaseOffset), size(s.Size), unlessNone(int64(s.Batches), 0), unlessNone(s.Records, 0), unlessNone(s.LastOffset, -1),
			unlessNone(s.MaxTimestamp, -1), fmt.Sprint(s.OffsetIndexEntries), fmt.Sprint(s.TimeIndexEntries), unlessNone(int64(s.AbortedTransactions), 0)}
	}
	fmt.Fprintln(w)
	return cli.Table(w, "SEGMENT SIZE BATCHES-READ RECORDS LAST-OFFSET MAX-TIMESTAMP INDEX TIMEINDEX ABORTED", rows)
}

func printProblems(w io.Writer, d *engine.DirInspection) error {
	var rows [][]string
	add := func(where string, problems []engine.Problem) {
		for _, p := range problems {
			rows = append(rows, []string{string(p.Severity), where, p.File, unlessNone(p.Position, -1), p.Text})
		}
	}
	add("", d.Problems)
	for i := range d.Partitions {
		p := &d.Partitions[i]
		add(fmt.Sprintf("%s-%d", p.Topic, p.Partition), p.Problems)
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return cli.Table(w, "SEVERITY PARTITION FILE POSITION PROBLEM", rows)
}

func size(n int64) string { return humanize.IBytes(uint64(n)) }

// unlessNone leaves a cell empty for the value that stands for none.
func unlessNone(v, none int64) string {
	if v == none {
		return ""
	}
	return fmt.Sprint(v)
}

func recovery(r *engine.RecoveryPlan) string {
	if r == nil {
		return "none"
	}
	text := "check " + size(r.ScanBytes)
	if r.CutBytes > 0 {
		text += ", cut " + size(r.CutBytes)
	}
	if r.DropSegments > 0 {
		text += fmt.Sprintf(", drop %d segments", r.DropSegments)
	}
	return text
}

func health(problems []engine.Problem) string {
	worst := "ok"
	for _, p := range problems {
		if p.Severity == engine.Damage {
			return "damaged"
		}
		worst = "repairable"
	}
	return worst
}
