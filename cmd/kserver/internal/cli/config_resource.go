package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// resource is something that has settings.
type resource struct {
	kind kmsg.ConfigResourceType
	// name is empty for the defaults of all brokers.
	name string
}

// resourceKinds are the names of the kinds on the command line.
var resourceKinds = []struct {
	name string
	kind kmsg.ConfigResourceType
}{
	{"topic", kmsg.ConfigResourceTypeTopic},
	{"broker", kmsg.ConfigResourceTypeBroker},
	{"group", kmsg.ConfigResourceTypeGroupConfig},
	{"client-metrics", kmsg.ConfigResourceTypeClientMetrics},
}

// parseResource makes a resource out of the words of the command line. The broker named "default" stands for the
// defaults of all brokers.
func parseResource(kind, name string) (resource, error) {
	for _, k := range resourceKinds {
		if k.name != strings.TrimSuffix(kind, "s") && k.name != kind {
			continue
		}
		if k.kind == kmsg.ConfigResourceTypeBroker {
			if name == "default" {
				return resource{kind: k.kind}, nil
			}
			if _, err := strconv.ParseInt(name, 10, 32); err != nil {
				return resource{}, usagef("broker %s: give the number of a broker, or default for the defaults of all", name)
			}
		}
		if name == "" {
			return resource{}, usagef("the name of the %s is empty", k.name)
		}
		return resource{k.kind, name}, nil
	}
	return resource{}, usagef("nothing of the kind %s has settings; give topic, broker, group or client-metrics", kind)
}

func (r resource) String() string {
	if r.kind == kmsg.ConfigResourceTypeBroker && r.name == "" {
		return "the defaults of all brokers"
	}
	for _, k := range resourceKinds {
		if k.kind == r.kind {
			return k.name + " " + r.name
		}
	}
	return r.name
}

// configEntry is one setting as the broker describes it.
type configEntry struct {
	Name string `json:"name"`
	// Value is null for one the broker does not show, such as a password.
	Value     *string `json:"value"`
	Source    string  `json:"source"`
	ReadOnly  bool    `json:"read_only"`
	Sensitive bool    `json:"sensitive"`
	source    kmsg.ConfigSource
}

// own reports whether a setting was made for the resource itself, instead of one above it or nowhere. A broker's
// properties file counts.
func (e configEntry) own(kind kmsg.ConfigResourceType) bool {
	switch e.source {
	case kmsg.ConfigSourceDynamicTopicConfig, kmsg.ConfigSourceGroupConfig, kmsg.ConfigSourceClientMetricsConfig:
		return true
	case kmsg.ConfigSourceDynamicBrokerConfig, kmsg.ConfigSourceDynamicDefaultBrokerConfig, kmsg.ConfigSourceStaticBrokerConfig:
		return kind == kmsg.ConfigResourceTypeBroker
	}
	return false
}

// sourceNames say where a value comes from.
var sourceNames = map[kmsg.ConfigSource]string{
	kmsg.ConfigSourceDynamicTopicConfig:         "topic",
	kmsg.ConfigSourceDynamicBrokerConfig:        "broker",
	kmsg.ConfigSourceDynamicDefaultBrokerConfig: "all brokers",
	kmsg.ConfigSourceStaticBrokerConfig:         "broker's file",
	kmsg.ConfigSourceDefaultConfig:              "default",
	kmsg.ConfigSourceGroupConfig:                "group",
	kmsg.ConfigSourceClientMetricsConfig:        "client metrics",
}

// shownValue prints a value; what the broker hides is ***.
func shownValue(value *string) string {
	if value == nil {
		return "***"
	}
	return *value
}

// checkBroker fails when r is a broker that the cluster does not have: the client would ask nobody.
func (s *session) checkBroker(ctx context.Context, r resource) error {
	if r.kind != kmsg.ConfigResourceTypeBroker || r.name == "" {
		return nil
	}
	brokers, err := s.adm.ListBrokers(ctx)
	if err != nil {
		return err
	}
	for _, id := range brokers.NodeIDs() {
		if strconv.Itoa(int(id)) == r.name {
			return nil
		}
	}
	return failf(ExitNotFound, "there is no broker %s; the cluster has %s", r.name, ids(brokers.NodeIDs()))
}

// describeConfig returns the settings of a resource, sorted by name.
func (s *session) describeConfig(ctx context.Context, r resource) ([]configEntry, error) {
	if err := s.need(ctx, "reading settings", kmsg.DescribeConfigs); err != nil {
		return nil, err
	}
	if err := s.checkBroker(ctx, r); err != nil {
		return nil, err
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = r.kind, r.name
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(ctx, s.cl)
	if err != nil {
		return nil, err
	}
	if len(resp.Resources) != 1 {
		return nil, failf(ExitFailed, "the broker described %d resources instead of %s", len(resp.Resources), r)
	}
	answer := resp.Resources[0]
	if err := resourceError(r, answer.ErrorCode, answer.ErrorMessage); err != nil {
		return nil, err
	}
	entries := make([]configEntry, 0, len(answer.Configs))
	for _, c := range answer.Configs {
		e := configEntry{Name: c.Name, Value: c.Value, ReadOnly: c.ReadOnly, Sensitive: c.IsSensitive, source: c.Source}
		if e.Source = sourceNames[c.Source]; e.Source == "" {
			e.Source = fmt.Sprintf("source %d", c.Source)
		}
		if c.IsSensitive {
			e.Value = nil
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b configEntry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

func resourceError(r resource, code int16, message *string) error {
	if r.kind == kmsg.ConfigResourceTypeTopic {
		return topicError(r.name, kerr.ErrorForCode(code), deref(message))
	}
	return brokerError(r.String(), code, message)
}

// configChange is what to do to the settings of a resource.
type configChange struct {
	set    []string
	values map[string]string
	unset  []string
}

// newConfigChange reads what a command line wants changed; from names where set stands on it.
func newConfigChange(from string, set, unset []string) (configChange, error) {
	keys, values, err := keyValues(from, set)
	if err != nil {
		return configChange{}, err
	}
	for i, key := range unset {
		if _, both := values[key]; both || slices.Contains(unset[:i], key) {
			return configChange{}, usagef("%s is to be changed twice", key)
		}
	}
	return configChange{set: keys, values: values, unset: unset}, nil
}

func (c configChange) empty() bool { return len(c.set) == 0 && len(c.unset) == 0 }

// alterConfig changes the settings of a resource, all of them or none; a dry run only lets the broker check.
func (s *session) alterConfig(ctx context.Context, r resource, change configChange, dryRun bool) error {
	if err := s.need(ctx, "changing settings", kmsg.IncrementalAlterConfigs); err != nil {
		return err
	}
	if err := s.checkBroker(ctx, r); err != nil {
		return err
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = dryRun
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = r.kind, r.name
	for _, key := range change.set {
		value := change.values[key]
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = key, kmsg.IncrementalAlterConfigOpSet, &value
		res.Configs = append(res.Configs, c)
	}
	for _, key := range change.unset {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op = key, kmsg.IncrementalAlterConfigOpDelete
		res.Configs = append(res.Configs, c)
	}
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(ctx, s.cl)
	if err != nil {
		return err
	}
	if len(resp.Resources) != 1 {
		return failf(ExitFailed, "the broker answered for %d resources instead of %s", len(resp.Resources), r)
	}
	return resourceError(r, resp.Resources[0].ErrorCode, resp.Resources[0].ErrorMessage)
}
