package cluster

import (
	"net/netip"
	"time"

	"kserver/cluster/configs"
	"kserver/cluster/quota"
	"kserver/netio"
)

// door lets the quotas of connections decide who comes in. It implements
// netio.Admission.
type door struct{ quotas *quota.Connections }

// Arrive implements netio.Admission.
func (d door) Arrive(listener string, now time.Time) time.Duration {
	return d.quotas.Arrive(listener, now)
}

// Enter implements netio.Admission.
func (d door) Enter(listener string, from netip.Addr, now time.Time) (netio.Entrance, time.Duration) {
	e, wait := d.quotas.Enter(listener, from, now)
	return entrances[e], wait
}

// Leave implements netio.Admission.
func (d door) Leave(listener string, from netip.Addr) { d.quotas.Leave(listener, from) }

var entrances = [...]netio.Entrance{
	quota.Entered: netio.Entered, quota.EnteredOver: netio.EnteredOver, quota.Full: netio.Full,
	quota.TooMany: netio.TooMany, quota.TooFast: netio.TooFast,
}

// connectionLimits are the limits of the configuration, but no more connections
// than there are descriptors for.
func connectionLimits(n *configs.Network, descriptors int) quota.ConnectionLimits {
	c := &n.Connections
	l := quota.ConnectionLimits{
		ListenerLimits: quota.ListenerLimits(c.ListenerLimits), MaxPerIP: c.MaxPerIP, PerIP: c.PerIP,
		Listeners: make(map[string]quota.ListenerLimits, len(c.Listeners)),
	}
	for name, own := range c.Listeners {
		l.Listeners[name] = quota.ListenerLimits(own)
	}
	l.Max = min(l.Max, descriptors)
	if len(n.Listeners) > 1 {
		l.Protected = n.InterBroker
	}
	return l
}

// configure puts in force what can change while the broker runs, besides the
// settings of topics and groups.
func (b *Broker) configure(now *configs.Broker) {
	if err := b.logs.SetCleanerConfig(now.Storage.Cleaner); err != nil {
		b.cfg.Logger.Warn("cleaner settings have no effect", "err", err) // they were checked
	}
	b.workers.Resize(now.Network.Workers)
	b.logs.SetProducerIDExpiration(now.Storage.ProducerIDExpiration)
	b.connections.SetLimits(connectionLimits(&now.Network, b.descriptors))
	b.server.Readmit()
}
