package tools

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// Driver is one JVM that runs the main methods of tools one after the other (ToolDriver.java), because
// starting a JVM costs ten times what most tools do. It is safe for concurrent use; calls wait for each
// other. The zero Driver is not usable; see Java.Driver.
type Driver struct {
	java *Java
	mu   sync.Mutex
	// jvm is nil until the first call and after a call that did not end well.
	jvm *jvm
}

// jvm is a running ToolDriver.
type jvm struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	keep   func() // its class data archive, after a good end
}

// Result is what a tool did: its exit status and all it printed.
type Result struct {
	Status   int
	Out, Err string
}

// Driver makes a driver; its JVM starts with the first call. Close ends it.
func (j *Java) Driver() *Driver { return &Driver{java: j} }

// Run runs a class with the given standard input to its end. timeout makes the context of the call, once
// its turn has come; when it ends first, the JVM is killed and the next call gets a new one.
func (d *Driver) Run(timeout func() (context.Context, context.CancelFunc), stdin, class string, args ...string) (Result, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx, cancel := timeout()
	defer cancel()
	if d.jvm == nil {
		var err error
		if d.jvm, err = d.java.startDriver(); err != nil {
			return Result{}, err
		}
	}
	// Only the call's own process is killed, and only while it is waited for.
	running := d.jvm.cmd
	stop := context.AfterFunc(ctx, func() { _ = running.Process.Kill() })
	result, err := d.jvm.call(stdin, class, args)
	if stop() && err == nil {
		return result, nil
	}
	// A tool may have ended the JVM by itself.
	_ = running.Process.Kill()
	err = fmt.Errorf("%s %s: no result: %w", class, strings.Join(args, " "), errors.Join(err, ctx.Err(), d.jvm.end()))
	d.jvm = nil
	return Result{}, err
}

// Close ends the JVM.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.jvm == nil {
		return nil
	}
	err := d.jvm.end()
	d.jvm = nil
	return err
}

func (j *Java) startDriver() (*jvm, error) {
	argv := j.Command("ToolDriver", "256m")
	keep := j.makeArchive(argv)
	cmd := exec.Command(argv[0], argv[1:]...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &jvm{cmd: cmd, stdin: stdin, stdout: bufio.NewReader(stdout), keep: keep}, nil
}

func (v *jvm) call(stdin, class string, args []string) (Result, error) {
	var line strings.Builder
	for i, f := range append([]string{class, stdin}, args...) {
		if i > 0 {
			line.WriteByte(' ')
		}
		line.WriteString(encodeField(f))
	}
	if _, err := io.WriteString(v.stdin, line.String()+"\n"); err != nil {
		return Result{}, err
	}
	answer, err := v.stdout.ReadString('\n')
	if err != nil {
		return Result{}, err
	}
	fields := strings.Fields(answer)
	if len(fields) != 3 {
		return Result{}, fmt.Errorf("answer %q", answer)
	}
	var r Result
	if r.Status, err = strconv.Atoi(strings.TrimSuffix(fields[0], ".")); err != nil {
		return Result{}, err
	}
	if r.Out, err = decodeField(fields[1]); err != nil {
		return Result{}, err
	}
	if r.Err, err = decodeField(fields[2]); err != nil {
		return Result{}, err
	}
	return r, nil
}

// A field ends in a dot, so that an empty one is still a field.
func encodeField(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) + "." }

func decodeField(field string) (string, error) {
	text, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(field, "."))
	return string(text), err
}

// end closes the JVM's input, which ends it, and waits.
func (v *jvm) end() error {
	_ = v.stdin.Close() // a JVM that was killed has closed it already
	if err := v.cmd.Wait(); err != nil {
		return err
	}
	v.keep()
	return nil
}
