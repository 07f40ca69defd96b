package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"kserver/cmd/kserver/internal/cli/record"
)

const (
	defaultMaxMessageBytes = 1 << 20
	leastMaxMessageBytes   = 1 << 10
	mostMaxMessageBytes    = 90 << 20 // what fits into one request of the client
	// maxBufferedBytes bounds the records read and not yet acknowledged.
	maxBufferedBytes = 128 << 20
	// unknownTopicRetries is how often to ask again for a topic the broker is about to create.
	unknownTopicRetries = 8
	anyPartition        = -1
)

const produceHelp = `Produce sends records to a topic: the lines of standard input or of files, each as a
record, or one record given by --value. It ends well only after the broker has
acknowledged every record.

A line is a value; with --key-separator it is key and value. With --input json it is an
object {"key":..., "value":..., "headers":..., "timestamp":...} of which every field may be
missing: a string stands for its bytes, null for null, other JSON for its own text;
key_base64 and value_base64 hold bytes that are no text; headers are an object or a list of
{"key":..., "value":...}. That is also what consume --output json prints.

A topic that does not exist is created by brokers that have auto.create.topics.enable.`

const produceExample = `  kserver produce orders --key 42 --value paid
  seq 5 | kserver produce numbers
  kserver produce users --file users.txt --key-separator ':' --compression zstd
  echo '{"key":"42","value":{"state":"paid"},"headers":{"source":"shop"}}' | kserver produce orders -i json
  kserver produce users --key 42 --value '' --null ''          # a tombstone
  kserver consume orders -e -o json | kserver produce copy -i json`

// produceOptions are the flags of produce.
type produceOptions struct {
	key, value          string
	keySeparator        string
	delimiter           string
	headers             []string
	partition           int32
	compression         string
	acks                string
	input               string
	files               []string
	whole               bool
	null                string
	maxMessageBytes     int
	hasKey, hasValue    bool
	hasNull, hasKeySepr bool
}

func newProduceCommand(environ []string) *cobra.Command {
	var o produceOptions
	cmd := &cobra.Command{
		Use:     "produce TOPIC",
		Short:   "Send records, from lines of text or JSON",
		Long:    produceHelp,
		Example: produceExample,
		Args:    exactly("topic"),
	}
	c := newConnection(cmd, environ)
	cmd.ValidArgsFunction = c.topicNames(1)
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.value, "value", "v", "", "send one record with this `text` as its value, read nothing")
	f.StringVarP(&o.key, "key", "k", "", "the key `text` of every record")
	f.StringVarP(&o.keySeparator, "key-separator", "K", "", "the `text` between key and value of a line, such as : or \\t")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "a header of every record, as `name=value`; may be repeated")
	f.Int32VarP(&o.partition, "partition", "p", anyPartition, "the `number` of the partition to send to; -1 is by key as Java clients do, without a key any")
	f.StringVarP(&o.compression, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	f.StringVarP(&o.acks, "acks", "a", "all", "who has to have a record before it counts as sent: all replicas in sync, 1 for the leader, 0 for nobody")
	f.StringVarP(&o.input, "input", "i", outputText, "what a line is: text or json")
	f.StringArrayVarP(&o.files, "file", "f", nil, "read this `file` instead of standard input, which is -; may be repeated")
	f.StringVarP(&o.delimiter, "delimiter", "D", "\\n", "the `text` that ends a record of text")
	f.BoolVar(&o.whole, "whole", false, "the whole of a file, or of standard input, is the value of one record")
	f.StringVar(&o.null, "null", "", "a key or value that is this `text` is sent as null")
	f.IntVar(&o.maxMessageBytes, "max-message-bytes", defaultMaxMessageBytes, "send batches of at most so many `bytes`; the topic's max.message.bytes has to allow it")
	f.StringVarP(&c.output, "output", "o", "", "print where each record went, as text (partition and offset) or json")
	completeWith(cmd, "compression", "none", "gzip", "snappy", "lz4", "zstd")
	completeWith(cmd, "acks", "all", "1", "0")
	completeWith(cmd, "input", outputText, outputJSON)
	completeWith(cmd, "output", outputText, outputJSON)
	cmd.RunE = c.run(func(s *session, args []string) error {
		o.hasKey, o.hasValue = f.Changed("key"), f.Changed("value")
		o.hasNull, o.hasKeySepr = f.Changed("null"), f.Changed("key-separator")
		return s.produce(args[0], o)
	})
	return cmd
}

// check refuses flags that contradict each other.
func (o produceOptions) check(output string) error {
	switch {
	case o.input != outputText && o.input != outputJSON:
		return usagef("--input %s: give text or json", o.input)
	case output != "" && output != outputText && output != outputJSON:
		return usagef("--output %s: give text or json", output)
	case o.hasKeySepr && o.keySeparator == "":
		return usagef("--key-separator is empty")
	case o.hasKeySepr && o.hasKey:
		return usagef("--key and --key-separator contradict each other")
	case o.hasKeySepr && (o.input == outputJSON || o.whole || o.hasValue):
		return usagef("--key-separator is for lines of text")
	case o.whole && o.input == outputJSON:
		return usagef("--whole and --input json contradict each other")
	case o.hasValue && (len(o.files) > 0 || o.whole || o.input == outputJSON):
		return usagef("--value is a record of its own: no --file, --whole or --input json goes with it")
	case o.partition < anyPartition:
		return usagef("--partition %d: give a partition's number", o.partition)
	case o.maxMessageBytes < leastMaxMessageBytes || o.maxMessageBytes > mostMaxMessageBytes:
		return usagef("--max-message-bytes %d: give a number from %d to %d", o.maxMessageBytes, leastMaxMessageBytes, mostMaxMessageBytes)
	}
	return nil
}

// reading is how records are to be read.
func (o produceOptions) reading() (record.Input, error) {
	in := record.Input{JSON: o.input == outputJSON, Whole: o.whole, MaxBytes: o.maxMessageBytes}
	if o.hasNull {
		in.Null = &o.null
	}
	var err error
	if in.KeySeparator, err = record.Unescape(o.keySeparator); err != nil {
		return in, usagef("--key-separator: %w", err)
	}
	if in.Delimiter, err = record.Unescape(o.delimiter); err != nil {
		return in, usagef("--delimiter: %w", err)
	}
	if len(in.Delimiter) == 0 {
		return in, usagef("--delimiter is empty; --whole makes one record of everything")
	}
	if in.JSON {
		in.Delimiter = []byte("\n")
	}
	return in, nil
}

// sending are the client's options.
func (o produceOptions) sending() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(unknownTopicRetries),
		kgo.ProducerBatchMaxBytes(int32(o.maxMessageBytes)), kgo.MaxBufferedBytes(maxBufferedBytes),
	}
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, ok := codecs[o.compression]
	if !ok {
		return nil, usagef("--compression %s: give none, gzip, snappy, lz4 or zstd", o.compression)
	}
	opts = append(opts, kgo.ProducerBatchCompression(codec))
	switch o.acks {
	case "all", "-1":
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, usagef("--acks %s: give all, 1 or 0", o.acks)
	}
	if o.partition != anyPartition {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	return opts, nil
}

// finish gives a record what the flags say of every record.
func (o produceOptions) finish(r *kgo.Record, topic string, headers []kgo.RecordHeader) {
	r.Topic = topic
	if o.hasKey && (!o.hasNull || o.key != o.null) {
		r.Key = []byte(o.key)
	}
	if o.partition != anyPartition {
		r.Partition = o.partition
	}
	r.Headers = append(r.Headers, headers...)
}

func (s *session) produce(topic string, o produceOptions) error {
	if err := o.check(s.conn.output); err != nil {
		return err
	}
	in, err := o.reading()
	if err != nil {
		return err
	}
	opts, err := o.sending()
	if err != nil {
		return err
	}
	var headers []kgo.RecordHeader
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return usagef("--header %s: give it as name=value", h)
		}
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	if err := s.open(s.signals, opts...); err != nil {
		return err
	}
	if o.partition != anyPartition {
		if err := s.checkPartition(topic, o.partition); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(s.signals)
	defer cancel()
	sent := newSender(s, cancel)
	defer sent.alarm.Stop()
	send := func(r *kgo.Record) {
		o.finish(r, topic, headers)
		sent.send(ctx, r)
	}
	if o.hasValue {
		r := &kgo.Record{Value: []byte(o.value)}
		if o.hasNull && o.value == o.null {
			r.Value = nil
		}
		send(r)
	} else {
		err = s.readAll(ctx, o.files, in, send)
	}
	return errors.Join(sent.finish(ctx, s.signals), err)
}

// checkPartition refuses a partition that an existing topic does not have.
func (s *session) checkPartition(topic string, partition int32) error {
	ctx, cancel := context.WithTimeout(s.signals, s.conn.timeout)
	defer cancel()
	details, err := s.adm.ListTopicsWithInternal(ctx, topic)
	if err != nil {
		return err
	}
	if t := details[topic]; t.Err == nil && int(partition) >= len(t.Partitions) {
		return noPartition(topic, partition, len(t.Partitions))
	}
	return nil
}

func noPartition(topic string, partition int32, partitions int) error {
	return failf(ExitNotFound, "topic %s has no partition %d, only 0 to %d", topic, partition, partitions-1)
}

// readAll reads the files, or standard input if there are none, and sends each record. It returns early when ctx
// ends, even while a read waits for a terminal.
func (s *session) readAll(ctx context.Context, files []string, in record.Input, send func(*kgo.Record)) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		src, in := s.cmd.InOrStdin(), in
		in.Name = "standard input"
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return failf(ExitFailed, "%w", err)
			}
			defer f.Close()
			src, in.Name = f, name
		} else if onTerminal(src) {
			s.note("type records, one a line; Ctrl-D ends")
		}
		if err := readEach(ctx, record.NewReader(src, in), send); err != nil {
			return err
		}
	}
	return nil
}

// readEach hands over each record until the reader's end or ctx's. After the latter the goroutine that reads stays
// in its read until the process ends: nothing can call a read of a terminal back.
func readEach(ctx context.Context, r *record.Reader, send func(*kgo.Record)) error {
	type next struct {
		r   *kgo.Record
		err error
	}
	records := make(chan next)
	go func() {
		for {
			rec, err := r.Next()
			select {
			case records <- next{rec, err}:
				if err != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil // the failure or the signal is told by who ended ctx
		case n := <-records:
			if errors.Is(n.err, io.EOF) {
				return nil
			}
			if n.err != nil {
				return failf(ExitFailed, "%w", n.err)
			}
			send(n.r)
		}
	}
}

// onTerminal reports whether someone types what is read from r.
func onTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// sender sends records and prints where they went.
//
// The client bounds the delivery of a record by its timestamp, which is of no use for records with timestamps of
// their own. So the sender has an alarm: it goes off when records wait and none has been acknowledged for --timeout.
type sender struct {
	cl      *kgo.Client
	output  string
	failed  context.CancelFunc
	alarm   *time.Timer
	timeout time.Duration

	mu  sync.Mutex
	out *bufio.Writer
	err error // the first failure
}

// newSender makes a sender; failed is called at the first failure.
func newSender(s *session, failed context.CancelFunc) *sender {
	sent := &sender{cl: s.cl, out: bufio.NewWriter(s.cmd.OutOrStdout()), output: s.conn.output, failed: failed, timeout: s.conn.timeout}
	sent.alarm = time.AfterFunc(sent.timeout, func() {
		if sent.cl.BufferedProduceRecords() > 0 {
			sent.fail(context.DeadlineExceeded)
		}
	})
	return sent
}

// send hands a record to the client, waiting while too many are under way.
func (s *sender) send(ctx context.Context, r *kgo.Record) {
	s.alarm.Reset(s.timeout)
	s.cl.Produce(ctx, r, s.acknowledged)
}

// acknowledged takes the fate of a record, on the client's goroutine.
func (s *sender) acknowledged(r *kgo.Record, err error) {
	if err != nil {
		s.fail(sendError(r, err))
		return
	}
	s.alarm.Reset(s.timeout)
	s.mu.Lock()
	err = s.report(r)
	s.mu.Unlock()
	if err != nil {
		s.fail(err)
	}
}

// fail keeps the first failure and ends the sending.
func (s *sender) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.failed()
	}
}

func (s *sender) report(r *kgo.Record) error {
	var err error
	switch s.output {
	case outputText:
		_, err = fmt.Fprintf(s.out, "%s\t%d\t%d\n", r.Topic, r.Partition, r.Offset)
	case outputJSON:
		_, err = fmt.Fprintf(s.out, "{\"topic\":%q,\"partition\":%d,\"offset\":%d,\"timestamp\":%d}\n", r.Topic, r.Partition, r.Offset, r.Timestamp.UnixMilli())
	}
	if err == nil && s.cl.BufferedProduceRecords() <= 1 {
		err = s.out.Flush() // somebody may be waiting for it
	}
	return err
}

// sendError says why a record was not sent.
func sendError(r *kgo.Record, err error) error {
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return failf(ExitNotFound, "there is no topic %s, and the broker does not create topics by itself; kserver topic create %s does", r.Topic, r.Topic)
	case errors.Is(err, kerr.MessageTooLarge):
		return failf(ExitFailed, "a record of %d bytes is more than --max-message-bytes or the topic's max.message.bytes allows", len(r.Key)+len(r.Value))
	}
	return answerError("topic "+r.Topic, err, "")
}

// finish waits for what is under way, until a failure or a signal ends ctx, and returns the first failure.
func (s *sender) finish(ctx, signals context.Context) error {
	flushed := s.cl.Flush(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	printed := s.out.Flush()
	switch {
	case signals.Err() != nil:
		return failf(ExitInterrupted, "interrupted")
	case s.err != nil:
		return s.err
	}
	return errors.Join(flushed, printed)
}
