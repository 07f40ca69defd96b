package cluster

import "testing"

func TestConnectionDescriptors(t *testing.T) {
	for _, tc := range []struct {
		limit   uint64
		files   int
		forConn int
	}{
		{1 << 20, 4096, 1<<20 - 4096 - spareDescriptors},
		{20_000, 4096, 20_000 - 4096 - spareDescriptors},
		{1024, 4096, 512},
		{1, 4096, 1},
		{1<<64 - 1, 4096, 1<<31 - 1},
	} {
		if got := connectionDescriptors(tc.limit, tc.files); got != tc.forConn {
			t.Errorf("%d descriptors, %d files: %d connections, want %d", tc.limit, tc.files, got, tc.forConn)
		}
	}
}
