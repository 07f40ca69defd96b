package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// prepareDirs makes the data directories and warns of what is wrong with them. One that cannot be used is an
// error only if it is the first, which holds the metadata: without another the broker starts, as Kafka does. A
// full disk is none, because the broker is how it gets empty again.
func prepareDirs(dirs []string, logger *slog.Logger) error {
	for i, dir := range dirs {
		err := prepareDir(dir)
		warning := ""
		if err == nil {
			warning, err = fileSystemWarning(dir)
		}
		switch {
		case err == nil && warning == "":
		case err == nil:
			logger.Warn(warning)
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
			logger.Warn("a data directory is full", "dir", dir, "err", err)
		case i > 0:
			logger.Error("a data directory cannot be used, its partitions are offline", "dir", dir, "err", err)
		default:
			return err
		}
	}
	return nil
}

// prepareDir makes a data directory and checks that files can be written there. The error says what to do.
func prepareDir(dir string) error {
	shown := dir
	if abs, err := filepath.Abs(dir); err == nil {
		shown = abs
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the data directory %s: %w; choose another with --log.dirs", shown, reason(err))
	}
	probe, err := os.CreateTemp(dir, ".kserver-write-check-")
	if err != nil {
		return fmt.Errorf("cannot write to the data directory %s: %w; give this user the right to, or choose another with --log.dirs", shown, reason(err))
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("cannot write to the data directory %s: %w", shown, reason(err))
	}
	return nil
}

// reason strips the path, which the message names already, from a file system error.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// fileSystemWarning names the trouble with the file system a data directory lies on, or returns "". Kserver runs
// on such file systems, because tests and short-lived brokers do, but never without saying what is lost.
func fileSystemWarning(dir string) (string, error) {
	var stat unix.Statfs_t
	for {
		err := unix.Statfs(dir, &stat)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return "", fmt.Errorf("statfs %s: %w", dir, err)
		}
	}
	return warningFor(int64(stat.Type), dir), nil
}

func warningFor(magic int64, dir string) string {
	switch magic {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return fmt.Sprintf("%s lies in memory: a restart of the machine loses every record, acknowledged or not", dir)
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.AFS_SUPER_MAGIC,
		unix.CODA_SUPER_MAGIC, unix.NCP_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CEPH_SUPER_MAGIC:
		return fmt.Sprintf("%s lies on a network file system: locks and syncs may not hold what durability needs; use a local disk", dir)
	case unix.FUSE_SUPER_MAGIC:
		return fmt.Sprintf("%s lies on a FUSE file system: whether a sync reaches the disk is up to the program behind it", dir)
	case unix.OVERLAYFS_SUPER_MAGIC:
		return fmt.Sprintf("%s lies in a container's own layer: removing the container loses every record; mount a volume there", dir)
	}
	return ""
}
