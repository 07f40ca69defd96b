package protocol

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// keyProduce is the API whose advertised range differs from the served one.
const keyProduce int16 = 0

// VersionRange is the range of versions of one API, both ends inclusive.
type VersionRange struct{ Key, Min, Max int16 }

// SupportedFeature is a feature this broker could run (KIP-584), levels inclusive.
type SupportedFeature struct {
	Name     string
	Min, Max int16
}

// FinalizedFeature is the level of a feature in force in the whole cluster.
type FinalizedFeature struct {
	Name  string
	Level int16
}

// Features is what ApiVersions says about features.
type Features struct {
	Supported []SupportedFeature
	Finalized []FinalizedFeature
	// FinalizedEpoch is the version of the finalized features, -1 if unknown.
	FinalizedEpoch int64
}

// ApiVersionsResponse builds the answer to an ApiVersions request. ranges are the
// APIs served, as they are served.
//
//   - If the served range of ApiVersions itself does not contain version, the
//     answer is one of version 0 with UNSUPPORTED_VERSION and the range of
//     ApiVersions alone; the client asks again (KIP-511).
//   - Produce is advertised from version 0, though requests below 3 are refused:
//     librdkafka otherwise does not compress (KAFKA-18659).
//   - Supported features whose minimum is 0 are shown from version 4 on; the Java
//     client fails on them in version 3 (KAFKA-17011).
//   - Finalized features of level 0 are not in force and not shown.
//
// The features are tagged fields of version 3; kmsg leaves them out before.
func ApiVersionsResponse(version int16, ranges []VersionRange, features Features) *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	for _, r := range ranges {
		if r.Key == KeyApiVersions && (version < r.Min || version > r.Max) {
			resp.ErrorCode = int16(UnsupportedVersion)
			resp.ApiKeys = appendRange(nil, r)
			return resp
		}
	}
	resp.Version = version
	resp.ApiKeys = make([]kmsg.ApiVersionsResponseApiKey, 0, len(ranges))
	for _, r := range ranges {
		if r.Key == keyProduce {
			r.Min = 0
		}
		resp.ApiKeys = appendRange(resp.ApiKeys, r)
	}
	for _, f := range features.Supported {
		if version < 4 && f.Min == 0 {
			continue
		}
		s := kmsg.NewApiVersionsResponseSupportedFeature()
		s.Name, s.MinVersion, s.MaxVersion = f.Name, f.Min, f.Max
		resp.SupportedFeatures = append(resp.SupportedFeatures, s)
	}
	resp.FinalizedFeaturesEpoch = features.FinalizedEpoch
	for _, f := range features.Finalized {
		if f.Level == 0 {
			continue
		}
		l := kmsg.NewApiVersionsResponseFinalizedFeature()
		l.Name, l.MinVersionLevel, l.MaxVersionLevel = f.Name, f.Level, f.Level
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, l)
	}
	return resp
}

func appendRange(keys []kmsg.ApiVersionsResponseApiKey, r VersionRange) []kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = r.Key, r.Min, r.Max
	return append(keys, k)
}

// ApiVersionsError builds the answer to a request that CheckApiVersions refused:
// the code and no APIs.
func ApiVersionsError(version int16, code ErrorCode) *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = version
	resp.ErrorCode = int16(code)
	return resp
}

// CheckApiVersions judges the contents of an ApiVersions request.
//
// From version 3 on the client names its software; both strings must be letters,
// digits, '-' and '.', with a letter or digit at both ends, else InvalidRequest
// (KIP-511). From version 5 on a client that has talked to the cluster before
// says which cluster and node it expects: one of the two alone is
// InvalidRequest, another cluster or node RebootstrapRequired (KIP-1242).
func CheckApiVersions(req *kmsg.ApiVersionsRequest, clusterID string, nodeID int32) ErrorCode {
	if req.Version >= 3 && !(validSoftware(req.ClientSoftwareName) && validSoftware(req.ClientSoftwareVersion)) {
		return InvalidRequest
	}
	if req.Version < 5 {
		return None
	}
	switch {
	case (req.ClusterID == nil) != (req.NodeID < 0):
		return InvalidRequest
	case req.ClusterID != nil && (*req.ClusterID != clusterID || req.NodeID != nodeID):
		return RebootstrapRequired
	}
	return None
}

// validSoftware matches [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?.
func validSoftware(s string) bool {
	if s == "" || !isAlphanumeric(s[0]) || !isAlphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
