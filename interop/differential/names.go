package differential

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// names are the variables of one run of a case.
type names struct {
	prefix string
	fresh  int
	text   map[string]string
	number map[string]int64
	bytes  map[string][]byte
	order  []string // names of texts, by first use
}

// runPrefix distinguishes the fresh names of this process from those of runs before it.
var runPrefix = fmt.Sprintf("d%08x", uint32(time.Now().UnixNano()>>16))

// namesMade counts the runs of cases that made names.
var namesMade int

func newNames() *names {
	namesMade++
	return &names{
		prefix: fmt.Sprintf("%s-%05d", runPrefix, namesMade),
		text:   make(map[string]string), number: make(map[string]int64), bytes: make(map[string][]byte),
	}
}

// variable matches a use of a variable in a text.
var variable = regexp.MustCompile(`\$[a-z]+[0-9]*`)

// expand puts the values of variables in their places. A name without value gets a fresh one; the
// fresh names of a case sort by first use and are equally long.
func (n *names) expand(text string) string {
	return variable.ReplaceAllStringFunc(text, func(name string) string {
		if v, ok := n.text[name]; ok {
			return v
		}
		if v, ok := n.number[name]; ok {
			return strconv.FormatInt(v, 10)
		}
		n.fresh++
		n.bind(name, fmt.Sprintf("%s-%02d", n.prefix, n.fresh))
		return n.text[name]
	})
}

func (n *names) bind(name, text string) {
	if _, ok := n.text[name]; !ok {
		n.order = append(n.order, name)
	}
	n.text[name] = text
}

// hide puts variables where their values are in an answer's text.
func (n *names) hide(text string) string {
	return n.hideIn(text, func(v string) string { return v })
}

// hideIn is hide for a text that holds values in another form.
func (n *names) hideIn(text string, form func(string) string) string {
	for _, name := range n.order {
		if v := n.text[name]; len(v) >= 8 {
			text = strings.ReplaceAll(text, form(v), name)
		}
	}
	return text
}

// made lists the fresh names.
func (n *names) made() (out []string) {
	for _, name := range n.order {
		if strings.HasPrefix(n.text[name], n.prefix) {
			out = append(out, n.text[name])
		}
	}
	return out
}

// integer evaluates a number: 7, now, now-500, $x, $x+1.
func (n *names) integer(text string) (int64, error) {
	base, rest := text, ""
	if i := strings.LastIndexAny(text, "+-"); i > 0 {
		base, rest = text[:i], text[i:]
	}
	var v int64
	switch number, ok := n.number[base]; {
	case ok:
		v = number
	case base == "now":
		v = time.Now().UnixMilli()
	default:
		return strconv.ParseInt(text, 0, 64)
	}
	if rest == "" {
		return v, nil
	}
	d, err := strconv.ParseInt(rest, 10, 64)
	return v + d, err
}
