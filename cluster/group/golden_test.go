package group_test

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"kserver/protocol/recordbatch"
)

// TestKafkaLog loads a partition of __consumer_offsets as Apache Kafka 4.3.1
// wrote it: two groups with several generations, one of them Empty with
// offsets, the other with a static member and an offset that expires.
func TestKafkaLog(t *testing.T) {
	data, err := os.ReadFile("golden/kafka-4.3.1.log")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		defer func() { s.coordinator.Close() }()
		for len(data) > 0 {
			batch, rest, err := recordbatch.Next(data)
			if err != nil {
				t.Fatal(err)
			}
			s.storage.AppendRaw(0, batch)
			data = rest
		}
		s.coordinator.Unload(0, -1)
		s.load()
		got := strings.ReplaceAll(s.coordinator.Dump(0, false), strings.Repeat("ä", 3000), "ä...")
		member := "ia-" + got[strings.Index(got, "leader=ia-")+len("leader=ia-"):][:36]
		want := `group g Empty gen=4 type="consumer" protocol="" leader=
  offset t-0 = 5 epoch=-1 "md"
  offset t-1 = 5 epoch=-1 "md"
  offset t-2 = 5 epoch=-1 "ä..."
  offset t-3 = 5 epoch=-1 ""
group s Stable gen=3 type="consumer" protocol="range" leader=MEMBER
  subscribed [t]
  member MEMBER instance=ia cid/127.0.0.1 session=1800000 rebalance=5000 meta="\x00\x03\x00\x00\x00\x01\x00\x01t" assignment="as"
  offset t-1 = 5 epoch=-1 "md" expires
`
		if want = strings.ReplaceAll(want, "MEMBER", member); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
		if n := s.coordinator.Metrics().SkippedRecords.Load(); n != 0 {
			t.Errorf("%d records skipped", n)
		}
	})
}
