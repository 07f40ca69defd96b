package uring

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Map returns n bytes of zeroed private memory outside the Go heap, page
// aligned and not touched yet, fit for operations in flight.
func Map(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("uring: mmap of %d bytes: %w", n, err)
	}
	return b, nil
}

// Unmap gives memory of Map back. No operation may refer to it any more.
func Unmap(b []byte) error {
	if err := unix.Munmap(b); err != nil {
		return fmt.Errorf("uring: munmap of %d bytes: %w", len(b), err)
	}
	return nil
}
