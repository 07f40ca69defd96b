package controller

import (
	"iter"
	"slices"
	"sort"
)

// maxChunk bounds a chunk of an index. Adding or removing one topic copies one
// chunk and the list of chunks: with 10,000 topics some 3 KiB.
const maxChunk = 256

// index is an immutable set of topics in the order of a key that is unique
// among them: a list of sorted chunks. with and without return a new index that
// shares all chunks but one.
type index[K any] struct {
	// compare orders a topic against a key.
	compare func(t *Topic, key K) int
	// key is a topic's own.
	key    func(t *Topic) K
	chunks [][]*Topic // none empty
	count  int
}

// chunk returns the position of the chunk that holds key, if any does.
func (x index[K]) chunk(key K) int {
	// The first chunk that begins beyond key, less one.
	i := sort.Search(len(x.chunks), func(i int) bool { return x.compare(x.chunks[i][0], key) > 0 })
	return max(i-1, 0)
}

// find returns the position of key, or where it would be.
func (x index[K]) find(key K) (chunk, at int, ok bool) {
	if len(x.chunks) == 0 {
		return 0, 0, false
	}
	chunk = x.chunk(key)
	at, ok = slices.BinarySearchFunc(x.chunks[chunk], key, x.compare)
	return chunk, at, ok
}

// get returns the topic of that key.
func (x index[K]) get(key K) (*Topic, bool) {
	c, at, ok := x.find(key)
	if !ok {
		return nil, false
	}
	return x.chunks[c][at], true
}

// with returns the index with t added, or put in the place of the topic with the
// same key.
func (x index[K]) with(t *Topic) index[K] {
	c, at, ok := x.find(x.key(t))
	if len(x.chunks) == 0 {
		x.chunks, x.count = [][]*Topic{{t}}, 1
		return x
	}
	old := x.chunks[c]
	x.chunks = slices.Clone(x.chunks)
	if ok {
		x.chunks[c] = slices.Clone(old)
		x.chunks[c][at] = t
		return x
	}
	x.count++
	grown := make([]*Topic, 0, len(old)+1)
	grown = append(append(append(grown, old[:at]...), t), old[at:]...)
	x.chunks[c] = grown
	if len(grown) > maxChunk {
		half := len(grown) / 2
		x.chunks[c] = slices.Clip(grown[:half])
		x.chunks = slices.Insert(x.chunks, c+1, grown[half:])
	}
	return x
}

// without returns the index without the topic of that key.
func (x index[K]) without(key K) index[K] {
	c, at, ok := x.find(key)
	if !ok {
		return x
	}
	x.count--
	if len(x.chunks[c]) == 1 {
		x.chunks = slices.Delete(slices.Clone(x.chunks), c, c+1)
		return x
	}
	x.chunks = slices.Clone(x.chunks)
	x.chunks[c] = slices.Delete(slices.Clone(x.chunks[c]), at, at+1)
	return x
}

// from iterates over the topics whose key is not below key, in order.
func (x index[K]) from(key K) iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		c, at, _ := x.find(key)
		for ; c < len(x.chunks); c, at = c+1, 0 {
			for _, t := range x.chunks[c][at:] {
				if !yield(t) {
					return
				}
			}
		}
	}
}
