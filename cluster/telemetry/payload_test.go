package telemetry

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Builders of OTLP messages, each from the fields of its parts.

func msg(num protowire.Number, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), body)
}

func text(num protowire.Number, s string) []byte { return msg(num, []byte(s)) }

func varint(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func fixed(num protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), v)
}

func double(num protowire.Number, v float64) []byte { return fixed(num, math.Float64bits(v)) }

func doubles(num protowire.Number, vs ...float64) []byte {
	var body []byte
	for _, v := range vs {
		body = binary.LittleEndian.AppendUint64(body, math.Float64bits(v))
	}
	return msg(num, body)
}

func attr(num protowire.Number, key, value string) []byte {
	return msg(num, text(1, key), msg(2, text(1, value)))
}

// payload is MetricsData of one resource and scope with the metrics.
func payload(metrics ...[]byte) []byte {
	return msg(1, msg(1, attr(1, "client_rack", "r1")), msg(2, metrics...))
}

func gaugeMetric(name string, v float64, attrs ...[]byte) []byte {
	return msg(2, text(1, name), msg(5, msg(1, append(attrs, double(4, v))...)))
}

func sumMetric(name string, temporality uint64, monotonic bool, v int64, attrs ...[]byte) []byte {
	m := uint64(0)
	if monotonic {
		m = 1
	}
	return msg(2, text(1, name), msg(7, msg(1, append(attrs, fixed(6, uint64(v)))...), varint(2, temporality), varint(3, m)))
}

func histogramMetric(name string, temporality uint64, sum float64, bounds []float64, counts ...uint64) []byte {
	var packed []byte
	for _, c := range counts {
		packed = binary.LittleEndian.AppendUint64(packed, c)
	}
	return msg(2, text(1, name), msg(9, msg(1, double(5, sum), msg(6, packed), doubles(7, bounds...)), varint(2, temporality)))
}
