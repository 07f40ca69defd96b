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

// Decode parses the whole body into req, whose version says how. Nothing in req
// aliases body afterwards.
//
// The body is first checked against the layout of its version: every length and
// count against the bytes that are there, no byte left over, and no more than
// MaxElements array elements. Only then kmsg decodes it, which on its own bounds
// an array by one byte per element, does not bound tagged fields at all, and does
// not say where it stopped.
//
// Errors: ErrMalformed, ErrUnknownAPI.
func Decode(req kmsg.Request, body []byte) error {
	l, err := checkBody(req, body)
	if err != nil {
		return err
	}
	if l.hasBytes {
		body = bytes.Clone(body) // kmsg copies strings, but not bytes
	}
	return decodeError(req, req.ReadFrom(body))
}

// DecodeAliased is Decode without copies, for the hot path: strings and byte
// slices in req, record batches among them, alias body and are valid as long as
// it is. req has to be new: kmsg leaves optional fields that the body does not
// hold as they were, which could be another client's.
func DecodeAliased(req kmsg.Request, body []byte) error {
	if _, err := checkBody(req, body); err != nil {
		return err
	}
	if u, ok := req.(interface{ UnsafeReadFrom([]byte) error }); ok {
		return decodeError(req, u.UnsafeReadFrom(body))
	}
	return decodeError(req, req.ReadFrom(body))
}

// CountElements returns how many array elements the body of a request has, nested
// ones included, without decoding it. ok is false when the body is malformed or
// the version unknown.
func CountElements(key, version int16, body []byte) (n int, ok bool) {
	l := layoutOf(key, version)
	if l == nil {
		return 0, false
	}
	c := checker{flexible: l.flexible}
	rest, ok := c.fields(l.fields, body)
	return c.elements, ok && len(rest) == 0
}

func checkBody(req kmsg.Request, body []byte) (*layout, error) {
	l := layoutOf(req.Key(), req.GetVersion())
	if l == nil {
		return nil, fmt.Errorf("%w: key %d version %d", ErrUnknownAPI, req.Key(), req.GetVersion())
	}
	if !l.check(body) {
		return nil, decodeError(req, kbin.ErrNotEnoughData)
	}
	return l, nil
}

func decodeError(req kmsg.Request, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: body of key %d version %d: %w", ErrMalformed, req.Key(), req.GetVersion(), err)
}
