package quota

import "time"

// sensors keeps a bucket for each key, at most MaxSensors of them. Those that are
// as good as new are forgotten. The caller locks.
type sensors[K comparable] struct {
	byKey map[K]*bucket
	swept time.Time // last search for idle ones
}

// get finds or makes the bucket of key. ok is false when there is no room for
// another.
func (s *sensors[K]) get(key K, now time.Time) (_ *bucket, ok bool) {
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

// add makes the bucket of key.
func (s *sensors[K]) add(key K) *bucket {
	if s.byKey == nil {
		s.byKey = make(map[K]*bucket)
	}
	made := new(bucket)
	s.byKey[key] = made
	return made
}

func (s *sensors[K]) sweep(now time.Time) {
	s.swept = now
	for key, found := range s.byKey {
		if found.idle(now) {
			delete(s.byKey, key)
		}
	}
}
