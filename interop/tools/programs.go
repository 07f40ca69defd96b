package tools

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// installer is what a person runs to get the programs of this file.
const installer = "run interop/install.sh"

// root is the directory of the suite, below which install.sh puts everything.
func root() string { return filepath.Dir(SourceDir()) }

func installed(parts ...string) (string, error) {
	path := filepath.Join(append([]string{root()}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: %s is not there: %s", ErrUnavailable, path, installer)
	}
	return path, nil
}

// Python returns the argv that runs a program of python/ with the packages it needs.
func Python(program string) ([]string, error) {
	if _, err := installed(".venv", "installed"); err != nil {
		return nil, err
	}
	interpreter, err := installed(".venv", "bin", "python")
	return []string{interpreter, filepath.Join(root(), "python", program)}, err
}

// Node returns the argv that runs a program of node/, by the Node that was installed with the packages.
func Node(program string) ([]string, error) {
	if _, err := installed("node", "node_modules", "installed"); err != nil {
		return nil, err
	}
	interpreter, err := installed("node", "node_modules", ".bin", "node")
	return []string{interpreter, filepath.Join(root(), "node", program)}, err
}

// Debian is a program unpacked from a Debian package, with the libraries it came with.
type Debian struct {
	path        string
	libraryPath string
}

// Unpacked finds a program by its path in its package, such as usr/bin/kcat.
func Unpacked(path string) (*Debian, error) {
	if _, err := installed(".debian", "installed"); err != nil {
		return nil, err
	}
	found, err := installed(".debian", path)
	if err != nil {
		return nil, err
	}
	d := &Debian{path: found}
	for _, pattern := range []string{"usr/lib/*-linux-gnu", "lib/*-linux-gnu", "usr/lib/syslog-ng"} {
		dirs, err := filepath.Glob(filepath.Join(root(), ".debian", pattern))
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			d.libraryPath += dir + ":"
		}
	}
	return d, nil
}

// Dir returns the one directory of the unpacked packages that a pattern matches, such as
// usr/lib/*-linux-gnu/rsyslog.
func (d *Debian) Dir(pattern string) (string, error) {
	dirs, err := filepath.Glob(filepath.Join(root(), ".debian", pattern))
	if err == nil && len(dirs) != 1 {
		err = fmt.Errorf("%d directories match %s", len(dirs), pattern)
	}
	if err != nil {
		return "", err
	}
	return dirs[0], nil
}

// Command prepares the program for running; the caller sets cancellation, directory and streams.
func (d *Debian) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(d.path, args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+d.libraryPath+os.Getenv("LD_LIBRARY_PATH"))
	return cmd
}
