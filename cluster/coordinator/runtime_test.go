package coordinator_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kserver/cluster/coordinator"
	"kserver/cluster/coordinator/coordinatortest"
	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// list is a State: the values written, in order.
type list struct {
	values   []string
	markers  []string
	unloaded protocol.ErrorCode
	loads    int
}

func (l *list) Replay(r coordinator.ReplayedRecord) error {
	if string(r.Key) == "bad" {
		return errors.New("bad record")
	}
	l.values = append(l.values, string(r.Value))
	return nil
}

func (l *list) ReplayEndTransaction(id int64, epoch int16, commit bool) error {
	l.markers = append(l.markers, fmt.Sprintf("%d/%d %v", id, epoch, commit))
	return nil
}

func (l *list) Loaded(*coordinator.Event) { l.loads++ }

func (l *list) Unloaded(_ *coordinator.Event, code protocol.ErrorCode) { l.unloaded = code }

// fixture is a runtime over one partition, 7, whose answers are recorded.
type fixture struct {
	t       *testing.T
	time    *coordinatortest.Time
	storage *coordinatortest.Storage
	runtime *coordinator.Runtime

	mu     sync.Mutex
	states []*list
	got    []string
}

func newFixture(t *testing.T, change func(*coordinator.Config)) *fixture {
	f := &fixture{t: t, time: coordinatortest.NewTime(), storage: coordinatortest.NewStorage()}
	cfg := coordinator.Config{
		Topic: "__test", Storage: f.storage, Clock: f.time, Timer: f.time,
		NewState: func(int32) coordinator.State {
			s := &list{}
			f.mu.Lock()
			f.states = append(f.states, s)
			f.mu.Unlock()
			return s
		},
	}
	if change != nil {
		change(&cfg)
	}
	r, err := coordinator.NewRuntime(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.runtime = r
	return f
}

func (f *fixture) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, fmt.Sprintf(format, args...))
}

// load loads the partition and waits for it; the test runs in a synctest bubble.
func (f *fixture) load(epoch int32) {
	f.runtime.Load(7, epoch)
	synctest.Wait()
}

// write writes one value and notes its answer.
func (f *fixture) write(value string) {
	f.runtime.Do(7, func(ev *coordinator.Event, s coordinator.State) {
		if _, err := ev.Write(coordinator.Record{Key: []byte("k"), Value: []byte(value)}); err != nil {
			f.note("%s refused %v", value, coordinator.AppendError(err))
			return
		}
		l := s.(*list)
		l.values = append(l.values, value)
		ev.Answer(func(code protocol.ErrorCode) { f.note("%s %v", value, code) })
	}, func(code protocol.ErrorCode) { f.note("%s not run %v", value, code) })
}

// read notes the values seen.
func (f *fixture) read() {
	f.runtime.Do(7, func(ev *coordinator.Event, s coordinator.State) {
		values := strings.Join(s.(*list).values, "")
		ev.Answer(func(code protocol.ErrorCode) { f.note("read %q %v", values, code) })
	}, func(code protocol.ErrorCode) { f.note("read not run %v", code) })
}

// want compares the notes so far and forgets them.
func (f *fixture) want(lines ...string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if got, want := strings.Join(f.got, "\n"), strings.Join(lines, "\n"); got != want {
		f.t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	f.got = nil
}

func TestAnswersWaitForTheLogInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.write("x")
		f.want("x not run NOT_COORDINATOR")
		f.load(1)
		f.write("a")
		f.read()
		f.want("a NONE", `read "a" NONE`)
		f.storage.Hold()
		f.write("b")
		f.read()
		f.write("c")
		f.want() // the read must not tell of b before it is durable
		f.storage.Release()
		f.want("b NONE", `read "ab" NONE`, "c NONE")
		f.runtime.Close()
		f.write("d")
		f.want("d not run COORDINATOR_NOT_AVAILABLE")
	})
}

func TestRefusedAppendLeavesTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.load(1)
		f.storage.Refuse(&protocol.Error{Code: protocol.NotEnoughReplicas})
		f.write("a")
		f.storage.Refuse(nil)
		f.storage.MaxBytes = 100
		f.write(strings.Repeat("b", 100))
		f.read()
		f.want("a refused COORDINATOR_NOT_AVAILABLE",
			strings.Repeat("b", 100)+" refused UNKNOWN_SERVER_ERROR", `read "" NONE`)
		f.runtime.Close()
	})
}

func TestLostWriteRebuildsTheShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.load(1)
		f.write("a")
		f.storage.Hold()
		f.write("b")
		f.read()
		f.storage.Lose(&protocol.Error{Code: protocol.NotEnoughReplicas})
		synctest.Wait()
		f.want("a NONE", "b COORDINATOR_NOT_AVAILABLE", `read "ab" COORDINATOR_NOT_AVAILABLE`)
		if code := f.states[0].unloaded; code != protocol.CoordinatorNotAvailable {
			t.Errorf("the old state was unloaded with %v", code)
		}
		f.read()
		f.want(`read "a" NONE`)
		if n := f.runtime.Metrics().Failures.Load(); n != 1 {
			t.Errorf("%d failures counted", n)
		}
		f.runtime.Close()
	})
}

func TestLostLogEndsTheShard(t *testing.T) {
	for _, lost := range []protocol.ErrorCode{protocol.KafkaStorageError, protocol.NotLeaderOrFollower} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, nil)
			f.load(1)
			f.storage.Hold()
			f.write("a")
			f.storage.Lose(&protocol.Error{Code: lost})
			synctest.Wait()
			f.read()
			f.want("a NOT_COORDINATOR", "read not run NOT_COORDINATOR")
			f.load(2) // a new leader epoch brings it back
			f.read()
			f.want(`read "" NONE`)
			f.runtime.Close()
		})
	}
}

// TestLoadOfABrokenShard has leadership come back before the failure is dealt
// with: the shard must not be taken for a healthy one.
func TestLoadOfABrokenShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.load(1)
		f.storage.Hold()
		f.write("a")
		f.storage.Lose(&protocol.Error{Code: protocol.NotLeaderOrFollower})
		f.load(2)
		f.read()
		f.want("a NOT_COORDINATOR", `read "" NONE`)
		f.runtime.Close()
	})
}

func TestSlowWriteTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.load(1)
		f.storage.Hold()
		f.write("a")
		f.time.Advance(2 * time.Second)
		f.write("b")
		f.time.Advance(3 * time.Second)
		f.want("a COORDINATOR_NOT_AVAILABLE")
		f.read()
		f.storage.Release()
		f.want("b NONE", `read "ab" NONE`) // the write stands
		f.time.Advance(time.Minute)
		f.want()
		f.runtime.Close()
	})
}

func TestLoadReplaysAndReportsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		marker := func(kind byte) recordbatch.Batch {
			b := recordbatch.NewBuilder(recordbatch.BuilderConfig{Control: true, Transactional: true,
				Producer: &recordbatch.Producer{ID: 9, Epoch: 2, BaseSequence: -1}})
			b.Append(0, []byte{0, 0, 0, kind}, []byte{0, 0, 0, 0, 0, 0})
			batch, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			return batch
		}
		f.load(1)
		f.write("a")
		f.storage.AppendRaw(7, marker(1))
		f.storage.AppendRaw(7, marker(0))
		f.storage.AppendRaw(7, marker(2)) // leader change: nobody's business
		f.runtime.Unload(7, 0)            // an older epoch
		f.read()
		f.runtime.Unload(7, 1)
		f.read()
		f.load(2)
		f.read()
		f.want("a NONE", `read "a" NONE`, "read not run NOT_COORDINATOR", `read "a" NONE`)
		if got := strings.Join(f.states[1].markers, ", "); got != "9/2 true, 9/2 false" {
			t.Errorf("markers %s", got)
		}
		f.runtime.Unload(7, -1)
		f.storage.Unreadable(&protocol.Error{Code: protocol.KafkaStorageError})
		f.load(3)
		f.read()
		f.storage.Unreadable(nil)
		f.load(3)
		f.load(4) // already active: only the epoch moves
		f.read()
		f.want("read not run NOT_COORDINATOR", `read "a" NONE`)
		if n := f.runtime.Metrics().LoadFailures.Load(); n != 1 {
			t.Errorf("%d load failures counted", n)
		}
		f.runtime.Close()
		f.runtime.Load(7, 9)
		if p := f.runtime.Partitions(); len(p) != 0 {
			t.Errorf("closed runtime has %v", p)
		}
	})
}

func TestLoadingShardSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *coordinator.Config) { c.Storage = &slowReplay{Storage: c.Storage} })
		f.load(1)
		f.read()
		f.runtime.Unload(7, 1)
		f.runtime.Load(7, 2)
		f.want("read not run COORDINATOR_LOAD_IN_PROGRESS")
		f.runtime.Close() // waits for both loads, which find the shard gone
	})
}

// slowReplay replays one batch after a second.
type slowReplay struct {
	coordinator.Storage
}

func (s *slowReplay) Replay(p int32, fn func(recordbatch.Batch) error) error {
	time.Sleep(time.Second)
	return s.Storage.Replay(p, fn)
}

func TestTimersEndWithTheShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.load(1)
		set := func(name string) {
			f.runtime.Do(7, func(ev *coordinator.Event, _ coordinator.State) {
				ev.After(time.Second, func(ev *coordinator.Event) {
					f.note("%s ran", name)
					ev.Answer(func(code protocol.ErrorCode) { f.note("%s answered %v", name, code) })
				})
			}, func(protocol.ErrorCode) { t.Error("refused") })
		}
		set("one")
		f.time.Advance(time.Second)
		set("two")
		f.runtime.Unload(7, -1)
		f.load(2)
		f.time.Advance(time.Second)
		f.want("one ran", "one answered NONE")
		f.runtime.Close()
	})
}

func TestWaitingEventsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *coordinator.Config) { c.MaxWaiting = 2 })
		f.load(1)
		f.storage.Hold()
		f.write("a")
		f.write("b")
		f.write("c")
		f.want("c not run COORDINATOR_NOT_AVAILABLE")
		f.storage.Release()
		f.want("a NONE", "b NONE")
		f.runtime.Close()
	})
}

// TestAnswerMayStartEvents has an answer run an event of the same shard.
func TestAnswerMayStartEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.load(1)
		f.runtime.Do(7, func(ev *coordinator.Event, _ coordinator.State) {
			ev.Answer(func(protocol.ErrorCode) { f.write("inner") })
			ev.Answer(func(protocol.ErrorCode) { f.note("outer") })
		}, func(protocol.ErrorCode) { t.Error("refused") })
		f.want("outer", "inner NONE")
		f.runtime.Close()
	})
}

func TestAppendErrorMapping(t *testing.T) {
	for from, want := range map[protocol.ErrorCode]protocol.ErrorCode{
		protocol.UnknownTopicOrPartition: protocol.CoordinatorNotAvailable,
		protocol.NotEnoughReplicas:       protocol.CoordinatorNotAvailable,
		protocol.RequestTimedOut:         protocol.CoordinatorNotAvailable,
		protocol.NotLeaderOrFollower:     protocol.NotCoordinator,
		protocol.KafkaStorageError:       protocol.NotCoordinator,
		protocol.MessageTooLarge:         protocol.UnknownServerError,
		protocol.RecordListTooLarge:      protocol.UnknownServerError,
		protocol.NetworkException:        protocol.CoordinatorLoadInProgress,
		protocol.InvalidRequest:          protocol.InvalidRequest,
	} {
		if got := coordinator.AppendError(&protocol.Error{Code: from}); got != want {
			t.Errorf("%v: got %v, want %v", from, got, want)
		}
	}
	if got := coordinator.AppendError(errors.New("boom")); got != protocol.UnknownServerError {
		t.Errorf("other error: %v", got)
	}
}
