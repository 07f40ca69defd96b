package configs

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Validator bounds the values of a key. String names the bounds the way Kafka's documentation does, such as
// [1,...,17].
type Validator interface {
	fmt.Stringer
	// check returns Kafka's message when v, a parsed value of the key, is out of bounds, and "" when it is not.
	check(key string, v any) string
}

// interval bounds a number, both ends inclusive. A nil high end is open.
type interval struct {
	low  float64
	high *float64
}

func atLeast(low float64) Validator       { return interval{low: low} }
func between(low, high float64) Validator { return interval{low: low, high: &high} }

func (i interval) String() string {
	if i.high == nil {
		return "[" + plainNumber(i.low) + ",...]"
	}
	return "[" + plainNumber(i.low) + ",...," + plainNumber(*i.high) + "]"
}

func (i interval) check(key string, v any) string {
	var n float64
	var shown string
	switch v := v.(type) {
	case int64:
		n, shown = float64(v), strconv.FormatInt(v, 10)
	case float64:
		n, shown = v, javaDouble(v)
	default:
		panic(fmt.Sprintf("configs: %s: %T is not a number", key, v))
	}
	switch {
	case i.high != nil && n > *i.high:
		return invalidValue(key, shown, "Value must be no more than "+plainNumber(*i.high))
	case !(n >= i.low): // NaN too
		return invalidValue(key, shown, "Value must be at least "+plainNumber(i.low))
	}
	return ""
}

func plainNumber(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// gzipLevels accepts -1 (the codec's own default) and 1 to 9.
type gzipLevels struct{}

func (gzipLevels) String() string { return "[1,...,9] or -1" }

func (gzipLevels) check(key string, v any) string {
	n := v.(int64)
	if n == -1 || n >= 1 && n <= 9 {
		return ""
	}
	return invalidValue(key, strconv.FormatInt(n, 10), "Value must be between 1 and 9 or equal to -1")
}

// oneOf accepts the listed strings; with fold in any letter case.
type oneOf struct {
	values []string
	fold   bool
}

func choice(values ...string) Validator  { return oneOf{values: values} }
func anyCase(values ...string) Validator { return oneOf{values: values, fold: true} }

func (o oneOf) String() string {
	if o.fold {
		return "(case insensitive) " + bracketed(o.values)
	}
	return bracketed(o.values)
}

func (o oneOf) check(key string, v any) string {
	text := v.(string)
	same := func(value string) bool { return value == text || o.fold && strings.EqualFold(value, text) }
	if slices.ContainsFunc(o.values, same) {
		return ""
	}
	rule := "String must be one of: "
	if o.fold {
		rule = "String must be one of (case insensitive): "
	}
	return invalidValue(key, text, rule+strings.Join(o.values, ", "))
}

func bracketed(values []string) string { return "[" + strings.Join(values, ", ") + "]" }

// listOf accepts lists without empty items and without repeats; values, when there are any, are the items
// allowed.
type listOf struct {
	values   []string
	nonEmpty bool
}

func anyList() Validator                   { return listOf{} }
func fullList(values ...string) Validator  { return listOf{values: values, nonEmpty: true} }
func emptyable(values ...string) Validator { return listOf{values: values} }

func (l listOf) String() string {
	if len(l.values) == 0 {
		return ""
	}
	return bracketed(l.values)
}

func (l listOf) check(key string, v any) string {
	items := v.([]string)
	if l.nonEmpty && len(items) == 0 {
		valid := "any non-empty value"
		if len(l.values) > 0 {
			valid = bracketed(l.values)
		}
		return fmt.Sprintf("Configuration '%s' must not be empty. Valid values include: %s", key, valid)
	}
	if slices.ContainsFunc(items, func(item string) bool { return count(items, item) > 1 }) {
		return fmt.Sprintf("Configuration '%s' values must not be duplicated.", key)
	}
	for _, item := range items {
		if item == "" {
			return fmt.Sprintf("Configuration '%s' values must not be empty.", key)
		}
		if len(l.values) > 0 && !slices.Contains(l.values, item) {
			return invalidValue(key, item, "String must be one of: "+strings.Join(l.values, ", "))
		}
	}
	return ""
}

func count(items []string, item string) (n int) {
	for _, other := range items {
		if other == item {
			n++
		}
	}
	return n
}

// pattern is a regular expression that is compiled when it is first asked for, which no start should pay that needs none.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// throttledReplicas accepts the empty list, "*", and pairs partition:broker.
type throttledReplicas struct{}

const replicaPairs = "[partitionId]:[brokerId],[partitionId]:[brokerId],..."

var replicaPair = pattern(`^[0-9]+:[0-9]+$`)

func (throttledReplicas) String() string { return replicaPairs }

func (throttledReplicas) check(key string, v any) string {
	items := v.([]string)
	if len(items) == 1 && items[0] == "*" {
		return ""
	}
	for _, item := range items {
		if !replicaPair().MatchString(item) {
			return invalidValue(key, bracketed(items), key+" must be the literal '*' or a list of replicas in the following format: "+replicaPairs)
		}
	}
	return ""
}

// notEmpty refuses the empty string.
type notEmpty struct{}

func (notEmpty) String() string { return "non-empty string" }

func (notEmpty) check(key string, v any) string {
	if text := v.(string); text == "" {
		return invalidValue(key, text, "String must be non-empty")
	}
	return ""
}

// notNull accepts every string; Kafka names it so because the key has no null.
type notNull struct{}

func (notNull) String() string { return "non-null string" }

func (notNull) check(string, any) string { return "" }

// voters accepts a list of id@host:port.
type voters struct{}

var voter = pattern(`^([0-9]+)@(.*):([0-9]+)$`)

func (voters) String() string { return "non-empty list" }

func (voters) check(key string, v any) string {
	for _, item := range v.([]string) {
		if !voter().MatchString(item) {
			return "Invalid configuration value for " + key + ". Each entry should be in the form `{id}@{host}:{port}`."
		}
	}
	return ""
}

// hostPorts accepts a list of host:port.
type hostPorts struct{}

var hostPort = pattern(`^.+:[0-9]+$`)

func (hostPorts) String() string { return "non-empty list" }

func (hostPorts) check(key string, v any) string {
	for _, item := range v.([]string) {
		if !hostPort().MatchString(item) {
			return "Failed to parse host name from " + item + " for the configuration " + key + `. Each entry should be in the form "{host}:{port}"`
		}
	}
	return ""
}

// offsetReset accepts earliest, latest and by_duration with a positive ISO-8601 duration.
type offsetReset struct{}

var isoDuration = pattern(`^P([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]{1,9})?S)?)?$`)

func (offsetReset) String() string { return "[latest, earliest, by_duration:PnDTnHnMn.nS]" }

func (offsetReset) check(key string, v any) string {
	text := v.(string)
	if text == "earliest" || text == "latest" {
		return ""
	}
	duration, ok := strings.CutPrefix(text, "by_duration:")
	if ok && isoDuration().MatchString(duration) && duration != "P" && !strings.HasSuffix(duration, "T") {
		return ""
	}
	return invalidValue(key, text, fmt.Sprintf("Invalid value `%s` for configuration %s. The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.", text, key))
}
