package netio

import (
	"encoding/binary"
	"fmt"
	"math"

	"kserver/sendfile"
)

// maxBlock bounds one block of response memory, and with it one send.
const maxBlock = 256 << 10

// part is a piece of a response: bytes in memory, or a range of a file.
type part struct {
	p   []byte // in a block of the response; nil for a file range
	src sendfile.Source
	off int64
	n   int // bytes of the range
}

func (p *part) size() int {
	if p.src != nil {
		return p.n
	}
	return len(p.p)
}

// Response collects the parts of one answer: copies of bytes, and file ranges.
// netio puts the four-byte length in front. It belongs to its Request, and the
// same rules hold: loop's thread, until the request is answered.
type Response struct {
	request *Request
	parts   []part
	next    int      // first part that has not been passed to the output
	blocks  [][]byte // memory of the parts
	tail    []byte   // free end of the last block
	open    bool     // the last part ends where tail begins
	size    int      // bytes, with the length in front
	ranges  int      // file parts
}

// Len is the number of bytes so far, without the length in front.
func (w *Response) Len() int { return max(w.size-lengthBytes, 0) }

// Write appends a copy of p.
func (w *Response) Write(p []byte) {
	w.request.mustBe(requestOpen, "Response.Write")
	if w.request.gone {
		return
	}
	l := w.request.conn.loop
	w.begin(l, len(p))
	for len(p) > 0 {
		k := copy(w.room(l, len(p)), p)
		w.extend(k)
		p = p[k:]
	}
}

// File appends n bytes of src from byte offset off; n is positive. The source
// is pinned until the bytes are sent or the connection has closed, then
// src.Release is called, once for each call of File.
func (w *Response) File(src sendfile.Source, off int64, n int) {
	w.request.mustBe(requestOpen, "Response.File")
	if n <= 0 || off < 0 || off > math.MaxInt64-int64(n) {
		panic(fmt.Sprintf("netio: file range of %d bytes at %d", n, off))
	}
	if w.request.gone {
		src.Release()
		return
	}
	w.begin(w.request.conn.loop, 0)
	w.parts = append(w.parts, part{src: src, off: off, n: n})
	w.open = false
	w.size += n
	w.ranges++
}

// begin leaves room for the length in front of the first part.
func (w *Response) begin(l *Loop, hint int) {
	if w.size > 0 {
		return
	}
	clear(w.room(l, lengthBytes+hint)[:lengthBytes])
	w.extend(lengthBytes)
}

// room returns memory behind the last byte, at least one byte and n if a block
// can hold them.
func (w *Response) room(l *Loop, n int) []byte {
	if len(w.tail) == 0 {
		b := l.takeBlock(min(n, maxBlock))
		w.blocks = append(w.blocks, b)
		w.tail, w.open = b, false
	}
	return w.tail[:min(n, len(w.tail))]
}

// extend makes the first n bytes of the room part of the response.
func (w *Response) extend(n int) {
	if w.open {
		p := &w.parts[len(w.parts)-1].p
		*p = (*p)[:len(*p)+n]
	} else {
		w.parts = append(w.parts, part{p: w.tail[:n]})
		w.open = true
	}
	w.tail = w.tail[n:]
	w.size += n
}

// seal writes the length.
func (w *Response) seal(l *Loop) {
	if w.request.gone {
		return
	}
	w.begin(l, 0)
	if w.Len() > math.MaxInt32 {
		panic(fmt.Sprintf("netio: response of %d bytes", w.Len()))
	}
	binary.BigEndian.PutUint32(w.parts[0].p, uint32(w.Len()))
}

// release gives up the parts that have not been passed on, and all memory.
func (w *Response) release(l *Loop) {
	for i := w.next; i < len(w.parts); i++ {
		if src := w.parts[i].src; src != nil {
			src.Release()
		}
	}
	for _, b := range w.blocks {
		l.giveBlock(b)
	}
	clear(w.parts)
	clear(w.blocks)
	w.parts, w.blocks, w.tail = w.parts[:0], w.blocks[:0], nil
	w.next, w.size, w.ranges, w.open = 0, 0, 0, false
}
