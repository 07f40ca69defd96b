package configs

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"kserver/internal/fuzzing"
	"kserver/protocol"
)

// FuzzParseProperties: nothing crashes the parser or makes it take more memory than a few times the text, an error
// names its line, and a value it read and escapeValue wrote is read again.
func FuzzParseProperties(f *testing.F) {
	f.Add("a=b\\\n c\n#d\ne\\u0041:\tf\\")
	f.Add("a b\\ \\=\\u12")
	f.Fuzz(func(t *testing.T, text string) {
		var settings []Setting
		var err error
		fuzzing.Bounded(t, 512*uint64(len(text)), func() { settings, err = ParseProperties("f", text) })
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("error %v names no line", err)
			}
			return
		}
		for _, s := range settings {
			again, err := ParseProperties("f", "k="+escapeValue(s.Value))
			if err != nil || len(again) != 1 || again[0].Value != s.Value {
				t.Errorf("%q is written as %q and read as %v, %v", s.Value, escapeValue(s.Value), again, err)
			}
		}
	})
}

// FuzzParseBroker: a file either starts a broker, whose printed configuration starts the same one again, or is refused
// with problems that each say what they are about; and no secret of it is shown.
func FuzzParseBroker(f *testing.F) {
	for _, name := range []string{"testdata/stock-4.properties", "testdata/recorded.properties"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		lines := slices.DeleteFunc(strings.Split(string(b), "\n"), func(line string) bool { return strings.HasPrefix(line, "#") || line == "" })
		for part := range slices.Chunk(lines, 6) {
			f.Add(strings.Join(part, "\n"), false)
		}
	}
	f.Add("listeners=A://[::1]:1,B://:0\nlistener.security.protocol.map=a:plaintext,b:PLAINTEXT\nlog.dirs=/a,/b", true)
	f.Add("broker.id=-1\nnode.id=7\nadvertised.listeners=PLAINTEXT://h:1\nssl.key.password=secret-value", true)
	f.Add("unknown.key=1\nlog.segment.bytes=x\nlisteners=", false)
	f.Fuzz(func(t *testing.T, text string, all bool) {
		settings, err := ParseProperties("f", text)
		if err != nil {
			return
		}
		b, err := ParseBroker(settings...)
		if err != nil {
			problems, ok := errors.AsType[Problems](err)
			if !ok || len(problems) == 0 {
				t.Fatalf("error %T", err)
			}
			for _, p := range problems {
				if p.Message == "" || p.Setting.Key != "" && p.Setting.Where == "" {
					t.Errorf("problem %+v", p)
				}
			}
			if _, again := ParseBroker(settings...); again == nil || again.Error() != err.Error() {
				t.Errorf("first %v, then %v", err, again)
			}
			return
		}
		var printed bytes.Buffer
		if err := b.Print(&printed, all); err != nil {
			t.Fatal(err)
		}
		settings, err = ParseProperties("f", printed.String())
		if err != nil {
			t.Fatalf("printed:\n%s\n%v", printed.String(), err)
		}
		again, err := ParseBroker(settings...)
		if err != nil {
			t.Fatalf("printed:\n%s\n%v", printed.String(), err)
		}
		effective := b.Effective()
		for i, e := range again.Effective() {
			was := effective[i]
			if was.Def.Name != e.Def.Name || was.Layer != FromDefault && was.Value != e.Value && !e.Def.Sensitive() {
				t.Errorf("%s=%q came back as %s=%q", was.Def.Name, was.Value, e.Def.Name, e.Value)
			}
		}
	})
}

// everyKey are the keys of all tables, in order.
var everyKey = func() (all []*Def) {
	for _, t := range []*table{brokerTable, topicTable, groupTable, clientMetricsTable, dynamicTable} {
		all = append(all, t.sorted...)
	}
	return all
}()

// FuzzValue: a value is refused with Kafka's kind of error or means the same when it is shown and set again, for keys
// of every type; a secret is not shown.
func FuzzValue(f *testing.F) {
	seen := map[Type]bool{}
	for i, d := range everyKey {
		if seen[d.Type] {
			continue
		}
		seen[d.Type] = true
		for _, text := range []string{"", "1", "-1", " true ", "1e300", "a, b,,c", "9223372036854775808", "NaN", "0:1,2:3"} {
			f.Add(uint16(i), text)
		}
	}
	f.Fuzz(func(t *testing.T, key uint16, text string) {
		d := everyKey[int(key)%len(everyKey)]
		v, err := d.Parse(text)
		if _, err2 := d.Parse(text); (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("%s=%q: first %v, then %v", d.Name, text, err, err2)
		}
		if err != nil {
			if invalid, ok := errors.AsType[*ValueError](err); !ok || invalid.Key != d.Name || invalid.Message == "" {
				t.Errorf("%s=%q: %#v", d.Name, text, err)
			}
			return
		}
		shown := format(d.Type, v)
		if d.Type == Password {
			if shown != hidden {
				t.Errorf("%s shows %q", d.Name, shown)
			}
			return
		}
		again, err := d.Parse(shown)
		if err != nil || format(d.Type, again) != shown {
			t.Errorf("%s=%q is shown as %q, which is read as %v, %v", d.Name, text, shown, again, err)
		}
	})
}

// FuzzOverrides: settings of topics, groups, subscriptions and the running broker are refused with a code and a
// message, or can be put in force.
func FuzzOverrides(f *testing.F) {
	f.Add(byte(0), "cleanup.policy", "compact,delete", "min.compaction.lag.ms", "9223372036854775807")
	f.Add(byte(1), "consumer.session.timeout.ms", "1", "consumer.heartbeat.interval.ms", "2147483647")
	f.Add(byte(2), "match", "client_id=(a+)+$,client_source_port=[", "interval.ms", "100")
	f.Add(byte(3), "log.retention.ms", "-1", "min.insync.replicas", "2")
	f.Add(byte(4), "listener.name.x.ssl.key.password", "p", "compression.type", "zstd")
	start, err := ParseBroker(FlagSetting("log.dirs", "/d"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind byte, key1, value1, key2, value2 string) {
		overrides := map[string]string{key1: value1, key2: value2}
		live := NewLive(start)
		check := func() error {
			switch kind % 5 {
			case 0:
				return ValidateTopic(overrides)
			case 1:
				return ValidateGroup(start, overrides)
			case 2:
				return ValidateClientMetrics("s", overrides)
			case 3:
				return live.CheckDynamic(false, nil, overrides, nil)
			default:
				return live.CheckDynamic(true, nil, nil, overrides)
			}
		}
		err := check()
		if again := check(); (err == nil) != (again == nil) || err != nil && err.Error() != again.Error() {
			t.Fatalf("first %v, then %v", err, again)
		}
		if err != nil {
			if refusal, ok := errors.AsType[*protocol.Error](err); !ok || refusal.Code != protocol.InvalidConfig && refusal.Code != protocol.InvalidRequest || refusal.Text() == "" {
				t.Errorf("%#v", err)
			}
			return
		}
		switch kind % 5 {
		case 0:
			if _, ignored := ResolveStored(start, overrides); len(ignored) > 0 {
				t.Errorf("accepted, then ignored: %v", ignored)
			}
			if c, err := ResolveLogConfig(start, overrides); err == nil && c.Validate() != nil {
				t.Errorf("accepted, but the log refuses it: %v", c.Validate())
			}
		case 2:
			if n := len(DescribeClientMetrics(overrides)); n != len(clientMetricsTable.sorted) {
				t.Errorf("%d entries", n)
			}
		case 3:
			if idle := live.Update(overrides, nil); slices.ContainsFunc(idle, func(err error) bool { return strings.Contains(err.Error(), "cannot be changed") }) {
				t.Errorf("accepted, then refused: %v", idle)
			}
			if _, err := ResolveTopic(live.Current(), nil); err != nil {
				t.Errorf("accepted, and no topic can be made: %v", err)
			}
		}
	})
}

// FuzzListeners: what is taken for listeners is written as the same listeners again, each name and port used as the
// rules allow.
func FuzzListeners(f *testing.F) {
	f.Add("PLAINTEXT://:9092,B://[::1]:9092,C://127.0.0.1:9092", true)
	f.Add("a://h:0,A://h:1", false)
	f.Add("x://[%]:65536", false)
	f.Fuzz(func(t *testing.T, text string, unique bool) {
		list, err := parseListeners(splitList(text), unique)
		if err != nil {
			return
		}
		var items []string
		for _, l := range list {
			if l.Port < 0 || l.Port > 65535 || l.Name == "" {
				t.Errorf("%+v", l)
			}
			items = append(items, l.String())
		}
		if again, err := parseListeners(items, unique); err != nil || !slices.Equal(again, list) {
			t.Errorf("%v came back as %v, %v", list, again, err)
		}
	})
}

// FuzzProtocolMap: every listener that is mapped has a protocol there is.
func FuzzProtocolMap(f *testing.F) {
	f.Add("PLAINTEXT:PLAINTEXT, a:ssl,B:SASL_SSL")
	f.Add("::plaintext")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseProtocolMap(text)
		if err != nil {
			return
		}
		if len(m) != len(splitList(text)) {
			t.Errorf("%d listeners of %q", len(m), text)
		}
		for name, p := range m {
			if name != strings.ToUpper(name) || !slices.Contains(securityProtocols, p) {
				t.Errorf("%q: %q", name, p)
			}
		}
	})
}

// FuzzEnvironment: variables become settings under the names EnvName gives their keys; others are left alone.
func FuzzEnvironment(f *testing.F) {
	f.Add("KSERVER_LOG_DIRS=/d")
	f.Add("KAFKA_NODE_ID=1")
	f.Add("KAFKA_HEAP_OPTS=-Xmx1G")
	f.Add("KSERVER_A___B__C")
	f.Fuzz(func(t *testing.T, variable string) {
		settings, skipped := ParseEnvironment([]string{variable})
		if len(settings)+len(skipped) > 1 {
			t.Fatalf("%q became %v and %v", variable, settings, skipped)
		}
		for _, s := range settings {
			if !strings.HasPrefix(variable, s.Where) || s.Layer != FromEnvironment {
				t.Errorf("%q became %+v", variable, s)
			}
			if !isKnown(s.Key) {
				continue
			}
			again, _ := ParseEnvironment([]string{EnvName(s.Key) + "=" + s.Value})
			if len(again) != 1 || again[0].Key != s.Key || again[0].Value != s.Value {
				t.Errorf("%+v is written as %s and read as %+v", s, EnvName(s.Key), again)
			}
		}
	})
}
