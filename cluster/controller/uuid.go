package controller

import (
	"encoding/base64"
	"fmt"
	"io"
)

// UUID is a 128-bit identifier as Kafka uses it for topics, directories, broker
// incarnations and the cluster. The zero value stands for "none".
type UUID [16]byte

// String returns Kafka's form: url-safe base64 without padding, 22 characters.
func (u UUID) String() string { return base64.RawURLEncoding.EncodeToString(u[:]) }

// ParseUUID reads what String writes.
func ParseUUID(text string) (UUID, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != len(UUID{}) {
		return UUID{}, fmt.Errorf("%q is no uuid of 22 characters", text)
	}
	return UUID(b), nil
}

// IsZero reports whether u is the zero UUID.
func (u UUID) IsZero() bool { return u == UUID{} }

// NewUUID makes a random (version 4) identifier from the bytes of random. Like
// Kafka it avoids texts that begin with a dash, which command lines take for an
// option; the identifiers Kafka reserves are not of version 4.
func NewUUID(random io.Reader) (UUID, error) {
	for {
		var u UUID
		if _, err := io.ReadFull(random, u[:]); err != nil {
			return UUID{}, fmt.Errorf("controller: random bytes: %w", err)
		}
		u[6] = u[6]&0x0f | 0x40
		u[8] = u[8]&0x3f | 0x80
		if u.String()[0] != '-' {
			return u, nil
		}
	}
}

// DirectoryUnassigned stands for the directory of a replica that has not been
// given one (KIP-858).
var DirectoryUnassigned = UUID{15: 1}
