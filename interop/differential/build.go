package differential

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// builder turns the literals of a step into a request.
type builder struct {
	names *names
	// topicID finds the id of a topic, zero when there is no such topic.
	topicID func(name string) ([16]byte, error)
}

// request makes the request of a step in a version.
func (b *builder) request(s *Step, version int16) (kmsg.Request, error) {
	req := kmsg.RequestForKey(s.api)
	req.SetVersion(version)
	return req, b.fill(reflect.ValueOf(req).Elem(), s.fields)
}

// namedTwice are requests that take a topic's name or its id, one or the other.
var namedTwice = []string{"MetadataRequestTopic", "DeleteTopicsRequestTopic"}

// fill sets the fields of a struct.
func (b *builder) fill(dst reflect.Value, fields []field) error {
	named := false
	for _, f := range fields {
		v := dst.FieldByName(f.name)
		if !v.IsValid() {
			return fmt.Errorf("%s has no field %s", dst.Type().Name(), f.name)
		}
		if err := b.assign(v, f.value); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		named = named || f.name == "TopicID"
	}
	id, name := dst.FieldByName("TopicID"), dst.FieldByName("Topic")
	for _, t := range namedTwice {
		named = named || dst.Type().Name() == t
	}
	if !named && id.IsValid() && name.IsValid() && name.Kind() == reflect.String {
		v, err := b.topicID(name.String())
		if err != nil {
			return err
		}
		id.Set(reflect.ValueOf(v))
	}
	return nil
}

// assign sets one field.
func (b *builder) assign(dst reflect.Value, v value) error {
	if v.kind == atom && v.text == "null" && !v.quoted {
		dst.SetZero()
		return nil
	}
	switch dst.Kind() {
	case reflect.Pointer:
		p := reflect.New(dst.Type().Elem())
		dst.Set(p)
		return b.assign(p.Elem(), v)
	case reflect.Struct:
		if v.kind != object {
			return fmt.Errorf("{...} is needed for %s", dst.Type().Name())
		}
		if d, ok := dst.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		return b.fill(dst, v.fields)
	case reflect.Slice:
		if dst.Type().Elem().Kind() == reflect.Uint8 {
			p, err := b.bytes(v)
			dst.SetBytes(p)
			return err
		}
		items := []value{v}
		if v.kind == list {
			items = v.items
		}
		out := reflect.MakeSlice(dst.Type(), len(items), len(items))
		for i := range items {
			if err := b.assign(out.Index(i), items[i]); err != nil {
				return err
			}
		}
		dst.Set(out)
		return nil
	case reflect.Array:
		id, err := b.id(v)
		dst.Set(reflect.ValueOf(id))
		return err
	case reflect.String:
		p, err := b.bytes(v)
		dst.SetString(string(p))
		return err
	case reflect.Bool:
		dst.SetBool(v.text == "true")
		return nil
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := b.names.integer(v.text)
		dst.SetInt(i)
		return err
	case reflect.Uint16:
		i, err := b.names.integer(v.text)
		dst.SetUint(uint64(i))
		return err
	case reflect.Float64:
		f, err := strconv.ParseFloat(v.text, 64)
		dst.SetFloat(f)
		return err
	default:
		return fmt.Errorf("a %s cannot be given", dst.Kind())
	}
}

// id makes a topic id: $t.id, an id captured with let, or 32 hexadecimal digits.
func (b *builder) id(v value) (id [16]byte, err error) {
	if p, ok := b.names.bytes[v.text]; ok {
		copy(id[:], p)
		return id, nil
	}
	if name, ok := strings.CutSuffix(v.text, ".id"); ok {
		return b.topicID(b.names.expand(name))
	}
	p, err := hex.DecodeString(v.text)
	if err == nil && len(p) != 16 {
		err = fmt.Errorf("an id has 32 digits")
	}
	copy(id[:], p)
	return id, err
}

// bytes makes a text or bytes.
func (b *builder) bytes(v value) ([]byte, error) {
	if v.kind == atom {
		if p, ok := b.names.bytes[v.text]; ok {
			return p, nil
		}
		return []byte(b.names.expand(v.text)), nil
	}
	if v.kind != call {
		return nil, fmt.Errorf("a text is needed")
	}
	switch v.text {
	case "batch":
		batch, err := b.batchOf(v)
		if err != nil {
			return nil, err
		}
		return batch.Encode(), nil
	case "batches": // one after the other
		var out []byte
		for _, item := range v.items {
			p, err := b.bytes(item)
			if err != nil {
				return nil, err
			}
			out = append(out, p...)
		}
		return out, nil
	case "cut": // cut(x, n): x without its last n bytes
		p, err := b.bytes(v.items[0])
		if err != nil {
			return nil, err
		}
		n, err := b.names.integer(v.items[1].text)
		return p[:len(p)-int(n)], err
	case "subscription": // what members of type consumer send, in version 0
		out := binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(len(v.items)))
		for _, item := range v.items {
			topic := b.names.expand(item.text)
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(topic))), topic...)
		}
		return append(out, 0xff, 0xff, 0xff, 0xff), nil
	case "hex":
		return hex.DecodeString(v.items[0].text)
	case "zeros":
		n, err := b.names.integer(v.items[0].text)
		return make([]byte, max(n, 0)), err
	case "repeat":
		n, err := b.names.integer(v.items[1].text)
		return bytes.Repeat([]byte(v.items[0].text), int(max(n, 0))), err
	}
	return nil, fmt.Errorf("there is no %s(...)", v.text)
}

// batchTime is the timestamp of records that are given none, a time of the past so that answers do
// not depend on the clock.
var batchTime = time.Date(2024, 5, 17, 10, 0, 0, 0, time.UTC).UnixMilli()

// batchOf makes a record batch: an item is the value of a record, or key=value; "null" is a null
// value. Named are time (of the first record), step (milliseconds between records), pid, epoch, seq,
// attributes, magic, base, count, last (the last offset delta), maxtime, leader (its epoch) and
// crc: bad.
func (b *builder) batchOf(v value) (*wire.Batch, error) {
	batch := wire.NewBatch(batchTime)
	var step int64
	var maxTime *int64
	for _, f := range v.fields {
		if f.name == "crc" {
			batch.CorruptCRC = true
			continue
		}
		n, err := b.names.integer(f.value.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		small := int32(n)
		switch f.name {
		case "time":
			batch.BaseTimestamp, batch.MaxTimestamp = n, n
		case "step":
			step = n
		case "pid":
			batch.ProducerID = n
		case "epoch":
			batch.ProducerEpoch = int16(n)
		case "seq":
			batch.BaseSequence = small
		case "attributes":
			batch.Attributes = int16(n)
		case "magic":
			batch.Magic = int8(n)
		case "base":
			batch.BaseOffset = n
		case "leader":
			batch.PartitionLeaderEpoch = small
		case "count":
			batch.Count = &small
		case "last":
			batch.LastOffsetDelta = &small
		case "maxtime":
			maxTime = &n
		default:
			return nil, fmt.Errorf("a batch has no %s", f.name)
		}
	}
	for i, item := range v.items {
		p, err := b.bytes(item)
		if err != nil {
			return nil, err
		}
		r := wire.Record{OffsetDelta: int32(i), TimestampDelta: step * int64(i), Value: p}
		if key, val, ok := strings.Cut(item.text, "="); ok && item.kind == atom {
			r.Key, r.Value = []byte(key), []byte(val)
		}
		if string(r.Value) == "null" {
			r.Value = nil
		}
		batch.Records = append(batch.Records, r)
		batch.MaxTimestamp = max(batch.MaxTimestamp, batch.BaseTimestamp+r.TimestampDelta)
	}
	if maxTime != nil {
		batch.MaxTimestamp = *maxTime
	}
	return batch, nil
}
