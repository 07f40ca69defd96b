package differential

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

const (
	// clientID of connections where a script names no other; Kafka makes it part of member ids.
	clientID = "differential"
	// answerTimeout is how long an answer may take. No script asks for a longer wait than a few
	// hundred milliseconds.
	answerTimeout = 10 * time.Second
	// settleTimeout bounds waiting for a topic to be usable, and for a coordinator to be there.
	settleTimeout = 20 * time.Second
	// idleTime is how long "idle" listens for an answer that should not come.
	idleTime = 80 * time.Millisecond
	// lagTime is how long a lagging broker is given.
	lagTime = 200 * time.Millisecond
	// pollInterval is the pause between looks at something that has to settle.
	pollInterval = 10 * time.Millisecond
)

// Settings are what the broker has to be started with, on either side, besides listeners and
// directories: the scripts meet these values.
var Settings = map[string]string{
	"num.partitions":                   "4",
	"offsets.topic.num.partitions":     "4",
	"offsets.topic.replication.factor": "1",
	"group.initial.rebalance.delay.ms": "0",
}

// Transcript is what a broker answered to one case: the answer of each step, by version.
type Transcript map[int16][]Answer

// Answer is the text of one answer; steps without answer have none.
type Answer struct {
	lines []string
	// without is the text without the fields of Target.More that the answer has, which more names.
	without []string
	more    string
}

// answers are the answers to step i, by version.
func (t Transcript) answers(i int) map[int16][]string {
	out := make(map[int16][]string)
	for v, steps := range t {
		out[v] = steps[i].lines
	}
	return out
}

// Target is a broker to be asked.
type Target struct {
	// Lagging brokers answer a change before all of them shows it, as Apache Kafka does; "catchup"
	// waits for them.
	Lagging bool
	// More are fields, as Type.Field, without which answers are rendered too.
	More []string

	addr string
	env  environment
	ids  map[string][16]byte // the last known id of a topic of the case
	side *wire.Conn          // for what is not part of a script
}

// Connect prepares a broker for scripts.
func Connect(ctx context.Context, addr string) (*Target, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	t := &Target{addr: addr, env: environment{host: host, topicNames: make(map[[16]byte]string)}, ids: make(map[string][16]byte)}
	if t.env.port, err = strconv.Atoi(port); err != nil {
		return nil, err
	}
	if t.side, err = wire.Dial(ctx, addr, clientID); err != nil {
		return nil, err
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.Topics = 12, []kmsg.MetadataRequestTopic{}
	resp, err := t.side.Do(req)
	if err != nil {
		return nil, err
	}
	if id := resp.(*kmsg.MetadataResponse).ClusterID; id != nil {
		t.env.cluster = *id
	}
	return t, nil
}

// Close closes the target's connection.
func (t *Target) Close() error { return t.side.Close() }

// Run plays a case in each of its versions.
func (t *Target) Run(ctx context.Context, c *Case) (Transcript, error) {
	out := make(Transcript)
	var made []string
	for _, v := range c.Versions {
		r := &run{target: t, version: v, names: newNames(), client: clientID, conns: make(map[string]*link), numbers: make(numbering)}
		r.build = builder{names: r.names, topicID: t.topicID}
		r.render = renderer{names: r.names, env: t.env}
		steps, err := r.play(ctx, c)
		made = append(made, r.names.made()...)
		for _, l := range r.conns {
			l.conn.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("case %q v%d: %w", c.Name, v, err)
		}
		out[v] = steps
	}
	return out, t.forget(made)
}

// forget deletes the topics of a case, so that the next meets few.
func (t *Target) forget(made []string) error {
	clear(t.env.topicNames)
	clear(t.ids)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis, req.TopicNames = 4, 10_000, made
	_, err := t.side.Do(req) // most of the names were not those of topics
	return err
}

// topicID finds the id of a topic, zero when there is none.
func (t *Target) topicID(name string) (id [16]byte, err error) {
	if id, ok := t.ids[name]; ok {
		return id, nil
	}
	m, err := t.metadata(name)
	if err == nil && m.ErrorCode == 0 {
		t.know(m.TopicID, name)
	}
	return m.TopicID, err
}

// know remembers the id of a topic of the case.
func (t *Target) know(id [16]byte, name string) {
	t.env.topicNames[id], t.ids[name] = name, id
}

// metadata describes one topic.
func (t *Target) metadata(name string) (topic kmsg.MetadataResponseTopic, err error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &name
	req.Topics = append(req.Topics, rt)
	resp, err := t.side.Do(req)
	if err != nil {
		return topic, err
	}
	m := resp.(*kmsg.MetadataResponse)
	if len(m.Topics) != 1 {
		return topic, fmt.Errorf("metadata of %q: %d topics", name, len(m.Topics))
	}
	return m.Topics[0], nil
}

// link is a connection of a run and the requests on it that wait for their answers.
type link struct {
	conn    *wire.Conn
	waiting []wire.Sent
	held    []byte // to be written before the next request
}

// run is a case being played in one version.
type run struct {
	target  *Target
	version int16
	names   *names
	build   builder
	render  renderer
	numbers numbering
	client  string // client id of the connections made from now on
	conns   map[string]*link
	last    kmsg.Response // of the last answer, for let, nil when there is none
}

// play runs the steps and returns what each was answered, nil for steps without answer.
func (r *run) play(ctx context.Context, c *Case) (steps []Answer, err error) {
	for i := range c.Steps {
		s := &c.Steps[i]
		answered := r.last
		lines, err := r.step(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("step %d (%s): %w", i+1, s.verb, err)
		}
		answer := Answer{lines: lines}
		if s.receive && r.last != nil && r.last != answered {
			answer.without, answer.more = r.without(r.last)
		}
		r.numbers.numberAll(answer.lines)
		r.numbers.numberAll(answer.without)
		steps = append(steps, answer)
	}
	return steps, nil
}

// without renders an answer again, without the fields of Target.More.
func (r *run) without(resp kmsg.Response) (lines []string, more string) {
	less := r.render
	less.omit, less.omitted = append(slices.Clone(r.target.More), r.render.omit...), nil
	lines = less.response(resp)
	return lines, strings.Join(less.omitted, " ")
}

func (r *run) step(ctx context.Context, s *Step) ([]string, error) {
	switch s.verb {
	case "topic":
		return nil, r.createTopic(s.words)
	case "wait":
		return nil, r.settle(s.words[0], r.target.usable)
	case "gone":
		return nil, r.settle(s.words[0], r.target.gone)
	case "state":
		return nil, r.settle(s.words[0], func(group string) (bool, error) { return r.target.inState(group, s.words[1]) })
	case "produce":
		return nil, r.produce(s.words)
	case "member":
		return nil, r.member(ctx, s.words)
	case "let":
		return nil, r.let(s.words)
	case "client":
		r.client = r.names.expand(s.words[0])
		return nil, nil
	case "catchup":
		if r.target.Lagging {
			time.Sleep(lagTime)
		}
		return nil, nil
	}
	l, err := r.link(ctx, s.conn)
	if err != nil {
		return nil, err
	}
	switch s.verb {
	case "frame", "bytes":
		p, err := hex.DecodeString(strings.Join(s.words, ""))
		if err != nil {
			return nil, err
		}
		if s.verb == "frame" {
			p = append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
		}
		if err := l.conn.Write(p); err != nil && !isClosed(err) {
			return nil, err
		}
		return r.receiveFrame(s.conn, l)
	case "idle":
		if err := l.conn.WaitClosed(idleTime); err == nil {
			return []string{"closed"}, nil
		} else if strings.Contains(err.Error(), "still open") {
			return []string{"waiting"}, nil
		}
		l.conn.Close() // a part of the answer has been read
		delete(r.conns, s.conn)
		return []string{"answered"}, nil
	}
	return r.exchange(ctx, s, l)
}

// link is the connection of a name; it is made when it is first needed, and again when the broker
// has closed it.
func (r *run) link(ctx context.Context, name string) (*link, error) {
	if l, ok := r.conns[name]; ok {
		return l, nil
	}
	conn, err := wire.Dial(ctx, r.target.addr, r.client)
	if err != nil {
		return nil, err
	}
	conn.SetTimeout(answerTimeout)
	r.conns[name] = &link{conn: conn}
	return r.conns[name], nil
}

// exchange sends a request and reads the answer, or does one of the two. A coordinator that is not
// there yet is asked again.
func (r *run) exchange(ctx context.Context, s *Step, l *link) ([]string, error) {
	deadline := time.Now().Add(settleTimeout)
	for {
		if s.send {
			if err := r.send(s, l); err != nil {
				return nil, err
			}
		}
		if !s.receive {
			return nil, nil
		}
		r.render.omit = nil
		if s.hide != "" {
			r.render.omit = []string{s.verb + "Response." + s.hide}
		}
		lines, err := r.receive(s.conn, l)
		if err != nil || !s.send || !settling(lines) || time.Now().After(deadline) {
			return lines, err
		}
		time.Sleep(pollInterval)
		if l, err = r.link(ctx, s.conn); err != nil {
			return nil, err
		}
	}
}

// settling reports whether an answer only says that the coordinator is not there yet.
func settling(lines []string) bool {
	text := strings.Join(lines, "\n")
	return strings.Contains(text, "COORDINATOR_LOAD_IN_PROGRESS") || strings.Contains(text, "NOT_COORDINATOR") ||
		strings.Contains(text, "COORDINATOR_NOT_AVAILABLE")
}

func (r *run) send(s *Step, l *link) error {
	version := r.version
	if s.version >= 0 {
		version = s.version
	}
	req, err := r.build.request(s, version)
	if err != nil {
		return err
	}
	frame, sent := l.conn.AppendFrame(nil, req)
	if s.cut > 0 || s.pad > 0 {
		frame = append(frame[:len(frame)-s.cut], make([]byte, s.pad)...)
		binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	}
	if p, ok := req.(*kmsg.ProduceRequest); !ok || p.Acks != 0 {
		l.waiting = append(l.waiting, sent)
	}
	if l.held = append(l.held, frame...); s.joined {
		return nil
	}
	frame, l.held = l.held, nil
	if err := l.conn.Write(frame); err != nil && !isClosed(err) {
		return err
	}
	return nil
}

// receive reads the answer to the oldest request that waits.
func (r *run) receive(name string, l *link) ([]string, error) {
	if len(l.waiting) == 0 {
		return []string{"closed"}, nil // before this answer: the connection is a new one
	}
	sent := l.waiting[0]
	l.waiting = l.waiting[1:]
	r.last = nil
	frame, err := l.conn.ReadFrame()
	if err != nil {
		return r.ended(name, l, err)
	}
	if v := sent.Request.GetVersion(); sent.Request.Key() == 18 && v > 0 && len(frame) >= 6 &&
		int16(binary.BigEndian.Uint16(frame[4:])) == unsupportedVersion {
		sent.Request.SetVersion(0) // KIP-511: so that every client can read it
	}
	resp, err := wire.Decode(frame, sent)
	if err != nil {
		return nil, err
	}
	if err := r.learn(resp); err != nil {
		return nil, err
	}
	r.last = resp
	return r.render.response(resp), nil
}

const unsupportedVersion = 35

// receiveFrame reads an answer to bytes no request stands for.
func (r *run) receiveFrame(name string, l *link) ([]string, error) {
	frame, err := l.conn.ReadFrame()
	if err != nil {
		return r.ended(name, l, err)
	}
	return []string{"frame " + hex.EncodeToString(frame)}, nil
}

// ended says how a connection ended.
func (r *run) ended(name string, l *link, err error) ([]string, error) {
	if !isClosed(err) {
		return nil, err
	}
	l.conn.Close()
	delete(r.conns, name)
	return []string{"closed"}, nil
}

// isClosed reports whether the broker has ended the connection: with or without a reset.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// learn remembers which ids the case's topics have.
func (r *run) learn(resp kmsg.Response) error {
	remember := func(id [16]byte, name *string) {
		if id != [16]byte{} && name != nil {
			r.target.know(id, *name)
		}
	}
	switch m := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		for _, t := range m.Topics {
			remember(t.TopicID, &t.Topic)
		}
	case *kmsg.MetadataResponse:
		for _, t := range m.Topics {
			remember(t.TopicID, t.Topic)
		}
	}
	return nil
}

// let captures a value of the last answer: let $x = Topics.0.Partitions.0.Offset.
func (r *run) let(words []string) error {
	if len(words) != 3 {
		return errors.New("let $name = Path")
	}
	if r.last == nil {
		return errors.New("there is no answer to take it from")
	}
	v := reflect.ValueOf(r.last).Elem()
	for _, part := range strings.Split(words[2], ".") {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if i, err := strconv.Atoi(part); err == nil && v.Kind() == reflect.Slice && i < v.Len() {
			v = v.Index(i)
		} else if v.Kind() == reflect.Struct {
			v = v.FieldByName(part)
		} else {
			return fmt.Errorf("the answer has no %s", words[2])
		}
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch name := words[0]; v.Kind() {
	case reflect.String:
		r.names.bind(name, v.String())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		r.names.number[name] = v.Int()
	case reflect.Array:
		id := v.Interface().([16]byte)
		r.names.bytes[name] = id[:]
	default:
		return fmt.Errorf("%s cannot be captured", words[2])
	}
	return nil
}

var errNotSettled = errors.New("not in time")

// settle waits until a topic or group is as ready says.
func (r *run) settle(name string, ready func(name string) (bool, error)) error {
	name = r.names.expand(name)
	for deadline := time.Now().Add(settleTimeout); time.Now().Before(deadline); time.Sleep(pollInterval) {
		if ok, err := ready(name); err != nil || ok {
			return err
		}
	}
	return fmt.Errorf("%s: %w", name, errNotSettled)
}

// inState reports whether a group is in a state.
func (t *Target) inState(group, state string) (bool, error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	resp, err := t.side.Do(req)
	if err != nil {
		return false, err
	}
	return resp.(*kmsg.DescribeGroupsResponse).Groups[0].State == state, nil
}

// gone reports whether nobody knows the topic any more.
func (t *Target) gone(name string) (bool, error) {
	m, err := t.metadata(name)
	return m.ErrorCode != 0, err
}

// usable reports whether every partition of a topic answers for itself: Kafka shows a topic before
// it can be used.
func (t *Target) usable(name string) (bool, error) {
	m, err := t.metadata(name)
	if err != nil || m.ErrorCode != 0 {
		return false, err
	}
	t.know(m.TopicID, name)
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 4, -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = name
	for _, p := range m.Partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p.Partition, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := t.side.Do(req)
	if err != nil {
		return false, err
	}
	for _, topic := range resp.(*kmsg.ListOffsetsResponse).Topics {
		for _, p := range topic.Partitions {
			if p.ErrorCode != 0 {
				return false, nil
			}
		}
	}
	return true, nil
}

// createTopic makes a topic: topic $t partitions=2 name=value...
func (r *run) createTopic(words []string) error {
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = r.names.expand(words[0]), 1, 1
	for _, w := range words[1:] {
		name, val, _ := strings.Cut(w, "=")
		if name == "partitions" {
			n, err := strconv.Atoi(val)
			if err != nil {
				return err
			}
			rt.NumPartitions = int32(n)
			continue
		}
		rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &val})
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 5, 10_000
	req.Topics = append(req.Topics, rt)
	resp, err := r.target.side.Do(req)
	if err != nil {
		return err
	}
	if t := resp.(*kmsg.CreateTopicsResponse).Topics[0]; t.ErrorCode != 0 {
		return fmt.Errorf("create topic: code %d", t.ErrorCode)
	}
	return r.settle(words[0], r.target.usable)
}

// produce appends batches of one record: produce $t n.
func (r *run) produce(words []string) error {
	n, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	for i := range n {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = 7, -1, 5000
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Records = wire.NewBatch(batchTime+int64(i)*1000, []byte(fmt.Sprintf("value-%d", i))).Encode()
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic, rt.Partitions = r.names.expand(words[0]), append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp, err := r.target.side.Do(req)
		if err != nil {
			return err
		}
		if p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
			return fmt.Errorf("produce: code %d", p.ErrorCode)
		}
	}
	return nil
}

// member joins a group alone and takes an assignment, on the connection @name: member $m of $g.
func (r *run) member(ctx context.Context, words []string) error {
	steps := []string{
		"JoinGroup v3 Group: " + words[2] + ", SessionTimeoutMillis: 30000, RebalanceTimeoutMillis: 30000, ProtocolType: consumer, " +
			"Protocols: {Name: range, Metadata: subscription(topic)}",
		"SyncGroup v2 Group: " + words[2] + ", Generation: 1, MemberID: " + words[0] +
			", GroupAssignment: {MemberID: " + words[0] + ", MemberAssignment: assignment}",
	}
	for i, text := range steps {
		s, err := parseStep("@"+words[0][1:]+" "+text, nil)
		if err != nil {
			return err
		}
		lines, err := r.step(ctx, &s)
		if err != nil {
			return err
		}
		if text := strings.Join(lines, "\n"); strings.Contains(text, "ErrorCode") || text == "closed" {
			return fmt.Errorf("join: %s", text)
		}
		if i == 0 {
			if err := r.let([]string{words[0], "=", "MemberID"}); err != nil {
				return err
			}
		}
	}
	return nil
}
