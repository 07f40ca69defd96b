package handlers

import (
	"iter"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/internal/histogram"
	"kserver/protocol"
)

// Metrics counts requests and their errors. Its zero value is ready. What is
// counted for every request is counted apart for each loop, so that loops do not
// wait for each other's cache lines.
type Metrics struct {
	// Waiting requests, now: for acknowledgement, and for bytes.
	WaitingProduces, WaitingFetches atomic.Int64

	mu     sync.Mutex
	shards []*RequestTimes

	errors sync.Map // errorKey -> *atomic.Int64
}

// apiKeys is above every API key.
const apiKeys = 128

// RequestTimes has the durations of one loop's requests, by API. Only the
// loop's goroutine observes.
type RequestTimes struct {
	byKey [apiKeys]atomic.Pointer[histogram.Histogram]
}

// Shard makes the RequestTimes of one more loop.
func (m *Metrics) Shard() *RequestTimes {
	s := new(RequestTimes)
	m.mu.Lock()
	m.shards = append(m.shards, s)
	m.mu.Unlock()
	return s
}

// Observe counts a request of a served API that took d until it was answered or
// given up.
func (s *RequestTimes) Observe(key int16, d time.Duration) {
	h := s.byKey[key].Load()
	if h == nil {
		h = new(histogram.Histogram)
		s.byKey[key].Store(h)
	}
	h.Observe(d)
}

// Times iterates over the APIs that were asked, and how long the requests took.
func (m *Metrics) Times() iter.Seq2[int16, *histogram.Snapshot] {
	return func(yield func(int16, *histogram.Snapshot) bool) {
		m.mu.Lock()
		shards := m.shards
		m.mu.Unlock()
		for key := range apiKeys {
			var sum *histogram.Snapshot
			for _, s := range shards {
				if h := s.byKey[key].Load(); h != nil {
					if sum == nil {
						sum = new(histogram.Snapshot)
					}
					sum.Add(h)
				}
			}
			if sum != nil && !yield(int16(key), sum) {
				return
			}
		}
	}
}

// errorKey is what errors are counted by: there are as many as APIs and codes.
type errorKey struct {
	api  int16
	code protocol.ErrorCode
}

// Errors iterates over the error codes in answers, and how often each was given.
func (m *Metrics) Errors() iter.Seq2[APIError, int64] {
	return func(yield func(APIError, int64) bool) {
		m.errors.Range(func(k, n any) bool {
			key := k.(errorKey)
			return yield(APIError{key.api, key.code}, n.(*atomic.Int64).Load())
		})
	}
}

// APIError is an error code in answers of an API.
type APIError struct {
	Key  int16
	Code protocol.ErrorCode
}

// Error counts an error code of an answer. Any goroutine may call it.
func (m *Metrics) Error(key int16, code protocol.ErrorCode) {
	if m == nil || code == protocol.None {
		return
	}
	k := errorKey{key, code}
	n, ok := m.errors.Load(k)
	if !ok {
		n, _ = m.errors.LoadOrStore(k, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1)
}

// errorsOf counts every error code in an answer, as Kafka does: one answer may
// have one for each partition.
func (m *Metrics) errorsOf(key int16, resp kmsg.Response) {
	if m == nil {
		return
	}
	if p, ok := resp.(*kmsg.ProduceResponse); ok { // the usual one, quickly
		for i := range p.Topics {
			for j := range p.Topics[i].Partitions {
				m.Error(key, protocol.ErrorCode(p.Topics[i].Partitions[j].ErrorCode))
			}
		}
		return
	}
	v := reflect.ValueOf(resp).Elem()
	codesOf(key, v.Type()).walk(v, func(code int64) { m.Error(key, protocol.ErrorCode(code)) })
}

// codes says where a struct has error codes.
type codes struct {
	fields []int // of this struct
	nested []nestedCodes
}

// nestedCodes is a field that is a struct, or a slice of structs, with codes.
type nestedCodes struct {
	field int
	slice bool
	codes *codes
}

// knownCodes are the answers' codes by API: each API has one type of answer.
var knownCodes [apiKeys]atomic.Pointer[codes]

func codesOf(key int16, t reflect.Type) *codes {
	c := knownCodes[key].Load()
	if c == nil {
		c = findCodes(t)
		knownCodes[key].Store(c)
	}
	return c
}

func findCodes(t reflect.Type) *codes {
	c := new(codes)
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "ErrorCode" && f.Type.Kind() == reflect.Int16 {
			c.fields = append(c.fields, i)
			continue
		}
		elem, slice := f.Type, f.Type.Kind() == reflect.Slice
		if slice {
			elem = elem.Elem()
		}
		if !f.IsExported() || elem.Kind() != reflect.Struct {
			continue
		}
		if nested := findCodes(elem); len(nested.fields)+len(nested.nested) > 0 {
			c.nested = append(c.nested, nestedCodes{i, slice, nested})
		}
	}
	return c
}

// walk calls f for every code of v that is not 0.
func (c *codes) walk(v reflect.Value, f func(int64)) {
	for _, i := range c.fields {
		if code := v.Field(i).Int(); code != 0 {
			f(code)
		}
	}
	for i := range c.nested {
		n := &c.nested[i]
		field := v.Field(n.field)
		if !n.slice {
			n.codes.walk(field, f)
			continue
		}
		for j := range field.Len() {
			n.codes.walk(field.Index(j), f)
		}
	}
}

// waitingProduces and waitingFetches count requests that begin (+1) and end (-1)
// to wait.
func (m *Metrics) waitingProduces(n int64) {
	if m != nil {
		m.WaitingProduces.Add(n)
	}
}

func (m *Metrics) waitingFetches(n int64) {
	if m != nil {
		m.WaitingFetches.Add(n)
	}
}
