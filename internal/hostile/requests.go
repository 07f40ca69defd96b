package hostile

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// topics is how many names of topics are used.
	topics = 8
	// BeyondVersions is how many versions above those we know are tried.
	BeyondVersions = 3
	// maxElements is the length of a generated array, maxDepth how deep arrays nest with more than one element.
	maxElements = 3
	// maxOdd is the length of arrays that are meant to be long; nested ones are shorter.
	maxOdd   = 2000
	maxDepth = 4
	// commonKeys are those most brokers serve: 0 up to here, which are tried more often.
	commonKeys = 50
)

var formatter = kmsg.NewRequestFormatter(kmsg.FormatterClientID("hostile"))

// Encode returns a whole frame.
func Encode(req kmsg.Request, correlation int32) []byte {
	return formatter.AppendRequest(nil, req, correlation)
}

// Topic is one of the few names the inputs use.
func Topic(rng *rand.Rand) string { return fmt.Sprintf("hostile-%d", rng.IntN(topics)) }

// Request returns a request of any key and version, with values that are valid, extreme or random.
func Request(rng *rand.Rand) kmsg.Request {
	for {
		key := rng.IntN(kmsg.MaxKey + 1)
		if rng.IntN(4) > 0 {
			key = rng.IntN(commonKeys)
		}
		req := kmsg.RequestForKey(int16(key))
		if req == nil {
			continue
		}
		version := int16(rng.IntN(int(req.MaxVersion()) + 1 + BeyondVersions))
		g := generator{rng: rng, odd: []float64{0, 0.1, 0.5}[rng.IntN(3)]}
		g.fill(reflect.ValueOf(req).Elem(), 0, "")
		req.SetVersion(version)
		g.tame(req)
		return req
	}
}

// generator fills requests with values. odd is the share of values that make no sense.
type generator struct {
	rng *rand.Rand
	odd float64
}

func (g *generator) isOdd() bool { return g.rng.Float64() < g.odd }

// fill sets v, whose field is called name.
func (g *generator) fill(v reflect.Value, depth int, name string) {
	if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
		for g.isOdd() && tags.Len() < maxElements {
			tags.Set(uint32(g.rng.IntN(10_000)), RandomBytes(g.rng, g.rng.IntN(32)))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				g.fill(v.Field(i), depth+1, v.Type().Field(i).Name)
			}
		}
	case reflect.Pointer:
		if g.rng.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			g.fill(v.Elem(), depth, name)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(g.bytes(name))
			return
		}
		n := 1 + g.rng.IntN(maxElements)
		if depth > maxDepth {
			n = 1
		}
		if g.isOdd() {
			n = g.rng.IntN(2) * g.rng.IntN(1+maxOdd>>(2*depth))
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			g.fill(v.Index(i), depth+1, name)
		}
	case reflect.Array: // identifiers
		if g.rng.IntN(2) == 0 {
			reflect.Copy(v, reflect.ValueOf(RandomBytes(g.rng, v.Len())))
		}
	case reflect.String:
		v.SetString(g.text(name))
	case reflect.Bool:
		v.SetBool(g.rng.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat([]float64{0, 1, -1, math.NaN(), math.Inf(1), math.MaxFloat64}[g.rng.IntN(6)])
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(g.integer(v.Type().Bits()))
	case reflect.Uint16, reflect.Uint32:
		v.SetUint(g.rng.Uint64() & 0xffff)
	default:
		panic(fmt.Sprintf("field %s of kind %v", name, v.Kind()))
	}
}

// integer returns a value of the given width.
func (g *generator) integer(bits int) int64 {
	if !g.isOdd() {
		return int64(g.rng.IntN(4)) - 1
	}
	largest := int64(1)<<(bits-1) - 1
	switch g.rng.IntN(5) {
	case 0:
		return largest
	case 1:
		return -largest - 1
	case 2:
		return largest - int64(g.rng.IntN(3))
	case 3:
		return -int64(g.rng.IntN(10))
	default:
		return int64(g.rng.Uint64()) >> (64 - bits)
	}
}

// text returns a string fit for the field, or not.
func (g *generator) text(name string) string {
	if g.isOdd() {
		switch g.rng.IntN(6) {
		case 0:
			return ""
		case 1:
			n := 300 // longer than a topic's name
			if g.rng.IntN(10) == 0 {
				n = 40_000 // than an int16 says
			}
			return strings.Repeat("x", g.rng.IntN(n))
		case 2:
			return "../../etc/passwd\x00"
		case 3:
			return "__consumer_offsets"
		case 4:
			return string(RandomBytes(g.rng, g.rng.IntN(300)))
		default:
			return strings.Repeat("\xff\xfe", g.rng.IntN(200))
		}
	}
	switch name {
	case "ProtocolType":
		return "consumer"
	case "Host":
		return "127.0.0.1"
	}
	return Topic(g.rng)
}

// RandomBytes returns n bytes.
func RandomBytes(rng *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := 0; i < n; i += 8 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], rng.Uint64())
		copy(p[i:], w[:])
	}
	return p
}

// bytes returns the content of a bytes field.
func (g *generator) bytes(name string) []byte {
	if name == "Records" && !g.isOdd() {
		return RecordBatch(g.rng, g.rng.IntN(Codecs))
	}
	if g.isOdd() {
		return RandomBytes(g.rng, g.rng.IntN(4000))
	}
	return RandomBytes(g.rng, g.rng.IntN(40))
}

// tame keeps a valid request from what anybody may do to a broker without access control and what would only spoil
// the measurement: changing the broker's own settings, deleting what it keeps for itself.
func (g *generator) tame(req kmsg.Request) {
	internal := func(name string) bool { return strings.HasPrefix(name, "__") }
	const topicResource = 2
	switch r := req.(type) {
	case *kmsg.AlterConfigsRequest:
		for i := range r.Resources {
			r.Resources[i].ResourceType = topicResource
		}
	case *kmsg.IncrementalAlterConfigsRequest:
		for i := range r.Resources {
			r.Resources[i].ResourceType = topicResource
		}
	case *kmsg.DeleteTopicsRequest:
		for i := range r.TopicNames {
			if internal(r.TopicNames[i]) {
				r.TopicNames[i] = "hostile-0"
			}
		}
		for i := range r.Topics {
			if t := r.Topics[i].Topic; t != nil && internal(*t) {
				r.Topics[i].Topic = nil
			}
		}
	}
}
