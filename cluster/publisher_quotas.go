package cluster

import (
	"math"

	"kserver/cluster/controller"
	"kserver/cluster/quota"
)

// enforced lists the quotas of the image that bound something. Others come only
// from a log that Kafka wrote.
func (p *publisher) enforced(image *controller.MetadataImage) (quotas []quota.Quota) {
	for e, set := range image.QuotaEntities() {
		for key, bound := range set {
			kind, ok := quota.KindOf(key)
			switch {
			case !ok || e.IP.Set || !(bound > 0):
				p.logger.Warn("quota has no effect here", "entity", e, "quota", key, "value", bound)
			case !math.IsInf(bound, 1):
				quotas = append(quotas, quota.Quota{Kind: kind, User: scope(e.User), ClientID: scope(e.ClientID), Bound: bound})
			}
		}
	}
	return quotas
}

func scope(n controller.QuotaName) quota.Name {
	switch {
	case n.Default:
		return quota.Name{Scope: quota.Default}
	case n.Set:
		return quota.Name{Scope: quota.Named, Name: n.Name}
	}
	return quota.Name{}
}
