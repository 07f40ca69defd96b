package handlers

import (
	"strconv"
	"strings"
	"time"

	"kserver/cluster/controller"
	"kserver/protocol"
)

// alterTimeout bounds the wait for a change of settings, whose requests name no
// time (Kafka's request.timeout.ms).
const alterTimeout = 30 * time.Second

// alteredResource is one resource of AlterConfigs or IncrementalAlterConfigs on
// its way: what the request wants and the answer, nil for success.
type alteredResource struct {
	kind    int8
	name    string
	entries []alteredEntry
	// replace takes back what entries do not name.
	replace bool
	err     *protocol.Error
}

// alteredEntry is one setting of such a request.
type alteredEntry struct {
	name  string
	op    int8
	value *string
}

// alterConfigs checks the resources of a request, changes what is in order and
// fills in each one's answer.
func alterConfigs(b *Broker, resources []alteredResource, validateOnly bool) {
	times := make(map[controller.ConfigResource]int, len(resources))
	for i := range resources {
		times[resources[i].resource()]++
	}
	var alterations []controller.ConfigAlteration
	var owners []*alteredResource
	for i := range resources {
		r := &resources[i]
		if times[r.resource()] > 1 {
			r.err = protocol.Errorf(protocol.InvalidRequest, "Each resource must appear at most once.")
			continue
		}
		if r.err = r.check(b.NodeID); r.err != nil || controller.ResourceType(r.kind) == controller.ResourceBrokerLogger {
			continue
		}
		alterations, owners = append(alterations, r.alteration()), append(owners, r)
	}
	if len(alterations) == 0 {
		return
	}
	ctx, cancel := deadline(int32(alterTimeout.Milliseconds()))
	defer cancel()
	for i, err := range b.Controller.AlterConfigs(ctx, alterations, validateOnly) {
		owners[i].err = err
	}
}

func (r *alteredResource) resource() controller.ConfigResource {
	return controller.ConfigResource{Type: controller.ResourceType(r.kind), Name: r.name}
}

// check refuses what is no proper request, before the settings are looked at.
func (r *alteredResource) check(nodeID int32) *protocol.Error {
	if err := r.checkEntries(); err != nil {
		return err
	}
	switch controller.ResourceType(r.kind) {
	case controller.ResourceTopic, controller.ResourceClientMetrics, controller.ResourceGroup:
		return nil
	case controller.ResourceBroker:
		if r.name == "" {
			return nil
		}
		return checkNodeName(r.name, nodeID, "Unexpected broker id, expected %d, but received %s")
	case controller.ResourceBrokerLogger:
		if r.replace {
			break // AlterConfigs has no loggers
		}
		if err := checkNodeName(r.name, nodeID, "Unexpected node id. Expected %d, but received %s"); err != nil {
			return err
		}
		return r.checkLoggers()
	}
	return protocol.Errorf(protocol.InvalidRequest, "Unknown resource type %d", r.kind)
}

// checkEntries checks the form of the entries.
func (r *alteredResource) checkEntries() *protocol.Error {
	seen := make(map[string]bool, len(r.entries))
	var null []string
	for _, e := range r.entries {
		if seen[e.name] {
			return protocol.Errorf(protocol.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[e.name] = true
		if e.value == nil && controller.ConfigOp(e.op) != controller.ConfigDelete {
			null = append(null, e.name)
		}
	}
	if len(null) > 0 {
		return protocol.Errorf(protocol.InvalidRequest, "Null value not supported for : %s", strings.Join(null, ", "))
	}
	for _, e := range r.entries {
		if e.op < int8(controller.ConfigSet) || e.op > int8(controller.ConfigSubtract) {
			return protocol.Errorf(protocol.InvalidRequest, "Unknown operations type %d", e.op)
		}
	}
	return nil
}

// checkLoggers refuses every change of a log level, by the first one: there are
// no loggers with a name here.
func (r *alteredResource) checkLoggers() *protocol.Error {
	if len(r.entries) == 0 {
		return nil
	}
	e := r.entries[0]
	switch op := controller.ConfigOp(e.op); {
	case op == controller.ConfigAppend, op == controller.ConfigSubtract:
		return protocol.Errorf(protocol.InvalidRequest, "%s operation is not allowed for the BROKER_LOGGER resource", op)
	case op == controller.ConfigDelete && e.name == "root":
		return protocol.Errorf(protocol.InvalidRequest, "Removing the log level of the root logger is not allowed")
	}
	return protocol.Errorf(protocol.InvalidConfig, "Logger %s does not exist!", e.name)
}

// alteration is the resource as the controller takes it.
func (r *alteredResource) alteration() controller.ConfigAlteration {
	a := controller.ConfigAlteration{Resource: r.resource(), Replace: r.replace}
	for _, e := range r.entries {
		c := controller.ConfigChange{Name: e.name, Op: controller.ConfigOp(e.op)}
		if e.value != nil {
			c.Value = *e.value
		}
		a.Changes = append(a.Changes, c)
	}
	return a
}

// checkNodeName checks that the resource of a change names this broker.
func checkNodeName(name string, nodeID int32, unexpected string) *protocol.Error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return protocol.Errorf(protocol.InvalidRequest, "Node id must be an integer, but it is: %s", name)
	}
	if int32(id) != nodeID {
		return protocol.Errorf(protocol.InvalidRequest, unexpected, nodeID, name)
	}
	return nil
}
