package recordbatch

import (
	"bytes"
	"errors"
	"testing"
)

func TestDecompress(t *testing.T) {
	want := bytes.Repeat([]byte("metrics "), 1000)
	size := int64(len(want))
	for _, codec := range []Codec{CodecNone, CodecGzip, CodecSnappy, CodecLZ4, CodecZstd} {
		packed, err := appendCompressed(nil, codec, DefaultLevel, want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decompress(codec, packed, size); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", codec, len(got), err)
		}
		if _, err := Decompress(codec, packed, size-1); !errors.Is(err, ErrDecompressedSize) {
			t.Errorf("%s: %v for one byte too many", codec, err)
		}
		if codec == CodecNone {
			continue
		}
		for _, damaged := range [][]byte{packed[:len(packed)/2], []byte("nonsense, and nothing else")} {
			if _, err := Decompress(codec, damaged, size); err == nil {
				t.Errorf("%s: no error for damage", codec)
			}
		}
	}
	if _, err := Decompress(9, want, size); !errors.Is(err, ErrCompression) {
		t.Errorf("unknown codec: %v", err)
	}
}
