package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/internal/hostile"
)

const (
	// dialogueRounds is how often the dialogues of a connection say something.
	dialogueRounds = 30
	// dialoguePatience is how long an answer may wait for other members of a group.
	dialoguePatience = 300 * time.Millisecond
)

// said is a request on its way. Answers to repeated ones are read, but not observed.
type said struct {
	req      kmsg.Request
	id       int32
	dialogue *hostile.Dialogue // nil: not to be observed
}

// talk holds two dialogues on one connection, one of each request at a time, and counts by kind what was accepted.
// What a dialogue says next follows from its answers; some requests are sent twice, and some of before are sent again.
func talk(address string, rng *rand.Rand, accepted []atomic.Int64) (answers int, err error) {
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		return 0, err
	}
	var both [2]*hostile.Dialogue
	for i := range both {
		kind := rng.IntN(hostile.Dialogues)
		both[i] = hostile.NewDialogue(rng, kind)
		defer func() { accepted[kind].Add(int64(both[i].Accepted)) }()
	}
	var old []said
	id := int32(0)
	for range dialogueRounds {
		var now []said
		for _, d := range both {
			id++
			now = append(now, said{d.Next(rng), id, d})
		}
		if rng.IntN(8) == 0 {
			twice := now[rng.IntN(len(now))]
			twice.dialogue = nil
			now = append(now, twice)
		}
		if len(old) > 0 && rng.IntN(8) == 0 {
			now = append(now, old[rng.IntN(len(old))])
		}
		var p []byte
		for i := range now {
			p = append(p, hostile.Encode(now[i].req, now[i].id)...)
		}
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return answers, err
		}
		for cut := rng.IntN(len(p)); len(p) > 0; cut = len(p) {
			if _, err := c.Write(p[:cut]); err != nil {
				return answers, fmt.Errorf("closed by valid requests: %w", err)
			}
			p = p[cut:]
		}
		for _, s := range now {
			switch err := s.hear(c); {
			case errors.Is(err, os.ErrDeadlineExceeded):
				return answers, nil // it waits for other members
			case err != nil:
				return answers, fmt.Errorf("key %d: %w", s.req.Key(), err)
			}
			answers++
			s.dialogue = nil
			old = append(old, s)
		}
	}
	return answers, nil
}

// hear reads the answer to a request.
func (s *said) hear(c net.Conn) error {
	if err := c.SetReadDeadline(time.Now().Add(dialoguePatience)); err != nil {
		return err
	}
	var head [8]byte
	if _, err := io.ReadFull(c, head[:1]); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, head[1:]); err != nil {
		return fmt.Errorf("an answer stopped: %v", err)
	}
	size, id := int32(binary.BigEndian.Uint32(head[:])), int32(binary.BigEndian.Uint32(head[4:]))
	if size < 4 || id != s.id {
		return fmt.Errorf("an answer of %d bytes to request %d, want one to %d", size, id, s.id)
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(c, body); err != nil {
		return fmt.Errorf("an answer stopped: %v", err)
	}
	resp := s.req.ResponseKind()
	if err := resp.ReadFrom(body); err != nil {
		return err
	}
	if s.dialogue != nil {
		s.dialogue.Observe(resp)
	}
	return nil
}
