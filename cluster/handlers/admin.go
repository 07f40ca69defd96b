package handlers

import (
	"context"
	"slices"
	"strings"
	"time"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// deadline is the context of an admin request. As in Kafka 4, a timeout that is
// not positive has run out on arrival: the answer is REQUEST_TIMED_OUT and
// nothing is done.
func deadline(timeoutMs int32) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Duration(max(timeoutMs, 0))*time.Millisecond)
}

// codeAndMessage are the fields of an answer: no message stands for the default
// of the code, which clients know.
func codeAndMessage(err *protocol.Error) (int16, *string) {
	if err == nil {
		return 0, nil
	}
	if err.Message == "" {
		return int16(err.Code), nil
	}
	return int16(err.Code), &err.Message
}

// cloneOf is a copy of a string that may be a view on a request's body, nil for
// nil. What the controller is given outlives the request.
func cloneOf(s *string) *string {
	if s == nil {
		return nil
	}
	c := strings.Clone(*s)
	return &c
}

// aliveBrokers are the brokers clients may talk to, with the endpoint of the
// listener they came in by.
func aliveBrokers(image *controller.MetadataImage, listener string) []listedBroker {
	var out []listedBroker
	for _, n := range image.Brokers() {
		if e, ok := n.Endpoint(listener); ok && !n.Fenced {
			out = append(out, listedBroker{n, e})
		}
	}
	return out
}

// listedBroker is a broker as seen through one listener.
type listedBroker struct {
	*controller.Broker
	endpoint controller.Endpoint
}

// adminBroker is the broker shown as the controller. Any broker takes admin
// requests; Kafka shows a random one, this is the one that was asked. -1 when
// there is none.
func (b *Broker) adminBroker(alive []listedBroker) int32 {
	for _, n := range alive {
		if n.ID == b.NodeID {
			return n.ID
		}
	}
	if len(alive) == 0 {
		return -1
	}
	return alive[0].ID
}

// partitionView is what Metadata and DescribeTopicPartitions show of a partition
// to clients of one listener.
type partitionView struct {
	err     protocol.ErrorCode
	leader  int32
	offline []int32
}

// view looks at a partition through a listener: whether its leader can be
// reached, and which replicas cannot.
func view(image *controller.MetadataImage, p *controller.Partition, listener string) partitionView {
	v := partitionView{leader: controller.NoLeader}
	if n, ok := image.Broker(p.Leader); !ok {
		v.err = protocol.LeaderNotAvailable
	} else if _, ok := n.Endpoint(listener); !ok {
		v.err = protocol.ListenerNotFound
	} else {
		v.leader = p.Leader
	}
	for _, id := range p.Replicas {
		if !reachable(image, id, listener) {
			v.offline = append(v.offline, id)
		}
	}
	return v
}

// view is view, of a partition whose replica here may be offline: then it has no leader, as Kafka's controller
// decides when a broker reports the failure of a log directory (KIP-858).
func (b *Broker) view(image *controller.MetadataImage, topic string, index int32, p *controller.Partition, listener string) partitionView {
	v := view(image, p, listener)
	if b.Replicas == nil || !b.Replicas.Offline(topic, index) { // nil in a node that hosts none
		return v
	}
	if v.leader == b.NodeID {
		v.leader, v.err = controller.NoLeader, protocol.LeaderNotAvailable
	}
	if !slices.Contains(v.offline, b.NodeID) {
		v.offline = append(v.offline, b.NodeID)
	}
	return v
}

// reachable reports whether a broker is alive and has the listener.
func reachable(image *controller.MetadataImage, id int32, listener string) bool {
	n, ok := image.Broker(id)
	if !ok || n.Fenced {
		return false
	}
	_, ok = n.Endpoint(listener)
	return ok
}
