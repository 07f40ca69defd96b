package cli

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newTopicCommand(environ []string) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:     "topic",
		Aliases: []string{"topics"},
		Short:   "Create, list, describe, alter and delete topics",
	})
	c := newConnection(cmd, environ)
	c.outputFlag(cmd)
	cmd.AddCommand(newTopicCreateCommand(c), newTopicListCommand(c), newTopicDescribeCommand(c), newTopicAlterCommand(c), newTopicDeleteCommand(c))
	return cmd
}

func newTopicListCommand(c *connection) *cobra.Command {
	var internal bool
	cmd := &cobra.Command{
		Use:     "list [PATTERN...]",
		Aliases: []string{"ls"},
		Short:   "List topics, all or those whose names match a pattern",
		Example: "  kserver topic list\n  kserver topic list 'orders-*' --output json",
	}
	cmd.Flags().BoolVarP(&internal, "internal", "i", false, "list internal topics too")
	check := func(patterns []string) error {
		for _, p := range patterns {
			if _, err := path.Match(p, ""); err != nil {
				return usagef("%s: %w", p, err)
			}
		}
		return nil
	}
	cmd.RunE = c.admin(check, func(ctx context.Context, s *session, patterns []string) error {
		details, err := s.adm.ListTopicsWithInternal(ctx)
		if err != nil {
			return err
		}
		list := []topicLine{}
		for _, t := range details.Sorted() {
			if t.IsInternal && !internal || len(patterns) > 0 && !slices.ContainsFunc(patterns, func(p string) bool {
				ok, _ := path.Match(p, t.Topic) // checked above
				return ok
			}) {
				continue
			}
			list = append(list, newTopicLine(t))
		}
		return s.show(list, func(w io.Writer) error {
			rows := make([][]string, len(list))
			for i, t := range list {
				rows[i] = []string{t.Name, fmt.Sprint(t.Partitions), fmt.Sprint(t.Replicas), t.health()}
			}
			return Table(w, "TOPIC PARTITIONS REPLICAS HEALTH", rows)
		})
	})
	return cmd
}

// topicLine is what a list tells of a topic.
type topicLine struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	Internal   bool   `json:"internal"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	// UnderReplicated counts partitions with fewer replicas in sync than replicas.
	UnderReplicated int `json:"under_replicated"`
	// Leaderless counts partitions nobody leads.
	Leaderless int `json:"leaderless"`
}

func newTopicLine(t kadm.TopicDetail) topicLine {
	line := topicLine{Name: t.Topic, ID: topicID(t.ID), Internal: t.IsInternal, Partitions: len(t.Partitions)}
	for _, p := range t.Partitions {
		line.Replicas = max(line.Replicas, len(p.Replicas))
		if len(p.ISR) < len(p.Replicas) {
			line.UnderReplicated++
		}
		if p.Leader < 0 {
			line.Leaderless++
		}
	}
	return line
}

func (t topicLine) health() string {
	var trouble []string
	if t.Leaderless > 0 {
		trouble = append(trouble, fmt.Sprintf("%d without leader", t.Leaderless))
	}
	if t.UnderReplicated > 0 {
		trouble = append(trouble, fmt.Sprintf("%d under-replicated", t.UnderReplicated))
	}
	return cmp.Or(strings.Join(trouble, ", "), "ok")
}

// topicID prints a topic's id as Kafka does, "" for one that has none.
func topicID(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// topics looks the named topics up; one that does not exist is a failure.
func (s *session) topics(ctx context.Context, names ...string) (kadm.TopicDetails, error) {
	details, err := s.adm.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, err
	}
	var t tally
	for _, name := range names {
		t.add(topicError(name, details[name].Err, ""))
	}
	return details, t.err()
}

// topicError is answerError for a topic.
func topicError(name string, err error, message string) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return failf(ExitNotFound, "there is no topic %s; kserver topic list shows those there are", name)
	}
	return answerError("topic "+name, err, message)
}

func newTopicDescribeCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "describe TOPIC...",
		Short:             "Show partitions, replicas, offsets and settings of topics",
		Example:           "  kserver topic describe orders",
		Args:              names("topic"),
		ValidArgsFunction: c.topicNames(0),
	}
	cmd.RunE = c.admin(nil, func(ctx context.Context, s *session, names []string) error {
		details, err := s.topics(ctx, names...)
		if err != nil {
			return err
		}
		starts, err := s.adm.ListStartOffsets(ctx, names...)
		if err != nil {
			return err
		}
		ends, err := s.adm.ListEndOffsets(ctx, names...)
		if err != nil {
			return err
		}
		var described []topicDescription
		for _, name := range names {
			d := describeTopic(details[name], starts, ends)
			entries, err := s.describeConfig(ctx, resource{kmsg.ConfigResourceTypeTopic, name})
			if err != nil {
				return err
			}
			flush := make(map[string]string)
			for _, e := range entries {
				if e.Value != nil {
					flush[e.Name] = *e.Value
				}
				if e.own(kmsg.ConfigResourceTypeTopic) {
					d.Configs[e.Name] = e.Value
				}
			}
			d.Durability = topicDurability(flush["flush.messages"], flush["flush.ms"])
			described = append(described, d)
		}
		return s.show(described, func(w io.Writer) error {
			for i, d := range described {
				if i > 0 {
					fmt.Fprintln(w)
				}
				if err := d.print(w); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return cmd
}

// topicDescription is what describe tells of a topic.
type topicDescription struct {
	topicLine
	// Configs are the settings made for this topic; null stands for a value the broker does not show.
	Configs          map[string]*string     `json:"configs"`
	PartitionDetails []partitionDescription `json:"partition_details"`
	// Durability is what an acknowledgement promises, in words.
	Durability string `json:"durability"`
}

// never is Kafka's "never" of flush.messages and flush.ms.
const never = "9223372036854775807"

// topicDurability says what the topic's settings promise on the disk of each replica.
func topicDurability(messages, ms string) string {
	if messages == "1" {
		return "acknowledged records are on stable storage"
	}
	text := "acknowledged records are in the page cache, a crash of the machine may lose them"
	var when []string
	if messages != never && messages != "" {
		when = append(when, "every "+messages+" records")
	}
	if ms != never && ms != "" {
		when = append(when, "after "+ms+" ms")
	}
	if len(when) == 0 {
		return text
	}
	return text + "; synced " + strings.Join(when, " or ")
}

type partitionDescription struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader"`
	LeaderEpoch int32   `json:"leader_epoch"`
	Replicas    []int32 `json:"replicas"`
	ISR         []int32 `json:"isr"`
	Offline     []int32 `json:"offline"`
	// StartOffset is the first offset that can be read, EndOffset the one after the last; null when unknown.
	StartOffset *int64 `json:"start_offset"`
	EndOffset   *int64 `json:"end_offset"`
}

func describeTopic(t kadm.TopicDetail, starts, ends kadm.ListedOffsets) topicDescription {
	d := topicDescription{topicLine: newTopicLine(t), Configs: make(map[string]*string)}
	offset := func(list kadm.ListedOffsets, partition int32) *int64 {
		if o, ok := list.Lookup(t.Topic, partition); ok && o.Err == nil {
			return &o.Offset
		}
		return nil
	}
	for _, p := range t.Partitions.Sorted() {
		d.PartitionDetails = append(d.PartitionDetails, partitionDescription{
			Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch,
			Replicas: orEmpty(p.Replicas), ISR: orEmpty(p.ISR), Offline: orEmpty(p.OfflineReplicas),
			StartOffset: offset(starts, p.Partition), EndOffset: offset(ends, p.Partition),
		})
	}
	return d
}

func (d topicDescription) print(w io.Writer) error {
	settings := make([]string, 0, len(d.Configs))
	for _, name := range slices.Sorted(maps.Keys(d.Configs)) {
		settings = append(settings, name+"="+shownValue(d.Configs[name]))
	}
	_, err := fmt.Fprintf(w, "topic       %s\nid          %s\npartitions  %d\nreplicas    %d\ndurability  %s\nsettings    %s\n\n",
		d.Name, cmp.Or(d.ID, "-"), d.Partitions, d.Replicas, d.Durability, cmp.Or(strings.Join(settings, ", "), "the defaults of the cluster"))
	if err != nil {
		return err
	}
	var rows [][]string
	for _, p := range d.PartitionDetails {
		records := ""
		if p.StartOffset != nil && p.EndOffset != nil {
			records = fmt.Sprint(*p.EndOffset - *p.StartOffset)
		}
		leader := fmt.Sprint(p.Leader)
		if p.Leader < 0 {
			leader = "none"
		}
		rows = append(rows, []string{fmt.Sprint(p.Partition), leader, fmt.Sprint(p.LeaderEpoch), ids(p.Replicas), ids(p.ISR), ids(p.Offline), number(p.StartOffset), number(p.EndOffset), records})
	}
	return Table(w, "PARTITION LEADER EPOCH REPLICAS ISR OFFLINE START END OFFSETS", rows)
}
