package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	neighbourTopic = "quota-neighbour"
	produceTopic   = "quota-produce"
	consumeTopic   = "quota-consume"
	metadataTopic  = "quota-metadata"
	boundedID      = "quota-bounded"
	// metadataPartitions make an answer that takes the broker some time.
	metadataPartitions = 500
	recordBytes        = 1000
)

// traffic counts the bytes of one API on the connections of a client. It implements kgo.HookBrokerWrite and
// kgo.HookBrokerRead.
type traffic struct{ written, read [128]atomic.Int64 }

func (t *traffic) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, n int, _, _ time.Duration, _ error) {
	t.written[key].Add(int64(n))
}

func (t *traffic) OnBrokerRead(_ kgo.BrokerMetadata, key int16, n int, _, _ time.Duration, _ error) {
	t.read[key].Add(int64(n))
}

// cluster is the broker under test and its administrator.
type cluster struct {
	addr  string
	admin *kadm.Client
}

func connect(addr string) (*cluster, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ClientID("quota-admin"))
	if err != nil {
		return nil, err
	}
	return &cluster{addr, kadm.NewClient(cl)}, nil
}

// client makes a client of the broker; records are not compressed, so that bytes are what they seem.
func (c *cluster) client(id string, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(opts, kgo.SeedBrokers(c.addr), kgo.ClientID(id), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
}

// createTopics makes the topics anew.
func (c *cluster) createTopics(ctx context.Context) error {
	for topic, partitions := range map[string]int32{neighbourTopic: 1, produceTopic: 1, consumeTopic: 1, metadataTopic: metadataPartitions} {
		if resp, err := c.admin.DeleteTopic(ctx, topic); err == nil && resp.Err == nil {
			time.Sleep(time.Second) // brokers may delete later than they say
		}
		if _, err := c.admin.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	return nil
}

// setQuota sets a quota of the bounded client; 0 takes it back.
func (c *cluster) setQuota(ctx context.Context, key string, value float64) error {
	id := boundedID
	results, err := c.admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &id}},
		Ops:    []kadm.AlterClientQuotaOp{{Key: key, Value: value, Remove: value == 0}},
	}})
	if err == nil && len(results) == 1 {
		err = results[0].Err
	}
	if err != nil {
		return fmt.Errorf("set %s=%v: %w", key, value, err)
	}
	return nil
}

func randomBytes(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return p
}

// fill produces so many bytes of records to the topic that is consumed.
func (c *cluster) fill(ctx context.Context, bytes int64) error {
	cl, err := c.client("quota-fill", kgo.DefaultProduceTopic(consumeTopic))
	if err != nil {
		return err
	}
	defer cl.Close()
	var failed atomic.Pointer[error]
	value := randomBytes(recordBytes)
	for range bytes / recordBytes {
		cl.Produce(ctx, kgo.SliceRecord(value), func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// bounded is a client that wants more than its quota: work runs until ctx ends, and count says how much it got.
type bounded struct {
	work  func(ctx context.Context) error
	count func() int64
	close func()
}

// producer sends as much as it can.
func (c *cluster) producer() (*bounded, error) {
	t := new(traffic)
	cl, err := c.client(boundedID, kgo.DefaultProduceTopic(produceTopic), kgo.WithHooks(t), kgo.ProducerBatchMaxBytes(64<<10), kgo.MaxBufferedRecords(1000))
	if err != nil {
		return nil, err
	}
	value := randomBytes(recordBytes)
	work := func(ctx context.Context) error {
		var failed atomic.Pointer[error]
		for ctx.Err() == nil {
			cl.Produce(ctx, kgo.SliceRecord(value), func(_ *kgo.Record, err error) {
				if err != nil && ctx.Err() == nil {
					failed.Store(&err)
				}
			})
			if err := failed.Load(); err != nil {
				return *err
			}
		}
		return nil
	}
	return &bounded{work, t.written[kmsg.Produce].Load, cl.Close}, nil
}

// consumer reads as much as it can.
func (c *cluster) consumer() (*bounded, error) {
	t := new(traffic)
	cl, err := c.client(boundedID, kgo.ConsumeTopics(consumeTopic), kgo.WithHooks(t), kgo.FetchMaxBytes(256<<10), kgo.FetchMaxPartitionBytes(256<<10))
	if err != nil {
		return nil, err
	}
	work := func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := cl.PollFetches(ctx).Err0(); err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	}
	return &bounded{work, t.read[kmsg.Fetch].Load, cl.Close}, nil
}

// asker asks for metadata all the time, on several connections.
func (c *cluster) asker() (*bounded, error) {
	const connections = 4
	var asked atomic.Int64
	var clients []*kgo.Client
	b := &bounded{count: asked.Load, close: func() {
		for _, cl := range clients {
			cl.Close()
		}
	}}
	for range connections {
		cl, err := c.client(boundedID)
		if err != nil {
			b.close()
			return nil, err
		}
		clients = append(clients, cl)
	}
	b.work = func(ctx context.Context) error {
		var wg sync.WaitGroup
		errs := make([]error, len(clients))
		for i, cl := range clients {
			wg.Go(func() {
				for ctx.Err() == nil && errs[i] == nil {
					req := kmsg.NewPtrMetadataRequest()
					topic := kmsg.NewMetadataRequestTopic()
					name := metadataTopic
					topic.Topic = &name
					req.Topics = append(req.Topics, topic)
					if _, err := req.RequestWith(ctx, cl); err == nil {
						asked.Add(1)
					} else if ctx.Err() == nil {
						errs[i] = err
					}
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}
	return b, nil
}
