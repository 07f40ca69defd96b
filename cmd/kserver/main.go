package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kserver/cluster/configs"
	"kserver/cmd/kserver/internal/cli"
)

// The exit codes of the process; see the package comment.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// usageError is a mistake in the command line or in the configuration.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// exitError ends the process with a code of its own, without a message.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run is the whole program; it returns the exit code.
func run(args, environ []string, stdout, stderr io.Writer) int {
	cmd := newRootCommand(environ, stdout, stderr)
	if !serves(args) {
		cmd.AddGroup(cli.Group())
		cmd.AddCommand(cli.Commands(environ)...)
	}
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	if err == nil {
		return exitOK
	}
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	fmt.Fprintf(stderr, "kserver: %v\n", err)
	if failure, ok := errors.AsType[*cli.Failure](err); ok {
		return failure.Code
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// serves reports whether a command line can only mean to serve. Such a process does without the commands, which
// would stay in its memory.
func serves(args []string) bool {
	return (len(args) == 0 || strings.HasPrefix(args[0], "-")) && !slices.Contains(args, "--help") && !slices.Contains(args, "-h")
}

// options are the values of the flags that are no configuration keys.
type options struct {
	configFile  string
	overrides   []string
	printConfig bool
	logLevel    string
}

const longHelp = `kserver is a Kafka broker. Without arguments it serves a durable single node on
127.0.0.1:9092 with its data in ./kserver-data; nothing needs to be formatted first.

Every configuration key of Kafka is a flag too (--log.dirs /data), an environment
variable (KSERVER_LOG_DIRS=/data, or KAFKA_LOG_DIRS as in Kafka's container image), or a
line of the file given by --config. A flag goes before the environment, the environment
before the file. "kserver keys" explains each key and what kserver does with it,
"kserver --print-config" shows the values in effect and where each comes from.

The commands below speak to any Kafka cluster, this broker or another.

SIGTERM or SIGINT stops the broker once the requests in flight are answered, after
shutdown.timeout.ms at the latest; a second signal stops it at once.`

func newRootCommand(environ []string, stdout, stderr io.Writer) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:           "kserver",
		Short:         "A Kafka broker, and commands for any Kafka cluster",
		Long:          longHelp,
		Example:       "  kserver\n  kserver --config server.properties\n  kserver --listeners PLAINTEXT://:9092 --log.dirs /var/lib/kserver",
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.configFile, "config", "", "properties `file` to read, such as Kafka's server.properties")
	flags.StringArrayVar(&o.overrides, "override", nil, "set one configuration key, as `key=value`; for keys that are no flag")
	flags.BoolVar(&o.printConfig, "print-config", false, "print the configuration in effect and where each value comes from, then exit")
	flags.StringVar(&o.logLevel, "log-level", "info", "`level` of the log on standard error: debug, info, warn or error")
	keys := addKeyFlags(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		level, err := parseLevel(o.logLevel)
		if err != nil {
			return usageError{err}
		}
		settings, skipped, err := gather(o, keys(), environ)
		if err != nil {
			return usageError{err}
		}
		broker, err := configs.ParseBroker(settings...)
		if err != nil {
			return usageError{err}
		}
		if o.printConfig {
			return broker.Print(stdout, true)
		}
		return serve(broker, skipped, newLogger(stderr, level), stdout)
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{explainFlag(err)} })
	cmd.AddCommand(newVersionCommand(stdout), newKeysCommand(stdout), newInspectCommand(stdout), newAdoptCommand(stdout))
	return cmd
}

// noArguments refuses what is neither a flag nor a command.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if strings.HasSuffix(args[0], ".properties") {
		return usageError{fmt.Errorf("%s: give the file as --config %s", args[0], args[0])}
	}
	return usageError{fmt.Errorf("unknown command %q; kserver --help lists the commands", args[0])}
}

// commonKeys are the configuration keys that --help shows as flags.
var commonKeys = []string{"listeners", "advertised.listeners", "log.dirs", "node.id", "num.partitions", "log.retention.hours",
	"log.flush.interval.messages", "num.network.threads", "io.backend", "shutdown.timeout.ms"}

// addKeyFlags makes every configuration key a flag. The function returned gives the settings of the flags that
// were used, once the command line is parsed.
func addKeyFlags(cmd *cobra.Command) func() []configs.Setting {
	values := make(map[string]*string)
	add := func(d *configs.Def, usage string) {
		values[d.Name] = cmd.Flags().String(d.Name, "", usage)
	}
	for _, name := range commonKeys {
		d, ok := configs.BrokerDef(name)
		if !ok {
			panic("kserver: unknown common key " + name)
		}
		usage, _, _ := strings.Cut(d.Doc, ". ")
		if d.Default != nil {
			usage += " (default " + *d.Default + ")"
		}
		add(d, strings.ReplaceAll(usage, "`", "'"))
	}
	for _, d := range configs.BrokerDefs() {
		if _, common := values[d.Name]; common {
			continue
		}
		add(d, d.Doc)
		if err := cmd.Flags().MarkHidden(d.Name); err != nil {
			panic("kserver: flag " + d.Name + ": " + err.Error())
		}
	}
	return func() []configs.Setting {
		var settings []configs.Setting
		for _, d := range configs.BrokerDefs() {
			if cmd.Flags().Changed(d.Name) {
				settings = append(settings, configs.FlagSetting(d.Name, *values[d.Name]))
			}
		}
		return settings
	}
}

// gather reads every layer. skipped are environment variables that look like settings and are none.
func gather(o options, flags []configs.Setting, environ []string) (settings []configs.Setting, skipped []string, err error) {
	if o.configFile != "" {
		text, err := os.ReadFile(o.configFile)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot read the file given by --config: %w", err)
		}
		if settings, err = configs.ParseProperties(o.configFile, string(text)); err != nil {
			return nil, nil, err
		}
	}
	fromEnv, skipped := configs.ParseEnvironment(settingsOf(environ))
	settings = append(settings, fromEnv...)
	for _, override := range o.overrides {
		key, value, ok := strings.Cut(override, "=")
		if !ok {
			return nil, nil, fmt.Errorf("--override %s: give it as key=value", override)
		}
		s := configs.FlagSetting(strings.TrimSpace(key), strings.TrimSpace(value))
		s.Where = "--override"
		settings = append(settings, s)
	}
	return append(settings, flags...), skipped, nil
}

// settingsOf leaves out the environment variables that are the commands' and no settings.
func settingsOf(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return cli.IsVariable(name)
	})
}

// explainFlag adds the nearest key to the message about an unknown flag.
func explainFlag(err error) error {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	if near := configs.NearestBrokerKey(name); near != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return fmt.Errorf("%w; kserver --help and kserver keys list them", err)
}
