package load

import (
	"math/rand/v2"

	"kserver/cmd/kbench/integrity"
)

// fillBytes is the size of the block that record values are cut from.
const fillBytes = 1 << 20

// Payload makes record values of one size: a stamp, when asked for, and filler of which a share is random. It is
// safe for concurrent use.
type Payload struct {
	size  int
	run   uint64
	stamp bool
	block []byte
}

// NewPayload returns a maker of values of size bytes for run. random is the share of incompressible bytes, 0 to 1:
// in every 64 bytes that share is random. With stamp, size must be at least integrity.StampSize.
func NewPayload(size int, run uint64, stamp bool, random float64) *Payload {
	p := &Payload{size: size, run: run, stamp: stamp, block: make([]byte, fillBytes+size)}
	rng := rand.New(rand.NewPCG(1, 2)) // the same filler in every run
	for i := range p.block {
		p.block[i] = 'k'
		if float64(i%64) < 64*random {
			p.block[i] = byte(rng.Uint32())
		}
	}
	return p
}

// Fill writes the value of one record, which is size bytes long.
func (p *Payload) Fill(value []byte, s integrity.Stamp) {
	at := (s.Sequence*int64(p.size) + int64(s.Partition)*7919) % fillBytes
	copy(value, p.block[at:])
	p.Restamp(value, s)
}

// Restamp changes only the stamp of a value that was filled before.
func (p *Payload) Restamp(value []byte, s integrity.Stamp) {
	if p.stamp {
		s.Run = p.run
		s.Put(value)
	}
}

// Run returns the number that the records of this run carry.
func (p *Payload) Run() uint64 { return p.run }

// Stamped reports whether values carry a stamp.
func (p *Payload) Stamped() bool { return p.stamp }
