package configs

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kserver/protocol"
)

// rows reads a tab-separated file of testdata.
func rows(t *testing.T, name string, columns int) [][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(line, "\t")
		if len(row) != columns {
			t.Fatalf("%s: %d columns in %q", name, len(row), line)
		}
		out = append(out, row)
	}
	return out
}

// recorded reads a file of one JSON row a line.
func recorded[T any](t *testing.T, name string) []T {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []T
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var row T
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
	if len(out) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return out
}

var kinds = map[string]*table{"broker": brokerTable, "topic": topicTable, "group": groupTable}

// TestKeysAreKafkas compares each table with the keys of Kafka: none missing, none more but ours, same type,
// default, bounds and update mode.
func TestKeysAreKafkas(t *testing.T) {
	seen := map[*Def]bool{}
	for _, row := range rows(t, "kafka-4.3.1-keys.tsv", 7) {
		kind, key := row[0], row[1]
		d, ok := kinds[kind].byName[key]
		if !ok {
			t.Errorf("%s key %s is missing", kind, key)
			continue
		}
		seen[d] = true
		got := []string{kind, key, d.Type.String(), `\N`, `\N`, updateName(d), "false"}
		if d.KafkaDefault != nil {
			got[3] = *d.KafkaDefault
		}
		if row[3] == `\REQ` {
			row[3] = `\N`
		}
		if d.Valid != nil {
			got[4] = d.Valid.String()
		}
		if d.Internal {
			got[6] = "true"
		}
		if diff := cmp.Diff(row, got); diff != "" {
			t.Errorf("%s (-kafka +ours):\n%s", key, diff)
		}
	}
	for kind, table := range kinds {
		for _, d := range table.sorted {
			if !seen[d] && !d.Ours {
				t.Errorf("%s key %s is not Kafka's and not marked as ours", kind, d.Name)
			}
		}
	}
}

func updateName(d *Def) string {
	return map[UpdateMode]string{ReadOnly: "read-only", PerBroker: "per-broker", ClusterWide: "cluster-wide"}[d.Update]
}

// TestValuesAreKafkas parses values around every bound of every key and expects Kafka's result or message.
func TestValuesAreKafkas(t *testing.T) {
	unescape := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t").Replace
	for _, row := range rows(t, "kafka-4.3.1-values.tsv", 5) {
		kind, key, value, verdict, want := row[0], row[1], unescape(row[2]), row[3], unescape(row[4])
		if rest, ok := strings.CutPrefix(want, "~"); ok {
			want = invalidValue(key, value, rest)
		}
		d := kinds[kind].byName[key]
		parsed, err := d.Parse(value)
		switch {
		case verdict == "ok" && err != nil:
			t.Errorf("%s %s=%q: %v, but Kafka takes it", kind, key, value, err)
		case verdict == "ok":
			if got := format(d.Type, parsed); got != want {
				t.Errorf("%s %s=%q is shown as %q, by Kafka as %q", kind, key, value, got, want)
			}
		case err == nil:
			t.Errorf("%s %s=%q is taken, but Kafka says %q", kind, key, value, want)
		case err.Error() != want:
			t.Errorf("%s %s=%q:\n got %s\nwant %s", kind, key, value, err, want)
		}
	}
}

// recordedBroker is the broker configured like the Kafka whose answers were recorded.
func recordedBroker(t *testing.T) *Broker {
	t.Helper()
	text, err := os.ReadFile("testdata/recorded.properties")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := ParseProperties("recorded.properties", string(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseBroker(settings...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDescribeTopic(t *testing.T) {
	compareEntries(t, "kafka-4.3.1-describe-topic.json", DescribeTopic(recordedBroker(t), describedOverrides))
}

func TestDescribeGroup(t *testing.T) {
	compareEntries(t, "kafka-4.3.1-describe-group.json", DescribeGroup(recordedBroker(t), nil))
}

func TestDescribeBroker(t *testing.T) {
	compareEntries(t, "kafka-4.3.1-describe-broker.json", DescribeBroker(recordedBroker(t)))
}

// compareEntries compares our entries with the recorded ones. Allowed differences: keys of ours, our defaults
// where Deviations names them, and min.insync.replicas, which Kafka's format step also stores as a dynamic
// default.
func compareEntries(t *testing.T, name string, entries []Entry) {
	t.Helper()
	kafka := recorded[recordedEntry](t, name)
	for i := range kafka {
		e := &kafka[i]
		e.Synonyms = slices.DeleteFunc(e.Synonyms, func(s recordedSynonym) bool { return s.Source == int8(SourceDynamicDefault) })
		if len(e.Synonyms) > 0 {
			e.Source = e.Synonyms[0].Source
		}
		for _, v := range deviations {
			for j := range e.Synonyms {
				if s := &e.Synonyms[j]; s.Name == v.Key && s.Source == int8(SourceDefault) {
					s.Value = &v.Ours
				}
			}
			// A key Kafka requires has no default there and one here.
			if v.Kafka == "" && e.Name == v.Key {
				e.Synonyms = append(e.Synonyms, recordedSynonym{v.Key, &v.Ours, int8(SourceDefault)})
			}
			if v.Key == e.Name && e.Source == int8(SourceDefault) {
				e.Value = &v.Ours
			}
		}
	}
	var ours []recordedEntry
	for _, e := range entries {
		if d, ok := brokerTable.byName[e.Name]; ok && d.Ours {
			continue
		}
		if e.Doc == "" {
			t.Errorf("%s has no documentation", e.Name)
		}
		row := recordedEntry{e.Name, e.Value, int8(e.Source), int8(e.Type), e.ReadOnly, e.Sensitive, nil}
		for _, s := range e.Synonyms {
			row.Synonyms = append(row.Synonyms, recordedSynonym{s.Name, s.Value, int8(s.Source)})
		}
		ours = append(ours, row)
	}
	if diff := cmp.Diff(kafka, ours, cmp.Transformer("nilSynonyms", func(s []recordedSynonym) []recordedSynonym {
		return append([]recordedSynonym{}, s...)
	})); diff != "" {
		t.Errorf("-kafka +ours:\n%s", diff)
	}
}

func TestValidateTopic(t *testing.T) {
	b := recordedBroker(t)
	for _, row := range recorded[recordedCreate](t, "kafka-4.3.1-create-topic.json") {
		for _, check := range []func() error{
			func() error { return ValidateTopic(row.Configs) },
			func() error { _, err := ResolveTopic(b, row.Configs); return err },
		} {
			err := check()
			code, message := protocol.CodeOf(err), ""
			if e, ok := errors.AsType[*protocol.Error](err); ok {
				message = e.Message
			}
			if int16(code) != row.Code || message != row.Message {
				t.Errorf("%v: %v %q, by Kafka %d %q", row.Configs, code, message, row.Code, row.Message)
			}
		}
	}
}
