package handlers

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// DescribeClientQuotas (key 48), versions 0-1 (KIP-546).
//
// Lists the quotas of the entities whose parts match every component of the
// filter: by name (0), the default (1), or any of the type (2). With strict the
// entity has no other parts. A filter without components matches all, with strict
// nothing. The entities come in order of user, client id and address.
// v1 flexible.

// The ways a component of the filter matches.
const (
	matchExact int8 = iota
	matchDefault
	matchAny
)

func handle48DescribeClientQuotas(b *Broker, r *Request) {
	var req kmsg.DescribeClientQuotasRequest
	if !r.Decode(&req) {
		return
	}
	resp := kmsg.NewPtrDescribeClientQuotasResponse()
	if err := checkQuotaFilter(req.Components); err != nil {
		resp.ErrorCode, resp.ErrorMessage = codeAndMessage(err)
		r.Reply(resp)
		return
	}
	resp.ErrorMessage = new(string)
	image := b.Controller.Image()
	for _, e := range matchingEntities(image, &req) {
		entry := kmsg.NewDescribeClientQuotasResponseEntry()
		for _, p := range e.Parts() {
			part := kmsg.NewDescribeClientQuotasResponseEntryEntity()
			part.Type, part.Name = p.Type, p.Name
			entry.Entity = append(entry.Entity, part)
		}
		quotas := image.ClientQuotas(e)
		for _, key := range controller.QuotaKeys(quotas) {
			value := kmsg.NewDescribeClientQuotasResponseEntryValue()
			value.Key, value.Value = key, quotas[key]
			entry.Values = append(entry.Values, value)
		}
		resp.Entries = append(resp.Entries, entry)
	}
	if resp.Entries == nil {
		resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{} // null is for errors
	}
	r.Reply(resp)
}

// checkQuotaFilter refuses what is no proper filter.
func checkQuotaFilter(components []kmsg.DescribeClientQuotasRequestComponent) *protocol.Error {
	seen := make(map[string]bool, len(components))
	for i := range components {
		c := &components[i]
		switch {
		case c.EntityType == "":
			return protocol.Errorf(protocol.InvalidRequest, "Invalid empty entity type.")
		case seen[c.EntityType]:
			return protocol.Errorf(protocol.InvalidRequest, "Entity type %s cannot appear more than once in the filter.", c.EntityType)
		}
		switch c.EntityType {
		case controller.QuotaUser, controller.QuotaClientID, controller.QuotaIP:
		default:
			return protocol.Errorf(protocol.UnsupportedVersion, "Unsupported entity type %s", c.EntityType)
		}
		seen[c.EntityType] = true
		match := int8(c.MatchType)
		switch {
		case match < matchExact || match > matchAny:
			return protocol.Errorf(protocol.InvalidRequest, "Unknown match type %d", match)
		case match == matchExact && c.Match == nil:
			return protocol.Errorf(protocol.InvalidRequest, "Request specified MATCH_TYPE_EXACT, but set match string to null.")
		case match == matchDefault && c.Match != nil:
			return protocol.Errorf(protocol.InvalidRequest, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
		case match == matchAny && c.Match != nil:
			return protocol.Errorf(protocol.InvalidRequest, "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
		}
	}
	if seen[controller.QuotaIP] && (seen[controller.QuotaUser] || seen[controller.QuotaClientID]) {
		return protocol.Errorf(protocol.InvalidRequest, "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.")
	}
	return nil
}

// matchingEntities lists what a proper filter matches.
func matchingEntities(image *controller.MetadataImage, req *kmsg.DescribeClientQuotasRequest) (out []controller.QuotaEntity) {
	if len(req.Components) == 0 && req.Strict {
		return nil
	}
	for e := range image.QuotaEntities() {
		if (!req.Strict || len(e.Parts()) == len(req.Components)) && !slices.ContainsFunc(req.Components, func(c kmsg.DescribeClientQuotasRequestComponent) bool {
			return !quotaPartMatches(e.Part(c.EntityType), &c)
		}) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b controller.QuotaEntity) int {
		return cmp.Or(compareQuotaNames(a.User, b.User), compareQuotaNames(a.ClientID, b.ClientID), compareQuotaNames(a.IP, b.IP))
	})
	return out
}

func quotaPartMatches(p controller.QuotaName, c *kmsg.DescribeClientQuotasRequestComponent) bool {
	switch int8(c.MatchType) {
	case matchExact:
		return p.Set && !p.Default && p.Name == *c.Match
	case matchDefault:
		return p.Default
	}
	return p.Set
}

// compareQuotaNames puts absent parts first, then the default, then names.
func compareQuotaNames(a, b controller.QuotaName) int {
	rank := func(n controller.QuotaName) int {
		switch {
		case !n.Set:
			return 0
		case n.Default:
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name))
}
