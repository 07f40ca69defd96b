package interop

import (
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// advertised asks the broker once what it serves.
var advertised = sync.OnceValues(func() (map[int16]kmsg.ApiVersionsResponseApiKey, error) {
	conn, err := wire.Dial(suiteContext, suite.endpoint, "interop-raw")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	req := at(kmsg.NewPtrApiVersionsRequest(), 3)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "interop", "1"
	resp, err := conn.Do(req)
	if err != nil {
		return nil, err
	}
	keys := make(map[int16]kmsg.ApiVersionsResponseApiKey)
	for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
		keys[k.ApiKey] = k
	}
	return keys, nil
})

// served says whether the broker advertises an API.
func served(t *testing.T, key int16) bool {
	t.Helper()
	keys, err := advertised()
	if err != nil {
		t.Fatal(err)
	}
	_, ok := keys[key]
	return ok
}

// servedRange returns the versions of an API that the broker advertises, skipping the test when it
// does not, and leaving out those newer than the schema library.
func servedRange(t *testing.T, key int16) kmsg.ApiVersionsResponseApiKey {
	t.Helper()
	if !served(t, key) {
		t.Skipf("%s is not served", kmsg.NameForKey(key))
	}
	keys, _ := advertised()
	r := keys[key]
	r.MaxVersion = min(r.MaxVersion, kmsg.RequestForKey(key).MaxVersion())
	return r
}
