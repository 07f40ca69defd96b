package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// memLog is a Log in memory. A failed wait leaves the batches in it, as a disk
// may.
type memLog struct {
	mu        sync.Mutex
	data      []byte
	next      int64
	appends   int
	appendErr error
	syncErr   error
	hold      chan struct{} // when set, WaitDurable waits for it
}

func (l *memLog) Append(batches []byte, leaderEpoch int32) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.appendErr != nil {
		return 0, l.appendErr
	}
	l.appends++
	base := l.next
	for rest := batches; len(rest) > 0; {
		b, tail, err := recordbatch.Next(rest)
		if err != nil {
			return 0, err
		}
		b.SetBaseOffset(l.next)
		b.SetPartitionLeaderEpoch(leaderEpoch)
		l.next = b.NextOffset()
		rest = tail
	}
	l.data = append(l.data, batches...)
	return base, nil
}

func (l *memLog) WaitDurable(_ context.Context, end int64) error {
	if l.hold != nil {
		<-l.hold
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if end > l.next {
		return errors.New("wait for what was not appended")
	}
	return l.syncErr
}

func (l *memLog) Replay(fn func(recordbatch.Batch) error) error {
	for rest := l.data; len(rest) > 0; {
		b, tail, err := recordbatch.Next(rest)
		if err == nil {
			err = b.CheckCRC()
		}
		if err == nil {
			err = fn(b)
		}
		if err != nil {
			return err
		}
		l.next = b.NextOffset()
		rest = tail
	}
	return nil
}

// copyOf is the log as a restart finds it.
func (l *memLog) copyOf() *memLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &memLog{data: bytes.Clone(l.data)}
}

// kafkaLog is a log written by Kafka; see testdata/README.md.
func kafkaLog(t testing.TB) *memLog {
	t.Helper()
	data, err := os.ReadFile("testdata/kafka-4.3.1.log")
	if err != nil {
		t.Fatal(err)
	}
	return &memLog{data: data}
}

// recorder is a Publisher that remembers what it was told.
type recorder struct {
	mu      sync.Mutex
	c       *Controller // to look at what is visible while publishing
	changes []TopicChange
	visible []int64 // version visible at each Publish
	images  []*MetadataImage
	fail    func(*Delta) error
}

func (p *recorder) Publish(d *Delta, image *MetadataImage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes = append(p.changes, d.Topics()...)
	p.images = append(p.images, image)
	if p.c != nil {
		p.visible = append(p.visible, p.c.Image().Version)
	}
	if p.fail != nil {
		return p.fail(d)
	}
	return nil
}

var testRandom = &counterRandom{}

// counterRandom is a deterministic source of distinct bytes.
type counterRandom struct {
	mu sync.Mutex
	n  uint64
}

func (r *counterRandom) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range p {
		r.n = r.n*6364136223846793005 + 1442695040888963407
		p[i] = byte(r.n >> 56)
	}
	return len(p), nil
}

func testConfig(log Log) Config {
	return Config{
		Log: log, Publisher: &recorder{}, NodeID: 1, ClusterID: "test-cluster", NumPartitions: 3,
		Endpoints: []Endpoint{{Name: "PLAINTEXT", Host: "localhost", Port: 9092}}, LogDirs: []UUID{{1, 2, 3}},
		ValidateTopic: func(overrides map[string]string) error {
			if _, ok := overrides["bad"]; ok {
				return protocol.Errorf(protocol.InvalidConfig, "Unknown topic config name: bad")
			}
			return nil
		},
		Settings: testRules{},
		InternalTopics: map[string]InternalTopic{
			protocol.ConsumerOffsetsTopic: {Partitions: 5, ReplicationFactor: 3, Configs: map[string]string{"cleanup.policy": "compact"}},
		},
		Now: func() time.Time { return time.UnixMilli(1700000000000) }, Random: testRandom,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// open opens a controller and closes it at the end of the test.
func open(t *testing.T, cfg Config) *Controller {
	t.Helper()
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// create makes one topic and fails the test if it cannot. Any goroutine may call it.
func create(t *testing.T, c *Controller, name string, partitions int32) *Topic {
	t.Helper()
	r := c.CreateTopics(t.Context(), []CreatableTopic{{Name: name, NumPartitions: partitions, ReplicationFactor: -1}}, false, nil)
	if r[0].Err != nil {
		t.Errorf("create %s: %v", name, r[0].Err)
		return &Topic{}
	}
	return r[0].Topic
}

// dump renders all of an image, to compare.
func dump(t *testing.T, m *MetadataImage) string {
	t.Helper()
	var topics []*Topic
	for topic := range m.Topics() {
		byID, ok := m.TopicByID(topic.ID)
		if !ok || byID != topic {
			t.Fatalf("topic %s is not found by its id", topic)
		}
		topics = append(topics, topic)
	}
	if len(topics) != m.TopicCount() {
		t.Fatalf("%d topics, counted %d", len(topics), m.TopicCount())
	}
	configs := map[string]map[string]string{}
	for r, c := range m.configs {
		configs[string(rune('0'+r.Type))+r.Name] = c
	}
	b, err := json.MarshalIndent(map[string]any{
		"version": m.Version, "cluster": m.ClusterID, "ids": m.NextProducerID, "topics": topics,
		"brokers": m.brokers, "features": m.features, "configs": configs,
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// loadImage replays a log without a controller.
func loadImage(t *testing.T, log Log) *MetadataImage {
	t.Helper()
	d := newDelta(newImage("test-cluster"))
	q := NewLocalQuorum(log, time.Now)
	err := q.Start(func(c Committed) error {
		for i, r := range c.Records {
			if err := d.apply(c.BaseOffset+int64(i), r); err != nil {
				return err
			}
		}
		d.next.Version = c.LastOffset
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d.image()
}

// testRules knows one list, "list", whose default is "a", and refuses the key "bad" and unknown topics.
type testRules struct{}

func (testRules) ListDefault(_ ResourceType, key string, op ConfigOp) (string, error) {
	if key != "list" {
		return "", protocol.Errorf(protocol.InvalidConfig, "%s of %s", op, key)
	}
	return "a", nil
}

func (testRules) Check(image *MetadataImage, r ConfigResource, after map[string]string) error {
	if _, ok := after["bad"]; ok {
		return protocol.Errorf(protocol.InvalidConfig, "bad")
	}
	if _, ok := image.Topic(r.Name); !ok && r.Type == ResourceTopic {
		return protocol.Errorf(protocol.UnknownTopicOrPartition, "The topic '%s' does not exist.", r.Name)
	}
	return nil
}
