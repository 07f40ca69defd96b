// Package uringtest helps tests of fallbacks: it takes io_uring away from a
// process. Only tests import it.
package uringtest

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Deny makes the three system calls of io_uring fail with errno in every thread
// of this process, for the rest of its life: EPERM as the default profiles of
// container runtimes do, ENOSYS as an old kernel does. It needs no privilege.
// A test starts itself again as a child process and calls Deny there.
func Deny(errno unix.Errno) error {
	const (
		load       = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jumpGE     = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		jumpGT     = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
		ret        = unix.BPF_RET | unix.BPF_K
		callNumber = 0 // offset in struct seccomp_data
		setFilter  = 1 // SECCOMP_SET_MODE_FILTER
		allThreads = 1 // SECCOMP_FILTER_FLAG_TSYNC
	)
	prog := []unix.SockFilter{
		{Code: load, K: callNumber},
		{Code: jumpGE, Jf: 2, K: unix.SYS_IO_URING_SETUP},
		{Code: jumpGT, Jt: 1, K: unix.SYS_IO_URING_REGISTER},
		{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	filter := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("uringtest: no_new_privs: %w", err)
	}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, setFilter, allThreads, uintptr(unsafe.Pointer(&filter)))
	runtime.KeepAlive(prog)
	if e != 0 {
		return fmt.Errorf("uringtest: seccomp: %w", e)
	}
	return nil
}
