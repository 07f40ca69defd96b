package controller

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestUUIDText(t *testing.T) {
	for _, s := range []string{"AAAAAAAAAAAAAAAAAAAAAQ", "sdUH2iWZRIeA39XfnXbatQ", "ftsqGdOxS-6Ol8Q0X_aM4g"} {
		u, err := ParseUUID(s)
		if err != nil || u.String() != s {
			t.Errorf("%s became %s, %v", s, u, err)
		}
	}
	for _, s := range []string{"", "AAAA", "sdUH2iWZRIeA39XfnXbatQ==", "sdUH2iWZRIeA39XfnXbat!", "ftsqGdOxS-6Ol8Q0X_aM4gAA", "sdUH2iWZRIeA39XfnXbatR"} {
		if _, err := ParseUUID(s); !errors.Is(err, ErrUUID) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if MetadataTopicID.String() != "AAAAAAAAAAAAAAAAAAAAAQ" {
		t.Errorf("metadata topic id %s", MetadataTopicID)
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
