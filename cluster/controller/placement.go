package controller

import (
	"encoding/binary"
	"slices"

	"kserver/protocol"
)

// newPartition returns a partition on the given brokers that never had a leader
// before: its in-sync replicas are the active ones, and the first of them leads.
// It keeps replicas.
func newPartition(image *MetadataImage, replicas []int32) *Partition {
	p := &Partition{Leader: NoLeader, Replicas: replicas, Directories: make([]UUID, len(replicas))}
	active := 0
	for i, id := range replicas {
		p.Directories[i] = DirectoryUnassigned
		b, ok := image.Broker(id)
		if !ok {
			continue
		}
		if len(b.LogDirs) == 1 { // with several the broker chooses
			p.Directories[i] = b.LogDirs[0]
		}
		if b.Active() {
			active++
		}
	}
	if active == len(replicas) {
		p.ISR = replicas // shared: neither is ever changed in place
	} else {
		for _, id := range replicas {
			if b, ok := image.Broker(id); ok && b.Active() {
				p.ISR = append(p.ISR, id)
			}
		}
	}
	if len(p.ISR) > 0 {
		p.Leader = p.ISR[0]
	}
	return p
}

// place spreads count partitions, the first with index first, over the brokers.
// Leaders go round the active brokers from a random one on; the other replicas
// follow in an order that alternates between racks (KIP-36) and shifts with
// every round, so that no two brokers share all their partitions. The error's
// message is Kafka's, without its beginning.
func (c *Controller) place(image *MetadataImage, first, count, factor int) ([]*Partition, *protocol.Error) {
	active, fenced := striped(image.Brokers())
	refuse := func(format string, args ...any) ([]*Partition, *protocol.Error) {
		return nil, protocol.Errorf(protocol.InvalidReplicationFactor, format, args...)
	}
	total := len(active) + len(fenced)
	switch {
	case factor <= 0:
		return refuse("Invalid replication factor %d: the replication factor must be positive.", factor)
	case len(active) == 0:
		return refuse("All brokers are currently fenced, or have all their log directories cordoned.")
	case factor > total:
		return refuse("The target replication factor of %d cannot be reached because only %d broker(s) are registered or some brokers have all their log directories cordoned.", factor, total)
	}
	start := c.randomBelow(len(active)) + first
	partitions := make([]*Partition, count)
	for i := range partitions {
		replicas := make([]int32, 0, factor)
		leader := (start + i) % len(active)
		replicas = append(replicas, active[leader])
		others := slices.Concat(active[leader+1:], active[:leader])
		if n := len(others); n > 0 {
			shift := (start + i) / len(active) % n
			others = slices.Concat(others[shift:], others[:shift])
		}
		others = append(others, fenced...)
		partitions[i] = newPartition(image, append(replicas, others[:factor-1]...))
	}
	return partitions, nil
}

// striped returns the ids of the active and of the other brokers, each with
// neighbours in different racks as far as there are any.
func striped(brokers []*Broker) (active, others []int32) {
	racks := map[string][]*Broker{}
	for _, b := range brokers {
		rack := ""
		if b.Rack != nil {
			rack = *b.Rack
		}
		racks[rack] = append(racks[rack], b)
	}
	names := make([]string, 0, len(racks))
	for name := range racks {
		names = append(names, name)
	}
	slices.Sort(names)
	for round := 0; len(active)+len(others) < len(brokers); round++ {
		for _, name := range names {
			if round >= len(racks[name]) {
				continue
			}
			if b := racks[name][round]; b.Active() {
				active = append(active, b.ID)
			} else {
				others = append(others, b.ID)
			}
		}
	}
	return active, others
}

// randomBelow returns a number in [0, n). Without random bytes it is 0, which
// only makes the spread less even.
func (c *Controller) randomBelow(n int) int {
	if n <= 1 {
		return 0
	}
	var b [8]byte
	if _, err := c.cfg.Random.Read(b[:]); err != nil {
		return 0
	}
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n))
}
