package load

import (
	"bytes"
	"compress/flate"
	"testing"

	"kserver/cmd/kbench/integrity"
)

// packed returns the compressed size of 64 values as a share of their size.
func packed(t *testing.T, random float64) float64 {
	t.Helper()
	const size = 1000
	p := NewPayload(size, 1, false, random)
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range int64(64) {
		v := make([]byte, size)
		p.Fill(v, integrity.Stamp{Sequence: seq})
		if _, err := w.Write(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return float64(out.Len()) / (64 * size)
}

func TestPayloadRandomShare(t *testing.T) {
	none, half, all := packed(t, 0), packed(t, 0.5), packed(t, 1)
	if none > 0.02 || half < 0.4 || half > 0.65 || all < 0.98 {
		t.Errorf("compressed to %.2f, %.2f, %.2f of the size with no, half and all bytes random", none, half, all)
	}
}

func TestPayloadStamps(t *testing.T) {
	p := NewPayload(100, 7, true, 1)
	v := make([]byte, 100)
	want := integrity.Stamp{Run: 7, Producer: 1, Partition: 2, Sequence: 3, Time: 4}
	p.Fill(v, want)
	if got, err := integrity.ParseChecked(v); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	want.Sequence = 9
	p.Restamp(v, want)
	if got, err := integrity.ParseChecked(v); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}
