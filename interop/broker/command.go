package broker

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kserver/interop/tools"
)

// fewPartitions keeps the internal topics small: creating 50 partitions each makes Apache
// Kafka's first join slow. The tests do not depend on the count.
var fewPartitions = map[string]string{
	"offsets.topic.num.partitions":     "4",
	"offsets.topic.replication.factor": "1",
	"group.initial.rebalance.delay.ms": "0",
}

// command returns the program and arguments that start the broker in its directory.
func (b *Broker) command() ([]string, error) {
	if b.spec.Kind == Apache {
		java, err := tools.Locate()
		if err != nil {
			return nil, err
		}
		return append(java.Command("kafka.Kafka", "1g"), b.propertiesFile()), nil
	}
	argv := []string{b.spec.Binary, "--listeners", "PLAINTEXT://" + b.Addr(), "--log.dirs", b.DataDir()}
	if b.spec.Backend != "" {
		argv = append(argv, "--io.backend", b.spec.Backend)
	}
	settings := maps.Clone(fewPartitions)
	maps.Copy(settings, b.spec.Settings)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		argv = append(argv, "--override", name+"="+settings[name])
	}
	return argv, nil
}

func (b *Broker) propertiesFile() string { return filepath.Join(b.spec.Dir, "server.properties") }

// formatApache writes server.properties and formats the directory of an Apache Kafka.
func (b *Broker) formatApache(ctx context.Context) error {
	controller, err := FreePort()
	if err != nil {
		return err
	}
	listener := fmt.Sprintf("127.0.0.1:%d", controller)
	settings := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          "1",
		"controller.quorum.voters":                         "1@" + listener,
		"listeners":                                        "PLAINTEXT://" + b.Addr() + ",CONTROLLER://" + listener,
		"advertised.listeners":                             "PLAINTEXT://" + b.Addr(),
		"controller.listener.names":                        "CONTROLLER",
		"listener.security.protocol.map":                   "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"log.dirs":                                         b.DataDir(),
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             "4",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
	}
	maps.Copy(settings, fewPartitions)
	maps.Copy(settings, b.spec.Settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s=%s\n", name, settings[name])
	}
	if err := os.WriteFile(b.propertiesFile(), []byte(text.String()), 0o644); err != nil {
		return err
	}
	java, err := tools.Locate()
	if err != nil {
		return err
	}
	_, err = java.Run(ctx, "", "kafka.tools.StorageTool", "format", "-t", "Nk8nQm1YTEqXv0PZ0c6J3g", "-c", b.propertiesFile())
	return err
}
