package floor

import (
	"encoding/binary"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

// fetchVersion is the one version served: the last that names topics.
const fetchVersion = 12

// fetch answers with the records of the first partition that has any, and with nothing of the others. It does not
// wait for more.
func (c *conn) fetch(corr uint32, body []byte) error {
	req := kmsg.NewPtrFetchRequest()
	req.Version = fetchVersion
	r := &c.reader
	r.Src = body
	skipTags(r)
	if err := req.ReadFrom(r.Src); err != nil {
		return err
	}
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = fetchVersion
	var from *partition
	var position, length int64
	for _, rt := range req.Topics {
		t := kmsg.NewFetchResponseTopic()
		t.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition = rp.Partition
			log := c.server.partition(rt.Topic, rp.Partition)
			if log == nil {
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code
			} else {
				at, size, next := log.find(rp.FetchOffset)
				p.HighWatermark, p.LastStableOffset, p.LogStartOffset = next, next, 0
				if from == nil && at < size {
					from, position = log, at
					length = min(size-at, int64(min(rp.PartitionMaxBytes, req.MaxBytes)))
					// The records come last in the answer, so this partition and its topic must, too.
					resp.Topics = append(resp.Topics, kmsg.FetchResponseTopic{Topic: rt.Topic, Partitions: []kmsg.FetchResponseTopicPartition{p}})
					continue
				}
			}
			t.Partitions = append(t.Partitions, p)
		}
		if len(t.Partitions) > 0 {
			resp.Topics = append([]kmsg.FetchResponseTopic{t}, resp.Topics...)
		}
	}
	if from == nil {
		c.answer(corr, resp)
		return nil
	}
	return c.sendRecords(corr, resp, from, position, length)
}

// fetchTail is what follows the records of the last partition: no tags of the partition, the topic, the response.
var fetchTail = []byte{0, 0, 0}

// sendRecords sends the answer with length bytes of a file as the records of its last partition.
func (c *conn) sendRecords(corr uint32, resp *kmsg.FetchResponse, p *partition, position, length int64) error {
	t := &resp.Topics[len(resp.Topics)-1]
	t.Partitions[len(t.Partitions)-1].RecordBatches = nil
	start := len(c.out)
	c.answer(corr, resp)
	const none = 1 // bytes that say there are no records
	c.out = c.out[:len(c.out)-none-len(fetchTail)]
	c.out = binary.AppendUvarint(c.out, uint64(length)+1)
	size := len(c.out) - start - 4 + int(length) + len(fetchTail)
	binary.BigEndian.PutUint32(c.out[start:], uint32(size))
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		return err
	}
	left := int(length)
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		// The head waits in the kernel for the first of the file, so that both leave together.
		for len(c.out) > 0 && sendErr == nil {
			var n int
			if n, sendErr = unix.SendmsgN(int(fd), c.out, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL); sendErr == nil {
				c.out = c.out[:copy(c.out, c.out[n:])]
			}
		}
		for left > 0 && sendErr == nil {
			var n int
			if n, sendErr = unix.Sendfile(int(fd), int(p.file.Fd()), &position, left); sendErr == nil {
				if left -= n; n == 0 {
					sendErr = errors.New("a log file is shorter than what was written to it")
				}
			}
		}
		if sendErr == unix.EAGAIN || sendErr == unix.EINTR {
			sendErr = nil
			return false
		}
		return true
	})
	c.out = append(c.out, fetchTail...)
	return errors.Join(err, sendErr)
}
