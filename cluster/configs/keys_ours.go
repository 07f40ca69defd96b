package configs

// ourKeys are the broker keys Kafka does not have.
var ourKeys = []*Def{
	own(String, "cluster.id", null, clusterID{},
		"Id of the cluster, 22 characters of URL-safe base64 as kafka-storage random-uuid prints them. Null takes the one of the data directory, or makes a new one for an empty directory."),
	own(String, "io.backend", "auto", choice("auto", "io_uring", "epoll"),
		"How sockets are driven: io_uring, epoll, or auto for io_uring where the system allows it."),
	own(Boolean, "sendfile.enable", "true", nil,
		"Whether record bytes go from the page cache to the socket without entering user space. false copies them, for comparison."),
	own(Int, "connection.max.pending.requests", "64", between(1, 65536),
		"Unanswered requests of one connection at which reading from it pauses."),
	own(Int, "connection.max.queued.output.bytes", "8388608", between(65536, 1<<31-1),
		"Output of one connection, in bytes, at which reading from it pauses until the client has taken some."),
	own(Long, "connection.output.stall.timeout.ms", "300000", atLeast(1),
		"Time after which a connection that takes none of its output is closed, in milliseconds."),
	own(Long, "log.scrub.interval.ms", "604800000", atLeast(-1),
		"Time between two passes of the scrub over a data directory, in milliseconds: it reads all records and compares their checksums. -1 switches it off."),
	own(Long, "log.scrub.io.max.bytes.per.second", "8388608", atLeast(1),
		"Bytes the scrub reads in a second at most."),
	own(Long, "log.dir.reserve.bytes", "-1", atLeast(-1),
		"Space kept free on the file system of each data directory, in bytes: below it records of clients are refused with KAFKA_STORAGE_ERROR, which clients retry, while reads, commits, deletions and retention go on. -1 is the larger of 256 MiB and 2 % of the file system, at most 10 %; 0 keeps nothing."),
	own(Long, "connection.input.stall.timeout.ms", "10000", atLeast(1),
		"Time an unfinished request may stand still while the memory of queued.max.request.bytes is spent, in milliseconds; then its connection is closed."),
	own(Long, "connection.request.timeout.ms", "30000", nil,
		"Time, in milliseconds, within which an unfinished request must get the bytes that connection.request.min.bytes.per.second asks for; else its connection is closed. A negative value never closes one."),
	own(Int, "connection.request.min.bytes.per.second", "1024", between(1, 1<<30),
		"Bytes per second an unfinished request must get at least, over each connection.request.timeout.ms."),
	own(Long, "log.journal.max.bytes", "268435456", atLeast(0),
		"Bytes the commit journal of a data directory may take. Records of many partitions become durable together by one sync of it; their segments are synced later. It is made when it pays, and a clean stop removes it. 0 syncs segments always."),
	own(Int, "log.max.open.files", "4096", between(16, 1<<20),
		"Segment files kept open although nobody uses them."),
	own(List, "metrics.listeners", "", emptyable(),
		"Addresses, as http://host:port separated by commas, at which the broker's metrics are read in Prometheus' format, at the path /metrics. Empty opens none. There is no authentication: keep to addresses that only your monitoring reaches."),
	own(Long, "shutdown.timeout.ms", "30000", between(0, 3600000),
		"Time a stopping broker gives requests in flight to be answered, in milliseconds."),
}

// own makes the Def of a key that only kserver has.
func own(t Type, name, def string, valid Validator, doc string) *Def {
	d := row(t, name, def, valid, ReadOnly, doc)
	d.Ours, d.KafkaDefault = true, nil
	return d
}

// clusterID accepts the text form of a Kafka Uuid.
type clusterID struct{}

func (clusterID) String() string { return "22 characters of URL-safe base64" }

func (clusterID) check(key string, v any) string {
	text := v.(string)
	for _, c := range []byte(text) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return invalidValue(key, text, "Only letters, digits, - and _ are allowed")
		}
	}
	if len(text) != 22 {
		return invalidValue(key, text, "Must be 22 characters long, as kafka-storage random-uuid prints them")
	}
	return ""
}
