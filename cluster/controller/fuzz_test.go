package controller

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"kserver/internal/fuzzing"
	"kserver/protocol"
	"kserver/protocol/recordbatch"
)

// FuzzDecodeRecord: a record is read whole or refused by name, in memory that follows its length, and comes out the
// same again.
func FuzzDecodeRecord(f *testing.F) {
	for _, r := range allRecords() {
		f.Add(appendRecord(nil, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		var err error
		fuzzing.Bounded(t, 128*uint64(len(b)), func() { r, err = decodeRecord(b) })
		if err != nil {
			if !errors.Is(err, ErrRecord) && !errors.Is(err, ErrRecordType) {
				t.Fatal(err)
			}
			return
		}
		if _, ok := r.(*SkippedRecord); ok {
			return
		}
		again, err := decodeRecord(appendRecord(nil, r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%v\n%+v\n%+v", err, r, again)
		}
	})
}

// cutRecords splits fuzz input into records, each behind a byte with its length.
func cutRecords(b []byte) (records [][]byte) {
	for len(b) > 0 {
		n := min(int(b[0]), len(b)-1)
		records = append(records, b[1:1+n])
		b = b[1+n:]
	}
	return records
}

// FuzzReplay: any sequence of records is applied or refused by name; what it makes has indexes that agree, and is the
// same whether the records are applied as one change or each as one of its own.
func FuzzReplay(f *testing.F) {
	pack := func(records []Record) (b []byte) {
		for _, r := range records {
			if one := appendRecord(nil, r); len(one) < 256 {
				b = append(append(b, byte(len(one))), one...)
			}
		}
		return b
	}
	f.Add(pack(allRecords()))
	var kafka []Record
	data := kafkaLog(f).data
	for len(data) > 0 {
		b, rest, err := recordbatch.Next(data)
		if err != nil {
			f.Fatal(err)
		}
		if c, err := decodeBatch(b); err == nil {
			kafka = append(kafka, slices.DeleteFunc(c.Records, func(r Record) bool { _, skipped := r.(*SkippedRecord); return skipped })...)
		}
		data = rest
	}
	for at := 0; at < len(kafka); at += 20 {
		f.Add(pack(kafka[at:min(at+40, len(kafka))]))
	}
	id := UUID{1}
	f.Add(pack([]Record{&TopicRecord{Name: "t", ID: id}, &TopicRecord{Name: "t", ID: UUID{2}}, &RemoveTopicRecord{ID: id}, &BeginTransactionRecord{}, &TopicRecord{Name: "u", ID: id}, EndTransactionRecord{}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := newDelta(newImage("c"))
		single := newImage("c")
		var open *Delta // of a transaction, which has to stay in one change
		for offset, one := range cutRecords(b) {
			r, err := decodeRecord(one)
			if err != nil {
				continue
			}
			step := open
			if step == nil {
				step = newDelta(single)
			}
			err, err2 := whole.apply(int64(offset), r), step.apply(int64(offset), r)
			if (err == nil) != (err2 == nil) {
				t.Fatalf("%T: as one change %v, alone %v", r, err, err2)
			}
			if err != nil {
				if !errors.Is(err, ErrInconsistent) && !errors.Is(err, ErrRecord) && !errors.Is(err, ErrRecordType) {
					t.Errorf("%T: %v", r, err)
				}
				return
			}
			if open = nil; step.transaction {
				open = step
				continue
			}
			step.Topics()
			single = step.image()
		}
		if open != nil {
			return
		}
		whole.Topics()
		if one, many := dump(t, whole.image()), dump(t, single); one != many {
			t.Errorf("as one change\n%s\nrecord by record\n%s", one, many)
		}
	})
}

// FuzzQuotas: a quota is refused with one answer or written as a record that comes out the same again and bounds
// something.
func FuzzQuotas(f *testing.F) {
	f.Add("user", "alice", "client-id", "", QuotaProducerBytes, 1024.0)
	f.Add("ip", "::1", "", "", QuotaConnections, 5.0)
	f.Add("client-id", "\xff", "user", "u", QuotaRequestPercentage, math.Inf(1))
	f.Add("user", "u", "user", "", QuotaConsumerBytes, math.NaN())
	f.Fuzz(func(t *testing.T, kind1, name1, kind2, name2, key string, value float64) {
		parts := []QuotaPart{{Type: kind1, Name: &name1}, {Type: kind2, Name: &name2}}
		if name2 == "" {
			parts[1].Name = nil
		}
		if kind2 == "" {
			parts = parts[:1]
		}
		alterations := []QuotaAlteration{{Parts: parts, Changes: []QuotaChange{{Key: key, Value: value}}}}
		results, records := planQuotas(newImage("c"), alterations)
		again, _ := planQuotas(newImage("c"), alterations)
		if !reflect.DeepEqual(results, again) || len(results) != 1 {
			t.Fatalf("first %v, then %v", results, again)
		}
		if err := results[0]; err != nil {
			if err.Code != protocol.InvalidRequest || err.Text() == "" || len(records) > 0 {
				t.Errorf("%v with %d records", err, len(records))
			}
			return
		}
		d := newDelta(newImage("c"))
		for _, r := range records {
			back, err := decodeRecord(appendRecord(nil, r))
			if err != nil || !reflect.DeepEqual(back, r) {
				t.Fatalf("%+v came back as %+v, %v", r, back, err)
			}
			if err := d.apply(0, r); err != nil {
				t.Fatal(err)
			}
		}
		e, _, _ := QuotaEntityOf(parts)
		if got := d.image().ClientQuotas(e)[key]; got != value || !(value > 0) || math.IsInf(value, 0) {
			t.Errorf("quota %v, asked for %v", got, value)
		}
	})
}
