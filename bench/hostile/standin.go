package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"kserver/bench/internal/beside"
)

// The stand-in is a server in a process of its own that does next to nothing: it answers every whole frame with the
// frame's correlation id and closes connections whose frames cannot be. Attacked in the broker's place, it shows how
// long the well-behaved client waits because the attacker, the network and a server of some kind take processors from
// the broker, and not because of what the broker does with the attack.

const (
	// standInFrame is the largest frame it takes.
	standInFrame = announced
	// standInBuffer is what it reads at a time.
	standInBuffer = 4 << 10
)

// newStandInCommand is the process. It prints its address and ends with its standard input.
func newStandInCommand() *cobra.Command {
	return beside.Command("stand-in", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), l.Addr()); err != nil {
			return errors.Join(err, l.Close())
		}
		go standIn(l)
		_, err = io.Copy(io.Discard, cmd.InOrStdin())
		return errors.Join(err, l.Close())
	})
}

// standIn serves until l is closed.
func standIn(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer reset(c)
			_ = answerFrames(c) // that a peer has gone is how every connection ends
		}()
	}
}

// answerFrames answers every frame until one cannot be.
func answerFrames(c io.ReadWriter) error {
	r := bufio.NewReaderSize(c, standInBuffer)
	for {
		var head [12]byte // length, key, version, correlation id
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		n := int32(binary.BigEndian.Uint32(head[:]))
		if n < 8 || n > standInFrame {
			return fmt.Errorf("a frame of %d bytes", n)
		}
		if _, err := r.Discard(int(n) - 8); err != nil {
			return err
		}
		answer := [8]byte{3: 4}
		copy(answer[4:], head[8:])
		if _, err := c.Write(answer[:]); err != nil {
			return err
		}
	}
}

// standInProcess is the process, seen from outside.
type standInProcess struct {
	process *beside.Process
	addr    string
}

func startStandIn() (*standInProcess, error) {
	p, err := beside.Start(0, "stand-in")
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(p.Out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the stand-in has ended: %w", err), p.Stop())
	}
	return &standInProcess{process: p, addr: strings.TrimSpace(line)}, nil
}

// stop ends the process.
func (s *standInProcess) stop() error { return s.process.Stop() }
