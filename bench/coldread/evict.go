package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// segmentSuffix is Kafka's name of files with records.
const segmentSuffix = ".log"

// segments lists the files with records below dir whose path holds part.
func segments(dir, part string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(name, segmentSuffix) && strings.Contains(name, part) {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// evict writes the cold log out and takes it out of the page cache.
func evict(dir string) error {
	names, err := segments(dir, coldTopic)
	if err == nil && len(names) == 0 {
		err = errors.New("the broker has no files of the cold topic")
	}
	for _, name := range names {
		err = errors.Join(err, evictFile(name))
	}
	return err
}

func evictFile(name string) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("evict %s: %w", name, err)
	}
	return nil
}

// diskRate reads the cold log through the page cache, by so many threads at a time, and evicts it again. It returns
// bytes per second.
func diskRate(ctx context.Context, dir string, threads int) (float64, error) {
	names, err := segments(dir, coldTopic)
	if err != nil {
		return 0, err
	}
	var next, bytes atomic.Int64
	errs := make([]error, threads)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range errs {
		wg.Go(func() {
			for n := next.Add(1) - 1; int(n) < len(names) && errs[i] == nil; n = next.Add(1) - 1 {
				errs[i] = readFile(ctx, names[n], &bytes)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	return float64(bytes.Load()) / took.Seconds(), errors.Join(append(errs, evict(dir))...)
}

func readFile(ctx context.Context, name string, bytes *atomic.Int64) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := make([]byte, 1<<20)
	for ctx.Err() == nil {
		n, err := f.Read(buf)
		bytes.Add(int64(n))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}
