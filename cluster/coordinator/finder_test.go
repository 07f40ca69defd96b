package coordinator_test

import (
	"errors"
	"fmt"
	"testing"

	"kserver/cluster/coordinator"
	"kserver/protocol"
)

// directory is a Directory whose topic can be created, with or without leader.
type directory struct {
	partitions int32
	leader     bool
	refuse     error
	created    int
	later      func()
}

func (d *directory) Partitions(string) int32 { return d.partitions }

func (d *directory) Leader(topic string, partition int32, listener string) (coordinator.Endpoint, bool) {
	return coordinator.Endpoint{NodeID: partition, Host: listener, Port: 9092}, d.leader
}

func (d *directory) Create(_ string, done func(error)) {
	d.created++
	d.later = func() {
		if d.refuse == nil {
			d.partitions = 50
		}
		done(d.refuse)
	}
}

func find(f *coordinator.Finder, kind coordinator.KeyType, keys ...string) (got []string, answered *bool) {
	answered = new(bool)
	f.Find(kind, keys, "L", func(found []coordinator.Found) {
		*answered = true
		for _, x := range found {
			got = append(got, fmt.Sprintf("%s %v %d %s:%d", x.Key, x.Code, x.Endpoint.NodeID, x.Endpoint.Host, x.Endpoint.Port))
		}
	})
	return got, answered
}

func TestFinder(t *testing.T) {
	d := &directory{partitions: 50, leader: true}
	f := &coordinator.Finder{Directory: d, Topics: map[coordinator.KeyType]string{coordinator.KeyGroup: "__consumer_offsets"}}
	check := func(got []string, want ...string) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	// Java: "a".hashCode() is 97, "polygenelubricants".hashCode() the smallest int.
	got, _ := find(f, coordinator.KeyGroup, "a", "polygenelubricants")
	check(got, "a NONE 47 L:9092", "polygenelubricants NONE 0 L:9092")
	got, _ = find(f, coordinator.KeyTransaction, "x")
	check(got, "x UNSUPPORTED_VERSION -1 :-1")
	got, _ = find(f, coordinator.KeyShare, "x")
	check(got, "x INVALID_REQUEST -1 :-1")
	got, _ = find(f, 9, "x")
	check(got, "x INVALID_REQUEST -1 :-1")
	d.leader = false
	got, _ = find(f, coordinator.KeyGroup, "a")
	check(got, "a COORDINATOR_NOT_AVAILABLE -1 :-1")
}

func TestFinderCreatesTheTopic(t *testing.T) {
	for _, refuse := range []error{nil, errors.New("no")} {
		d := &directory{leader: true, refuse: refuse}
		f := &coordinator.Finder{Directory: d, Topics: map[coordinator.KeyType]string{coordinator.KeyGroup: "__consumer_offsets"}}
		var code protocol.ErrorCode = -1
		f.Find(coordinator.KeyGroup, []string{"a"}, "L", func(found []coordinator.Found) {
			code = found[0].Code
		})
		if code != -1 {
			t.Fatal("answered before the topic was created")
		}
		d.later()
		want := protocol.None
		if refuse != nil {
			want = protocol.CoordinatorNotAvailable
		}
		if code != want || d.created != 1 {
			t.Errorf("got %v after %d creations, want %v", code, d.created, want)
		}
	}
}
