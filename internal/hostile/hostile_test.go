package hostile

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Requests of every key and many versions can be generated and encoded, and the same seed gives the same bytes.
func TestRequests(t *testing.T) {
	source := func(i int) *rand.Rand { return rand.New(rand.NewPCG(42, uint64(i))) }
	seen := make(map[int16]map[int16]bool)
	for i := range 5000 {
		req := Request(source(i))
		if seen[req.Key()] == nil {
			seen[req.Key()] = make(map[int16]bool)
		}
		seen[req.Key()][req.GetVersion()] = true
		if i%10 > 0 {
			continue
		}
		switch req.(type) {
		case *kmsg.ProduceRequest, *kmsg.FetchRequest: // batches carry the time
		default:
			if one, two := Encode(req, 1), Encode(Request(source(i)), 1); !bytes.Equal(one, two) {
				t.Errorf("input %d differs: key %d version %d", i, req.Key(), req.GetVersion())
			}
		}
	}
	for key := range int16(kmsg.MaxKey + 1) {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		if got, want := len(seen[key]), int(req.MaxVersion())+1+BeyondVersions; got < want/2 {
			t.Errorf("key %d: %d versions of %d", key, got, want)
		}
	}
}

// The attacker leaves alone what is not its own.
func TestTame(t *testing.T) {
	for i := range 2000 {
		switch r := Request(rand.New(rand.NewPCG(7, uint64(i)))).(type) {
		case *kmsg.DeleteTopicsRequest:
			for _, name := range r.TopicNames {
				if strings.HasPrefix(name, "__") {
					t.Errorf("input %d deletes %q", i, name)
				}
			}
		case *kmsg.IncrementalAlterConfigsRequest:
			for _, res := range r.Resources {
				if res.ResourceType != 2 {
					t.Errorf("input %d changes a resource of type %d", i, res.ResourceType)
				}
			}
		}
	}
}

func TestDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	changed := 0
	const n = 2000
	for range n {
		before := RandomBytes(rng, rng.IntN(50))
		if after := Damage(rng, slices.Clone(before)); !bytes.Equal(before, after) {
			changed++
		}
	}
	if changed < n*9/10 {
		t.Errorf("%d of %d inputs were damaged", changed, n)
	}
}

// Batches that are wrong differ from those that are not, and bombs are small for what they hold.
func TestBatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	kinds := make(map[string]bool)
	for range 200 {
		kinds[string(DamagedBatch(rng))] = true
	}
	if len(kinds) < 150 {
		t.Errorf("%d different batches of 200", len(kinds))
	}
	for range 20 {
		if n := len(Bomb(rng)); n > 1<<20 {
			t.Errorf("a bomb of %d bytes", n)
		}
	}
}
