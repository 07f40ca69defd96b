package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"kserver/bench/internal/beside"
	"kserver/cmd/kbench/process"
)

// The attack runs in a process of its own, with a lower priority: what it takes of the processors is neither the
// broker's nor the well-behaved client's. It reads orders from its standard input, one JSON value each, and answers
// each with its counts. The end of the input, or an order without a kind, lets go of the connections it holds.

// order is one kind of attack, or "" for the end of all.
type order struct {
	Kind   string
	Inputs int
}

// counts are how the inputs of one kind ended.
type counts struct {
	Inputs, Answered, Closed, Silent, Refused int64
	Strange                                   int64 // answers no broker may give
	CPU                                       time.Duration
}

// newAttackCommand is the attacking process.
func newAttackCommand() *cobra.Command {
	return beside.Command("attack ADDRESS SEED", cobra.ExactArgs(2), func(cmd *cobra.Command, args []string) error {
		seed, err := strconv.ParseUint(args[1], 10, 64)
		if err != nil {
			return err
		}
		return obey(cmd.Context(), args[0], seed, cmd.InOrStdin(), cmd.OutOrStdout())
	})
}

// obey attacks as it is ordered.
func obey(ctx context.Context, addr string, seed uint64, in io.Reader, out io.Writer) error {
	holds := newHolds(ctx)
	defer holds.release()
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := dec.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		var c counts
		if i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == o.Kind }); i >= 0 {
			a := &attack{ctx: ctx, addr: addr, name: o.Kind, seed: seed, holds: holds}
			kinds[i].run(a, o.Inputs)
			c = counts{
				Inputs: a.inputs.Load(), Answered: a.answered.Load(), Closed: a.closed.Load(), Silent: a.silent.Load(),
				Refused: a.refused.Load(), Strange: a.strange.Load(),
			}
		} else {
			holds.release()
		}
		var err error
		if c.CPU, err = process.Self(); err != nil {
			return err
		}
		if err := enc.Encode(c); err != nil {
			return err
		}
	}
}

// attacker is the attacking process, seen from outside. One goroutine uses it.
type attacker struct {
	process *beside.Process
	enc     *json.Encoder
	dec     *json.Decoder
}

func startAttacker(addr string, seed uint64, nice int) (*attacker, error) {
	p, err := beside.Start(nice, "attack", addr, strconv.FormatUint(seed, 10))
	if err != nil {
		return nil, err
	}
	return &attacker{process: p, enc: json.NewEncoder(p.In), dec: json.NewDecoder(p.Out)}, nil
}

// attack runs one kind to its end.
func (a *attacker) attack(kind string, inputs int) (c counts, err error) {
	if err := a.enc.Encode(order{kind, inputs}); err != nil {
		return c, fmt.Errorf("%s: the attacker has ended: %w", kind, err)
	}
	if err := a.dec.Decode(&c); err != nil {
		return c, fmt.Errorf("%s: the attacker has ended: %w", kind, err)
	}
	return c, nil
}

// release lets go of every connection and returns the attacker's processor time.
func (a *attacker) release() (time.Duration, error) {
	c, err := a.attack("", 0)
	return c.CPU, err
}

// stop ends the process.
func (a *attacker) stop() error {
	return a.process.Stop()
}
