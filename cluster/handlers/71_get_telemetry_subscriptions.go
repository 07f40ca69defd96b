package handlers

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/telemetry"
	"kserver/protocol"
)

// GetTelemetrySubscriptions (key 71), version 0.
//
// A client asks what metrics to push, and how often (KIP-714); the first time it
// gets its instance id. A client that no subscription is for gets none, and asks
// again in five minutes. Asking again before the push interval is over is
// answered with THROTTLING_QUOTA_EXCEEDED, without a delay.
func handle71GetTelemetrySubscriptions(b *Broker, r *Request) {
	var req kmsg.GetTelemetrySubscriptionsRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrGetTelemetrySubscriptionsResponse()
	a, code := b.Telemetry.Get(r.telemetryClient(), r.Client, req.ClientInstanceID)
	if resp.ErrorCode = int16(code); code == protocol.None {
		resp.ClientInstanceID, resp.SubscriptionID = a.InstanceID, a.SubscriptionID
		resp.AcceptedCompressionTypes = telemetry.CompressionTypes
		resp.PushIntervalMillis = int32(a.Interval.Milliseconds())
		resp.TelemetryMaxBytes = int32(a.MaxBytes)
		resp.DeltaTemporality = true
		resp.RequestedMetrics = a.Metrics
	}
	r.Reply(resp)
}

// telemetryClient is what is known of who sent the request, whose connection is
// one that telemetry has to know the end of.
func (r *Request) telemetryClient() *telemetry.Client {
	c := r.Client
	c.Telemetry.Store(true)
	return &telemetry.Client{
		ClientID: r.ClientIDString(), SoftwareName: c.SoftwareName, SoftwareVersion: c.SoftwareVersion,
		Address: c.Addr.Addr().Unmap().String(), Port: strconv.Itoa(int(c.Addr.Port())),
	}
}
