package main

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A topic with another configuration than asked for is refused, and told apart by what differs.
func TestDiffering(t *testing.T) {
	one, never := "1", "9223372036854775807"
	have := []kadm.Config{{Key: "flush.messages", Value: &never}, {Key: "max.message.bytes", Value: &one}, {Key: "secret"}}
	for _, tt := range []struct {
		want map[string]string
		err  string
	}{
		{nil, ""},
		{map[string]string{"max.message.bytes": "1"}, ""},
		{map[string]string{"flush.messages": "1", "max.message.bytes": "1"}, "it exists with flush.messages=9223372036854775807, not 1"},
		{map[string]string{"secret": "x", "absent": "y"}, "it exists without absent, not with y\nit exists without secret, not with x"},
	} {
		var got string
		if err := differing(have, tt.want); err != nil {
			got = err.Error()
		}
		if got != tt.err {
			t.Errorf("%v: %q, want %q", tt.want, got, tt.err)
		}
	}
}
