package configs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ValueError says why a value does not suit its key.
type ValueError struct {
	Key     string
	Value   string
	Message string
}

// Error returns the message Kafka's ConfigException has for the same mistake.
func (e *ValueError) Error() string { return e.Message }

// invalidValue is the usual form of Kafka's messages about a value.
func invalidValue(key, shown, problem string) string {
	return fmt.Sprintf("Invalid value %s for configuration %s: %s", shown, key, problem)
}

// Parse turns the text of a value into its Go form and checks its bounds: bool for Boolean, int64 for Int, Short
// and Long, float64 for Double, []string for List, string for the rest. The error is a *ValueError.
func (d *Def) Parse(text string) (any, error) {
	v, problem := parse(d.Type, text)
	if problem != "" {
		return nil, &ValueError{Key: d.Name, Value: text, Message: invalidValue(d.Name, text, problem)}
	}
	if d.Valid != nil {
		if message := d.Valid.check(d.Name, v); message != "" {
			return nil, &ValueError{Key: d.Name, Value: text, Message: message}
		}
	}
	return v, nil
}

// parse follows Kafka's ConfigDef.parseType; problem is empty when the text is of the type.
func parse(t Type, text string) (v any, problem string) {
	trimmed := strings.TrimSpace(text)
	switch t {
	case Boolean:
		switch {
		case strings.EqualFold(trimmed, "true"):
			return true, ""
		case strings.EqualFold(trimmed, "false"):
			return false, ""
		}
		return nil, "Expected value to be either true or false"
	case Short, Int, Long:
		bits := map[Type]int{Short: 16, Int: 32, Long: 64}[t]
		n, err := strconv.ParseInt(trimmed, 10, bits)
		if err != nil {
			return nil, "Not a number of type " + t.String()
		}
		return n, ""
	case Double:
		f, err := strconv.ParseFloat(trimmed, 64)
		if err != nil {
			return nil, "Not a number of type DOUBLE"
		}
		return f, ""
	case List:
		return splitList(trimmed), ""
	}
	return text, ""
}

// splitList cuts a comma-separated list and trims its items; the empty text is the empty list.
func splitList(text string) []string {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// hidden stands for every value of type Password.
const hidden = "[hidden]"

// format renders a parsed value as Kafka does in DescribeConfigs.
func format(t Type, v any) string {
	if t == Password {
		return hidden
	}
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return javaDouble(v)
	case []string:
		return strings.Join(v, ",")
	case string:
		return v
	}
	panic(fmt.Sprintf("configs: value %v of type %s has Go type %T", v, t, v))
}

// javaDouble renders a double as Java's Double.toString, so that 0.5 stays "0.5" and 1e10 becomes "1.0E10".
func javaDouble(f float64) string {
	switch abs := math.Abs(f); {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == 0 || abs >= 1e-3 && abs < 1e7:
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, err := strconv.Atoi(exponent)
	if err != nil {
		panic("configs: exponent of a formatted float: " + err.Error())
	}
	return mantissa + "E" + strconv.Itoa(n)
}
