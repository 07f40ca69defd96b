package cluster

import (
	"math"
	"net/netip"

	"kserver/cluster/controller"
	"kserver/cluster/quota"
)

// enforced sorts the quotas of the image that bound something. Others come only
// from a log that Kafka wrote.
func (p *publisher) enforced(image *controller.MetadataImage) (clients []quota.Quota, addresses quota.AddressRates) {
	addresses = quota.AddressRates{Default: math.Inf(1), ByAddress: make(map[netip.Addr]float64)}
	for e, set := range image.QuotaEntities() {
		for key, bound := range set {
			kind, ok := quota.KindOf(key)
			switch {
			case !(bound > 0):
			case e.IP.Set && key == controller.QuotaConnections:
				if e.IP.Default {
					addresses.Default = bound
					continue
				}
				if a, err := netip.ParseAddr(e.IP.Name); err == nil {
					addresses.ByAddress[a.Unmap()] = bound
					continue
				}
			case !e.IP.Set && ok:
				if !math.IsInf(bound, 1) {
					clients = append(clients, quota.Quota{Kind: kind, User: scope(e.User), ClientID: scope(e.ClientID), Bound: bound})
				}
				continue
			}
			p.logger.Warn("quota has no effect here", "entity", e, "quota", key, "value", bound)
		}
	}
	return clients, addresses
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
