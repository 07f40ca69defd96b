package cli

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const quotaHelp = `Quota shows and changes what clients may ask of each broker. A quota belongs to a user, to a
client id, to both together, or to an IP address; the name ` + defaultEntity + ` stands for
all that have none of their own. The quotas:

  producer_byte_rate         bytes per second sent
  consumer_byte_rate         bytes per second received
  request_percentage         time of the broker's threads, in percent of one
  controller_mutation_rate   partitions created or deleted per second
  connection_creation_rate   connections per second, of an IP address`

// defaultEntity names the default of users, client ids or addresses, as Kafka's own tools do.
const defaultEntity = "<default>"

// quotaKeys are the quotas there are.
var quotaKeys = []string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate", "connection_creation_rate"}

func newQuotaCommand(environ []string) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:     "quota",
		Aliases: []string{"quotas"},
		Short:   "List, set and unset quotas of users, client ids and addresses",
		Long:    quotaHelp,
	})
	c := newConnection(cmd, environ)
	c.outputFlag(cmd)
	cmd.AddCommand(newQuotaListCommand(c), newQuotaSetCommand(c), newQuotaUnsetCommand(c))
	return cmd
}

// quotaEntity is whose quota it is; a nil name is one that does not count, defaultEntity the default.
type quotaEntity struct {
	User     *string `json:"user,omitempty"`
	ClientID *string `json:"client_id,omitempty"`
	IP       *string `json:"ip,omitempty"`
}

func (e quotaEntity) String() string {
	var words []string
	for _, p := range []struct {
		kind string
		name *string
	}{{"user", e.User}, {"client-id", e.ClientID}, {"ip", e.IP}} {
		if p.name != nil {
			words = append(words, p.kind+" "+*p.name)
		}
	}
	return strings.Join(words, ", ")
}

func newQuotaEntity(components kadm.ClientQuotaEntity) quotaEntity {
	var e quotaEntity
	for _, c := range components {
		name := defaultEntity
		if c.Name != nil {
			name = *c.Name
		}
		switch c.Type {
		case "user":
			e.User = &name
		case "client-id":
			e.ClientID = &name
		case "ip":
			e.IP = &name
		}
	}
	return e
}

// components are the entity as the client library takes it.
func (e quotaEntity) components() kadm.ClientQuotaEntity {
	var out kadm.ClientQuotaEntity
	add := func(kind string, name *string) {
		if name == nil {
			return
		}
		c := kadm.ClientQuotaEntityComponent{Type: kind, Name: name}
		if *name == defaultEntity {
			c.Name = nil
		}
		out = append(out, c)
	}
	add("user", e.User)
	add("client-id", e.ClientID)
	add("ip", e.IP)
	return out
}

func newQuotaListCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the quotas of the cluster",
		Args:    exactly(),
	}
	cmd.RunE = c.admin(nil, func(ctx context.Context, s *session, _ []string) error {
		if err := s.need(ctx, "listing quotas", kmsg.DescribeClientQuotas); err != nil {
			return err
		}
		described, err := s.adm.DescribeClientQuotas(ctx, false, nil)
		if err != nil {
			return err
		}
		type quotaLine struct {
			Entity quotaEntity        `json:"entity"`
			Quotas map[string]float64 `json:"quotas"`
		}
		list := []quotaLine{}
		var rows [][]string
		for _, d := range described {
			line := quotaLine{newQuotaEntity(d.Entity), make(map[string]float64)}
			for _, v := range d.Values {
				line.Quotas[v.Key] = v.Value
				rows = append(rows, []string{line.Entity.String(), v.Key, strconv.FormatFloat(v.Value, 'f', -1, 64)})
			}
			list = append(list, line)
		}
		slices.SortFunc(list, func(a, b quotaLine) int { return strings.Compare(a.Entity.String(), b.Entity.String()) })
		slices.SortFunc(rows, slices.Compare)
		return s.show(list, func(w io.Writer) error { return Table(w, "ENTITY QUOTA VALUE", rows) })
	})
	return cmd
}

// quotaFlags say whose quotas to change.
type quotaFlags struct {
	user, clientID, ip string
	dryRun             bool
}

func (q *quotaFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&q.user, "user", "", "of the user with this `name`")
	f.StringVar(&q.clientID, "client-id", "", "of clients with this `id`")
	f.StringVar(&q.ip, "ip", "", "of clients at this `address`")
	f.BoolVar(&q.dryRun, "dry-run", false, "let the broker check it, change nothing")
}

func (q *quotaFlags) entity() (quotaEntity, error) {
	var e quotaEntity
	if q.user != "" {
		e.User = &q.user
	}
	if q.clientID != "" {
		e.ClientID = &q.clientID
	}
	if q.ip != "" {
		e.IP = &q.ip
		if _, err := netip.ParseAddr(q.ip); err != nil && q.ip != defaultEntity {
			return e, usagef("--ip %s: give an address", q.ip)
		}
	}
	switch {
	case e == quotaEntity{}:
		return e, usagef("say whose quotas, with --user, --client-id, both, or --ip")
	case e.IP != nil && (e.User != nil || e.ClientID != nil):
		return e, usagef("--ip goes with neither --user nor --client-id")
	}
	return e, nil
}

// checkQuotaKey refuses a quota Kafka does not know.
func checkQuotaKey(key string) error {
	if !slices.Contains(quotaKeys, key) {
		return usagef("there is no quota %s; there are %s", key, strings.Join(quotaKeys, ", "))
	}
	return nil
}

// parseQuotas reads key=value of the command line.
func parseQuotas(list []string) ([]kadm.AlterClientQuotaOp, error) {
	keys, values, err := keyValues("quota", list)
	if err != nil {
		return nil, err
	}
	var ops []kadm.AlterClientQuotaOp
	for _, key := range keys {
		if err := checkQuotaKey(key); err != nil {
			return nil, err
		}
		v, err := strconv.ParseFloat(values[key], 64)
		if err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, usagef("%s=%s: %q is no number", key, values[key], values[key])
		}
		ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Value: v})
	}
	return ops, nil
}

func newQuotaSetCommand(c *connection) *cobra.Command {
	var q quotaFlags
	cmd := &cobra.Command{
		Use:   "set QUOTA=NUMBER...",
		Short: "Set quotas",
		Example: `  kserver quota set --user alice producer_byte_rate=1048576 consumer_byte_rate=2097152
  kserver quota set --client-id '` + defaultEntity + `' request_percentage=50`,
	}
	q.add(cmd)
	cmd.RunE = c.changeQuota(&q, parseQuotas)
	return cmd
}

func newQuotaUnsetCommand(c *connection) *cobra.Command {
	var q quotaFlags
	cmd := &cobra.Command{
		Use:     "unset QUOTA...",
		Short:   "Remove quotas",
		Example: "  kserver quota unset --user alice producer_byte_rate",
	}
	q.add(cmd)
	cmd.RunE = c.changeQuota(&q, func(keys []string) ([]kadm.AlterClientQuotaOp, error) {
		var ops []kadm.AlterClientQuotaOp
		for _, key := range keys {
			if err := checkQuotaKey(key); err != nil {
				return nil, err
			}
			ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Remove: true})
		}
		return ops, nil
	})
	return cmd
}

// changeQuota makes the RunE of a command that changes the quotas its arguments name; parse reads them.
func (c *connection) changeQuota(q *quotaFlags, parse func(args []string) ([]kadm.AlterClientQuotaOp, error)) func(*cobra.Command, []string) error {
	var entity quotaEntity
	var ops []kadm.AlterClientQuotaOp
	check := func(args []string) (err error) {
		if entity, err = q.entity(); err != nil {
			return err
		}
		if len(args) == 0 {
			return usagef("say which quotas; there are %s", strings.Join(quotaKeys, ", "))
		}
		ops, err = parse(args)
		return err
	}
	return c.admin(check, func(ctx context.Context, s *session, _ []string) error {
		if err := s.need(ctx, "changing quotas", kmsg.AlterClientQuotas); err != nil {
			return err
		}
		alter := s.adm.AlterClientQuotas
		done := "changed"
		if q.dryRun {
			alter, done = s.adm.ValidateAlterClientQuotas, "could be changed"
		}
		answers, err := alter(ctx, []kadm.AlterClientQuotaEntry{{Entity: entity.components(), Ops: ops}})
		if err != nil {
			return err
		}
		for _, a := range answers {
			if err := answerError(entity.String(), a.Err, a.ErrMessage); err != nil {
				return err
			}
		}
		result := struct {
			Entity quotaEntity `json:"entity"`
			Done   string      `json:"done"`
		}{entity, done}
		return s.show(result, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s: %s %s\n", entity, count(len(ops), "quota"), done)
			return err
		})
	})
}
