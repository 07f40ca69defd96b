package main

import (
	"testing"

	"kserver/bench/internal/launch"
)

func TestOptions(t *testing.T) {
	cmd := newCommand()
	if err := cmd.ParseFlags([]string{"--connections", "7", "--fetches=0", "--max-bytes", "8192"}); err != nil {
		t.Fatal(err)
	}
	if n, err := cmd.Flags().GetInt("connections"); err != nil || n != 7 {
		t.Errorf("%d, %v", n, err)
	}
	spec := launch.Spec{Command: command, Binary: "b", Dir: "d", Port: 1, Backend: "epoll"}
	args, err := spec.Args()
	if err != nil || args[0] != "b" || args[len(args)-1] != "group.initial.rebalance.delay.ms=0" {
		t.Errorf("%q, %v", args, err)
	}
}
