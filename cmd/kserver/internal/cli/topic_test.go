package cli

import (
	"strings"
	"testing"
)

func TestTopicDurability(t *testing.T) {
	for _, c := range []struct{ messages, ms, want string }{
		{"1", never, "stable storage"},
		{"1", "1000", "stable storage"},
		{never, never, "may lose them"},
		{"", "", "may lose them"}, // a broker that does not tell
		{"5000", never, "synced every 5000 records"},
		{never, "1000", "synced after 1000 ms"},
		{"10", "20", "synced every 10 records or after 20 ms"},
	} {
		if got := topicDurability(c.messages, c.ms); !strings.HasSuffix(got, c.want) {
			t.Errorf("flush.messages=%s flush.ms=%s: %q, want %q", c.messages, c.ms, got, c.want)
		}
	}
}
