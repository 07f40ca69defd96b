package protocol

import (
	"encoding/binary"
	"fmt"
)

// RecordSchema says how the values of one type of record of an internal topic are laid out. kmsg, which decodes them,
// bounds neither the number of tagged fields nor the memory of arrays; a value that Check has passed costs it no more
// than its length allows. Anybody who may write to the topic makes such values, not only the broker.
type RecordSchema struct {
	name     string
	versions []layout // by version, from 0
}

// NewRecordSchema describes the versions 0 to last of the values named name, which begin with their version as an
// int16; from version flexible on they have compact lengths and tagged fields. fields is written as in shapes.
func NewRecordSchema(name string, last, flexible int16, fields string) *RecordSchema {
	s := &RecordSchema{name: name}
	for version := range last + 1 {
		c := compiler{text: fields, version: version, flexible: version >= flexible}
		s.versions = append(s.versions, layout{fields: []node{c.structure(kindStruct, 0)}, flexible: c.flexible})
	}
	return s
}

// Check reports whether value is whole and of a version there is. What follows its last field does not count. The
// error wraps ErrMalformed.
func (s *RecordSchema) Check(value []byte) error {
	if len(value) < 2 {
		return fmt.Errorf("%w: %s of %d bytes", ErrMalformed, s.name, len(value))
	}
	version := int16(binary.BigEndian.Uint16(value))
	if version < 0 || int(version) >= len(s.versions) {
		return fmt.Errorf("%w: %s of version %d", ErrMalformed, s.name, version)
	}
	l := &s.versions[version]
	c := checker{flexible: l.flexible}
	if _, ok := c.fields(l.fields, value[2:]); !ok {
		return fmt.Errorf("%w: %s of version %d, %d bytes", ErrMalformed, s.name, version, len(value))
	}
	return nil
}
