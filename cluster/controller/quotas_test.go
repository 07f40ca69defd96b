package controller

import (
	"math"
	"strings"
	"testing"
)

// Kafka's rules of who may have which quota, and ours.
func TestAlterClientQuotas(t *testing.T) {
	log := &memLog{}
	c := open(t, testConfig(log))
	name := func(s string) *string { return &s }
	user, id := QuotaPart{QuotaUser, name("u")}, QuotaPart{QuotaClientID, nil}
	set := func(key string, value float64) []QuotaChange { return []QuotaChange{{Key: key, Value: value}} }
	for _, a := range []struct {
		parts   []QuotaPart
		changes []QuotaChange
		want    string
	}{
		{[]QuotaPart{user, id}, set(QuotaProducerBytes, 5), ""},
		{[]QuotaPart{user}, set(QuotaRequestPercentage, 0.5), ""},
		{nil, set(QuotaProducerBytes, 5), "Invalid empty client quota entity"},
		{[]QuotaPart{{"host", nil}}, set(QuotaProducerBytes, 5), "Unhandled client quota entity type: host"},
		{[]QuotaPart{{QuotaUser, name("")}}, set(QuotaProducerBytes, 5), "Empty user not supported"},
		{[]QuotaPart{user, {QuotaIP, nil}}, set(QuotaProducerBytes, 5), "Invalid quota entity combination"},
		{[]QuotaPart{{QuotaIP, name("nowhere")}}, set(QuotaConnections, 5), "nowhere is not a valid IP"},
		{[]QuotaPart{{QuotaIP, name("::1")}}, set(QuotaConnections, 1.5), "connection_creation_rate cannot be a fractional value."},
		{[]QuotaPart{{QuotaIP, name("::1")}}, set(QuotaProducerBytes, 5), "Invalid configuration key producer_byte_rate"},
		{[]QuotaPart{user}, set(QuotaControllerMutations, 0), "must be greater than 0"},
		{[]QuotaPart{user}, set(QuotaConnections, 5), "Invalid configuration key connection_creation_rate"},
		{[]QuotaPart{user}, set("speed", 5), "Invalid configuration key speed"},
		{[]QuotaPart{user}, set(QuotaProducerBytes, 0), "Quota producer_byte_rate must be greater than 0"},
		{[]QuotaPart{user}, set(QuotaProducerBytes, math.NaN()), "must be greater than 0"},
		{[]QuotaPart{user}, set(QuotaProducerBytes, 1e30), "Proposed value for producer_byte_rate is too large for a LONG."},
		{[]QuotaPart{user}, set(QuotaConsumerBytes, 1.5), "consumer_byte_rate cannot be a fractional value."},
		{[]QuotaPart{user}, append(set(QuotaConsumerBytes, 1), set(QuotaConsumerBytes, 2)...), "Ignoring duplicate entity"},
		{[]QuotaPart{user}, []QuotaChange{{Key: "unheard of", Remove: true}}, ""},
	} {
		err := c.AlterClientQuotas(t.Context(), []QuotaAlteration{{a.parts, a.changes}}, false)[0]
		if text := ""; err == nil && a.want != "" || err != nil && !strings.Contains(err.Message, a.want) || err != nil && a.want == "" {
			if err != nil {
				text = err.Message
			}
			t.Errorf("%v %v: %q, want %q", a.parts, a.changes, text, a.want)
		}
	}
	both, _, _ := QuotaEntityOf([]QuotaPart{user, id})
	twice := c.AlterClientQuotas(t.Context(), []QuotaAlteration{
		{[]QuotaPart{user, id}, set(QuotaProducerBytes, 6)}, {[]QuotaPart{id, user}, set(QuotaConsumerBytes, 6)},
	}, false)
	if twice[0] == nil || twice[1] == nil {
		t.Errorf("an entity that comes twice: %v", twice)
	}
	if err := c.AlterClientQuotas(t.Context(), []QuotaAlteration{{[]QuotaPart{user, id}, set(QuotaProducerBytes, 7)}}, true)[0]; err != nil {
		t.Error(err)
	}
	only := func(image *MetadataImage) {
		t.Helper()
		if got := image.ClientQuotas(both); len(got) != 1 || got[QuotaProducerBytes] != 5 || len(image.quotas) != 2 {
			t.Errorf("quotas %v", image.quotas)
		}
	}
	only(c.Image())
	again := open(t, testConfig(log.copyOf()))
	only(again.Image())
	before := again.Image()
	if err := again.AlterClientQuotas(t.Context(), []QuotaAlteration{{[]QuotaPart{user, id}, []QuotaChange{{Key: QuotaProducerBytes, Remove: true}}}}, false)[0]; err != nil {
		t.Error(err)
	}
	if got := again.Image().ClientQuotas(both); got != nil {
		t.Errorf("quotas %v after the last was taken back", got)
	}
	only(before) // an image never changes
}
