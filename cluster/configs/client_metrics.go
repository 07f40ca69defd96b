package configs

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"kserver/protocol"
)

// Keys of client metrics subscriptions the code names.
const (
	keyPushInterval = "interval.ms"
	keyClientMatch  = "match"
)

// clientMetricsTable are the keys of a client metrics subscription (resource type 16, KIP-714). This release keeps
// them and asks no client for metrics.
var clientMetricsTable = newTable([]*Def{
	inert(Int, keyPushInterval, "300000", nil, ClusterWide, noteTelemetry,
		"Time between two pushes of metrics by a client, in milliseconds."),
	inert(List, keyClientMatch, "", fullItems{}, ClusterWide, noteTelemetry,
		"Clients the subscription is for, as name=regular expression separated by commas."),
	inert(List, "metrics", "", fullItems{}, ClusterWide, noteTelemetry,
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

// The bounds of interval.ms.
const (
	minPushInterval = 100
	maxPushInterval = 3_600_000
)

// ValidateClientMetrics checks the configuration given for a client metrics subscription (Kafka's
// ClientMetricsConfigs.validate). The error is a *protocol.Error with Kafka's code and message.
func ValidateClientMetrics(name string, overrides map[string]string) error {
	if name == "" {
		return protocol.Errorf(protocol.InvalidRequest, "Subscription name can't be empty")
	}
	keys := sortedKeys(overrides)
	for _, key := range keys {
		if _, ok := clientMetricsTable.byName[key]; !ok {
			return protocol.Errorf(protocol.InvalidRequest, "Unknown client metrics configuration: %s", key)
		}
	}
	for _, key := range keys {
		parsed, err := clientMetricsTable.byName[key].Parse(overrides[key])
		if invalid, ok := errors.AsType[*ValueError](err); ok {
			return protocol.Errorf(protocol.InvalidConfig, "%s", invalid.Message)
		}
		switch key {
		case keyPushInterval:
			if n := parsed.(int64); n < minPushInterval || n > maxPushInterval {
				return protocol.Errorf(protocol.InvalidRequest, "Invalid value %d for %s, interval must be between 100 and 3600000 (1 hour)", n, keyPushInterval)
			}
		case keyClientMatch:
			for _, pattern := range parsed.([]string) {
				if !validMatch(pattern) {
					return protocol.Errorf(protocol.InvalidConfig, "Illegal client matching pattern: %s", pattern)
				}
			}
		}
	}
	return nil
}

// validMatch reports whether a pattern is name=expression.
func validMatch(pattern string) bool {
	name, expression, ok := strings.Cut(pattern, "=")
	if !ok || strings.Contains(expression, "=") || !slices.Contains(matchNames, strings.TrimSpace(name)) {
		return false
	}
	_, err := syntax.Parse(strings.TrimSpace(expression), syntax.Perl)
	invalid, failed := errors.AsType[*syntax.Error](err)
	// Java has constructs Go has not, such as lookahead and possessive quantifiers.
	return expression != "" && (!failed || slices.Contains(javaOnly, invalid.Code))
}

// javaOnly are the errors Go's parser has for expressions that Java may take.
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
		var once []string
		for _, item := range items {
			if !slices.Contains(once, item) {
				once = append(once, item)
			}
		}
		parsed = once
	}
	return format(d.Type, parsed)
}
