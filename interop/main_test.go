package interop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/interop/broker"
	"kserver/interop/tools"
)

// testTimeout bounds one test's waiting. It is far above what any test needs, so that a loaded
// machine fails no test, and far below the run's own limit.
const testTimeout = 2 * time.Minute

// suite is set by TestMain and read-only afterwards.
var suite struct {
	endpoint string
	// spec starts further brokers of the kind under test; Kind is empty when the tests
	// were pointed at a running broker.
	spec broker.Spec
	work string
}

// suiteContext is for what outlives a single test.
var suiteContext = context.Background()

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runSuite(m))
}

func runSuite(m *testing.M) int {
	work, err := workDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	suite.work = work
	if os.Getenv("INTEROP_REQUIRE_ALL") != "" {
		// The first time this downloads Kafka's jars, which no test's deadline is for.
		if err := locateJava(); err != nil {
			fmt.Fprintln(os.Stderr, "interop:", err)
			return 2
		}
	}
	defer closeDriver()
	suite.endpoint = firstOf(os.Getenv("KSERVER_ENDPOINT"), os.Getenv("BROKERS"))
	switch {
	case suite.endpoint != "":
	case os.Getenv("INTEROP_SERVER") == string(broker.Apache):
		suite.spec = broker.Spec{Kind: broker.Apache}
	case os.Getenv("KSERVER_BINARY") != "":
		suite.spec = broker.Spec{Kind: broker.Kserver, Binary: os.Getenv("KSERVER_BINARY"), Backend: os.Getenv("KSERVER_IO_BACKEND")}
	default:
		binary, err := buildKserver(work)
		if err != nil {
			fmt.Fprintln(os.Stderr, "interop:", err)
			return 2
		}
		suite.spec = broker.Spec{Kind: broker.Kserver, Binary: binary, Backend: os.Getenv("KSERVER_IO_BACKEND")}
	}
	if suite.spec.Kind == "" {
		return m.Run()
	}
	spec := suite.spec
	spec.Dir = filepath.Join(work, "main")
	b, err := broker.Start(suiteContext, spec)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 2
	}
	suite.endpoint = b.Addr()
	code := m.Run()
	if !b.Running() {
		fmt.Fprintln(os.Stderr, "interop: the broker ended during the tests, see", b.LogFile())
		return 1
	}
	if err := b.Terminate(); err != nil {
		fmt.Fprintln(os.Stderr, "interop: stopping the broker:", err)
		return 1
	}
	if code == 0 && os.Getenv("INTEROP_WORK") == "" {
		os.RemoveAll(work)
	} else {
		fmt.Fprintln(os.Stderr, "interop: the brokers' directories are kept in", work)
	}
	return code
}

// toolDriver is the one JVM that most tools run in; the first that needs it sets it.
var toolDriver struct {
	once   sync.Once
	driver *tools.Driver
}

// closeDriver ends the tools' JVM after all tests.
func closeDriver() {
	if toolDriver.driver == nil {
		return
	}
	if err := toolDriver.driver.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "interop: the tools' JVM:", err)
	}
}

// locateJava resolves the jars of all Java programs.
func locateJava() error {
	if _, err := tools.Locate(); err != nil {
		return err
	}
	for _, version := range javaVersions {
		if _, err := tools.LocateClient(version, javaVersions[0]); err != nil {
			return err
		}
	}
	return nil
}

// buildKserver builds the kserver this suite lies in.
func buildKserver(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "kserver")
	build := exec.Command("go", "build", "-o", binary, "./cmd/kserver")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build kserver: %w\n%s", err, out)
	}
	return binary, nil
}

// workDir is where brokers live: INTEROP_WORK, or a fresh temporary directory.
func workDir() (string, error) {
	if dir := os.Getenv("INTEROP_WORK"); dir != "" {
		return dir, os.MkdirAll(dir, 0o755)
	}
	return os.MkdirTemp("", "kserver-interop-")
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// testContext ends with the test, or after testTimeout.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until ok returns nil and fails the test with the last reason otherwise.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// newKgo makes a franz-go client that is closed with the test.
func newKgo(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return newKgoAt(t, suite.endpoint, opts...)
}

func newKgoAt(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addr),
		kgo.ClientID("interop"),
		kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.FetchMaxWait(250 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseAllowingRebalance)
	return client
}

// newAdmin makes an admin client that is closed with the test.
func newAdmin(t *testing.T) *kadm.Client {
	t.Helper()
	return kadm.NewClient(newKgo(t))
}

// uniqueName makes a name for topics and groups from the test's name.
func uniqueName(t *testing.T) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%.180s-%x", name, time.Now().UnixNano())
}

// newTopic creates a topic with settings given as "name=value", deleted with the test, and waits
// until it can be used: Apache Kafka answers CreateTopics before its own metadata cache shows the
// topic. TestReadYourOwnWrite holds kserver to more.
func newTopic(t *testing.T, partitions int, settings ...string) string {
	t.Helper()
	name := uniqueName(t)
	newTopicAt(t, suite.endpoint, name, partitions, settings...)
	return name
}

func newTopicAt(t *testing.T, addr, name string, partitions int, settings ...string) {
	t.Helper()
	ctx := testContext(t)
	admin := kadm.NewClient(newKgoAt(t, addr))
	configs := make(map[string]*string)
	for _, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		configs[key] = &value
	}
	if _, err := admin.CreateTopic(ctx, int32(partitions), 1, configs, name); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	t.Cleanup(func() { deleteTopics(addr, name) })
	eventually(t, "topic "+name, func() error {
		offsets, err := admin.ListEndOffsets(ctx, name)
		if err == nil {
			err = offsets.Error()
		}
		if err == nil && len(offsets[name]) != partitions {
			err = fmt.Errorf("%d of %d partitions", len(offsets[name]), partitions)
		}
		return err
	})
}

// deleteTopics is only a courtesy to a broker that stays: the test has its verdict.
func deleteTopics(addr string, names ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return
	}
	defer client.Close()
	_, _ = kadm.NewClient(client).DeleteTopics(ctx, names...)
}

// restartable starts a broker of its own for a test that stops it, or skips the test when the
// suite was pointed at somebody's broker.
func restartable(t *testing.T) *broker.Broker {
	t.Helper()
	if suite.spec.Kind == "" {
		t.Skip("the broker under test was not started here")
	}
	spec := suite.spec
	spec.Dir = filepath.Join(suite.work, uniqueName(t))
	b, err := broker.Start(testContext(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.Running() {
			if err := b.Kill(); err != nil {
				t.Error(err)
			}
		}
		if !t.Failed() {
			os.RemoveAll(spec.Dir)
		}
	})
	return b
}

// javaTools skips the test when Kafka's tools cannot run here, unless INTEROP_REQUIRE_ALL is set.
func javaTools(t *testing.T) *tools.Java {
	t.Helper()
	java, err := tools.Locate()
	if errors.Is(err, tools.ErrUnavailable) && os.Getenv("INTEROP_REQUIRE_ALL") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return java
}

// wantCode compares a Kafka error code with the one expected.
func wantCode(t *testing.T, what string, got, want int16) {
	t.Helper()
	if got != want {
		t.Errorf("%s: error code %d (%v), want %d (%v)", what, got, kerr.TypedErrorForCode(got), want, kerr.TypedErrorForCode(want))
	}
}
