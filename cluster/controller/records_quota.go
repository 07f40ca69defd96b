package controller

import (
	"fmt"
	"maps"
	"math"
)

// ClientQuotaRecord sets, or takes back, one quota of clients.
type ClientQuotaRecord struct {
	Entity QuotaEntity
	Key    string
	Value  float64 // of no meaning with Remove
	Remove bool
}

func (r *ClientQuotaRecord) kind() (recordType, int16) { return typeClientQuota, 0 }

func (r *ClientQuotaRecord) appendFields(dst []byte) []byte {
	parts := r.Entity.Parts()
	dst = append(dst, byte(len(parts)+1))
	for _, p := range parts {
		dst = noTags(appendNullableString(appendString(dst, p.Type), p.Name))
	}
	dst = appendString(dst, r.Key)
	dst = appendInt64(dst, int64(math.Float64bits(r.Value)))
	return noTags(appendBool(dst, r.Remove))
}

func readClientQuota(r *reader, _ int16) Record {
	out := &ClientQuotaRecord{}
	for range r.length(3) {
		kind, name := r.string(), r.nullableString()
		r.tags(nil)
		if r.err == nil && !out.Entity.set(kind, name) {
			r.fail("quota entity %q", kind)
		}
	}
	out.Key = r.string()
	if out.Value = math.Float64frombits(uint64(r.int64())); math.IsNaN(out.Value) {
		out.Value = math.Inf(1) // Kafka takes one, which then bounds nothing
	}
	out.Remove = r.bool()
	r.tags(nil)
	return out
}

func (r *ClientQuotaRecord) apply(d *Delta, _ int64) error {
	if r.Entity == (QuotaEntity{}) {
		return fmt.Errorf("%w: quota %s of nobody", ErrInconsistent, r.Key)
	}
	d.setQuota(r)
	return nil
}

func (d *Delta) setQuota(r *ClientQuotaRecord) {
	if !d.quotasChanged {
		d.quotasChanged = true
		d.next.quotas = maps.Clone(d.next.quotas)
		if d.next.quotas == nil {
			d.next.quotas = make(map[QuotaEntity]map[string]float64)
		}
	}
	quotas := maps.Clone(d.next.quotas[r.Entity])
	switch {
	case !r.Remove && quotas == nil:
		quotas = map[string]float64{r.Key: r.Value}
	case !r.Remove:
		quotas[r.Key] = r.Value
	default:
		delete(quotas, r.Key)
	}
	if len(quotas) == 0 {
		delete(d.next.quotas, r.Entity)
	} else {
		d.next.quotas[r.Entity] = quotas
	}
}
