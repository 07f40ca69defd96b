package engine

// DurableListener hears about the durable end of one log. See Log.SetDurableListener.
type DurableListener interface {
	// Durable: everything below end meets the topic's durability promise.
	Durable(end int64)
	// Failed: nothing more becomes durable, because the log's directory is offline (ErrStorage), or the log
	// was deleted or closed (ErrLogClosed).
	Failed(err error)
}

// LogStartListener is a DurableListener that hears of the log start as well.
type LogStartListener interface {
	DurableListener
	// LogStartMoved: the log start offset is start now. It may be called with the log's appends held up, so what holds
	// for Durable holds for it.
	LogStartMoved(start int64)
}

// logStartMoved tells the listener. viewMu must not be held.
func (l *Log) logStartMoved(start int64) {
	l.viewMu.Lock()
	listener, ok := l.listener.(LogStartListener)
	l.viewMu.Unlock()
	if ok {
		listener.LogStartMoved(start)
	}
}

// DurableFuncs makes a DurableListener of two functions; either may be nil.
type DurableFuncs struct {
	OnDurable func(end int64)
	OnFailed  func(err error)
}

// Durable implements DurableListener.
func (f DurableFuncs) Durable(end int64) {
	if f.OnDurable != nil {
		f.OnDurable(end)
	}
}

// Failed implements DurableListener.
func (f DurableFuncs) Failed(err error) {
	if f.OnFailed != nil {
		f.OnFailed(err)
	}
}
