package controller

import (
	"sync"

	"kserver/protocol"
)

// ensuredTopics are the topics being created because somebody needed them, each
// with those who wait.
type ensuredTopics struct {
	mu      sync.Mutex
	waiting map[string][]func(error)
}

// EnsureTopic creates a topic unless it exists: one of Config.InternalTopics as
// it is described there, any other with the broker's defaults. It never blocks;
// requests for the same topic share one creation. done, which may be nil, hears
// the end: nil when the topic is in Image and serves, else a *protocol.Error. It
// is called once, at once or from the controller's goroutine, and must not block.
func (c *Controller) EnsureTopic(name string, done func(error)) {
	if done == nil {
		done = func(error) {}
	}
	if _, ok := c.Image().Topic(name); ok {
		done(nil)
		return
	}
	c.ensured.mu.Lock()
	if waiting, ok := c.ensured.waiting[name]; ok {
		c.ensured.waiting[name] = append(waiting, done)
		c.ensured.mu.Unlock()
		return
	}
	if c.ensured.waiting == nil {
		c.ensured.waiting = make(map[string][]func(error))
	}
	c.ensured.waiting[name] = []func(error){done}
	c.ensured.mu.Unlock()
	c.startEnsure(name)
}

// startEnsure queues the creation of a topic somebody waits for.
func (c *Controller) startEnsure(name string) {
	var refused *protocol.Error
	op := &operation{
		plan: func(image *MetadataImage) []Record {
			if _, ok := image.Topic(name); ok {
				return nil
			}
			results, records := c.planTopics(image, []CreatableTopic{c.ensuredTopic(image, name)}, nil)
			refused = results[0].Err
			return records
		},
		done: func(err error) {
			if err == nil && refused != nil {
				err = refused
			}
			if err != nil {
				c.log.Warn("topic not created", "topic", name, "err", err)
			}
			c.endEnsure(name, err)
		},
	}
	if err := c.trySubmit(op); err != nil {
		c.endEnsure(name, err)
	}
}

// endEnsure tells those who wait for a topic.
func (c *Controller) endEnsure(name string, err error) {
	c.ensured.mu.Lock()
	waiting := c.ensured.waiting[name]
	delete(c.ensured.waiting, name)
	c.ensured.mu.Unlock()
	for _, done := range waiting {
		done(err)
	}
}

// ensuredTopic describes a topic that is created because it is needed.
func (c *Controller) ensuredTopic(image *MetadataImage, name string) CreatableTopic {
	internal, ok := c.cfg.InternalTopics[name]
	if !ok {
		return CreatableTopic{Name: name, NumPartitions: -1, ReplicationFactor: -1}
	}
	active := 0
	for _, b := range image.Brokers() {
		if b.Active() {
			active++
		}
	}
	t := CreatableTopic{
		Name: name, NumPartitions: internal.Partitions,
		ReplicationFactor: min(internal.ReplicationFactor, int16(min(max(active, 1), 1<<14))),
	}
	for _, key := range sortedKeys(internal.Configs) {
		value := internal.Configs[key]
		t.Configs = append(t.Configs, TopicSetting{key, &value})
	}
	return t
}
