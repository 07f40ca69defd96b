package beside

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// The test's program is the one that Start runs.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "echo" {
		os.Exit(m.Run())
	}
	root := &cobra.Command{Use: "test"}
	root.AddCommand(Command("echo WORD", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		priority, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 less the niceness
		if err != nil {
			return err
		}
		fmt.Println(args[0], 20-priority)
		_, err = io.Copy(io.Discard, os.Stdin)
		return err
	}))
	if root.Execute() != nil {
		os.Exit(1)
	}
}

func TestStart(t *testing.T) {
	p, err := Start(19, "echo", "-7") // looks like a flag, and is none
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(p.Out).ReadString('\n')
	if err != nil || line != "-7 19\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := p.In.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}
