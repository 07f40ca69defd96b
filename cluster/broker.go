package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"kserver/cluster/adopt"
	"kserver/cluster/configs"
	"kserver/cluster/controller"
	"kserver/cluster/coordinator"
	"kserver/cluster/group"
	"kserver/cluster/handlers"
	"kserver/cluster/metrics"
	"kserver/cluster/quota"
	"kserver/cluster/replica"
	"kserver/cluster/telemetry"
	"kserver/engine"
	"kserver/netio"
	"kserver/pagecache"
)

// metadataTopic is the log of the cluster's metadata; it is no topic that
// clients see.
const metadataTopic = "__cluster_metadata"

// Broker is a composed node. New, Start, Drain and Close are called once each,
// in this order, by one goroutine.
type Broker struct {
	cfg    Config
	logger *slog.Logger
	live   *configs.Live // cfg.Broker and what was set since

	warm       *pagecache.Warmer
	logs       *engine.LogManager
	replicas   *replica.Manager
	wheel      *coordinator.Wheel
	groups     *group.Coordinator
	quotas     *quota.Manager
	telemetry  *telemetry.Manager
	controller *controller.Controller
	workers    *workers
	front      *front
	server     *netio.Server
	listening  []string
	endpoint   *metrics.Endpoint // nil when metrics are not read
	failed     chan error

	connections *quota.Connections
	descriptors int // that connections may have
}

// New opens the log directories, binds the listeners and replays the metadata
// log. Nothing is accepted before Start. On error everything is closed again.
func New(cfg Config) (_ *Broker, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Broker{cfg: cfg, logger: cfg.Logger, live: configs.NewLive(cfg.Broker), quotas: quota.NewManager(), workers: cfg.newWorkers()}
	b.telemetry = telemetry.NewManager(cfg.Broker.Metrics.TelemetryMaxBytes, time.Now)
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if !cfg.DisableWarm {
		b.warm = pagecache.NewWarmer(pagecache.Config{})
	}
	b.front = &front{workers: b.workers, logger: cfg.Logger, conns: map[*netio.Conn]*conn{}, shards: map[*netio.Loop]*shard{}, watch: newWatch(cfg.Logger)}
	b.connections = quota.NewConnections()
	b.descriptors = descriptorsForConnections(cfg.Broker.Storage.MaxOpenFiles, cfg.Logger)
	b.connections.SetLimits(connectionLimits(&cfg.Broker.Network, b.descriptors))
	if b.server, err = netio.New(cfg.netConfig(door{b.connections}), b.front); err != nil {
		return nil, err
	}
	endpoints, err := b.listen()
	if err != nil {
		return nil, err
	}
	if err := b.openLogs(); err != nil {
		return nil, err
	}
	if err := b.compose(endpoints); err != nil {
		return nil, err
	}
	b.front.broker = b.handlers(endpoints)
	b.front.watch.read = b.load
	if err := b.openMetrics(); err != nil {
		return nil, err
	}
	return b, nil
}

// listen binds the listeners and returns the addresses clients are told, by
// listener.
func (b *Broker) listen() (map[string]handlers.Endpoint, error) {
	n := &b.cfg.Broker.Network
	ports := map[string]int{}
	for _, l := range n.Listeners {
		addr, err := b.server.Listen("tcp", l.Addr(), l.Name)
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", l, err)
		}
		b.listening = append(b.listening, l.Name+"://"+addr.String())
		_, port, err := net.SplitHostPort(addr.String())
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", l, err)
		}
		if ports[l.Name], err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("listener %s: %w", l, err)
		}
	}
	out := make(map[string]handlers.Endpoint, len(n.Advertised))
	for _, a := range n.Advertised {
		port := a.Port
		if port == 0 {
			port = ports[a.Name]
		}
		out[a.Name] = handlers.Endpoint{Host: a.Host, Port: int32(port)}
	}
	return out, nil
}

// openLogs opens the log directories.
func (b *Broker) openLogs() (err error) {
	cfg := b.cfg.engineConfig(b.warm)
	if err := adopt.CheckStart(b.cfg.fs(), cfg.Dirs); err != nil {
		return err
	}
	// One pass after another if the interval is 0, which is the default to the engine.
	cfg.ScrubInterval = b.cfg.Broker.Scrub.Interval
	if cfg.ScrubInterval == 0 {
		cfg.ScrubInterval = 1
	}
	cfg.ScrubBytesPerSecond = float64(b.cfg.Broker.Scrub.BytesPerSecond)
	opened := make(chan struct{})
	defer close(opened)
	cfg.OnOffline = func(dir string, err error) {
		<-opened
		b.dirFailed(dir, err)
	}
	b.failed = make(chan error, 1)
	b.logs, err = engine.OpenLogManager(cfg)
	return err
}

// dirFailed decides what the failure of a log directory means: the end of the broker when it holds the metadata
// log, or was the last one, as in Kafka; else its partitions are offline and the others go on.
func (b *Broker) dirFailed(dir string, err error) {
	log, ok := b.logs.Log(engine.TopicPartition{Topic: metadataTopic})
	fatal := ok && log.Dir() == dir
	online := 0
	for _, d := range b.logs.Dirs() {
		if d.Err == nil {
			online++
		}
	}
	if !fatal && online > 0 {
		b.logger.Error("the partitions of a log directory are offline until the next start", "dir", dir, "online", online)
		return
	}
	select {
	case b.failed <- fmt.Errorf("the broker cannot go on without its log directory: %w", err):
	default: // said already
	}
}

// Failed tells, once, why the broker cannot go on: whoever started it stops it.
func (b *Broker) Failed() <-chan error { return b.failed }

// compose makes the data plane, the coordinators and the controller, whose
// start brings all of them to what the metadata log says.
func (b *Broker) compose(endpoints map[string]handlers.Endpoint) error {
	b.replicas = replica.NewManager(replica.Config{NodeID: b.cfg.Broker.NodeID, Logs: b.logs, Logger: b.logger, Space: b.cfg.space})
	b.wheel = coordinator.NewWheel()
	storage := &topicStorage{replicas: b.replicas, topic: group.TopicName}
	var err error
	if b.groups, err = group.New(b.cfg.groupConfig(storage, imageTopics{b.image}, b.wheel)); err != nil {
		return err
	}
	log, err := b.logs.CreateFirst(engine.TopicPartition{Topic: metadataTopic}, controller.MetadataTopicID, controller.LogConfig())
	if err != nil {
		return err
	}
	cfg := b.cfg.controllerConfig()
	cfg.Log = metadataLog{log}
	cfg.ClusterID = b.logs.ClusterID()
	cfg.Publisher = &publisher{nodeID: b.cfg.Broker.NodeID, live: b.live, replicas: b.replicas, groups: b.groups, quotas: b.quotas, telemetry: b.telemetry, connections: b.connections, configure: b.configure, logger: b.logger}
	cfg.Settings = settingRules{b.live}
	for _, a := range b.cfg.Broker.Network.Advertised {
		e := endpoints[a.Name]
		cfg.Endpoints = append(cfg.Endpoints, controller.Endpoint{Name: a.Name, Host: e.Host, Port: uint16(e.Port), SecurityProtocol: controller.SecurityPlaintext})
	}
	for _, d := range b.logs.Dirs() {
		cfg.LogDirs = append(cfg.LogDirs, controller.UUID(d.ID))
	}
	b.controller, err = controller.Open(cfg)
	return err
}

// image is the controller's latest. Nobody asks before the controller is open.
func (b *Broker) image() *controller.MetadataImage { return b.controller.Image() }

// handlers is the handlers' view of the broker.
func (b *Broker) handlers(endpoints map[string]handlers.Endpoint) *handlers.Broker {
	n := &b.cfg.Broker.Network
	h := &handlers.Broker{
		NodeID: b.cfg.Broker.NodeID, ClusterID: b.logs.ClusterID(), Endpoints: endpoints,
		Configs: b.cfg.Broker, Live: b.live, Replicas: b.replicas, Sessions: replica.NewSessionCache(n.FetchSessions, time.Now),
		Groups: b.groups, Controller: b.controller, Quotas: b.quotas, Telemetry: b.telemetry,
		Coordinators: &coordinator.Finder{
			Directory: directory{b.controller},
			Topics:    map[coordinator.KeyType]string{coordinator.KeyGroup: group.TopicName},
		},
		Advertised: handlers.Advertised(), Workers: b.workers.Do, FetchMaxBytes: n.FetchMaxBytes,
	}
	if b.cfg.Broker.Rack != "" {
		h.Rack = &b.cfg.Broker.Rack
	}
	return h
}

// Start begins to accept connections.
func (b *Broker) Start() error {
	b.endpoint.Serve()
	return b.server.Start()
}

// Listening lists the bound listeners as NAME://host:port.
func (b *Broker) Listening() []string { return b.listening }

// Backend is the I/O back-end in use and the reason for it.
func (b *Broker) Backend() (name, reason string) {
	backend, reason := b.server.Backend()
	return string(backend), reason
}

// Stats are the event loops' counters.
func (b *Broker) Stats() netio.Stats { return b.server.Stats() }

// Stop stops accepting, answers what is in flight until ctx ends, and leaves
// clean directories.
func (b *Broker) Stop(ctx context.Context) error {
	var errs []error
	// What waits would hold the drain for as long as its client allows.
	b.front.broker.Stopping.Store(true)
	b.front.hurry()
	b.groups.Close()
	if err := b.server.Drain(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, b.Close())...)
}

// Close stops everything at once, from the listeners down to the logs, which
// are closed cleanly.
func (b *Broker) Close() error {
	var errs []error
	errs = append(errs, b.endpoint.Close())
	if b.front != nil {
		b.front.watch.close()
	}
	if b.server != nil {
		errs = append(errs, b.server.Close())
	}
	b.workers.Close()
	if b.groups != nil {
		b.groups.Close()
	}
	if b.wheel != nil {
		b.wheel.Close()
	}
	if b.controller != nil {
		errs = append(errs, b.controller.Close())
	}
	if b.logs != nil {
		errs = append(errs, b.logs.Close())
	}
	if b.warm != nil {
		b.warm.Close()
	}
	return errors.Join(errs...)
}

// directory lets coordinators be found by the metadata image. It implements
// coordinator.Directory.
type directory struct{ c *controller.Controller }

// Partitions implements coordinator.Directory.
func (d directory) Partitions(topic string) int32 {
	t, ok := d.c.Image().Topic(topic)
	if !ok {
		return 0
	}
	return int32(len(t.Partitions))
}

// Leader implements coordinator.Directory.
func (d directory) Leader(topic string, partition int32, listener string) (coordinator.Endpoint, bool) {
	image := d.c.Image()
	t, ok := image.Topic(topic)
	if !ok || partition < 0 || int(partition) >= len(t.Partitions) {
		return coordinator.Endpoint{}, false
	}
	broker, ok := image.Broker(t.Partitions[partition].Leader)
	if !ok {
		return coordinator.Endpoint{}, false
	}
	e, ok := broker.Endpoint(listener)
	return coordinator.Endpoint{NodeID: broker.ID, Host: e.Host, Port: int32(e.Port)}, ok
}

// Create implements coordinator.Directory.
func (d directory) Create(topic string, done func(error)) { d.c.EnsureTopic(topic, done) }
