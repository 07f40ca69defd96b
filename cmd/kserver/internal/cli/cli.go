package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// groupID puts the commands under a heading of their own in the help of their parent.
const groupID = "cluster"

// Group is the heading for the commands in the help of their parent.
func Group() *cobra.Group {
	return &cobra.Group{ID: groupID, Title: "Commands for any Kafka cluster:"}
}

// Commands makes the commands. environ is as os.Environ returns it. Their input and output are those of cobra:
// InOrStdin, OutOrStdout and ErrOrStderr. Their errors are Failures wherever it is clear what went wrong.
func Commands(environ []string) []*cobra.Command {
	commands := []*cobra.Command{
		newTopicCommand(environ), newProduceCommand(environ), newConsumeCommand(environ),
		newGroupCommand(environ), newConfigCommand(environ), newQuotaCommand(environ), newClusterCommand(environ),
	}
	for _, cmd := range commands {
		cmd.GroupID = groupID
		cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
			return usagef("%w; %s --help lists the flags", err, cmd.CommandPath())
		})
	}
	return commands
}

// parent makes a command that only has commands below it do what a user expects of it.
func parent(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		message := `unknown command "` + cmd.CommandPath() + " " + args[0] + `"`
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return usagef("%s; did you mean %s?", message, strings.Join(near, " or "))
		}
		return usagef("%s; %s --help lists those there are", message, cmd.CommandPath())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// outputFlag adds --output to a command whose output is a table.
func (c *connection) outputFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&c.output, "output", "o", outputTable, "print a table or json")
	completeWith(cmd, "output", outputTable, outputJSON)
}

// short is how messages name a command, which begin with the program's name already.
func short(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// names wants at least one argument and calls it what.
func names(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s: give the %s; %s --help shows how", short(cmd), what, cmd.CommandPath())
		}
		return nil
	}
}

// exactly wants one argument for each of what.
func exactly(what ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(what):
			return usagef("%s: give the %s; %s --help shows how", short(cmd), what[len(args)], cmd.CommandPath())
		case len(args) > len(what):
			return usagef("%s: %q is too much; %s --help shows how", short(cmd), args[len(what)], cmd.CommandPath())
		}
		return nil
	}
}

// keyValues parses key=value of a flag or argument.
func keyValues(from string, list []string) (keys []string, values map[string]string, err error) {
	values = make(map[string]string, len(list))
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" {
			return nil, nil, usagef("%s %s: give it as key=value", from, text)
		}
		if _, twice := values[key]; twice {
			return nil, nil, usagef("%s: %s is given twice", from, key)
		}
		keys, values[key] = append(keys, key), value
	}
	return keys, values, nil
}
