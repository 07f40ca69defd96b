package main

import (
	"log/slog"

	"kserver/cluster"
	"kserver/cluster/configs"
)

// composeCluster makes the broker out of its rooms.
func composeCluster(b *configs.Broker, logger *slog.Logger) (node, error) {
	n, err := cluster.New(cluster.Config{Broker: b, Logger: logger})
	if err != nil {
		return nil, err
	}
	return n, nil
}
