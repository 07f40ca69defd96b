package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kserver/cmd/kbench/internal/report"
)

// Exit codes, see the package comment.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitIntegrity   = 3
	exitInterrupted = 130
)

var (
	errUsage       = errors.New("wrong usage")
	errIntegrity   = errors.New("the integrity check found a fault")
	errInterrupted = errors.New("interrupted, the result is partial")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the process at once. Not in the first second: wrappers such as timeout(1) signal the
	// process and its group.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	err := newRootCommand().ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kbench:", err)
	}
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errIntegrity):
		return exitIntegrity
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "kbench",
		Short:         "Measure a Kafka endpoint: throughput, latency, cost, integrity",
		Version:       report.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.AddCommand(newProduceCommand(), newConsumeCommand(), newE2ECommand(), newLimitsCommand(), newCompareCommand(), newReportCommand(), newFloorCommand())
	return root
}

// usageArgs marks what check refuses as wrong usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		return nil
	}
}
