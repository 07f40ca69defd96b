package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kserver/cluster/adopt"
	"kserver/cmd/kserver/internal/cli"
)

const adoptHelp = `Adopt takes over the log directories of a stopped Apache Kafka node (KRaft, 4.x, a cluster
of this one node) where they are: topics with their ids, settings and quotas, records,
offsets, leader epochs, producer states and the offsets of groups. No partition is copied or
changed; only the cluster's metadata is written anew, beside Kafka's, which is kept.

With --back it returns the directories to Kafka after a clean stop of kserver: Kafka's
metadata is told what was created, changed and deleted meanwhile, and put back in its place.

Both only show what they would do, and what speaks against it, until --yes is given. Give
all directories of log.dirs, and metadata.log.dir if it is another one; kserver then starts
with the same log.dirs and node.id.

The exit code is 0 when nothing speaks against the plan (and it was carried out, with
--yes), 1 when it is refused or failed, 2 for a mistake in the command line.`

type adoptOptions struct {
	back, yes, verify, withoutSecurity bool
	output                             string
}

func newAdoptCommand(stdout io.Writer) *cobra.Command {
	var o adoptOptions
	cmd := &cobra.Command{
		Use:     "adopt DIR...",
		Short:   "Take over the log directories of Apache Kafka, or give them back",
		Long:    adoptHelp,
		Example: "  kserver adopt /var/lib/kafka\n  kserver adopt /var/lib/kafka --yes\n  kserver adopt /var/lib/kafka --back --yes",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("adopt: give the log directories; kserver adopt --help shows how")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return runAdopt(stdout, args, o) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.yes, "yes", false, "carry the plan out")
	flags.BoolVar(&o.back, "back", false, "give the directories back to Kafka")
	flags.BoolVar(&o.verify, "verify", false, "read all batches before, compare checksums and indexes")
	flags.BoolVar(&o.withoutSecurity, "without-security", false, "adopt although ACLs, SCRAM credentials or delegation tokens will not be in force")
	flags.StringVarP(&o.output, "output", "o", "table", "print a table or json")
	return cmd
}

func runAdopt(w io.Writer, dirs []string, o adoptOptions) error {
	if o.output != "table" && o.output != "json" {
		return usageError{fmt.Errorf("--output %s: give table or json", o.output)}
	}
	options := adopt.Options{Dirs: dirs, Verify: o.verify, WithoutSecurity: o.withoutSecurity, Threads: runtime.GOMAXPROCS(0)}
	var p *adopt.Plan
	var err error
	switch {
	case o.back && o.yes:
		p, err = adopt.GiveBack(options)
	case o.back:
		p, err = adopt.PlanReturn(options)
	case o.yes:
		p, err = adopt.Adopt(options)
	default:
		p, err = adopt.PlanAdoption(options)
	}
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	if o.output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		err = e.Encode(p)
	} else {
		err = printPlan(w, p, o)
	}
	if err == nil && p.Refused() {
		err = exitError(exitFailed)
	}
	return err
}

func printPlan(w io.Writer, p *adopt.Plan, o adoptOptions) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "plan\t%s\nnode\t%d\ncluster\t%s\n", p.Action, p.NodeID, p.ClusterID)
	for _, d := range p.Dirs {
		fmt.Fprintf(out, "directory\t%s: %d partitions, %s\n", d.Path, d.Partitions, size(d.Bytes))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if len(p.Topics) > 0 {
		rows := make([][]string, len(p.Topics))
		for i, t := range p.Topics {
			rows[i] = []string{t.Name, t.ID, fmt.Sprint(t.Partitions), size(t.Bytes), t.Change}
		}
		fmt.Fprintln(w)
		if err := cli.Table(w, "TOPIC ID PARTITIONS SIZE CHANGE", rows); err != nil {
			return err
		}
	}
	if len(p.Findings) > 0 {
		fmt.Fprintln(w)
		for _, f := range p.Findings {
			fmt.Fprintf(w, "%s: %s: %s\n", f.Severity, f.Subject, f.Text)
		}
	}
	fmt.Fprintln(w)
	for i, step := range p.Steps {
		fmt.Fprintf(w, "%d. %s\n", i+1, step)
	}
	_, err := fmt.Fprintln(w, verdict(p, o))
	return err
}

// verdict says what was done, and what to do now.
func verdict(p *adopt.Plan, o adoptOptions) string {
	var dirs []string
	for _, d := range p.Dirs {
		dirs = append(dirs, d.Path)
	}
	switch {
	case p.Refused():
		return "Refused; nothing was changed."
	case !p.Done:
		return "Nothing was changed; --yes carries this out."
	case o.back:
		return fmt.Sprintf("Done. Kafka can start again, with log.dirs=%s and node.id=%d.", strings.Join(dirs, ","), p.NodeID)
	}
	return fmt.Sprintf("Done. Start kserver with log.dirs=%s and node.id=%d, and the settings of Kafka's server.properties.", strings.Join(dirs, ","), p.NodeID)
}
