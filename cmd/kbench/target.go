package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"kserver/cmd/kbench/internal/report"
)

// setUpTimeout bounds what happens before the load: connecting, creating the topic, waiting for its leaders.
const setUpTimeout = 60 * time.Second

// leaderPoll is the time between two looks at a topic that has no leaders yet.
const leaderPoll = 50 * time.Millisecond

// target is the endpoint and the topic, ready to be loaded.
type target struct {
	client   *kgo.Client
	admin    *kadm.Client
	topic    string
	leaders  map[int32]string
	endpoint report.Endpoint
}

// openTarget connects, creates the topic when it is absent or checks its configuration, and waits until all its partitions have leaders.
func openTarget(ctx context.Context, o *commonOptions) (*target, error) {
	ctx, cancel := context.WithTimeout(ctx, setUpTimeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(o.brokers...), kgo.ClientID(o.clientID), kgo.DisableClientMetrics(), kgo.RetryTimeout(10*time.Second))
	if err != nil {
		return nil, fmt.Errorf("%w: --bootstrap-server: %w", errUsage, err)
	}
	t := &target{client: client, admin: kadm.NewClient(client), topic: o.topic}
	if err := t.open(ctx, o); err != nil {
		client.Close()
		return nil, err
	}
	return t, nil
}

func (t *target) open(ctx context.Context, o *commonOptions) error {
	if err := t.describe(ctx, o); err != nil {
		return fmt.Errorf("connect to %v: %w", o.brokers, err)
	}
	if err := t.create(ctx, o); err != nil {
		return fmt.Errorf("create topic %s: %w", o.topic, err)
	}
	for {
		err := t.findLeaders(ctx)
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("find the leaders of topic %s: %w", o.topic, err)
		case <-time.After(leaderPoll):
		}
	}
	if have := len(t.leaders); o.partitions > 0 && have != o.partitions {
		return fmt.Errorf("topic %s exists with %d partitions, not %d; give --partitions %d or 0, or another --topic", o.topic, have, o.partitions, have)
	}
	t.endpoint.Topic, t.endpoint.Partitions = o.topic, len(t.leaders)
	return nil
}

// describe asks the endpoint for its APIs. Brokers do not name their software; the set of APIs tells its generation.
func (t *target) describe(ctx context.Context, o *commonOptions) error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "kbench", "1"
	resp, err := req.RequestWith(ctx, t.client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	e := &t.endpoint
	e.Bootstrap = o.brokers
	e.Guess = kversion.FromApiVersionsResponse(resp).VersionGuess()
	e.APIs = len(resp.ApiKeys)
	for _, k := range resp.ApiKeys {
		switch kmsg.Key(k.ApiKey) {
		case kmsg.Produce:
			e.Produce = [2]int16{k.MinVersion, k.MaxVersion}
		case kmsg.Fetch:
			e.Fetch = [2]int16{k.MinVersion, k.MaxVersion}
		}
	}
	for _, f := range resp.FinalizedFeatures {
		if e.Features == nil {
			e.Features = make(map[string]int16)
		}
		e.Features[f.Name] = f.MaxVersionLevel
	}
	md, err := t.admin.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	e.ClusterID, e.Brokers = md.Cluster, len(md.Brokers)
	return nil
}

func (t *target) create(ctx context.Context, o *commonOptions) error {
	md, err := t.admin.Metadata(ctx, o.topic)
	if err != nil {
		return err
	}
	if td, ok := md.Topics[o.topic]; ok && !errors.Is(td.Err, kerr.UnknownTopicOrPartition) {
		if td.Err != nil {
			return td.Err
		}
		return t.checkConfig(ctx, o)
	}
	if o.partitions == 0 {
		return fmt.Errorf("it does not exist, and --partitions 0 takes it as it is")
	}
	configs := make(map[string]*string, len(o.topicConfig))
	for k, v := range o.topicConfig {
		configs[k] = &v
	}
	resp, err := t.admin.CreateTopic(ctx, int32(o.partitions), int16(o.replication), configs, o.topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return t.checkConfig(ctx, o)
	}
	if err != nil && resp.ErrMessage != "" {
		return fmt.Errorf("%w (%s)", err, resp.ErrMessage)
	}
	return err
}

// checkConfig refuses a topic that exists with another configuration than --topic-config asks for: what is measured on
// it would be shown as something it is not.
func (t *target) checkConfig(ctx context.Context, o *commonOptions) error {
	if len(o.topicConfig) == 0 {
		return nil
	}
	resources, err := t.admin.DescribeTopicConfigs(ctx, o.topic)
	if err != nil {
		return err
	}
	r, err := resources.On(o.topic, nil)
	if err = errors.Join(err, r.Err); err != nil {
		return fmt.Errorf("describe its configuration: %w", err)
	}
	return differing(r.Configs, o.topicConfig)
}

// differing returns an error that names what is configured otherwise than wanted, nil when nothing is.
func differing(have []kadm.Config, want map[string]string) error {
	values := make(map[string]*string, len(have))
	for i := range have {
		values[have[i].Key] = have[i].Value
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(want)) {
		switch v := values[key]; {
		case v == nil:
			errs = append(errs, fmt.Errorf("it exists without %s, not with %s", key, want[key]))
		case *v != want[key]:
			errs = append(errs, fmt.Errorf("it exists with %s=%s, not %s", key, *v, want[key]))
		}
	}
	return errors.Join(errs...)
}

func (t *target) findLeaders(ctx context.Context) error {
	md, err := t.admin.Metadata(ctx, t.topic)
	if err != nil {
		return err
	}
	td := md.Topics[t.topic]
	if td.Err != nil {
		return td.Err
	}
	addrs := make(map[int32]string, len(md.Brokers))
	for _, b := range md.Brokers {
		addrs[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	leaders := make(map[int32]string, len(td.Partitions))
	for id, p := range td.Partitions {
		if p.Err != nil {
			return fmt.Errorf("partition %d: %w", id, p.Err)
		}
		if leaders[id] = addrs[p.Leader]; leaders[id] == "" {
			return fmt.Errorf("partition %d: %w", id, kerr.LeaderNotAvailable)
		}
	}
	if len(leaders) == 0 {
		return kerr.UnknownTopicOrPartition
	}
	t.leaders = leaders
	return nil
}

// offsets returns the first and the next offset of every partition.
func (t *target) offsets(ctx context.Context) (from, to map[int32]int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, setUpTimeout)
	defer cancel()
	if from, err = t.listed(t.admin.ListStartOffsets(ctx, t.topic)); err != nil {
		return nil, nil, fmt.Errorf("first offsets of topic %s: %w", t.topic, err)
	}
	if to, err = t.listed(t.admin.ListEndOffsets(ctx, t.topic)); err != nil {
		return nil, nil, fmt.Errorf("end offsets of topic %s: %w", t.topic, err)
	}
	return from, to, nil
}

func (t *target) listed(l kadm.ListedOffsets, err error) (map[int32]int64, error) {
	if err != nil {
		return nil, err
	}
	if err := l.Error(); err != nil {
		return nil, err
	}
	m := make(map[int32]int64, len(t.leaders))
	for id := range t.leaders {
		o, ok := l.Lookup(t.topic, id)
		if !ok {
			return nil, fmt.Errorf("partition %d is missing in the answer", id)
		}
		m[id] = o.Offset
	}
	return m, nil
}

func (t *target) close() { t.client.Close() }
