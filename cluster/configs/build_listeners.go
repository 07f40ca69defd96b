package configs

import (
	"fmt"
	"slices"
	"strings"
)

// buildListeners decides which listeners are opened and which addresses clients are told.
func (p *parser) buildListeners(n *Network) {
	all, err := parseListeners(p.list("listeners"), true)
	if err != nil {
		p.fail("listeners", err.Error(), "correct it, as in PLAINTEXT://127.0.0.1:9092")
		return
	}
	protocols, err := parseProtocolMap(p.text("listener.security.protocol.map"))
	if err != nil {
		p.fail("listener.security.protocol.map", err.Error(), "correct it, as in PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT")
		return
	}
	controllers := upper(p.list("controller.listener.names"))
	for _, l := range all {
		if slices.Contains(controllers, l.Name) {
			n.Controller = append(n.Controller, l)
			continue
		}
		if p.protocolServed(l, protocols) {
			n.Listeners = append(n.Listeners, l)
		}
	}
	if len(n.Listeners) == 0 {
		if len(p.problems) == 0 {
			p.fail("listeners", "leaves no listener for clients", "add one, as in PLAINTEXT://127.0.0.1:9092")
		}
		return
	}
	p.buildAdvertised(n, all, controllers)
	p.buildInterBroker(n, protocols)
}

// protocolServed reports whether the listener's security protocol is known and one we serve, and fails if not.
func (p *parser) protocolServed(l Listener, protocols map[string]string) bool {
	switch protocol, mapped := protocols[l.Name]; {
	case !mapped:
		p.fail("listeners", fmt.Sprintf("listener %s has no security protocol", l.Name),
			fmt.Sprintf("add %s:PLAINTEXT to listener.security.protocol.map, or name it in controller.listener.names", l.Name))
		return false
	case protocol != plaintext:
		p.fail("listeners", fmt.Sprintf("listener %s speaks %s, and this version serves PLAINTEXT only", l.Name, protocol),
			"map it to PLAINTEXT in listener.security.protocol.map if its clients need no encryption and no login")
		return false
	}
	return true
}

// buildAdvertised fills n.Advertised from advertised.listeners, or from the listeners.
func (p *parser) buildAdvertised(n *Network, all []Listener, controllers []string) {
	if !p.isSet("advertised.listeners") {
		for _, l := range n.Listeners {
			if l.everywhere() {
				host, err := hostname()
				if err != nil {
					p.fail("listeners", "this machine's host name cannot be read: "+err.Error(), "set advertised.listeners to an address clients can reach")
					return
				}
				l.Host = host
			}
			n.Advertised = append(n.Advertised, l)
		}
		return
	}
	advertised, err := parseListeners(p.list("advertised.listeners"), false)
	if err != nil {
		p.fail("advertised.listeners", err.Error(), "correct it, as in PLAINTEXT://broker.example.org:9092")
		return
	}
	for _, l := range advertised {
		switch {
		case !slices.ContainsFunc(all, func(other Listener) bool { return other.Name == l.Name }):
			p.fail("advertised.listeners", fmt.Sprintf("listener %s is not one of listeners", l.Name), "use the names of listeners: "+strings.Join(names(all), ", "))
		case l.Host == "0.0.0.0" || l.Host == "::":
			p.fail("advertised.listeners", fmt.Sprintf("clients cannot connect to %s", l.Host), "name an address or host name they can reach")
		case slices.Contains(controllers, l.Name):
		default:
			if l.Host == "" {
				p.fail("advertised.listeners", fmt.Sprintf("listener %s has no host", l.Name), "name an address or host name clients can reach")
			}
			n.Advertised = append(n.Advertised, l)
		}
	}
	if len(n.Advertised) == 0 && len(p.problems) == 0 {
		p.fail("advertised.listeners", "names no listener for clients", "delete it, or name one of "+strings.Join(names(n.Listeners), ", "))
	}
}

// buildInterBroker fills n.InterBroker.
func (p *parser) buildInterBroker(n *Network, protocols map[string]string) {
	name := strings.ToUpper(p.text("inter.broker.listener.name"))
	switch {
	case name != "" && p.isSet("security.inter.broker.protocol"):
		p.fail("security.inter.broker.protocol", "is set together with inter.broker.listener.name", "delete one of them")
	case name != "":
		if !slices.Contains(names(n.Listeners), name) {
			p.fail("inter.broker.listener.name", "is not a listener for brokers", "use one of "+strings.Join(names(n.Listeners), ", "))
		}
		n.InterBroker = name
	case p.isSet("security.inter.broker.protocol"):
		protocol := p.text("security.inter.broker.protocol")
		i := slices.IndexFunc(n.Listeners, func(l Listener) bool { return protocols[l.Name] == protocol })
		if i < 0 {
			p.fail("security.inter.broker.protocol", "no listener speaks it", "delete it, or add such a listener")
			return
		}
		n.InterBroker = n.Listeners[i].Name
	default:
		n.InterBroker = n.Listeners[0].Name
	}
}

// buildMetrics reads the keys of the broker's metrics and of clients'.
func (p *parser) buildMetrics(m *Metrics) {
	m.TelemetryMaxBytes = int(p.long("telemetry.max.bytes"))
	for _, item := range p.list("metrics.listeners") {
		l, err := parseListeners([]string{item}, true)
		if err == nil && l[0].Name != "HTTP" {
			err = fmt.Errorf("%q does not begin with http://", item)
		}
		if err != nil {
			p.fail("metrics.listeners", err.Error(), "correct it, as in http://127.0.0.1:9404")
			return
		}
		m.Listeners = append(m.Listeners, l...)
	}
}

func names(listeners []Listener) []string {
	var out []string
	for _, l := range listeners {
		out = append(out, l.Name)
	}
	return out
}

func upper(items []string) []string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = strings.ToUpper(item)
	}
	return out
}
