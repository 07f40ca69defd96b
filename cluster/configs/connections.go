package configs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ConnectionLimits bound connections. Where nothing is set they are the largest
// Int.
type ConnectionLimits struct {
	ListenerLimits                           // max.connections, max.connection.creation.rate
	Listeners      map[string]ListenerLimits // those with a listener.name.<name>.… of their own, by name in upper case
	MaxPerIP       int                       // max.connections.per.ip
	PerIP          map[netip.Addr]int        // max.connections.per.ip.overrides
}

// ListenerLimits are the connections open at once, and the new ones in a second.
type ListenerLimits struct{ Max, Rate int }

const (
	maxConnections    = "max.connections"
	maxPerIP          = "max.connections.per.ip"
	maxPerIPOverrides = "max.connections.per.ip.overrides"
	maxCreationRate   = "max.connection.creation.rate"
)

// listenerLimit splits listener.name.<name>.<key> of the keys that a listener can
// have for itself.
func listenerLimit(key string) (listener, base string, ok bool) {
	rest, ok := strings.CutPrefix(key, listenerPrefix)
	if !ok {
		return "", "", false
	}
	for _, base := range []string{maxConnections, maxCreationRate} {
		if name, ok := strings.CutSuffix(rest, "."+base); ok && name != "" {
			return strings.ToUpper(name), base, true
		}
	}
	return "", "", false
}

// listenerLimitDef defines such a key.
func listenerLimitDef(key, base string) *Def {
	d := *brokerTable.byName[base]
	d.Name, d.Default, d.KafkaDefault, d.Update = key, nil, nil, PerBroker
	d.Doc = "The same as " + base + ", of one listener."
	return &d
}

// connectionLimits gathers the limits among values. The error says what Kafka
// refuses of them.
func connectionLimits(values map[string]value) (l ConnectionLimits, key string, err error) {
	number := func(key string) int { return int(values[key].parsed.(int64)) }
	l = ConnectionLimits{
		ListenerLimits: ListenerLimits{Max: number(maxConnections), Rate: number(maxCreationRate)},
		Listeners:      make(map[string]ListenerLimits), MaxPerIP: number(maxPerIP),
	}
	for key := range values {
		name, base, ok := listenerLimit(key)
		if !ok {
			continue
		}
		own, ok := l.Listeners[name]
		if !ok {
			own = ListenerLimits{Max: 1<<31 - 1, Rate: 1<<31 - 1}
		}
		if base == maxConnections {
			own.Max = number(key)
		} else {
			own.Rate = number(key)
		}
		l.Listeners[name] = own
	}
	if l.PerIP, err = parseOverrides(values[maxPerIPOverrides].parsed.(string)); err != nil {
		return l, maxPerIPOverrides, err
	}
	if l.MaxPerIP == 0 && len(l.PerIP) == 0 {
		return l, maxPerIP, fmt.Errorf("%s can be set to zero only if %s property is set", maxPerIP, maxPerIPOverrides)
	}
	return l, "", nil
}

// parseOverrides reads max.connections.per.ip.overrides.
func parseOverrides(text string) (map[netip.Addr]int, error) {
	limits := make(map[netip.Addr]int)
	for _, item := range splitList(text) {
		i := strings.LastIndexByte(item, ':')
		if i < 0 {
			return nil, fmt.Errorf("%q is not of the form address:count", item)
		}
		address, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(item[:i]), "[]"))
		if err != nil {
			return nil, fmt.Errorf("%q is no address; host names are not resolved", item[:i])
		}
		n, err := strconv.ParseInt(strings.TrimSpace(item[i+1:]), 10, 32)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("the count of %q is not in 0 to 2147483647", item)
		}
		limits[address.Unmap()] = int(n)
	}
	return limits, nil
}
