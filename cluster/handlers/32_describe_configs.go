package handlers

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/configs"
	"kserver/cluster/controller"
	"kserver/protocol"
)

// DescribeConfigs (key 32), versions 1-4.
//
// The effective settings of topics, of this broker, of the default of all brokers
// (name ""), of groups and of client metrics subscriptions, by name; all of them,
// or those asked for that there are. There are no loggers here.
// v1 source and synonyms (KIP-226) · v3 type and documentation (KIP-569) · v4
// flexible.
func handle32DescribeConfigs(b *Broker, r *Request) {
	var req kmsg.DescribeConfigsRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for i := range req.Resources {
		rr := &req.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = rr.ResourceType, rr.ResourceName
		entries, err := describeResource(b, rr)
		out.ErrorMessage = new(string) // Kafka's answer to a success is empty, not null
		if err != nil {
			out.ErrorCode, out.ErrorMessage = int16(err.Code), &err.Message
		}
		for i := range entries {
			e := &entries[i]
			if len(rr.ConfigNames) > 0 && !slices.Contains(rr.ConfigNames, e.Name) {
				continue
			}
			out.Configs = append(out.Configs, describedConfig(e, &req))
		}
		resp.Resources = append(resp.Resources, out)
	}
	r.Reply(resp)
}

// describeResource returns the settings of one resource.
func describeResource(b *Broker, rr *kmsg.DescribeConfigsRequestResource) ([]configs.Entry, *protocol.Error) {
	image := b.Controller.Image()
	switch controller.ResourceType(rr.ResourceType) {
	case controller.ResourceTopic:
		return describeTopicConfigs(b, image, rr.ResourceName)
	case controller.ResourceBroker:
		if rr.ResourceName == "" {
			return configs.DescribeBrokerDefaults(b.Live.Current()), nil
		}
		if err := checkBrokerName(rr.ResourceName, b.NodeID, "expected %d or empty string, but received %s"); err != nil {
			return nil, err
		}
		return configs.DescribeBroker(b.Live.Current()), nil
	case controller.ResourceBrokerLogger:
		if rr.ResourceName == "" {
			return nil, protocol.Errorf(protocol.InvalidRequest, "Broker id must not be empty")
		}
		return nil, checkBrokerName(rr.ResourceName, b.NodeID, "expected %d but received %s")
	case controller.ResourceClientMetrics:
		if rr.ResourceName == "" {
			return nil, protocol.Errorf(protocol.InvalidRequest, "Client metrics subscription name must not be empty")
		}
		overrides := image.Configs(controller.ConfigResource{Type: controller.ResourceClientMetrics, Name: rr.ResourceName})
		return configs.DescribeClientMetrics(overrides), nil
	case controller.ResourceGroup:
		if rr.ResourceName == "" {
			return nil, protocol.Errorf(protocol.InvalidRequest, "Group name must not be empty")
		}
		overrides := image.Configs(controller.ConfigResource{Type: controller.ResourceGroup, Name: rr.ResourceName})
		return configs.DescribeGroup(b.Live.Current(), overrides), nil
	}
	return nil, &protocol.Error{Code: protocol.InvalidRequest, Message: protocol.InvalidRequest.Message()}
}

func describeTopicConfigs(b *Broker, image *controller.MetadataImage, name string) ([]configs.Entry, *protocol.Error) {
	if err := protocol.ValidateTopicName(name); err != nil {
		return nil, &protocol.Error{Code: protocol.CodeOf(err), Message: *protocol.MessageOf(err)}
	}
	t, ok := image.Topic(name)
	if !ok {
		return nil, &protocol.Error{Code: protocol.UnknownTopicOrPartition}
	}
	return configs.DescribeTopic(b.Live.Current(), t.Configs), nil
}

// checkBrokerName checks that a resource names this broker.
func checkBrokerName(name string, nodeID int32, unexpected string) *protocol.Error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return protocol.Errorf(protocol.InvalidRequest, "Broker id must be an integer, but it is: %s", name)
	}
	if int32(id) != nodeID {
		return protocol.Errorf(protocol.InvalidRequest, "Unexpected broker id, "+unexpected, nodeID, name)
	}
	return nil
}

// describedConfig lays out one setting.
func describedConfig(e *configs.Entry, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value, out.ReadOnly, out.IsSensitive = e.Name, e.Value, e.ReadOnly, e.Sensitive
	out.Source, out.ConfigType = kmsg.ConfigSource(e.Source), kmsg.ConfigType(e.Type)
	if req.IncludeSynonyms {
		for _, s := range e.Synonyms {
			out.ConfigSynonyms = append(out.ConfigSynonyms, kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{
				Name: s.Name, Value: s.Value, Source: kmsg.ConfigSource(s.Source),
			})
		}
	}
	if req.IncludeDocumentation {
		out.Documentation = &e.Doc
	}
	return out
}
