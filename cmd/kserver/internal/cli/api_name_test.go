package cli

import "testing"

func TestAPINamesAreKafkas(t *testing.T) {
	for key, want := range map[int16]string{
		0: "Produce", 17: "SaslHandshake", 18: "ApiVersions", 22: "InitProducerId", 29: "DescribeAcls",
		45: "AlterPartitionReassignments", 50: "DescribeUserScramCredentials",
	} {
		if got := apiName(key); got != want {
			t.Errorf("key %d: %s, Kafka says %s", key, got, want)
		}
	}
}
