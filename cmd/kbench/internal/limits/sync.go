package limits

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// writeSync writes p at off and makes it durable with fdatasync(2).
func writeSync(f *os.File, p []byte, off int64) error {
	if _, err := f.WriteAt(p, off); err != nil {
		return err
	}
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
		}
		return nil
	}
}
