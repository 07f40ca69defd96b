package protocol

import (
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// lengthen makes every array of v longer, the inner ones less so, and leaves strings short: the requests that take
// most memory for their bytes.
func lengthen(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Struct:
		if tags, ok := v.Addr().Interface().(*kmsg.Tags); ok {
			*tags = kmsg.Tags{} // of unknown ones there may be few
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				lengthen(v.Field(i), n)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			lengthen(v.Elem(), n)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 || v.Len() == 0 {
			return
		}
		lengthen(v.Index(0), max(n/20, 1))
		s := reflect.MakeSlice(v.Type(), n, n)
		for i := range n {
			s.Index(i).Set(v.Index(0))
		}
		v.Set(s)
	}
}

// allocates returns how many bytes f allocates. Nothing else runs.
func allocates(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// TestCheckedMemory: decoding takes at most the memory that was said before, and not much less, for requests of every
// key and version, short ones and such with many elements.
func TestCheckedMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("what the race detector allocates is not announced")
	}
	rnd := rand.New(rand.NewPCG(7, 8))
	eachRequest(func(name string, key, version int16) {
		for _, elements := range []int{1, 7, 400} {
			req := NewRequest(key, version)
			fill(reflect.ValueOf(req).Elem(), rnd)
			if elements > 1 {
				lengthen(reflect.ValueOf(req).Elem(), elements)
			}
			body := req.AppendTo(nil)
			c, err := Check(key, version, body)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var decode error
			took := allocates(func() { decode = c.Decode(NewRequest(key, version), body) })
			if decode != nil {
				t.Fatalf("%s: %v", name, decode)
			}
			if took > c.Memory {
				t.Errorf("%s: %d elements, %d bytes: takes %d bytes, %d were announced", name, c.Elements, len(body), took, c.Memory)
			}
			if elements > 100 && c.Memory > 4*took+1000 {
				t.Errorf("%s: %d elements, %d bytes: takes %d bytes only, %d were announced", name, c.Elements, len(body), took, c.Memory)
			}
		}
	})
}
