package controller

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// UUID is a 128-bit identifier as Kafka uses it for topics, directories, broker
// incarnations and the cluster. The zero value stands for "none".
type UUID [16]byte

// ErrUUID says that a text is not an identifier in Kafka's form.
var ErrUUID = errors.New("controller: not a base64 UUID")

// String returns Kafka's form: url-safe base64 without padding, 22 characters.
func (u UUID) String() string { return base64.RawURLEncoding.EncodeToString(u[:]) }

// IsZero reports whether u is the zero UUID.
func (u UUID) IsZero() bool { return u == UUID{} }

// ParseUUID reads Kafka's form. It returns ErrUUID, wrapped, for anything else.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(u) {
		return UUID{}, fmt.Errorf("%w: %q", ErrUUID, s)
	}
	copy(u[:], b)
	return u, nil
}

// reservedUUIDs is how many of the smallest identifiers Kafka keeps for itself
// (the metadata topic, lost and unassigned directories).
const reservedUUIDs = 100

// NewUUID makes a random (version 4) identifier from the bytes of random. Like
// Kafka it avoids the reserved ones and texts that begin with a dash, which
// command lines take for an option.
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

// reserved reports whether u is one of the identifiers with a meaning of its own.
func (u UUID) reserved() bool {
	for _, b := range u[:15] {
		if b != 0 {
			return false
		}
	}
	return u[15] < reservedUUIDs
}

// Directory identifiers with a meaning of their own (KIP-858).
var (
	// DirectoryMigrating marks a replica whose broker has several directories
	// and has not told which one it chose.
	DirectoryMigrating = UUID{}
	// DirectoryUnassigned marks a replica that has not been given a directory.
	DirectoryUnassigned = UUID{15: 1}
	// DirectoryLost marks a replica whose directory is offline.
	DirectoryLost = UUID{15: 2}
)
