package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"kserver/engine"
	"kserver/protocol"
)

// Topic is one topic of this broker with its partitions by index. A Topic is
// replaced, never changed, when partitions are added.
type Topic struct {
	Name       string
	ID         [16]byte
	Internal   bool
	Partitions []*Partition // nil where another broker hosts the replica

	named bool // its traffic is told apart
}

// Partition finds a partition by index.
func (t *Topic) Partition(index int32) (*Partition, *protocol.Error) {
	if index < 0 || int(index) >= len(t.Partitions) || t.Partitions[index] == nil {
		return nil, errUnknownPartition
	}
	return t.Partitions[index], nil
}

// Config of a Manager.
type Config struct {
	NodeID int32
	Logs   *engine.LogManager
	Logger *slog.Logger
	// Space tells what an unprivileged process may still write on the file system
	// of a log directory, and that file system's size; nil when nobody knows.
	Space func(dir string) (free, total int64, err error)
}

// Manager finds the partitions this broker hosts and creates and deletes them
// as the metadata image says. Lookups may be made from any goroutine; Apply is
// called by one at a time.
type Manager struct {
	cfg Config

	mu     sync.RWMutex
	byName map[string]*Topic
	byID   map[[16]byte]*Topic
	named  int // topics whose traffic is told apart
	// deleted is the traffic of topics that are gone and were not told apart.
	deleted Traffic
}

// NewManager makes a Manager without topics.
func NewManager(cfg Config) *Manager {
	return &Manager{cfg: cfg, byName: map[string]*Topic{}, byID: map[[16]byte]*Topic{}}
}

// Topic finds a topic by name.
func (m *Manager) Topic(name string) (*Topic, *protocol.Error) {
	m.mu.RLock()
	t := m.byName[name]
	m.mu.RUnlock()
	if t == nil {
		return nil, errUnknownTopic
	}
	return t, nil
}

// NameOf is a topic's name, without a copy if there is such a topic.
func (m *Manager) NameOf(name []byte) string {
	m.mu.RLock()
	t := m.byName[string(name)]
	m.mu.RUnlock()
	if t == nil {
		return string(name)
	}
	return t.Name
}

// TopicByID finds a topic by its id.
func (m *Manager) TopicByID(id [16]byte) (*Topic, *protocol.Error) {
	m.mu.RLock()
	t := m.byID[id]
	m.mu.RUnlock()
	if t == nil {
		return nil, errUnknownTopicID
	}
	return t, nil
}

// Partition finds a partition by topic name and index.
func (m *Manager) Partition(topic string, index int32) (*Partition, *protocol.Error) {
	t, err := m.Topic(topic)
	if err != nil {
		return nil, err
	}
	return t.Partition(index)
}

// TopicState is what the metadata image says of a topic, for Apply.
type TopicState struct {
	Name       string
	ID         [16]byte
	Internal   bool
	Config     engine.LogConfig
	Partitions []Leadership // by index
	// Known says that the partitions are older than this start: one whose log is not found while a log directory
	// is offline is offline with it, and not begun anew.
	Known bool
}

// Apply creates, or brings up to date, the replicas of a topic. When it
// returns, the topic's partitions serve. A topic of the same name and another
// id is an error: its deletion comes first.
func (m *Manager) Apply(s TopicState) error {
	m.mu.RLock()
	old := m.byName[s.Name]
	m.mu.RUnlock()
	if old != nil && old.ID != s.ID {
		return fmt.Errorf("replica: topic %s has another id", s.Name)
	}
	t := &Topic{Name: s.Name, ID: s.ID, Internal: s.Internal, Partitions: make([]*Partition, len(s.Partitions))}
	var l *Leadership
	for i := range s.Partitions {
		if l == nil || *l != s.Partitions[i] { // else they share it
			l = new(s.Partitions[i])
		}
		if old != nil && i < len(old.Partitions) && old.Partitions[i] != nil {
			p := old.Partitions[i]
			p.lead(l)
			p.log.SetConfig(s.Config)
			t.Partitions[i] = p
			continue
		}
		tp := engine.TopicPartition{Topic: s.Name, Partition: int32(i)}
		create := m.cfg.Logs.Create
		if s.Known {
			create = m.cfg.Logs.Reopen
		}
		log, err := create(tp, s.ID, s.Config)
		if err != nil {
			return fmt.Errorf("replica: create %s: %w", tp, err)
		}
		t.Partitions[i] = newPartition(tp, s.ID, log, l)
	}
	m.mu.Lock()
	if old != nil {
		t.named = old.named
	} else {
		m.name(t)
	}
	m.byName[s.Name], m.byID[s.ID] = t, t
	m.mu.Unlock()
	return nil
}

// SetStraysAside takes logs out of service that hosted does not know: leftovers
// of a deletion that a crash undid, or of metadata that was lost. Their files are
// kept under another name, for a human to judge. It comes before the first Apply.
func (m *Manager) SetStraysAside(hosted func(tp engine.TopicPartition, id [16]byte, known bool) bool) error {
	for _, log := range m.cfg.Logs.Logs() {
		if log.Err() != nil {
			continue // nothing of it can be read or renamed
		}
		tp := log.TopicPartition()
		id, known := log.TopicID()
		if hosted(tp, id, known) {
			continue
		}
		dir, err := m.cfg.Logs.SetAside(tp)
		if err != nil {
			return fmt.Errorf("replica: set %s aside: %w", tp, err)
		}
		m.cfg.Logger.Warn("set a log aside that no topic has", "topic", tp.Topic, "partition", tp.Partition, "dir", dir)
	}
	return nil
}

// Remove deletes the replicas of a topic. Requests in flight keep the ranges
// they have pinned. An unknown id is no error.
func (m *Manager) Remove(id [16]byte) error {
	m.mu.Lock()
	t := m.byID[id]
	if t != nil {
		delete(m.byID, id)
		delete(m.byName, t.Name)
		m.unname(t)
	}
	m.mu.Unlock()
	if t == nil {
		return nil
	}
	var errs []error
	for _, p := range t.Partitions {
		if p == nil {
			continue
		}
		p.remove()
		if err := m.cfg.Logs.Delete(p.TopicPartition); err != nil {
			errs = append(errs, fmt.Errorf("replica: delete %s: %w", p.TopicPartition, err))
		}
	}
	return errors.Join(errs...)
}

// Offline reports whether the replica of a partition is here and cannot be used: its log directory is offline,
// or its log damaged.
func (m *Manager) Offline(topic string, index int32) bool {
	p, err := m.Partition(topic, index)
	return err == nil && p.log.Err() != nil
}
