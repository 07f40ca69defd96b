package controller

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestIndexAgainstMap makes random changes and compares every version of the
// index, old ones too, with a map.
func TestIndexAgainstMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x := newImage("").byName
	model := map[string]*Topic{}
	type version struct {
		x     index[string]
		model map[string]*Topic
	}
	var old []version
	for step := range 6000 {
		name := fmt.Sprintf("t%d", r.IntN(2000))
		if r.IntN(3) == 0 {
			x = x.without(name)
			delete(model, name)
		} else {
			topic := &Topic{Name: name}
			x = x.with(topic)
			model[name] = topic
		}
		if step%600 == 0 {
			old = append(old, version{x, maps.Clone(model)})
		}
	}
	old = append(old, version{x, model})
	for i, v := range old {
		names := slices.Sorted(maps.Keys(v.model))
		var got []string
		for topic := range v.x.from("") {
			got = append(got, topic.Name)
			if v.model[topic.Name] != topic {
				t.Fatalf("version %d: another topic under %s", i, topic.Name)
			}
		}
		if !slices.Equal(got, names) || v.x.count != len(names) {
			t.Fatalf("version %d: %d topics, want %d", i, len(got), len(names))
		}
		for _, c := range v.x.chunks {
			if len(c) == 0 || len(c) > maxChunk {
				t.Fatalf("version %d: chunk of %d", i, len(c))
			}
		}
		at := names[len(names)/2]
		if topic, ok := v.x.get(at); !ok || topic.Name != at {
			t.Fatalf("version %d: get %s", i, at)
		}
		for topic := range v.x.from(at + "\x00") {
			if topic.Name != names[len(names)/2+1] {
				t.Fatalf("version %d: %s follows %s", i, topic.Name, at)
			}
			break
		}
	}
	if _, ok := x.get("none"); ok {
		t.Error("found what is not there")
	}
}

func TestIndexEmpty(t *testing.T) {
	x := newImage("").byName
	for range x.from("") {
		t.Error("topic in an empty index")
	}
	x = x.without("a").with(&Topic{Name: "a"}).without("a")
	if x.count != 0 || len(x.chunks) != 0 {
		t.Errorf("%d topics in %d chunks", x.count, len(x.chunks))
	}
}
