package configs

import (
	"errors"
	"strings"

	"kserver/protocol"
)

// ValidateGroup checks the configuration given for a group against the bounds of each key and those this broker
// sets (Kafka's GroupConfig.validate). The error is a *protocol.Error of code INVALID_CONFIG with Kafka's message.
func ValidateGroup(b *Broker, overrides map[string]string) error {
	keys := sortedKeys(overrides)
	for _, key := range keys {
		if _, ok := groupTable.byName[key]; !ok {
			return protocol.Errorf(protocol.InvalidConfig, "Unknown group config name: %s", key)
		}
	}
	parsed := make(map[string]any, len(keys))
	for _, key := range keys {
		v, err := groupTable.byName[key].Parse(overrides[key])
		if invalid, ok := errors.AsType[*ValueError](err); ok {
			return protocol.Errorf(protocol.InvalidConfig, "%s", invalid.Message)
		}
		parsed[key] = v
	}
	for _, key := range keys {
		if n, ok := parsed[key].(int64); ok {
			if err := b.checkGroupBounds(key, n); err != nil {
				return err
			}
		}
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		if err := b.checkSessionExceedsHeartbeat(kind, parsed); err != nil {
			return err
		}
	}
	return nil
}

// checkGroupBounds checks a number against group.<kind>.min.<rest> and group.<kind>.max.<rest>, where the broker
// has such keys.
func (b *Broker) checkGroupBounds(key string, n int64) error {
	kind, rest, _ := strings.Cut(key, ".")
	if rest == "num.standby.replicas" {
		rest = "standby.replicas"
	}
	least, most := "group."+kind+".min."+rest, "group."+kind+".max."+rest
	if bound, ok := b.values[least].parsed.(int64); ok && n < bound {
		return protocol.Errorf(protocol.InvalidConfig, "%s must be greater than or equal to %s", key, least)
	}
	if bound, ok := b.values[most].parsed.(int64); ok && n > bound {
		return protocol.Errorf(protocol.InvalidConfig, "%s must be less than or equal to %s", key, most)
	}
	return nil
}

// checkSessionExceedsHeartbeat checks that a member of a group of that kind is heard of more often than it times
// out, if the group sets one of both.
func (b *Broker) checkSessionExceedsHeartbeat(kind string, parsed map[string]any) error {
	session, heartbeat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
	_, setsSession := parsed[session]
	_, setsHeartbeat := parsed[heartbeat]
	effective := func(key string) int64 {
		if v, ok := parsed[key].(int64); ok {
			return v
		}
		return b.topicDefault(groupTable.byName[key]).parsed.(int64)
	}
	if (setsSession || setsHeartbeat) && effective(session) <= effective(heartbeat) {
		return protocol.Errorf(protocol.InvalidConfig, "%s must be greater than %s", session, heartbeat)
	}
	return nil
}
