package cli

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// completionTimeout bounds how long a press of the tab key may take.
const completionTimeout = 1500 * time.Millisecond

// completion is what cobra asks for when a shell completes a word.
type completion = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// completeWith completes a flag's value by fixed words.
func completeWith(cmd *cobra.Command, flag string, words ...string) {
	complete(cmd, flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	})
}

func complete(cmd *cobra.Command, flag string, with completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, with); err != nil {
		panic("kserver: completion of --" + flag + ": " + err.Error())
	}
}

// ask completes words by the answer of the cluster; without one there is nothing to propose.
func (c *connection) ask(most int, question func(ctx context.Context, s *session) ([]string, error)) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
		defer cancel()
		s := &session{conn: c, cmd: cmd, signals: ctx, watch: newWatcher(cmd.ErrOrStderr())}
		defer s.close()
		if err := s.open(ctx); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		words, err := question(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		words = slices.DeleteFunc(words, func(w string) bool { return slices.Contains(args, w) })
		slices.Sort(words)
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// topicNames completes the first arguments by names of topics; 0 means all of them.
func (c *connection) topicNames(most int) completion {
	return c.ask(most, func(ctx context.Context, s *session) ([]string, error) {
		topics, err := s.adm.ListTopics(ctx)
		return slices.Collect(maps.Keys(topics)), err
	})
}

// groupNames completes the first arguments by names of groups; 0 means all of them.
func (c *connection) groupNames(most int) completion {
	return c.ask(most, func(ctx context.Context, s *session) ([]string, error) {
		groups, err := s.adm.ListGroups(ctx)
		return groups.Groups(), err
	})
}
