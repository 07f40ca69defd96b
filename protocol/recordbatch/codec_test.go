package recordbatch

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// decompress reads everything a codec yields, in small pieces.
func decompress(codec Codec, payload []byte, limit int64) ([]byte, error) {
	s, err := openStream(codec, payload, limit)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var out []byte
	for {
		b, err := s.peek(1000)
		out = append(out, b...)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if err := s.skip(len(b)); err != nil {
			return nil, err
		}
	}
}

func TestCodecsRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for codec := CodecGzip; codec <= CodecZstd; codec++ {
		for _, size := range []int{1, 100, snappyBlockSize - 1, snappyBlockSize, snappyBlockSize + 1, 300_000} {
			for _, alphabet := range []int{2, 256} {
				src := make([]byte, size)
				for i := range src {
					src[i] = byte(rnd.IntN(alphabet))
				}
				for _, level := range []int{DefaultLevel, 1, 9} {
					if codec.CheckLevel(level) != nil || level != DefaultLevel && size > 1<<15 {
						continue
					}
					b, err := appendCompressed([]byte("prefix"), codec, level, src)
					if err != nil {
						t.Fatal(err)
					}
					got, err := decompress(codec, b[len("prefix"):], 0)
					if err != nil || !bytes.Equal(got, src) {
						t.Fatalf("%s, %d bytes, level %d: %d bytes back, %v", codec, size, level, len(got), err)
					}
					if n := min(len(b)-len("prefix"), 4); codec != CodecGzip {
						// A stream that is cut must not look like one that ended.
						if got, err := decompress(codec, b[len("prefix"):len(b)-n], 0); err == nil && bytes.Equal(got, src) {
							t.Errorf("%s, %d bytes: complete although %d bytes are missing", codec, size, n)
						}
					}
				}
			}
		}
	}
}

func TestDecompressionLimit(t *testing.T) {
	src := make([]byte, 1<<20)
	for codec := CodecGzip; codec <= CodecZstd; codec++ {
		b, err := appendCompressed(nil, codec, DefaultLevel, src)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decompress(codec, b, 1<<20); err != nil {
			t.Errorf("%s at the limit: %v", codec, err)
		}
		if _, err := decompress(codec, b, 1<<20-1); !errors.Is(err, ErrDecompressedSize) {
			t.Errorf("%s above the limit: %v", codec, err)
		}
	}
}

func TestDamagedData(t *testing.T) {
	src := bytes.Repeat([]byte("not quite random, not quite the same "), 1000)
	for codec := CodecGzip; codec <= CodecZstd; codec++ {
		b, err := appendCompressed(nil, codec, DefaultLevel, src)
		if err != nil {
			t.Fatal(err)
		}
		for _, payload := range [][]byte{{}, {0}, b[:1], b[:len(b)/2], append(bytes.Clone(b), 1, 2, 3), bytes.Repeat([]byte{0xff}, 100)} {
			got, err := decompress(codec, payload, 0)
			if err == nil && bytes.Equal(got, src) {
				t.Errorf("%s: %d of %d bytes accepted", codec, len(payload), len(b))
			}
			if err != nil && !errors.Is(err, ErrCompression) {
				t.Errorf("%s: error %v", codec, err)
			}
		}
	}
	if _, err := decompress(5, src, 0); !errors.Is(err, ErrCompression) {
		t.Errorf("codec 5: %v", err)
	}
}

func TestSnappyForms(t *testing.T) {
	src := bytes.Repeat([]byte("snappy in both of its clothes "), 3000)
	raw := snappy.Encode(nil, src)
	header, _ := hex.DecodeString("82534e415050590000000001" + "00000001")
	littleEndian, _ := hex.DecodeString("82534e415050590001000000" + "01000000")
	version0, _ := hex.DecodeString("82534e415050590000000000" + "00000001")
	framed := func(header []byte, blocks ...[]byte) []byte {
		b := bytes.Clone(header)
		for _, block := range blocks {
			b = binary.BigEndian.AppendUint32(b, uint32(len(block)))
			b = append(b, block...)
		}
		return b
	}
	half := len(src) / 2
	a, b := snappy.Encode(nil, src[:half]), snappy.Encode(nil, src[half:])
	for _, tt := range []struct {
		name    string
		payload []byte
		ok      bool
	}{
		{"bare block", raw, true},
		{"one block", framed(header, raw), true},
		{"two blocks", framed(header, a, b), true},
		{"empty block between", framed(header, a, nil, b), true},
		{"two streams", append(framed(header, a), framed(header, b)...), true},
		{"version in the other byte order", framed(littleEndian, raw), true},
		{"version 0", framed(version0, raw), false},
		{"header cut", header[:10], false},
		{"block length beyond the end", framed(header, raw)[:len(header)+20], false},
		{"length cut", append(framed(header, raw), 0, 0), false},
	} {
		got, err := decompress(CodecSnappy, tt.payload, 0)
		if ok := err == nil && bytes.Equal(got, src); ok != tt.ok {
			t.Errorf("%s: %d bytes, %v", tt.name, len(got), err)
		}
	}
	claim := binary.AppendUvarint(nil, 200<<20) // 200 MiB from nothing
	if _, err := decompress(CodecSnappy, append(claim, 0, 'x'), 0); !errors.Is(err, ErrCompression) {
		t.Errorf("claimed size: %v", err)
	}
	if _, err := decompress(CodecSnappy, append(claim, 0, 'x'), 1<<20); !errors.Is(err, ErrDecompressedSize) {
		t.Errorf("claimed size above the limit: %v", err)
	}
	// The repeat extension of s2 is not snappy: offset 0 means "as before".
	s2only := s2.EncodeBetter(nil, bytes.Repeat([]byte("abcdefgh12345678"), 5000))
	if _, err := snappy.DecodeStrict(nil, s2only); err == nil {
		t.Skip("the encoder made no extension")
	}
	if _, err := decompress(CodecSnappy, s2only, 0); !errors.Is(err, ErrCompression) {
		t.Errorf("s2 extension: %v", err)
	}
}

func TestLZ4Forms(t *testing.T) {
	src := bytes.Repeat([]byte("lz4 frames of several kinds "), 10_000)
	frame := func(opts ...lz4.Option) []byte {
		var out bytes.Buffer
		w := lz4.NewWriter(&out)
		if err := w.Apply(opts...); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(src); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	plain := frame(lz4.ChecksumOption(false), lz4.BlockSizeOption(lz4.Block64Kb))
	change := func(at int, v byte) []byte {
		b := bytes.Clone(plain)
		b[at] = v
		return b
	}
	skippable := append([]byte{0x50, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 1, 2}, plain...)
	for _, tt := range []struct {
		name    string
		payload []byte
		ok      bool
	}{
		{"as Java", plain, true},
		{"content checksum", frame(lz4.ChecksumOption(true)), true},
		{"block checksum", frame(lz4.BlockChecksumOption(true)), true},
		{"content size", frame(lz4.SizeOption(uint64(len(src)))), true},
		{"4 MiB blocks", frame(lz4.BlockSizeOption(lz4.Block4Mb)), true},
		{"legacy frame", frame(lz4.LegacyOption(true)), false},
		{"dependent blocks", change(4, plain[4]&^lz4FlagIndependent), false},
		{"dictionary", change(4, plain[4]|1), false},
		{"frame version 2", change(4, plain[4]&^lz4FlagVersionMask|0x80), false},
		{"header checksum", change(6, plain[6]+1), false},
		{"two frames", append(bytes.Clone(plain), plain...), false},
		{"skippable frame", skippable, false},
		{"no end mark", plain[:len(plain)-4], false},
		{"byte behind", append(bytes.Clone(plain), 0), false},
	} {
		got, err := decompress(CodecLZ4, tt.payload, 0)
		if ok := err == nil && bytes.Equal(got, src); ok != tt.ok {
			t.Errorf("%s: %d bytes, %v", tt.name, len(got), err)
		}
		if !tt.ok && !errors.Is(err, ErrCompression) {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
	if plain[4] != 0x60 || plain[5] != 0x40 {
		t.Errorf("frame descriptor % x, Java writes 60 40", plain[4:6])
	}
}

// zstdFrame makes a frame with the given window, in bytes, without content size.
func zstdFrame(t *testing.T, window int, src []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(src); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil { // so that the size is not known in advance
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestZstdWindows(t *testing.T) {
	src := bytes.Repeat([]byte("zstd with windows of all sizes "), 1000)
	for _, window := range []int{1 << 10, 1 << 20, zstdStreamWindow, 2 * zstdStreamWindow, zstdMaxWindow} {
		got, err := decompress(CodecZstd, zstdFrame(t, window, src), 0)
		if err != nil || !bytes.Equal(got, src) {
			t.Errorf("window %d: %d bytes, %v", window, len(got), err)
		}
	}
	if _, err := decompress(CodecZstd, zstdFrame(t, 2*zstdMaxWindow, src), 0); !errors.Is(err, ErrCompression) {
		t.Errorf("window above the limit: %v", err)
	}
	big := zstdFrame(t, 2*zstdStreamWindow, make([]byte, 20<<20))
	if _, err := decompress(CodecZstd, big, 20<<20-1); !errors.Is(err, ErrDecompressedSize) {
		t.Errorf("large window, size above the limit: %v", err)
	}
	if got, err := decompress(CodecZstd, big, 20<<20); err != nil || len(got) != 20<<20 {
		t.Errorf("large window: %d bytes, %v", len(got), err)
	}
}

// A few bytes must not make the server allocate what they claim.
func TestClaimsDoNotAllocate(t *testing.T) {
	record := appendVarint(nil, 1<<30) // a record of 1 GiB that is not there
	for codec := CodecGzip; codec <= CodecZstd; codec++ {
		payload, err := appendCompressed(nil, codec, DefaultLevel, append(record, make([]byte, 100)...))
		if err != nil {
			t.Fatal(err)
		}
		b := patch(append(bytes.Clone(build(t, BuilderConfig{}, 1)[:HeaderSize]), payload...), func(b Batch) {
			b[offAttributes+1] = byte(codec)
			put32(offLength, int32(len(b)-LengthOverhead))(b)
		})
		if used := allocated(func() {
			for _, err := range b.Records(0) {
				if !errors.Is(err, ErrRecord) {
					t.Errorf("%s: %v", codec, err)
				}
			}
			if _, err := ValidateProduce(b, &ValidateOptions{}); err == nil {
				t.Errorf("%s: accepted", codec)
			}
		}); used > 32<<20 {
			t.Errorf("%s: %d MiB allocated", codec, used>>20)
		}
	}
	frame := zstdFrame(t, zstdMaxWindow, []byte("small"))
	if used := allocated(func() {
		if _, err := decompress(CodecZstd, frame, 0); err != nil {
			t.Error(err)
		}
	}); used > 32<<20 {
		t.Errorf("zstd window: %d MiB allocated", used>>20)
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
