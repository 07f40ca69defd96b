package handlers

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// ListConfigResources (key 74), versions 0-1.
//
// The groups and client metrics subscriptions that have settings, the brokers, and
// the topics. v0 is the former ListClientMetricsResources: those alone · v1 the
// types asked for, all for none (KIP-1142); an unknown one is UNSUPPORTED_VERSION.
func handle74ListConfigResources(b *Broker, r *Request) {
	var req kmsg.ListConfigResourcesRequest
	if !r.Decode(&req) {
		return
	}
	supported := []controller.ResourceType{
		controller.ResourceGroup, controller.ResourceClientMetrics, controller.ResourceBrokerLogger, controller.ResourceBroker, controller.ResourceTopic,
	}
	if r.Version == 0 {
		supported = []controller.ResourceType{controller.ResourceClientMetrics}
	}
	resp := kmsg.NewPtrListConfigResourcesResponse()
	for _, t := range req.ResourceTypes {
		if !slices.Contains(supported, controller.ResourceType(t)) {
			resp.ErrorCode = int16(protocol.UnsupportedVersion)
			r.Reply(resp)
			return
		}
	}
	image := b.Controller.Image()
	for _, t := range supported {
		if len(req.ResourceTypes) > 0 && !slices.Contains(req.ResourceTypes, int8(t)) {
			continue
		}
		for _, name := range resourceNames(image, t, r.Client.Listener) {
			resp.ConfigResources = append(resp.ConfigResources, kmsg.ListConfigResourcesResponseConfigResource{Name: name, Type: int8(t)})
		}
	}
	r.Reply(resp)
}

// resourceNames lists the resources of a type, brokers as one listener shows them.
func resourceNames(image *controller.MetadataImage, t controller.ResourceType, listener string) (names []string) {
	switch t {
	case controller.ResourceTopic:
		for topic := range image.Topics() {
			names = append(names, topic.Name)
		}
	case controller.ResourceBroker, controller.ResourceBrokerLogger:
		for _, n := range aliveBrokers(image, listener) {
			names = append(names, strconv.Itoa(int(n.ID)))
		}
	default:
		names = image.ConfigResources(t)
	}
	return names
}
