package configs

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// value is the effective value of a key: the setting it comes from (of layer FromDefault without one), the text,
// nil for null, and the parsed form, nil for null and for keys outside the table.
type value struct {
	def     *Def
	setting Setting
	text    *string
	parsed  any
}

// parser gathers the values and problems of one ParseBroker.
type parser struct {
	values   map[string]value
	problems Problems
	notices  []string
}

// ParseBroker makes the effective configuration of a node out of what was given in any number of layers; the
// order of settings matters only within a layer, where the last of a key counts. Every mistake is reported:
// the error, if there is one, is Problems.
func ParseBroker(settings ...Setting) (*Broker, error) {
	p := parser{values: make(map[string]value)}
	p.take(settings)
	p.joinNodeID()
	p.fillDefaults()
	b := p.build()
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int { return comparePlace(a.Setting, b.Setting) })
		return nil, p.problems
	}
	b.Notices = p.notices
	return b, nil
}

// take checks each setting by itself and keeps the one of the highest layer.
func (p *parser) take(settings []Setting) {
	given := make(map[string]Setting)
	for _, s := range settings {
		before, twice := given[s.Key]
		switch {
		case twice && before.Layer > s.Layer:
			continue
		case twice && before.Layer == s.Layer && before.Where != s.Where:
			p.notices = append(p.notices, fmt.Sprintf("%s: %s overrides the value given at %s", s.Where, s.Key, before.Where))
		}
		given[s.Key] = s
	}
	ordered := make([]Setting, 0, len(given))
	for _, s := range given {
		ordered = append(ordered, s)
	}
	slices.SortFunc(ordered, func(a, b Setting) int {
		return cmp.Or(comparePlace(a, b), strings.Compare(a.Key, b.Key))
	})
	for _, s := range ordered {
		p.takeOne(s)
	}
}

// comparePlace orders settings by layer and place, the lines of a file by number.
func comparePlace(a, b Setting) int {
	fileA, lineA := place(a.Where)
	fileB, lineB := place(b.Where)
	return cmp.Or(cmp.Compare(a.Layer, b.Layer), strings.Compare(fileA, fileB), cmp.Compare(lineA, lineB))
}

// place splits file:line; the line of anything else is 0.
func place(where string) (file string, line int) {
	if i := strings.LastIndex(where, ":"); i >= 0 {
		if n, err := strconv.Atoi(where[i+1:]); err == nil {
			return where[:i], n
		}
	}
	return where, 0
}

func (p *parser) takeOne(s Setting) {
	d, ok := findDef(s.Key)
	if !ok {
		hint := "correct or delete it; kserver keys lists all of them"
		if near := brokerTable.nearest(s.Key); near != "" {
			hint = "did you mean " + near + "? Else delete it"
		} else if _, topic := topicTable.byName[s.Key]; topic {
			hint = "this is a key of topics; the broker's default for it is " + topicTable.byName[s.Key].brokerKey()
		}
		p.problem(s, "unknown configuration key", hint)
		return
	}
	parsed, err := d.Parse(s.Value)
	var invalid *ValueError
	if errors.As(err, &invalid) {
		message := strings.TrimPrefix(invalid.Message, invalidValue(s.Key, s.Value, ""))
		if d.Sensitive() {
			message = "is no value for this key"
		}
		p.problems = append(p.problems, Problem{Setting: s, Message: message, Hint: d.hint(), sensitive: d.Sensitive()})
		return
	}
	text := format(d.Type, parsed)
	if d.Support != Obeyed && (d.Default == nil || text != *d.Default) {
		if d.Support == Refused {
			p.problems = append(p.problems, Problem{Setting: s, Message: "is not served", Hint: d.Note, sensitive: d.Sensitive()})
			return
		}
		p.notices = append(p.notices, fmt.Sprintf("%s: %s has no effect: %s", s.Where, s.shown(d.Sensitive()), d.Note))
	}
	p.values[s.Key] = value{def: d, setting: s, text: &text, parsed: parsed}
}

// hint says which values the key takes.
func (d *Def) hint() string {
	bounds := ""
	if d.Valid != nil && d.Valid.String() != "" {
		bounds = " in " + d.Valid.String()
	}
	unset := "delete the key"
	if d.Default != nil && *d.Default != "" {
		unset += " for the default " + *d.Default
	}
	return fmt.Sprintf("give a value of type %s%s, or %s", d.Type, bounds, unset)
}

// brokerKey names the broker key behind a topic key, or says there is none.
func (d *Def) brokerKey() string {
	if len(d.Synonyms) == 0 {
		return "fixed"
	}
	return d.Synonyms[0].Name
}

// joinNodeID lets node.id and broker.id stand for each other when only one is set; a broker.id of -1 is not set.
func (p *parser) joinNodeID() {
	node, hasNode := p.values["node.id"]
	broker, hasBroker := p.values["broker.id"]
	if hasBroker && broker.parsed.(int64) == -1 {
		delete(p.values, "broker.id")
		hasBroker = false
	}
	switch {
	case hasNode && !hasBroker:
		node.def = brokerTable.byName["broker.id"]
		p.values["broker.id"] = node
	case hasBroker && !hasNode && broker.parsed.(int64) >= 0:
		broker.def = brokerTable.byName["node.id"]
		p.values["node.id"] = broker
	}
}

// fillDefaults gives every key of the table that nobody set its default.
func (p *parser) fillDefaults() {
	for _, d := range brokerTable.sorted {
		if _, set := p.values[d.Name]; set {
			continue
		}
		v := value{def: d, setting: Setting{Key: d.Name, Where: "default"}, text: d.Default}
		if d.Default != nil {
			parsed, problem := parse(d.Type, *d.Default)
			if problem != "" {
				panic("configs: default of " + d.Name + ": " + problem)
			}
			v.parsed, v.setting.Value = parsed, *d.Default
		}
		p.values[d.Name] = v
	}
}

func (p *parser) problem(s Setting, message, hint string) {
	p.problems = append(p.problems, Problem{Setting: s, Message: message, Hint: hint})
}

// fail reports a mistake in the effective value of a key.
func (p *parser) fail(key, message, hint string) {
	p.problem(p.values[key].setting, message, hint)
}

// isSet reports whether somebody gave the key a value.
func (p *parser) isSet(key string) bool { return p.values[key].setting.Layer != FromDefault }

func (p *parser) long(key string) int64 {
	n, ok := p.values[key].parsed.(int64)
	if !ok {
		panic("configs: " + key + " is no number or null")
	}
	return n
}

func (p *parser) integer(key string) int { return int(p.long(key)) }

func (p *parser) boolean(key string) bool { return p.values[key].parsed.(bool) }

// list returns nil for null.
func (p *parser) list(key string) []string {
	items, _ := p.values[key].parsed.([]string)
	return items
}

// text returns "" for null.
func (p *parser) text(key string) string {
	text, _ := p.values[key].parsed.(string)
	return text
}

// hostname is the machine's name as clients may know it.
func hostname() (string, error) { return os.Hostname() }
