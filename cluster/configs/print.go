package configs

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Effective is one key of a broker's effective configuration, for printing.
type Effective struct {
	Def   *Def
	Value string // "null" for null, "[hidden]" for a secret
	// From is the place the value was given, or "default".
	From string
	// Layer is the layer that place belongs to.
	Layer Layer
}

// Effective returns every key of the table and every other key that was given, by name.
func (b *Broker) Effective() []Effective {
	out := make([]Effective, 0, len(b.values))
	for _, key := range sortedKeys(b.values) {
		v := b.values[key]
		e := Effective{Def: v.def, Value: "null", From: v.setting.Where, Layer: v.setting.Layer}
		if v.text != nil {
			e.Value = *v.text
		}
		out = append(out, e)
	}
	return out
}

// countIfSet are the keys that exclude others when they are set, be it to their default.
var countIfSet = []string{"security.inter.broker.protocol"}

// Print writes the effective configuration as a properties file that starts the same broker: each key with the
// place its value comes from, null keys and secrets as comments, and so what would mean more if it stood there. With all false, keys left at their default are
// left out.
func (b *Broker) Print(w io.Writer, all bool) error {
	var out strings.Builder
	for _, e := range b.Effective() {
		if !all && e.Layer == FromDefault || e.Def.Internal && e.Layer == FromDefault {
			continue
		}
		remark := e.From
		if e.Def.Support != Obeyed && e.Layer != FromDefault {
			remark += ", no effect: " + e.Def.Note
		}
		fmt.Fprintf(&out, "# %s\n", remark)
		if e.Value == "null" || e.Def.Sensitive() || e.Layer == FromDefault && slices.Contains(countIfSet, e.Def.Name) {
			out.WriteString("#")
		}
		fmt.Fprintf(&out, "%s=%s\n", e.Def.Name, escapeValue(e.Value))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// escapeValue writes a value so that ParseProperties reads it back.
func escapeValue(value string) string {
	value = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\f", `\f`).Replace(value)
	if strings.HasPrefix(value, " ") {
		value = `\` + value
	}
	return value
}
