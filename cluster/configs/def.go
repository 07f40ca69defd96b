package configs

import (
	"fmt"
	"slices"
	"strings"
)

// Type is the type of a configuration value, with the codes DescribeConfigs sends (KIP-569).
type Type int8

// The types of configuration values.
const (
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3
	Short    Type = 4
	Long     Type = 5
	Double   Type = 6
	List     Type = 7
	Class    Type = 8
	Password Type = 9
)

var typeNames = [...]string{1: "BOOLEAN", 2: "STRING", 3: "INT", 4: "SHORT", 5: "LONG", 6: "DOUBLE", 7: "LIST", 8: "CLASS", 9: "PASSWORD"}

// String returns Kafka's name of the type, such as LONG.
func (t Type) String() string {
	if int(t) > 0 && int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", int8(t))
}

// Support says what kserver does with a key.
type Support int8

const (
	// Obeyed keys do what their documentation says.
	Obeyed Support = iota
	// Inert keys are accepted with any valid value and change nothing; Def.Note says why, and a value that is
	// not the default is reported at start.
	Inert
	// Refused keys accept only their default; Def.Note says why anything else is an error.
	Refused
)

// String returns "obeyed", "inert" or "refused".
func (s Support) String() string {
	switch s {
	case Obeyed:
		return "obeyed"
	case Inert:
		return "inert"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("Support(%d)", int8(s))
}

// UpdateMode says whether Kafka lets an admin request change a broker key while the broker runs (KIP-226).
type UpdateMode int8

const (
	// ReadOnly keys are set at start only.
	ReadOnly UpdateMode = iota
	// PerBroker keys may be changed for one broker.
	PerBroker
	// ClusterWide keys may be changed for one broker or as the default of all.
	ClusterWide
)

// Def describes one configuration key. Defs are shared and must not be changed.
type Def struct {
	// Name is the key as it stands in a properties file or a topic's configuration.
	Name string
	// Type is the type of the value.
	Type Type
	// Default is the value when nothing sets the key; nil is null, which Kafka uses for "not set".
	Default *string
	// KafkaDefault is Kafka's default where ours differs (see Deviations), else equal to Default. It is nil for
	// null and for the few keys Kafka requires to be set.
	KafkaDefault *string
	// Valid bounds the value; nil accepts every value of the type.
	Valid Validator
	// Update says whether Kafka can change the key at run time. Topic and group keys always can be.
	Update UpdateMode
	// Support says what kserver does with the key, and Note why when that is not Obeyed.
	Support Support
	Note    string
	// Doc explains the key in one or two sentences, with the unit of the value.
	Doc string
	// Synonyms are, for a topic or group key, the broker keys its default comes from, best first.
	Synonyms []Synonym
	// Internal keys are tuning knobs Kafka does not show in DescribeConfigs.
	Internal bool
	// Ours is true for the keys Kafka does not have.
	Ours bool
}

// Sensitive reports whether the value must never be shown: DescribeConfigs answers null and the printed
// configuration hides it.
func (d *Def) Sensitive() bool { return d.Type == Password }

// Synonym is a broker key that gives a topic key its default, with the factor that turns the broker value into
// the topic's unit: 3600000 for log.retention.hours behind retention.ms.
type Synonym struct {
	Name   string
	Factor int64
}

// TopicDefs returns the keys a topic can override, by name. The slice is shared: do not change it.
func TopicDefs() []*Def { return topicTable.sorted }

// BrokerDefs returns the keys of a broker, by name. The slice is shared: do not change it.
func BrokerDefs() []*Def { return brokerTable.sorted }

// GroupDefs returns the keys a group can override (resource type 32), by name. The slice is shared: do not
// change it.
func GroupDefs() []*Def { return groupTable.sorted }

// TopicDef returns the topic key of that name.
func TopicDef(name string) (*Def, bool) { d, ok := topicTable.byName[name]; return d, ok }

// BrokerDef returns the broker key of that name. Keys with a free part (listener.name.<name>.<key>) are not in
// the table.
func BrokerDef(name string) (*Def, bool) { d, ok := brokerTable.byName[name]; return d, ok }

// GroupDef returns the group key of that name.
func GroupDef(name string) (*Def, bool) { d, ok := groupTable.byName[name]; return d, ok }

// NearestBrokerKey returns the broker key most like a misspelt one, or "" when none is close.
func NearestBrokerKey(key string) string { return brokerTable.nearest(key) }

// table is a set of keys, by name and in order of name.
type table struct {
	byName map[string]*Def
	sorted []*Def
}

func newTable(groups ...[]*Def) *table {
	t := &table{byName: make(map[string]*Def)}
	for _, defs := range groups {
		for _, d := range defs {
			if _, twice := t.byName[d.Name]; twice {
				panic("configs: key defined twice: " + d.Name)
			}
			t.byName[d.Name] = d
			t.sorted = append(t.sorted, d)
		}
	}
	slices.SortFunc(t.sorted, func(a, b *Def) int { return strings.Compare(a.Name, b.Name) })
	return t
}

// null stands for Kafka's null default in the tables.
const null = "\x00"

// row makes a Def with Kafka's default.
func row(t Type, name, def string, valid Validator, update UpdateMode, doc string) *Def {
	d := &Def{Name: name, Type: t, Valid: valid, Update: update, Doc: doc}
	if def != null {
		d.Default = &def
	}
	d.KafkaDefault = d.Default
	return d
}

// obeyed makes the Def of a key kserver acts on.
func obeyed(t Type, name, def string, valid Validator, update UpdateMode, doc string) *Def {
	return row(t, name, def, valid, update, doc)
}

// inert makes the Def of a key kserver accepts without effect, for the reason note.
func inert(t Type, name, def string, valid Validator, update UpdateMode, note, doc string) *Def {
	d := row(t, name, def, valid, update, doc)
	d.Support, d.Note = Inert, note
	return d
}

// refused makes the Def of a key of which kserver accepts only the default, for the reason note.
func refused(t Type, name, def string, valid Validator, update UpdateMode, note, doc string) *Def {
	d := row(t, name, def, valid, update, doc)
	d.Support, d.Note = Refused, note
	return d
}

// internal marks a key Kafka hides from DescribeConfigs.
func internal(d *Def) *Def {
	d.Internal = true
	return d
}

// nearest returns the name of the table closest to name by edit distance, or "" when nothing is close enough to
// be what was meant.
func (t *table) nearest(name string) string {
	best, bestDistance := "", 1+max(2, len(name)/4)
	for _, d := range t.sorted {
		if n := editDistance(name, d.Name, bestDistance); n < bestDistance {
			best, bestDistance = d.Name, n
		}
	}
	return best
}

// editDistance is the number of inserted, deleted, replaced or swapped neighbouring bytes that turn a into b; it
// stops counting at limit.
func editDistance(a, b string, limit int) int {
	if diff := len(a) - len(b); diff >= limit || -diff >= limit {
		return limit
	}
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return min(previous[len(b)], limit)
}
