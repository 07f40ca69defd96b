package main

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"kserver/cluster/configs"
)

// version is set by release builds: -ldflags "-X main.version=1.2.3".
var version = ""

// versionLine names the build: version, commit, compiler and platform.
func versionLine() string {
	v, commit := version, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value[:min(12, len(s.Value))] + commit
			case s.Key == "vcs.modified" && s.Value == "true":
				commit += "+changes"
			}
		}
	}
	if v == "" || v == "(devel)" {
		v = "development build"
	}
	if commit != "" && !strings.Contains(v, strings.TrimSuffix(commit, "+changes")) {
		v += " " + commit
	}
	return fmt.Sprintf("kserver %s (%s, %s/%s)", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func newVersionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(stdout, versionLine())
			return err
		},
	}
}

func newKeysCommand(stdout io.Writer) *cobra.Command {
	var topics bool
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Explain every configuration key and what kserver does with it",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			defs := configs.BrokerDefs()
			if topics {
				defs = configs.TopicDefs()
			}
			for _, d := range defs {
				if err := printDef(stdout, d); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&topics, "topics", false, "the keys of topics instead of the broker's")
	return cmd
}

// printDef prints one key as a short paragraph.
func printDef(w io.Writer, d *configs.Def) error {
	def := "null"
	if d.Default != nil {
		def = *d.Default
	}
	line := fmt.Sprintf("%s (%s, default %q", d.Name, d.Type, def)
	if d.Valid != nil && d.Valid.String() != "" {
		line += ", values " + d.Valid.String()
	}
	line += ")"
	switch d.Support {
	case configs.Inert:
		line += "\n    No effect: " + d.Note + "."
	case configs.Refused:
		line += "\n    Only the default is served: " + d.Note + "."
	}
	_, err := fmt.Fprintf(w, "%s\n    %s\n", line, d.Doc)
	return err
}

// parseLevel reads the value of --log-level.
func parseLevel(text string) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("--log-level %s: give debug, info, warn or error", text)
	}
	return level, nil
}

func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
