// Package beside runs a part of a benchmark in a process of its own, with a lower priority if asked: what that part takes
// of the processors is neither the broker's nor that of the clients that are measured.
package beside

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Command makes the hidden command NAME that Start runs. Its arguments are checked by args, and run gets them when the
// process has its priority.
func Command(name string, args cobra.PositionalArgs, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	var nice int
	cmd := &cobra.Command{
		Use: name, Hidden: true, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			if nice != 0 {
				// The group is this process alone; a process would be only the calling thread.
				if err := unix.Setpriority(unix.PRIO_PGRP, 0, nice); err != nil {
					return fmt.Errorf("niceness %d: %w", nice, err)
				}
			}
			return run(cmd, args)
		},
	}
	cmd.Flags().IntVar(&nice, niceFlag, 0, "niceness of the process; 0 leaves it that of the one that starts it")
	return cmd
}

const niceFlag = "nice"

// Process is such a process, seen from outside. It ends with the one that started it at the latest.
type Process struct {
	In  io.WriteCloser // its standard input
	Out io.Reader      // its standard output
	cmd *exec.Cmd
}

// Start runs a Command of this program with that niceness and those arguments.
func Start(nice int, name string, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{name, "--" + niceFlag, strconv.Itoa(nice), "--"}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start of %s: %w", name, err)
	}
	return &Process{In: in, Out: out, cmd: cmd}, nil
}

// Stop closes In and waits for the process to end.
func (p *Process) Stop() error { return errors.Join(p.In.Close(), p.Wait()) }

// Wait waits for the process to end, which it does when In is closed. Out must have been read by then.
func (p *Process) Wait() error { return p.cmd.Wait() }
