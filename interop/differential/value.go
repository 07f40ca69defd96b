package differential

import (
	"fmt"
	"strconv"
	"strings"
)

// kind of a value.
type kind uint8

const (
	atom   kind = iota // a bare word or number, or a quoted text
	object             // {Name: value, ...}
	list               // [value, ...]
	call               // word(value, Name: value, ...)
)

// value is a literal of a script.
type value struct {
	kind   kind
	text   string // of an atom, or the word of a call
	quoted bool
	fields []field // of an object or call
	items  []value // of a list or call
}

// field is a named value.
type field struct {
	name  string
	value value
}

// parser reads literals from one line.
type parser struct {
	in  string
	pos int
}

func (p *parser) space() {
	for p.pos < len(p.in) && p.in[p.pos] == ' ' {
		p.pos++
	}
}

func (p *parser) peek() byte {
	p.space()
	if p.pos == len(p.in) {
		return 0
	}
	return p.in[p.pos]
}

// accept skips c if it is next.
func (p *parser) accept(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.pos++
	return true
}

func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("%s at %q", fmt.Sprintf(format, args...), p.in[p.pos:])
}

// word reads a bare word.
func (p *parser) word() string {
	p.space()
	start := p.pos
	for p.pos < len(p.in) && !strings.ContainsRune(` ,:[]{}()"`, rune(p.in[p.pos])) {
		p.pos++
	}
	return p.in[start:p.pos]
}

// fieldList reads Name: value pairs up to end, 0 for the end of the line.
func (p *parser) fieldList(end byte) (fields []field, err error) {
	for p.peek() != end {
		name := p.word()
		if name == "" || !p.accept(':') {
			return nil, p.errorf("a field's name and a colon are missing")
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		fields = append(fields, field{name, v})
		if !p.accept(',') && p.peek() != end {
			return nil, p.errorf("a comma is missing")
		}
	}
	return fields, nil
}

func (p *parser) value() (v value, err error) {
	switch p.peek() {
	case '{':
		p.pos++
		v.kind = object
		if v.fields, err = p.fieldList('}'); err == nil {
			p.pos++
		}
		return v, err
	case '[':
		p.pos++
		v.kind = list
		for !p.accept(']') {
			item, err := p.value()
			if err != nil {
				return v, err
			}
			v.items = append(v.items, item)
			if !p.accept(',') && p.peek() != ']' {
				return v, p.errorf("a comma is missing")
			}
		}
		return v, nil
	case '"':
		quoted, err := strconv.QuotedPrefix(p.in[p.pos:])
		if err != nil {
			return v, p.errorf("an unfinished text")
		}
		p.pos += len(quoted)
		v.quoted = true
		v.text, err = strconv.Unquote(quoted)
		return v, err
	}
	if v.text = p.word(); v.text == "" {
		return v, p.errorf("a value is missing")
	}
	if p.pos < len(p.in) && p.in[p.pos] == '(' {
		p.pos++
		v.kind = call
		return v, p.arguments(&v)
	}
	return v, nil
}

// arguments reads what stands in a call's parentheses: values, and named values.
func (p *parser) arguments(v *value) error {
	for !p.accept(')') {
		item, err := p.value()
		if err != nil {
			return err
		}
		if p.accept(':') {
			named, err := p.value()
			if err != nil {
				return err
			}
			v.fields = append(v.fields, field{item.text, named})
		} else {
			v.items = append(v.items, item)
		}
		if !p.accept(',') && p.peek() != ')' {
			return p.errorf("a comma is missing")
		}
	}
	return nil
}
