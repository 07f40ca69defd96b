package telemetry

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The decoder walks OTLP's MetricsData v1 (opentelemetry-proto, metrics.proto) as protobuf's wire format has it,
// without generated code: it needs a few fields of few messages, each nested at a known depth. Fields it does not know
// are skipped, as protobuf demands.

// kind is how values of a series follow each other.
type kind uint8

const (
	gauge          kind = iota // the last value counts
	sum                        // the last value counts, and does not fall
	deltaSum                   // values add up
	histogram                  // the last one counts
	deltaHistogram             // they add up
)

// point is one data point. Its strings are its own.
type point struct {
	name   string
	kind   kind
	labels []Label
	value  float64 // of gauges and sums; the sum of a histogram
	bounds []float64
	counts []int64 // of a histogram: one more than bounds, by bucket
}

// Label is one attribute of a series.
type Label struct{ Name, Value string }

// Bounds of one push.
const (
	maxPoints     = 4096 // data points
	maxLabels     = 24   // of one data point, with those of its resource
	maxNameBytes  = 256  // of a metric or an attribute
	maxValueBytes = 1024 // of an attribute
	maxBuckets    = 128  // of a histogram
)

// errPayload is wrapped by what decode and decompression return.
var errPayload = errors.New("telemetry: payload is no OTLP metrics data")

// decoder collects the points of one push.
type decoder struct {
	points  []point
	dropped int // points beyond a bound, or of a kind that is not kept
}

// decode returns the data points of an OTLP payload that have a value, and how many were left out: beyond the bounds
// above, counters that are no number, and kinds no Kafka client has (summaries, exponential histograms).
func decode(data []byte) (points []point, dropped int, err error) {
	d := &decoder{}
	// MetricsData: resource_metrics 1.
	err = fields(data, func(num protowire.Number, f field) error {
		if num != 1 {
			return nil
		}
		return f.message(d.resourceMetrics)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errPayload, err)
	}
	return d.points, d.dropped, nil
}

// field is one field's value: number for varint, fixed32 and fixed64, bytes for the rest.
type field struct {
	typ    protowire.Type
	number uint64
	bytes  []byte
}

var errType = errors.New("field of another type")

func (f field) message(parse func([]byte) error) error {
	if f.typ != protowire.BytesType {
		return errType
	}
	return parse(f.bytes)
}

func (f field) text() (string, error) {
	if f.typ != protowire.BytesType {
		return "", errType
	}
	if !utf8.Valid(f.bytes) {
		return "", errors.New("string is not UTF-8")
	}
	return string(f.bytes), nil
}

// fields calls each for every field of a message, in order. A group is skipped.
func fields(b []byte, each func(protowire.Number, field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		f := field{typ: typ}
		switch typ {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.number = uint64(v)
		case protowire.Fixed64Type:
			f.number, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if typ == protowire.StartGroupType {
			continue
		}
		if err := each(num, f); err != nil {
			return fmt.Errorf("%d: %w", num, err)
		}
	}
	return nil
}

// resourceMetrics: resource 1, scope_metrics 2. The resource may come last, so it is looked for first.
func (d *decoder) resourceMetrics(b []byte) error {
	var shared []Label
	err := fields(b, func(num protowire.Number, f field) error {
		if num != 1 {
			return nil
		}
		return f.message(func(b []byte) (err error) { // Resource: attributes 1
			shared, err = attributes(b, 1, shared)
			return err
		})
	})
	if err != nil {
		return err
	}
	return fields(b, func(num protowire.Number, f field) error {
		if num != 2 {
			return nil
		}
		return f.message(func(b []byte) error { // ScopeMetrics: metrics 2
			return fields(b, func(num protowire.Number, f field) error {
				if num != 2 {
					return nil
				}
				return f.message(func(b []byte) error { return d.metric(b, shared) })
			})
		})
	})
}

// metric: name 1, gauge 5, sum 7, histogram 9, exponential_histogram 10, summary 11.
func (d *decoder) metric(b []byte, shared []Label) error {
	var name string
	err := fields(b, func(num protowire.Number, f field) (err error) {
		if num == 1 {
			name, err = f.text()
		}
		return err
	})
	if err != nil {
		return err
	}
	return fields(b, func(num protowire.Number, f field) error {
		switch num {
		case 5, 7, 9:
			return f.message(func(b []byte) error { return d.data(num, b, name, shared) })
		case 10, 11:
			return f.message(func(b []byte) error { return d.skipped(b) })
		}
		return nil
	})
}

// The numbers of a Metric's fields that hold data.
const (
	dataGauge     protowire.Number = 5
	dataSum       protowire.Number = 7
	dataHistogram protowire.Number = 9
)

// temporalityDelta is AGGREGATION_TEMPORALITY_DELTA.
const temporalityDelta = 1

// data is a Gauge, Sum or Histogram: data_points 1, aggregation_temporality 2, is_monotonic 3.
func (d *decoder) data(what protowire.Number, b []byte, name string, shared []Label) error {
	delta, monotonic := false, false
	err := fields(b, func(num protowire.Number, f field) error {
		switch {
		case num == 2 && f.typ == protowire.VarintType:
			delta = f.number == temporalityDelta
		case num == 3 && f.typ == protowire.VarintType:
			monotonic = f.number != 0
		case num == 2 || num == 3:
			return errType
		}
		return nil
	})
	if err != nil {
		return err
	}
	if what == dataSum && delta && !monotonic { // neither a counter nor, without its beginning, a gauge
		return d.skipped(b)
	}
	p := point{name: name}
	switch {
	case what == dataHistogram && delta:
		p.kind = deltaHistogram
	case what == dataHistogram:
		p.kind = histogram
	case what == dataSum && delta:
		p.kind = deltaSum
	case what == dataSum && monotonic:
		p.kind = sum
	}
	return fields(b, func(num protowire.Number, f field) error {
		if num != 1 {
			return nil
		}
		return f.message(func(b []byte) error {
			if what == dataHistogram {
				return d.histogramPoint(b, p, shared)
			}
			return d.numberPoint(b, p, shared)
		})
	})
}

// skipped counts the data points of a kind that is not kept.
func (d *decoder) skipped(b []byte) error {
	return fields(b, func(num protowire.Number, f field) error {
		if num == 1 {
			d.dropped++
		}
		return nil
	})
}

// noRecordedValue is the flag of a data point without value.
const noRecordedValue = 1

// numberPoint: as_double 4, as_int 6, attributes 7, flags 8.
func (d *decoder) numberPoint(b []byte, p point, shared []Label) error {
	present := false
	err := fields(b, func(num protowire.Number, f field) error {
		switch num {
		case 4, 6:
			if f.typ != protowire.Fixed64Type {
				return errType
			}
			present = true
			if p.value = float64(int64(f.number)); num == 4 {
				p.value = math.Float64frombits(f.number)
			}
		case 8:
			if f.number&noRecordedValue != 0 {
				present = false
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.labels, err = attributes(b, 7, shared); err != nil {
		return err
	}
	switch {
	case !present:
		return nil
	case p.kind != gauge && (!finite(p.value) || p.value < 0): // a gauge without a value may be NaN
		d.dropped++
		return nil
	}
	d.add(p)
	return nil
}

// histogramPoint: count 4, sum 5, bucket_counts 6, explicit_bounds 7, attributes 9, flags 10.
func (d *decoder) histogramPoint(b []byte, p point, shared []Label) error {
	bad := false
	err := fields(b, func(num protowire.Number, f field) error {
		switch num {
		case 5:
			if f.typ != protowire.Fixed64Type {
				return errType
			}
			p.value = math.Float64frombits(f.number)
		case 6:
			return f.fixed64s(func(v uint64) {
				bad = bad || len(p.counts) > maxBuckets || v > math.MaxInt64>>8
				if !bad {
					p.counts = append(p.counts, int64(v))
				}
			})
		case 7:
			return f.fixed64s(func(v uint64) {
				bound := math.Float64frombits(v)
				bad = bad || len(p.bounds) >= maxBuckets || !finite(bound) || len(p.bounds) > 0 && bound <= p.bounds[len(p.bounds)-1]
				if !bad {
					p.bounds = append(p.bounds, bound)
				}
			})
		case 10:
			bad = bad || f.number&noRecordedValue != 0
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.labels, err = attributes(b, 9, shared); err != nil {
		return err
	}
	if bad || !finite(p.value) || len(p.counts) != len(p.bounds)+1 {
		d.dropped++
		return nil
	}
	d.add(p)
	return nil
}

// fixed64s calls each for every value of a repeated field, packed or not.
func (f field) fixed64s(each func(uint64)) error {
	switch f.typ {
	case protowire.Fixed64Type:
		each(f.number)
		return nil
	case protowire.BytesType:
		for b := f.bytes; len(b) > 0; {
			v, n := protowire.ConsumeFixed64(b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			each(v)
			b = b[n:]
		}
		return nil
	}
	return errType
}

// add keeps a point, if it is within the bounds.
func (d *decoder) add(p point) {
	if len(d.points) >= maxPoints || p.name == "" || len(p.name) > maxNameBytes || len(p.labels) > maxLabels {
		d.dropped++
		return
	}
	d.points = append(d.points, p)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// attributes returns shared and the KeyValues of a message's field num: key 1, value 2. Those too long to be labels are
// left out, those whose value is a list or the like too.
func attributes(b []byte, num protowire.Number, shared []Label) ([]Label, error) {
	labels := shared[:len(shared):len(shared)]
	err := fields(b, func(n protowire.Number, f field) error {
		if n != num {
			return nil
		}
		return f.message(func(b []byte) error {
			var l Label
			known := false
			err := fields(b, func(n protowire.Number, f field) (err error) {
				switch n {
				case 1:
					l.Name, err = f.text()
				case 2:
					err = f.message(func(b []byte) (err error) {
						l.Value, known, err = anyValue(b)
						return err
					})
				}
				return err
			})
			if err == nil && known && l.Name != "" && len(l.Name) <= maxNameBytes && len(l.Value) <= maxValueBytes && len(labels) <= maxLabels {
				labels = append(labels, l)
			}
			return err
		})
	})
	return labels, err
}

// anyValue: string_value 1, bool_value 2, int_value 3, double_value 4.
func anyValue(b []byte) (text string, known bool, err error) {
	err = fields(b, func(num protowire.Number, f field) (err error) {
		switch {
		case num == 1:
			text, err = f.text()
		case num == 2 && f.typ == protowire.VarintType:
			text = strconv.FormatBool(f.number != 0)
		case num == 3 && f.typ == protowire.VarintType:
			text = strconv.FormatInt(int64(f.number), 10)
		case num == 4 && f.typ == protowire.Fixed64Type:
			text = strconv.FormatFloat(math.Float64frombits(f.number), 'g', -1, 64)
		case num <= 4:
			return errType
		default: // array_value, kvlist_value, bytes_value
			return nil
		}
		known = true
		return err
	})
	return text, known, err
}
