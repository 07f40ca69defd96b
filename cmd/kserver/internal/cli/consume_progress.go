package cli

// progress knows how far partitions have been read, and when that is far enough.
type progress struct {
	// bounded is false when partitions are followed without end.
	bounded bool
	// started is false until it is known which partitions there are.
	started bool
	until   offsets // exclusive; of each partition that was added
	next    offsets // the offset after the last one seen or, before that, the one to begin at
}

func newProgress(bounded bool) *progress {
	return &progress{bounded: bounded, until: make(offsets), next: make(offsets)}
}

// add tells of a partition that is read from an offset on, and before which offset to stop. It reports whether
// there is anything left to read.
func (p *progress) add(topic string, partition int32, from, until int64) bool {
	p.started = true
	p.until.set(topic, partition, until)
	if next, seen := p.next.get(topic, partition); !seen || next < from {
		p.next.set(topic, partition, from)
	}
	return !p.bounded || p.next[topic][partition] < until
}

// has reports whether a partition was added.
func (p *progress) has(topic string, partition int32) bool {
	_, ok := p.until.get(topic, partition)
	return ok
}

// retain forgets all other partitions. It also tells that it is known now which partitions there are.
func (p *progress) retain(mine map[partitionID]bool) {
	p.started = true
	for topic, partitions := range p.until {
		for partition := range partitions {
			if !mine[partitionID{topic, partition}] {
				delete(partitions, partition)
				delete(p.next[topic], partition)
			}
		}
	}
}

// saw tells of a record. wanted: it lies before the end. reached: none after it does.
func (p *progress) saw(topic string, partition int32, offset int64) (wanted, reached bool) {
	p.next.set(topic, partition, offset+1)
	until, ok := p.until.get(topic, partition)
	if !p.bounded || !ok {
		return true, false
	}
	return offset < until, offset+1 >= until
}

// done reports whether every partition has been read far enough.
func (p *progress) done() bool {
	if !p.bounded || !p.started {
		return false
	}
	for topic, partitions := range p.until {
		for partition, until := range partitions {
			if p.next[topic][partition] < until {
				return false
			}
		}
	}
	return true
}
