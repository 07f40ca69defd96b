package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
)

// planText prints a plan, one partition a word: topic/partition:committed>new.
func planText(rows []resetRow) string {
	var words []string
	for _, r := range rows {
		committed := "none"
		if r.Committed != nil {
			committed = fmt.Sprint(*r.Committed)
		}
		word := fmt.Sprintf("%s/%d:%s>%d", r.Topic, r.Partition, committed, r.New)
		if r.Clipped {
			word += "!"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestPlanReset(t *testing.T) {
	e := extent{
		start: offsets{"a": {0: 10, 1: 0}, "b": {0: 0}},
		end:   offsets{"a": {0: 20, 1: 5}, "b": {0: 0}},
	}
	commits := offsets{"a": {0: 15}}
	timed := offsets{"a": {0: 12}}
	both := []resetScope{{topic: "b"}, {topic: "a"}}
	for _, c := range []struct {
		name   string
		target resetTarget
		scopes []resetScope
		want   string
	}{
		{"earliest", resetTarget{position: position{kind: atStart}}, both, "a/0:15>10 a/1:none>0 b/0:none>0"},
		{"latest", resetTarget{position: position{kind: atEnd}}, both, "a/0:15>20 a/1:none>5 b/0:none>0"},
		{"offset", resetTarget{position: position{kind: atOffset, offset: 5}}, both, "a/0:15>10! a/1:none>5 b/0:none>0!"},
		{"time", resetTarget{position: position{kind: atTime}}, both, "a/0:15>12 a/1:none>5 b/0:none>0"},
		{"shift back", resetTarget{shift: true, shiftBy: -3}, both, "a/0:15>12"},
		{"shift too far", resetTarget{shift: true, shiftBy: 300}, both, "a/0:15>20!"},
		{"some", resetTarget{position: position{kind: atEnd}}, []resetScope{{"a", []int32{1}}, {"a", []int32{1}}}, "a/1:none>5"},
	} {
		rows, err := planReset(c.target, c.scopes, commits, e, timed)
		if got := planText(rows); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
	if _, err := planReset(resetTarget{shift: true}, []resetScope{{"a", []int32{1}}}, commits, e, nil); err == nil {
		t.Error("an offset that does not exist was shifted")
	}
	if _, err := planReset(resetTarget{}, []resetScope{{"a", []int32{2}}}, commits, e, nil); err == nil || !strings.Contains(err.Error(), "no partition 2, only 0 to 1") {
		t.Error(err)
	}
}

func TestResetFlags(t *testing.T) {
	for _, f := range []resetFlags{
		{},
		{earliest: true, latest: true},
		{hasOffset: true, offset: -1},
		{hasDate: true, datetime: "someday"},
	} {
		if _, err := f.target(noon); err == nil {
			t.Errorf("%+v", f)
		}
	}
	if got, err := (resetFlags{hasDate: true, datetime: "1h"}).target(noon); err != nil || !got.time.Equal(noon.Add(-time.Hour)) {
		t.Error(got, err)
	}
	for _, f := range []resetFlags{{}, {allTopics: true, topics: []string{"t"}}, {topics: []string{":1"}}, {topics: []string{"t:x"}}, {topics: []string{"t:-1"}}} {
		if _, err := f.scopes(); err == nil {
			t.Errorf("%+v", f)
		}
	}
	scopes, err := resetFlags{topics: []string{"a", "b:0,2"}}.scopes()
	if err != nil || cmp.Diff([]resetScope{{topic: "a"}, {"b", []int32{0, 2}}}, scopes, cmp.AllowUnexported(resetScope{})) != "" {
		t.Error(scopes, err)
	}
}

func TestGroupOffsets(t *testing.T) {
	m := groupMember{ID: "m1", assigned: map[partitionID]bool{{"a", 0}: true, {"a", 1}: true}}
	commits := make(kadm.OffsetResponses)
	for _, o := range []kadm.Offset{{Topic: "a", Partition: 0, At: 3}, {Topic: "a", Partition: 2, At: 9}, {Topic: "gone", Partition: 0, At: 1}} {
		commits.Add(kadm.OffsetResponse{Offset: o})
	}
	e := extent{start: offsets{"a": {0: 0, 1: 0, 2: 0}}, end: offsets{"a": {0: 10, 1: 4, 2: 8}}}
	list, total := groupOffsets([]groupMember{m}, commits, e)
	var got []string
	for _, o := range list {
		got = append(got, fmt.Sprintf("%s/%d %s %s %s %s", o.Topic, o.Partition, number(o.Committed), number(o.End), number(o.Lag), o.Member))
	}
	want := []string{"a/0 3 10 7 m1", "a/1  4  m1", "a/2 9 8 0 ", "gone/0 1   "}
	if d := cmp.Diff(want, got); d != "" || total != 7 {
		t.Error(total, d)
	}
}
