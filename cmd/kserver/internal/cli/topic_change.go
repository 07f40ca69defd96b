package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newTopicCreateCommand(c *connection) *cobra.Command {
	var (
		partitions          int32
		replicas            int16
		configs             []string
		ifNotExists, dryRun bool
	)
	cmd := &cobra.Command{
		Use:     "create TOPIC...",
		Short:   "Create topics",
		Example: "  kserver topic create orders --partitions 6\n  kserver topic create events -p 12 -r 3 -c retention.ms=86400000 -c compression.type=zstd",
		Args:    names("topic"),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Int32VarP(&partitions, "partitions", "p", -1, "`number` of partitions; -1 is the cluster's default")
	f.Int16VarP(&replicas, "replicas", "r", -1, "`number` of replicas of each partition; -1 is the cluster's default")
	f.StringArrayVarP(&configs, "config", "c", nil, "a setting of the topic, as `key=value`; may be repeated")
	f.BoolVar(&ifNotExists, "if-not-exists", false, "a topic that exists already is no failure")
	f.BoolVar(&dryRun, "dry-run", false, "let the broker check it, create nothing")
	settings := make(map[string]*string)
	check := func([]string) error {
		_, values, err := keyValues("--config", configs)
		for key, value := range values {
			settings[key] = &value
		}
		return err
	}
	cmd.RunE = c.admin(check, func(ctx context.Context, s *session, names []string) error {
		create := s.adm.CreateTopics
		if dryRun {
			create = s.adm.ValidateCreateTopics
		}
		answers, err := create(ctx, partitions, replicas, settings, names...)
		if err != nil {
			return err
		}
		var results []topicResult
		var failures tally
		for _, name := range names {
			a := answers[name]
			exists := errors.Is(a.Err, kerr.TopicAlreadyExists) && ifNotExists
			if !exists && !failures.add(topicError(name, a.Err, a.ErrMessage)) {
				continue
			}
			r := topicResult{Name: name, ID: topicID(a.ID), Partitions: a.NumPartitions, Replicas: a.ReplicationFactor, Done: "created"}
			switch {
			case exists:
				r = topicResult{Name: name, Done: "exists already"}
			case dryRun:
				r.Done = "could be created"
			}
			results = append(results, r)
		}
		return errors.Join(s.showTopicResults(results), failures.err())
	})
	return cmd
}

// topicResult is what became of a topic.
type topicResult struct {
	Name       string `json:"name"`
	ID         string `json:"id,omitempty"`
	Partitions int32  `json:"partitions,omitempty"`
	Replicas   int16  `json:"replicas,omitempty"`
	Done       string `json:"done"`
}

func (s *session) showTopicResults(results []topicResult) error {
	return s.show(orEmpty(results), func(w io.Writer) error {
		for _, r := range results {
			line := fmt.Sprintf("topic %s %s", r.Name, r.Done)
			if r.Partitions > 0 {
				line += fmt.Sprintf(", %s, %s each", count(int(r.Partitions), "partition"), count(int(r.Replicas), "replica"))
			}
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
		return nil
	})
}

func newTopicAlterCommand(c *connection) *cobra.Command {
	var (
		partitions   int
		configs, del []string
		dryRun       bool
	)
	cmd := &cobra.Command{
		Use:               "alter TOPIC...",
		Short:             "Add partitions to topics, change their settings",
		Example:           "  kserver topic alter orders --partitions 12\n  kserver topic alter orders -c retention.ms=3600000 --unset compression.type",
		Args:              names("topic"),
		ValidArgsFunction: c.topicNames(0),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVarP(&partitions, "partitions", "p", 0, "the `number` of partitions to have then; it can only grow")
	f.StringArrayVarP(&configs, "config", "c", nil, "make a setting, as `key=value`; may be repeated")
	f.StringArrayVar(&del, "unset", nil, "return a setting to its default, by its `key`; may be repeated")
	f.BoolVar(&dryRun, "dry-run", false, "let the broker check it, change nothing")
	var change configChange
	check := func([]string) (err error) {
		if change, err = newConfigChange("--config", configs, del); err != nil {
			return err
		}
		if partitions < 0 || partitions == 0 && change.empty() {
			return usagef("%s: say what to alter, with --partitions N, --config key=value or --unset key", short(cmd))
		}
		return nil
	}
	cmd.RunE = c.admin(check, func(ctx context.Context, s *session, names []string) error {
		if _, err := s.topics(ctx, names...); err != nil {
			return err
		}
		done := "altered"
		if dryRun {
			done = "could be altered"
		}
		failed := make(map[string]bool)
		var failures tally
		if partitions > 0 {
			update := s.adm.UpdatePartitions
			if dryRun {
				update = s.adm.ValidateUpdatePartitions
			}
			answers, err := update(ctx, partitions, names...)
			if err != nil {
				return err
			}
			for _, name := range names {
				failed[name] = !failures.add(topicError(name, answers[name].Err, answers[name].ErrMessage))
			}
		}
		var results []topicResult
		for _, name := range names {
			if !failed[name] && !change.empty() {
				err := s.alterConfig(ctx, resource{kmsg.ConfigResourceTypeTopic, name}, change, dryRun)
				failed[name] = !failures.add(err)
			}
			if !failed[name] {
				results = append(results, topicResult{Name: name, Done: done})
			}
		}
		return errors.Join(s.showTopicResults(results), failures.err())
	})
	return cmd
}

func newTopicDeleteCommand(c *connection) *cobra.Command {
	var ifExists bool
	cmd := &cobra.Command{
		Use:               "delete TOPIC...",
		Aliases:           []string{"rm"},
		Short:             "Delete topics with all their records",
		Example:           "  kserver topic delete orders",
		Args:              names("topic"),
		ValidArgsFunction: c.topicNames(0),
	}
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "a topic that does not exist is no failure")
	cmd.RunE = c.admin(nil, func(ctx context.Context, s *session, names []string) error {
		answers, err := s.adm.DeleteTopics(ctx, names...)
		if err != nil {
			return err
		}
		return s.deleted(names, answers, ifExists)
	})
	return cmd
}

// deleted tells what became of topics that were to be deleted.
func (s *session) deleted(names []string, answers kadm.DeleteTopicResponses, ifExists bool) error {
	var results []topicResult
	var failures tally
	for _, name := range names {
		a := answers[name]
		switch missing := errors.Is(a.Err, kerr.UnknownTopicOrPartition) && ifExists; {
		case missing:
			results = append(results, topicResult{Name: name, Done: "does not exist"})
		case failures.add(topicError(name, a.Err, a.ErrMessage)):
			results = append(results, topicResult{Name: name, Done: "deleted"})
		}
	}
	return errors.Join(s.showTopicResults(results), failures.err())
}
