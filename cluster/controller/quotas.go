package controller

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// The types of what has quotas (Kafka's ClientQuotaEntity).
const (
	QuotaUser     = "user"
	QuotaClientID = "client-id"
	QuotaIP       = "ip"
)

// QuotaName is one part of a QuotaEntity: absent, the default of all without a
// name of their own, or a name.
type QuotaName struct {
	Set     bool
	Default bool
	Name    string // "" unless Set and not Default
}

// QuotaEntity is whose quota it is: a user, a client id, both, or an address.
type QuotaEntity struct{ User, ClientID, IP QuotaName }

// QuotaPart is one part of an entity as Kafka's formats have it; a nil Name is
// the default.
type QuotaPart struct {
	Type string
	Name *string
}

// QuotaEntityOf puts parts together; of two of a type the last counts. With ok
// false, unknown is the first type that Kafka does not know.
func QuotaEntityOf(parts []QuotaPart) (e QuotaEntity, unknown string, ok bool) {
	for _, p := range parts {
		if !e.set(p.Type, p.Name) {
			return e, p.Type, false
		}
	}
	return e, "", true
}

// part returns the part of that type, nil when there is no such type.
func (e *QuotaEntity) part(kind string) *QuotaName {
	switch kind {
	case QuotaUser:
		return &e.User
	case QuotaClientID:
		return &e.ClientID
	case QuotaIP:
		return &e.IP
	}
	return nil
}

// Part returns the part of that type, which is not set when there is no such type.
func (e QuotaEntity) Part(kind string) QuotaName {
	if p := e.part(kind); p != nil {
		return *p
	}
	return QuotaName{}
}

func (e *QuotaEntity) set(kind string, name *string) bool {
	p := e.part(kind)
	if p == nil {
		return false
	}
	*p = QuotaName{Set: true, Default: name == nil}
	if name != nil {
		p.Name = *name
	}
	return true
}

// Parts lists the parts that are set.
func (e QuotaEntity) Parts() (parts []QuotaPart) {
	for _, kind := range []string{QuotaUser, QuotaClientID, QuotaIP} {
		switch p := e.part(kind); {
		case p.Default:
			parts = append(parts, QuotaPart{Type: kind})
		case p.Set:
			parts = append(parts, QuotaPart{kind, &p.Name})
		}
	}
	return parts
}

// String shows an entity in messages, as Kafka does.
func (e QuotaEntity) String() string {
	var entries []string
	for _, p := range e.Parts() {
		name := "null"
		if p.Name != nil {
			name = *p.Name
		}
		entries = append(entries, p.Type+"="+name)
	}
	return "ClientQuotaEntity(entries={" + strings.Join(entries, ", ") + "})"
}

// ClientQuotas are the quotas of one entity.
func (m *MetadataImage) ClientQuotas(e QuotaEntity) map[string]float64 { return m.quotas[e] }

// QuotaEntities iterates over the entities with quotas and their quotas by key,
// in no order.
func (m *MetadataImage) QuotaEntities() iter.Seq2[QuotaEntity, map[string]float64] {
	return maps.All(m.quotas)
}

// QuotaKeys are the keys of quotas, sorted.
func QuotaKeys(quotas map[string]float64) []string { return slices.Sorted(maps.Keys(quotas)) }
