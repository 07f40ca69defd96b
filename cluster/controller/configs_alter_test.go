package controller

import (
	"maps"
	"strings"
	"testing"

	"kserver/protocol"
)

func alter(t *testing.T, c *Controller, a ConfigAlteration) *protocol.Error {
	t.Helper()
	return c.AlterConfigs(t.Context(), []ConfigAlteration{a}, false)[0]
}

func set(name, value string) ConfigChange {
	return ConfigChange{Name: name, Op: ConfigSet, Value: value}
}

// Every operation, on what is set and on what is not, and after a restart.
func TestAlterConfigs(t *testing.T) {
	log := &memLog{}
	c := open(t, testConfig(log))
	create(t, c, "t", 1)
	topic := ConfigResource{ResourceTopic, "t"}
	broker := ConfigResource{ResourceBroker, ""}
	for _, step := range []struct {
		resource ConfigResource
		replace  bool
		changes  []ConfigChange
		want     string
	}{
		{topic, false, []ConfigChange{set("x", "1"), set("y", "2")}, "x=1 y=2"},
		{topic, false, []ConfigChange{{Name: "x", Op: ConfigDelete}, {Name: "never set", Op: ConfigDelete}}, "y=2"},
		{topic, false, []ConfigChange{{Name: "list", Op: ConfigAppend, Value: "b,a,c"}}, "list=a,b,c y=2"},
		{topic, false, []ConfigChange{{Name: "list", Op: ConfigSubtract, Value: "b,nope"}}, "list=a,c y=2"},
		{topic, false, []ConfigChange{{Name: "list", Op: ConfigSubtract, Value: "a,c"}}, "list= y=2"},
		{topic, true, []ConfigChange{set("z", "3")}, "z=3"},
		{topic, true, nil, ""},
		{broker, false, []ConfigChange{{Name: "list", Op: ConfigSubtract, Value: "a"}}, "list="},
		{topic, false, []ConfigChange{set("k", "v")}, "k=v"},
	} {
		if err := alter(t, c, ConfigAlteration{step.resource, step.changes, step.replace}); err != nil {
			t.Fatalf("%v: %v", step.changes, err)
		}
		if got := settings(c.Image(), step.resource); got != step.want {
			t.Fatalf("after %v: %q, want %q", step.changes, got, step.want)
		}
	}
	restarted := loadImage(t, log.copyOf())
	if got := settings(restarted, topic) + "|" + settings(restarted, broker); got != "k=v|list=" {
		t.Errorf("after a restart: %q", got)
	}
	if got := restarted.ConfigResources(ResourceBroker); len(got) != 1 || got[0] != "" {
		t.Errorf("broker resources %q", got)
	}
}

func settings(m *MetadataImage, r ConfigResource) string {
	var out []string
	for _, key := range sortedKeys(maps.Clone(m.Configs(r))) {
		out = append(out, key+"="+m.Configs(r)[key])
	}
	return strings.Join(out, " ")
}

// A resource that is refused keeps all its settings, and the others of the request are changed.
func TestAlterConfigsRefused(t *testing.T) {
	c := open(t, testConfig(&memLog{}))
	create(t, c, "t", 1)
	create(t, c, "u", 1)
	topic, other := ConfigResource{ResourceTopic, "t"}, ConfigResource{ResourceTopic, "u"}
	if err := alter(t, c, ConfigAlteration{Resource: topic, Changes: []ConfigChange{set("x", "1")}}); err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]ConfigAlteration{
		"INVALID_CONFIG: bad":         {Resource: topic, Changes: []ConfigChange{set("x", "2"), set("bad", "1")}},
		"INVALID_CONFIG: APPEND of x": {Resource: topic, Changes: []ConfigChange{set("y", "2"), {Name: "x", Op: ConfigAppend, Value: "2"}}},
		"INVALID_CONFIG: The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.": {
			Resource: topic, Changes: []ConfigChange{set("x", strings.Repeat("x", maxSettingBytes+1))},
		},
		"UNKNOWN_TOPIC_OR_PARTITION: The topic 'absent' does not exist.": {
			Resource: ConfigResource{ResourceTopic, "absent"}, Changes: []ConfigChange{set("x", "2")}, Replace: true,
		},
	} {
		results := c.AlterConfigs(t.Context(), []ConfigAlteration{a, {Resource: other, Changes: []ConfigChange{set("n", name)}}}, false)
		if results[0] == nil || results[0].Error() != name {
			t.Errorf("%v, want %s", results[0], name)
		}
		if got := settings(c.Image(), topic); got != "x=1" {
			t.Errorf("%s: %q is left", name, got)
		}
		if results[1] != nil || settings(c.Image(), other) != "n="+name {
			t.Errorf("%s: the other resource: %v", name, results[1])
		}
	}
}

// Validation changes nothing, neither do settings that are what they were; the log is not written.
func TestAlterConfigsWithoutChange(t *testing.T) {
	log := &memLog{}
	c := open(t, testConfig(log))
	create(t, c, "t", 1)
	a := ConfigAlteration{Resource: ConfigResource{ResourceTopic, "t"}, Changes: []ConfigChange{set("x", "1")}}
	before := log.appends
	if err := c.AlterConfigs(t.Context(), []ConfigAlteration{a}, true)[0]; err != nil {
		t.Fatal(err)
	}
	if got := settings(c.Image(), a.Resource); got != "" || log.appends != before {
		t.Errorf("validation left %q and wrote %d times", got, log.appends-before)
	}
	for range 2 {
		if err := alter(t, c, a); err != nil {
			t.Fatal(err)
		}
	}
	if log.appends != before+1 {
		t.Errorf("%d writes for one change made twice", log.appends-before)
	}
}

// A request of more changes than a batch holds is refused whole.
func TestAlterConfigsTooMany(t *testing.T) {
	c := open(t, testConfig(&memLog{}))
	var a ConfigAlteration
	a.Resource = ConfigResource{ResourceGroup, "g"}
	for i := range maxRecordsPerBatch + 1 {
		a.Changes = append(a.Changes, set(strings.Repeat("k", 1+i%50)+string(rune('a'+i/50%26))+string(rune('a'+i/1300)), "v"))
	}
	if err := alter(t, c, a); err != errTooLarge {
		t.Errorf("%v", err)
	}
}
