package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// jsonRecord is a record read from one line of JSON. Bytes that are not UTF-8 stand in the fields that end in Base64;
// such a field goes before the one of the same name without the ending.
type jsonRecord struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	// Timestamp is in milliseconds since 1970, or a date by RFC 3339.
	Timestamp   json.RawMessage `json:"timestamp"`
	Key         json.RawMessage `json:"key"`
	KeyBase64   []byte          `json:"key_base64"`
	Value       json.RawMessage `json:"value"`
	ValueBase64 []byte          `json:"value_base64"`
	Headers     json.RawMessage `json:"headers"`
}

type jsonHeader struct {
	Key         string          `json:"key"`
	Value       json.RawMessage `json:"value"`
	ValueBase64 []byte          `json:"value_base64"`
}

// AppendJSON adds the record as one line of JSON, its end of line included.
func AppendJSON(dst []byte, r *kgo.Record) ([]byte, error) {
	dst = append(dst, `{"topic":`...)
	dst, err := appendString(dst, []byte(r.Topic))
	if err != nil {
		return dst, err
	}
	dst = strconv.AppendInt(append(dst, `,"partition":`...), int64(r.Partition), 10)
	dst = strconv.AppendInt(append(dst, `,"offset":`...), r.Offset, 10)
	dst = strconv.AppendInt(append(dst, `,"timestamp":`...), r.Timestamp.UnixMilli(), 10)
	if dst, err = appendField(append(dst, ','), "key", r.Key); err != nil {
		return dst, err
	}
	if dst, err = appendField(append(dst, ','), "value", r.Value); err != nil {
		return dst, err
	}
	for i, h := range r.Headers {
		dst = append(dst, ',')
		if i == 0 {
			dst = append(dst, `"headers":[`...)
		}
		if dst, err = appendString(append(dst, `{"key":`...), []byte(h.Key)); err != nil {
			return dst, err
		}
		if dst, err = appendField(append(dst, ','), "value", h.Value); err != nil {
			return dst, err
		}
		dst = append(dst, '}')
	}
	if len(r.Headers) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, "}\n"...), nil
}

// appendField adds "name":null, "name":"text", or "name_base64":"..." for bytes that are not UTF-8.
func appendField(dst []byte, name string, b []byte) ([]byte, error) {
	dst = append(append(dst, '"'), name...)
	switch {
	case b == nil:
		return append(dst, `":null`...), nil
	case !utf8.Valid(b):
		dst = base64.StdEncoding.AppendEncode(append(dst, `_base64":"`...), b)
		return append(dst, '"'), nil
	}
	return appendString(append(dst, `":`...), b)
}

// appendString adds text as a JSON string. What needs no escape, which is most, does not go through package json.
func appendString(dst, text []byte) ([]byte, error) {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := marshal(string(text))
			return append(dst, quoted...), err
		}
	}
	dst = append(append(dst, '"'), text...)
	return append(dst, '"'), nil
}

// marshal is json.Marshal that leaves <, > and & as they are: the text is for people and pipes, not for HTML.
func marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// ParseJSON makes a record out of one JSON object: key, value, headers and timestamp, each of them optional.
//
// A key or value that is a string stands for its bytes, null or absence for null, and any other JSON for its own
// text. Headers are a list of {"key":..., "value":...}, or an object. Topic, partition and offset are taken
// without effect, so that what AppendJSON printed can be read.
func ParseJSON(line []byte) (*kgo.Record, error) {
	var j jsonRecord
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		return nil, fmt.Errorf("not a record in JSON: %w", err)
	}
	if dec.More() {
		return nil, fmt.Errorf("more than one JSON value on the line")
	}
	var r kgo.Record
	var err error
	if r.Key, err = decodeBytes(j.Key, j.KeyBase64); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if r.Value, err = decodeBytes(j.Value, j.ValueBase64); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	if r.Timestamp, err = decodeTimestamp(j.Timestamp); err != nil {
		return nil, err
	}
	if r.Headers, err = decodeHeaders(j.Headers); err != nil {
		return nil, fmt.Errorf("headers: %w", err)
	}
	return &r, nil
}

func decodeBytes(text json.RawMessage, raw []byte) ([]byte, error) {
	switch {
	case raw != nil:
		return raw, nil
	case len(text) == 0 || string(text) == "null":
		return nil, nil
	case text[0] == '"':
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return nil, err
		}
		return []byte(s), nil
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func decodeTimestamp(text json.RawMessage) (time.Time, error) {
	if len(text) == 0 || string(text) == "null" {
		return time.Time{}, nil
	}
	var ms int64
	if err := json.Unmarshal(text, &ms); err == nil {
		return time.UnixMilli(ms), nil
	}
	var t time.Time
	if err := json.Unmarshal(text, &t); err != nil {
		return time.Time{}, fmt.Errorf("timestamp %s is neither milliseconds since 1970 nor a date such as \"2006-01-02T15:04:05Z\"", text)
	}
	return t, nil
}

func decodeHeaders(text json.RawMessage) ([]kgo.RecordHeader, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	if text[0] == '{' {
		return decodeHeaderObject(text)
	}
	var list []jsonHeader
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	headers := make([]kgo.RecordHeader, len(list))
	for i, h := range list {
		value, err := decodeBytes(h.Value, h.ValueBase64)
		if err != nil {
			return nil, err
		}
		headers[i] = kgo.RecordHeader{Key: h.Key, Value: value}
	}
	return headers, nil
}

// decodeHeaderObject keeps the order the headers are written in, which a map would lose.
func decodeHeaderObject(text json.RawMessage) ([]kgo.RecordHeader, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil { // the brace
		return nil, err
	}
	var headers []kgo.RecordHeader
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		value, err := decodeBytes(raw, nil)
		if err != nil {
			return nil, err
		}
		headers = append(headers, kgo.RecordHeader{Key: fmt.Sprint(name), Value: value})
	}
	return headers, nil
}
