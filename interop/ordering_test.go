package interop

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// TestPipelining writes many requests of different kinds in one go, and expects the responses in the
// order of the requests and the batches in the log in the order they were sent.
func TestPipelining(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	conn := newConn(t)
	const rounds = 50
	var frames []byte
	var sent []wire.Sent
	add := func(req kmsg.Request) {
		var s wire.Sent
		frames, s = conn.AppendFrame(frames, req)
		sent = append(sent, s)
	}
	now := time.Now().UnixMilli()
	for i := range rounds {
		add(produceRequest(9, topic, 0, wire.NewBatch(now, fmt.Appendf(nil, "%d", i)).Encode()))
		switch i % 5 {
		case 0:
			add(at(kmsg.NewPtrMetadataRequest(), 9))
		case 1:
			add(fetchRequest(12, topic, map[int32]int64{0: 0}))
		case 2:
			waiting := fetchRequest(12, topic, map[int32]int64{0: int64(i + 1)})
			waiting.MaxWaitMillis = 20 // nothing follows on this connection before its answer
			add(waiting)
		case 3:
			add(at(kmsg.NewPtrApiVersionsRequest(), 0))
		case 4:
			req := at(kmsg.NewPtrFindCoordinatorRequest(), 3)
			req.CoordinatorKey = "any"
			add(req)
		}
	}
	if err := conn.Write(frames); err != nil {
		t.Fatal(err)
	}
	var appended int64
	for i, s := range sent {
		resp, err := conn.Receive(s)
		if err != nil {
			t.Fatalf("response %d of %d: %v", i, len(sent), err)
		}
		if produced, ok := resp.(*kmsg.ProduceResponse); ok {
			if p := onlyProduced(t, produced); p.ErrorCode != 0 || p.BaseOffset != appended {
				t.Fatalf("produce %d: code %d, offset %d", appended, p.ErrorCode, p.BaseOffset)
			}
			appended++
		}
	}
}

// TestPartialWrites sends a request byte by byte and two requests split at every place of the second
// one's header.
func TestPartialWrites(t *testing.T) {
	t.Parallel()
	conn := newConn(t)
	one, first := conn.AppendFrame(nil, at(kmsg.NewPtrApiVersionsRequest(), 2))
	for i := range one {
		if err := conn.Write(one[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Receive(first); err != nil {
		t.Fatal(err)
	}
	for cut := range 20 {
		frames, a := conn.AppendFrame(nil, at(kmsg.NewPtrApiVersionsRequest(), 2))
		length := len(frames)
		frames, b := conn.AppendFrame(frames, at(kmsg.NewPtrApiVersionsRequest(), 1))
		if err := errors.Join(conn.Write(frames[:length+cut]), conn.Write(frames[length+cut:])); err != nil {
			t.Fatal(err)
		}
		for _, s := range []wire.Sent{a, b} {
			if _, err := conn.Receive(s); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestBrokenFrames sends what no client sends; the broker closes the connection and goes on
// serving others.
func TestBrokenFrames(t *testing.T) {
	t.Parallel()
	header := []byte{0, 3, 0, 9, 0, 0, 0, 1, 0, 1, 'c', 0} // Metadata v9, correlation 1, client "c"
	frame := func(payload ...byte) []byte {
		return append([]byte{0, 0, byte(len(payload) >> 8), byte(len(payload))}, payload...)
	}
	for name, bytes := range map[string][]byte{
		"negative length":                     {0xff, 0xff, 0xff, 0xff},
		"length above the limit":              {0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 9},
		"unknown api key":                     frame(0x03, 0xe7, 0, 0, 0, 0, 0, 1, 0, 0),
		"unknown version":                     frame(0, 3, 0, 99, 0, 0, 0, 1, 0, 0),
		"produce below the accepted versions": frame(0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0),
		"body cut short":                      frame(header...),
		"array longer than the frame":         frame(append(header, 0xff, 0xff, 0xff, 0xff, 0x0f)...),
		"header cut short":                    frame(0, 3, 0),
	} {
		conn := newConn(t)
		if err := conn.Write(bytes); err != nil {
			t.Fatal(err)
		}
		if err := conn.WaitClosed(30 * time.Second); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	ask[*kmsg.MetadataResponse](t, newConn(t), at(kmsg.NewPtrMetadataRequest(), 9))
}

// TestClientEndsEarly closes connections with requests unanswered.
func TestClientEndsEarly(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	for range 20 {
		conn := newConn(t)
		req := fetchRequest(12, topic, map[int32]int64{0: 0})
		req.MaxWaitMillis = 1000
		if _, err := conn.Send(req); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Send(produceRequest(9, topic, 0, wire.NewBatch(time.Now().UnixMilli(), make([]byte, 1000)).Encode())); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if _, err := conn.ReadFrame(); err == nil || errors.Is(err, io.EOF) {
			t.Fatalf("read on a closed connection: %v", err)
		}
	}
	ask[*kmsg.MetadataResponse](t, newConn(t), at(kmsg.NewPtrMetadataRequest(), 9))
}
