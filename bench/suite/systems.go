package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"kserver/bench/internal/launch"
	"kserver/cmd/kbench/scenario"
)

// What an acknowledgement promises.
const (
	synced    = "on stable storage"
	pageCache = "in the page cache of one machine: lost with its power"
)

const (
	kafkaScript  = "kafka.sh"
	rabbitScript = "rabbitmq.sh"
)

// broker is a process to start. In its command {binary} stands for the executable, or its script; {dir} and {port} are
// its own.
type broker struct {
	script  string // of bench/peers; empty for our own programs
	binary  func(p *programs) string
	command string
	prepare string // command for a new directory, before the first start
	amqp    bool   // speaks AMQP instead of Kafka's protocol
}

// brokers are the processes by name. Several systems may live on one.
var brokers = map[string]broker{
	"kserver":      {binary: func(p *programs) string { return p.kserver }, command: kserverCommand},
	"kserver-copy": {binary: func(p *programs) string { return p.kserver }, command: kserverCommand + " --sendfile.enable false"},
	"floor":        {binary: func(p *programs) string { return p.kbench }, command: "{binary} floor --listen 127.0.0.1:{port} --dir {dir}"},
	"floor-sync":   {binary: func(p *programs) string { return p.kbench }, command: "{binary} floor --durable --listen 127.0.0.1:{port} --dir {dir}"},
	"kafka":        {script: kafkaScript, command: "{binary} run {dir} {port}", prepare: "{binary} format {dir} {port}"},
	"rabbitmq":     {script: rabbitScript, command: "{binary} run {dir} {port}", amqp: true},
}

const kserverCommand = "{binary} --listeners PLAINTEXT://127.0.0.1:{port} --log.dirs {dir}"

// system is one side of a comparison.
type system struct {
	broker     string
	durability string
	settings   []string
	topic      []string // configuration of its topics, key=value
	queue      string   // kind of RabbitMQ's queues
	noVerify   bool
	prime      time.Duration // how long it warms up; 0 for as long as the others
}

// jvmPrime is how long a JVM warms up: it compiles what runs often, and is several times as fast afterwards.
const jvmPrime = 6 * time.Second

var kafkaSettings = []string{"one KRaft node, broker and controller", "heap 1 GiB, G1 with the flags of Kafka's start script"}

var systems = map[string]system{
	"kserver":      {broker: "kserver", durability: synced, settings: []string{"defaults"}},
	"kserver-copy": {broker: "kserver-copy", durability: synced, settings: []string{"sendfile.enable=false"}},
	"kafka":        {broker: "kafka", durability: pageCache, settings: kafkaSettings, prime: jvmPrime},
	"kafka-sync": {broker: "kafka", durability: synced, topic: []string{"flush.messages=1"},
		settings: append(append([]string(nil), kafkaSettings...), "topic flush.messages=1"), prime: jvmPrime},
	"floor":      {broker: "floor", durability: "in the page cache, of a server that can do nothing else", settings: []string{"kbench floor"}},
	"floor-sync": {broker: "floor-sync", durability: synced + ", of a server that can do nothing else", settings: []string{"kbench floor --durable"}},
	"rabbitmq-classic": {broker: "rabbitmq", queue: "classic", noVerify: true, durability: "persistent message in a durable classic queue, confirmed",
		settings: []string{"classic queues, version 1, lazy off"}},
	"rabbitmq-quorum": {broker: "rabbitmq", queue: "quorum", noVerify: true, durability: "in the synced log of a quorum queue with one member, confirmed",
		settings: []string{"quorum queues"}},
	"rabbitmq-stream": {broker: "rabbitmq", queue: "stream", noVerify: true, durability: "in the page cache: streams do not sync, confirmed",
		settings: []string{"streams, stream client"}},
}

func systemOf(name string) (system, error) {
	s, ok := systems[name]
	if !ok {
		return s, fmt.Errorf("no system is called %s", name)
	}
	return s, nil
}

// entry is what kbench compare reads of a system.
type entry struct {
	Name       string              `json:"name"`
	Durability string              `json:"durability"`
	Version    string              `json:"version"`
	Settings   []string            `json:"settings"`
	Address    string              `json:"address,omitempty"`
	PID        int                 `json:"pid,omitempty"`
	Dir        string              `json:"dir"`
	Args       []string            `json:"args,omitempty"`
	Prime      time.Duration       `json:"prime_ns,omitempty"`
	NoVerify   bool                `json:"no_verify,omitempty"`
	Programs   map[string][]string `json:"programs,omitempty"`
}

// startCommand is the command of scenarios that measure the start: they get a program instead of a broker.
const startCommand = "start"

// writeSystems starts the brokers of a scenario and writes what kbench compare needs to know of its systems.
func (o *options) writeSystems(ctx context.Context, s *scenario.Scenario, running *runningBrokers, file string) error {
	var list []entry
	for _, name := range s.Systems {
		if !o.takesPart(name) {
			continue
		}
		sys, err := systemOf(name)
		if err != nil {
			return err
		}
		version, err := o.versionOf(ctx, running.programs, sys.broker)
		if err != nil {
			return err
		}
		if o.quick {
			sys.prime = 0
		}
		e := entry{Name: name, Durability: sys.durability, Version: version, Settings: sys.settings, Prime: sys.prime, NoVerify: sys.noVerify, Dir: running.dir}
		if s.Runs[0].Command.Name() == startCommand {
			e.Programs = map[string][]string{startCommand: running.programs.start(sys.broker, running.dir)}
		} else if err := e.place(ctx, &sys, running); err != nil {
			return err
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		return fmt.Errorf("--systems leaves no system")
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o644)
}

// place fills in where the system is, and starts its broker if it is not there.
func (e *entry) place(ctx context.Context, sys *system, running *runningBrokers) error {
	b, err := running.get(ctx, sys.broker)
	if err != nil {
		return err
	}
	e.PID, e.Dir = b.process.PID(), b.Dir
	for _, c := range sys.topic {
		e.Args = append(e.Args, "--topic-config", c)
	}
	if sys.queue == "" {
		e.Address = b.Addr()
		return nil
	}
	e.Programs = map[string][]string{"produce": {
		running.programs.rabbitload, "--kind", sys.queue, "--port", fmt.Sprint(b.Port), "--broker-pid", fmt.Sprint(e.PID),
		"--warm-up", "{warm-up}", "--duration", "{duration}",
	}}
	return nil
}

// start returns the program that measures the start of a broker.
func (p *programs) start(name, dir string) []string {
	b := brokers[name]
	words := []string{p.firstack, "--binary", p.binary(name), "--cmd", b.command, "--dir", dir, "--runs", "1", "--restarts=false",
		"--settle", "2s", "--idle", "4s"}
	if b.prepare != "" {
		words = append(words, "--prepare", b.prepare)
	}
	return words
}

// binary is the executable of a broker, or its script.
func (p *programs) binary(name string) string {
	if b := brokers[name]; b.script == "" {
		return b.binary(p)
	}
	return filepath.Join(p.peers, brokers[name].script)
}

// versionOf asks a broker's executable, or its script, what it is. What was built here is named by its commit, too.
func (o *options) versionOf(ctx context.Context, p *programs, name string) (string, error) {
	word := "version"
	if p.binary(name) == p.kbench {
		word = "--version"
	}
	out, err := exec.CommandContext(ctx, p.binary(name), word).Output()
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", name, err)
	}
	version, _, _ := strings.Cut(string(out), "\n")
	if brokers[name].script == "" && o.kserver == "" {
		// Without git or a repository there is no commit to name.
		if out, err := exec.CommandContext(ctx, "git", "-C", o.root, "rev-parse", "--short", "HEAD").Output(); err == nil {
			version += ", commit " + strings.TrimSpace(string(out))
		}
	}
	return version, nil
}

// spec returns how to start a broker.
func (p *programs) spec(name string) launch.Spec {
	return launch.Spec{Command: brokers[name].command, Binary: p.binary(name), Backend: "auto"}
}
