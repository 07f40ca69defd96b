package engine

import (
	"bytes"
	"errors"
	"testing"

	"kserver/protocol/recordbatch"
)

// An append that must not take long gives up on what decompresses to too much,
// holds too many records or has to be compressed anew, and leaves nothing behind.
func TestCostlyAppends(t *testing.T) {
	packed := func(records, size int, codec recordbatch.Codec) []byte {
		w := recordbatch.NewBuilder(recordbatch.BuilderConfig{Codec: codec})
		for range records {
			w.Append(1, nil, make([]byte, size))
		}
		b, err := w.Build()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const limit = 64 << 10
	zstd := LogConfig{CompressionType: recordbatch.CompressionZstd}
	for _, tc := range []struct {
		name   string
		cfg    LogConfig
		batch  []byte
		costly bool
	}{
		{"plain", LogConfig{}, packed(1, 2*limit, recordbatch.CodecNone), false},
		{"little", LogConfig{}, packed(10, 100, recordbatch.CodecGzip), false},
		{"much", LogConfig{}, packed(1, 2*limit, recordbatch.CodecGzip), true},
		{"many", LogConfig{}, packed(limit/2, 0, recordbatch.CodecZstd), true},
		{"anew", zstd, packed(1, 10, recordbatch.CodecNone), true},
		{"the topic's codec", zstd, packed(1, 10, recordbatch.CodecZstd), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := DefaultLogConfig()
			if tc.cfg.CompressionType != 0 {
				cfg.CompressionType = tc.cfg.CompressionType
			}
			b := bytes.Clone(tc.batch)
			_, err := validateAs(t, &cfg, b, limit)
			if errors.Is(err, ErrCostly) != tc.costly || !tc.costly && err != nil {
				t.Errorf("%v", err)
			}
			if tc.costly && !bytes.Equal(b, tc.batch) {
				t.Error("a batch that was given up has changed")
			}
			if _, err := validateAs(t, &cfg, b, 0); err != nil {
				t.Errorf("without a limit: %v", err)
			}
		})
	}
}

// What a batch may grow to depends on what it has.
func TestDecompressionLimit(t *testing.T) {
	cfg := DefaultLogConfig()
	for _, tc := range []struct{ batch, max int }{{100, leastDecompressed}, {1 << 20, 256 << 20}, {100 << 20, 256 << 20}, {500_000, 128_000_000}} {
		if got := maxDecompressed(tc.batch, &cfg); got < int64(tc.max) || got > max(int64(tc.max), decompressedFactor*int64(cfg.MaxMessageBytes)) {
			t.Errorf("%d bytes may become %d, want %d", tc.batch, got, tc.max)
		}
	}
}

func validateAs(t *testing.T, cfg *LogConfig, b []byte, limit int64) ([]byte, error) {
	t.Helper()
	l := &Log{}
	return l.validate(b, cfg, 1, &AppendOptions{MaxDecompressed: limit})
}
