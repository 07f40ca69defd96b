package cluster

import (
	"strings"

	"kserver/cluster/configs"
	"kserver/cluster/controller"
	"kserver/protocol"
)

// settingRules lets the controller ask what may be set. It implements
// controller.SettingRules.
type settingRules struct{ live *configs.Live }

// ListDefault implements controller.SettingRules.
func (r settingRules) ListDefault(t controller.ResourceType, key string, op controller.ConfigOp) (string, error) {
	switch t {
	case controller.ResourceBroker:
		return configs.BrokerListDefault(key, strings.ToLower(op.String()))
	case controller.ResourceTopic:
		if items, ok := configs.TopicListDefault(key); ok {
			return items, nil
		}
	}
	return "", protocol.Errorf(protocol.InvalidConfig, "Can't %s to key %s because its type is not LIST.", op, key)
}

// Check implements controller.SettingRules.
func (r settingRules) Check(image *controller.MetadataImage, resource controller.ConfigResource, after map[string]string) error {
	switch resource.Type {
	case controller.ResourceTopic:
		return checkTopicSettings(image, resource.Name, after)
	case controller.ResourceBroker:
		before := image.Configs(resource)
		shared := image.Configs(brokerResource(""))
		if resource.Name == "" {
			return r.live.CheckDynamic(false, before, after, nil)
		}
		return r.live.CheckDynamic(true, before, shared, after)
	case controller.ResourceClientMetrics:
		return configs.ValidateClientMetrics(resource.Name, after)
	case controller.ResourceGroup:
		if resource.Name == "" {
			return protocol.Errorf(protocol.InvalidRequest, "Default group resources are not allowed.")
		}
		return configs.ValidateGroup(r.live.Current(), after)
	}
	return protocol.Errorf(protocol.InvalidRequest, "Unknown resource type %d", resource.Type)
}

// checkTopicSettings checks as Kafka's controller does: the name, the settings,
// and only then whether there is such a topic.
func checkTopicSettings(image *controller.MetadataImage, name string, after map[string]string) error {
	if name == "" {
		return protocol.Errorf(protocol.InvalidRequest, "Default topic resources are not allowed.")
	}
	if err := protocol.ValidateTopicName(name); err != nil {
		return err
	}
	if err := configs.ValidateTopic(after); err != nil {
		return err
	}
	if _, ok := image.Topic(name); !ok {
		return protocol.Errorf(protocol.UnknownTopicOrPartition, "The topic '%s' does not exist.", name)
	}
	return nil
}
