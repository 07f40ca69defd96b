package main

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/internal/hostile"
)

const (
	announced = 100 << 20 // of the frames that never come: the largest the broker takes
	// slowInterval is the time between two bytes of a slow writer.
	slowInterval = 20 * time.Millisecond
	// mostSlow is how many peers are slow at the same time.
	mostSlow = 1000
	// unreadRequests is how often a peer that reads nothing asks for a large answer.
	unreadRequests = 200
	// floodRequests is how many requests a flood sends before it looks at the answers.
	floodRequests = 500
)

// opened dials n connections from several goroutines and hands each to f, which owns it.
func (a *attack) opened(n int, f func(c *net.TCPConn, rng *rand.Rand)) {
	a.each(n, func(_ *session, rng *rand.Rand) {
		if c := a.dial(); c != nil {
			f(c, rng)
		}
	})
}

// lengths announces frames. Possible ones are held open, a few bytes in; impossible ones must be refused.
func (a *attack) lengths(n int) {
	impossible := []int32{-1, math.MinInt32, math.MaxInt32, 0, 1, announced + 1, 1 << 30}
	a.opened(n, func(c *net.TCPConn, rng *rand.Rand) {
		if rng.IntN(10) == 0 {
			s := newSession(a)
			s.conn = c
			s.send(append(binary.BigEndian.AppendUint32(nil, uint32(impossible[rng.IntN(len(impossible))])), hostile.RandomBytes(rng, rng.IntN(64))...))
			s.reset()
			return
		}
		p := binary.BigEndian.AppendUint32(nil, announced)
		switch rng.IntN(3) {
		case 0: // a Produce request that promises much
			p = append(p, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1, 'h')
		case 1:
			p = append(p, hostile.RandomBytes(rng, rng.IntN(2000))...)
		default:
			p = p[:1+rng.IntN(4)] // not even the length is whole
		}
		a.hold(c, p)
	})
}

// hold sends p and keeps the connection to the end.
func (a *attack) hold(c net.Conn, p []byte) {
	if _, err := c.Write(p); err != nil {
		a.closed.Add(1)
		reset(c)
		return
	}
	a.silent.Add(1)
	a.holds.add(c)
}

// halfOpen connects and says nothing, or ends its side without or within a request.
func (a *attack) halfOpen(n int) {
	a.opened(n, func(c *net.TCPConn, rng *rand.Rand) {
		var p []byte
		if rng.IntN(2) == 0 {
			p = hostile.Encode(kmsg.NewPtrApiVersionsRequest(), 0)
			p = p[:rng.IntN(len(p)+1)]
		}
		a.hold(c, p)
		if rng.IntN(2) == 0 {
			_ = c.CloseWrite() // the broker may have closed already
		}
	})
}

// slow writes a valid request byte by byte for as long as the attack lasts.
func (a *attack) slow(n int) {
	type writer struct {
		c    net.Conn
		rest []byte
	}
	var mu sync.Mutex
	var writers []writer
	a.opened(n, func(c *net.TCPConn, rng *rand.Rand) {
		a.hold(c, nil)
		p := hostile.Encode(hostile.Request(rng), rng.Int32())
		mu.Lock()
		defer mu.Unlock()
		if writers = append(writers, writer{c, p}); len(writers) > mostSlow {
			writers = writers[1:]
		}
	})
	a.holds.wg.Go(func() {
		tick := time.NewTicker(slowInterval)
		defer tick.Stop()
		for {
			select {
			case <-a.holds.ctx.Done():
				return
			case <-tick.C:
			}
			for i := range writers {
				if w := &writers[i]; len(w.rest) > 0 {
					_, _ = w.c.Write(w.rest[:1]) // refused is as good
					w.rest = w.rest[1:]
				}
			}
		}
	})
}

// unread asks again and again for answers and reads none, with a small receive buffer.
func (a *attack) unread(n int) {
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxBytes, fetch.MinBytes, fetch.MaxWaitMillis = 11, 50<<20, 1, 10
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = goodTopic
	for p := range int32(goodPartitions) {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.PartitionMaxBytes = p, 50<<20
		topic.Partitions = append(topic.Partitions, part)
	}
	fetch.Topics = append(fetch.Topics, topic)
	metadata := kmsg.NewPtrMetadataRequest() // all topics
	metadata.Version, metadata.Topics = 7, nil
	a.opened(n, func(c *net.TCPConn, rng *rand.Rand) {
		_ = c.SetReadBuffer(4096) // only makes it easier for the broker
		_ = c.SetWriteDeadline(time.Now().Add(sendTimeout))
		req := []kmsg.Request{fetch, metadata, kmsg.NewPtrApiVersionsRequest()}[rng.IntN(3)]
		for i := range int32(unreadRequests) {
			if _, err := c.Write(hostile.Encode(req, i)); err != nil {
				break // the broker has stopped reading, which is right
			}
		}
		a.silent.Add(1)
		a.holds.add(c)
	})
}

// resets leaves at every moment of a connection's life.
func (a *attack) resets(n int) {
	a.opened(n, func(c *net.TCPConn, rng *rand.Rand) {
		p := hostile.Encode(hostile.Request(rng), rng.Int32())
		switch rng.IntN(4) {
		case 0:
			p = nil
		case 1:
			p = p[:rng.IntN(len(p))]
		case 2:
			p = append(p, p...)
		}
		_ = c.SetWriteDeadline(time.Now().Add(sendTimeout))
		if _, err := c.Write(p); err == nil && rng.IntN(4) == 0 {
			time.Sleep(time.Duration(rng.IntN(int(2 * time.Millisecond))))
		}
		a.closed.Add(1)
		reset(c)
	})
}

// floods sends many valid requests at once.
func (a *attack) floods(n int) {
	a.each(n, func(s *session, rng *rand.Rand) {
		var p []byte
		for i := range int32(floodRequests) {
			switch rng.IntN(3) {
			case 0:
				p = append(p, hostile.Encode(kmsg.NewPtrApiVersionsRequest(), i)...)
			case 1:
				m := kmsg.NewPtrMetadataRequest()
				m.Version = 7
				m.AllowAutoTopicCreation = false
				p = append(p, hostile.Encode(m, i)...)
			default:
				p = append(p, hostile.Encode(hostile.Produce(hostile.Topic(rng), 1, hostile.RecordBatch(rng, 0)), i)...)
			}
		}
		if s.conn = a.dial(); s.conn == nil {
			return
		}
		defer s.reset()
		done := make(chan struct{})
		go func(c net.Conn) { // ends with the connection
			defer close(done)
			_ = c.SetWriteDeadline(time.Now().Add(10 * sendTimeout))
			_, _ = c.Write(p) // what was not taken is not answered
		}(s.conn)
		want := floodRequests
		if rng.IntN(2) == 0 {
			want = rng.IntN(floodRequests)
		}
		var err error
		for i := 0; i < want && err == nil; i++ {
			err = s.receive(10 * sendTimeout)
		}
		a.count(err)
		if want == floodRequests && err != nil {
			a.strange.Add(1) // these were all valid
		}
		s.reset()
		<-done
	})
}
