package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fillIndex(i int, v []byte) {
	for j := range v {
		v[j] = byte(i + j)
	}
}

func decode(t *testing.T, b *Batch) kmsg.RecordBatch {
	t.Helper()
	var rb kmsg.RecordBatch
	if err := rb.ReadFrom(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if got := int(rb.Length) + 12; got != len(b.Bytes()) {
		t.Fatalf("length field covers %d bytes of %d", got, len(b.Bytes()))
	}
	if want := crc32.Checksum(b.Bytes()[21:], crc32.MakeTable(crc32.Castagnoli)); uint32(rb.CRC) != want {
		t.Fatalf("crc %08x, want %08x", uint32(rb.CRC), want)
	}
	return rb
}

func TestEncodeBatchAgainstKmsg(t *testing.T) {
	const count, size = 300, 77
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		t.Run(codec.String(), func(t *testing.T) {
			b, err := EncodeBatch(count, size, codec, 123456, fillIndex)
			if err != nil {
				t.Fatal(err)
			}
			if codec == CodecNone && len(b.Bytes()) != BatchBytes(count, size) {
				t.Errorf("BatchBytes = %d, batch has %d", BatchBytes(count, size), len(b.Bytes()))
			}
			rb := decode(t, b)
			if rb.NumRecords != count || rb.LastOffsetDelta != count-1 || rb.FirstTimestamp != 123456 ||
				rb.ProducerID != -1 || rb.FirstSequence != -1 || rb.Magic != 2 || rb.PartitionLeaderEpoch != -1 {
				t.Fatalf("header %+v", rb)
			}
			records := rb.Records
			if codec != CodecNone {
				if records, err = kgo.DefaultDecompressor().Decompress(records, kgo.CompressionCodecType(codec)); err != nil {
					t.Fatal(err)
				}
			}
			for i := range count {
				var r kmsg.Record
				if err := r.ReadFrom(records); err != nil {
					t.Fatalf("record %d: %v", i, err)
				}
				_, n := binary.Varint(records)
				records = records[n+int(r.Length):]
				want := make([]byte, size)
				fillIndex(i, want)
				if r.OffsetDelta != int32(i) || !bytes.Equal(r.Value, want) || r.Key != nil {
					t.Fatalf("record %d: %+v", i, r)
				}
			}
			if len(records) != 0 {
				t.Errorf("%d bytes left over", len(records))
			}
		})
	}
}

func TestPatchedBatchStaysValid(t *testing.T) {
	b, err := EncodeBatch(3, 10, CodecNone, 1, fillIndex)
	if err != nil {
		t.Fatal(err)
	}
	b.SetProducer(1<<40, 7, 99)
	copy(b.Value(1), "0123456789")
	b.Seal()
	rb := decode(t, b)
	if rb.ProducerID != 1<<40 || rb.ProducerEpoch != 7 || rb.FirstSequence != 99 {
		t.Errorf("header %+v", rb)
	}
	var got []string
	err = VisitRecords(b.Bytes(), func(offset int64, v []byte) error {
		got = append(got, fmt.Sprintf("%d %q", offset, v))
		return nil
	})
	if err != nil || len(got) != 3 || got[1] != `1 "0123456789"` {
		t.Errorf("records %v, %v", got, err)
	}
	b.Value(0)[0] ^= 1
	if err := VisitRecords(b.Bytes(), func(int64, []byte) error { return nil }); err == nil {
		t.Error("a damaged batch was accepted")
	}
}

func TestVisitRecordsRefuses(t *testing.T) {
	b, err := EncodeBatch(3, 100, CodecLZ4, 1, fillIndex)
	if err != nil {
		t.Fatal(err)
	}
	none := func(int64, []byte) error { return nil }
	if err := VisitRecords(b.Bytes(), none); !errors.Is(err, ErrCompressed) {
		t.Errorf("compressed: %v", err)
	}
	if err := VisitRecords(b.Bytes()[:40], none); err == nil {
		t.Error("short batch accepted")
	}
	// Every truncation of the records, with a checksum that matches, must be an error and never a panic.
	plain, err := EncodeBatch(3, 4, CodecNone, 1, fillIndex)
	if err != nil {
		t.Fatal(err)
	}
	for n := batchHeaderSize; n < len(plain.Bytes()); n++ {
		cut := &Batch{bytes: bytes.Clone(plain.Bytes()[:n])}
		cut.Seal()
		if err := VisitRecords(cut.Bytes(), none); err == nil {
			t.Errorf("batch cut at %d accepted", n)
		}
	}
}

func TestNextSequenceWraps(t *testing.T) {
	if got := NextSequence(1<<31-2, 5); got != 3 {
		t.Errorf("NextSequence = %d, want 3", got)
	}
}

// fakeBroker serves one connection: ApiVersions itself, everything else by answer.
func fakeBroker(t *testing.T, produceMax int16, answer func(req kmsg.Request) kmsg.Response) *Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serveFake(ln, produceMax, answer) }()
	c, err := Dial(t.Context(), ln.Addr().String(), "test", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("fake broker: %v", err)
		}
	})
	return c
}

func serveFake(ln net.Listener, produceMax int16, answer func(kmsg.Request) kmsg.Response) (err error) {
	conn, err := ln.Accept()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(), ln.Close()) }()
	for {
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return nil // the client is gone
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(conn, frame); err != nil {
			return err
		}
		key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
		corr := frame[4:8]
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		body := frame[8+2+len("test"):]
		if req.IsFlexible() {
			body = body[1:]
		}
		if err := req.ReadFrom(body); err != nil {
			return fmt.Errorf("%s v%d: %w", kmsg.NameForKey(key), version, err)
		}
		var resp kmsg.Response
		if v, ok := req.(*kmsg.ApiVersionsRequest); ok {
			r := v.ResponseKind().(*kmsg.ApiVersionsResponse)
			r.ApiKeys = append(r.ApiKeys,
				kmsg.ApiVersionsResponseApiKey{ApiKey: int16(kmsg.Produce), MaxVersion: produceMax},
				kmsg.ApiVersionsResponseApiKey{ApiKey: int16(kmsg.Fetch), MinVersion: 4, MaxVersion: 18})
			resp = r
		} else {
			resp = answer(req)
		}
		resp.SetVersion(version)
		out := append([]byte{0, 0, 0, 0}, corr...)
		if resp.IsFlexible() && key != int16(kmsg.ApiVersions) {
			out = append(out, 0)
		}
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := conn.Write(out); err != nil {
			return nil
		}
	}
}

func TestProduceFrames(t *testing.T) {
	for _, version := range []int16{3, 7, 9, 12} {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			got := make(chan *kmsg.ProduceRequest, 4)
			c := fakeBroker(t, version, func(req kmsg.Request) kmsg.Response {
				p := req.(*kmsg.ProduceRequest)
				got <- p
				resp := p.ResponseKind().(*kmsg.ProduceResponse)
				rt := kmsg.NewProduceResponseTopic()
				rt.Topic = p.Topics[0].Topic
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.BaseOffset = p.Topics[0].Partitions[0].Partition, 42
				if p.Acks == 1 {
					rp.ErrorCode = kerr.NotLeaderForPartition.Code
				}
				rt.Partitions = append(rt.Partitions, rp)
				resp.Topics = append(resp.Topics, rt)
				return resp
			})
			for _, acks := range []int16{-1, 1} {
				b, err := EncodeBatch(2, 20, CodecNone, 5, fillIndex)
				if err != nil {
					t.Fatal(err)
				}
				f, err := c.NewProduceFrame("topic", 3, acks, 1000, b)
				if err != nil {
					t.Fatal(err)
				}
				f.Batch.SetProducer(11, 0, 6)
				f.Batch.Seal()
				if err := c.WriteFrame(f.Bytes(), 1234); err != nil {
					t.Fatal(err)
				}
				r, err := c.NewProduceReader()
				if err != nil {
					t.Fatal(err)
				}
				res, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				if wantErr := acks == 1; errors.Is(res.Err, kerr.NotLeaderForPartition) != wantErr || res.Correlation != 1234 || res.BaseOffset != 42 || res.Partition != 3 {
					t.Errorf("result %+v", res)
				}
				req := <-got
				if req.Acks != acks || req.Topics[0].Topic != "topic" || !bytes.Equal(req.Topics[0].Partitions[0].Records, b.Bytes()) {
					t.Errorf("request %+v", req)
				}
				decode(t, b)
			}
		})
	}
}

func TestFetchReader(t *testing.T) {
	small, err := EncodeBatch(3, 10, CodecNone, 1, fillIndex)
	if err != nil {
		t.Fatal(err)
	}
	large, err := EncodeBatch(5, 300_000, CodecNone, 1, fillIndex) // far above the truncation threshold and the read buffer
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(large.Bytes(), 3)
	records := append(bytes.Clone(small.Bytes()), large.Bytes()...)
	records = append(records, small.Bytes()[:50]...) // a part of a batch at the end
	reqs := make(chan *kmsg.FetchRequest, 4)
	c := fakeBroker(t, 12, func(req kmsg.Request) kmsg.Response {
		f := req.(*kmsg.FetchRequest)
		reqs <- f
		resp := f.ResponseKind().(*kmsg.FetchResponse)
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic = "topic"
		for i, p := range f.Topics[0].Partitions {
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.HighWatermark, rp.LogStartOffset = p.Partition, 8, 0
			switch i {
			case 0:
				rp.RecordBatches = records
				rp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 1}}
			case 1:
				rp.ErrorCode = kerr.OffsetOutOfRange.Code
				rp.DivergingEpoch.Epoch = 4 // a tagged field
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
		return resp
	})
	w, err := c.NewFetchWriter("topic", FetchOptions{MinBytes: 1, MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 19, MaxWaitMs: 5})
	if err != nil {
		t.Fatal(err)
	}
	r := c.NewFetchReader()
	for round, visit := range []bool{false, true, false} {
		var offsets []int64
		r.OnBatch = nil
		if visit {
			r.OnBatch = func(_ int32, b []byte) error {
				return VisitRecords(b, func(o int64, v []byte) error { offsets = append(offsets, o); return nil })
			}
		}
		if err := w.Send(int32(round), []FetchPosition{{4, 0}, {5, 77}}); err != nil {
			t.Fatal(err)
		}
		corr, parts, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if corr != int32(round) || len(parts) != 2 {
			t.Fatalf("corr %d, %d partitions", corr, len(parts))
		}
		want := FetchedPartition{Partition: 4, HighWatermark: 8, Batches: 2, Records: 8, Bytes: int64(len(small.Bytes()) + len(large.Bytes())), NextOffset: 8}
		if parts[0] != want {
			t.Errorf("partition %+v, want %+v", parts[0], want)
		}
		if !errors.Is(parts[1].Err, kerr.OffsetOutOfRange) || parts[1].Batches != 0 {
			t.Errorf("partition %+v", parts[1])
		}
		if visit && fmt.Sprint(offsets) != "[0 1 2 3 4 5 6 7]" {
			t.Errorf("offsets %v", offsets)
		}
		req := <-reqs
		if req.MaxBytes != 1<<20 || req.Topics[0].Partitions[1].FetchOffset != 77 || req.Topics[0].Partitions[1].Partition != 5 {
			t.Errorf("request %+v", req)
		}
	}
}

func TestUnsupportedVersion(t *testing.T) {
	c := fakeBroker(t, 2, nil)
	if _, err := c.NewProduceReader(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("err = %v", err)
	}
	if _, err := c.Do(kmsg.NewPtrMetadataRequest(), time.Second); !errors.Is(err, ErrUnsupported) {
		t.Errorf("err = %v", err)
	}
}

func TestParseCodec(t *testing.T) {
	for c := CodecNone; c <= CodecZstd; c++ {
		if got, err := ParseCodec(c.String()); err != nil || got != c {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	if _, err := ParseCodec("brotli"); err == nil {
		t.Error("an unknown codec was accepted")
	}
}
