package cluster

import (
	"log/slog"
	"slices"

	"kserver/cluster/configs"
	"kserver/cluster/controller"
	"kserver/cluster/group"
	"kserver/cluster/quota"
	"kserver/cluster/replica"
	"kserver/cluster/telemetry"
	"kserver/engine"
)

// publisher brings the data plane to what the metadata says, before the image
// that says so is visible: a topic is listed only when its partitions serve,
// and gone from the partitions before it is gone from the list. It implements
// controller.Publisher.
type publisher struct {
	nodeID      int32
	live        *configs.Live
	replicas    *replica.Manager
	groups      *group.Coordinator
	quotas      *quota.Manager
	telemetry   *telemetry.Manager
	connections *quota.Connections
	// configure puts broker settings in force, besides those of topics and groups.
	configure func(*configs.Broker)
	logger    *slog.Logger
	started   bool // the first Publish, with everything, has begun
}

// Publish implements controller.Publisher.
func (p *publisher) Publish(d *controller.Delta, image *controller.MetadataImage) error {
	first := !p.started
	if first {
		p.started = true
		if err := p.setStraysAside(image); err != nil {
			return err
		}
	}
	if err := p.settings(d, image); err != nil {
		return err
	}
	if d.QuotasChanged() {
		clients, addresses := p.enforced(image)
		p.quotas.Update(clients)
		p.connections.SetAddressRates(addresses)
	}
	if clientMetricsChanged(d) {
		p.telemetry.Update(p.subscriptions(image))
	}
	var deleted []group.TopicInfo
	for _, c := range d.Topics() {
		if c.After != nil {
			if err := p.apply(c.Before, c.After, first); err != nil {
				return err
			}
			continue
		}
		if err := p.replicas.Remove(c.Before.ID); err != nil {
			return err
		}
		p.unload(c.Before)
		deleted = append(deleted, topicInfo(c.Before))
	}
	if len(deleted) > 0 {
		p.groups.TopicsDeleted(deleted)
	}
	return nil
}

// setStraysAside leaves the logs that the metadata assigns to this broker.
func (p *publisher) setStraysAside(image *controller.MetadataImage) error {
	return p.replicas.SetStraysAside(func(tp engine.TopicPartition, id [16]byte, known bool) bool {
		if tp.Topic == metadataTopic {
			return true
		}
		t, ok := image.Topic(tp.Topic)
		return ok && int(tp.Partition) < len(t.Partitions) && (!known || t.ID == id) &&
			slices.Contains(t.Partitions[tp.Partition].Replicas, p.nodeID)
	})
}

// apply creates or changes the replicas of a topic; known says that they are older than this start.
func (p *publisher) apply(before, t *controller.Topic, known bool) error {
	cfg, ignored := configs.ResolveStored(p.live.Current(), t.Configs)
	for _, err := range ignored {
		p.logger.Warn("topic setting has no effect", "topic", t.Name, "err", err)
	}
	s := replica.TopicState{Name: t.Name, ID: t.ID, Internal: t.Internal, Config: cfg.Log, Known: known, Partitions: make([]replica.Leadership, len(t.Partitions))}
	for i, part := range t.Partitions {
		s.Partitions[i] = replica.Leadership{
			Leader: part.Leader, LeaderEpoch: part.LeaderEpoch, IsLeader: part.Leader == p.nodeID,
			Replicas: len(part.Replicas), ISR: len(part.ISR), MinISR: cfg.MinInsyncReplicas,
		}
	}
	if err := p.replicas.Apply(s); err != nil {
		return err
	}
	if t.Name == group.TopicName {
		p.load(before, t)
	}
	return nil
}

// load hands the partitions of __consumer_offsets that this broker has come to
// lead to the group coordinator, and takes away those it has lost.
func (p *publisher) load(before, t *controller.Topic) {
	p.groups.SetPartitions(int32(len(t.Partitions)))
	for i, part := range t.Partitions {
		if before != nil && i < len(before.Partitions) && before.Partitions[i].LeaderEpoch == part.LeaderEpoch {
			continue
		}
		if part.Leader == p.nodeID {
			p.groups.Load(int32(i), part.LeaderEpoch)
		} else {
			p.groups.Unload(int32(i), part.LeaderEpoch)
		}
	}
}

// unload takes a deleted __consumer_offsets from the group coordinator.
func (p *publisher) unload(t *controller.Topic) {
	if t.Name != group.TopicName {
		return
	}
	for i := range t.Partitions {
		p.groups.Unload(int32(i), -1)
	}
}

func topicInfo(t *controller.Topic) group.TopicInfo {
	return group.TopicInfo{Name: t.Name, ID: t.ID, Partitions: int32(len(t.Partitions))}
}

// imageTopics lets the group coordinator resolve topics. It implements
// group.Topics.
type imageTopics struct {
	image func() *controller.MetadataImage
}

// TopicByName implements group.Topics.
func (m imageTopics) TopicByName(name string) (group.TopicInfo, bool) {
	t, ok := m.image().Topic(name)
	if !ok {
		return group.TopicInfo{}, false
	}
	return topicInfo(t), true
}

// TopicByID implements group.Topics.
func (m imageTopics) TopicByID(id [16]byte) (group.TopicInfo, bool) {
	t, ok := m.image().TopicByID(id)
	if !ok {
		return group.TopicInfo{}, false
	}
	return topicInfo(t), true
}
