package interop

import (
	"strconv"
	"testing"

	"kserver/interop/tools"
)

// javaVersions are the Java clients tried: the oldest that brokers of Kafka 4 take (KIP-896), one of
// each series since, and the newest.
var javaVersions = []string{"2.1.1", "3.0.2", "3.9.1", "4.3.1"}

// TestJavaClient runs a program that was compiled against the oldest client with each, in the classic group
// protocol and, where client and broker have it, the new one.
func TestJavaClient(t *testing.T) {
	t.Parallel()
	javaTools(t)
	for _, version := range javaVersions {
		for _, protocol := range []string{"classic", "consumer"} {
			// The new protocol came with 3.7 and was finished in 4.0.
			if major, _ := strconv.Atoi(version[:1]); protocol == "consumer" && (major < 4 || !served(t, 68)) {
				continue
			}
			t.Run(version+"/"+protocol, func(t *testing.T) {
				t.Parallel()
				java, err := tools.LocateClient(version, javaVersions[0])
				if err != nil {
					t.Fatal(err)
				}
				argv := append(java.Command("JavaClient", "256m"), protocol)
				program(t, uniqueName(t), newTopic(t, 1, "retention.ms=-1"), argv...)
			})
		}
	}
}
