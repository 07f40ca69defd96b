package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"kserver/cmd/kserver/internal/cli/record"
)

const (
	// pollPause bounds a wait for records, so that the end of the work is noticed without any.
	pollPause = time.Second
	// quietLimit ends a wait for a last record that never comes because compaction has removed it.
	quietLimit = 30 * time.Second
	// pollRecords bounds the records taken from the client at once.
	pollRecords = 10000
)

const consumeHelp = `Consume prints the records of topics. Without flags it begins at the first record, prints
values, one a line, and goes on as records arrive until it is interrupted.

With --group it is a member of a consumer group: it shares the partitions with the other
members, begins where the group stopped, and commits what it has printed. --from then says
where to begin in partitions the group has no offset of.

Positions of --from and --until are written as
` + positionHelp + `

A --format is printed for each record as it stands, but for
` + record.FormatHelp

const consumeExample = `  kserver consume orders
  kserver consume orders --from -10 --exit-at-end
  kserver consume orders --from @1h --columns time,key,value
  kserver consume orders -p 0 --from 1200 -n 1 --format '%t/%p@%o %k=%s\n'
  kserver consume orders --from @2024-05-31 --until @2024-06-01 --output json
  kserver consume orders --group billing`

// consumeOptions are the flags of consume.
type consumeOptions struct {
	group       string
	partitions  []int32
	from, until string
	exitAtEnd   bool
	count       int64
	format      string
	columns     []string
	null        string
	uncommitted bool
}

func newConsumeCommand(environ []string) *cobra.Command {
	var o consumeOptions
	cmd := &cobra.Command{
		Use:     "consume TOPIC...",
		Short:   "Print records, as text or JSON",
		Long:    consumeHelp,
		Example: consumeExample,
		Args:    names("topic"),
	}
	c := newConnection(cmd, environ)
	cmd.ValidArgsFunction = c.topicNames(0)
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.from, "from", "start", "the `position` to begin at")
	f.StringVar(&o.until, "until", "", "the `position` to end before")
	f.BoolVarP(&o.exitAtEnd, "exit-at-end", "e", false, "end where the partitions end now; --until end")
	f.Int64VarP(&o.count, "count", "n", 0, "end after this `number` of records")
	f.Int32SliceVarP(&o.partitions, "partition", "p", nil, "only these partitions, as `number,...`")
	f.StringVarP(&o.group, "group", "g", "", "consume as a member of this `group`")
	f.StringVarP(&c.output, "output", "o", outputText, "print text, or json, one object a line")
	f.StringSliceVarP(&o.columns, "columns", "c", []string{"value"}, "print these `names`, with tabs between them: "+strings.Join(record.ColumnNames(), ", ")+" or all")
	f.StringVarP(&o.format, "format", "f", "", "print each record as this `text` says")
	f.StringVar(&o.null, "null", "", "print this `text` for a key or value that is null")
	f.BoolVar(&o.uncommitted, "uncommitted", false, "print records of transactions too that are open or were aborted")
	completeWith(cmd, "output", outputText, outputJSON)
	completeWith(cmd, "from", "start", "end")
	completeWith(cmd, "columns", append(record.ColumnNames(), "all")...)
	complete(cmd, "group", c.groupNames(0))
	cmd.RunE = c.run(func(s *session, topics []string) error {
		slices.Sort(topics)
		topics = slices.Compact(topics)
		if f.Changed("columns") && o.format != "" {
			return usagef("--columns and --format contradict each other")
		}
		if s.conn.output == outputJSON && (f.Changed("columns") || f.Changed("format") || f.Changed("null")) {
			return usagef("--output json prints everything: no --columns, --format or --null goes with it")
		}
		return s.consume(topics, o)
	})
	return cmd
}

// consumption is what to read, once the flags are understood.
type consumption struct {
	topics      []string
	group       string
	partitions  []int32 // empty: all
	from, until position
	bounded     bool // until counts
	committed   bool
}

func (o consumeOptions) consumption(topics []string, now time.Time) (consumption, error) {
	c := consumption{topics: topics, group: o.group, partitions: o.partitions, committed: !o.uncommitted}
	var err error
	if c.from, err = parsePosition(o.from, now); err != nil {
		return c, usagef("--from: %w", err)
	}
	switch {
	case o.exitAtEnd && o.until != "":
		return c, usagef("--exit-at-end and --until contradict each other")
	case o.exitAtEnd:
		c.until, c.bounded = position{kind: atEnd}, true
	case o.until != "":
		if c.until, err = parsePosition(o.until, now); err != nil {
			return c, usagef("--until: %w", err)
		}
		c.bounded = true
	}
	switch {
	case o.group != "" && len(o.partitions) > 0:
		return c, usagef("--partition does not go with --group: a group gives out the partitions itself")
	case o.count < 0:
		return c, usagef("--count %d: give a number above 0", o.count)
	}
	return c, nil
}

// options are the client's options that do not depend on the partitions.
func (c consumption) options() []kgo.Opt {
	opts := []kgo.Opt{kgo.KeepControlRecords(), kgo.ConsumeResetOffset(c.from.kgo())}
	if c.committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	return opts
}

func (s *session) consume(topics []string, o consumeOptions) error {
	c, err := o.consumption(topics, time.Now())
	if err != nil {
		return err
	}
	p, err := newPrinter(bufio.NewWriter(s.cmd.OutOrStdout()), s.conn.output, o)
	if err != nil {
		return err
	}
	if err := s.open(s.signals); err != nil {
		return err
	}
	if c.group == "" {
		watched, err := s.assign(c)
		if err != nil {
			return err
		}
		s.watch.tell()
		return s.consumeAll(c, watched, p, func() error { return nil })
	}
	watched, mine, err := s.join(c)
	if err != nil {
		return err
	}
	s.watch.tell()
	err = s.consumeAll(c, watched, p, func() error { return s.follow(c, mine, watched) })
	return errors.Join(err, s.leave())
}

// assign begins to read partitions at the positions asked for.
func (s *session) assign(c consumption) (*progress, error) {
	ctx, cancel := context.WithTimeout(s.signals, s.conn.timeout)
	defer cancel()
	details, err := s.topics(ctx, c.topics...)
	if err != nil {
		return nil, err
	}
	for _, partition := range c.partitions {
		for _, topic := range c.topics {
			if n := len(details[topic].Partitions); partition < 0 || int(partition) >= n {
				return nil, noPartition(topic, partition, n)
			}
		}
	}
	e, err := s.extent(ctx, c.committed, c.topics...)
	if err != nil {
		return nil, err
	}
	from, outside, err := s.locate(ctx, c.from, e)
	if err != nil {
		return nil, err
	}
	until := make(offsets)
	if c.bounded {
		if until, _, err = s.locate(ctx, c.until, e); err != nil {
			return nil, err
		}
	}
	p := newProgress(c.bounded)
	p.started = true
	begin := make(map[string]map[int32]kgo.Offset)
	for topic, partitions := range from {
		begin[topic] = make(map[int32]kgo.Offset)
		for partition, offset := range partitions {
			if len(c.partitions) > 0 && !slices.Contains(c.partitions, partition) {
				continue
			}
			if _, out := outside.get(topic, partition); out {
				s.note("%s/%d holds offsets %d to %d; beginning at %d", topic, partition, e.start[topic][partition], e.end[topic][partition]-1, offset)
			}
			if p.add(topic, partition, offset, until[topic][partition]) {
				begin[topic][partition] = kgo.NewOffset().At(offset)
			}
		}
	}
	if p.done() {
		return p, nil
	}
	return p, s.open(ctx, append(c.options(), kgo.ConsumePartitions(begin))...)
}

// consumeAll prints what arrives until there is nothing left to print, or a signal. It calls follow each time
// around when there is an end to reach.
func (s *session) consumeAll(c consumption, watched *progress, p *printer, follow func() error) error {
	quiet := time.Now()
	for !watched.done() && !p.full() {
		ctx, cancel := context.WithTimeout(s.signals, pollPause)
		fetches := s.cl.PollRecords(ctx, int(min(p.left(), pollRecords)))
		cancel()
		if fetches.IsClientClosed() {
			return nil
		}
		for _, e := range fetches.Errors() {
			switch {
			case errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, context.Canceled):
			case isDataLoss(e.Err):
				s.note("%s/%d: records are missing: %v", e.Topic, e.Partition, e.Err)
			default:
				return errors.Join(fetchError(e.Topic, e.Err), p.flush())
			}
		}
		if fetches.NumRecords() > 0 {
			quiet = time.Now()
		}
		if err := s.printFetches(fetches, watched, p); err != nil {
			return err
		}
		if s.signals.Err() != nil {
			return nil // the end of whoever follows a topic
		}
		if c.bounded {
			if err := follow(); err != nil {
				return err
			}
		}
		if c.bounded && time.Since(quiet) > quietLimit && s.watch.trouble() == "" {
			s.note("no record for %s; the end asked for has no record before it any more", quietLimit)
			return nil
		}
	}
	return nil
}

// printFetches prints what is wanted of some records.
func (s *session) printFetches(fetches kgo.Fetches, watched *progress, p *printer) error {
	var err error
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		for _, r := range f.Records {
			if err != nil || p.full() {
				return
			}
			wanted, reached := watched.saw(r.Topic, r.Partition, r.Offset)
			if wanted && !r.Attrs.IsControl() {
				err = p.print(r)
			}
			if wanted {
				s.cl.MarkCommitRecords(r)
			}
			if reached {
				s.cl.PauseFetchPartitions(map[string][]int32{r.Topic: {r.Partition}})
			}
		}
	})
	return errors.Join(err, p.flush())
}

func isDataLoss(err error) bool {
	_, ok := errors.AsType[*kgo.ErrDataLoss](err)
	return ok
}

// fetchError says why reading ended.
func fetchError(topic string, err error) error {
	if session, ok := errors.AsType[*kgo.ErrGroupSession](err); ok {
		err = session.Err
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) {
		return failf(ExitNotFound, "topic %s does not exist any more", cmp.Or(topic, "consumed"))
	}
	if topic == "" {
		return err
	}
	return answerError("topic "+topic, err, "")
}

// printer prints records until it has printed enough.
type printer struct {
	out     *bufio.Writer
	format  *record.Formatter // nil: JSON
	buf     []byte
	limit   int64 // 0: none
	printed int64
}

func newPrinter(out *bufio.Writer, output string, o consumeOptions) (*printer, error) {
	p := &printer{out: out, limit: o.count}
	switch output {
	case outputJSON:
		return p, nil
	case outputText:
	default:
		return nil, usagef("--output %s: give text or json", output)
	}
	format := o.format
	if format == "" {
		var err error
		if format, err = record.ColumnFormat(o.columns); err != nil {
			return nil, usagef("--columns: %w", err)
		}
	}
	var err error
	if p.format, err = record.NewFormatter(format, o.null); err != nil {
		return nil, usagef("--format: %w", err)
	}
	return p, nil
}

func (p *printer) print(r *kgo.Record) (err error) {
	if p.format != nil {
		p.buf = p.format.Append(p.buf[:0], r)
	} else if p.buf, err = record.AppendJSON(p.buf[:0], r); err != nil {
		return fmt.Errorf("%s/%d at offset %d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	p.printed++
	_, err = p.out.Write(p.buf)
	return err
}

func (p *printer) flush() error { return p.out.Flush() }

// full reports whether enough is printed.
func (p *printer) full() bool { return p.limit > 0 && p.printed >= p.limit }

// left is how many records may still be printed.
func (p *printer) left() int64 {
	if p.limit == 0 {
		return pollRecords
	}
	return p.limit - p.printed
}
