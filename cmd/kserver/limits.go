package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// leastOpenFiles is the number of open files below which a broker with some thousand connections and partitions
// will run out.
const leastOpenFiles = 10000

// raiseOpenFiles lifts the soft limit of open files to the hard one and warns when that is still low.
func raiseOpenFiles(logger *slog.Logger) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		logger.Warn("cannot read the limit of open files", "err", err)
		return
	}
	if limit.Cur < limit.Max {
		before := limit.Cur
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			logger.Warn("cannot raise the limit of open files", "from", before, "to", limit.Max, "err", err)
			limit.Cur = before
		}
	}
	if warning := openFilesWarning(limit.Cur); warning != "" {
		logger.Warn(warning)
	}
}

// openFilesWarning returns what to tell of a limit, "" when it is high enough.
func openFilesWarning(limit uint64) string {
	if limit >= leastOpenFiles {
		return ""
	}
	return fmt.Sprintf("only %d files may be open, connections and log segments together; raise the hard limit to %d or more (ulimit -Hn, or LimitNOFILE= in systemd)", limit, leastOpenFiles)
}

// ensureProcs lets more threads run Go than there are processors, unless GOMAXPROCS in the environment says
// otherwise: one more for each event loop and one for who waits for the disks. They sleep in the kernel, and when they
// are woken they have to run at once, which is up to the kernel then. With as many as processors they would queue
// behind every request that is decoded elsewhere, for as long as Go lets a goroutine run: 10 ms. Two are the least: a
// thread in a system call keeps its place until Go's scheduler looks again.
func ensureProcs(loops int) {
	runtime.GOMAXPROCS(procs(runtime.GOMAXPROCS(0), loops, os.Getenv("GOMAXPROCS") != ""))
}

// procs is the number of threads that may run Go; processors is what the runtime has found, or was told.
func procs(processors, loops int, told bool) int {
	if told {
		return max(2, processors)
	}
	return processors + loops + 1
}
