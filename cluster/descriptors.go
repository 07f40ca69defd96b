package cluster

import (
	"log/slog"
	"math"

	"golang.org/x/sys/unix"
)

// Descriptors are shared by connections and by the files of the log. Connections
// get what is left beside a reserve, so that however many come the log can open
// its files: a log that cannot is lost to its clients.

// spareDescriptors is what is kept beside the open segments: listeners, rings,
// directories, files that are open for a moment.
const spareDescriptors = 1024

// connectionDescriptors is how many descriptors of limit connections may have
// beside a log that keeps maxOpenFiles open: at least half.
func connectionDescriptors(limit uint64, maxOpenFiles int) int {
	reserve := min(uint64(maxOpenFiles)+spareDescriptors, limit/2)
	return int(min(limit-reserve, math.MaxInt32))
}

// descriptorsForConnections asks the process for its limit.
func descriptorsForConnections(maxOpenFiles int, logger *slog.Logger) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		logger.Warn("cannot read the limit of open files, connections are not bounded by it", "err", err)
		return math.MaxInt32
	}
	return connectionDescriptors(limit.Cur, maxOpenFiles)
}
