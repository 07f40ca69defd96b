package protocol

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
)

// Limits of what one request may contain. They bound the memory that decoding
// takes: kmsg makes slices from the element counts it reads, and a map entry of
// every tag it does not know.
const (
	// MaxElements is the number of array elements in a request, nested ones
	// included.
	MaxElements = 1 << 18
	// maxUnknownTags is the number of tagged fields nobody has defined.
	maxUnknownTags = 1000
)

// shape describes the body of one request API; see shapes.
type shape struct {
	key, min, max int16
	flexible      int16 // first flexible version
	fields        string
}

// layout is a shape compiled for one version.
type layout struct {
	fields   []node
	flexible bool
	hasBytes bool // some field aliases the body after kmsg decoded it
}

// nodeKind says what a node of a layout is.
type nodeKind uint8

const (
	kindFixed nodeKind = iota
	kindString
	kindBytes
	kindArray
	kindStruct
	kindNullableStruct
)

// node is one field, or a run of fields of fixed size.
type node struct {
	kind nodeKind
	size int    // kindFixed: bytes
	min  int    // smallest encoding in bytes
	held int    // bytes of its decoded value, without what that points to
	sub  []node // fields of a struct; the one element type of an array
	tags []tag  // structs: the tagged fields
}

type tag struct {
	number uint32
	field  []node // exactly one
}

// maxKey is the largest API key with a shape.
const maxKey = 94

// layouts holds the compiled layouts by key and version; they are made on first
// use.
var layouts = func() (t [maxKey + 1]struct {
	shape    *shape
	compiled []atomic.Pointer[layout]
}) {
	for i := range shapes {
		s := &shapes[i]
		t[s.key].shape = s
		t[s.key].compiled = make([]atomic.Pointer[layout], s.max-s.min+1)
	}
	return t
}()

// shapeOf returns the shape of an API, or nil.
func shapeOf(key int16) *shape {
	if key < 0 || key > maxKey {
		return nil
	}
	return layouts[key].shape
}

// layoutOf returns the layout of a request, or nil if key and version are none of
// Kafka's.
func layoutOf(key, version int16) *layout {
	s := shapeOf(key)
	if s == nil || version < s.min || version > s.max {
		return nil
	}
	p := &layouts[key].compiled[version-s.min]
	if l := p.Load(); l != nil {
		return l
	}
	c := compiler{text: s.fields, version: version, flexible: version >= s.flexible}
	l := &layout{
		fields:   []node{c.structure(kindStruct, 0)},
		flexible: c.flexible,
		hasBytes: strings.Contains(s.fields, "y"),
	}
	p.Store(l)
	return l
}

// compiler turns the text of a shape into nodes for one version.
type compiler struct {
	text     string
	at       int
	version  int16
	flexible bool
}

// structure compiles the fields up to the closing byte (0: the end) and consumes
// that.
func (c *compiler) structure(kind nodeKind, end byte) node {
	nodes, tags, held := c.fields(end)
	n := node{kind: kind, sub: nodes, tags: tags, held: held + tagsBytes}
	for i := range nodes {
		n.min += nodes[i].min
	}
	if c.flexible {
		n.min++ // the number of tagged fields
	}
	return n
}

// fields compiles the fields of a structure. held is what the decoded structure
// takes: it has the fields of all versions.
func (c *compiler) fields(end byte) (nodes []node, tags []tag, held int) {
	for {
		for c.peek() == ' ' {
			c.at++
		}
		if c.peek() == end {
			c.at++
			return nodes, tags, held
		}
		number := -1
		if c.peek() == '#' {
			c.at++
			number = c.number()
		}
		n := c.field()
		held += n.held
		present := c.present()
		switch last := len(nodes) - 1; {
		case number >= 0: // kmsg decodes tagged fields in every version
			tags = append(tags, tag{uint32(number), []node{n}})
		case !present:
		case n.kind == kindFixed && last >= 0 && nodes[last].kind == kindFixed:
			nodes[last].size += n.size
			nodes[last].min += n.min
			nodes[last].held += n.held
		default:
			nodes = append(nodes, n)
		}
	}
}

func (c *compiler) field() node {
	kind := c.peek()
	c.at++
	lengthSize := func(classic int) int {
		if c.flexible {
			return 1
		}
		return classic
	}
	switch kind {
	case 'b', 'h', 'i', 'l', 'u':
		size := map[byte]int{'b': 1, 'h': 2, 'i': 4, 'l': 8, 'u': 16}[kind]
		return node{kind: kindFixed, size: size, min: size, held: max(size, wordBytes)}
	case 's':
		return node{kind: kindString, min: lengthSize(2), held: stringBytes}
	case 'y':
		return node{kind: kindBytes, min: lengthSize(4), held: sliceBytes}
	case '[':
		elem := c.field()
		c.at++ // ]
		return node{kind: kindArray, min: lengthSize(4), held: sliceBytes, sub: []node{elem}}
	case '{':
		return c.structure(kindStruct, '}')
	case '?':
		n := c.field()
		n.kind, n.min, n.held = kindNullableStruct, 1, n.held+wordBytes
		return n
	}
	panic(fmt.Sprintf("protocol: shape %q: unknown field %q at %d", c.text, kind, c.at-1))
}

// present consumes the versions of a field and reports whether ours is one.
func (c *compiler) present() bool {
	if c.peek() != '@' {
		return true
	}
	c.at++
	from, to := 0, -1
	if c.peek() != '-' {
		from = c.number()
	}
	switch c.peek() {
	case '+':
		c.at++
		to = 1 << 14
	case '-':
		c.at++
		to = c.number()
	}
	return int(c.version) >= from && int(c.version) <= to
}

func (c *compiler) peek() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

func (c *compiler) number() int {
	start := c.at
	for c.peek() >= '0' && c.peek() <= '9' {
		c.at++
	}
	n, err := strconv.Atoi(c.text[start:c.at])
	if err != nil {
		panic(fmt.Sprintf("protocol: shape %q: number expected at %d", c.text, start))
	}
	return n
}

// Bytes of decoded values. A field of a structure takes whole words at least; a
// nullable string is a pointer to one.
const (
	wordBytes       = 8
	stringBytes     = 3 * wordBytes
	sliceBytes      = 3 * wordBytes
	tagsBytes       = wordBytes
	unknownTagBytes = 512 // a map and its first entry; more entries take less
)

// allocated is about what the allocator takes for n bytes: it knows sizes in steps
// of an eighth, of whole pages above 32 KiB.
func allocated(n int) int { return n + min(n/8, 8<<10) + 2*wordBytes }

// checker walks a body along its layout. It allocates nothing.
type checker struct {
	flexible    bool
	elements    int // array elements so far
	unknownTags int
	held        int // bytes that the decoded values point to so far
}

// check reports whether body is laid out as l says, to its last byte, within the
// limits above, and what was counted on the way.
func (l *layout) check(body []byte) (c checker, ok bool) {
	c = checker{flexible: l.flexible, held: allocated(wordBytes + l.fields[0].held)} // with the version
	rest, ok := c.fields(l.fields, body)
	return c, ok && len(rest) == 0
}

func (c *checker) fields(nodes []node, b []byte) (rest []byte, ok bool) {
	for i := range nodes {
		if b, ok = c.field(&nodes[i], b); !ok {
			return nil, false
		}
	}
	return b, true
}

func (c *checker) field(n *node, b []byte) (rest []byte, ok bool) {
	switch n.kind {
	case kindFixed:
		return skip(b, n.size)
	case kindString:
		size, b, ok := c.length(b, 2)
		if !ok {
			return nil, false
		}
		if size > 0 {
			c.held += allocated(size)
		}
		return skip(b, max(size, 0))
	case kindBytes:
		size, b, ok := c.length(b, 4)
		if !ok {
			return nil, false
		}
		return skip(b, max(size, 0))
	case kindArray:
		return c.array(&n.sub[0], b)
	case kindNullableStruct:
		if len(b) == 0 {
			return nil, false
		}
		if int8(b[0]) == -1 {
			return b[1:], true
		}
		b = b[1:]
	}
	if b, ok = c.fields(n.sub, b); !ok || !c.flexible {
		return b, ok
	}
	return c.tags(n.tags, b)
}

func (c *checker) array(elem *node, b []byte) (rest []byte, ok bool) {
	count, b, ok := c.length(b, 4)
	if !ok {
		return nil, false
	}
	if count <= 0 {
		return b, true
	}
	// elem.min is never 0: every field takes a byte, and no structure is without.
	if count > len(b)/elem.min || count > MaxElements-c.elements {
		return nil, false
	}
	c.elements += count
	if elem.kind == kindFixed {
		c.held += allocated(count * elem.size)
		return skip(b, count*elem.size)
	}
	c.held += allocated(count * elem.held)
	for range count {
		if b, ok = c.field(elem, b); !ok {
			return nil, false
		}
	}
	return b, true
}

func (c *checker) tags(known []tag, b []byte) (rest []byte, ok bool) {
	count, b, ok := uvarint(b)
	if !ok || int(count) > len(b)/2 {
		return nil, false
	}
	for range count {
		var number, size uint32
		if number, b, ok = uvarint(b); !ok {
			return nil, false
		}
		if size, b, ok = uvarint(b); !ok || int(size) > len(b) {
			return nil, false
		}
		value := b[:size]
		b = b[size:]
		field := findTag(known, number)
		if field == nil {
			if c.unknownTags++; c.unknownTags > maxUnknownTags {
				return nil, false
			}
			c.held += unknownTagBytes
			continue
		}
		if left, ok := c.fields(field, value); !ok || len(left) != 0 {
			return nil, false
		}
	}
	return b, true
}

func findTag(known []tag, number uint32) []node {
	for i := range known {
		if known[i].number == number {
			return known[i].field
		}
	}
	return nil
}

// length reads the length of a string, bytes or array; -1 is null. classic is the
// size of the length field in versions that are not flexible.
func (c *checker) length(b []byte, classic int) (n int, rest []byte, ok bool) {
	if c.flexible {
		u, rest, ok := uvarint(b)
		return int(u) - 1, rest, ok
	}
	if len(b) < classic {
		return 0, nil, false
	}
	if classic == 2 {
		n = int(int16(binary.BigEndian.Uint16(b)))
	} else {
		n = int(int32(binary.BigEndian.Uint32(b)))
	}
	return n, b[classic:], true
}

// uvarint reads an unsigned varint of at most 5 bytes.
func uvarint(b []byte) (u uint32, rest []byte, ok bool) {
	for i := 0; i < len(b) && i < 5; i++ {
		u |= uint32(b[i]&0x7f) << (7 * i)
		if i == 4 && b[i] > 0x0f { // more than 32 bits
			break
		}
		if b[i] < 0x80 {
			return u, b[i+1:], true
		}
	}
	return 0, nil, false
}

func skip(b []byte, n int) (rest []byte, ok bool) {
	if n > len(b) {
		return nil, false
	}
	return b[n:], true
}
