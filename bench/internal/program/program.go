// Package program is what the main functions of the programs under bench have in common: a command that ends when it is
// interrupted, and says what has failed.
package program

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Main executes the command and ends the process: with exit code 1 and a message if it fails. SIGINT and SIGTERM end the
// command's context; a second one ends the process at once.
func Main(cmd *cobra.Command) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, cmd, os.Stderr))
}

// execute returns the exit code. The error is told here, not by the command library, which adds the usage.
func execute(ctx context.Context, cmd *cobra.Command, errors io.Writer) int {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintf(errors, "%s: %v\n", cmd.Name(), err) // if nobody reads it, the exit code tells
		return 1
	}
	return 0
}
