package program

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestExecute(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		want string
	}{
		{nil, 0, ""},
		{errors.New("broken"), 1, "try: broken\n"},
	} {
		cmd := &cobra.Command{Use: "try [WHAT]", RunE: func(*cobra.Command, []string) error { return tt.err }}
		cmd.SetArgs(nil)
		var out strings.Builder
		if code := execute(t.Context(), cmd, &out); code != tt.code || out.String() != tt.want {
			t.Errorf("exit code %d, %q; want %d, %q", code, out.String(), tt.code, tt.want)
		}
	}
}

func TestExecuteEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cmd := &cobra.Command{Use: "try", RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Context().Err() }}
	cmd.SetArgs(nil)
	var out strings.Builder
	if code := execute(ctx, cmd, &out); code != 1 || !strings.Contains(out.String(), context.Canceled.Error()) {
		t.Errorf("exit code %d, %q", code, out.String())
	}
}
