package protocol

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Apache Kafka's answers must come out byte by byte when built from what they
// say. The one to kgo's version 5, which Kafka 4.3.1 does not have, is the
// fallback.
func TestApiVersionsAgreesWithKafka(t *testing.T) {
	full := kmsg.NewPtrApiVersionsResponse()
	var answers []captured
	for _, c := range capturedFrames(t) {
		if c.api == "ApiVersions" && c.response != nil {
			answers = append(answers, c)
		}
		if c.name == "java-ApiVersions-v4" {
			full.Version = 4
			if err := full.ReadFrom(c.response[4:]); err != nil {
				t.Fatal(err)
			}
		}
	}
	var ranges []VersionRange
	for _, k := range full.ApiKeys {
		r := VersionRange{k.ApiKey, k.MinVersion, k.MaxVersion}
		if r.Key == keyProduce {
			if r.Min != 0 {
				t.Errorf("Kafka advertises Produce from %d", r.Min)
			}
			r.Min = 3
		}
		ranges = append(ranges, r)
	}
	features := Features{FinalizedEpoch: full.FinalizedFeaturesEpoch}
	for _, f := range full.SupportedFeatures {
		features.Supported = append(features.Supported, SupportedFeature{f.Name, f.MinVersion, f.MaxVersion})
	}
	for _, f := range full.FinalizedFeatures {
		features.Finalized = append(features.Finalized, FinalizedFeature{f.Name, f.MaxVersionLevel})
	}
	features.Finalized = append(features.Finalized, FinalizedFeature{"off", 0})
	if len(ranges) < 50 || len(features.Supported) < 3 || len(answers) < 4 {
		t.Fatalf("%d ranges, %d features, %d answers", len(ranges), len(features.Supported), len(answers))
	}
	for _, c := range answers {
		h, _, err := ParseRequestHeader(c.frame)
		if err != nil {
			t.Fatal(err)
		}
		resp := ApiVersionsResponse(h.Version, ranges, features)
		got := resp.AppendTo(AppendResponseHeader(nil, h.Key, resp.Version, h.CorrelationID))
		want := c.response
		// The epoch of the finalized features may have moved between captures.
		theirs := kmsg.NewPtrApiVersionsResponse()
		theirs.Version = resp.Version
		if err := theirs.ReadFrom(want[4:]); err != nil {
			t.Fatal(err)
		}
		if theirs.FinalizedFeaturesEpoch != resp.FinalizedFeaturesEpoch && resp.Version >= 3 {
			resp.FinalizedFeaturesEpoch = theirs.FinalizedFeaturesEpoch
			got = resp.AppendTo(AppendResponseHeader(nil, h.Key, resp.Version, h.CorrelationID))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: built\n% x\nKafka\n% x", c.name, got, want)
		}
	}
}

func TestApiVersionsFallback(t *testing.T) {
	ranges := []VersionRange{{0, 3, 13}, {18, 0, 4}}
	for _, version := range []int16{5, 99, -1} {
		resp := ApiVersionsResponse(version, ranges, Features{FinalizedEpoch: -1})
		if resp.Version != 0 || resp.ErrorCode != int16(UnsupportedVersion) || len(resp.ApiKeys) != 1 ||
			resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MinVersion != 0 || resp.ApiKeys[0].MaxVersion != 4 {
			t.Errorf("version %d: %+v", version, resp)
		}
	}
	if resp := ApiVersionsError(3, InvalidRequest); resp.Version != 3 || resp.ErrorCode != 42 || len(resp.ApiKeys) != 0 {
		t.Errorf("%+v", resp)
	}
}

func TestApiVersionsFeatures(t *testing.T) {
	ranges := []VersionRange{{18, 0, 5}}
	features := Features{
		Supported:      []SupportedFeature{{"metadata.version", 7, 29}, {"group.version", 0, 1}},
		Finalized:      []FinalizedFeature{{"metadata.version", 29}, {"group.version", 0}},
		FinalizedEpoch: 12,
	}
	for version, supported := range map[int16]int{3: 1, 4: 2, 5: 2} {
		resp := ApiVersionsResponse(version, ranges, features)
		if len(resp.SupportedFeatures) != supported || len(resp.FinalizedFeatures) != 1 || resp.FinalizedFeaturesEpoch != 12 {
			t.Errorf("version %d: %+v", version, resp)
		}
	}
	for version := range int16(3) {
		resp := ApiVersionsResponse(version, ranges, features)
		bare := ApiVersionsResponse(version, ranges, Features{FinalizedEpoch: -1})
		if !bytes.Equal(resp.AppendTo(nil), bare.AppendTo(nil)) {
			t.Errorf("version %d carries features", version)
		}
	}
}

func TestCheckApiVersions(t *testing.T) {
	for _, tt := range []struct {
		version       int16
		name, release string
		cluster       string
		node          int32
		want          ErrorCode
	}{
		{0, "", "", "", -1, None},
		{2, "", "", "", -1, None},
		{3, "apache-kafka-java", "4.3.1", "", -1, None},
		{3, "a", "1", "", -1, None},
		{3, "", "1", "", -1, InvalidRequest},
		{3, "a", "", "", -1, InvalidRequest},
		{3, "-a", "1", "", -1, InvalidRequest},
		{3, "a-", "1", "", -1, InvalidRequest},
		{3, "a b", "1", "", -1, InvalidRequest},
		{3, "a", "1.0_beta", "", -1, InvalidRequest},
		{3, "grüße", "1", "", -1, InvalidRequest},
		{4, "a", "1\n", "", -1, InvalidRequest},
		{4, "a", "1", "other", 9, None},
		{5, "a", "1", "", -1, None},
		{5, "a", "1", "mine", 3, None},
		{5, "a", "1", "other", 3, RebootstrapRequired},
		{5, "a", "1", "mine", 4, RebootstrapRequired},
		{5, "a", "1", "mine", -1, InvalidRequest},
		{5, "a", "1", "", 3, InvalidRequest},
		{5, "-", "1", "other", 3, InvalidRequest},
	} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion, req.NodeID = tt.version, tt.name, tt.release, tt.node
		if tt.cluster != "" {
			req.ClusterID = &tt.cluster
		}
		if got := CheckApiVersions(req, "mine", 3); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}
