package quota

import "time"

// sensors keeps what was measured of each key, at most MaxSensors of them. Those
// that are as good as new are forgotten. The caller locks.
type sensors[K comparable, S any, P sensor[S]] struct {
	byKey map[K]*S
	swept time.Time // last search for idle ones
}

// sensor is a measurement; its zero value is ready.
type sensor[S any] interface {
	*S
	// idle reports whether nothing measured counts any more.
	idle(now time.Time) bool
}

// get finds or makes the sensor of key. ok is false when there is no room for
// another.
func (s *sensors[K, S, P]) get(key K, now time.Time) (_ *S, ok bool) {
	if found := s.byKey[key]; found != nil {
		return found, true
	}
	if now.Sub(s.swept) >= Windows*WindowSize || len(s.byKey) >= MaxSensors && now.Sub(s.swept) >= WindowSize {
		s.sweep(now)
	}
	if len(s.byKey) >= MaxSensors {
		return nil, false
	}
	return s.add(key), true
}

// add makes the sensor of key.
func (s *sensors[K, S, P]) add(key K) *S {
	if s.byKey == nil {
		s.byKey = make(map[K]*S)
	}
	made := new(S)
	s.byKey[key] = made
	return made
}

func (s *sensors[K, S, P]) sweep(now time.Time) {
	s.swept = now
	for key, found := range s.byKey {
		if P(found).idle(now) {
			delete(s.byKey, key)
		}
	}
}
