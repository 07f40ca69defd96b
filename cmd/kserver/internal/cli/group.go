package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newGroupCommand(environ []string) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:     "group",
		Aliases: []string{"groups"},
		Short:   "List and describe consumer groups, reset their offsets, delete them",
	})
	c := newConnection(cmd, environ)
	c.outputFlag(cmd)
	cmd.AddCommand(newGroupListCommand(c), newGroupDescribeCommand(c), newGroupResetCommand(c), newGroupDeleteCommand(c))
	return cmd
}

// groupLine is what a list tells of a group. What the broker is too old to tell is "".
type groupLine struct {
	Name         string `json:"name"`
	Type         string `json:"type"`
	State        string `json:"state"`
	ProtocolType string `json:"protocol_type"`
}

func newGroupListCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the groups of the cluster",
		Example: "  kserver group list",
		Args:    exactly(),
	}
	cmd.RunE = c.admin(nil, func(ctx context.Context, s *session, _ []string) error {
		list, err := s.listGroups(ctx)
		if err != nil {
			return err
		}
		return s.show(list, func(w io.Writer) error {
			rows := make([][]string, len(list))
			for i, g := range list {
				rows[i] = []string{g.Name, g.Type, g.State, g.ProtocolType}
			}
			return Table(w, "GROUP TYPE STATE PROTOCOL", rows)
		})
	})
	return cmd
}

// listGroups asks every broker for the groups it coordinates.
func (s *session) listGroups(ctx context.Context) ([]groupLine, error) {
	list := []groupLine{}
	for _, shard := range s.cl.RequestSharded(ctx, kmsg.NewPtrListGroupsRequest()) {
		if shard.Err != nil {
			return nil, shard.Err
		}
		resp, ok := shard.Resp.(*kmsg.ListGroupsResponse)
		if !ok {
			return nil, fmt.Errorf("unexpected answer %T to ListGroups", shard.Resp)
		}
		if err := brokerError(fmt.Sprintf("groups of broker %d", shard.Meta.NodeID), resp.ErrorCode, nil); err != nil {
			return nil, err
		}
		for _, g := range resp.Groups {
			list = append(list, groupLine{Name: g.Group, Type: strings.ToLower(g.GroupType), State: g.GroupState, ProtocolType: g.ProtocolType})
		}
	}
	slices.SortFunc(list, func(a, b groupLine) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// groupMember is a member of a group and what it is assigned.
type groupMember struct {
	ID         string               `json:"id"`
	Instance   string               `json:"instance,omitempty"`
	Client     string               `json:"client"`
	Host       string               `json:"host"`
	Partitions []memberPartition    `json:"partitions"`
	Topics     []string             `json:"topics"` // it subscribes to
	assigned   map[partitionID]bool // the same as Partitions
}

type memberPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

// groupOffset is how far a group has come in a partition; what is not known is null.
type groupOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed *int64 `json:"committed"`
	Start     *int64 `json:"start"`
	End       *int64 `json:"end"`
	// Lag is how many offsets lie between the committed one and the end.
	Lag      *int64 `json:"lag"`
	Member   string `json:"member,omitempty"`
	Metadata string `json:"metadata,omitempty"`
	client   string
	host     string
}

// groupDescription is what describe tells of a group.
type groupDescription struct {
	Name        string        `json:"name"`
	Type        string        `json:"type"`
	State       string        `json:"state"`
	Assignor    string        `json:"assignor"`
	Coordinator int32         `json:"coordinator"`
	Members     []groupMember `json:"members"`
	Offsets     []groupOffset `json:"offsets"`
	// Lag is the sum of the known lags.
	Lag int64 `json:"lag"`
}

// active reports whether the group has members that would overwrite its offsets.
func (g groupDescription) active() bool { return len(g.Members) > 0 }

func newGroupDescribeCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "describe GROUP...",
		Short:             "Show the state, members, offsets and lag of groups",
		Example:           "  kserver group describe billing\n  kserver group describe billing --output json",
		Args:              names("group"),
		ValidArgsFunction: c.groupNames(0),
	}
	cmd.RunE = c.admin(nil, func(ctx context.Context, s *session, names []string) error {
		described := []groupDescription{}
		var failures tally
		for _, name := range names {
			g, err := s.describeGroup(ctx, name)
			if err == nil {
				err = s.addOffsets(ctx, &g)
			}
			if failures.add(err) {
				described = append(described, g)
			}
		}
		err := s.show(described, func(w io.Writer) error {
			for i, g := range described {
				if i > 0 {
					fmt.Fprintln(w)
				}
				if err := g.print(w); err != nil {
					return err
				}
			}
			return nil
		})
		return errors.Join(err, failures.err())
	})
	return cmd
}

// describeGroup looks a group up, without its offsets: by the newer consumer protocol where the broker has it, then
// by the classic one.
func (s *session) describeGroup(ctx context.Context, name string) (groupDescription, error) {
	g := groupDescription{Name: name, Members: []groupMember{}}
	if err := s.need(ctx, "describing groups", kmsg.DescribeGroups); err != nil {
		return g, err
	}
	if _, ok := s.served[int16(kmsg.ConsumerGroupDescribe)]; ok {
		described, err := s.adm.DescribeConsumerGroups(ctx, name)
		if err != nil {
			return g, err
		}
		switch d, ok := described[name]; {
		case !ok || errors.Is(d.Err, kerr.GroupIDNotFound):
		case d.Err != nil:
			return g, answerError("group "+name, d.Err, "")
		default:
			g.Type, g.State, g.Assignor, g.Coordinator = "consumer", d.State, d.AssignorName, d.Coordinator.NodeID
			for _, m := range d.Members {
				g.addMember(groupMember{ID: m.MemberID, Instance: deref(m.InstanceID), Client: m.ClientID, Host: m.ClientHost, Topics: m.SubscribedTopics}, m.Assignment)
			}
			return g, nil
		}
	}
	described, err := s.adm.DescribeGroups(ctx, name)
	if err != nil {
		return g, err
	}
	d := described[name]
	switch {
	case errors.Is(d.Err, kerr.GroupIDNotFound) && (d.ErrMessage == "" || strings.Contains(d.ErrMessage, "not found")), d.Err == nil && d.State == "Dead":
		return g, failf(ExitNotFound, "there is no group %s; kserver group list shows those there are", name)
	case errors.Is(d.Err, kerr.GroupIDNotFound):
		return g, failf(ExitFailed, "group %s is of a kind that cannot be described here, such as a share group; kserver group list shows it", name)
	case d.Err != nil:
		return g, answerError("group "+name, d.Err, d.ErrMessage)
	}
	g.Type, g.State, g.Assignor, g.Coordinator = "classic", d.State, d.Protocol, d.Coordinator.NodeID
	for _, m := range d.Members {
		assigned := make(kadm.TopicsSet)
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				assigned.Add(t.Topic, t.Partitions...)
			}
		}
		var topics []string
		if j, ok := m.Join.AsConsumer(); ok {
			topics = j.Topics
		}
		g.addMember(groupMember{ID: m.MemberID, Instance: deref(m.InstanceID), Client: m.ClientID, Host: m.ClientHost, Topics: topics}, assigned)
	}
	return g, nil
}

func (g *groupDescription) addMember(m groupMember, assigned kadm.TopicsSet) {
	m.Topics, m.Partitions, m.assigned = orEmpty(m.Topics), []memberPartition{}, make(map[partitionID]bool)
	for _, t := range assigned.Sorted() {
		for _, p := range t.Partitions {
			m.Partitions = append(m.Partitions, memberPartition{t.Topic, p})
			m.assigned[partitionID{t.Topic, p}] = true
		}
	}
	g.Members = append(g.Members, m)
}

// addOffsets fills in how far the group has come.
func (s *session) addOffsets(ctx context.Context, g *groupDescription) error {
	commits, err := s.adm.FetchOffsets(ctx, g.Name)
	if err != nil {
		return fmt.Errorf("offsets of group %s: %w", g.Name, err)
	}
	topics := make(map[string]bool)
	for topic := range commits {
		topics[topic] = true
	}
	for _, m := range g.Members {
		for id := range m.assigned {
			topics[id.topic] = true
		}
	}
	var e extent
	if len(topics) > 0 {
		list := make([]string, 0, len(topics))
		for topic := range topics {
			list = append(list, topic)
		}
		// A topic that is gone leaves its offsets behind; they are shown without an end.
		starts, err := s.adm.ListStartOffsets(ctx, list...)
		if err != nil {
			return err
		}
		ends, err := s.adm.ListEndOffsets(ctx, list...)
		if err != nil {
			return err
		}
		e.start, _ = known(starts)
		e.end, _ = known(ends)
	}
	g.Offsets, g.Lag = groupOffsets(g.Members, commits, e)
	return nil
}

// groupOffsets puts together what is committed, what is assigned and where partitions end.
func groupOffsets(members []groupMember, commits kadm.OffsetResponses, e extent) (list []groupOffset, total int64) {
	list = []groupOffset{}
	pointer := func(o offsets, id partitionID) *int64 {
		if offset, ok := o.get(id.topic, id.partition); ok {
			return &offset
		}
		return nil
	}
	seen := make(map[partitionID]bool)
	add := func(id partitionID, m groupMember) {
		if seen[id] {
			return
		}
		seen[id] = true
		o := groupOffset{Topic: id.topic, Partition: id.partition, Start: pointer(e.start, id), End: pointer(e.end, id), Member: m.ID, client: m.Client, host: m.Host}
		if commit, ok := commits.Lookup(id.topic, id.partition); ok && commit.Err == nil && commit.At >= 0 {
			o.Committed, o.Metadata = &commit.At, commit.Metadata
		}
		if o.Committed != nil && o.End != nil {
			lag := max(*o.End-*o.Committed, 0)
			o.Lag = &lag
			total += lag
		}
		list = append(list, o)
	}
	for _, m := range members {
		for id := range m.assigned {
			add(id, m)
		}
	}
	commits.Each(func(o kadm.OffsetResponse) { add(partitionID{o.Topic, o.Partition}, groupMember{}) })
	slices.SortFunc(list, func(a, b groupOffset) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return list, total
}

func (g groupDescription) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "group        %s\ntype         %s\nstate        %s\nassignor     %s\ncoordinator  %d\nmembers      %d\nlag          %s\n",
		g.Name, g.Type, g.State, cmp.Or(g.Assignor, "-"), g.Coordinator, len(g.Members), humanize.Comma(g.Lag))
	if err != nil {
		return err
	}
	if len(g.Offsets) > 0 {
		fmt.Fprintln(w)
		rows := make([][]string, len(g.Offsets))
		for i, o := range g.Offsets {
			rows[i] = []string{o.Topic, fmt.Sprint(o.Partition), number(o.Committed), number(o.End), number(o.Lag), o.client, o.host}
		}
		if err := Table(w, "TOPIC PARTITION COMMITTED END LAG CLIENT HOST", rows); err != nil {
			return err
		}
	}
	if len(g.Members) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	rows := make([][]string, len(g.Members))
	for i, m := range g.Members {
		rows[i] = []string{m.ID, m.Instance, m.Client, m.Host, fmt.Sprint(len(m.Partitions)), strings.Join(m.Topics, ",")}
	}
	return Table(w, "MEMBER INSTANCE CLIENT HOST PARTITIONS SUBSCRIBED", rows)
}

func newGroupDeleteCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "delete GROUP...",
		Aliases:           []string{"rm"},
		Short:             "Delete groups without members, with their offsets",
		Example:           "  kserver group delete billing",
		Args:              names("group"),
		ValidArgsFunction: c.groupNames(0),
	}
	cmd.RunE = c.admin(nil, func(ctx context.Context, s *session, names []string) error {
		if err := s.need(ctx, "deleting groups", kmsg.DeleteGroups); err != nil {
			return err
		}
		answers, err := s.adm.DeleteGroups(ctx, names...)
		if err != nil {
			return err
		}
		type result struct {
			Name string `json:"name"`
			Done string `json:"done"`
		}
		results := []result{}
		var failures tally
		for _, name := range names {
			a := answers[name]
			err := answerError("group "+name, a.Err, a.ErrMessage)
			switch {
			case errors.Is(a.Err, kerr.NonEmptyGroup):
				err = failf(ExitFailed, "group %s has members; stop them first", name)
			case errors.Is(a.Err, kerr.GroupIDNotFound):
				err = failf(ExitNotFound, "there is no group %s; kserver group list shows those there are", name)
			}
			if failures.add(err) {
				results = append(results, result{name, "deleted"})
			}
		}
		shown := s.show(results, func(w io.Writer) error {
			for _, r := range results {
				if _, err := fmt.Fprintf(w, "group %s %s\n", r.Name, r.Done); err != nil {
					return err
				}
			}
			return nil
		})
		return errors.Join(shown, failures.err())
	})
	return cmd
}
