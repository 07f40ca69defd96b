package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"kserver/cmd/kbench/integrity"
	"kserver/cmd/kbench/internal/load"
	"kserver/cmd/kbench/process"
	"kserver/cmd/kbench/wire"
)

// Bounds of the options. They keep memory within a few gigabytes and mistakes out.
const (
	maxWorkers = 1024
	// maxConnections is what ports of one address, and usual limits of descriptors, allow.
	maxConnections = 20_000
	maxPartitions  = 100_000
	maxRecordSize  = 64 << 20
	maxPipeline    = 1024
	maxBuffered    = 10_000_000
	// maxIdempotentPipeline is how many requests of one idempotent producer a broker keeps in order (KIP-98).
	maxIdempotentPipeline = 5
)

// bytesFlag is a size in bytes with an optional unit: 1024, 16KiB, 1MB.
type bytesFlag int

func (b *bytesFlag) String() string { return humanize.IBytes(uint64(*b)) }
func (b *bytesFlag) Type() string   { return "size" }
func (b *bytesFlag) Set(s string) error {
	n, err := humanize.ParseBytes(s)
	if err != nil {
		return err
	}
	if n > 1<<31-1 {
		return fmt.Errorf("%s is more than 2 GiB", s)
	}
	*b = bytesFlag(n)
	return nil
}

// commonOptions are those of every command that drives an endpoint.
type commonOptions struct {
	brokers     []string
	clientID    string
	topic       string
	partitions  int
	replication int
	topicConfig map[string]string
	driver      string
	warmUp      time.Duration
	duration    time.Duration
	jsonFile    string
	labels      map[string]string
	brokerPID   int
	cpus        []int
	brokerCPUs  []int
	limits      bool
	limitsDir   string
	limitsTime  time.Duration
	verify      bool
	manifest    string
}

func (o *commonOptions) register(f *pflag.FlagSet) {
	f.StringSliceVarP(&o.brokers, "bootstrap-server", "b", []string{"127.0.0.1:9092"}, "addresses of the endpoint, host:port")
	f.StringVar(&o.clientID, "client-id", "kbench", "client id in every request")
	f.StringVarP(&o.topic, "topic", "t", "kbench", "topic; created when it does not exist")
	f.IntVarP(&o.partitions, "partitions", "p", 1, "partitions of the topic when it is created; 0 takes the topic as it is")
	f.IntVar(&o.replication, "replication-factor", -1, "replication factor when the topic is created, -1 for the broker's default")
	f.StringToStringVar(&o.topicConfig, "topic-config", nil, "configuration of the topic, key=value; one that exists with another is refused")
	f.StringVar(&o.driver, "driver", "real", "client: real (franz-go) or raw (pre-encoded requests)")
	f.DurationVar(&o.warmUp, "warm-up", 2*time.Second, "load before measuring")
	f.DurationVarP(&o.duration, "duration", "d", 10*time.Second, "measured time")
	f.StringVar(&o.jsonFile, "json", "", "write the result to this file, too")
	f.StringToStringVar(&o.labels, "label", nil, "label of the result, key=value")
	f.IntVar(&o.brokerPID, "broker-pid", 0, "process id of a local broker, to report its CPU time and memory")
	f.IntSliceVar(&o.cpus, "cpus", nil, "processors that kbench is bound to during the load, by number")
	f.IntSliceVar(&o.brokerCPUs, "broker-cpus", nil, "processors that the broker of --broker-pid is bound to during the load, by number")
	f.BoolVar(&o.limits, "limits", false, "measure the machine's limits first and report shares of them")
	f.BoolVar(&o.verify, "verify", false, "stamp every record and prove that none is lost, repeated, reordered or changed")
	f.StringVar(&o.manifest, "manifest", "", "file with what was acknowledged: written by produce, read by consume --verify")
	registerLimits(f, &o.limitsDir, &o.limitsTime)
}

func registerLimits(f *pflag.FlagSet, dir *string, each *time.Duration) {
	f.StringVar(dir, "limits-dir", ".", "directory on the broker's disk, for the limits; files are removed")
	f.DurationVar(each, "limits-time", 500*time.Millisecond, "time for each of the limits")
}

// produceOptions are those of producers.
type produceOptions struct {
	recordSize  bytesFlag
	batchSize   bytesFlag
	records     int
	acks        string
	codec       string
	idempotence string
	producers   int
	connections int
	rate        float64
	inFlight    int
	pipeline    int
	linger      time.Duration
	buffered    int
	drain       time.Duration
	random      float64
	roundRobin  bool
}

func (o *produceOptions) register(f *pflag.FlagSet, linger time.Duration, batch int) {
	o.recordSize, o.batchSize = 1024, bytesFlag(batch)
	f.VarP(&o.recordSize, "record-size", "s", "size of a record value")
	f.Var(&o.batchSize, "batch-size", "size of a record batch, at most; 0 is one record")
	f.IntVar(&o.records, "batch-records", 0, "raw driver: records of every batch, whatever --batch-size says; 0 leaves it to that")
	f.StringVar(&o.acks, "acks", "all", "acknowledgement: all, 1 or 0")
	f.StringVar(&o.codec, "codec", "none", "compression: none, gzip, snappy, lz4, zstd")
	f.StringVar(&o.idempotence, "idempotence", "auto", "idempotent producers: true, false or auto (true for the real driver with acks=all)")
	f.IntVar(&o.producers, "producers", 1, "number of producers")
	f.IntVar(&o.connections, "connections", 1, "raw driver: connections of each producer, used in turn")
	f.Float64VarP(&o.rate, "rate", "r", 0, "records per second of all producers together, on a fixed schedule; 0 is as fast as possible")
	f.IntVar(&o.inFlight, "in-flight", 0, "closed loop: records (real) or batches (raw) unanswered per producer; 0 is an open loop")
	f.IntVar(&o.pipeline, "pipeline", maxIdempotentPipeline, "requests in flight per connection (an idempotent real driver decides itself)")
	f.DurationVar(&o.linger, "linger", linger, "how long the real driver waits for a batch to fill")
	f.IntVar(&o.buffered, "buffered", 10_000, "records the real driver holds before it blocks")
	f.DurationVar(&o.drain, "drain", 10*time.Second, "how long to wait for answers after the end")
	f.Float64Var(&o.random, "random", 1, "share of incompressible bytes in a record, 0 to 1")
	f.BoolVar(&o.roundRobin, "round-robin", false, "real driver: next partition for every record instead of every batch")
}

// consumeOptions are those of consumers.
type consumeOptions struct {
	consumers    int
	minBytes     bytesFlag
	maxBytes     bytesFlag
	partitionMax bytesFlag
	maxWait      time.Duration
}

func (o *consumeOptions) register(f *pflag.FlagSet) {
	o.minBytes, o.maxBytes, o.partitionMax = 1, 50<<20, 1<<20
	f.IntVar(&o.consumers, "consumers", 1, "number of consumers; partitions are divided among them")
	f.Var(&o.minBytes, "fetch-min-bytes", "bytes the broker waits for before it answers a fetch")
	f.Var(&o.maxBytes, "fetch-max-bytes", "bytes of a whole fetch answer")
	f.Var(&o.partitionMax, "partition-max-bytes", "bytes of one partition in a fetch answer")
	f.DurationVar(&o.maxWait, "fetch-max-wait", 500*time.Millisecond, "how long the broker waits for fetch-min-bytes")
}

// check gathers violated rules.
type check []string

func (c *check) rule(ok bool, format string, args ...any) {
	if !ok {
		*c = append(*c, fmt.Sprintf(format, args...))
	}
}

func (c check) err() error {
	if len(c) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", errUsage, strings.Join(c, "; "))
}

func (o *commonOptions) validate(c *check) {
	c.rule(len(o.brokers) > 0, "--bootstrap-server is empty")
	c.rule(o.topic != "", "--topic is empty")
	c.rule(o.partitions >= 0 && o.partitions <= maxPartitions, "--partitions must be 0 to %d", maxPartitions)
	c.rule(o.replication == -1 || o.replication >= 1 && o.replication <= 1<<15-1, "--replication-factor must be -1 or positive")
	c.rule(o.driver == "real" || o.driver == "raw", "--driver must be real or raw")
	c.rule(o.warmUp >= 0, "--warm-up must not be negative")
	c.rule(o.duration > 0, "--duration must be positive")
	c.rule(o.limitsTime > 0, "--limits-time must be positive")
	c.rule(o.brokerPID >= 0, "--broker-pid must be positive")
	c.rule(len(o.brokerCPUs) == 0 || o.brokerPID > 0, "--broker-cpus needs --broker-pid")
	for _, n := range append(o.cpus[:len(o.cpus):len(o.cpus)], o.brokerCPUs...) {
		c.rule(n >= 0 && n <= process.MaxCPU, "--cpus and --broker-cpus must be 0 to %d", process.MaxCPU)
	}
}

func (o *commonOptions) raw() bool { return o.driver == "raw" }

// build validates the options and turns them into those of package load. stamp says that records must carry stamps.
func (o *produceOptions) build(c *check, common *commonOptions, stamp bool, run uint64) *load.ProduceOptions {
	acks, ok := map[string]int16{"all": -1, "-1": -1, "1": 1, "0": 0}[o.acks]
	c.rule(ok, "--acks must be all, 1 or 0")
	codec, err := wire.ParseCodec(o.codec)
	c.rule(err == nil, "--codec: %v", err)
	idempotent := o.idempotence == "true" || o.idempotence == "auto" && acks == -1 && !common.raw()
	c.rule(o.idempotence == "true" || o.idempotence == "false" || o.idempotence == "auto", "--idempotence must be true, false or auto")
	c.rule(!idempotent || acks == -1, "--idempotence needs --acks all")
	c.rule(!idempotent || o.pipeline <= maxIdempotentPipeline && (!common.raw() || o.inFlight <= maxIdempotentPipeline),
		"an idempotent producer may have %d requests in flight", maxIdempotentPipeline)
	c.rule(o.producers >= 1 && o.producers <= maxWorkers, "--producers must be 1 to %d", maxWorkers)
	c.rule(o.connections >= 1 && o.producers*o.connections <= maxConnections, "--connections must be 1 to %d for all producers together", maxConnections)
	c.rule(o.connections <= 1 || common.raw() && !idempotent && !stamp, "--connections needs --driver raw, and batches may overtake each other: no --idempotence, no --verify")
	c.rule(o.recordSize <= maxRecordSize, "--record-size must be at most %d", maxRecordSize)
	c.rule(!stamp || o.recordSize >= integrity.StampSize, "records that are checked or timed end to end need --record-size %d or more", integrity.StampSize)
	c.rule(!stamp || !common.raw() || codec == wire.CodecNone, "the raw driver can stamp records only with --codec none")
	c.rule(!common.verify || acks != 0, "--verify needs acknowledgements: --acks 1 or all")
	c.rule(o.batchSize <= maxRecordSize, "--batch-size must be at most %d", maxRecordSize)
	c.rule(o.records == 0 || common.raw(), "--batch-records needs --driver raw")
	c.rule(o.records >= 0 && o.records <= maxRecordSize && o.records*max(1, int(o.recordSize)) <= maxRecordSize, "a batch of --batch-records may have %d bytes", maxRecordSize)
	c.rule(o.rate >= 0, "--rate must not be negative")
	c.rule(o.inFlight >= 0 && o.inFlight <= maxBuffered, "--in-flight must be 0 to %d", maxBuffered)
	c.rule(o.pipeline >= 1 && o.pipeline <= maxPipeline, "--pipeline must be 1 to %d", maxPipeline)
	c.rule(o.buffered >= 1 && o.buffered <= maxBuffered, "--buffered must be 1 to %d", maxBuffered)
	c.rule(o.random >= 0 && o.random <= 1, "--random must be 0 to 1")
	c.rule(o.drain >= 0 && o.linger >= 0, "--drain and --linger must not be negative")
	if len(*c) > 0 {
		return nil
	}
	return &load.ProduceOptions{
		Brokers: common.brokers, ClientID: common.clientID, Topic: common.topic, Producers: o.producers, Connections: o.connections,
		RecordSize: int(o.recordSize), BatchBytes: int(o.batchSize), BatchRecords: o.records, Acks: acks, Codec: codec, Idempotent: idempotent,
		Linger: o.linger, Buffered: o.buffered, Pipeline: o.pipeline, Rate: o.rate, InFlight: o.inFlight, Drain: o.drain,
		RoundRobin: o.roundRobin, Payload: load.NewPayload(int(o.recordSize), run, stamp, o.random),
	}
}

func (o *consumeOptions) build(c *check, common *commonOptions) *load.ConsumeOptions {
	c.rule(o.consumers >= 1 && o.consumers <= maxWorkers, "--consumers must be 1 to %d", maxWorkers)
	c.rule(o.maxWait >= 0 && o.maxWait <= time.Hour, "--fetch-max-wait must be 0 to 1h")
	c.rule(o.maxBytes > 0 && o.partitionMax > 0, "--fetch-max-bytes and --partition-max-bytes must be positive")
	c.rule(o.maxBytes <= 1<<30, "--fetch-max-bytes must be at most 1 GiB")
	return &load.ConsumeOptions{
		Brokers: common.brokers, ClientID: common.clientID, Topic: common.topic, Consumers: o.consumers, AtEnd: load.AtEndStop,
		MinBytes: int32(o.minBytes), MaxBytes: int32(o.maxBytes), PartitionMaxBytes: int32(o.partitionMax),
		MaxWaitMs: int32(o.maxWait / time.Millisecond), Pipeline: 1,
	}
}
