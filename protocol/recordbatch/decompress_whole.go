package recordbatch

import (
	"bytes"
	"fmt"
	"io"
)

// Decompress returns payload decompressed; with CodecNone that is payload itself. More than limit bytes are
// ErrDecompressedSize, damage or an unknown codec is ErrCompression.
func Decompress(codec Codec, payload []byte, limit int64) ([]byte, error) {
	if codec == CodecNone {
		if int64(len(payload)) > limit {
			return nil, ErrDecompressedSize
		}
		return payload, nil
	}
	d, err := openDecompressor(codec, payload, limit)
	if err != nil {
		return nil, err
	}
	defer d.release()
	var out bytes.Buffer
	n, err := out.ReadFrom(io.LimitReader(d, limit+1))
	switch {
	case n > limit:
		return nil, ErrDecompressedSize
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCompression, err)
	}
	return out.Bytes(), nil
}
