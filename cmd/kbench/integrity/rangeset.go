package integrity

import (
	"fmt"
	"sort"
)

// MaxRanges bounds the intervals one RangeSet keeps. Acknowledgements arrive nearly in order, so a healthy run needs
// one; each failed batch adds one.
const MaxRanges = 100_000

// Range is a closed interval of sequence numbers. As JSON it is a pair.
type Range [2]int64

// RangeSet is a set of sequence numbers kept as sorted, disjoint, non-adjacent closed intervals. The zero value is
// empty. It is not safe for concurrent use.
type RangeSet struct {
	ranges []Range
}

// ErrTooManyRanges is returned when a set would need more than MaxRanges intervals.
var ErrTooManyRanges = fmt.Errorf("more than %d separate ranges of sequence numbers", MaxRanges)

// Add puts the closed interval [from, to] into the set. Adding what is there already changes nothing.
func (s *RangeSet) Add(from, to int64) error {
	if from > to {
		panic(fmt.Sprintf("integrity: range [%d, %d] is empty", from, to))
	}
	// The first interval that touches or follows [from, to]; nearly always the last one.
	n := len(s.ranges)
	i := n
	if n > 0 && s.ranges[n-1][1] >= from-1 {
		i = sort.Search(n, func(i int) bool { return s.ranges[i][1] >= from-1 })
	}
	j := i
	for j < n && s.ranges[j][0] <= to+1 {
		from, to = min(from, s.ranges[j][0]), max(to, s.ranges[j][1])
		j++
	}
	if j > i {
		s.ranges[i] = Range{from, to}
		s.ranges = append(s.ranges[:i+1], s.ranges[j:]...)
		return nil
	}
	if n >= MaxRanges {
		return ErrTooManyRanges
	}
	s.ranges = append(s.ranges, Range{})
	copy(s.ranges[i+1:], s.ranges[i:])
	s.ranges[i] = Range{from, to}
	return nil
}

// Remove takes seq out of the set and reports whether it was there. Splitting an interval may exceed MaxRanges by
// the number of removals; callers bound what they add.
func (s *RangeSet) Remove(seq int64) bool {
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i][1] >= seq })
	if i == len(s.ranges) || s.ranges[i][0] > seq {
		return false
	}
	r := s.ranges[i]
	switch {
	case r[0] == r[1]:
		s.ranges = append(s.ranges[:i], s.ranges[i+1:]...)
	case r[0] == seq:
		s.ranges[i][0]++
	case r[1] == seq:
		s.ranges[i][1]--
	default:
		s.ranges = append(s.ranges, Range{})
		copy(s.ranges[i+1:], s.ranges[i:])
		s.ranges[i], s.ranges[i+1] = Range{r[0], seq - 1}, Range{seq + 1, r[1]}
	}
	return true
}

// Contains reports whether seq is in the set.
func (s *RangeSet) Contains(seq int64) bool {
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i][1] >= seq })
	return i < len(s.ranges) && s.ranges[i][0] <= seq
}

// Len returns how many sequence numbers are in the set.
func (s *RangeSet) Len() int64 {
	var n int64
	for _, r := range s.ranges {
		n += r[1] - r[0] + 1
	}
	return n
}

// Ranges returns the intervals in order. The slice belongs to the set and is valid until its next change.
func (s *RangeSet) Ranges() []Range { return s.ranges }

// overlap returns how many numbers of [from, to] are in the set and the first of them (-1 when none).
func (s *RangeSet) overlap(from, to int64) (n, first int64) {
	first = -1
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i][1] >= from })
	for ; i < len(s.ranges) && s.ranges[i][0] <= to; i++ {
		lo, hi := max(from, s.ranges[i][0]), min(to, s.ranges[i][1])
		if first < 0 {
			first = lo
		}
		n += hi - lo + 1
	}
	return n, first
}
