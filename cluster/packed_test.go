package cluster

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/protocol/recordbatch"
)

// Records that pack well do not wait for heavy work, such as validating what decompresses to very much.
func TestPackedRecordsAreLightWork(t *testing.T) {
	onBothBackends(t, func(t *testing.T, backend string) {
		b := startBroker(t, backend, t.TempDir())
		defer stopBroker(t, b)
		createTopic(t, client(t, b), "t", 1, nil)
		release := make(chan struct{})
		for range b.workers.heavyMax {
			b.workers.Do(lightBytes+1, func() { <-release })
		}
		defer close(release)
		packed := make([]byte, 100<<10)
		for i, codec := range []recordbatch.Codec{recordbatch.CodecSnappy, recordbatch.CodecLZ4, recordbatch.CodecGzip} {
			c := openPipe(t, b)
			c.send(encodeRaw(rawProduce("t", packed, codec), 8, 1), encodeRaw(rawProduce("t", []byte("next"), codec), 8, 2))
			for n := range int32(2) {
				var resp kmsg.ProduceResponse
				c.receive(&resp, 8, n+1)
				if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(2*i)+int64(n) {
					t.Errorf("%v: error %d, offset %d", codec, p.ErrorCode, p.BaseOffset)
				}
			}
		}
	})
}
