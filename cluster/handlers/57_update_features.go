package handlers

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// UpdateFeatures (key 57), versions 0-2 (KIP-584).
//
// Finalizes features at other levels, all of a request or none, within what this
// release supports; see ApiVersions.
// v1 upgrade type instead of allow_downgrade, validate_only · v2 no results per
// feature.
func handle57UpdateFeatures(b *Broker, r *Request) {
	var req kmsg.UpdateFeaturesRequest
	if !r.Decode(&req) {
		return
	}
	updates := make([]controller.FeatureUpdate, len(req.FeatureUpdates))
	for i := range req.FeatureUpdates {
		u := &req.FeatureUpdates[i]
		updates[i] = controller.FeatureUpdate{Name: strings.Clone(u.Feature), Level: u.MaxVersionLevel, Type: controller.UpgradeType(u.UpgradeType)}
		if r.Version == 0 {
			updates[i].Type = controller.Upgrade
			if u.AllowDowngrade {
				updates[i].Type = controller.SafeDowngrade
			}
		}
	}
	ctx, cancel := deadline(int32(alterTimeout.Milliseconds()))
	defer cancel()
	resp := kmsg.NewPtrUpdateFeaturesResponse()
	err := b.Controller.UpdateFeatures(ctx, updates, req.ValidateOnly)
	switch {
	case err == nil:
		success := protocol.None.String() // what Kafka says here
		for _, u := range updates {
			resp.Results = append(resp.Results, kmsg.UpdateFeaturesResponseResult{Feature: u.Name, ErrorMessage: &success})
		}
	case err.Code == protocol.InvalidUpdateVersion:
		err = protocol.Errorf(err.Code, "The update failed for all features since the following feature had an error: %s", err.Message)
		fallthrough
	default:
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
	}
	r.Reply(resp)
}
