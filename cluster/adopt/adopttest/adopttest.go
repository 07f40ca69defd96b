// Package adopttest unpacks the log directory of an Apache Kafka that was stopped cleanly, with which tests of an
// adoption begin. It is for tests only, and imports nothing of ours, so that the tests of every room may use it.
package adopttest

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// EachFile calls visit with each file of a tar.gz, in its order: the path, which is clean and never leaves the directory
// it is relative to, and the contents, which visit may keep. It returns the first error.
func EachFile(archive string, visit func(path string, contents []byte) error) (err error) {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.FileInfo().IsDir() {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := visit(filepath.Clean("/" + h.Name)[1:], b); err != nil {
			return err
		}
	}
}

// Unpack writes all files of a tar.gz below dir.
func Unpack(archive, dir string) error {
	return EachFile(archive, func(path string, contents []byte) error {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, contents, 0o644)
	})
}
