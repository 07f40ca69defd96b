package controller

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"kserver/protocol"
)

func text(s string) *string { return &s }

// TestCreateTopicsErrors asks for what cannot be. Codes and messages are those of
// Kafka 4.3.1.
func TestCreateTopicsErrors(t *testing.T) {
	c := open(t, testConfig(&memLog{}))
	create(t, c, "there", 1)
	create(t, c, "a.b", 1)
	by := func(assignments ...Assignment) CreatableTopic {
		return CreatableTopic{Name: "x", NumPartitions: -1, ReplicationFactor: -1, Assignments: assignments}
	}
	counts := func(name string, partitions int32, factor int16) CreatableTopic {
		return CreatableTopic{Name: name, NumPartitions: partitions, ReplicationFactor: factor}
	}
	with := func(t CreatableTopic, change func(*CreatableTopic)) CreatableTopic { change(&t); return t }
	for _, test := range []struct {
		topic   CreatableTopic
		code    protocol.ErrorCode
		message string
	}{
		{counts("there", 1, 1), protocol.TopicAlreadyExists, "Topic 'there' already exists."},
		{counts("a.b", 1, 1), protocol.TopicAlreadyExists, "Topic 'a.b' already exists."},
		{counts("a_b", 1, 1), protocol.InvalidTopicException, "Topic 'a_b' collides with existing topic: a.b"},
		{counts("x y", 1, 1), protocol.InvalidTopicException, "Topic name is invalid: 'x y' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{counts("", 1, 1), protocol.InvalidTopicException, "Topic name is invalid: the empty string is not allowed"},
		{counts("__cluster_metadata", 1, 1), protocol.InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited."},
		{counts("x", 1, 3), protocol.InvalidReplicationFactor, "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."},
		{counts("x", 1, 0), protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."},
		{counts("x", 0, 0), protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."},
		{counts("x", 1, -2), protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."},
		{counts("x", 0, 1), protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."},
		{counts("x", -2, -1), protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."},
		{counts("x", 10001, 1), protocol.PolicyViolation, "Excessively large number of partitions per request."},
		{counts("x", math.MaxInt32, 1), protocol.PolicyViolation, "Excessively large number of partitions per request."},
		{counts("x", 10000, 1), protocol.PolicyViolation, "Unable to perform excessively large batch operation."},
		{with(counts("x", 1, 1), func(t *CreatableTopic) {
			t.Configs = []TopicSetting{{"a", nil}, {"b", text("1")}, {"c", nil}}
		}), protocol.InvalidConfig, "Null value not supported for topic configs: a,c"},
		{with(counts("x", 1, 1), func(t *CreatableTopic) { t.Configs = []TopicSetting{{"bad", text("1")}} }), protocol.InvalidConfig, "Unknown topic config name: bad"},
		{with(by(Assignment{0, []int32{1}}), func(t *CreatableTopic) { t.NumPartitions = 1 }), protocol.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1."},
		{with(by(Assignment{0, []int32{1}}), func(t *CreatableTopic) { t.ReplicationFactor = 1 }), protocol.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1."},
		{by(Assignment{0, []int32{9}}), protocol.InvalidReplicaAssignment, "The manual partition assignment includes broker 9, but no such broker is registered."},
		{by(Assignment{0, []int32{1, 1}}), protocol.InvalidReplicaAssignment, "The manual partition assignment includes the broker 1 more than once."},
		{by(Assignment{0, nil}), protocol.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list."},
		{by(Assignment{0, []int32{1}}, Assignment{0, []int32{1}}), protocol.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition 0"},
		{by(Assignment{0, []int32{1}}, Assignment{2, []int32{1}}), protocol.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"},
		{by(Assignment{-1, []int32{1}}), protocol.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"},
	} {
		version := c.Image().Version
		for _, validate := range []bool{true, false} {
			r := c.CreateTopics(t.Context(), []CreatableTopic{test.topic}, validate, nil)
			if len(r) != 1 || r[0].Err == nil || r[0].Topic != nil || r[0].Name != test.topic.Name {
				t.Errorf("%.60s: %+v", fmt.Sprintf("%+v", test.topic), r)
				continue
			}
			if r[0].Err.Code != test.code || r[0].Err.Message != test.message {
				t.Errorf("got  %v: %s\nwant %v: %s", r[0].Err.Code, r[0].Err.Message, test.code, test.message)
			}
		}
		if c.Image().Version != version {
			t.Errorf("%+v: something was written", test.topic)
		}
	}
}

// TestCreateTopicsTogether creates what is in order in a request where not all is.
func TestCreateTopicsTogether(t *testing.T) {
	log := &memLog{}
	c := open(t, testConfig(log))
	version := c.Image().Version
	r := c.CreateTopics(t.Context(), []CreatableTopic{
		{Name: "twice", NumPartitions: 1, ReplicationFactor: 1}, {Name: "good", NumPartitions: -1, ReplicationFactor: -1},
		{Name: "b d", NumPartitions: 1, ReplicationFactor: 1}, {Name: "twice", NumPartitions: 1, ReplicationFactor: 1},
		{Name: "hand", NumPartitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{1, []int32{1}}, {0, []int32{1}}}},
	}, false, nil)
	var got []string
	for _, result := range r {
		code := "NONE"
		if result.Err != nil {
			code = result.Err.Code.String()
		}
		got = append(got, result.Name+" "+code)
	}
	if want := []string{"twice INVALID_REQUEST", "good NONE", "b d INVALID_TOPIC_EXCEPTION", "hand NONE"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	good, ok := c.Image().Topic("good")
	if !ok || len(good.Partitions) != 3 || good.ID != r[1].Topic.ID || good.ID.IsZero() {
		t.Fatalf("good: %+v", good)
	}
	for _, p := range good.Partitions {
		if p.Leader != 1 || p.LeaderEpoch != 0 || !slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, []int32{1}) || p.Directories[0] != (UUID{1, 2, 3}) {
			t.Errorf("partition %+v", p)
		}
	}
	if c.Image().TopicCount() != 2 || c.Image().Version != version+7 {
		t.Errorf("%d topics, version %d after %d", c.Image().TopicCount(), c.Image().Version, version)
	}
	v := c.CreateTopics(t.Context(), []CreatableTopic{{Name: "only.checked", NumPartitions: 2, ReplicationFactor: 1}}, true, nil)
	if v[0].Err != nil || len(v[0].Topic.Partitions) != 2 || c.Image().TopicCount() != 2 {
		t.Errorf("validate only: %+v", v[0])
	}
	if r := c.CreateTopics(t.Context(), nil, false, nil); len(r) != 0 {
		t.Errorf("nothing asked: %v", r)
	}
}

func TestDeleteTopics(t *testing.T) {
	c := open(t, testConfig(&memLog{}))
	ids := map[string]UUID{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		ids[name] = create(t, c, name, 1).ID
	}
	r := c.DeleteTopics(t.Context(), []TopicRef{
		{Name: text("a")}, {ID: ids["b"]}, {Name: text("none")}, {ID: UUID{9}},
		{}, {Name: text("c"), ID: ids["c"]}, {Name: text("c")}, {Name: text("c")},
		{ID: ids["d"]}, {ID: ids["d"]}, {Name: text("e")}, {ID: ids["e"]},
	}, nil)
	var got []string
	for _, result := range r {
		name := "-"
		if result.Name != nil {
			name = *result.Name
		}
		if result.Err == nil {
			got = append(got, name+" deleted")
			continue
		}
		got = append(got, name+" "+result.Err.Code.String()+" "+result.Err.Message)
	}
	want := []string{
		"a deleted", "b deleted",
		"none UNKNOWN_TOPIC_OR_PARTITION This server does not host this topic-partition.",
		"- UNKNOWN_TOPIC_ID This server does not host this topic ID.",
		"- INVALID_REQUEST Neither topic name nor id were specified.",
		"c INVALID_REQUEST You may not specify both topic name and topic id.",
		"c INVALID_REQUEST Duplicate topic name.",
		"- INVALID_REQUEST Duplicate topic id.",
		"e INVALID_REQUEST The provided topic name maps to an ID that was already supplied.",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if r[0].ID != ids["a"] || r[1].ID != ids["b"] || r[3].ID != (UUID{9}) {
		t.Error("ids of the answers")
	}
	if n := c.Image().TopicCount(); n != 3 {
		t.Errorf("%d topics left", n)
	}
	again := create(t, c, "a", 2)
	if again.ID == ids["a"] {
		t.Error("a topic made again has its old id")
	}
}

func TestDeleteDisabled(t *testing.T) {
	cfg := testConfig(&memLog{})
	cfg.DisableDelete = true
	c := open(t, cfg)
	create(t, c, "a", 1)
	r := c.DeleteTopics(t.Context(), []TopicRef{{Name: text("a")}}, nil)
	if r[0].Err == nil || r[0].Err.Code != protocol.TopicDeletionDisabled || c.Image().TopicCount() != 1 {
		t.Errorf("%+v", r[0])
	}
}

func TestCreatePartitions(t *testing.T) {
	c := open(t, testConfig(&memLog{}))
	create(t, c, "a", 2)
	for _, test := range []struct {
		topic   NewPartitions
		code    protocol.ErrorCode
		message string
	}{
		{NewPartitions{"a", 2, nil}, protocol.InvalidPartitions, "Topic already has 2 partition(s)."},
		{NewPartitions{"a", 1, nil}, protocol.InvalidPartitions, "The topic a currently has 2 partition(s); 1 would not be an increase."},
		{NewPartitions{"a", -1, nil}, protocol.InvalidPartitions, "The topic a currently has 2 partition(s); -1 would not be an increase."},
		{NewPartitions{"none", 2, nil}, protocol.UnknownTopicOrPartition, ""},
		{NewPartitions{"a", 3, [][]int32{}}, protocol.InvalidReplicaAssignment, "Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified."},
		{NewPartitions{"a", 3, [][]int32{{1}, {1}}}, protocol.InvalidReplicaAssignment, "Attempted to add 1 additional partition(s), but only 2 assignment(s) were specified."},
		{NewPartitions{"a", 3, [][]int32{{9}}}, protocol.InvalidReplicaAssignment, "The manual partition assignment includes broker 9, but no such broker is registered."},
		{NewPartitions{"a", 3, [][]int32{{}}}, protocol.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list."},
		{NewPartitions{"a", 3, [][]int32{{1, 1}}}, protocol.InvalidReplicaAssignment, "The manual partition assignment includes the broker 1 more than once."},
		{NewPartitions{"a", 10003, nil}, protocol.PolicyViolation, "Unable to perform excessively large batch operation."},
		{NewPartitions{"a", math.MaxInt32, nil}, protocol.PolicyViolation, "Unable to perform excessively large batch operation."},
	} {
		r := c.CreatePartitions(t.Context(), []NewPartitions{test.topic}, false, nil)
		if len(r) != 1 || r[0].Err == nil || r[0].Err.Code != test.code || r[0].Err.Message != test.message {
			t.Errorf("%+v: %+v", test.topic, r)
		}
	}
	r := c.CreatePartitions(t.Context(), []NewPartitions{{"a", 3, nil}, {"a", 4, nil}}, false, nil)
	if len(r) != 1 || r[0].Err.Message != "Duplicate topic name." {
		t.Errorf("twice: %+v", r)
	}
	before, _ := c.Image().Topic("a")
	if r := c.CreatePartitions(t.Context(), []NewPartitions{{"a", 3, nil}}, true, nil); r[0].Err != nil {
		t.Error(r[0].Err)
	}
	if now, _ := c.Image().Topic("a"); now != before {
		t.Error("validate only changed the topic")
	}
	for i, assignment := range [][][]int32{nil, {{1}}} {
		if r := c.CreatePartitions(t.Context(), []NewPartitions{{"a", int32(3 + i), assignment}}, false, nil); r[0].Err != nil {
			t.Error(r[0].Err)
		}
	}
	now, _ := c.Image().Topic("a")
	if len(now.Partitions) != 4 || len(before.Partitions) != 2 || now.Partitions[3].Leader != 1 {
		t.Errorf("%d partitions, the old image has %d", len(now.Partitions), len(before.Partitions))
	}
}

func TestProducerIDs(t *testing.T) {
	log := &memLog{}
	seen := map[int64]bool{}
	for start := range 3 {
		c, err := Open(testConfig(log))
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 400 {
					id, err := c.NewProducerID(t.Context())
					mu.Lock()
					if err != nil || seen[id] {
						t.Errorf("producer id %d again, %v", id, err)
					}
					seen[id] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if next := c.Image().NextProducerID; next != int64(start+1)*2000 {
			t.Errorf("next producer id %d", next)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !seen[0] {
		t.Error("ids do not begin at 0")
	}
	c := open(t, testConfig(log))
	if _, err := c.AllocateProducerIDs(t.Context(), math.MaxInt64-7000); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AllocateProducerIDs(t.Context(), 5000); protocol.CodeOf(err) != protocol.UnknownServerError {
		t.Errorf("beyond the last id: %v", err)
	}
}

func TestEnsureTopic(t *testing.T) {
	log := &memLog{}
	p := &recorder{}
	cfg := testConfig(log)
	cfg.Publisher = p
	c := open(t, cfg)
	ensure := func(name string) <-chan error {
		done := make(chan error, 1)
		c.EnsureTopic(name, func(err error) {
			if _, ok := c.Image().Topic(name); err == nil && !ok {
				err = errors.New("not visible yet")
			}
			done <- err
		})
		return done
	}
	var waits []<-chan error
	for range 20 {
		waits = append(waits, ensure("__consumer_offsets"), ensure("auto"))
	}
	for _, wait := range waits {
		if err := <-wait; err != nil {
			t.Error(err)
		}
	}
	offsets, _ := c.Image().Topic("__consumer_offsets")
	if len(offsets.Partitions) != 5 || !offsets.Internal || offsets.Configs["cleanup.policy"] != "compact" || len(offsets.Partitions[0].Replicas) != 1 {
		t.Errorf("offsets topic %+v", offsets)
	}
	if auto, _ := c.Image().Topic("auto"); len(auto.Partitions) != 3 || auto.Internal {
		t.Errorf("auto %+v", auto)
	}
	if n := len(p.changes); n != 2 {
		t.Errorf("%d topics created", n)
	}
	if err := <-ensure("b/d"); protocol.CodeOf(err) != protocol.InvalidTopicException {
		t.Errorf("bad name: %v", err)
	}
	if err := <-ensure("auto"); err != nil {
		t.Errorf("again: %v", err)
	}
	c.EnsureTopic("nobody.waits", nil)
	create(t, c, "after", 1)
	if _, ok := c.Image().Topic("nobody.waits"); !ok {
		t.Error("not created")
	}
}

// TestEnsureTopicQueueFull gives up instead of waiting for room.
func TestEnsureTopicQueueFull(t *testing.T) {
	log := &memLog{}
	cfg := testConfig(log)
	cfg.MaxPending = 1
	c := open(t, cfg)
	log.hold = make(chan struct{})
	appends := log.appends
	c.EnsureTopic("first", nil)
	for {
		log.mu.Lock()
		started := log.appends > appends
		log.mu.Unlock()
		if started {
			break
		}
		runtime.Gosched()
	}
	c.EnsureTopic("second", nil)
	var refused error
	c.EnsureTopic("third", func(err error) { refused = err })
	if refused == nil || c.Metrics().QueueFull.Load() != 1 {
		t.Errorf("third: %v", refused)
	}
	close(log.hold)
	create(t, c, "third", 1)
}

// TestPlacement spreads partitions over brokers in racks.
func TestPlacement(t *testing.T) {
	d := newDelta(newImage("c"))
	racks := []string{"x", "x", "y", "y", "z", "z"}
	for i := range racks {
		b := &Broker{ID: int32(i), Rack: &racks[i], LogDirs: []UUID{{byte(i + 1)}}, Fenced: i == 5}
		d.setBroker(b)
	}
	image := d.image()
	c := &Controller{cfg: Config{Random: bytes.NewReader(bytes.Repeat([]byte{3}, 1000))}}
	partitions, err := c.place(image, 0, 60, 3)
	if err != nil {
		t.Fatal(err)
	}
	leaders, replicas := map[int32]int{}, map[int32]int{}
	for i, p := range partitions {
		leaders[p.Leader]++
		for _, id := range p.Replicas {
			replicas[id]++
		}
		if distinct := slices.Compact(slices.Sorted(slices.Values(p.Replicas))); len(distinct) != 3 {
			t.Errorf("partition %d on %v", i, p.Replicas)
		}
		if p.check() != nil || p.Directories[0] != (UUID{byte(p.Leader + 1)}) {
			t.Errorf("partition %d: %+v", i, p)
		}
	}
	for id := range int32(5) {
		if leaders[id] != 12 || replicas[id] < 30 || replicas[id] > 42 {
			t.Errorf("broker %d leads %d, has %d replicas", id, leaders[id], replicas[id])
		}
	}
	if leaders[5] != 0 {
		t.Error("a fenced broker leads")
	}
	all, err := c.place(image, 0, 1, 6)
	if err != nil || len(all[0].Replicas) != 6 || len(all[0].ISR) != 5 || slices.Contains(all[0].ISR, 5) {
		t.Errorf("on all brokers: %+v, %v", all, err)
	}
	for factor, message := range map[int]string{
		0: "Invalid replication factor 0: the replication factor must be positive.",
		7: "The target replication factor of 7 cannot be reached because only 6 broker(s) are registered or some brokers have all their log directories cordoned.",
	} {
		if _, err := c.place(image, 0, 1, factor); err == nil || err.Code != protocol.InvalidReplicationFactor || err.Message != message {
			t.Errorf("factor %d: %v", factor, err)
		}
	}
	if _, err := c.place(newImage("c"), 0, 1, 1); err == nil || !strings.HasPrefix(err.Message, "All brokers are currently fenced") {
		t.Errorf("no brokers: %v", err)
	}
	// By hand on a fenced broker alone: nobody could lead.
	if _, err := assign(image, Assignment{7, []int32{5}}, 0); err == nil ||
		err.Message != "All brokers specified in the manual partition assignment for partition 7 are fenced or in controlled shutdown." {
		t.Errorf("fenced by hand: %v", err)
	}
	if _, err := assign(image, Assignment{7, []int32{1, 2}}, 3); err == nil ||
		err.Message != "The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with previous partitions, which have 3 replica(s)." {
		t.Errorf("another factor by hand: %v", err)
	}
}

// TestManyTopics makes thousands of topics, one by one: each costs no more for
// those that are there.
func TestManyTopics(t *testing.T) {
	c := open(t, testConfig(&memLog{}))
	const n = 5000
	for i := range n {
		create(t, c, fmt.Sprintf("topic.%d", (i*7919)%n), 1)
	}
	if c.Image().TopicCount() != n {
		t.Errorf("%d topics", c.Image().TopicCount())
	}
	last := ""
	for topic := range c.Image().Topics() {
		if topic.Name <= last {
			t.Fatalf("%s after %s", topic.Name, last)
		}
		last = topic.Name
	}
}

// What is in order is created, grown and deleted only with a permit for its
// partitions; the others go on.
func TestPermits(t *testing.T) {
	c := open(t, testConfig(&memLog{}))
	var asked []int
	refused := protocol.Errorf(protocol.ThrottlingQuotaExceeded, "enough")
	permit := func(n int) *protocol.Error {
		if asked = append(asked, n); n > 3 {
			return refused
		}
		return nil
	}
	created := c.CreateTopics(t.Context(), []CreatableTopic{
		{Name: "a", NumPartitions: 4, ReplicationFactor: 1}, {Name: "b", NumPartitions: 3, ReplicationFactor: 1}, {Name: "b d", NumPartitions: 1, ReplicationFactor: 1},
	}, false, permit)
	if created[0].Err != refused || created[0].Topic != nil || created[1].Err != nil || created[2].Err == nil {
		t.Errorf("created: %+v", created)
	}
	grown := c.CreatePartitions(t.Context(), []NewPartitions{{"b", 8, nil}, {"a", 9, nil}}, false, permit)
	if grown[0].Err != refused || grown[1].Err == nil {
		t.Errorf("grown: %+v", grown)
	}
	if r := c.CreatePartitions(t.Context(), []NewPartitions{{"b", 5, nil}}, false, permit); r[0].Err != nil {
		t.Error(r[0].Err)
	}
	b, none := "b", "none"
	deleted := c.DeleteTopics(t.Context(), []TopicRef{{Name: &b}, {Name: &none}}, permit)
	if deleted[0].Err != refused || deleted[1].Err == nil {
		t.Errorf("deleted: %+v", deleted)
	}
	if topic, ok := c.Image().Topic("b"); !ok || len(topic.Partitions) != 5 {
		t.Errorf("b is %+v", topic)
	}
	if want := []int{4, 3, 5, 2, 5}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}
