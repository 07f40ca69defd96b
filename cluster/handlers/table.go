package handlers

import (
	"kserver/protocol"
)

// Mode says where a handler runs.
type Mode uint8

const (
	// OnLoop handlers run on the connection's event loop and never block.
	OnLoop Mode = iota
	// OnWorker handlers run on the bounded worker pool and may block.
	OnWorker
)

// API is one row of the table: everything the connection front needs to know
// about a request before it decodes it.
type API struct {
	Key, Min, Max int16
	Mode          Mode
	// Pipelined lets the connection's next request start when Handle has
	// returned, before this one is answered.
	Pipelined bool
	// Estimate is the most memory, in bytes, that handling a frame of the given
	// size takes beside the frame itself, but for what the cluster's own size
	// adds. What runs on workers is admitted by it.
	Estimate func(frameBytes int) int64
	Handle   func(*Broker, *Request)
}

// table lists the served APIs. ApiVersions is answered from it, so what is
// advertised is what is served.
var table = []API{
	{Key: 0, Min: 3, Max: 13, Mode: OnLoop, Pipelined: true, Estimate: small, Handle: handle00Produce},
	{Key: 1, Min: 4, Max: 18, Mode: OnLoop, Estimate: decoded, Handle: handle01Fetch},
	{Key: 2, Min: 1, Max: 11, Mode: OnWorker, Estimate: decoded, Handle: handle02ListOffsets},
	{Key: 3, Min: 0, Max: 13, Mode: OnLoop, Estimate: decoded, Handle: handle03Metadata},
	{Key: 8, Min: 2, Max: 10, Mode: OnLoop, Estimate: decoded, Handle: handle08OffsetCommit},
	{Key: 9, Min: 1, Max: 10, Mode: OnLoop, Estimate: decoded, Handle: handle09OffsetFetch},
	{Key: 10, Min: 0, Max: 6, Mode: OnLoop, Estimate: decoded, Handle: handle10FindCoordinator},
	{Key: 11, Min: 0, Max: 9, Mode: OnLoop, Estimate: decoded, Handle: handle11JoinGroup},
	{Key: 12, Min: 0, Max: 4, Mode: OnLoop, Estimate: small, Handle: handle12Heartbeat},
	{Key: 13, Min: 0, Max: 5, Mode: OnLoop, Estimate: decoded, Handle: handle13LeaveGroup},
	{Key: 14, Min: 0, Max: 5, Mode: OnLoop, Estimate: decoded, Handle: handle14SyncGroup},
	{Key: 15, Min: 0, Max: 6, Mode: OnLoop, Estimate: decoded, Handle: handle15DescribeGroups},
	{Key: 16, Min: 0, Max: 5, Mode: OnLoop, Estimate: decoded, Handle: handle16ListGroups},
	{Key: 18, Min: 0, Max: 5, Mode: OnLoop, Estimate: small, Handle: handle18APIVersions},
	{Key: 19, Min: 2, Max: 7, Mode: OnWorker, Estimate: decoded, Handle: handle19CreateTopics},
	{Key: 20, Min: 1, Max: 6, Mode: OnWorker, Estimate: decoded, Handle: handle20DeleteTopics},
	{Key: 21, Min: 0, Max: 2, Mode: OnWorker, Estimate: decoded, Handle: handle21DeleteRecords},
	{Key: 22, Min: 0, Max: 5, Mode: OnWorker, Estimate: small, Handle: handle22InitProducerID},
	{Key: 23, Min: 2, Max: 4, Mode: OnWorker, Estimate: decoded, Handle: handle23OffsetForLeaderEpoch},
	{Key: 32, Min: 1, Max: 4, Mode: OnWorker, Estimate: decoded, Handle: handle32DescribeConfigs},
	{Key: 33, Min: 0, Max: 2, Mode: OnWorker, Estimate: decoded, Handle: handle33AlterConfigs},
	{Key: 34, Min: 1, Max: 2, Mode: OnWorker, Estimate: decoded, Handle: handle34AlterReplicaLogDirs},
	{Key: 35, Min: 1, Max: 5, Mode: OnWorker, Estimate: decoded, Handle: handle35DescribeLogDirs},
	{Key: 37, Min: 0, Max: 3, Mode: OnWorker, Estimate: decoded, Handle: handle37CreatePartitions},
	{Key: 42, Min: 0, Max: 3, Mode: OnLoop, Estimate: decoded, Handle: handle42DeleteGroups},
	{Key: 43, Min: 0, Max: 2, Mode: OnWorker, Estimate: decoded, Handle: handle43ElectLeaders},
	{Key: 44, Min: 0, Max: 1, Mode: OnWorker, Estimate: decoded, Handle: handle44IncrementalAlterConfigs},
	{Key: 45, Min: 0, Max: 1, Mode: OnWorker, Estimate: decoded, Handle: handle45AlterPartitionReassignments},
	{Key: 46, Min: 0, Max: 0, Mode: OnLoop, Estimate: decoded, Handle: handle46ListPartitionReassignments},
	{Key: 47, Min: 0, Max: 0, Mode: OnLoop, Estimate: decoded, Handle: handle47OffsetDelete},
	{Key: 48, Min: 0, Max: 1, Mode: OnLoop, Estimate: decoded, Handle: handle48DescribeClientQuotas},
	{Key: 49, Min: 0, Max: 1, Mode: OnWorker, Estimate: decoded, Handle: handle49AlterClientQuotas},
	{Key: 50, Min: 0, Max: 0, Mode: OnLoop, Estimate: decoded, Handle: handle50DescribeUserScramCredentials},
	{Key: 55, Min: 0, Max: 2, Mode: OnLoop, Estimate: decoded, Handle: handle55DescribeQuorum},
	{Key: 57, Min: 0, Max: 2, Mode: OnWorker, Estimate: decoded, Handle: handle57UpdateFeatures},
	{Key: 60, Min: 0, Max: 2, Mode: OnLoop, Estimate: decoded, Handle: handle60DescribeCluster},
	{Key: 61, Min: 0, Max: 0, Mode: OnWorker, Estimate: decoded, Handle: handle61DescribeProducers},
	{Key: 71, Min: 0, Max: 0, Mode: OnWorker, Estimate: small, Handle: handle71GetTelemetrySubscriptions},
	{Key: 72, Min: 0, Max: 0, Mode: OnWorker, Estimate: decoded, Handle: handle72PushTelemetry},
	{Key: 64, Min: 0, Max: 0, Mode: OnWorker, Estimate: small, Handle: handle64UnregisterBroker},
	{Key: 74, Min: 0, Max: 1, Mode: OnLoop, Estimate: decoded, Handle: handle74ListConfigResources},
	{Key: 75, Min: 0, Max: 0, Mode: OnLoop, Estimate: decoded, Handle: handle75DescribeTopicPartitions},
	{Key: 80, Min: 0, Max: 1, Mode: OnLoop, Estimate: decoded, Handle: handle80AddRaftVoter},
	{Key: 81, Min: 0, Max: 0, Mode: OnLoop, Estimate: decoded, Handle: handle81RemoveRaftVoter},
}

// small estimates requests without arrays, and those whose decoded form is views
// on the frame.
func small(int) int64 { return 4 << 10 }

// decoded estimates requests that are decoded into Go values. An element may
// take two bytes in a frame and a hundred in memory, and as much again in the
// answer; the number of elements is bounded.
func decoded(frameBytes int) int64 {
	return min(perFrameByte*int64(frameBytes), perElement*protocol.MaxElements+int64(frameBytes)) + 4<<10
}

const (
	perFrameByte = 100
	perElement   = 400
)

// byKey indexes the table by API key.
var byKey = func() (m [128]*API) {
	for i := range table {
		m[table[i].Key] = &table[i]
	}
	return m
}()

// Lookup finds the row of an API key, nil when it is not served.
func Lookup(key int16) *API {
	if key < 0 || int(key) >= len(byKey) {
		return nil
	}
	return byKey[key]
}

// Serves reports whether the row serves version.
func (a *API) Serves(version int16) bool { return version >= a.Min && version <= a.Max }

// Advertised lists the served APIs as ApiVersions shows them, by key.
func Advertised() []protocol.VersionRange {
	out := make([]protocol.VersionRange, 0, len(table))
	for i := range byKey {
		if a := byKey[i]; a != nil {
			out = append(out, protocol.VersionRange{Key: a.Key, Min: a.Min, Max: a.Max})
		}
	}
	return out
}
