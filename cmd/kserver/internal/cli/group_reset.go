package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const resetHelp = `Reset-offsets moves a group to other offsets. It shows the plan; only with --execute does
it commit it. The group must have no members then: stop them first.

An offset that a partition does not reach to becomes its nearest end.`

const resetExample = `  kserver group reset-offsets billing --topic orders --to-earliest
  kserver group reset-offsets billing --topic orders --to-earliest --execute
  kserver group reset-offsets billing --topic orders:0,3 --to-offset 1200 --execute
  kserver group reset-offsets billing --all-topics --to-datetime 2024-05-31T12:00:00Z
  kserver group reset-offsets billing --all-topics --shift-by -100`

// resetTarget is where offsets are to move.
type resetTarget struct {
	position
	shift   bool  // by how far instead of where to
	shiftBy int64 // of shift
}

// resetRow is the plan for a partition.
type resetRow struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Committed is the offset before, null if there is none.
	Committed *int64 `json:"committed"`
	New       int64  `json:"new"`
	// Clipped tells that the partition does not reach to the offset asked for.
	Clipped bool `json:"clipped,omitempty"`
}

// resetScope is the partitions of a topic that are to move.
type resetScope struct {
	topic      string
	partitions []int32 // empty: all
}

// parseScope reads --topic: NAME or NAME:0,1,2.
func parseScope(text string) (resetScope, error) {
	topic, list, some := strings.Cut(text, ":")
	scope := resetScope{topic: topic}
	if topic == "" {
		return scope, usagef("--topic %s: give a topic, or topic:partition,...", text)
	}
	if !some {
		return scope, nil
	}
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(word), 10, 32)
		if err != nil || n < 0 {
			return scope, usagef("--topic %s: %q is no partition", text, word)
		}
		scope.partitions = append(scope.partitions, int32(n))
	}
	return scope, nil
}

// planReset says where each partition of the scopes moves. timed are the offsets of the target's time.
func planReset(t resetTarget, scopes []resetScope, commits offsets, e extent, timed offsets) ([]resetRow, error) {
	rows := []resetRow{}
	planned := make(map[partitionID]bool)
	for _, scope := range scopes {
		partitions := scope.partitions
		if len(partitions) == 0 {
			for partition := range e.start[scope.topic] {
				partitions = append(partitions, partition)
			}
		}
		for _, partition := range partitions {
			if planned[partitionID{scope.topic, partition}] {
				continue
			}
			planned[partitionID{scope.topic, partition}] = true
			start, ok := e.start.get(scope.topic, partition)
			end, known := e.end.get(scope.topic, partition)
			if !ok || !known {
				return nil, noPartition(scope.topic, partition, len(e.start[scope.topic]))
			}
			row := resetRow{Topic: scope.topic, Partition: partition}
			if commit, ok := commits.get(scope.topic, partition); ok {
				row.Committed = &commit
			}
			first, ok := timed.get(scope.topic, partition)
			if !ok {
				first = end
			}
			to := t.position
			if t.shift {
				if row.Committed == nil {
					if len(scope.partitions) == 0 {
						continue // of a whole topic, what was never committed stays so
					}
					return nil, failf(ExitNotFound, "the group has no offset of %s/%d that could be shifted", scope.topic, partition)
				}
				to = position{kind: atOffset, offset: *row.Committed + t.shiftBy}
			}
			row.New, row.Clipped = to.at(start, end, first)
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b resetRow) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return rows, nil
}

// resetFlags are the flags of reset-offsets.
type resetFlags struct {
	topics             []string
	allTopics          bool
	earliest, latest   bool
	offset             int64
	datetime           string
	shiftBy            int64
	execute, dryRun    bool
	hasOffset, hasDate bool
	hasShift           bool
}

func (f resetFlags) target(now time.Time) (resetTarget, error) {
	n := 0
	for _, given := range []bool{f.earliest, f.latest, f.hasOffset, f.hasDate, f.hasShift} {
		if given {
			n++
		}
	}
	if n != 1 {
		return resetTarget{}, usagef("say where to, with one of --to-earliest, --to-latest, --to-offset, --to-datetime and --shift-by")
	}
	switch {
	case f.earliest:
		return resetTarget{position: position{kind: atStart}}, nil
	case f.latest:
		return resetTarget{position: position{kind: atEnd}}, nil
	case f.hasOffset:
		if f.offset < 0 {
			return resetTarget{}, usagef("--to-offset %d: give an offset, which is 0 or more", f.offset)
		}
		return resetTarget{position: position{kind: atOffset, offset: f.offset}}, nil
	case f.hasShift:
		return resetTarget{shift: true, shiftBy: f.shiftBy}, nil
	}
	t, err := parseTime(strings.TrimPrefix(f.datetime, "@"), now)
	if err != nil {
		return resetTarget{}, usagef("--to-datetime: %w", err)
	}
	return resetTarget{position: position{kind: atTime, time: t}}, nil
}

// scopes are the topics given, nil for all the group has offsets of.
func (f resetFlags) scopes() ([]resetScope, error) {
	if f.allTopics == (len(f.topics) > 0) {
		return nil, usagef("say which topics, with --topic or --all-topics")
	}
	var scopes []resetScope
	for _, text := range f.topics {
		scope, err := parseScope(text)
		if err != nil {
			return nil, err
		}
		scopes = append(scopes, scope)
	}
	return scopes, nil
}

func newGroupResetCommand(c *connection) *cobra.Command {
	var f resetFlags
	cmd := &cobra.Command{
		Use:               "reset-offsets GROUP",
		Aliases:           []string{"reset"},
		Short:             "Move a group to other offsets",
		Long:              resetHelp,
		Example:           resetExample,
		Args:              exactly("group"),
		ValidArgsFunction: c.groupNames(1),
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVarP(&f.topics, "topic", "t", nil, "move in this `topic`, or in some of its partitions with topic:0,1; may be repeated")
	flags.BoolVar(&f.allTopics, "all-topics", false, "move in every topic the group has offsets of")
	flags.BoolVar(&f.earliest, "to-earliest", false, "to the first record there is")
	flags.BoolVar(&f.latest, "to-latest", false, "behind the last record")
	flags.Int64Var(&f.offset, "to-offset", 0, "to this `offset`")
	flags.StringVar(&f.datetime, "to-datetime", "", "to the first record from this `time` on: 2024-05-31T12:00:00Z, ms since 1970, or 90m for so long ago")
	flags.Int64Var(&f.shiftBy, "shift-by", 0, "forward by this `number` of offsets, back if it is negative")
	flags.BoolVar(&f.execute, "execute", false, "do it")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only show the plan, as without --execute")
	complete(cmd, "topic", c.topicNames(0))
	var target resetTarget
	var scopes []resetScope
	check := func([]string) (err error) {
		f.hasOffset, f.hasDate, f.hasShift = flags.Changed("to-offset"), flags.Changed("to-datetime"), flags.Changed("shift-by")
		if f.execute && f.dryRun {
			return usagef("--execute and --dry-run contradict each other")
		}
		if target, err = f.target(time.Now()); err != nil {
			return err
		}
		scopes, err = f.scopes()
		return err
	}
	cmd.RunE = c.admin(check, func(ctx context.Context, s *session, args []string) error {
		rows, err := s.planReset(ctx, args[0], target, scopes)
		if err != nil {
			return err
		}
		if f.execute {
			if err := s.commitReset(ctx, args[0], rows); err != nil {
				return err
			}
		}
		return s.showReset(rows, f.execute)
	})
	return cmd
}

// planReset asks for what the plan needs. Without scopes it is about everything the group has offsets of.
func (s *session) planReset(ctx context.Context, group string, t resetTarget, scopes []resetScope) ([]resetRow, error) {
	fetched, err := s.adm.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("offsets of group %s: %w", group, err)
	}
	commits := make(offsets)
	fetched.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At >= 0 {
			commits.set(o.Topic, o.Partition, o.At)
		}
	})
	if scopes == nil {
		for topic, partitions := range commits {
			scope := resetScope{topic: topic}
			for partition := range partitions {
				scope.partitions = append(scope.partitions, partition)
			}
			scopes = append(scopes, scope)
		}
		if len(scopes) == 0 {
			return nil, failf(ExitNotFound, "group %s has no offsets; name the topics with --topic", group)
		}
	}
	var topics []string
	for _, scope := range scopes {
		topics = append(topics, scope.topic)
	}
	if _, err := s.topics(ctx, topics...); err != nil {
		return nil, err
	}
	e, err := s.extent(ctx, false, topics...)
	if err != nil {
		return nil, err
	}
	timed := make(offsets)
	if t.kind == atTime {
		if timed, _, err = s.locate(ctx, t.position, e); err != nil {
			return nil, err
		}
	}
	return planReset(t, scopes, commits, e, timed)
}

// commitReset commits a plan, if the group has no members.
func (s *session) commitReset(ctx context.Context, group string, rows []resetRow) error {
	if err := s.need(ctx, "moving a group", kmsg.OffsetCommit, kmsg.DescribeGroups); err != nil {
		return err
	}
	g, err := s.describeGroup(ctx, group)
	if failure, ok := errors.AsType[*Failure](err); err != nil && !(ok && failure.Code == ExitNotFound) {
		return err // a group that does not exist is made by its first offset
	}
	if g.active() {
		return failf(ExitFailed, "group %s is %s with %s; stop them first, they would overwrite the offsets", group, g.State, count(len(g.Members), "member"))
	}
	var commit kadm.Offsets
	for _, r := range rows {
		commit.Add(kadm.Offset{Topic: r.Topic, Partition: r.Partition, At: r.New, LeaderEpoch: -1})
	}
	answers, err := s.adm.CommitOffsets(ctx, group, commit)
	if err != nil {
		return fmt.Errorf("group %s: %w", group, err)
	}
	var failures tally
	answers.Each(func(o kadm.OffsetResponse) {
		failures.add(answerError(fmt.Sprintf("group %s, %s/%d", group, o.Topic, o.Partition), o.Err, ""))
	})
	return failures.err()
}

func (s *session) showReset(rows []resetRow, executed bool) error {
	err := s.show(rows, func(w io.Writer) error {
		cells := make([][]string, len(rows))
		for i, r := range rows {
			cells[i] = []string{r.Topic, fmt.Sprint(r.Partition), number(r.Committed), fmt.Sprint(r.New)}
			if r.Clipped {
				cells[i] = append(cells[i], "(as near as the partition reaches)")
			}
		}
		return Table(w, "TOPIC PARTITION COMMITTED NEW", cells)
	})
	if err == nil && !executed {
		s.note("this is the plan, nothing is changed; --execute does it")
	}
	return err
}
