package tools

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the log4j2 configuration
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

//go:embed log4j2.properties
var logConfig []byte

// ErrUnavailable is wrapped by what is returned for a program that is not installed on this machine.
var ErrUnavailable = errors.New("a program is not installed")

// Java runs classes of Kafka's jars and of this suite's programs. It is safe for concurrent use.
type Java struct {
	classPath string
	logConfig string
	archive   string      // class data archive, which halves a tool's start; the first Driver makes it
	archiving atomic.Bool // one Driver makes it
}

// Locate finds Java, resolves the class path of pom.xml and compiles the programs that need it, once per
// process.
var Locate = sync.OnceValues(func() (*Java, error) {
	return locate("pom.xml", []string{"ToolDriver.java", "TopicDump.java", "WordCount.java"})
})

// LocateClient resolves the Java client alone in one version, with the programs that use it compiled against
// another one.
func LocateClient(version, compiledAgainst string) (*Java, error) {
	program, err := locate("clients.xml", []string{"JavaClient.java", "JavaRecords.java"}, "-Dkafka.version="+compiledAgainst)
	if err != nil {
		return nil, err
	}
	j, err := locate("clients.xml", nil, "-Dkafka.version="+version)
	if err != nil {
		return nil, err
	}
	j.classPath = joinPath(j.classPath, filepath.Join(filepath.Dir(program.archive), programsJar))
	return j, nil
}

// programsJar holds the compiled programs of a class path, in its directory of the cache.
const programsJar = "programs.jar"

// locate resolves the class path of a pom with Maven's options and compiles programs against it. Both are
// kept in a directory of the user's cache that is named after what they were made from.
func locate(pom string, programs []string, options ...string) (*Java, error) {
	for _, program := range []string{"java", "javac", "jar", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w: Kafka's Java programs need a JDK and Maven: %w", ErrUnavailable, err)
		}
	}
	sum := sha256.New()
	for _, name := range append([]string{pom}, programs...) {
		text, err := os.ReadFile(filepath.Join(SourceDir(), name))
		if err != nil {
			return nil, err
		}
		sum.Write(text)
	}
	fmt.Fprint(sum, options)
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "kserver-interop", hex.EncodeToString(sum.Sum(nil)[:6]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	j := &Java{logConfig: filepath.Join(dir, "log4j2.properties"), archive: filepath.Join(dir, "classes.jsa")}
	if err := os.WriteFile(j.logConfig, logConfig, 0o644); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "classpath")
	err = makeFile(file, func(temporary string) error {
		args := append([]string{"-q", "-B", "-f", filepath.Join(SourceDir(), pom), "dependency:build-classpath", "-Dmdep.outputFile=" + temporary}, options...)
		return command("resolve Kafka's jars", "mvn", args...)
	})
	if err != nil {
		return nil, err
	}
	path, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	j.classPath = strings.TrimSpace(string(path))
	if len(programs) == 0 {
		return j, nil
	}
	jar := filepath.Join(dir, programsJar)
	if err := makeFile(jar, func(temporary string) error { return compile(programs, j.classPath, temporary) }); err != nil {
		return nil, err
	}
	j.classPath = joinPath(j.classPath, jar)
	return j, nil
}

// making is held while files of the cache are made: once in a process is enough.
var making sync.Mutex

// makeFile makes a file that is not there yet under a name of this process, so that two runs do not read
// half of it.
func makeFile(name string, make func(temporary string) error) error {
	making.Lock()
	defer making.Unlock()
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	temporary := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := make(temporary); err != nil {
		return err
	}
	return os.Rename(temporary, name)
}

// compile compiles programs of SourceDir, for Java 11 and later, into a jar.
func compile(programs []string, classPath, jar string) error {
	dir, err := os.MkdirTemp("", "kserver-interop-classes-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args := []string{"-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", "--release", "11", "-nowarn", "-cp", classPath, "-d", dir}
	for _, p := range programs {
		args = append(args, filepath.Join(SourceDir(), p))
	}
	if err := command("compile "+strings.Join(programs, ", "), "javac", args...); err != nil {
		return err
	}
	return command("pack classes", "jar", "--create", "--no-compress", "--file", jar, "-C", dir, ".")
}

func command(what, program string, args ...string) error {
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, out)
	}
	return nil
}

func joinPath(paths ...string) string { return strings.Join(paths, string(filepath.ListSeparator)) }

// SourceDir is the directory of the pom and of the Java programs of this suite.
func SourceDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "java")
}

// Command returns the argv that runs a main class with the given maximum heap ("256m").
// Arguments of the class are to be appended.
func (j *Java) Command(class, heap string) []string {
	return []string{
		"java", "-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:disable",
		"-Xshare:auto", "-XX:SharedArchiveFile=" + j.archive, // used when it is there and fits
		"-Dlog4j2.configurationFile=" + j.logConfig, "-cp", j.classPath, class,
	}
}

// makeArchive makes a command write the class data archive when nobody has yet, and returns what puts it
// in its place after a good end.
func (j *Java) makeArchive(argv []string) (keep func()) {
	if _, err := os.Stat(j.archive); err == nil || !j.archiving.CompareAndSwap(false, true) {
		return func() {}
	}
	temporary := fmt.Sprintf("%s.%d", j.archive, os.Getpid())
	for i, arg := range argv {
		if strings.HasPrefix(arg, "-XX:SharedArchiveFile=") {
			argv[i] = "-XX:ArchiveClassesAtExit=" + temporary
		}
	}
	// Without the archive the tools are slower, nothing else.
	return func() { _ = os.Rename(temporary, j.archive) }
}

// Start prepares a class for running in the background; the caller connects its streams.
func (j *Java) Start(ctx context.Context, class string, args ...string) *exec.Cmd {
	argv := append(j.Command(class, "256m"), args...)
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// Run runs a class with the given standard input to its end and returns its standard output.
// A non-zero exit is an error that holds both streams.
func (j *Java) Run(ctx context.Context, stdin, class string, args ...string) (string, error) {
	cmd := j.Start(ctx, class, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\nstdout: %s\nstderr: %s",
			class, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}
