package main

import (
	"errors"
	"fmt"
	"syscall"

	"kserver/cluster/configs"
	"kserver/engine"
)

// explainStart turns the errors a user can mend into one sentence that says how.
func explainStart(b *configs.Broker, err error) error {
	switch {
	case errors.Is(err, engine.ErrLocked):
		return fmt.Errorf("%w; stop that process, or choose another directory with --log.dirs", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; another program listens there: stop it, or choose another address with --listeners PLAINTEXT://127.0.0.1:%d", err, freshPort(b))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w; this machine has no such address: choose one it has, or every one of them with --listeners PLAINTEXT://:9092", err)
	case errors.Is(err, syscall.EACCES) && privileged(b):
		return fmt.Errorf("%w; ports below 1024 need a privilege: choose a higher one with --listeners", err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("%w; raise the hard limit of open files (ulimit -Hn, or LimitNOFILE= in systemd)", err)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w; make room, or choose a directory on another disk with --log.dirs", err)
	}
	return err
}

// freshPort is a port to propose: the one after the highest that was asked for.
func freshPort(b *configs.Broker) int {
	highest := 0
	for _, l := range b.Network.Listeners {
		highest = max(highest, l.Port)
	}
	return min(highest+1, 65535)
}

// privileged reports whether a listener asks for a port below 1024.
func privileged(b *configs.Broker) bool {
	for _, l := range b.Network.Listeners {
		if l.Port > 0 && l.Port < 1024 {
			return true
		}
	}
	return false
}
