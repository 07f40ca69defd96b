package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kserver/cmd/kbench/internal/limits"
	"kserver/cmd/kbench/internal/report"
)

func newLimitsCommand() *cobra.Command {
	var dir, jsonFile string
	var each time.Duration
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "Measure what the machine itself can do",
		Long: `Measure what the machine itself can do: synced writes, sendfile over loopback, memory copies, round trips.

Results of the other commands are set against these with --limits. Use a directory on the broker's disk.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if each <= 0 {
				return fmt.Errorf("%w: --limits-time must be positive", errUsage)
			}
			l, err := measureLimits(cmd.Context(), dir, each)
			if err != nil {
				return err
			}
			if jsonFile != "" {
				if err := report.WriteJSON(jsonFile, l); err != nil {
					return err
				}
			}
			return report.WriteLimits(cmd.OutOrStdout(), l)
		},
	}
	registerLimits(cmd.Flags(), &dir, &each)
	cmd.Flags().StringVar(&jsonFile, "json", "", "write the result to this file, too")
	return cmd
}

func measureLimits(ctx context.Context, dir string, each time.Duration) (*limits.Limits, error) {
	l, err := limits.Measure(ctx, dir, each)
	if err != nil {
		return nil, fmt.Errorf("limits of this machine: %w", err)
	}
	return l, nil
}
