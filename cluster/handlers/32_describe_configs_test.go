package handlers

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
)

func describeConfigs(t *testing.T, b *Broker, version int16, kind kmsg.ConfigResourceType, name string, change func(*kmsg.DescribeConfigsRequest), keys ...string) kmsg.DescribeConfigsResponseResource {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: keys}}
	if change != nil {
		change(req)
	}
	resp := ask[*kmsg.DescribeConfigsResponse](t, b, req, version)
	if len(resp.Resources) != 1 || resp.Resources[0].ResourceType != kind || resp.Resources[0].ResourceName != name {
		t.Fatalf("%+v", resp.Resources)
	}
	return resp.Resources[0]
}

// TestDescribeConfigsErrors asks for what is not there. Codes and messages are
// those of Kafka 4.3.1.
func TestDescribeConfigsErrors(t *testing.T) {
	b := newAdminBroker(t, nil)
	const malformed = "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."
	for _, test := range []struct {
		kind kmsg.ConfigResourceType
		name string
		want string
	}{
		{2, "none", "3 "},
		{2, "x y", "17 Topic name is invalid: 'x y' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{2, "", "17 Topic name is invalid: the empty string is not allowed"},
		{4, "2", "42 Unexpected broker id, expected 1 or empty string, but received 2"},
		{4, "abc", "42 Broker id must be an integer, but it is: abc"},
		{4, "", "0 "},
		{8, "", "42 Broker id must not be empty"},
		{8, "7", "42 Unexpected broker id, expected 1 but received 7"},
		{8, "1", "0 "},
		{16, "", "42 Client metrics subscription name must not be empty"},
		{32, "", "42 Group name must not be empty"},
		{0, "x", "42 " + malformed},
		{33, "x", "42 " + malformed},
	} {
		for version := int16(1); version <= 4; version++ {
			r := describeConfigs(t, b, version, test.kind, test.name, nil)
			if got := fmt.Sprint(r.ErrorCode, " ", message(r.ErrorMessage)); got != test.want || len(r.Configs) != 0 {
				t.Errorf("%d %q: %s, %d entries", test.kind, test.name, got, len(r.Configs))
			}
		}
	}
}

func TestDescribeConfigsOfTopic(t *testing.T) {
	b := newAdminBroker(t, nil)
	makeTopic(t, b, "a", 1, "retention.ms", "60000", "cleanup.policy", "compact")
	for version := int16(1); version <= 4; version++ {
		r := describeConfigs(t, b, version, 2, "a", nil, "segment.bytes", "retention.ms", "none")
		if len(r.Configs) != 2 || r.Configs[0].Name != "retention.ms" || *r.Configs[0].Value != "60000" || r.Configs[0].Source != 1 ||
			r.Configs[1].Name != "segment.bytes" || *r.Configs[1].Value != "1073741824" || r.Configs[1].Source != 5 {
			t.Errorf("v%d: %+v", version, r.Configs)
		}
		if c := r.Configs[0]; version >= 3 && c.ConfigType != kmsg.ConfigTypeLong || c.ReadOnly || c.IsSensitive || c.ConfigSynonyms != nil || c.Documentation != nil {
			t.Errorf("v%d: %+v", version, c)
		}
	}
	all := describeConfigs(t, b, 4, 2, "a", nil)
	if len(all.Configs) < 25 || !slices.IsSortedFunc(all.Configs, func(x, y kmsg.DescribeConfigsResponseResourceConfig) int {
		if x.Name < y.Name {
			return -1
		}
		return 1
	}) {
		t.Errorf("all: %d entries", len(all.Configs))
	}
	if empty := describeConfigs(t, b, 4, 2, "a", func(r *kmsg.DescribeConfigsRequest) { r.Resources[0].ConfigNames = []string{} }); len(empty.Configs) != len(all.Configs) {
		t.Errorf("an empty list of keys gives %d of %d", len(empty.Configs), len(all.Configs))
	}
	full := describeConfigs(t, b, 4, 2, "a", func(r *kmsg.DescribeConfigsRequest) { r.IncludeSynonyms, r.IncludeDocumentation = true, true }, "cleanup.policy")
	c := full.Configs[0]
	if len(c.ConfigSynonyms) != 2 || c.ConfigSynonyms[0].Source != 1 || c.ConfigSynonyms[1].Name != "log.cleanup.policy" || *c.ConfigSynonyms[1].Value != "delete" {
		t.Errorf("synonyms %+v", c.ConfigSynonyms)
	}
	if c.Documentation == nil || *c.Documentation == "" || c.ConfigType != kmsg.ConfigTypeList {
		t.Errorf("%+v", c)
	}
}

func TestDescribeConfigsOfBrokerAndGroup(t *testing.T) {
	b := newAdminBroker(t, nil,
		&controller.ConfigRecord{Resource: controller.ConfigResource{Type: controller.ResourceBroker}, Name: "min.insync.replicas", Value: str("1")},
		&controller.ConfigRecord{Resource: controller.ConfigResource{Type: controller.ResourceBroker}, Name: "not.a.key", Value: str("1")},
		&controller.ConfigRecord{Resource: controller.ConfigResource{Type: controller.ResourceGroup, Name: "g"}, Name: "consumer.session.timeout.ms", Value: str("50000")},
	)
	r := describeConfigs(t, b, 4, 4, "1", nil, "num.partitions", "auto.create.topics.enable")
	if len(r.Configs) != 2 || *r.Configs[1].Value != "4" || r.Configs[1].Source != 4 || !r.Configs[1].ReadOnly || r.Configs[0].Source != 5 {
		t.Errorf("broker: %+v", r.Configs)
	}
	r = describeConfigs(t, b, 4, 4, "", func(r *kmsg.DescribeConfigsRequest) { r.IncludeSynonyms = true })
	if len(r.Configs) != 1 || r.Configs[0].Name != "min.insync.replicas" || r.Configs[0].Source != 3 || len(r.Configs[0].ConfigSynonyms) != 1 {
		t.Errorf("defaults of brokers: %+v", r.Configs)
	}
	r = describeConfigs(t, b, 4, 32, "g", nil, "consumer.session.timeout.ms")
	if len(r.Configs) != 1 || *r.Configs[0].Value != "50000" || r.Configs[0].Source != 8 {
		t.Errorf("group: %+v", r.Configs)
	}
}
