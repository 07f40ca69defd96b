package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"kserver/protocol"
)

func TestFirstStart(t *testing.T) {
	log := &memLog{}
	p := &recorder{}
	cfg := testConfig(log)
	cfg.Publisher = p
	c := open(t, cfg)
	m := c.Image()
	if m.Features()[MetadataVersionFeature] != MetadataVersion || len(m.Features()) != 1 {
		t.Errorf("features %v", m.Features())
	}
	b, ok := m.Broker(1)
	if !ok || !b.Active() || b.Epoch != 1 || b.Incarnation.IsZero() || b.Endpoints[0].Port != 9092 || len(b.LogDirs) != 1 {
		t.Errorf("broker %+v", b)
	}
	if m.ClusterID != "test-cluster" || m.Version != 1 {
		t.Errorf("cluster %s version %d", m.ClusterID, m.Version)
	}
	if len(p.images) != 1 || p.images[0] != m || log.appends != 1 {
		t.Errorf("%d publishes, %d appends", len(p.images), log.appends)
	}
}

// TestRestart opens the log again and compares what is replayed with what was.
func TestRestart(t *testing.T) {
	log := &memLog{}
	c := open(t, testConfig(log))
	id := create(t, c, "a", 2).ID
	create(t, c, "b", 1)
	value := "60000"
	r := c.CreateTopics(t.Context(), []CreatableTopic{{Name: "c.d", NumPartitions: -1, ReplicationFactor: -1, Configs: []TopicSetting{{"retention.ms", &value}}}}, false, nil)
	if r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	c.CreatePartitions(t.Context(), []NewPartitions{{Name: "a", Count: 4}}, false, nil)
	name := "b"
	c.DeleteTopics(t.Context(), []TopicRef{{Name: &name}}, nil)
	live := c.Image()
	if got := dump(t, loadImage(t, log.copyOf())); got != dump(t, live) {
		t.Errorf("replayed:\n%s\nlive:\n%s", got, dump(t, live))
	}

	p := &recorder{}
	cfg := testConfig(log.copyOf())
	cfg.Publisher = p
	again := open(t, cfg)
	topic, ok := again.Image().TopicByID(id)
	if !ok || topic.Name != "a" || len(topic.Partitions) != 4 {
		t.Errorf("after a restart: %v", topic)
	}
	if c, ok := again.Image().Topic("c.d"); !ok || c.Configs["retention.ms"] != "60000" || len(c.Partitions) != 3 {
		t.Errorf("after a restart: %v", c)
	}
	var published []string
	for _, change := range p.changes {
		if change.Before != nil {
			t.Errorf("publish at start has %s before", change.Before)
		}
		published = append(published, change.After.Name)
	}
	slices.Sort(published)
	if !slices.Equal(published, []string{"a", "c.d"}) {
		t.Errorf("published at start: %v", published)
	}
	before, _ := live.Broker(1)
	after, _ := again.Image().Broker(1)
	if after.Epoch <= before.Epoch || after.Epoch != again.Image().Version || after.Incarnation == before.Incarnation {
		t.Errorf("registered again as %+v, was %+v", after, before)
	}
}

// TestOpenKafkaLog opens a log that Kafka wrote, and writes to it.
func TestOpenKafkaLog(t *testing.T) {
	log := kafkaLog(t)
	c := open(t, testConfig(log))
	if _, ok := c.Image().Topic("golden"); !ok {
		t.Error("topic is not there")
	}
	create(t, c, "new", 1)
	if got, want := dump(t, loadImage(t, log.copyOf())), dump(t, c.Image()); got != want {
		t.Errorf("replayed:\n%s\nlive:\n%s", got, want)
	}
}

func TestVisibleAfterPublish(t *testing.T) {
	p := &recorder{}
	cfg := testConfig(&memLog{})
	cfg.Publisher = p
	c := open(t, cfg)
	p.c = c
	before := c.Image().Version
	create(t, c, "a", 1)
	if len(p.visible) != 1 || p.visible[0] != before {
		t.Errorf("visible while publishing: %v, was %d", p.visible, before)
	}
	if last := p.images[len(p.images)-1]; last != c.Image() {
		t.Error("the image shown is not the one published")
	}
}

// TestImagesStay compares old images with what they were.
func TestImagesStay(t *testing.T) {
	c := open(t, testConfig(&memLog{}))
	type held struct {
		image *MetadataImage
		text  string
	}
	var images []held
	for i := range 30 {
		create(t, c, fmt.Sprintf("t.%d", i), 1)
		if i%2 == 1 {
			c.CreatePartitions(t.Context(), []NewPartitions{{Name: fmt.Sprintf("t.%d", i/2), Count: 7}}, false, nil)
		}
		if i%3 == 2 {
			name := fmt.Sprintf("t.%d", i/3)
			c.DeleteTopics(t.Context(), []TopicRef{{Name: &name}}, nil)
		}
		images = append(images, held{c.Image(), dump(t, c.Image())})
	}
	for i, h := range images {
		if dump(t, h.image) != h.text {
			t.Errorf("image %d changed", i)
		}
	}
}

// TestReplayEqualsLive makes random changes, over several restarts, and replays.
func TestReplayEqualsLive(t *testing.T) {
	log := &memLog{}
	r := rand.New(rand.NewPCG(7, 7))
	for range 4 {
		c, err := Open(testConfig(log))
		if err != nil {
			t.Fatal(err)
		}
		for range 150 {
			name := fmt.Sprintf("t_%d", r.IntN(40))
			switch r.IntN(5) {
			case 0:
				c.DeleteTopics(t.Context(), []TopicRef{{Name: &name}}, nil)
			case 1:
				c.CreatePartitions(t.Context(), []NewPartitions{{Name: name, Count: int32(1 + r.IntN(9))}}, r.IntN(4) == 0, nil)
			case 2:
				if _, err := c.AllocateProducerIDs(t.Context(), 1+r.IntN(10)); err != nil {
					t.Fatal(err)
				}
			default:
				value := fmt.Sprint(r.IntN(100))
				c.CreateTopics(t.Context(), []CreatableTopic{{
					Name: name, NumPartitions: int32(r.IntN(5) - 1), ReplicationFactor: 1, Configs: []TopicSetting{{"retention.ms", &value}},
				}}, r.IntN(4) == 0, nil)
			}
		}
		if got, want := dump(t, loadImage(t, log.copyOf())), dump(t, c.Image()); got != want {
			t.Fatalf("replayed:\n%s\nlive:\n%s", got, want)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConcurrent lets many callers create, grow and delete at once. Every name is
// created exactly as often as it is deleted or left, and what one caller was
// answered is visible to it.
func TestConcurrent(t *testing.T) {
	log := &memLog{}
	c := open(t, testConfig(log))
	const workers, rounds = 16, 25
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				own, shared := fmt.Sprintf("own%d.%d", w, i), fmt.Sprintf("shared%d", i%5)
				create(t, c, own, 1)
				if _, ok := c.Image().Topic(own); !ok {
					t.Errorf("%s was answered and is not visible", own)
				}
				if r := c.CreatePartitions(t.Context(), []NewPartitions{{Name: own, Count: 3}}, false, nil); r[0].Err != nil {
					t.Error(r[0].Err)
				}
				r := c.CreateTopics(t.Context(), []CreatableTopic{{Name: shared, NumPartitions: 1, ReplicationFactor: 1}}, false, nil)
				if r[0].Err != nil {
					if r[0].Err.Code != protocol.TopicAlreadyExists {
						t.Error(r[0].Err)
					}
					continue
				}
				d := c.DeleteTopics(t.Context(), []TopicRef{{ID: r[0].Topic.ID}}, nil)
				if d[0].Err != nil {
					t.Error(d[0].Err)
				}
				if _, ok := c.Image().TopicByID(r[0].Topic.ID); ok {
					t.Errorf("%s was deleted and is visible", shared)
				}
			}
		})
	}
	wg.Wait()
	if n := c.Image().TopicCount(); n != workers*rounds {
		t.Errorf("%d topics", n)
	}
	if got, want := dump(t, loadImage(t, log.copyOf())), dump(t, c.Image()); got != want {
		t.Error("replay differs from the live image")
	}
}

// TestGroupCommit holds the log's first write and queues changes behind it: they
// share the second.
func TestGroupCommit(t *testing.T) {
	log := &memLog{}
	c := open(t, testConfig(log))
	log.hold = make(chan struct{})
	appends := log.appends
	var wg sync.WaitGroup
	ask := func(name string) {
		wg.Go(func() { create(t, c, name, 1) })
	}
	ask("first")
	for {
		log.mu.Lock()
		started := log.appends > appends
		log.mu.Unlock()
		if started {
			break
		}
		runtime.Gosched()
	}
	const behind = 10
	for i := range behind {
		ask(fmt.Sprintf("t%d", i))
	}
	for len(c.queue) < behind {
		runtime.Gosched()
	}
	close(log.hold)
	wg.Wait()
	if n := log.appends - appends; n != 2 {
		t.Errorf("%d writes", n)
	}
}

func TestPublishFailure(t *testing.T) {
	p := &recorder{fail: func(d *Delta) error {
		for _, change := range d.Topics() {
			if change.After != nil && change.After.Name == "broken" {
				return errors.New("no space")
			}
		}
		return nil
	}}
	log := &memLog{}
	cfg := testConfig(log)
	cfg.Publisher = p
	c := open(t, cfg)
	r := c.CreateTopics(t.Context(), []CreatableTopic{{Name: "broken", NumPartitions: 1, ReplicationFactor: 1}}, false, nil)
	if r[0].Err == nil || r[0].Err.Code != protocol.UnknownServerError || r[0].Err.Message != "" {
		t.Errorf("answer %v", r[0].Err)
	}
	if c.Metrics().PublishFailures.Load() != 1 {
		t.Error("not counted")
	}
	create(t, c, "fine", 1)
	// The log has it; a start that can publish makes it whole.
	again := open(t, testConfig(log.copyOf()))
	if _, ok := again.Image().Topic("broken"); !ok {
		t.Error("topic is not there after a restart")
	}
	// A start that cannot does not open.
	cfg = testConfig(log.copyOf())
	cfg.Publisher = p
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("open: %v", err)
	}
}

// TestLostWrite fails the log: the change is not visible, nothing is accepted any
// more, and what was answered before is there after a restart.
func TestLostWrite(t *testing.T) {
	for name, breakLog := range map[string]func(*memLog){
		"append": func(l *memLog) { l.appendErr = errors.New("disk gone") },
		"sync":   func(l *memLog) { l.syncErr = errors.New("disk gone") },
	} {
		t.Run(name, func(t *testing.T) {
			log := &memLog{}
			c := open(t, testConfig(log))
			create(t, c, "kept", 1)
			kept := log.copyOf()
			log.mu.Lock()
			breakLog(log)
			log.mu.Unlock()
			one := []CreatableTopic{{Name: "lost", NumPartitions: 1, ReplicationFactor: 1}}
			if r := c.CreateTopics(t.Context(), one, false, nil); r[0].Err == nil || r[0].Err.Code != protocol.KafkaStorageError {
				t.Errorf("answer %v", r[0].Err)
			}
			if _, ok := c.Image().Topic("lost"); ok {
				t.Error("an uncommitted topic is visible")
			}
			log.mu.Lock()
			log.appendErr, log.syncErr = nil, nil
			log.mu.Unlock()
			if r := c.CreateTopics(t.Context(), one, false, nil); r[0].Err == nil || r[0].Err.Code != protocol.KafkaStorageError {
				t.Errorf("answer after the disk came back: %v", r[0].Err)
			}
			if r := c.CreateTopics(t.Context(), one, true, nil); r[0].Err != nil {
				t.Errorf("validation needs no log: %v", r[0].Err)
			}
			if _, ok := open(t, testConfig(kept)).Image().Topic("kept"); !ok {
				t.Error("an answered topic is lost")
			}
		})
	}
}

func TestClosed(t *testing.T) {
	c, err := Open(testConfig(&memLog{}))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	r := c.CreateTopics(t.Context(), []CreatableTopic{{Name: "a"}}, false, nil)
	if r[0].Err == nil || r[0].Err.Code != protocol.NotController {
		t.Errorf("create: %v", r[0].Err)
	}
	if _, err := c.NewProducerID(t.Context()); protocol.CodeOf(err) != protocol.NotController {
		t.Errorf("producer id: %v", err)
	}
	var ensured error
	c.EnsureTopic("a", func(err error) { ensured = err })
	if protocol.CodeOf(ensured) != protocol.NotController {
		t.Errorf("ensure: %v", ensured)
	}
}

// TestCloseAnswers closes while changes wait: all of them are answered.
func TestCloseAnswers(t *testing.T) {
	c, err := Open(testConfig(&memLog{}))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			r := c.CreateTopics(t.Context(), []CreatableTopic{{Name: fmt.Sprint("t", i), NumPartitions: 1, ReplicationFactor: 1}}, false, nil)
			if r[0].Err != nil && r[0].Err.Code != protocol.NotController {
				t.Error(r[0].Err)
			}
		})
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestTimeout(t *testing.T) {
	log := &memLog{}
	c := open(t, testConfig(log))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := c.CreateTopics(ctx, []CreatableTopic{{Name: "never", NumPartitions: 1, ReplicationFactor: 1}}, false, nil); r[0].Err == nil || r[0].Err.Code != protocol.RequestTimedOut {
		t.Errorf("create: %v", r[0].Err)
	}
	name := "never"
	if r := c.DeleteTopics(ctx, []TopicRef{{Name: &name}}, nil); r[0].Err == nil || r[0].Err.Code != protocol.RequestTimedOut || *r[0].Name != name {
		t.Errorf("delete: %+v", r[0])
	}
	if r := c.CreatePartitions(ctx, []NewPartitions{{Name: "never", Count: 2}}, false, nil); r[0].Err == nil || r[0].Err.Code != protocol.RequestTimedOut {
		t.Errorf("partitions: %v", r[0].Err)
	}
	// The wait for the log ends with the context; the change still happens.
	log.hold = make(chan struct{})
	ctx, cancel = context.WithCancel(t.Context())
	done := make(chan []TopicResult)
	go func() {
		done <- c.CreateTopics(ctx, []CreatableTopic{{Name: "late", NumPartitions: 1, ReplicationFactor: 1}}, false, nil)
	}()
	cancel()
	if r := <-done; r[0].Err == nil || r[0].Err.Code != protocol.RequestTimedOut {
		t.Errorf("late: %v", r[0].Err)
	}
	close(log.hold)
	create(t, c, "after", 1)
	if _, ok := c.Image().Topic("never"); ok {
		t.Error("a request that had run out was carried out")
	}
}

func TestOpenErrors(t *testing.T) {
	var missing Config
	if _, err := Open(missing); err == nil {
		t.Error("an empty configuration opens")
	}
	for name, change := range map[string]func(*Config){
		"publisher": func(c *Config) { c.Publisher = nil },
		"validate":  func(c *Config) { c.ValidateTopic = nil },
		"settings":  func(c *Config) { c.Settings = nil },
		"node":      func(c *Config) { c.NodeID = -1 },
		"cluster":   func(c *Config) { c.ClusterID = "" },
		"count":     func(c *Config) { c.NumPartitions = -1 },
		"factor":    func(c *Config) { c.ReplicationFactor = -1 },
		"pending":   func(c *Config) { c.MaxPending = 1 << 20 },
		"internal":  func(c *Config) { c.InternalTopics = map[string]InternalTopic{"x": {}} },
	} {
		cfg := testConfig(&memLog{})
		change(&cfg)
		if _, err := Open(cfg); err == nil {
			t.Errorf("%s: opens", name)
		}
	}
	broken := &memLog{appendErr: errors.New("read-only")}
	if _, err := Open(testConfig(broken)); !errors.Is(err, ErrNotCommitted) {
		t.Errorf("log that takes nothing: %v", err)
	}
	write := func(records ...Record) *memLog {
		log := &memLog{}
		b, err := encodeBatch(records, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(b, 1); err != nil {
			t.Fatal(err)
		}
		return log
	}
	for name, log := range map[string]*memLog{
		"level":               write(&FeatureLevelRecord{MetadataVersionFeature, 31}),
		"partition of none":   write(&PartitionRecord{TopicID: UUID{1}}),
		"same topic twice":    write(&TopicRecord{"a", UUID{1}}, &TopicRecord{"a", UUID{2}}),
		"bad topic name":      write(&TopicRecord{"../x", UUID{1}}),
		"removal of none":     write(&RemoveTopicRecord{UUID{1}}),
		"partition gap":       write(&TopicRecord{"a", UUID{1}}, &PartitionRecord{UUID{1}, 1, Partition{Replicas: []int32{1}, Leader: 1}}),
		"leader elsewhere":    write(&TopicRecord{"a", UUID{1}}, &PartitionRecord{UUID{1}, 0, Partition{Replicas: []int32{1}, Leader: 2}}),
		"no replicas":         write(&TopicRecord{"a", UUID{1}}, &PartitionRecord{UUID{1}, 0, Partition{Leader: -1}}),
		"isr elsewhere":       write(&TopicRecord{"a", UUID{1}}, &PartitionRecord{UUID{1}, 0, Partition{Replicas: []int32{1}, ISR: []int32{2}, Leader: 1}}),
		"change of none":      write(&TopicRecord{"a", UUID{1}}, &PartitionChangeRecord{TopicID: UUID{1}}),
		"unregister of none":  write(&UnregisterBrokerRecord{ID: 1}),
		"setting of none":     write(&ConfigRecord{ConfigResource{ResourceTopic, "a"}, "k", nil}),
		"producer ids back":   write(&ProducerIDsRecord{1, 1, 10}, &ProducerIDsRecord{1, 1, 10}),
		"begin twice":         write(&BeginTransactionRecord{}, &BeginTransactionRecord{}),
		"end without begin":   write(EndTransactionRecord{}),
		"abort without begin": write(&AbortTransactionRecord{}),
	} {
		_, err := Open(testConfig(log))
		if err == nil || name != "level" && !errors.Is(err, ErrInconsistent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTransactions replays records between begin, end and abort (KIP-868).
func TestTransactions(t *testing.T) {
	log := &memLog{}
	for _, records := range [][]Record{
		{&FeatureLevelRecord{MetadataVersionFeature, MetadataVersion}, &BeginTransactionRecord{}, &TopicRecord{"kept", UUID{1}}},
		{&PartitionRecord{UUID{1}, 0, Partition{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}}, EndTransactionRecord{}},
		{&BeginTransactionRecord{}, &TopicRecord{"aborted", UUID{2}}, &AbortTransactionRecord{}},
		{&BeginTransactionRecord{}, &TopicRecord{"open", UUID{3}}},
	} {
		b, err := encodeBatch(records, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(b, 1); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the first start aborts the open one, the second finds that done
		c, err := Open(testConfig(log))
		if err != nil {
			t.Fatal(err)
		}
		if topic, ok := c.Image().Topic("kept"); !ok || len(topic.Partitions) != 1 || c.Image().TopicCount() != 1 {
			t.Errorf("%d topics, %v", c.Image().TopicCount(), topic)
		}
		if b, ok := c.Image().Broker(1); !ok || b.Epoch != c.Image().Version {
			t.Errorf("broker %+v", b)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBrokenBatch refuses a batch whose count does not fit its records.
func TestBrokenBatch(t *testing.T) {
	b, err := encodeBatch([]Record{NoOpRecord{}, NoOpRecord{}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	b[26]++ // last offset delta
	b.UpdateCRC()
	if _, err := Open(testConfig(&memLog{data: b})); !errors.Is(err, ErrRecord) {
		t.Errorf("open: %v", err)
	}
}
