package coordinator

import (
	"kserver/protocol"
)

// KeyType says what kind of coordinator FindCoordinator looks for.
type KeyType int8

// The key types of FindCoordinator v6 (KIP-932 added the last).
const (
	KeyGroup       KeyType = 0
	KeyTransaction KeyType = 1
	KeyShare       KeyType = 2
)

// Endpoint is a broker as one listener's clients reach it.
type Endpoint struct {
	NodeID int32
	Host   string
	Port   int32
}

// Directory is what Finder needs to know of the cluster; the metadata image
// satisfies it through an adapter. Methods may be called concurrently and must
// not block.
type Directory interface {
	// Partitions is the number of partitions of topic, 0 if it does not exist.
	Partitions(topic string) int32
	// Leader is the endpoint, on the named listener, of the broker that leads
	// the partition; false when there is none now.
	Leader(topic string, partition int32, listener string) (Endpoint, bool)
	// Create creates an internal topic unless it exists or its creation is
	// under way, and calls done once the outcome is visible in the Directory,
	// on any goroutine, possibly before it returns.
	Create(topic string, done func(error))
}

// Finder answers FindCoordinator: which broker leads the partition that a key
// belongs to. Its fields are set once, before use.
type Finder struct {
	Directory Directory
	// Topics holds the internal topic of each key type that is served.
	Topics map[KeyType]string
}

// Find looks up the coordinator of each key and calls reply once, with one
// result per key, on this goroutine or, when the internal topic had to be
// created first, on another. Codes: INVALID_REQUEST for a key type that is not
// known or, as in Kafka, share without its coordinator; UNSUPPORTED_VERSION for
// transactions when they are not served (final for a producer, where Kafka's
// retriable codes would make it try for ever); COORDINATOR_NOT_AVAILABLE while
// the topic or the partition's leader is missing.
func (f *Finder) Find(kind KeyType, keys []string, listener string, reply func([]Found)) {
	topic, served := f.Topics[kind]
	if !served {
		code := protocol.InvalidRequest
		if kind == KeyTransaction {
			code = protocol.UnsupportedVersion
		}
		reply(NotFound(keys, code))
		return
	}
	if f.Directory.Partitions(topic) > 0 {
		reply(f.lookup(topic, keys, listener))
		return
	}
	f.Directory.Create(topic, func(error) { reply(f.lookup(topic, keys, listener)) })
}

// Found is the coordinator of one key. Endpoint is {-1, "", -1} unless Code
// is NONE.
type Found struct {
	Key      string
	Code     protocol.ErrorCode
	Endpoint Endpoint
}

// noEndpoint is what Kafka answers beside an error.
var noEndpoint = Endpoint{NodeID: -1, Port: -1}

func (f *Finder) lookup(topic string, keys []string, listener string) []Found {
	n := f.Directory.Partitions(topic)
	if n <= 0 {
		return NotFound(keys, protocol.CoordinatorNotAvailable)
	}
	out := make([]Found, len(keys))
	for i, key := range keys {
		out[i] = Found{Key: key, Endpoint: noEndpoint}
		ep, ok := f.Directory.Leader(topic, protocol.CoordinatorPartition(key, n), listener)
		if !ok {
			out[i].Code = protocol.CoordinatorNotAvailable
			continue
		}
		out[i].Endpoint = ep
	}
	return out
}

// NotFound answers every key with code.
func NotFound(keys []string, code protocol.ErrorCode) []Found {
	out := make([]Found, len(keys))
	for i, key := range keys {
		out[i] = Found{Key: key, Code: code, Endpoint: noEndpoint}
	}
	return out
}
