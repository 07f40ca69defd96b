package comparison

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// interruptGrace is how long an interrupted program has to write its result before it is killed.
const interruptGrace = 20 * time.Second

// maxTail is how much of a failed program's output is shown.
const maxTail = 2000

// Execute is an Exec that runs programs as child processes.
func Execute(ctx context.Context, program []string) (result json.RawMessage, fault string, err error) {
	dir, err := os.MkdirTemp("", "kbench-compare-*")
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "result.json")
	cmd := exec.CommandContext(ctx, program[0], append(program[1:len(program):len(program)], "--json", file)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = interruptGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, runErr := cmd.CombinedOutput()
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if runErr == nil {
			runErr = errors.New("it wrote no result")
		}
		return nil, "", fmt.Errorf("%s: %w\n%s", strings.Join(program, " "), runErr, tail(output))
	case err != nil:
		return nil, "", err
	case !json.Valid(b):
		return nil, "", fmt.Errorf("%s: its result is no JSON", strings.Join(program, " "))
	}
	if runErr != nil && ctx.Err() == nil {
		fault = lastLine(output)
		if fault == "" {
			fault = runErr.Error()
		}
	}
	return b, fault, nil
}

func tail(b []byte) string {
	if len(b) > maxTail {
		b = b[len(b)-maxTail:]
	}
	return strings.TrimSpace(string(b))
}

func lastLine(b []byte) string {
	text := strings.TrimSpace(string(b))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
