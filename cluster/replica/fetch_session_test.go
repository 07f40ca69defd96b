package replica

import (
	"testing"
	"time"

	"kserver/engine"
	"kserver/protocol"
)

type manualClock struct{ t time.Time }

func (c *manualClock) now() time.Time { return c.t }

func part(topic string, p int32, offset int64) FetchPartition {
	return FetchPartition{SessionKey: SessionKey{Topic: topic, Partition: p}, FetchRequest: FetchRequest{Offset: offset, MaxBytes: 100}}
}

func begin(t *testing.T, c *SessionCache, id, epoch int32, forgotten []SessionKey, parts ...FetchPartition) *FetchContext {
	t.Helper()
	x := new(FetchContext)
	err := c.Begin(&FetchHead{SessionID: id, SessionEpoch: epoch, Partitions: parts, Forgotten: forgotten}, x)
	if err != nil {
		t.Fatalf("Begin(%d, %d): %v", id, epoch, err)
	}
	return x
}

func finish(t *testing.T, x *FetchContext, hw ...int64) []bool {
	t.Helper()
	res := make([]FetchResult, len(x.Partitions))
	for i := range res {
		res[i].HighWatermark = hw[i]
	}
	told, err := x.Finish(res, make([]*Partition, len(res)))
	if err != nil {
		t.Fatalf("Finish: %v", err)
	}
	keep := make([]bool, len(res))
	for _, i := range told {
		keep[i] = true
	}
	return keep
}

func TestSessionTellsOnlyNews(t *testing.T) {
	c := NewSessionCache(10, time.Now)
	x := begin(t, c, 0, InitialEpoch, nil, part("a", 0, 5), part("a", 1, 6))
	if k := finish(t, x, 10, 20); !k[0] || !k[1] {
		t.Fatalf("a full answer left out partitions: %v", k)
	}
	id := x.SessionID()
	if id == InvalidSessionID {
		t.Fatal("no session was made")
	}
	x = begin(t, c, id, 1, nil)
	if len(x.Partitions) != 2 || x.Partitions[1].Offset != 6 {
		t.Fatalf("the session lost its partitions: %+v", x.Partitions)
	}
	if k := finish(t, x, 10, 21); k[0] || !k[1] {
		t.Fatalf("news of %v, want only the second partition", k)
	}
	// A changed partition keeps its place and what was told about it.
	x = begin(t, c, id, 2, nil, part("a", 1, 7))
	if x.Partitions[1].Offset != 7 {
		t.Fatalf("offset %d, want the changed 7", x.Partitions[1].Offset)
	}
	if k := finish(t, x, 10, 21); k[0] || k[1] {
		t.Fatalf("news of %v, want none", k)
	}
	// Forgotten partitions are not read; a session without any is closed.
	x = begin(t, c, id, 3, []SessionKey{{Topic: "a", Partition: 0}})
	if len(x.Partitions) != 1 || x.Partitions[0].Partition != 1 {
		t.Fatalf("partitions %+v, want a-1 only", x.Partitions)
	}
	finish(t, x, 21)
	x = begin(t, c, id, 4, []SessionKey{{Topic: "a", Partition: 1}})
	if len(x.Partitions) != 0 || x.SessionID() != InvalidSessionID || c.Len() != 0 {
		t.Fatalf("the empty session lives on: %d", c.Len())
	}
}

func TestSessionToldAgainAfterAnError(t *testing.T) {
	c := NewSessionCache(10, time.Now)
	x := begin(t, c, 0, InitialEpoch, nil, part("a", 0, 0))
	finish(t, x, 10)
	x = begin(t, c, x.SessionID(), 1, nil)
	if told, err := x.Finish([]FetchResult{FailedFetch(errUnknownTopic)}, []*Partition{nil}); err != nil || len(told) != 1 {
		t.Fatalf("an error was not told: %v, %v", told, err)
	}
	x = begin(t, c, x.SessionID(), 2, nil)
	if k := finish(t, x, 10); !k[0] {
		t.Fatal("the recovery was not told")
	}
}

func TestSessionErrors(t *testing.T) {
	c := NewSessionCache(10, time.Now)
	x := begin(t, c, 0, InitialEpoch, nil, part("a", 0, 0))
	for _, tc := range []struct {
		id, epoch int32
		ids       bool
		want      protocol.ErrorCode
	}{
		{x.SessionID() ^ 1, 1, false, protocol.FetchSessionIDNotFound},
		{x.SessionID(), 2, false, protocol.InvalidFetchSessionEpoch},
		{x.SessionID(), 1, true, protocol.FetchSessionTopicIDError},
	} {
		if err := c.Begin(&FetchHead{SessionID: tc.id, SessionEpoch: tc.epoch, UsesTopicID: tc.ids}, new(FetchContext)); err == nil || err.Code != tc.want {
			t.Errorf("Begin(%+v) = %v, want %v", tc, err, tc.want)
		}
	}
}

// A fetch that waited while the client went on with the session must not
// answer from it.
func TestSessionOvertaken(t *testing.T) {
	c := NewSessionCache(10, time.Now)
	x := begin(t, c, 0, InitialEpoch, nil, part("a", 0, 0))
	finish(t, x, 1)
	slow := begin(t, c, x.SessionID(), 1, nil)
	begin(t, c, x.SessionID(), 2, nil, part("a", 0, 9))
	if slow.Partitions[0].Offset != 0 {
		t.Fatal("the waiting fetch saw the next one's offset")
	}
	if _, err := slow.Finish(make([]FetchResult, 1), []*Partition{nil}); err == nil || err.Code != protocol.InvalidFetchSessionEpoch {
		t.Fatalf("Finish = %v, want INVALID_FETCH_SESSION_EPOCH", err)
	}
}

func TestSessionCacheBound(t *testing.T) {
	clock := &manualClock{t: time.Unix(1000, 0)}
	c := NewSessionCache(2, clock.now)
	begin(t, c, 0, InitialEpoch, nil, part("a", 0, 0), part("a", 1, 0))
	begin(t, c, 0, InitialEpoch, nil, part("b", 0, 0), part("b", 1, 0))
	if x := begin(t, c, 0, InitialEpoch, nil, part("c", 0, 0)); x.SessionID() != InvalidSessionID {
		t.Fatal("a full cache of larger sessions made room for a smaller one")
	}
	// A larger one takes the place of a smaller.
	if x := begin(t, c, 0, InitialEpoch, nil, part("d", 0, 0), part("d", 1, 0), part("d", 2, 0)); x.SessionID() == InvalidSessionID || c.Len() != 2 {
		t.Fatalf("no session for the larger fetch; %d sessions", c.Len())
	}
	// An idle one is given up to anyone.
	clock.t = clock.t.Add(sessionEvictionAge + time.Second)
	if x := begin(t, c, 0, InitialEpoch, nil, part("e", 0, 0)); x.SessionID() == InvalidSessionID || c.Len() != 2 {
		t.Fatalf("no session in place of an idle one; %d sessions", c.Len())
	}
}

func TestSessionRotatesPartitionsThatGaveData(t *testing.T) {
	c := NewSessionCache(2, time.Now)
	x := begin(t, c, 0, InitialEpoch, nil, part("a", 0, 0), part("a", 1, 0))
	if _, err := x.Finish([]FetchResult{{Range: new(engine.Range)}, {}}, make([]*Partition, 2)); err != nil {
		t.Fatal(err)
	}
	x = begin(t, c, x.SessionID(), 1, nil)
	if x.Partitions[0].Partition != 1 {
		t.Fatal("the partition that gave data is still read first")
	}
}

// Sessions are bounded by their partitions too, alone and together.
func TestSessionPartitions(t *testing.T) {
	c := NewSessionCache(1000, time.Now)
	many := func(n int) []FetchPartition {
		parts := make([]FetchPartition, n)
		for i := range parts {
			parts[i] = part("a", int32(i), 0)
		}
		return parts
	}
	if x := begin(t, c, 0, InitialEpoch, nil, many(maxSessionPartitions+1)...); x.SessionID() != InvalidSessionID || len(x.Partitions) != maxSessionPartitions+1 {
		t.Errorf("session %d of %d partitions", x.SessionID(), len(x.Partitions))
	}
	largest := many(maxSessionPartitions)
	var last *FetchContext
	for range maxCachedPartitions / maxSessionPartitions {
		if last = begin(t, c, 0, InitialEpoch, nil, largest...); last.SessionID() == InvalidSessionID {
			t.Fatalf("no session, with %d", c.Len())
		}
	}
	if x := begin(t, c, 0, InitialEpoch, nil, part("b", 0, 0)); x.SessionID() != InvalidSessionID {
		t.Error("a session beside those that fill the cache")
	}
	// One that grows is given up; its place is free again.
	if err := c.Begin(&FetchHead{SessionID: last.SessionID(), SessionEpoch: 1, Partitions: []FetchPartition{part("b", 0, 0)}}, new(FetchContext)); err == nil || err.Code != protocol.FetchSessionIDNotFound {
		t.Errorf("a session that grows: %v", err)
	}
	if x := begin(t, c, 0, InitialEpoch, nil, part("b", 0, 0)); x.SessionID() == InvalidSessionID {
		t.Error("the place is not free")
	}
	for id := range c.sessions {
		c.Close(id)
	}
	if c.parts != 0 {
		t.Errorf("%d partitions left", c.parts)
	}
}
