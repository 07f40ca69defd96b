package netio

import (
	"bytes"
	"testing"
	"time"
)

// A share is the smaller the more connections wait, and never nothing.
func TestShareShrinks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		waiting int  // connections that come again in a later turn
		long    bool // the turn has taken its time
		here    int  // requests that have arrived
		want    int
	}{
		{"alone", 0, false, shareRequests, shareRequests},
		{"few wait", fullShares, false, shareRequests, shareRequests},
		{"some wait", shareRequests / 2, false, shareRequests, 2},
		{"many wait", 10 * shareRequests, false, shareRequests, 1},
		{"long turn", 0, true, shareRequests, 1},
		{"many wait for few", 10 * shareRequests, false, modestRequests, modestRequests},
		{"few in a long turn", 0, true, modestRequests, modestRequests},
		{"one more than few", 10 * shareRequests, true, modestRequests + 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &Loop{srv: &Server{}, start: time.Now(), turnNo: 1, later: make([]*Conn, tt.waiting)}
			l.nowNs = int64(time.Hour) // a turn that begins in the future is short
			if tt.long {
				l.nowNs = -int64(time.Hour)
				l.shares, l.sharesTurn = fullShares, l.turnNo
			}
			c := &Conn{loop: l}
			frames := bytes.Repeat([]byte{0, 0, 0, 1, 'x'}, tt.here)
			n := 0
			for !c.shareSpent() {
				c.beginShare(frames[5*n:])
				c.takeShare()
				n++
				c.shareEnd = time.Hour // the time of the share is not asked about
			}
			if n != tt.want {
				t.Errorf("share of %d requests, want %d", n, tt.want)
			}
			l.turnNo++
			if c.shareSpent() {
				t.Error("nothing left for the next turn")
			}
		})
	}
}

// While the memory is an eighth full, little unread output stops the service.
func TestUnreadOutputWhileMemoryIsTaken(t *testing.T) {
	s := &Server{cfg: Config{MaxQueuedOutputBytes: 1 << 20}}
	s.budget.limit = 8 << 20
	c := &Conn{loop: &Loop{srv: s}}
	for _, tt := range []struct {
		queued int
		used   int64
		want   bool
	}{
		{1 << 20, 0, false},
		{1<<20 + 1, 0, true},
		{unreadBytes + 1, 1<<20 - 1, false},
		{unreadBytes + 1, 1 << 20, true},
		{unreadBytes, 8 << 20, false},
	} {
		c.output.queued = tt.queued
		s.budget.used.Store(tt.used)
		if got := c.unread(); got != tt.want {
			t.Errorf("%d bytes queued, %d of the budget taken: unread %v", tt.queued, tt.used, got)
		}
	}
}
