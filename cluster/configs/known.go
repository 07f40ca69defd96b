package configs

import "strings"

// findDef returns the definition of a key that may stand in a broker's configuration: one of the table, one
// that Kafka 4 has dropped, one that belongs to a plug-in, or one with a free part.
func findDef(key string) (*Def, bool) {
	if d, ok := brokerTable.byName[key]; ok {
		return d, true
	}
	if hint, ok := removedKeys[key]; ok {
		return &Def{Name: key, Type: removedType(key), Support: Inert, Note: noteRemoved + "; " + hint}, true
	}
	if note, ok := pluginKeys[key]; ok {
		return &Def{Name: key, Type: String, Support: Inert, Note: note}, true
	}
	for _, f := range families {
		rest, ok := strings.CutPrefix(key, f.prefix)
		if !ok || rest == "" {
			continue
		}
		if f.define == nil {
			return &Def{Name: key, Type: Password, Support: Inert, Note: f.note}, true
		}
		return f.define(key, rest)
	}
	return nil, false
}

// removedType keeps the values of removed keys that held secrets from being shown.
func removedType(key string) Type {
	if strings.Contains(key, "secret") || key == "delegation.token.master.key" {
		return Password
	}
	return String
}

// pluginKeys are read by Kafka's own plug-ins rather than by the broker.
var pluginKeys = map[string]string{
	"super.users":                    "it belongs to Kafka's authorizer, and this version does not check permissions",
	"allow.everyone.if.no.acl.found": "it belongs to Kafka's authorizer, and this version does not check permissions",
}

// family is a set of keys that share a prefix. The values of a family without define may hold secrets and are
// never shown.
type family struct {
	prefix string
	note   string
	define func(key, rest string) (*Def, bool)
}

var families = []family{
	{prefix: "listener.name.", define: listenerKey},
	{prefix: "config.providers.", note: notePlugin},
	{prefix: "rsm.config.", note: noteRemote},
	{prefix: "rlmm.config.", note: noteRemote},
	{prefix: "metrics.context.", note: noteMetrics},
}

// listenerKey defines listener.name.<name>.<key>, the value of a key for one listener, and
// listener.name.<name>.<mechanism>.<key>, the same for one SASL mechanism.
func listenerKey(key, rest string) (*Def, bool) {
	if _, base, ok := listenerLimit(key); ok {
		return listenerLimitDef(key, base), true
	}
	_, base, _ := strings.Cut(rest, ".")
	d, ok := brokerTable.byName[base]
	if !ok {
		_, base, _ = strings.Cut(base, ".")
		if d, ok = brokerTable.byName[base]; !ok || !strings.HasPrefix(base, "sasl.") && base != "connections.max.reauth.ms" {
			return nil, false
		}
	}
	own := &Def{Name: key, Type: d.Type, Support: Refused, Note: "this version has one value for all listeners; set " + base}
	if d.Support != Obeyed {
		own.Support, own.Note = Inert, d.Note
	}
	return own, true
}

// removedKeys are keys of Kafka 3 and before that Kafka 4 dropped, with what to do instead. Kafka 4 starts with
// them in its file and ignores them; so do we, and say so.
var removedKeys = map[string]string{
	"advertised.host.name":                    "use advertised.listeners",
	"advertised.port":                         "use advertised.listeners",
	"auto.include.jmx.reporter":               "delete the key",
	"broker.id.generation.enable":             "set node.id",
	"control.plane.listener.name":             "delete the key",
	"controlled.shutdown.max.retries":         "delete the key",
	"controlled.shutdown.retry.backoff.ms":    "delete the key",
	"delegation.token.master.key":             "use delegation.token.secret.key",
	"eligible.leader.replicas.enable":         "delete the key",
	"group.coordinator.new.enable":            "delete the key",
	"host.name":                               "use listeners",
	"inter.broker.protocol.version":           "delete the key",
	"leader.imbalance.per.broker.percentage":  "delete the key",
	"log.message.downconversion.enable":       "records are always of format v2; delete the key",
	"log.message.format.version":              "records are always of format v2; delete the key",
	"log.message.timestamp.difference.max.ms": "use log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms",
	"offsets.commit.required.acks":            "delete the key",
	"password.encoder.cipher.algorithm":       "delete the key",
	"password.encoder.iterations":             "delete the key",
	"password.encoder.key.length":             "delete the key",
	"password.encoder.keyfactory.algorithm":   "delete the key",
	"password.encoder.old.secret":             "delete the key",
	"password.encoder.secret":                 "delete the key",
	"port":                                    "use listeners",
	"quota.consumer.default":                  "delete the key",
	"quota.producer.default":                  "delete the key",
	"replica.lag.max.messages":                "use replica.lag.time.max.ms",
	"reserved.broker.max.id":                  "set node.id",
	"zookeeper.clientCnxnSocket":              "ZooKeeper is gone; delete the key",
	"zookeeper.connect":                       "ZooKeeper is gone; delete the key",
	"zookeeper.connection.timeout.ms":         "ZooKeeper is gone; delete the key",
	"zookeeper.max.in.flight.requests":        "ZooKeeper is gone; delete the key",
	"zookeeper.metadata.migration.enable":     "ZooKeeper is gone; delete the key",
	"zookeeper.session.timeout.ms":            "ZooKeeper is gone; delete the key",
	"zookeeper.set.acl":                       "ZooKeeper is gone; delete the key",
	"zookeeper.ssl.client.enable":             "ZooKeeper is gone; delete the key",
}
