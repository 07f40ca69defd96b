package configs

import (
	"fmt"
	"slices"
	"strings"
)

// Layer says where a value comes from. A higher layer goes before a lower one.
type Layer int8

// The layers of configuration, lowest first.
const (
	FromDefault Layer = iota
	FromFile
	FromEnvironment
	FromFlag
)

// String returns "default", "file", "environment" or "flag".
func (l Layer) String() string {
	switch l {
	case FromDefault:
		return "default"
	case FromFile:
		return "file"
	case FromEnvironment:
		return "environment"
	case FromFlag:
		return "flag"
	}
	return fmt.Sprintf("Layer(%d)", int8(l))
}

// Setting is one value somebody gave, with the place it was given.
type Setting struct {
	Key   string
	Value string
	Layer Layer
	// Where is the place for a human: server.properties:12, KSERVER_LOG_DIRS, --log.dirs.
	Where string
}

// FlagSetting is the Setting of the command line option --key value.
func FlagSetting(key, value string) Setting {
	return Setting{Key: key, Value: value, Layer: FromFlag, Where: "--" + key}
}

// The prefixes of environment variables that hold settings. The second is the one of Kafka's container image,
// read so that an environment made for it starts kserver; where both set a key, the first wins.
const (
	EnvPrefix      = "KSERVER_"
	KafkaEnvPrefix = "KAFKA_"
)

// EnvName returns the environment variable that sets a key: KSERVER_LOG_DIRS for log.dirs.
func EnvName(key string) string {
	return EnvPrefix + strings.NewReplacer("_", "__", "-", "___", ".", "_").Replace(strings.ToUpper(key))
}

// kafkaScriptVariables are read by Kafka's start scripts and images and hold no setting.
var kafkaScriptVariables = []string{
	"CLUSTER_ID", "DEBUG", "DEBUG_SUSPEND_FLAG", "GC_LOG_OPTS", "HEAP_OPTS", "HOME", "JMX_HOSTNAME", "JMX_OPTS", "JMX_PORT",
	"JVM_PERFORMANCE_OPTS", "LOG4J_CMD_OPTS", "LOG4J_LOGGERS", "LOG4J_OPTS", "LOG4J_ROOT_LOGLEVEL", "MODE", "OPTS",
	"TOOLS_LOG4J_LOGLEVEL", "USER", "VERSION",
}

// ParseEnvironment picks the settings out of an environment (as os.Environ returns it): KSERVER_<KEY>, and
// KAFKA_<KEY> as Kafka's container image takes them. In the rest of the name _ stands for a dot, __ for _ and
// ___ for -. skipped are the KSERVER_ and KAFKA_ variables that name no known key and are not used; KSERVER_
// ones come back as settings instead, so that ParseBroker reports them as unknown.
func ParseEnvironment(environ []string) (settings []Setting, skipped []string) {
	var kafka []Setting
	sorted := slices.Sorted(slices.Values(environ)) // so that messages come in the same order every time
	for _, variable := range sorted {
		name, value, _ := strings.Cut(variable, "=")
		if rest, ok := strings.CutPrefix(name, EnvPrefix); ok {
			settings = append(settings, Setting{Key: envKey(rest), Value: value, Layer: FromEnvironment, Where: name})
		}
		if rest, ok := strings.CutPrefix(name, KafkaEnvPrefix); ok {
			switch key := envKey(rest); {
			case slices.Contains(kafkaScriptVariables, rest):
			case isKnown(key):
				kafka = append(kafka, Setting{Key: key, Value: value, Layer: FromEnvironment, Where: name})
			default:
				skipped = append(skipped, name)
			}
		}
	}
	return append(kafka, settings...), skipped
}

// envKey turns the part of a variable's name after the prefix into a key.
func envKey(rest string) string {
	return strings.NewReplacer("___", "-", "__", "_", "_", ".").Replace(strings.ToLower(rest))
}

// isKnown reports whether a key is one ParseBroker accepts.
func isKnown(key string) bool {
	_, ok := findDef(key)
	return ok
}
