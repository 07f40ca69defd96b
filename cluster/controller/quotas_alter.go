package controller

import (
	"context"
	"math"
	"net/netip"

	"kserver/protocol"
)

// The quotas there are (Kafka's QuotaConfig).
const (
	QuotaProducerBytes       = "producer_byte_rate"
	QuotaConsumerBytes       = "consumer_byte_rate"
	QuotaRequestPercentage   = "request_percentage"
	QuotaControllerMutations = "controller_mutation_rate"
	QuotaConnections         = "connection_creation_rate"
)

// quotaKey is what is known of a quota.
type quotaKey struct {
	ofIP     bool
	integral string  // Kafka's name of the type with its article, "" for a fraction
	most     float64 // with integral
}

var quotaKeys = map[string]quotaKey{
	QuotaProducerBytes:       {integral: "a LONG", most: math.MaxInt64},
	QuotaConsumerBytes:       {integral: "a LONG", most: math.MaxInt64},
	QuotaRequestPercentage:   {},
	QuotaControllerMutations: {},
	QuotaConnections:         {ofIP: true, integral: "an INT", most: math.MaxInt32},
}

// QuotaChange sets one quota, or takes it back.
type QuotaChange struct {
	Key    string
	Value  float64
	Remove bool
}

// QuotaAlteration changes the quotas of one entity, all of them or none.
type QuotaAlteration struct {
	Parts   []QuotaPart
	Changes []QuotaChange
}

// AlterClientQuotas changes quotas, of each entity independently of the others,
// and returns one result for each in the order given: nil for a change that is
// made and in force. With validateOnly nothing is changed. When ctx ends first,
// every answer is REQUEST_TIMED_OUT and quotas may still be changed.
//
// Unlike Kafka's controller it resolves no host names, and changes nothing for an
// entity that comes twice.
func (c *Controller) AlterClientQuotas(ctx context.Context, alterations []QuotaAlteration, validateOnly bool) []*protocol.Error {
	return changeEach(ctx, c, validateOnly,
		func(image *MetadataImage) ([]*protocol.Error, []Record) { return planQuotas(image, alterations) },
		allFail(len(alterations)))
}

// planQuotas checks a request and returns its results and the records of the
// changes that are in order.
func planQuotas(image *MetadataImage, alterations []QuotaAlteration) ([]*protocol.Error, []Record) {
	times := make(map[QuotaEntity]int, len(alterations))
	for i := range alterations {
		if e, _, ok := QuotaEntityOf(alterations[i].Parts); ok {
			times[e]++
		}
	}
	results := make([]*protocol.Error, len(alterations))
	var records []Record
	for i := range alterations {
		a := &alterations[i]
		e, unknown, ok := QuotaEntityOf(a.Parts)
		var changes []Record
		switch {
		case !ok:
			results[i] = protocol.Errorf(protocol.InvalidRequest, "Unhandled client quota entity type: %s", unknown)
		case times[e] > 1:
			results[i] = protocol.Errorf(protocol.InvalidRequest, "Ignoring duplicate entity %s", e)
		default:
			changes, results[i] = planEntity(image, e, a.Changes)
		}
		records = append(records, changes...)
	}
	return results, records
}

// planEntity checks the changes of one entity and returns their records: none for
// quotas that stay as they are.
func planEntity(image *MetadataImage, e QuotaEntity, changes []QuotaChange) ([]Record, *protocol.Error) {
	if err := checkEntity(e); err != nil {
		return nil, err
	}
	before := image.ClientQuotas(e)
	seen := make(map[string]bool, len(changes))
	var records []Record
	for _, ch := range changes {
		if seen[ch.Key] {
			return nil, protocol.Errorf(protocol.InvalidRequest, "Ignoring duplicate entity %s", e)
		}
		seen[ch.Key] = true
		old, has := before[ch.Key]
		switch {
		case ch.Remove && has:
			records = append(records, &ClientQuotaRecord{Entity: e, Key: ch.Key, Remove: true})
		case ch.Remove:
		default:
			if err := checkQuota(e, ch.Key, ch.Value); err != nil {
				return nil, err
			}
			if !has || old != ch.Value {
				records = append(records, &ClientQuotaRecord{Entity: e, Key: ch.Key, Value: ch.Value})
			}
		}
	}
	return records, nil
}

// checkEntity refuses what can have no quota.
func checkEntity(e QuotaEntity) *protocol.Error {
	for _, p := range e.Parts() {
		if p.Name != nil && *p.Name == "" {
			return protocol.Errorf(protocol.InvalidRequest, "Empty %s not supported", p.Type)
		}
	}
	switch {
	case e == QuotaEntity{}:
		return protocol.Errorf(protocol.InvalidRequest, "Invalid empty client quota entity")
	case e.IP.Set && (e.User.Set || e.ClientID.Set):
		return protocol.Errorf(protocol.InvalidRequest, "Invalid quota entity combination, IP entity should not be combined with User or ClientId")
	case e.IP.Set && !e.IP.Default:
		if _, err := netip.ParseAddr(e.IP.Name); err != nil {
			return protocol.Errorf(protocol.InvalidRequest, "%s is not a valid IP or resolvable host.", e.IP.Name)
		}
	}
	return nil
}

// checkQuota refuses a quota that the entity cannot have, or that would bound
// nothing.
func checkQuota(e QuotaEntity, key string, value float64) *protocol.Error {
	k, ok := quotaKeys[key]
	_, fraction := math.Modf(value)
	switch {
	case !ok || k.ofIP != e.IP.Set:
		return protocol.Errorf(protocol.InvalidRequest, "Invalid configuration key %s", key)
	case !(value > 0): // not a number neither
		return protocol.Errorf(protocol.InvalidRequest, "Quota %s must be greater than 0", key)
	case k.integral != "" && value > k.most:
		return protocol.Errorf(protocol.InvalidRequest, "Proposed value for %s is too large for %s.", key, k.integral)
	case k.integral != "" && fraction > 1e-6:
		return protocol.Errorf(protocol.InvalidRequest, "%s cannot be a fractional value.", key)
	case math.IsInf(value, 1):
		return protocol.Errorf(protocol.InvalidRequest, "Quota %s must be finite", key)
	}
	return nil
}
