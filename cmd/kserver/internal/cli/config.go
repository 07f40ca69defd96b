package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

const configHelp = `Config reads and changes the settings that the cluster itself keeps: of topics, of brokers,
of groups and of client-metrics subscriptions. "broker default" are the defaults of all
brokers. What stands in a broker's file is changed there.`

func newConfigCommand(environ []string) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:     "config",
		Aliases: []string{"configs"},
		Short:   "Get, set and unset settings of topics, brokers, groups and client metrics",
		Long:    configHelp,
	})
	c := newConnection(cmd, environ)
	c.outputFlag(cmd)
	cmd.AddCommand(newConfigGetCommand(c), newConfigSetCommand(c), newConfigUnsetCommand(c))
	return cmd
}

// completeResource completes kind and name of a resource.
func (c *connection) completeResource() completion {
	topics, groups := c.topicNames(0), c.groupNames(0)
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			var kinds []string
			for _, k := range resourceKinds {
				kinds = append(kinds, k.name)
			}
			return kinds, cobra.ShellCompDirectiveNoFileComp
		case len(args) == 1 && args[0] == "topic":
			return topics(cmd, nil, word)
		case len(args) == 1 && args[0] == "group":
			return groups(cmd, nil, word)
		case len(args) == 1 && args[0] == "broker":
			return []string{"default"}, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// resourceAnd wants a resource and at least so many words after it; what they are called.
func resourceAnd(most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < 2 {
			return usagef("%s: give a kind (topic, broker, group or client-metrics) and a name; %s --help shows how", short(cmd), cmd.CommandPath())
		}
		if len(args) < 2+most {
			return usagef("%s: give the %s; %s --help shows how", short(cmd), what, cmd.CommandPath())
		}
		return nil
	}
}

func newConfigGetCommand(c *connection) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "get KIND NAME [KEY...]",
		Short: "Show settings: those made for it, all of them, or some by name",
		Long: `Get shows the settings made for a resource. With --all it shows every setting in effect and
where it comes from, with keys those. With a single key it prints the bare value.`,
		Example: `  kserver config get topic orders
  kserver config get topic orders retention.ms
  kserver config get broker 1 --all
  kserver config get broker default`,
		Args:              resourceAnd(0, ""),
		ValidArgsFunction: c.completeResource(),
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "show defaults too")
	var r resource
	check := func(args []string) (err error) {
		r, err = parseResource(args[0], args[1])
		return err
	}
	cmd.RunE = c.admin(check, func(ctx context.Context, s *session, args []string) error {
		entries, err := s.describeConfig(ctx, r)
		if err != nil {
			return err
		}
		entries, err = selectEntries(r, entries, args[2:], all)
		if err != nil {
			return err
		}
		return s.show(entries, func(w io.Writer) error {
			if len(args) == 3 {
				_, err := fmt.Fprintln(w, shownValue(entries[0].Value))
				return err
			}
			rows := make([][]string, len(entries))
			for i, e := range entries {
				rows[i] = []string{e.Name, shownValue(e.Value), e.Source}
			}
			return Table(w, "KEY VALUE FROM", rows)
		})
	})
	return cmd
}

// selectEntries picks the entries with the given keys, or all, or those made for the resource itself.
func selectEntries(r resource, entries []configEntry, keys []string, all bool) ([]configEntry, error) {
	selected := []configEntry{}
	if len(keys) == 0 {
		for _, e := range entries {
			if all || e.own(r.kind) {
				selected = append(selected, e)
			}
		}
		return selected, nil
	}
	for _, key := range keys {
		found := false
		for _, e := range entries {
			if e.Name == key {
				selected, found = append(selected, e), true
			}
		}
		if !found {
			return nil, failf(ExitNotFound, "%s has no setting %s", r, key)
		}
	}
	return selected, nil
}

func newConfigSetCommand(c *connection) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "set KIND NAME KEY=VALUE...",
		Short: "Make settings, all of them or none",
		Example: `  kserver config set topic orders retention.ms=86400000 compression.type=zstd
  kserver config set broker default log.retention.ms=86400000
  kserver config set group billing consumer.session.timeout.ms=60000`,
		Args:              resourceAnd(1, "settings, as key=value"),
		ValidArgsFunction: c.completeResource(),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "let the broker check it, change nothing")
	cmd.RunE = c.changeConfig(&dryRun, func(args []string) (configChange, error) { return newConfigChange("setting", args, nil) })
	return cmd
}

func newConfigUnsetCommand(c *connection) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:               "unset KIND NAME KEY...",
		Short:             "Return settings to their defaults, all of them or none",
		Example:           "  kserver config unset topic orders retention.ms",
		Args:              resourceAnd(1, "keys of the settings"),
		ValidArgsFunction: c.completeResource(),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "let the broker check it, change nothing")
	cmd.RunE = c.changeConfig(&dryRun, func(args []string) (configChange, error) { return newConfigChange("setting", nil, args) })
	return cmd
}

// changeConfig makes the RunE of a command that changes the settings of the resource its arguments begin with;
// change reads the others.
func (c *connection) changeConfig(dryRun *bool, change func(args []string) (configChange, error)) func(*cobra.Command, []string) error {
	var r resource
	var wanted configChange
	check := func(args []string) (err error) {
		if r, err = parseResource(args[0], args[1]); err != nil {
			return err
		}
		wanted, err = change(args[2:])
		return err
	}
	return c.admin(check, func(ctx context.Context, s *session, args []string) error {
		if err := s.alterConfig(ctx, r, wanted, *dryRun); err != nil {
			return err
		}
		done := "changed"
		if *dryRun {
			done = "could be changed"
		}
		result := struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
			Done string `json:"done"`
		}{args[0], args[1], done}
		return s.show(result, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s: %s %s\n", r, count(len(wanted.set)+len(wanted.unset), "setting"), done)
			return err
		})
	})
}
