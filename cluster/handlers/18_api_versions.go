package handlers

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol"
)

// ApiVersions (key 18), versions 0-5.
//
// The answer is made from the table, so that what is advertised is what is
// served. A version that is not served is answered in version 0 with
// UNSUPPORTED_VERSION and this API's own range, its body unread; the client asks
// again (KIP-511). v3 flexible, client software, features (KIP-584) · v4 shows
// features whose minimum is 0 · v5 expected cluster and node (KIP-1242).
func handle18APIVersions(b *Broker, r *Request) {
	resp := protocol.ApiVersionsResponse(r.Version, b.Advertised, b.features())
	if protocol.ErrorCode(resp.ErrorCode) == protocol.UnsupportedVersion {
		r.Version = resp.Version
		r.Reply(resp)
		return
	}
	var req kmsg.ApiVersionsRequest
	if !r.Decode(&req) {
		return
	}
	if code := protocol.CheckApiVersions(&req, b.ClusterID, b.NodeID); code != protocol.None {
		r.Reply(protocol.ApiVersionsError(r.Version, code))
		return
	}
	r.Client.SoftwareName = strings.Clone(req.ClientSoftwareName)
	r.Client.SoftwareVersion = strings.Clone(req.ClientSoftwareVersion)
	r.Reply(resp)
}
