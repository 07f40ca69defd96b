package configs

import (
	"fmt"
	"strings"
)

// Problem is one mistake in a broker's configuration.
type Problem struct {
	// Setting is what was given. Its Key is empty when the mistake is not in one value.
	Setting Setting
	// Message says what is wrong, and Hint what to do.
	Message string
	Hint    string

	sensitive bool
}

// String returns the problem in one line: where: key=value: message; hint.
func (p Problem) String() string {
	var out strings.Builder
	if p.Setting.Where != "" {
		out.WriteString(p.Setting.Where + ": ")
	}
	if p.Setting.Key != "" {
		out.WriteString(p.Setting.shown(p.sensitive) + ": ")
	}
	out.WriteString(p.Message)
	if p.Hint != "" {
		out.WriteString("; " + p.Hint)
	}
	return out.String()
}

// shown returns key=value, without the value of a secret.
func (s Setting) shown(sensitive bool) string {
	if sensitive {
		return s.Key + "=" + hidden
	}
	return s.Key + "=" + s.Value
}

// Problems is the error of ParseBroker: all mistakes it found, at least one.
type Problems []Problem

// Error returns the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, 0, len(p)+1)
	if len(p) > 1 {
		lines = append(lines, fmt.Sprintf("%d problems in the configuration:", len(p)))
	}
	for _, problem := range p {
		lines = append(lines, problem.String())
	}
	return strings.Join(lines, "\n")
}
