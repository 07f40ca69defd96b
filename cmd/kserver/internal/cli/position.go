package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// positionHelp says how to write a position.
const positionHelp = `  start, end     the first record there is, or behind the last
  1234           the record with this offset
  -10            the last 10 records of each partition
  @2024-05-31    from this time on; also @2024-05-31T12:00, @2024-05-31T12:00:00Z,
                 @1717113600000 (ms since 1970) and @90m (90 minutes ago). Without
                 a zone it is local time`

type positionKind uint8

const (
	atStart positionKind = iota
	atEnd
	atOffset
	beforeEnd
	atTime
)

// position is a place in every partition of a topic.
type position struct {
	kind   positionKind
	offset int64     // of atOffset; of beforeEnd how far before
	time   time.Time // of atTime
}

// parsePosition reads a position; positionHelp says how it is written. now is what times ago count from.
func parsePosition(text string, now time.Time) (position, error) {
	switch text {
	case "start", "beginning", "earliest":
		return position{kind: atStart}, nil
	case "end", "latest":
		return position{kind: atEnd}, nil
	}
	if at, ok := strings.CutPrefix(text, "@"); ok {
		t, err := parseTime(at, now)
		return position{kind: atTime, time: t}, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return position{}, fmt.Errorf("%q is no position; give start, end, an offset, -N for the last N records, or @TIME", text)
	case strings.HasPrefix(text, "-"):
		return position{kind: beforeEnd, offset: -n}, nil
	}
	return position{kind: atOffset, offset: n}, nil
}

// timeLayouts are the ways to write a date; those without a zone mean local time.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly,
}

// parseTime reads a date, milliseconds since 1970, or a duration before now.
func parseTime(text string, now time.Time) (time.Time, error) {
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 {
		return time.UnixMilli(ms), nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time; give a date such as 2024-05-31T12:00:00Z, milliseconds since 1970, or how long ago, such as 90m", text)
}

// at is the offset of the position in a partition that begins at start and ends before end; timed is the offset of
// the first record not older than the position's time. outside tells that the partition does not reach to the
// position, so that its nearest end was taken.
func (p position) at(start, end, timed int64) (offset int64, outside bool) {
	switch p.kind {
	case atEnd:
		return end, false
	case atOffset:
		offset = min(max(p.offset, start), end)
		return offset, offset != p.offset
	case beforeEnd:
		return max(end-p.offset, start), false
	case atTime:
		return min(max(timed, start), end), false
	}
	return start, false
}

// kgo is the position for the client library, for partitions a group has no offset of.
func (p position) kgo() kgo.Offset {
	o := kgo.NewOffset()
	switch p.kind {
	case atEnd:
		return o.AtEnd()
	case atOffset:
		return o.At(p.offset)
	case beforeEnd:
		return o.AtEnd().Relative(-p.offset)
	case atTime:
		return o.AfterMilli(p.time.UnixMilli())
	}
	return o.AtStart()
}

// offsets are places in partitions, by topic and partition.
type offsets map[string]map[int32]int64

func (o offsets) set(topic string, partition int32, offset int64) {
	if o[topic] == nil {
		o[topic] = make(map[int32]int64)
	}
	o[topic][partition] = offset
}

func (o offsets) get(topic string, partition int32) (int64, bool) {
	offset, ok := o[topic][partition]
	return offset, ok
}

// known are the listed offsets without errors; the first error is returned too.
func known(listed kadm.ListedOffsets) (offsets, error) {
	o := make(offsets)
	var first error
	listed.Each(func(l kadm.ListedOffset) {
		if l.Err != nil {
			if first == nil {
				first = topicError(l.Topic, l.Err, "")
			}
			return
		}
		o.set(l.Topic, l.Partition, l.Offset)
	})
	return o, first
}

// extent is where partitions begin and end.
type extent struct{ start, end offsets }

// extent asks for it. With committed, partitions end before the first record of a transaction that is open.
func (s *session) extent(ctx context.Context, committed bool, topics ...string) (extent, error) {
	var e extent
	listed, err := s.adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return e, err
	}
	if e.start, err = known(listed); err != nil {
		return e, err
	}
	list := s.adm.ListEndOffsets
	if committed {
		list = s.adm.ListCommittedOffsets
	}
	if listed, err = list(ctx, topics...); err != nil {
		return e, err
	}
	e.end, err = known(listed)
	return e, err
}

// locate finds a position in every partition of an extent. outside has the partitions that do not reach to it.
func (s *session) locate(ctx context.Context, p position, e extent) (found, outside offsets, err error) {
	timed := make(offsets)
	if p.kind == atTime {
		topics := make([]string, 0, len(e.start))
		for topic := range e.start {
			topics = append(topics, topic)
		}
		listed, err := s.adm.ListOffsetsAfterMilli(ctx, p.time.UnixMilli(), topics...)
		if err != nil {
			return nil, nil, err
		}
		if timed, err = known(listed); err != nil {
			return nil, nil, err
		}
	}
	found, outside = make(offsets), make(offsets)
	for topic, partitions := range e.start {
		for partition, start := range partitions {
			end, ok := e.end.get(topic, partition)
			if !ok {
				continue // made in this moment
			}
			first, ok := timed.get(topic, partition)
			if !ok {
				first = end
			}
			offset, out := p.at(start, end, first)
			found.set(topic, partition, offset)
			if out {
				outside.set(topic, partition, offset)
			}
		}
	}
	return found, outside, nil
}
