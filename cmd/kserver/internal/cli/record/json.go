package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// jsonRecord is a record as one line of JSON. Bytes that are not UTF-8 stand in the fields that end in Base64;
// such a field goes before the one of the same name without the ending.
type jsonRecord struct {
	Topic     string `json:"topic,omitempty"`
	Partition *int32 `json:"partition,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
	// Timestamp is in milliseconds since 1970, or a date by RFC 3339 in input.
	Timestamp   json.RawMessage `json:"timestamp,omitempty"`
	Key         json.RawMessage `json:"key,omitempty"`
	KeyBase64   []byte          `json:"key_base64,omitempty"`
	Value       json.RawMessage `json:"value,omitempty"`
	ValueBase64 []byte          `json:"value_base64,omitempty"`
	Headers     json.RawMessage `json:"headers,omitempty"`
}

type jsonHeader struct {
	Key         string          `json:"key"`
	Value       json.RawMessage `json:"value,omitempty"`
	ValueBase64 []byte          `json:"value_base64,omitempty"`
}

// AppendJSON adds the record as one line of JSON, its end of line included.
func AppendJSON(dst []byte, r *kgo.Record) ([]byte, error) {
	j := jsonRecord{
		Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset,
		Timestamp: strconv.AppendInt(nil, r.Timestamp.UnixMilli(), 10),
	}
	var err error
	if j.Key, j.KeyBase64, err = encodeBytes(r.Key); err != nil {
		return dst, err
	}
	if j.Value, j.ValueBase64, err = encodeBytes(r.Value); err != nil {
		return dst, err
	}
	if len(r.Headers) > 0 {
		headers := make([]jsonHeader, len(r.Headers))
		for i, h := range r.Headers {
			headers[i].Key = h.Key
			if headers[i].Value, headers[i].ValueBase64, err = encodeBytes(h.Value); err != nil {
				return dst, err
			}
		}
		if j.Headers, err = marshal(headers); err != nil {
			return dst, err
		}
	}
	line, err := marshal(j)
	if err != nil {
		return dst, err
	}
	return append(append(dst, line...), '\n'), nil
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

// encodeBytes returns null or a JSON string, or the bytes themselves when they are not UTF-8.
func encodeBytes(b []byte) (text json.RawMessage, raw []byte, err error) {
	if b == nil {
		return json.RawMessage("null"), nil, nil
	}
	if !utf8.Valid(b) {
		return nil, b, nil
	}
	text, err = marshal(string(b))
	return text, nil, err
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
