package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// execute runs a command line and returns its output and error.
func execute(environ []string, args ...string) (string, error) {
	root := &cobra.Command{Use: "kserver", SilenceErrors: true, SilenceUsage: true}
	root.AddGroup(Group())
	root.AddCommand(Commands(environ)...)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetIn(strings.NewReader(""))
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}

func code(err error) int {
	if failure, ok := errors.AsType[*Failure](err); ok {
		return failure.Code
	}
	return -1
}

// TestUsage: a wrong command line is told as such, whether a broker answers or not.
func TestUsage(t *testing.T) {
	for line, want := range map[string]string{
		"topic nope":                         "unknown command",
		"topic crate":                        "did you mean create",
		"topic list --nope":                  "kserver topic list --help",
		"topic list -o xml":                  "give table or json",
		"topic list [":                       "syntax error",
		"topic list --timeout 1us":           "--timeout",
		"topic list -b a:b:c":                "host:port",
		"topic list --user me":               "--user needs --sasl",
		"topic list --sasl plain":            "--sasl needs --user",
		"topic list --sasl gssapi --user me": "give plain",
		"topic list --tls-ca missing.pem":    "--tls-ca",
		"topic create":                       "topic create: give the topic",
		"topic create t -c a":                "key=value",
		"topic create t -c a=1 -c a=2":       "given twice",
		"topic alter t":                      "say what to alter",
		"topic alter t -c a=1 --unset a":     "changed twice",
		"produce":                            "give the topic",
		"produce a b":                        `"b" is too much`,
		"produce t -i xml":                   "text or json",
		"produce t -k a -K :":                "contradict",
		"produce t -v a -f b":                "--value",
		"produce t -z lzma":                  "--compression",
		"produce t -a 2":                     "--acks",
		"produce t -p -2":                    "--partition",
		"produce t -H a":                     "name=value",
		"produce t -D \\q":                   "unknown escape",
		"produce t --max-message-bytes 1":    "--max-message-bytes",
		"consume":                            "give the topic",
		"consume t --from x":                 "--from",
		"consume t --until x":                "--until",
		"consume t -e --until 5":             "contradict",
		"consume t -g g -p 0":                "--partition does not go with --group",
		"consume t -n -1":                    "--count",
		"consume t -f %q":                    "--format",
		"consume t -c size":                  "--columns",
		"consume t -c key -f %s":             "contradict",
		"consume t -o json -f %s":            "--output json",
		"consume t -o xml":                   "text or json",
		"group reset-offsets g":              "say where to",
		"group reset g --to-latest":          "say which topics",
		"group reset g --to-latest -t t --execute --dry-run": "contradict",
		"config get topic":                        "give a kind",
		"config get disk 1":                       "nothing of the kind disk",
		"config get broker one":                   "number of a broker",
		"config set topic t":                      "give the settings",
		"config set topic t a":                    "key=value",
		"config unset topic t a a":                "changed twice",
		"quota set":                               "say whose",
		"quota set --user u nope=1":               "no quota nope",
		"quota set --user u producer_byte_rate=x": "is no number",
		"cluster nope":                            "unknown command",
		"cluster features nope":                   "too much",
	} {
		if _, err := execute([]string{"KSERVER_BOOTSTRAP=127.0.0.1:1"}, strings.Fields(line)...); code(err) != ExitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("kserver %s: code %d, %v", line, code(err), err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	for _, line := range []string{"topic list", "produce t -v x", "consume t", "consume t -g g", "group list", "config get topic t", "cluster"} {
		_, err := execute([]string{"KSERVER_BOOTSTRAP=127.0.0.1:1"}, strings.Fields(line)...)
		if code(err) != ExitUnreachable || err.Error() != "no broker at 127.0.0.1:1: connection refused; -b host:port names another" {
			t.Errorf("kserver %s: code %d, %v", line, code(err), err)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, name := range []string{"topic", "produce", "consume", "group", "config", "quota", "cluster"} {
		out, err := execute(nil, name, "--help")
		if err != nil || !strings.Contains(out, "--bootstrap-server") || !strings.Contains(out, "127.0.0.1:9092") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestVariables(t *testing.T) {
	for name, want := range map[string]bool{EnvBootstrap: true, EnvPassword: true, "KSERVER_LOG_DIRS": false} {
		if IsVariable(name) != want {
			t.Error(name)
		}
	}
}

func TestFailures(t *testing.T) {
	text := "Topic 'x' already exists."
	err := brokerError("topic x", kerr.TopicAlreadyExists.Code, &text)
	if code(err) != ExitFailed || err.Error() != "topic x: Topic 'x' already exists (TOPIC_ALREADY_EXISTS)" {
		t.Error(err)
	}
	if err := brokerError("group g", kerr.GroupIDNotFound.Code, nil); code(err) != ExitNotFound || !errors.Is(err, kerr.GroupIDNotFound) {
		t.Error(err)
	}
	if err := brokerError("x", 0, nil); err != nil {
		t.Error(err)
	}
	var several tally
	if !several.add(nil) || several.add(failf(ExitNotFound, "one")) || several.add(failf(ExitFailed, "two")) {
		t.Error("add does not report what it was given")
	}
	if err := several.err(); code(err) != ExitNotFound || err.Error() != "one\nkserver: two" {
		t.Error(err)
	}
}

func TestSelectEntries(t *testing.T) {
	topic := resource{kmsg.ConfigResourceTypeTopic, "t"}
	value := "1"
	entries := []configEntry{
		{Name: "a", Value: &value, source: kmsg.ConfigSourceDefaultConfig},
		{Name: "b", Value: &value, source: kmsg.ConfigSourceDynamicTopicConfig}, // own of whatever has it
		{Name: "c", source: kmsg.ConfigSourceStaticBrokerConfig},
	}
	for _, c := range []struct {
		r    resource
		keys string
		all  bool
		want string
	}{
		{topic, "", false, "b"},
		{topic, "", true, "a b c"},
		{topic, "c a", false, "c a"},
		{resource{kmsg.ConfigResourceTypeBroker, "1"}, "", false, "b c"},
	} {
		got, err := selectEntries(c.r, entries, strings.Fields(c.keys), c.all)
		var names []string
		for _, e := range got {
			names = append(names, e.Name)
		}
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("%+v: %v, %v", c, names, err)
		}
	}
	if _, err := selectEntries(topic, entries, []string{"x"}, false); code(err) != ExitNotFound {
		t.Error(err)
	}
}
