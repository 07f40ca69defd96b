package configs

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"kserver/protocol"
)

// Keys of client metrics subscriptions the code names.
const (
	keyMetrics      = "metrics"
	keyPushInterval = "interval.ms"
	keyClientMatch  = "match"
)

// clientMetricsTable are the keys of a client metrics subscription (resource type 16, KIP-714).
var clientMetricsTable = newTable([]*Def{
	obeyed(Int, keyPushInterval, "300000", nil, ClusterWide,
		"Time between two pushes of metrics by a client, in milliseconds."),
	obeyed(List, keyClientMatch, "", fullItems{}, ClusterWide,
		"Clients the subscription is for, as name=regular expression separated by commas."),
	obeyed(List, keyMetrics, "", fullItems{}, ClusterWide,
		"Prefixes of the names of the metrics to push, separated by commas; * is all."),
})

// fullItems accepts lists without empty items. Items that come twice are one.
type fullItems struct{}

func (fullItems) String() string { return "" }

func (fullItems) check(key string, v any) string {
	if slices.Contains(v.([]string), "") {
		return fmt.Sprintf("Configuration '%s' values must not be empty.", key)
	}
	return ""
}

// matchNames are the properties of a client a subscription can select by.
var matchNames = []string{
	"client_id", "client_instance_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port",
}

// The bounds of interval.ms, and its default.
const (
	minPushInterval     = 100
	maxPushInterval     = 3_600_000
	defaultPushInterval = 5 * time.Minute
)

// ClientMetrics is a client metrics subscription.
type ClientMetrics struct {
	// Metrics are prefixes of metric names, each once; * is all.
	Metrics []string
	// Interval is the time between two pushes.
	Interval time.Duration
	// Match has an expression for properties of a client (matchNames), which has to match the whole property. Without
	// any the subscription is for all clients.
	Match map[string]*regexp.Regexp
}

// ValidateClientMetrics checks the configuration given for a client metrics subscription (Kafka's
// ClientMetricsConfigs.validate). The error is a *protocol.Error with Kafka's code and message.
func ValidateClientMetrics(name string, overrides map[string]string) error {
	_, err := ParseClientMetrics(name, overrides)
	return err
}

// ParseClientMetrics reads the configuration of a client metrics subscription, as ValidateClientMetrics checks it.
func ParseClientMetrics(name string, overrides map[string]string) (ClientMetrics, error) {
	m := ClientMetrics{Interval: defaultPushInterval}
	if name == "" {
		return m, protocol.Errorf(protocol.InvalidRequest, "Subscription name can't be empty")
	}
	keys := sortedKeys(overrides)
	for _, key := range keys {
		if _, ok := clientMetricsTable.byName[key]; !ok {
			return m, protocol.Errorf(protocol.InvalidRequest, "Unknown client metrics configuration: %s", key)
		}
	}
	for _, key := range keys {
		parsed, err := clientMetricsTable.byName[key].Parse(overrides[key])
		if invalid, ok := errors.AsType[*ValueError](err); ok {
			return m, protocol.Errorf(protocol.InvalidConfig, "%s", invalid.Message)
		}
		switch key {
		case keyPushInterval:
			n := parsed.(int64)
			if n < minPushInterval || n > maxPushInterval {
				return m, protocol.Errorf(protocol.InvalidRequest, "Invalid value %d for %s, interval must be between 100 and 3600000 (1 hour)", n, keyPushInterval)
			}
			m.Interval = millis(n)
		case keyClientMatch:
			if m.Match, err = parseMatch(parsed.([]string)); err != nil {
				return m, err
			}
		case keyMetrics:
			m.Metrics = once(parsed.([]string))
		}
	}
	return m, nil
}

// parseMatch reads patterns of the form name=expression. Of two for one name the last counts.
func parseMatch(patterns []string) (map[string]*regexp.Regexp, error) {
	match := make(map[string]*regexp.Regexp, len(patterns))
	for _, pattern := range patterns {
		name, expression, _ := strings.Cut(pattern, "=")
		name, expression = strings.TrimSpace(name), strings.TrimSpace(expression)
		if expression == "" || strings.Contains(expression, "=") || !slices.Contains(matchNames, name) {
			return nil, protocol.Errorf(protocol.InvalidConfig, "Illegal client matching pattern: %s", pattern)
		}
		var compiled *regexp.Regexp
		_, err := syntax.Parse(expression, syntax.Perl) // alone, as brackets that close nothing would close ours
		if err == nil {
			compiled, err = regexp.Compile(`\A(?:` + expression + `)\z`)
		}
		if invalid, ok := errors.AsType[*syntax.Error](err); ok {
			if slices.Contains(javaOnly, invalid.Code) {
				return nil, protocol.Errorf(protocol.InvalidConfig, "Illegal client matching pattern: %s (%s; expressions here are those of RE2, which has fewer constructs than Java)", pattern, invalid.Code)
			}
			return nil, protocol.Errorf(protocol.InvalidConfig, "Illegal client matching pattern: %s", pattern)
		}
		match[name] = compiled
	}
	return match, nil
}

// javaOnly are the errors for expressions that Java may take.
var javaOnly = []syntax.ErrorCode{
	syntax.ErrInvalidEscape, syntax.ErrInvalidPerlOp, syntax.ErrInvalidRepeatOp, syntax.ErrInvalidNamedCapture, syntax.ErrInvalidCharRange,
	syntax.ErrInvalidRepeatSize, syntax.ErrLarge,
}

// DescribeClientMetrics returns the entries of a client metrics subscription with the given overrides, by name.
func DescribeClientMetrics(overrides map[string]string) []Entry {
	entries := make([]Entry, 0, len(clientMetricsTable.sorted))
	for _, d := range clientMetricsTable.sorted {
		e := Entry{Name: d.Name, Value: d.Default, Source: SourceDefault, Type: d.Type, Doc: d.Doc}
		if text, ok := overrides[d.Name]; ok {
			text = shownOnce(d, text)
			e.Value, e.Source = &text, SourceClientMetrics
			e.Synonyms = []EntrySynonym{{d.Name, &text, SourceClientMetrics}}
		}
		entries = append(entries, e)
	}
	return entries
}

// shownOnce renders a stored value, items of a list once each.
func shownOnce(d *Def, text string) string {
	parsed, problem := parse(d.Type, text)
	if problem != "" {
		return text
	}
	if items, ok := parsed.([]string); ok {
		parsed = once(items)
	}
	return format(d.Type, parsed)
}

// once leaves out items that came before.
func once(items []string) (out []string) {
	for _, item := range items {
		if !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}
