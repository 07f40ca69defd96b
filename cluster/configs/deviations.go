package configs

import (
	"runtime"
	"strconv"
)

// Deviation is a key whose default is not Kafka's.
type Deviation struct {
	Key    string
	Topic  bool   // a topic key, else a broker key
	Ours   string // our default
	Kafka  string // Kafka's default; "" where Kafka requires the key to be set
	Reason string
}

// Deviations returns every default of ours that differs from Kafka's, with the reason. Besides these, the
// replication factors and minimum in-sync replicas of internal topics keep Kafka's defaults but take effect only
// up to the number of brokers there are (see Broker.ReplicationFactor), so that a single node works without them
// being set.
func Deviations() []Deviation { return deviations }

var deviations = []Deviation{
	{Key: "log.flush.interval.messages", Ours: "1", Kafka: "9223372036854775807",
		Reason: "durable by default: a record is acknowledged when it is on stable storage, and group commit makes that cheap"},
	{Key: "flush.messages", Topic: true, Ours: "1", Kafka: "9223372036854775807",
		Reason: "follows log.flush.interval.messages"},
	{Key: "listeners", Ours: "PLAINTEXT://127.0.0.1:9092", Kafka: "PLAINTEXT://:9092",
		Reason: "a broker nobody configured is reached from its own machine only"},
	{Key: "log.dir", Ours: "./kserver-data", Kafka: "/tmp/kafka-logs",
		Reason: "data does not belong in a directory that a restart may empty"},
	{Key: "node.id", Ours: "1",
		Reason: "a single node needs no name to be given"},
	{Key: "process.roles", Ours: "broker,controller",
		Reason: "kserver alone is a whole cluster"},
	{Key: "controller.listener.names", Ours: "CONTROLLER",
		Reason: "the name every Kafka example uses"},
	{Key: "num.network.threads", Ours: strconv.Itoa((runtime.GOMAXPROCS(0) + 1) / 2), Kafka: "3",
		Reason: "one event loop for two cores the process may use leaves the other to commits and to the kernel's side of the network"},
	{Key: "socket.send.buffer.bytes", Ours: "262144", Kafka: "102400",
		Reason: "where TCP's congestion control is bbr, the system's own sizing, -1, takes twice the processor time for each byte that a near consumer reads; without bbr it takes no more, and it is for consumers far away"},
	{Key: "socket.receive.buffer.bytes", Ours: "-1", Kafka: "102400",
		Reason: "a fixed size switches off the system's own sizing, which is better near and far"},
	{Key: "socket.listen.backlog.size", Ours: "1024", Kafka: "50",
		Reason: "clients that all come back after a restart should not be turned away"},
}

// deviate puts our defaults into the table of broker keys, or of topic keys.
func deviate(t *table, topic bool) *table {
	for _, v := range deviations {
		if v.Topic != topic {
			continue
		}
		d, ok := t.byName[v.Key]
		if !ok {
			panic("configs: deviation of an unknown key: " + v.Key)
		}
		d.Default = &v.Ours
	}
	return t
}

var (
	brokerTable = deviate(newTable(networkKeys, logKeys, topicsKeys, groupsKeys, transactionsKeys, quorumKeys,
		quotasKeys, securityKeys, remoteKeys, ourKeys), false)
	topicTable = deviate(withSynonyms(newTable(topicKeys), topicSynonyms), true)
	groupTable = withSynonyms(newTable(groupKeys), groupSynonyms())
)
