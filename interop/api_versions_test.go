package interop

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestApiVersions asks at every version and compares the lists.
func TestApiVersions(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	versions := servedRange(t, 18)
	var first []kmsg.ApiVersionsResponseApiKey
	for version := versions.MinVersion; version <= versions.MaxVersion; version++ {
		req := at(kmsg.NewPtrApiVersionsRequest(), version)
		req.ClientSoftwareName, req.ClientSoftwareVersion = "interop", "1.0"
		resp := ask[*kmsg.ApiVersionsResponse](t, conn, req)
		wantCode(t, "ApiVersions", resp.ErrorCode, 0)
		if first == nil {
			first = resp.ApiKeys
		}
		if len(resp.ApiKeys) != len(first) {
			t.Errorf("v%d lists %d keys, v%d listed %d", version, len(resp.ApiKeys), versions.MinVersion, len(first))
		}
		for _, feature := range resp.SupportedFeatures {
			// KAFKA-17011: version 3 leaves out what old Java clients cannot parse.
			if version == 3 && feature.MinVersion == 0 {
				t.Errorf("v3 shows feature %s with minimum 0", feature.Name)
			}
		}
	}
	for _, k := range first {
		if k.MinVersion > k.MaxVersion || k.MinVersion < 0 {
			t.Errorf("%s has versions %d to %d", kmsg.NameForKey(k.ApiKey), k.MinVersion, k.MaxVersion)
		}
		// librdkafka compresses only when Produce begins at 0 (KAFKA-18659).
		if k.ApiKey == 0 && k.MinVersion != 0 {
			t.Errorf("Produce is advertised from version %d", k.MinVersion)
		}
	}
}

// TestApiVersionsFallback asks with a version the broker cannot know: the answer is a body of version
// 0 with code 35 and the range of ApiVersions alone, and the connection lives on (KIP-511).
func TestApiVersionsFallback(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	for _, version := range []int16{77, 0x7fff} {
		req := at(kmsg.NewPtrApiVersionsRequest(), 3)
		req.ClientSoftwareName, req.ClientSoftwareVersion = "interop", "1.0"
		frame, sent := conn.AppendFrame(nil, req)
		binary.BigEndian.PutUint16(frame[6:], uint16(version))
		if err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		sent.Request = at(kmsg.NewPtrApiVersionsRequest(), 0)
		got, err := conn.Receive(sent)
		if err != nil {
			t.Fatal(err)
		}
		resp := got.(*kmsg.ApiVersionsResponse)
		wantCode(t, "unknown version", resp.ErrorCode, 35)
		if len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MinVersion != 0 || resp.ApiKeys[0].MaxVersion < 3 {
			t.Errorf("keys %+v, want ApiVersions alone", resp.ApiKeys)
		}
	}
	wantCode(t, "afterwards", ask[*kmsg.ApiVersionsResponse](t, conn, at(kmsg.NewPtrApiVersionsRequest(), 0)).ErrorCode, 0)
}

// TestApiVersionsSoftwareName checks the names a client may give itself (KIP-511).
func TestApiVersionsSoftwareName(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	for _, c := range []struct {
		name, version string
		code          int16
	}{
		{"apache-kafka.java", "4.3.1", 0},
		{"a", "1", 0},
		{"", "", 42},
		{"two words", "1", 42},
		{"-dash", "1", 42},
		{"ok", "1.", 42},
	} {
		req := at(kmsg.NewPtrApiVersionsRequest(), 3)
		req.ClientSoftwareName, req.ClientSoftwareVersion = c.name, c.version
		wantCode(t, c.name+" "+c.version, ask[*kmsg.ApiVersionsResponse](t, conn, req).ErrorCode, c.code)
	}
}

// TestClientID checks that a request may come with a null, an empty and a strange client id.
func TestClientID(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	for _, id := range []*string{nil, kmsg.StringPtr(""), kmsg.StringPtr("ünïcode / id")} {
		var opts []kmsg.RequestFormatterOpt
		if id != nil {
			opts = append(opts, kmsg.FormatterClientID(*id))
		}
		req := at(kmsg.NewPtrMetadataRequest(), 9)
		frame := kmsg.NewRequestFormatter(opts...).AppendRequest(nil, req, 4711)
		if err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		body, err := conn.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint32(body); got != 4711 {
			t.Errorf("correlation id %d", got)
		}
	}
}
