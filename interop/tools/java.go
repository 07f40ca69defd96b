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

// ErrUnavailable is returned by Locate when this machine has no Java or no Maven.
var ErrUnavailable = errors.New("Kafka's Java tools are not available")

// Java runs classes of Kafka's jars. It is safe for concurrent use.
type Java struct {
	classPath string
	logConfig string
	archive   string      // class data archive, which halves a tool's start; made by the first Run
	archiving atomic.Bool // one Run makes it
}

// Locate finds Java and resolves the class path, once per process.
var Locate = sync.OnceValues(locate)

func locate() (*Java, error) {
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	pom := filepath.Join(SourceDir(), "pom.xml")
	text, err := os.ReadFile(pom)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "kserver-interop", hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	j := &Java{logConfig: filepath.Join(dir, "log4j2.properties"), archive: filepath.Join(dir, "classes.jsa")}
	if err := os.WriteFile(j.logConfig, logConfig, 0o644); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "classpath")
	if _, err := os.Stat(file); err != nil {
		// Maven writes to a name of this process, so that two runs do not read half a file.
		temporary := fmt.Sprintf("%s.%d", file, os.Getpid())
		out, err := exec.Command("mvn", "-q", "-B", "-f", pom, "dependency:build-classpath",
			"-Dmdep.outputFile="+temporary).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("resolve Kafka's jars: %w\n%s", err, out)
		}
		if err := os.Rename(temporary, file); err != nil {
			return nil, err
		}
	}
	path, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	j.classPath = strings.TrimSpace(string(path))
	return j, nil
}

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

// makeArchive lets cmd write the class data archive when nobody has yet, and returns what puts it in
// its place after a good end.
func (j *Java) makeArchive(cmd *exec.Cmd) (keep func()) {
	if _, err := os.Stat(j.archive); err == nil || !j.archiving.CompareAndSwap(false, true) {
		return func() {}
	}
	temporary := fmt.Sprintf("%s.%d", j.archive, os.Getpid())
	for i, arg := range cmd.Args {
		if strings.HasPrefix(arg, "-XX:SharedArchiveFile=") {
			cmd.Args[i] = "-XX:ArchiveClassesAtExit=" + temporary
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
	keep := j.makeArchive(cmd)
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\nstdout: %s\nstderr: %s",
			class, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	keep()
	return stdout.String(), nil
}
