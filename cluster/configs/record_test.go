package configs

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// record names a running Apache Kafka 4.3.1, as host:port, whose answers replace testdata/kafka-*.json. Its
// server.properties, which must be testdata/recorded.properties, is handed to ParseBroker when answers are
// compared.
var record = flag.String("record", "", "address of an Apache Kafka whose answers to record in testdata")

// recordedEntry is one DescribeConfigs entry of Kafka, without its documentation.
type recordedEntry struct {
	Name      string
	Value     *string
	Source    int8
	Type      int8
	ReadOnly  bool
	Sensitive bool
	Synonyms  []recordedSynonym
}

type recordedSynonym struct {
	Name   string
	Value  *string
	Source int8
}

// recordedCreate is Kafka's answer to the creation, for validation only, of a topic with these configs.
type recordedCreate struct {
	Configs map[string]string
	Code    int16
	Message string
}

// describedOverrides are the configs of the topic whose description is recorded.
var describedOverrides = map[string]string{
	"cleanup.policy":            "compact, delete",
	"retention.ms":              " 1000",
	"segment.bytes":             "2097152",
	"min.cleanable.dirty.ratio": "0.50",
	"preallocate":               "TRUE",
	"flush.messages":            "1",
}

// createdConfigs are the topic configs whose validation is recorded.
var createdConfigs = []map[string]string{
	{},
	{"foo": "1"},
	{"foo": "1", "bar": "x", "retention.ms": "abc"},
	{"retention.ms": "abc"},
	{"retention.ms": "-5"},
	{"retention.ms": "-1"},
	{"retention.bytes": "-7"},
	{"segment.bytes": "100"},
	{"cleanup.policy": "x"},
	{"cleanup.policy": ""},
	{"cleanup.policy": "compact,delete"},
	{"min.insync.replicas": "0"},
	{"min.insync.replicas": "3"},
	{"max.message.bytes": "9999999999"},
	{"max.message.bytes": "99999999"},
	{"remote.storage.enable": "true"},
	{"remote.log.copy.disable": "true"},
	{"internal.segment.bytes": "100"},
	{"min.compaction.lag.ms": "100", "max.compaction.lag.ms": "50"},
	{"local.retention.ms": "100", "retention.ms": "50"},
	{"local.retention.bytes": "100", "retention.bytes": "50"},
	{"message.timestamp.difference.max.ms": "50"},
	{"segment.ms": "0"},
	{"compression.type": "none"},
	{"compression.gzip.level": "0"},
	{"unclean.leader.election.enable": "maybe"},
	{"message.format.version": "3.0"},
	{"leader.replication.throttled.replicas": "0:1,x"},
	{"flush.ms": "", "flush.messages": "0"},
}

func TestRecordKafka(t *testing.T) {
	if *record == "" {
		t.Skip("only with -record")
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(*record))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	const topic = "recorded"
	create(t, client, topic, describedOverrides, false)
	write(t, "kafka-4.3.1-describe-topic.json", describe(t, client, kmsg.ConfigResourceTypeTopic, topic))
	write(t, "kafka-4.3.1-describe-broker.json", describe(t, client, kmsg.ConfigResourceTypeBroker, "1"))
	write(t, "kafka-4.3.1-describe-group.json", describe(t, client, kmsg.ConfigResourceTypeGroupConfig, "some-group"))

	var answers []recordedCreate
	for _, configs := range createdConfigs {
		answers = append(answers, create(t, client, "validated", configs, true))
	}
	write(t, "kafka-4.3.1-create-topic.json", answers)

	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.TopicNames = []string{topic}
	name := topic
	remove.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
	if _, err := remove.RequestWith(ctx, client); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, client *kgo.Client, name string, configs map[string]string, validateOnly bool) recordedCreate {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.ValidateOnly = validateOnly
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	for _, key := range sortedKeys(configs) {
		value := configs[key]
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: &value})
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(context.Background(), client)
	if err != nil {
		t.Fatal(err)
	}
	answer := recordedCreate{Configs: configs, Code: resp.Topics[0].ErrorCode}
	if resp.Topics[0].ErrorMessage != nil {
		answer.Message = *resp.Topics[0].ErrorMessage
	}
	return answer
}

func describe(t *testing.T, client *kgo.Client, kind kmsg.ConfigResourceType, name string) []recordedEntry {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = true
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name}}
	shards := client.RequestSharded(context.Background(), req)
	if len(shards) != 1 || shards[0].Err != nil {
		t.Fatalf("describe %s: %v", name, shards)
	}
	var entries []recordedEntry
	for _, c := range shards[0].Resp.(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
		e := recordedEntry{c.Name, c.Value, int8(c.Source), int8(c.ConfigType), c.ReadOnly, c.IsSensitive, nil}
		for _, s := range c.ConfigSynonyms {
			e.Synonyms = append(e.Synonyms, recordedSynonym{s.Name, s.Value, int8(s.Source)})
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b recordedEntry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

func write(t *testing.T, name string, rows any) {
	t.Helper()
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	switch rows := rows.(type) {
	case []recordedEntry:
		encodeLines(t, enc, rows)
	case []recordedCreate:
		encodeLines(t, enc, rows)
	}
	if err := os.WriteFile(filepath.Join("testdata", name), []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// encodeLines writes one row a line, so that differences read well.
func encodeLines[T any](t *testing.T, enc *json.Encoder, rows []T) {
	t.Helper()
	for _, row := range rows {
		if err := enc.Encode(row); err != nil {
			t.Fatal(err)
		}
	}
}
