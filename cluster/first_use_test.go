package cluster

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/configs"
	"kserver/engine/vfs"
	"kserver/protocol/recordbatch"
)

// slowListFS holds back the first look into a partition's directory while its gate is shut.
type slowListFS struct {
	*gateFS
	entered chan struct{} // capacity 1
}

func (s slowListFS) List(name string) ([]vfs.Entry, error) {
	if name == s.under {
		select {
		case s.entered <- struct{}{}:
		default:
		}
		s.wait()
	}
	return s.FS.List(name)
}

// What needs a log that was not used since the start waits for it off the event loop, at its place in the order of
// its connection; what does not goes on.
func TestFirstUseLeavesTheLoop(t *testing.T) {
	for _, crash := range []bool{false, true} {
		mem := vfs.NewMem()
		b := startOn(t, mem)
		createTopic(t, client(t, b), "slow", 1, nil)
		createTopic(t, client(t, b), "quick", 1, nil)
		c := dialRaw(t, b)
		for i, topic := range []string{"slow", "quick"} {
			req := produceRequest(t, topic, -1, 20*time.Second, "before")
			c.send(int32(i), req)
			if part := c.produced(int32(i), req); part.ErrorCode != 0 {
				t.Fatal(part)
			}
		}
		killed := mem.Kill()
		stopBroker(t, b)
		if crash {
			mem = killed
		}
		for name, use := range firstUses(t) {
			t.Run(name, func(t *testing.T) { firstUse(t, mem.Kill(), use) })
		}
	}
}

// firstUses are requests for partition slow-0, and what is to be seen in their answers.
func firstUses(t *testing.T) map[string]func() (kmsg.Request, func(kmsg.Response) bool) {
	return map[string]func() (kmsg.Request, func(kmsg.Response) bool){
		"produce": func() (kmsg.Request, func(kmsg.Response) bool) {
			return produceRequest(t, "slow", -1, 20*time.Second, "after"), func(r kmsg.Response) bool {
				p := r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
				return p.ErrorCode == 0 && p.BaseOffset == 1
			}
		},
		"fetch": func() (kmsg.Request, func(kmsg.Response) bool) {
			req := kmsg.NewPtrFetchRequest()
			req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, 1<<30, 1, 1<<20, -1
			rt := kmsg.NewFetchRequestTopic()
			rt.Topic = "slow"
			rp := kmsg.NewFetchRequestTopicPartition()
			rp.PartitionMaxBytes = 1 << 20
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			return req, func(r kmsg.Response) bool {
				p := r.(*kmsg.FetchResponse).Topics[0].Partitions[0]
				b, _, err := recordbatch.Next(p.RecordBatches)
				return p.ErrorCode == 0 && p.HighWatermark == 1 && err == nil && b.CheckCRC() == nil
			}
		},
		"leader epoch": func() (kmsg.Request, func(kmsg.Response) bool) {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			req.Version, req.ReplicaID = 3, -1
			rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
			rt.Topic = "slow"
			rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			rp.CurrentLeaderEpoch = -1
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			return req, func(r kmsg.Response) bool {
				p := r.(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
				return p.ErrorCode == 0 && p.EndOffset == 1
			}
		},
		"end offset": func() (kmsg.Request, func(kmsg.Response) bool) {
			req := rawListOffsets("slow")
			req.Version = 4
			return req, func(r kmsg.Response) bool {
				p := r.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
				return p.ErrorCode == 0 && p.Offset == 1
			}
		},
	}
}

func firstUse(t *testing.T, mem *vfs.Mem, use func() (kmsg.Request, func(kmsg.Response) bool)) {
	slow := slowListFS{newGateFS(mem, "/data/slow-0"), make(chan struct{}, 1)}
	slow.setShut(true)
	b := startOn(t, slow, configs.FlagSetting("num.network.threads", "1"))
	defer stopBroker(t, b)
	defer slow.setShut(false)

	waiting := dialRaw(t, b)
	req, good := use()
	behind := kmsg.NewPtrMetadataRequest()
	behind.Version = 8
	waiting.send(1, req)
	waiting.send(2, behind)
	<-slow.entered // the loop may be in it

	other := dialRaw(t, b)
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 8
	other.send(1, metadata)
	resp := metadata.ResponseKind().(*kmsg.MetadataResponse)
	other.receive(1, resp)
	for _, topic := range resp.Topics {
		if p := topic.Partitions[0]; p.ErrorCode != 0 || p.Leader < 0 || len(p.ISR) != 1 {
			t.Errorf("metadata before the log is read: %+v", p)
		}
	}
	produce := produceRequest(t, "quick", -1, 20*time.Second, "after")
	other.send(2, produce)
	if p := other.produced(2, produce); p.ErrorCode != 0 || p.BaseOffset != 1 {
		t.Errorf("%+v", p)
	}

	slow.setShut(false)
	answer := req.ResponseKind()
	answer.SetVersion(req.GetVersion())
	waiting.receive(1, answer)
	if !good(answer) {
		t.Errorf("%+v", answer)
	}
	waiting.receive(2, behind.ResponseKind())
}
