package replica

import "testing"

// Topics beyond the bound are counted together; the deletion of one of them does not lower the count.
func TestTrafficIsBounded(t *testing.T) {
	m := NewManager(Config{})
	add := func(id int, bytes int64) *Topic {
		p := &Partition{}
		p.traffic.bytesIn.Store(bytes)
		topic := &Topic{Name: string(rune('a' + id)), ID: [16]byte{byte(id)}, Partitions: []*Partition{p, nil}}
		m.name(topic)
		m.byName[topic.Name] = topic
		return topic
	}
	m.named = MaxNamedTopics - 1
	own, other := add(0, 1), add(1, 10)
	add(2, 100)
	check := func(when string, want ...Traffic) {
		t.Helper()
		got := m.Traffic()
		if len(got) != len(want) {
			t.Fatalf("%s: %v, want %v", when, got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
	}
	check("full", Traffic{BytesIn: 110}, Traffic{Topic: "a", BytesIn: 1})
	delete(m.byName, other.Name)
	m.unname(other)
	check("an unnamed one deleted", Traffic{BytesIn: 110}, Traffic{Topic: "a", BytesIn: 1})
	delete(m.byName, own.Name)
	m.unname(own)
	check("a named one deleted", Traffic{BytesIn: 110})
	add(3, 5)
	check("another in its place", Traffic{BytesIn: 110}, Traffic{Topic: "d", BytesIn: 5})
}
