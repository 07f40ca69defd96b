package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kserver/cmd/kbench/internal/report"
)

func newCompareCommand() *cobra.Command {
	var baseline, jsonFile string
	cmd := &cobra.Command{
		Use:   "compare --baseline SYSTEM FILE...",
		Short: "Set results of several systems side by side",
		Long: `Set results of several systems side by side: medians over the rounds, and how many times better than the baseline.

The files are written by --json, with --label scenario=NAME --label system=NAME. The order of the files of one
scenario and system is the order of the rounds; round i of a system is set against round i of the baseline.`,
		Example: `  kbench compare --baseline kafka results/*.json`,
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error {
			if baseline == "" {
				return fmt.Errorf("%w: --baseline is missing", errUsage)
			}
			var results []*report.Result
			for _, f := range files {
				r, err := report.ReadResult(f)
				if err != nil {
					return err
				}
				results = append(results, r)
			}
			rows, err := report.Compare(results, baseline)
			if err != nil {
				return err
			}
			if jsonFile != "" {
				if err := report.WriteJSON(jsonFile, rows); err != nil {
					return err
				}
			}
			return report.WriteComparison(cmd.OutOrStdout(), rows)
		},
	}
	cmd.Flags().StringVar(&baseline, "baseline", "", "the system the others are set against")
	cmd.Flags().StringVar(&jsonFile, "json", "", "write the comparison to this file, too")
	return cmd
}
