package netio

import "testing"

func TestEcho(t *testing.T) {
	eachBackend(t, func(t *testing.T, b Backend) {
		s := serve(t, b, Config{}, &testHandler{})
		c := s.dial()
		for i := range 100 {
			p := pattern(i, i*37)
			c.send(p)
			c.expect(p)
		}
	})
}
