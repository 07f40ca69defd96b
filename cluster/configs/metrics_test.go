package configs

import (
	"slices"
	"testing"
)

func TestMetricsListeners(t *testing.T) {
	for _, c := range []struct {
		value string
		want  []string
	}{
		{"", nil},
		{"http://127.0.0.1:9404", []string{"127.0.0.1:9404"}},
		{"HTTP://:0, http://[::1]:9404", []string{":0", "[::1]:9404"}},
	} {
		var got []string
		for _, l := range started(t, "metrics.listeners", c.value).Metrics.Listeners {
			got = append(got, l.Addr())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q opens %q, want %q", c.value, got, c.want)
		}
	}
}
