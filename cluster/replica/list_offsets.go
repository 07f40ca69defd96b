package replica

import "kserver/protocol"

// Positions that a ListOffsets request may name instead of a time.
const (
	LatestTimestamp                = -1
	EarliestTimestamp              = -2
	MaxTimestamp                   = -3 // KIP-734
	EarliestLocalTimestamp         = -4 // KIP-405
	LatestTieredTimestamp          = -5 // KIP-1005
	EarliestPendingUploadTimestamp = -6 // KIP-1023
)

// OffsetAndTimestamp answers a lookup. Offset, Timestamp and LeaderEpoch are -1
// when there is nothing to say.
type OffsetAndTimestamp struct {
	Offset      int64
	Timestamp   int64 // ms
	LeaderEpoch int32
}

var nothingFound = OffsetAndTimestamp{Offset: -1, Timestamp: -1, LeaderEpoch: -1}

// ListOffset finds the offset of a timestamp (ms), or of a named position. It
// may read the log. Without tiered storage "local" is everything and "tiered"
// nothing.
func (p *Partition) ListOffset(timestamp int64, currentLeaderEpoch int32, iso Isolation) (OffsetAndTimestamp, *protocol.Error) {
	if err := p.checkLeader(currentLeaderEpoch); err != nil {
		return nothingFound, err
	}
	bound := p.readBound(iso)
	switch timestamp {
	case LatestTimestamp:
		return OffsetAndTimestamp{Offset: bound, Timestamp: -1, LeaderEpoch: p.leadership.Load().LeaderEpoch}, nil
	case EarliestTimestamp, EarliestLocalTimestamp:
		start := p.log.LogStartOffset()
		epoch := p.log.EpochForOffset(start)
		if start == p.log.LogEndOffset() {
			epoch = p.leadership.Load().LeaderEpoch // of the record that will be there
		}
		return OffsetAndTimestamp{Offset: start, Timestamp: -1, LeaderEpoch: epoch}, nil
	case LatestTieredTimestamp, EarliestPendingUploadTimestamp:
		return nothingFound, nil
	}
	if timestamp < 0 && timestamp != MaxTimestamp {
		return nothingFound, ErrUnsupportedTimestamp
	}
	var found OffsetAndTimestamp
	var ok bool
	var err error
	if timestamp == MaxTimestamp {
		found.Offset, found.Timestamp, found.LeaderEpoch, ok, err = p.log.MaxTimestampOffset(bound)
	} else {
		found.Offset, found.Timestamp, found.LeaderEpoch, ok, err = p.log.OffsetForTimestamp(timestamp, bound)
	}
	switch {
	case err != nil:
		return nothingFound, KafkaError(err)
	case !ok || found.Offset >= bound:
		return nothingFound, nil
	}
	return found, nil
}

// EpochEndOffset answers OffsetForLeaderEpoch: the largest epoch not newer than
// the requested one, and the offset where it ends (exclusive). Both are -1 when
// the requested epoch is newer than all.
func (p *Partition) EpochEndOffset(requested, currentLeaderEpoch int32) (protocol.EpochEndOffset, *protocol.Error) {
	if err := p.checkLeader(currentLeaderEpoch); err != nil {
		return protocol.EpochEndOffset{Epoch: -1, EndOffset: -1}, err
	}
	epoch, end := p.endOfEpoch(requested)
	return protocol.EpochEndOffset{Epoch: epoch, EndOffset: end}, nil
}

// endOfEpoch is the log's answer, or the log end for the epoch this broker leads
// in, which the log knows from its first append on.
func (p *Partition) endOfEpoch(epoch int32) (found int32, end int64) {
	if epoch == p.leadership.Load().LeaderEpoch {
		return epoch, p.log.LogEndOffset()
	}
	return p.log.EndOffsetForEpoch(epoch)
}
