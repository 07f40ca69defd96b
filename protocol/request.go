package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// KeyApiVersions is the one API whose header and version rules differ from all
// others.
const KeyApiVersions int16 = 18

var (
	// ErrUnknownAPI says that a request header names a key or version that Kafka
	// 4.4 does not have. Kafka closes the connection, except for ApiVersions,
	// whose answer then is the fallback of ApiVersionsResponse.
	ErrUnknownAPI = errors.New("protocol: unknown API key or version")
	// ErrMalformed says that a header or body is not what its version prescribes.
	// Kafka closes the connection.
	ErrMalformed = errors.New("protocol: malformed request")
)

// RequestHeader is what every request begins with.
type RequestHeader struct {
	Key           int16
	Version       int16
	CorrelationID int32
	// ClientID is nil if the client sent null. It does not alias the frame.
	ClientID *string
}

// ParseRequestHeader splits a frame, without its length, into header and body.
// body aliases frame. Header version 2, with tagged fields, is expected where
// the version of the API is flexible; the tagged fields are skipped.
//
// Errors: ErrUnknownAPI, with Key, Version and CorrelationID filled in, and
// ErrMalformed, with what could be read.
func ParseRequestHeader(frame []byte) (h RequestHeader, body []byte, err error) {
	body, err = h.Parse(frame)
	return h, body, err
}

// Parse is ParseRequestHeader for a header that is used again, such as that of a
// connection: as long as the client id stays the same, nothing is allocated. A
// ClientID that was handed out before is never changed.
func (h *RequestHeader) Parse(frame []byte) (body []byte, err error) {
	previous := h.ClientID
	*h = RequestHeader{}
	if len(frame) < 4 {
		return nil, fmt.Errorf("%w: header of %d bytes", ErrMalformed, len(frame))
	}
	h.Key = int16(binary.BigEndian.Uint16(frame))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	if len(frame) < 8 {
		return nil, fmt.Errorf("%w: header of %d bytes", ErrMalformed, len(frame))
	}
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	l := layoutOf(h.Key, h.Version)
	if l == nil {
		return nil, fmt.Errorf("%w: key %d version %d", ErrUnknownAPI, h.Key, h.Version)
	}
	body, ok := h.parseClientID(frame[8:], previous)
	if ok && l.flexible {
		body, ok = skipTags(body)
	}
	if !ok {
		return nil, fmt.Errorf("%w: header of key %d version %d", ErrMalformed, h.Key, h.Version)
	}
	return body, nil
}

// parseClientID reads the nullable string, which has a 16-bit length in every
// header version.
func (h *RequestHeader) parseClientID(b []byte, previous *string) (rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, false
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	b = b[2:]
	switch {
	case n < -1 || n > len(b):
		return nil, false
	case n == -1:
		return b, true
	case previous != nil && string(b[:n]) == *previous:
		h.ClientID = previous
	default:
		id := string(b[:n])
		h.ClientID = &id
	}
	return b[n:], true
}

// skipTags skips the tagged fields of a header.
func skipTags(b []byte) (rest []byte, ok bool) {
	c := checker{flexible: true}
	return c.tags(nil, b)
}

// AppendResponseHeader appends the header of the answer to a request: the
// correlation id, and the empty tagged fields of header version 1 if the request
// version is flexible. ApiVersions always has version 0, so that a client that
// does not yet know what the broker speaks can read it (KIP-511).
func AppendResponseHeader(dst []byte, key, version int16, correlationID int32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if key != KeyApiVersions && IsFlexible(key, version) {
		dst = append(dst, 0)
	}
	return dst
}

// IsFlexible reports whether requests and responses of this key and version have
// compact lengths and tagged fields (KIP-482). It is false for unknown APIs.
func IsFlexible(key, version int16) bool {
	s := shapeOf(key)
	return s != nil && version >= s.flexible
}

// KnownVersions returns the versions of an API that this package decodes, and
// whether it knows the API at all.
func KnownVersions(key int16) (r VersionRange, ok bool) {
	s := shapeOf(key)
	if s == nil {
		return VersionRange{}, false
	}
	return VersionRange{s.key, s.min, s.max}, true
}

// NewRequest returns an empty request to decode into, with its version set, or
// nil if key or version are unknown.
func NewRequest(key, version int16) kmsg.Request {
	if layoutOf(key, version) == nil {
		return nil
	}
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	return req
}

// Checked is what is known of a body that fits the layout of its version: every
// length and count fits the bytes that are there, no byte is left over, and there
// are no more than MaxElements array elements.
type Checked struct {
	// Elements is the number of array elements, nested ones included.
	Elements int
	// Memory is at most about what the decoded request takes, in bytes, whether or
	// not it aliases the body.
	Memory int64

	hasBytes bool
}

// Check walks a body along the layout of its version, without decoding it. kmsg,
// on its own, bounds an array by one byte per element, does not bound tagged fields
// at all, and does not say where it stopped.
//
// Errors: ErrMalformed, ErrUnknownAPI.
func Check(key, version int16, body []byte) (Checked, error) {
	l := layoutOf(key, version)
	if l == nil {
		return Checked{}, fmt.Errorf("%w: key %d version %d", ErrUnknownAPI, key, version)
	}
	c, ok := l.check(body)
	if !ok {
		return Checked{}, decodeError(key, version, kbin.ErrNotEnoughData)
	}
	checked := Checked{Elements: c.elements, Memory: int64(c.held), hasBytes: l.hasBytes}
	if l.hasBytes {
		checked.Memory += int64(allocated(len(body)))
	}
	return checked, nil
}

// Decode parses the body, which is the one that was checked, into req, whose
// version says how. Nothing in req aliases body afterwards.
//
// Errors: ErrMalformed.
func (c Checked) Decode(req kmsg.Request, body []byte) error {
	if c.hasBytes {
		body = bytes.Clone(body) // kmsg copies strings, but not bytes
	}
	return decodeError(req.Key(), req.GetVersion(), req.ReadFrom(body))
}

// DecodeAliased is Decode without copies, for the hot path: strings and byte
// slices in req, record batches among them, alias body and are valid as long as
// it is. req has to be new: kmsg leaves optional fields that the body does not
// hold as they were, which could be another client's.
func (c Checked) DecodeAliased(req kmsg.Request, body []byte) error {
	if u, ok := req.(interface{ UnsafeReadFrom([]byte) error }); ok {
		return decodeError(req.Key(), req.GetVersion(), u.UnsafeReadFrom(body))
	}
	return decodeError(req.Key(), req.GetVersion(), req.ReadFrom(body))
}

// Decode checks a body and parses it into req, whose version says how.
//
// Errors: ErrMalformed, ErrUnknownAPI.
func Decode(req kmsg.Request, body []byte) error {
	c, err := Check(req.Key(), req.GetVersion(), body)
	if err != nil {
		return err
	}
	return c.Decode(req, body)
}

// DecodeAliased checks a body and parses it without copies.
//
// Errors: ErrMalformed, ErrUnknownAPI.
func DecodeAliased(req kmsg.Request, body []byte) error {
	c, err := Check(req.Key(), req.GetVersion(), body)
	if err != nil {
		return err
	}
	return c.DecodeAliased(req, body)
}

func decodeError(key, version int16, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: body of key %d version %d: %w", ErrMalformed, key, version, err)
}
