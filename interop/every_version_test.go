package interop

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// sweep is what the requests of TestEveryVersion are about.
type sweep struct {
	t     *testing.T
	topic string // one partition, one record
	id    [16]byte
	group string // has a committed offset and no members
	txn   string
}

// fresh makes a name nobody used.
func (s *sweep) fresh() string { return uniqueName(s.t) }

// plausible says, by API key, how to make a request that a client could send, and which error codes
// may stand anywhere in its answer; no codes means that none may.
var plausible = map[int16]struct {
	request func(s *sweep, version int16) kmsg.Request
	codes   []int16
}{
	0: {request: func(s *sweep, version int16) kmsg.Request {
		req := produceRequest(version, s.topic, 0, wire.NewBatch(time.Now().UnixMilli(), []byte("v")).Encode())
		req.Topics[0].TopicID = s.id
		return req
	}},
	1: {request: func(s *sweep, version int16) kmsg.Request {
		req := fetchRequest(version, s.topic, map[int32]int64{0: 0})
		req.Topics[0].TopicID = s.id
		return req
	}},
	2: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = -1
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: s.topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		return req
	}},
	3: {request: func(s *sweep, version int16) kmsg.Request {
		req := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		if topic.Topic = &s.topic; version >= 12 {
			topic.Topic, topic.TopicID = nil, s.id
		}
		req.Topics = append(req.Topics, topic)
		req.IncludeTopicAuthorizedOperations = true
		return req
	}},
	8: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = s.group, -1
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset, p.Metadata = 1, kmsg.StringPtr("m")
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: s.topic, TopicID: s.id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
		return req
	}},
	9: {request: func(s *sweep, version int16) kmsg.Request {
		req := kmsg.NewPtrOffsetFetchRequest()
		if version < 8 {
			req.Group = s.group
			req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: s.topic, Partitions: []int32{0}}}
			return req
		}
		group := kmsg.NewOffsetFetchRequestGroup()
		group.Group = s.group
		group.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: s.topic, TopicID: s.id, Partitions: []int32{0}}}
		req.Groups = append(req.Groups, group)
		return req
	}},
	10: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey, req.CoordinatorKeys = s.group, []string{s.group}
		return req
	}},
	11: {codes: []int16{79}, request: func(s *sweep, _ int16) kmsg.Request { return joinRequest(unknownGroup(s.t), "", "") }},
	12: {codes: []int16{25}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.Generation, req.MemberID = s.group, 1, "nobody"
		return req
	}},
	13: {codes: []int16{25}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group, req.MemberID = s.group, "nobody"
		req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "nobody"}}
		return req
	}},
	14: {codes: []int16{25}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrSyncGroupRequest()
		req.Group, req.Generation, req.MemberID = s.group, 1, "nobody"
		req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
		return req
	}},
	15: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups, req.IncludeAuthorizedOperations = []string{s.group}, true
		return req
	}},
	16: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter = []string{"Empty"}
		return req
	}},
	18: {request: func(*sweep, int16) kmsg.Request {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "interop", "1"
		return req
	}},
	19: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis = 30_000
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = s.fresh(), 2, 1
		topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms", Value: kmsg.StringPtr("1000000")}}
		req.Topics = append(req.Topics, topic)
		req.ValidateOnly = true
		return req
	}},
	20: {codes: []int16{3, 100}, request: func(s *sweep, version int16) kmsg.Request {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 30_000
		if req.TopicNames = []string{s.fresh()}; version >= 6 {
			req.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: [16]byte{1, 2}}}
		}
		return req
	}},
	21: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.TimeoutMillis = 30_000
		req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: s.topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{}}}}
		return req
	}},
	22: {request: func(*sweep, int16) kmsg.Request {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = math.MaxInt32, -1, -1
		return req
	}},
	23: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.ReplicaID = -1
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		req.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: s.topic, Partitions: append([]kmsg.OffsetForLeaderEpochRequestTopicPartition(nil), p)}}
		return req
	}},
	24: {codes: []int16{49}, request: func(s *sweep, version int16) kmsg.Request {
		req := kmsg.NewPtrAddPartitionsToTxnRequest()
		req.TransactionalID = s.txn
		req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: s.topic, Partitions: []int32{0}}}
		if version >= 4 {
			req.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{{TransactionalID: s.txn,
				Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: s.topic, Partitions: []int32{0}}}}}
		}
		return req
	}},
	25: {codes: []int16{49}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.Group = s.txn, s.group
		return req
	}},
	26: {codes: []int16{49}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID = s.txn
		return req
	}},
	28: {codes: []int16{49}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.TransactionalID, req.Group, req.ProducerID, req.Generation = s.txn, s.group, 1, -1
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: s.topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}}}
		return req
	}},
	29: {codes: []int16{54}, request: func(*sweep, int16) kmsg.Request {
		req := kmsg.NewPtrDescribeACLsRequest()
		req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = 1, 1, 1, 1
		return req
	}},
	30: {codes: []int16{54}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrCreateACLsRequest()
		acl := kmsg.NewCreateACLsRequestCreation()
		acl.ResourceType, acl.ResourceName, acl.ResourcePatternType = 2, s.topic, 3
		acl.Principal, acl.Host, acl.Operation, acl.PermissionType = "User:alice", "*", 3, 3
		req.Creations = append(req.Creations, acl)
		return req
	}},
	31: {codes: []int16{54}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrDeleteACLsRequest()
		filter := kmsg.NewDeleteACLsRequestFilter()
		filter.ResourceType, filter.ResourceName, filter.ResourcePatternType = 2, &s.topic, 3
		filter.Operation, filter.PermissionType = 1, 1
		req.Filters = append(req.Filters, filter)
		return req
	}},
	32: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: s.topic}}
		req.IncludeSynonyms, req.IncludeDocumentation = true, true
		return req
	}},
	33: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrAlterConfigsRequest()
		req.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: s.topic}}
		req.ValidateOnly = true
		return req
	}},
	35: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: s.topic, Partitions: []int32{0}}}
		return req
	}},
	37: {codes: []int16{37}, request: func(s *sweep, _ int16) kmsg.Request { // not more than there are
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis, req.ValidateOnly = 30_000, true
		req.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: s.topic, Count: 1}}
		return req
	}},
	42: {codes: []int16{69}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{unknownGroup(s.t)}
		return req
	}},
	43: {codes: []int16{84}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrElectLeadersRequest()
		req.TimeoutMillis = 30_000
		req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: s.topic, Partitions: []int32{0}}}
		return req
	}},
	44: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: s.topic,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: kmsg.StringPtr("1000000")}}}}
		req.ValidateOnly = true
		return req
	}},
	45: {codes: []int16{85}, request: func(s *sweep, _ int16) kmsg.Request { // cancels what does not run
		req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		req.TimeoutMillis = 30_000
		req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: s.topic, Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{}}}}
		return req
	}},
	46: {request: func(*sweep, int16) kmsg.Request {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.TimeoutMillis = 30_000
		return req
	}},
	47: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = s.group
		req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: s.topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
		return req
	}},
	48: {request: func(*sweep, int16) kmsg.Request { return kmsg.NewPtrDescribeClientQuotasRequest() }},
	49: {request: func(*sweep, int16) kmsg.Request {
		req := kmsg.NewPtrAlterClientQuotasRequest()
		entry := kmsg.NewAlterClientQuotasRequestEntry()
		entry.Entity = []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "client-id", Name: kmsg.StringPtr("interop-nobody")}}
		entry.Ops = []kmsg.AlterClientQuotasRequestEntryOp{{Key: "producer_byte_rate", Value: 1e9}}
		req.Entries, req.ValidateOnly = append(req.Entries, entry), true
		return req
	}},
	50: {codes: []int16{91}, request: func(*sweep, int16) kmsg.Request {
		req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		req.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: "nobody"}}
		return req
	}},
	55: {request: func(*sweep, int16) kmsg.Request {
		req := kmsg.NewPtrDescribeQuorumRequest()
		req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
		return req
	}},
	60: {request: func(*sweep, int16) kmsg.Request {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeClusterAuthorizedOperations, req.EndpointType = true, 1
		return req
	}},
	61: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrDescribeProducersRequest()
		req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: s.topic, Partitions: []int32{0}}}
		return req
	}},
	65: {codes: []int16{105}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrDescribeTransactionsRequest()
		req.TransactionalIDs = []string{s.txn}
		return req
	}},
	66: {request: func(*sweep, int16) kmsg.Request { return kmsg.NewPtrListTransactionsRequest() }},
	68: {codes: []int16{35, 69}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = unknownGroup(s.t), "q83vEjRWeJCrze8SNFZ4kA", 1
		return req
	}},
	69: {codes: []int16{69, 35}, request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups = []string{unknownGroup(s.t)}
		return req
	}},
	74: {request: func(*sweep, int16) kmsg.Request { return kmsg.NewPtrListConfigResourcesRequest() }},
	75: {request: func(s *sweep, _ int16) kmsg.Request {
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit = 100
		req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: s.topic}}
		return req
	}},
}

// unasked are APIs that TestEveryVersion leaves out: brokers speak them among themselves, they need
// what a plaintext broker does not have, they would change the cluster, or a later test of their own
// subject has them.
var unasked = []int16{
	17, 36, // SASL
	27,             // WriteTxnMarkers
	34,             // AlterReplicaLogDirs
	38, 39, 40, 41, // delegation tokens
	51, 57, // SCRAM credentials, features
	64, 80, 81, 94, // brokers, voters and controllers
	71, 72, // client telemetry
	76, 77, 78, 79, 90, 91, 92, // share groups
	83, 84, 85, 86, 87, // share state
	88, 89, 93, // streams groups
}

// TestEveryVersion sends one plausible request for every version of every API that the broker
// advertises. The response has to decode, to encode to the same bytes, and to hold no error code but
// those expected. An advertised API without a request here fails the test.
func TestEveryVersion(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	s := &sweep{t: t, topic: newTopic(t, 1), group: uniqueName(t), txn: uniqueName(t)}
	s.id = topicID(t, conn, s.topic)
	mustProduce(t, conn, s.topic, 0, wire.NewBatch(time.Now().UnixMilli(), []byte("v")))
	coordinatorConn(t, suite.endpoint, s.group)
	newProducerID(t, conn) // waits for a first block of ids
	if served(t, 24) {     // makes the transactions' topic where there is one
		eventually(t, "transaction coordinator", func() error {
			req := at(kmsg.NewPtrFindCoordinatorRequest(), 3)
			req.CoordinatorKey, req.CoordinatorType = s.txn, 1
			if code := ask[*kmsg.FindCoordinatorResponse](t, conn, req).ErrorCode; code != 0 {
				return fmt.Errorf("code %d", code)
			}
			return nil
		})
	}
	keys, err := advertised()
	if err != nil {
		t.Fatal(err)
	}
	for key := range int16(kmsg.MaxKey + 1) {
		if _, ok := keys[key]; !ok || slices.Contains(unasked, key) {
			continue
		}
		t.Run(kmsg.NameForKey(key), func(t *testing.T) {
			p, ok := plausible[key]
			if !ok {
				t.Fatal("advertised, but this test has no request for it")
			}
			versions := servedRange(t, key)
			if key == 0 {
				versions.MinVersion = 3 // advertised from 0 for librdkafka, served from 3
			}
			conn := newConn(t)
			for version := versions.MinVersion; version <= versions.MaxVersion; version++ {
				s.commit(conn) // OffsetDelete took it away
				resp, err := conn.Do(at(p.request(s, version), version))
				if err != nil {
					t.Errorf("v%d: %v", version, err)
					conn = newConn(t)
					continue
				}
				for _, code := range errorCodes(resp) {
					if !slices.Contains(p.codes, code) {
						t.Errorf("v%d: error code %d, allowed are %v", version, code, p.codes)
					}
				}
			}
		})
	}
}

// commit stores an offset for the sweep's group.
func (s *sweep) commit(conn *wire.Conn) {
	req := at(plausible[8].request(s, 7), 7)
	for _, code := range errorCodes(ask[*kmsg.OffsetCommitResponse](s.t, conn, req)) {
		wantCode(s.t, "commit", code, 0)
	}
}

// errorCodes collects the non-zero ErrorCode fields of a response, at any depth.
func errorCodes(resp kmsg.Response) []int16 {
	var codes []int16
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				field := v.Type().Field(i)
				if field.Name == "ErrorCode" && v.Field(i).Int() != 0 {
					codes = append(codes, int16(v.Field(i).Int()))
				} else if field.IsExported() && field.Name != "UnknownTags" {
					walk(v.Field(i))
				}
			}
		}
	}
	walk(reflect.ValueOf(resp))
	return codes
}
