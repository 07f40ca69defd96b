package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// watcher remembers trouble with connections, which the client otherwise retries in silence, and can tell of it.
// It may be used by several goroutines at once.
type watcher struct {
	errout io.Writer

	mu   sync.Mutex
	loud bool   // tell at once
	last string // the trouble nothing has cured yet
}

func newWatcher(errout io.Writer) *watcher { return &watcher{errout: errout} }

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (w *watcher) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		if w.loud && w.last != "" {
			fmt.Fprintf(w.errout, "kserver: connected again\n")
		}
		w.last = ""
		return
	}
	if errors.Is(err, context.Canceled) {
		return // we gave up ourselves
	}
	before := w.last
	address := net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port))
	w.last = "cannot connect to " + address + ": " + strings.TrimPrefix(networkReason(err), address+": ")
	if meta.NodeID >= 0 {
		w.last += fmt.Sprintf(" (the address that broker %d advertises)", meta.NodeID)
	}
	if w.loud && before == "" {
		fmt.Fprintf(w.errout, "kserver: %s; trying again\n", w.last)
	}
}

// tell makes the watcher tell of trouble and its end as they happen, from now on.
func (w *watcher) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loud = true
}

// trouble is the last failure that no connection has followed, "" if there is none.
func (w *watcher) trouble() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}
