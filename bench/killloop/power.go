package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a file system in a file, mounted by loop, that can lose its power: the ioctl shuts the file system down, so
// that nothing more reaches the image; what the broker does until it is killed gets EIO; mounting it again replays
// the journal, as after a real loss.
type disk struct {
	kind  string // ext4 or xfs
	image string
	mount string
}

const (
	// goingDown is EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, _IOR('X', 125, __u32).
	goingDown = 0x8004587d
	// Modes of it: what is in the journal's memory is written, or not even that.
	modeLogFlush   = 1
	modeNoLogFlush = 2
	// deadAtMost is how long the broker goes on after the loss.
	deadAtMost = 50 * time.Millisecond
	// detachTries with detachPause between them bound an unmount.
	detachTries = 200
	detachPause = 25 * time.Millisecond
)

// errNoPower says why this machine cannot make such disks; the run is skipped.
var errNoPower = errors.New("power cannot be taken away here")

// newDisk makes and mounts a file system of size bytes below dir.
func newDisk(dir, kind string, size int64) (*disk, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: mounting needs root", errNoPower)
	}
	d := &disk{kind: kind, image: filepath.Join(dir, kind+".img"), mount: filepath.Join(dir, kind)}
	maker, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		return nil, fmt.Errorf("%w: mkfs.%s is missing (packages e2fsprogs, xfsprogs)", errNoPower, kind)
	}
	f, err := os.Create(d.image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close(), os.Mkdir(d.mount, 0o755))
	}
	if err != nil {
		return nil, err
	}
	if err := command(maker, "-q", d.image); err != nil {
		return nil, err
	}
	if err := d.attach(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPower, err)
	}
	return d, nil
}

func (d *disk) attach() error {
	return command("mount", "-t", d.kind, "-o", "loop", d.image, d.mount)
}

// detach unmounts. The kernel lets go of the files of a ring a moment after its process has ended.
func (d *disk) detach() (err error) {
	for range detachTries {
		if err = command("umount", d.mount); err == nil {
			return nil
		}
		time.Sleep(detachPause)
	}
	return err
}

// lose takes the power away.
func (d *disk) lose(mode int) error {
	dir, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(int(dir.Fd()), goingDown, mode); err != nil {
		return errors.Join(fmt.Errorf("shut down %s: %w", d.mount, err), dir.Close())
	}
	return dir.Close()
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// onDisk runs f, with --power-loss with the broker's data on a file system of its own, below its directory.
func (l *loop) onDisk(f func() error) (err error) {
	if l.o.powerLoss == "" {
		return f()
	}
	if l.disk, err = newDisk(l.spec.Dir, l.o.powerLoss, l.o.diskBytes); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.disk.detach()) }()
	l.spec.Dir = filepath.Join(l.disk.mount, "data")
	if err := os.Mkdir(l.spec.Dir, 0o755); err != nil {
		return err
	}
	return f()
}

// end kills the broker; with a disk, its power goes first.
func (l *loop) end(load *load) error {
	if l.disk == nil {
		return l.process.Kill()
	}
	load.losing.Store(true)
	defer load.losing.Store(false)
	if err := l.disk.lose(modeLogFlush + l.rng.IntN(modeNoLogFlush)); err != nil {
		return err
	}
	time.Sleep(time.Duration(l.rng.Int64N(int64(deadAtMost))))
	if err := l.process.Kill(); err != nil {
		return err
	}
	if err := l.disk.detach(); err != nil {
		return err
	}
	return l.disk.attach()
}
