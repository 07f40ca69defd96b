package comparison

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Settle writes back what the file system of the system's data has not written yet, or all file systems where the
// directory is unknown.
func Settle(s *System) error {
	if s.Dir == "" {
		unix.Sync()
		return nil
	}
	d, err := os.Open(s.Dir)
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(d.Fd()))
	if err != nil {
		err = fmt.Errorf("syncfs %s: %w", s.Dir, err)
	}
	return errors.Join(err, d.Close())
}

// Evict drops the files below dir from the page cache, but for pages that are dirty or mapped. Files that end
// meanwhile do not matter.
func Evict(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			err = fmt.Errorf("fadvise %s: %w", name, err)
		}
		return errors.Join(err, f.Close())
	})
}

// FileSystem describes the file system of dir by its kind, or returns nothing when it cannot be found out.
func FileSystem(dir string) string {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return ""
	}
	kinds := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
		unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	}
	kind, ok := kinds[s.Type]
	if !ok {
		kind = fmt.Sprintf("type %#x", s.Type)
	}
	return fmt.Sprintf("%s, %d GiB, %d GiB free", kind, uint64(s.Blocks)*uint64(s.Bsize)>>30, s.Bavail*uint64(s.Bsize)>>30)
}
