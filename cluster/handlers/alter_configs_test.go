package handlers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
)

func incremental(t *testing.T, b *Broker, version int16, resources ...kmsg.IncrementalAlterConfigsRequestResource) []string {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = resources
	var out []string
	for _, r := range ask[*kmsg.IncrementalAlterConfigsResponse](t, b, req, version).Resources {
		out = append(out, fmt.Sprint(r.ResourceType, " ", r.ResourceName, ": ", r.ErrorCode, " ", message(r.ErrorMessage)))
	}
	return out
}

// altered is one resource; each change is "key op value", without value for null.
func altered(kind kmsg.ConfigResourceType, name string, changes ...string) kmsg.IncrementalAlterConfigsRequestResource {
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, c := range changes {
		f := strings.Fields(c)
		rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		rc.Name, rc.Op = f[0], kmsg.IncrementalAlterConfigOp(f[1][0]-'0')
		if len(f) > 2 {
			rc.Value = &f[2]
		}
		r.Configs = append(r.Configs, rc)
	}
	return r
}

// TestIncrementalAlterConfigsChecks has what is refused before the settings are
// looked at. Codes and messages are those of Kafka 4.3.1, but for the unknown
// operation on a topic, UNKNOWN_SERVER_ERROR there.
func TestIncrementalAlterConfigsChecks(t *testing.T) {
	b := newAdminBroker(t, nil)
	makeTopic(t, b, "t", 1)
	for _, test := range []struct {
		resource kmsg.IncrementalAlterConfigsRequestResource
		want     string
	}{
		{altered(2, "t", "retention.ms 0 5"), "0 null"},
		{altered(2, "t", "a 0"), "42 Null value not supported for : a"},
		{altered(2, "t", "a 2", "b 0 1", "c 0"), "42 Null value not supported for : a, c"},
		{altered(2, "t", "a 0 1", "a 1"), "42 Error due to duplicate config keys"},
		{altered(2, "t", "a 9 1"), "42 Unknown operations type 9"},
		{altered(3, "x", "a 0 1"), "42 Unknown resource type 3"},
		{altered(0, "x"), "42 Unknown resource type 0"},
		{altered(4, "1", "log.retention.ms 0 5"), "0 null"},
		{altered(4, "", "log.retention.ms 0 5"), "0 null"},
		{altered(4, "2"), "42 Unexpected broker id, expected 1, but received 2"},
		{altered(4, "-1"), "42 Unexpected broker id, expected 1, but received -1"},
		{altered(4, "x"), "42 Node id must be an integer, but it is: x"},
		{altered(8, "1"), "0 null"},
		{altered(8, "1", "foo 0 DEBUG"), "40 Logger foo does not exist!"},
		{altered(8, "1", "foo 1"), "40 Logger foo does not exist!"},
		{altered(8, "1", "foo 2 DEBUG"), "42 APPEND operation is not allowed for the BROKER_LOGGER resource"},
		{altered(8, "1", "foo 3 DEBUG"), "42 SUBTRACT operation is not allowed for the BROKER_LOGGER resource"},
		{altered(8, "1", "root 1"), "42 Removing the log level of the root logger is not allowed"},
		{altered(8, ""), "42 Node id must be an integer, but it is: "},
		{altered(8, "2"), "42 Unexpected node id. Expected 1, but received 2"},
		{altered(16, "m", "interval.ms 0 1000"), "0 null"},
		{altered(32, "g", "consumer.session.timeout.ms 0 50000"), "0 null"},
	} {
		for version := int16(0); version <= 1; version++ {
			want := fmt.Sprint(test.resource.ResourceType, " ", test.resource.ResourceName, ": ", test.want)
			if got := incremental(t, b, version, test.resource); len(got) != 1 || got[0] != want {
				t.Errorf("v%d %q, want %q", version, got, want)
			}
		}
	}
	twice := incremental(t, b, 1, altered(2, "t"), altered(2, "t"), altered(32, "t", "share.auto.offset.reset 0 earliest"))
	if len(twice) != 3 || !strings.HasSuffix(twice[0], "42 Each resource must appear at most once.") || twice[0] != twice[1] || !strings.HasSuffix(twice[2], ": 0 null") {
		t.Errorf("%q", twice)
	}
	if got := b.Controller.Image().Configs(controller.ConfigResource{Type: controller.ResourceTopic, Name: "t"}); len(got) != 1 || got["retention.ms"] != "5" {
		t.Errorf("settings of t: %v", got)
	}
}

func TestIncrementalAlterConfigsValidateOnly(t *testing.T) {
	b := newAdminBroker(t, nil)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = true
	req.Resources = append(req.Resources, altered(32, "g", "a 0 1"))
	if r := ask[*kmsg.IncrementalAlterConfigsResponse](t, b, req, 1); r.Resources[0].ErrorCode != 0 {
		t.Errorf("%+v", r)
	}
	if names := b.Controller.Image().ConfigResources(controller.ResourceGroup); len(names) != 0 {
		t.Errorf("changed %q", names)
	}
}

// AlterConfigs takes back what it does not name, and knows no loggers.
func TestAlterConfigs(t *testing.T) {
	b := newAdminBroker(t, nil)
	makeTopic(t, b, "t", 1, "retention.ms", "5", "segment.ms", "6")
	for version := int16(0); version <= 2; version++ {
		req := kmsg.NewPtrAlterConfigsRequest()
		value := fmt.Sprint(version)
		for _, kind := range []kmsg.ConfigResourceType{2, 8} {
			r := kmsg.NewAlterConfigsRequestResource()
			r.ResourceType, r.ResourceName = kind, "t"
			r.Configs = []kmsg.AlterConfigsRequestResourceConfig{{Name: "segment.ms", Value: &value}}
			req.Resources = append(req.Resources, r)
		}
		null := kmsg.NewAlterConfigsRequestResource()
		null.ResourceType, null.ResourceName = 32, "g"
		null.Configs = []kmsg.AlterConfigsRequestResourceConfig{{Name: "a"}}
		req.Resources = append(req.Resources, null)
		resp := ask[*kmsg.AlterConfigsResponse](t, b, req, version)
		for i, want := range []string{"0 null", "42 Unknown resource type 8", "42 Null value not supported for : a"} {
			if got := fmt.Sprint(resp.Resources[i].ErrorCode, " ", message(resp.Resources[i].ErrorMessage)); got != want {
				t.Errorf("v%d: %s, want %s", version, got, want)
			}
		}
		topic, _ := b.Controller.Image().Topic("t")
		if len(topic.Configs) != 1 || topic.Configs["segment.ms"] != value {
			t.Errorf("v%d: settings %v", version, topic.Configs)
		}
	}
}

func TestListConfigResources(t *testing.T) {
	b := newAdminBroker(t, nil)
	makeTopic(t, b, "t", 1)
	incremental(t, b, 1, altered(16, "m", "interval.ms 0 1000"), altered(32, "g", "a 0 1"), altered(32, "f", "a 0 1"))
	for _, test := range []struct {
		version int16
		types   []int8
		want    string
	}{
		{0, nil, "0 [16 m]"},
		{1, nil, "0 [32 f 32 g 16 m 8 1 4 1 2 t]"},
		{1, []int8{2, 32}, "0 [32 f 32 g 2 t]"},
		{1, []int8{4}, "0 [4 1]"},
		{1, []int8{2, 3}, "35 []"},
	} {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.ResourceTypes = test.types
		resp := ask[*kmsg.ListConfigResourcesResponse](t, b, req, test.version)
		got := []string{}
		for _, r := range resp.ConfigResources {
			got = append(got, fmt.Sprint(r.Type, " ", r.Name))
		}
		if got := fmt.Sprint(resp.ErrorCode, " ", got); got != test.want {
			t.Errorf("v%d %v: %s", test.version, test.types, got)
		}
	}
	// Taken back, a group is listed no more.
	incremental(t, b, 1, altered(32, "g", "a 1"))
	if names := b.Controller.Image().ConfigResources(controller.ResourceGroup); fmt.Sprint(names) != "[f]" {
		t.Errorf("groups %q", names)
	}
}

func TestDescribeClientMetricsConfigs(t *testing.T) {
	b := newAdminBroker(t, nil)
	incremental(t, b, 1, altered(16, "m", "interval.ms 0 1000"))
	r := describeConfigs(t, b, 4, 16, "m", nil)
	if len(r.Configs) != 3 || r.Configs[0].Name != "interval.ms" || *r.Configs[0].Value != "1000" || r.Configs[0].Source != 7 || r.Configs[1].Source != 5 {
		t.Errorf("%+v", r.Configs)
	}
}
