package interop

import (
	"testing"
)

// codecs are the values of the producers' compression setting in the order of their wire codes.
var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// produceOptions say how a library produces.
type produceOptions struct {
	addr       string // empty: the suite's endpoint
	codec      string // one of codecs, empty is none
	acks       string // "0", "1", "all"
	idempotent bool   // needs acks "all"
	maxBytes   int    // largest request, 0 for the library's default
}

// consumeOptions say what a library reads: count records of one partition, assigned by hand.
type consumeOptions struct {
	addr      string
	topic     string
	partition int32
	from      int64 // an offset, or startOffset
	count     int
}

const startOffset = -2

// memberOptions describe a member of a consumer group that commits what it has processed whenever
// it gives partitions up.
type memberOptions struct {
	addr     string
	group    string
	topic    string
	strategy string // a partition assignor by its protocol name
	instance string // group.instance.id, empty for a dynamic member
	ledger   *ledger
	name     string // in the ledger
}

// member is a running group member; close leaves the group, or for a static member only stops.
type member interface {
	close()
}

// library is one client library as the tests use it. Its functions fail the test on errors.
type library struct {
	name       string
	strategies []string
	// produce returns the records with partition and offset as acknowledged.
	produce func(t *testing.T, topic string, o produceOptions, records []record) []record
	consume func(t *testing.T, o consumeOptions) []record
	join    func(t *testing.T, o memberOptions) member
}

var libraries = []library{franz, librdkafka}

// eachLibrary runs a test for every library in parallel.
func eachLibrary(t *testing.T, test func(t *testing.T, l library)) {
	t.Parallel()
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			test(t, l)
		})
	}
}
