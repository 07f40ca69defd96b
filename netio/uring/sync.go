package uring

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SyncAll makes the data of all files durable: one fdatasync each, all under
// way at once, which the kernel's workers run side by side. It waits for all
// and stores the result of fds[i] in errs[i] (nil, or an *errno-wrapping
// error*). A failed one must not be repeated in the belief that it then holds.
//
// The ring must have nothing else in flight. The returned error is that of the
// ring itself, after which no result can be trusted: errs is then filled with
// it where no result came.
func (r *Ring) SyncAll(fds []int, errs []error) error {
	if len(errs) != len(fds) {
		panic(fmt.Sprintf("uring: %d descriptors, %d results", len(fds), len(errs)))
	}
	for first := 0; first < len(fds); first += DefaultEntries {
		last := min(first+DefaultEntries, len(fds))
		if err := r.syncSome(fds[first:last], errs[first:last]); err != nil {
			for i := last; i < len(errs); i++ {
				errs[i] = err
			}
			return err
		}
	}
	return nil
}

// errPending marks a result that has not come.
var errPending = fmt.Errorf("uring: no result")

func (r *Ring) syncSome(fds []int, errs []error) (err error) {
	left := 0
	defer func() {
		if err == nil {
			return
		}
		for i := range errs {
			if errs[i] == errPending {
				errs[i] = err
			}
		}
	}()
	for i := range errs {
		errs[i] = errPending
	}
	for i, fd := range fds {
		s, err := r.SQE()
		if err != nil {
			return err
		}
		s.PrepDatasync(fd)
		s.UserData = uint64(i)
		left++
	}
	for left > 0 {
		if err := r.Wait(left, NoTimeout); err != nil {
			return err
		}
		for c, ok := r.Next(); ok; c, ok = r.Next() {
			if c.UserData >= uint64(len(errs)) || errs[c.UserData] != errPending {
				return fmt.Errorf("uring: completion %d during a sync of %d files", c.UserData, len(fds))
			}
			errs[c.UserData] = nil
			if c.Res < 0 {
				errs[c.UserData] = fmt.Errorf("uring: fdatasync: %w", unix.Errno(-c.Res))
			}
			left--
		}
	}
	return nil
}
