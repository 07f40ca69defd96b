package main

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/internal/hostile"
)

// garbage sends random bytes, bare or as frames, and frames whose header names a real key.
func (a *attack) garbage(n int) {
	a.each(n, func(s *session, rng *rand.Rand) {
		p := hostile.RandomBytes(rng, rng.IntN(3000))
		switch rng.IntN(3) {
		case 0:
		case 1:
			p = frame(p)
		default:
			head := binary.BigEndian.AppendUint16(nil, uint16(rng.IntN(kmsg.MaxKey+2)))
			head = binary.BigEndian.AppendUint16(head, uint16(rng.IntN(20)))
			p = frame(append(head, p...))
		}
		s.send(p)
	})
}

// damaged sends requests that were valid once.
func (a *attack) damaged(n int) {
	a.each(n, func(s *session, rng *rand.Rand) {
		body := hostile.Encode(hostile.Request(rng), rng.Int32())[4:]
		const keepHead = 8 // key, version and correlation id: damage there is the garbage kind's
		p := slices.Clone(body[min(keepHead, len(body)):])
		for range 1 + rng.IntN(3) {
			p = hostile.Damage(rng, p)
		}
		s.send(frame(append(body[:min(keepHead, len(body)):min(keepHead, len(body))], p...)))
	})
}

// counts sends requests in which one number says more than the frame holds, and long runs of true but tiny elements.
func (a *attack) counts(n int) {
	a.each(n, func(s *session, rng *rand.Rand) {
		switch rng.IntN(4) {
		case 0:
			s.send(frame(hostile.ManyTags(rng)))
		case 1:
			s.send(frame(hostile.ManyElements(rng)))
		default:
			body := hostile.Encode(hostile.Request(rng), rng.Int32())[4:]
			s.send(frame(hostile.PutCount(rng, body, min(len(body)-1, 8+rng.IntN(max(1, len(body)-8))))))
		}
	})
}

// requests sends every key and version in turn, with valid, extreme and random values.
func (a *attack) requests(n int) {
	a.each(n, func(s *session, rng *rand.Rand) { s.send(hostile.Encode(hostile.Request(rng), rng.Int32())) })
}

// bombPatience is how long the answer to a bomb is waited for.
const bombPatience = 5 * time.Second

// batches sends damaged record batches in Produce requests that are right otherwise.
func (a *attack) batches(n int) {
	a.each(n, func(s *session, rng *rand.Rand) {
		s.send(hostile.Encode(hostile.Produce(hostile.Topic(rng), int16(rng.IntN(3)-1), hostile.DamagedBatch(rng)), rng.Int32()))
	})
}

// bombs sends batches that grow and batches that lie.
func (a *attack) bombs(n int) {
	hostile.Bomb(rand.New(rand.NewPCG(1, 1))) // makes the packed ones
	a.each(n, func(s *session, rng *rand.Rand) {
		s.patience = bombPatience // every one deserves an error
		s.send(hostile.Encode(hostile.Produce(hostile.Topic(rng), 1, hostile.Bomb(rng)), rng.Int32()))
	})
}
