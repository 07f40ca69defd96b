package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newClusterCommand(environ []string) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:     "cluster",
		Short:   "Show brokers, controller, features, APIs and log directories",
		Example: "  kserver cluster\n  kserver cluster log-dirs\n  kserver cluster -b kafka-1:9092 --output json",
	})
	c := newConnection(cmd, environ)
	c.outputFlag(cmd)
	cmd.RunE = c.admin(nil, func(ctx context.Context, s *session, _ []string) error { return s.overview(ctx) })
	cmd.AddCommand(newFeaturesCommand(c), newAPIsCommand(c), newLogDirsCommand(c))
	return cmd
}

// clusterOverview is what cluster tells.
type clusterOverview struct {
	ID string `json:"id"`
	// Controller is the number of the broker that takes requests for the controller, -1 if there is none.
	Controller int32        `json:"controller"`
	Brokers    []brokerLine `json:"brokers"`
	Topics     int          `json:"topics"` // internal ones too
	Partitions int          `json:"partitions"`
	// UnderReplicated and Leaderless count partitions.
	UnderReplicated int `json:"under_replicated"`
	Leaderless      int `json:"leaderless"`
}

type brokerLine struct {
	ID         int32  `json:"id"`
	Host       string `json:"host"`
	Port       int32  `json:"port"`
	Rack       string `json:"rack,omitempty"`
	Leads      int    `json:"leads"` // partitions
	Replicas   int    `json:"replicas"`
	Controller bool   `json:"controller"`
}

func (s *session) overview(ctx context.Context) error {
	m, err := s.adm.Metadata(ctx)
	if err != nil {
		return err
	}
	o := clusterOverview{ID: m.Cluster, Controller: m.Controller, Brokers: []brokerLine{}, Topics: len(m.Topics)}
	leads, replicas := make(map[int32]int), make(map[int32]int)
	for _, t := range m.Topics {
		line := newTopicLine(t)
		o.Partitions += line.Partitions
		o.UnderReplicated += line.UnderReplicated
		o.Leaderless += line.Leaderless
		for _, p := range t.Partitions {
			leads[p.Leader]++
			for _, r := range p.Replicas {
				replicas[r]++
			}
		}
	}
	for _, b := range m.Brokers {
		o.Brokers = append(o.Brokers, brokerLine{
			ID: b.NodeID, Host: b.Host, Port: b.Port, Rack: deref(b.Rack), Leads: leads[b.NodeID], Replicas: replicas[b.NodeID], Controller: b.NodeID == m.Controller,
		})
	}
	slices.SortFunc(o.Brokers, func(a, b brokerLine) int { return cmp.Compare(a.ID, b.ID) })
	return s.show(o, func(w io.Writer) error {
		health := topicLine{UnderReplicated: o.UnderReplicated, Leaderless: o.Leaderless}.health()
		controller := "none"
		if o.Controller >= 0 {
			controller = fmt.Sprintf("broker %d", o.Controller)
		}
		if _, err := fmt.Fprintf(w, "cluster     %s\ncontroller  %s\ntopics      %d\npartitions  %d (%s)\n\n", cmp.Or(o.ID, "-"), controller, o.Topics, o.Partitions, health); err != nil {
			return err
		}
		rows := make([][]string, len(o.Brokers))
		for i, b := range o.Brokers {
			rows[i] = []string{fmt.Sprint(b.ID), b.Host, fmt.Sprint(b.Port), b.Rack, fmt.Sprint(b.Leads), fmt.Sprint(b.Replicas)}
		}
		return Table(w, "BROKER HOST PORT RACK LEADS REPLICAS", rows)
	})
}

// featureLine is a feature of the cluster. Finalized is the level in use, null for none.
type featureLine struct {
	Name      string `json:"name"`
	Min       int16  `json:"min"`
	Max       int16  `json:"max"`
	Finalized *int16 `json:"finalized"`
}

// versions asks a broker for its APIs and features.
func (s *session) versions(ctx context.Context) (*kmsg.ApiVersionsResponse, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = clientID, softwareVersion
	resp, err := req.RequestWith(ctx, s.cl)
	if err != nil {
		return nil, err
	}
	return resp, brokerError("the broker's API versions", resp.ErrorCode, nil)
}

func newFeaturesCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "features",
		Short: "Show the features a broker supports and the levels in use",
		Args:  exactly(),
	}
	cmd.RunE = c.admin(nil, func(ctx context.Context, s *session, _ []string) error {
		resp, err := s.versions(ctx)
		if err != nil {
			return err
		}
		list := features(resp)
		return s.show(list, func(w io.Writer) error {
			rows := make([][]string, len(list))
			for i, f := range list {
				finalized := ""
				if f.Finalized != nil {
					finalized = fmt.Sprint(*f.Finalized)
				}
				rows[i] = []string{f.Name, fmt.Sprint(f.Min), fmt.Sprint(f.Max), finalized}
			}
			return Table(w, "FEATURE MIN MAX FINALIZED", rows)
		})
	})
	return cmd
}

func features(resp *kmsg.ApiVersionsResponse) []featureLine {
	byName := make(map[string]*featureLine)
	for _, f := range resp.SupportedFeatures {
		byName[f.Name] = &featureLine{Name: f.Name, Min: f.MinVersion, Max: f.MaxVersion}
	}
	for _, f := range resp.FinalizedFeatures {
		if byName[f.Name] == nil {
			byName[f.Name] = &featureLine{Name: f.Name}
		}
		byName[f.Name].Finalized = &f.MaxVersionLevel
	}
	list := []featureLine{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, *byName[name])
	}
	return list
}

func newAPIsCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apis",
		Short: "Show the APIs a broker serves and their versions",
		Args:  exactly(),
	}
	cmd.RunE = c.admin(nil, func(ctx context.Context, s *session, _ []string) error {
		resp, err := s.versions(ctx)
		if err != nil {
			return err
		}
		type apiLine struct {
			Key  int16  `json:"key"`
			Name string `json:"name"`
			Min  int16  `json:"min"`
			Max  int16  `json:"max"`
		}
		list := []apiLine{}
		for _, k := range resp.ApiKeys {
			list = append(list, apiLine{k.ApiKey, apiName(k.ApiKey), k.MinVersion, k.MaxVersion})
		}
		slices.SortFunc(list, func(a, b apiLine) int { return cmp.Compare(a.Key, b.Key) })
		return s.show(list, func(w io.Writer) error {
			rows := make([][]string, len(list))
			for i, k := range list {
				rows[i] = []string{fmt.Sprint(k.Key), k.Name, fmt.Sprint(k.Min), fmt.Sprint(k.Max)}
			}
			return Table(w, "KEY API MIN MAX", rows)
		})
	})
	return cmd
}

// logDirLine is a log directory of a broker; sizes are in bytes, -1 if unknown.
type logDirLine struct {
	Broker     int32  `json:"broker"`
	Dir        string `json:"dir"`
	Error      string `json:"error,omitempty"`
	Partitions int    `json:"partitions"`
	Size       int64  `json:"size"`
	VolumeSize int64  `json:"volume_size"`
	VolumeFree int64  `json:"volume_free"`
}

func newLogDirsCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log-dirs",
		Short: "Show the log directories of the brokers, what they hold and what is free",
		Args:  exactly(),
	}
	cmd.RunE = c.admin(nil, func(ctx context.Context, s *session, _ []string) error {
		if err := s.need(ctx, "describing log directories", kmsg.DescribeLogDirs); err != nil {
			return err
		}
		brokers, err := s.adm.DescribeAllLogDirs(ctx, nil)
		if err != nil {
			return err
		}
		list := []logDirLine{}
		for _, dirs := range brokers {
			for _, d := range dirs {
				line := logDirLine{Broker: d.Broker, Dir: d.Dir, Size: d.Size(), VolumeSize: d.TotalBytes, VolumeFree: d.UsableBytes}
				for _, partitions := range d.Topics {
					line.Partitions += len(partitions)
				}
				if d.Err != nil {
					line.Error = d.Err.Error()
				}
				list = append(list, line)
			}
		}
		slices.SortFunc(list, func(a, b logDirLine) int {
			return cmp.Or(cmp.Compare(a.Broker, b.Broker), strings.Compare(a.Dir, b.Dir))
		})
		return s.show(list, func(w io.Writer) error {
			rows := make([][]string, len(list))
			for i, d := range list {
				rows[i] = []string{fmt.Sprint(d.Broker), d.Dir, fmt.Sprint(d.Partitions), byteSize(d.Size), byteSize(d.VolumeSize), byteSize(d.VolumeFree), cmp.Or(d.Error, "ok")}
			}
			return Table(w, "BROKER DIRECTORY PARTITIONS SIZE VOLUME FREE HEALTH", rows)
		})
	})
	return cmd
}

// byteSize prints bytes for people, "" if unknown.
func byteSize(n int64) string {
	if n < 0 {
		return ""
	}
	return humanize.IBytes(uint64(n))
}
