package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/cluster/configs"
	"kserver/cluster/handlers"
	"kserver/internal/hostile"
)

var (
	strangerBursts = flag.Int("strangers.bursts", 300, "bursts of requests TestStrangers sends to each back-end")
	strangerSeed   = flag.Uint64("strangers.seed", 1, "seed of these bursts")
)

const (
	strangers      = 4 // connections at the same time
	strangersTopic = "kept"
	strangersGroup = "kept-group"
	// burstPatience is how long a stranger waits for one more answer. Many requests deserve none, or one that waits.
	burstPatience = 30 * time.Millisecond
	// dialogueShare is how many bursts there are to each dialogue.
	dialogueShare = 4
)

// TestStrangers sends bursts of requests nobody asked for: every key and version, with values that are valid and
// extreme, damaged, cut, repeated and out of order, several on one connection, and dialogues in which they follow from
// the answers. Afterwards the broker has logged no
// error, everything acknowledged to others is there, at its offset, and nothing else; what it says of its topics and
// groups fits together, every log can be read to its end, and a restart finds the same. It leaves no goroutine and no
// descriptor behind.
//
// The bursts are those of a seed, which ones meet is not. -strangers.bursts and -strangers.seed make it longer and
// different.
func TestStrangers(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
		t.Run("run", func(t *testing.T) { meetStrangers(t, backend) })
		waitFor(t, fmt.Sprintf("%d goroutines", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines })
		waitFor(t, fmt.Sprintf("%d descriptors", descriptors), func() bool { return openDescriptors(t) <= descriptors })
	})
}

func meetStrangers(t *testing.T, backend string) {
	alarms := &alarmLog{}
	dir := t.TempDir()
	b := startBrokerWith(t, backend, dir, slog.New(alarms))
	address := b.address()
	kept := newKeeper(t, address)

	var next, answers atomic.Int64
	accepted := make([]atomic.Int64, hostile.Dialogues)
	var wg sync.WaitGroup
	for range strangers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(*strangerBursts) {
					return
				}
				rng := rand.New(rand.NewPCG(*strangerSeed, uint64(i)))
				var n int
				var err error
				if i%dialogueShare == 0 {
					n, err = talk(address, rng, accepted)
				} else {
					n, err = sendBurst(address, rng)
				}
				if err != nil {
					t.Errorf("burst %d of seed %d: %v", i, *strangerSeed, err)
				}
				answers.Add(int64(n))
			}
		})
	}
	stop := make(chan struct{})
	go func() { wg.Wait(); close(stop) }()
	kept.produce(stop)
	<-stop
	if n := answers.Load(); n == 0 {
		t.Errorf("%d answers to %d bursts", n, *strangerBursts)
	}
	for kind := range accepted {
		if n := accepted[kind].Load(); n < int64(*strangerBursts)/dialogueShare {
			t.Errorf("%d requests of dialogues of kind %d were accepted", n, kind)
		}
	}
	kept.check()
	before := viewCluster(t, address)
	kept.close()
	stopBroker(t, b)

	b = startBrokerWith(t, backend, dir, slog.New(alarms))
	kept.reopen(b.address())
	kept.check()
	if after := viewCluster(t, b.address()); after != before {
		t.Errorf("before the restart\n%s\nafter it\n%s", before, after)
	}
	kept.close()
	stopBroker(t, b)
	for _, line := range alarms.lines {
		t.Error(line)
	}
}

// startBrokerWith is startBroker with a logger.
func startBrokerWith(t *testing.T, backend, dir string, logger *slog.Logger) *Broker {
	t.Helper()
	var list []configs.Setting
	for key, value := range map[string]string{
		"listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": dir, "io.backend": backend, "num.network.threads": "2",
		"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "4",
	} {
		list = append(list, configs.FlagSetting(key, value))
	}
	cfg, err := configs.ParseBroker(list...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Broker: cfg, Logger: logger})
	if err != nil {
		if backend == "io_uring" && strings.Contains(err.Error(), "io_uring") {
			t.Skipf("io_uring is not available here: %v", err)
		}
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	return b
}

// alarmLog is a slog.Handler that keeps errors, which no input may cause.
type alarmLog struct {
	mu    sync.Mutex
	lines []string
}

func (*alarmLog) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (a *alarmLog) WithAttrs([]slog.Attr) slog.Handler         { return a }
func (a *alarmLog) WithGroup(string) slog.Handler              { return a }
func (a *alarmLog) Handle(_ context.Context, r slog.Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	line := "logged: " + r.Message
	r.Attrs(func(attr slog.Attr) bool { line += " " + attr.String(); return true })
	a.lines = append(a.lines, line)
	return nil
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// burstFrame makes one frame, with its length: mostly of a version that is served, because others end the connection.
func burstFrame(rng *rand.Rand) []byte {
	req := hostile.Request(rng)
	for unserved := rng.IntN(20) == 0; !unserved; req = hostile.Request(rng) {
		if api := handlers.Lookup(req.Key()); api != nil && api.Serves(req.GetVersion()) {
			break
		}
	}
	body := hostile.Encode(req, rng.Int32())[4:]
	const head = 8 // key, version, correlation id
	switch rng.IntN(12) {
	default:
	case 1: // what is behind the head is damaged
		for range 1 + rng.IntN(3) {
			body = append(slices.Clone(body[:head]), hostile.Damage(rng, slices.Clone(body[head:]))...)
		}
	case 2:
		body = body[:rng.IntN(len(body)+1)]
	case 3, 4:
		body = hostile.Encode(hostile.Produce(hostile.Topic(rng), int16(rng.IntN(3)-1), hostile.DamagedBatch(rng)), rng.Int32())[4:]
	case 5:
		body = hostile.PutCount(rng, body, min(len(body)-1, head+rng.IntN(max(1, len(body)-head))))
	case 6:
		body = [][]byte{hostile.ManyTags(rng), hostile.ManyElements(rng), hostile.RandomBytes(rng, rng.IntN(300))}[rng.IntN(3)]
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// burst makes some frames in an order that may be wrong, some of them twice, and the correlation ids they hold.
func burst(rng *rand.Rand) (p []byte, ids []int32) {
	var frames [][]byte
	for range 1 + rng.IntN(6) {
		frames = append(frames, burstFrame(rng))
	}
	if rng.IntN(3) == 0 {
		frames = append(frames, frames[rng.IntN(len(frames))])
	}
	if rng.IntN(3) == 0 {
		rng.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
	}
	for _, f := range frames {
		if p = append(p, f...); len(f) >= 12 {
			ids = append(ids, int32(binary.BigEndian.Uint32(f[8:])))
		}
	}
	if rng.IntN(6) == 0 { // the last one never ends
		p = p[:len(p)-rng.IntN(len(frames[len(frames)-1]))]
	}
	return p, ids
}

// sendBurst sends one burst, in one piece or several, and reads answers for as long as they come. They have to be
// whole and in the order of the requests.
func sendBurst(address string, rng *rand.Rand) (answers int, err error) {
	p, ids := burst(rng)
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		return 0, err
	}
	if err := c.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, err
	}
	for len(p) > 0 {
		n := len(p)
		if rng.IntN(2) == 0 {
			n = 1 + rng.IntN(n)
		}
		if _, err := c.Write(p[:n]); err != nil {
			break // closed, as it should be after a broken frame
		}
		p = p[n:]
	}
	for {
		if err := c.SetReadDeadline(time.Now().Add(burstPatience)); err != nil {
			return answers, err
		}
		var head [8]byte
		if _, err := io.ReadFull(c, head[:1]); err != nil {
			return answers, nil
		}
		if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			return answers, err
		}
		if _, err := io.ReadFull(c, head[1:]); err != nil {
			return answers, cutOff(err)
		}
		size, id := int32(binary.BigEndian.Uint32(head[:])), int32(binary.BigEndian.Uint32(head[4:]))
		at := slices.Index(ids, id)
		if size < 4 || at < 0 {
			return answers, fmt.Errorf("an answer of %d bytes to %d, which is none of %d", size, id, ids)
		}
		ids = ids[at+1:]
		if _, err := io.CopyN(io.Discard, c, int64(size)-4); err != nil {
			return answers, cutOff(err)
		}
		answers++
	}
}

// cutOff makes an error of an answer that stopped within, unless a broken request behind it ended the connection.
func cutOff(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("an answer stopped: %w", err)
	}
	return nil
}

// keeper is a client of the broker that behaves well, and what it was promised.
type keeper struct {
	t       *testing.T
	cl      *kgo.Client
	adm     *kadm.Client
	values  [2][]string // of the partitions, by offset
	id      kadm.TopicID
	commits int64
}

func newKeeper(t *testing.T, address string) *keeper {
	k := &keeper{t: t}
	k.reopen(address)
	retention := "987654321"
	createTopic(t, k.cl, strangersTopic, 2, map[string]*string{"retention.ms": &retention})
	topics, err := k.adm.ListTopics(testContext(t), strangersTopic)
	if err != nil {
		t.Fatal(err)
	}
	k.id = topics[strangersTopic].ID
	return k
}

func (k *keeper) reopen(address string) {
	k.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(strangersTopic))
	if err != nil {
		k.t.Fatal(err)
	}
	k.cl, k.adm = cl, kadm.NewClient(cl)
}

func (k *keeper) close() { k.cl.Close() }

// produce writes one record after the other until stop is closed, and commits where it is.
func (k *keeper) produce(stop <-chan struct{}) {
	for i := 0; ; i++ {
		p := int32(i % len(k.values))
		value := fmt.Sprintf("%d of %d %s", len(k.values[p]), p, strings.Repeat("v", i%100))
		r, err := k.cl.ProduceSync(testContext(k.t), &kgo.Record{Partition: p, Value: []byte(value)}).First()
		if err != nil {
			k.t.Fatalf("produce: %v", err)
		}
		if r.Offset != int64(len(k.values[p])) {
			k.t.Fatalf("acknowledged at offset %d of partition %d, want %d", r.Offset, p, len(k.values[p]))
		}
		k.values[p] = append(k.values[p], value)
		if i%10 == 0 {
			var o kadm.Offsets
			o.AddOffset(strangersTopic, 0, int64(i), -1)
			if err := k.adm.CommitAllOffsets(testContext(k.t), strangersGroup, o); err != nil {
				k.t.Fatalf("commit: %v", err)
			}
			k.commits = int64(i)
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// check compares the broker with what it promised.
func (k *keeper) check() {
	t := k.t
	t.Helper()
	ctx := testContext(t)
	topics, err := k.adm.ListTopics(ctx, strangersTopic)
	if err != nil {
		t.Fatal(err)
	}
	if d := topics[strangersTopic]; d.Err != nil || d.ID != k.id || len(d.Partitions) != len(k.values) {
		t.Errorf("the topic is %+v", d)
	}
	settings, err := k.adm.DescribeTopicConfigs(ctx, strangersTopic)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range settings[0].Configs {
		if c.Key == "retention.ms" && c.MaybeValue() != "987654321" {
			t.Errorf("retention.ms is %s", c.MaybeValue())
		}
	}
	offsets, err := k.adm.FetchOffsets(ctx, strangersGroup)
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := offsets.Lookup(strangersTopic, 0); o.At != k.commits {
		t.Errorf("committed offset %d, want %d", o.At, k.commits)
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(k.cl.OptValue(kgo.SeedBrokers).([]string)...), kgo.ConsumeTopics(strangersTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for left := len(k.values[0]) + len(k.values[1]); left > 0; {
		f := reader.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			t.Fatalf("%d records are missing: %v", left, err)
		}
		f.EachRecord(func(r *kgo.Record) {
			left--
			if want := k.values[r.Partition]; r.Offset >= int64(len(want)) || want[r.Offset] != string(r.Value) {
				t.Fatalf("%q at offset %d of partition %d", r.Value, r.Offset, r.Partition)
			}
		})
	}
}

// viewCluster describes what an administrator sees: topics, their settings, where their logs begin and end, and what
// groups have committed. It reads every log to its end on the way.
func viewCluster(t *testing.T, address string) string {
	t.Helper()
	ctx := testContext(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	starts, err := adm.ListStartOffsets(ctx, topics.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := adm.ListEndOffsets(ctx, topics.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	unread := map[string]map[int32]int64{}
	from := map[string]map[int32]kgo.Offset{}
	for _, d := range topics.Sorted() {
		if d.Err != nil {
			t.Errorf("topic %s: %v", d.Topic, d.Err)
		}
		fmt.Fprintf(&out, "topic %s %s\n", d.Topic, d.ID)
		settings, err := adm.DescribeTopicConfigs(ctx, d.Topic)
		if err != nil || settings[0].Err != nil {
			t.Errorf("settings of %s: %v, %v", d.Topic, err, settings)
			continue
		}
		for _, c := range settings[0].Configs {
			if c.Source == 1 { // of the topic
				fmt.Fprintf(&out, "  %s=%s\n", c.Key, c.MaybeValue())
			}
		}
		for _, p := range d.Partitions.Sorted() {
			start, _ := starts.Lookup(d.Topic, p.Partition)
			end, _ := ends.Lookup(d.Topic, p.Partition)
			if p.Err != nil || start.Err != nil || end.Err != nil || start.Offset > end.Offset {
				t.Errorf("%s/%d: %v, from %+v to %+v", d.Topic, p.Partition, p.Err, start, end)
			}
			fmt.Fprintf(&out, "  %d: %d to %d\n", p.Partition, start.Offset, end.Offset)
			if end.Offset > start.Offset {
				if unread[d.Topic] == nil {
					unread[d.Topic], from[d.Topic] = map[int32]int64{}, map[int32]kgo.Offset{}
				}
				unread[d.Topic][p.Partition], from[d.Topic][p.Partition] = end.Offset, kgo.NewOffset().At(start.Offset)
			}
		}
	}
	groups, err := adm.ListGroups(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range groups.Groups() {
		offsets, err := adm.FetchOffsets(ctx, name)
		if err != nil {
			t.Errorf("group %q: %v", name, err)
			continue
		}
		for _, o := range offsets.Sorted() {
			fmt.Fprintf(&out, "group %q %s/%d at %d %q %v\n", name, o.Topic, o.Partition, o.At, o.Metadata, o.Err)
		}
	}
	cl.AddConsumePartitions(from)
	for len(unread) > 0 {
		f := cl.PollFetches(ctx)
		if err := f.Err0(); err != nil {
			t.Fatalf("logs cannot be read to their ends %v: %v", unread, err)
		}
		f.EachRecord(func(r *kgo.Record) {
			if end, ok := unread[r.Topic][r.Partition]; ok && r.Offset >= end-1 {
				delete(unread[r.Topic], r.Partition)
			}
		})
		maps.DeleteFunc(unread, func(_ string, partitions map[int32]int64) bool { return len(partitions) == 0 })
	}
	return out.String()
}
