package telemetry

import (
	"encoding/base64"
	"hash/crc32"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Subscription is what an administrator wants of some clients.
type Subscription struct {
	// Metrics are prefixes of metric names; allMetrics is all.
	Metrics  []string
	Interval time.Duration // between pushes
	// Match are expressions for properties of a client, by the name of the property. All have to match.
	Match map[string]*regexp.Regexp
}

// allMetrics as a prefix stands for all metrics.
const allMetrics = "*"

// defaultInterval is the push interval of clients that no subscription is for: how often they ask again.
const defaultInterval = 5 * time.Minute

// ID names a client instance. It is chosen by the first broker the client asks.
type ID [16]byte

// String is Kafka's form of the id.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// reserved are the ids that Kafka keeps for itself: none, and those of its metadata log.
func (id ID) reserved() bool { return id == ID{} || id == ID{15: 1} }

// hash is the id's Java hash code.
func (id ID) hash() uint32 {
	var h uint32
	for i := 0; i < len(id); i += 4 {
		h ^= uint32(id[i])<<24 | uint32(id[i+1])<<16 | uint32(id[i+2])<<8 | uint32(id[i+3])
	}
	return h
}

// Client is what is known of who sent a request.
type Client struct {
	ClientID                      string
	SoftwareName, SoftwareVersion string // empty when the client did not say
	Address, Port                 string
}

// property returns what a Subscription can match by; ok is false when it is not known.
func (c *Client) property(name string, id ID) (value string, ok bool) {
	switch name {
	case "client_instance_id":
		return id.String(), true
	case "client_id":
		return c.ClientID, true
	case "client_software_name":
		return c.SoftwareName, c.SoftwareName != ""
	case "client_software_version":
		return c.SoftwareVersion, c.SoftwareVersion != ""
	case "client_source_address":
		return c.Address, true
	case "client_source_port":
		return c.Port, true
	}
	return "", false
}

// wanted is what all subscriptions together want of one client.
type wanted struct {
	subscriptionID int32
	metrics        []string // sorted, each once
	interval       time.Duration
}

// match finds what is wanted of a client: all metrics of the subscriptions it matches, at the shortest interval.
func match(subscriptions []Subscription, c *Client, id ID) wanted {
	w := wanted{interval: defaultInterval}
	for i := range subscriptions {
		s := &subscriptions[i]
		if s.matches(c, id) {
			w.metrics = append(w.metrics, s.Metrics...)
			w.interval = min(w.interval, s.Interval)
		}
	}
	slices.Sort(w.metrics)
	w.metrics = slices.Compact(w.metrics)
	if slices.Contains(w.metrics, allMetrics) {
		w.metrics = []string{allMetrics}
	}
	w.subscriptionID = subscriptionID(w.metrics, w.interval, id)
	return w
}

func (s *Subscription) matches(c *Client, id ID) bool {
	for name, expression := range s.Match {
		if value, ok := c.property(name, id); !ok || !expression.MatchString(value) {
			return false
		}
	}
	return true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// subscriptionID tells one set of wanted metrics from another. It is Kafka's checksum, of the metrics in order.
func subscriptionID(metrics []string, interval time.Duration, id ID) int32 {
	text := "[" + strings.Join(metrics, ", ") + "]" + strconv.FormatInt(interval.Milliseconds(), 10)
	return int32(crc32.Checksum([]byte(text), castagnoli) ^ id.hash())
}
