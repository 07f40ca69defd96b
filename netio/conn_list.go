package netio

// Which of its loop's lists a link of a connection belongs to.
const (
	listIdle = iota
	listStalled
	listFrames
	numLists
)

// connList is a doubly linked list of connections in the order of their last
// activity, oldest first. All its members have the same time limit, so only
// the first one needs a timer. The links are in the connections.
type connList struct {
	which      int
	len        int
	head, tail *Conn
}

// connLink is a connection's membership in one list.
type connLink struct {
	prev, next *Conn
	in         bool
	at         int64 // loop time of the last activity
}

// touch makes c the most recently active member, adding it if it was none.
func (s *connList) touch(c *Conn, now int64) {
	k := &c.links[s.which]
	k.at = now
	if k.in && s.tail == c {
		return
	}
	s.remove(c)
	k.in, k.prev = true, s.tail
	if s.tail != nil {
		s.tail.links[s.which].next = c
	} else {
		s.head = c
	}
	s.tail = c
	s.len++
}

// remove takes c out of the list, if it is in.
func (s *connList) remove(c *Conn) {
	k := &c.links[s.which]
	if !k.in {
		return
	}
	if k.prev != nil {
		k.prev.links[s.which].next = k.next
	} else {
		s.head = k.next
	}
	if k.next != nil {
		k.next.links[s.which].prev = k.prev
	} else {
		s.tail = k.prev
	}
	k.prev, k.next, k.in = nil, nil, false
	s.len--
}
