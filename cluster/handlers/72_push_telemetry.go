package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/telemetry"
)

// PushTelemetry (key 72), version 0.
//
// A client pushes the metrics its subscription asks for (KIP-714), and may say
// that these are its last. In this order: no id, or one of Kafka's own, and any
// push after the last are INVALID_REQUEST; one too early is
// THROTTLING_QUOTA_EXCEEDED; one for another subscription than the client's is
// UNKNOWN_SUBSCRIPTION_ID; then UNSUPPORTED_COMPRESSION_TYPE, TELEMETRY_TOO_LARGE,
// and INVALID_RECORD for what cannot be decompressed or is no OTLP metrics data.
func handle72PushTelemetry(b *Broker, r *Request) {
	var req kmsg.PushTelemetryRequest
	if !r.DecodeAliased(&req) {
		return
	}
	resp := kmsg.NewPtrPushTelemetryResponse()
	resp.ErrorCode = int16(b.Telemetry.Push(r.telemetryClient(), r.Client, &telemetry.Push{
		InstanceID: req.ClientInstanceID, SubscriptionID: req.SubscriptionID, Terminating: req.Terminating,
		Compression: req.CompressionType, Payload: req.Metrics,
	}))
	r.Reply(resp)
}
