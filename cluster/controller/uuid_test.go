package controller

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestUUIDText(t *testing.T) {
	for want, u := range map[string]UUID{
		"AAAAAAAAAAAAAAAAAAAAAQ": MetadataTopicID,
		"sdUH2iWZRIeA39XfnXbatQ": {177, 213, 7, 218, 37, 153, 68, 135, 128, 223, 213, 223, 157, 118, 218, 181},
		"ftsqGdOxS-6Ol8Q0X_aM4g": {126, 219, 42, 25, 211, 177, 75, 238, 142, 151, 196, 52, 95, 246, 140, 226},
	} {
		if got := u.String(); got != want {
			t.Errorf("%x is %s, want %s", u[:], got, want)
		}
	}
}

func TestNewUUIDAvoidsDash(t *testing.T) {
	dash := bytes.Repeat([]byte{0xfb}, 16) // '-' is 62: 0xf8..0xfb in the first byte
	plain := bytes.Repeat([]byte{0x21}, 16)
	u, err := NewUUID(bytes.NewReader(append(dash, plain...)))
	if err != nil {
		t.Fatal(err)
	}
	if u[0] != 0x21 || u[6]>>4 != 4 || u[8]>>6 != 2 || u.IsZero() {
		t.Errorf("%x", u)
	}
	if _, err := NewUUID(bytes.NewReader(plain[:8])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short random: %v", err)
	}
}
