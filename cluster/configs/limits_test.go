package configs

import (
	"os"
	"regexp"
	"testing"
)

// The keys and defaults that docs/limits.md names are those there are.
func TestLimitsDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	defaults := make(map[string]string)
	for _, d := range BrokerDefs() {
		if d.Default != nil {
			defaults[d.Name] = *d.Default
		}
	}
	rows := regexp.MustCompile("(?m)^\\|[^|]*\\| `([a-z.]+)` \\| `([^`]*)` \\|").FindAllSubmatch(text, -1)
	if len(rows) < 15 {
		t.Fatalf("%d rows with a key", len(rows))
	}
	for _, row := range rows {
		key, value := string(row[1]), string(row[2])
		if want, ok := defaults[key]; !ok {
			t.Errorf("docs/limits.md names %s, which is no key", key)
		} else if value != want {
			t.Errorf("docs/limits.md has %s=%s, the default is %s", key, value, want)
		}
	}
}
