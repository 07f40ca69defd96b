package interop

import (
	"context"
	"strings"
	"testing"
)

// TestToolDriver checks what the other tests of tools stand on: status and streams of each call are its
// own, and a call that outlives its time costs a JVM only.
func TestToolDriver(t *testing.T) {
	t.Parallel()
	driver := javaTools(t).Driver()
	t.Cleanup(func() {
		if err := driver.Close(); err != nil {
			t.Error(err)
		}
	})
	enough := func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), testTimeout) }
	none := func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), 0) }
	for range 2 {
		r, err := driver.Run(enough, "", classTopics, "--version")
		if err != nil || r.Status != 0 || !strings.HasPrefix(r.Out, "4.3.") || r.Err != "" {
			t.Errorf("%+v, %v", r, err)
		}
		r, err = driver.Run(enough, "", classTopics, "--nosuch")
		if err != nil || r.Status != 1 || r.Out != "" || !strings.Contains(r.Err, "nosuch is not a recognized option") {
			t.Errorf("%+v, %v", r, err)
		}
		if r, err := driver.Run(none, "", classTopics, "--version"); err == nil {
			t.Errorf("a call without time has the result %+v", r)
		}
	}
}
