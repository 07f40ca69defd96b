package group

import (
	"crypto/rand"
	"encoding/hex"
)

// randomUUID is a version 4 UUID in its text form (RFC 9562), as Java's
// UUID.randomUUID().toString() gives.
func randomUUID() string {
	var u [16]byte
	rand.Read(u[:]) // never fails: crypto/rand ends the program instead
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	out := make([]byte, 0, 36)
	for i, n := range [...]int{4, 2, 2, 2, 6} {
		if i > 0 {
			out = append(out, '-')
		}
		out = hex.AppendEncode(out, u[:n])
		copy(u[:], u[n:])
	}
	return string(out)
}
