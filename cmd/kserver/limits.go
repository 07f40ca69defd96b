package main

import (
	"fmt"
	"log/slog"
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

// ensureProcs makes sure that an event loop which sleeps in the kernel leaves a processor to the rest: a thread
// in a system call keeps its processor until the scheduler's next look.
func ensureProcs() {
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
}
