package configs

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Listener is an address with the name of the listener it belongs to.
type Listener struct {
	// Name is in upper case, as Kafka shows it.
	Name string
	// Host is a name or an address without brackets; empty means every interface.
	Host string
	// Port is 0 where the system is to choose one.
	Port int
}

// Addr returns host:port as net.Listen takes it.
func (l Listener) Addr() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// String returns NAME://host:port.
func (l Listener) String() string { return l.Name + "://" + l.Addr() }

// everywhere reports whether the host stands for every interface, so that no client can connect to it as it is.
func (l Listener) everywhere() bool { return l.Host == "" || l.Host == "0.0.0.0" || l.Host == "::" }

var endpoint = regexp.MustCompile(`^(.+)://(?:\[([0-9a-fA-F:.%]*)\]|([0-9a-zA-Z._%-]*)):([0-9]+)$`)

// parseListeners reads the items of a listeners key. unique refuses a port that two listeners use, unless it is
// 0 or one is an IPv4 and the other an IPv6 address.
func parseListeners(items []string, unique bool) ([]Listener, error) {
	var out []Listener
	for _, item := range items {
		m := endpoint.FindStringSubmatch(item)
		if m == nil {
			return nil, fmt.Errorf("%q is not of the form NAME://host:port", item)
		}
		port, err := strconv.Atoi(m[4])
		if err != nil || port > 65535 {
			return nil, fmt.Errorf("the port of %q is not in 0 to 65535", item)
		}
		l := Listener{Name: strings.ToUpper(m[1]), Host: m[2] + m[3], Port: port}
		for _, other := range out {
			if other.Name == l.Name {
				return nil, fmt.Errorf("listener name %s is used twice; give each listener a name of its own and map it in listener.security.protocol.map", l.Name)
			}
			if unique && l.Port != 0 && other.Port == l.Port && !differentFamilies(other.Host, l.Host) {
				return nil, fmt.Errorf("listeners %s and %s have the same port", other.Name, l.Name)
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// differentFamilies reports whether one host is an IPv4 and the other an IPv6 address.
func differentFamilies(a, b string) bool {
	ipA, ipB := net.ParseIP(a), net.ParseIP(b)
	return ipA != nil && ipB != nil && (ipA.To4() == nil) != (ipB.To4() == nil)
}

// The security protocols Kafka has; kserver serves the first.
const plaintext = "PLAINTEXT"

var securityProtocols = []string{plaintext, "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// parseProtocolMap reads listener.security.protocol.map.
func parseProtocolMap(text string) (map[string]string, error) {
	protocols := make(map[string]string)
	for _, item := range splitList(text) {
		i := strings.LastIndex(item, ":")
		if i <= 0 {
			return nil, fmt.Errorf("%q is not of the form NAME:PROTOCOL", item)
		}
		name, protocol := strings.ToUpper(strings.TrimSpace(item[:i])), strings.ToUpper(strings.TrimSpace(item[i+1:]))
		if !slices.Contains(securityProtocols, protocol) {
			return nil, fmt.Errorf("%q is no security protocol; there are %s", protocol, strings.Join(securityProtocols, ", "))
		}
		if _, twice := protocols[name]; twice {
			return nil, fmt.Errorf("listener %s is mapped twice", name)
		}
		protocols[name] = protocol
	}
	return protocols, nil
}
