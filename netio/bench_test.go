package netio

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkSmallRequests is a 100-byte request with a 1 KiB answer from memory
// on several connections, each waiting for its answer. The waits/op column is
// system calls of the loop that wait (and, for io_uring, submit) per request;
// epoll adds a read and a send for each.
//
//	go test -bench SmallRequests ./netio
func BenchmarkSmallRequests(b *testing.B) {
	answer := make([]byte, 1<<10)
	for _, backend := range []Backend{BackendEpoll, BackendUring} {
		for _, conns := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", backend, conns), func(b *testing.B) {
				s, err := New(Config{Backend: backend, Loops: 1}, &testHandler{request: func(r *Request) {
					r.Response().Write(answer)
					r.Respond()
				}})
				if err != nil {
					b.Skip(err)
				}
				defer s.Close()
				a, err := s.Listen("tcp", "127.0.0.1:0", "bench")
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Start(); err != nil {
					b.Fatal(err)
				}
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				b.ReportAllocs()
				before := s.Stats()
				b.ResetTimer()
				for range conns {
					fd := rawClient(b, a.String())
					wg.Go(func() {
						defer unix.Close(fd)
						request, back := frame(make([]byte, 100)), make([]byte, lengthBytes+len(answer))
						for left.Add(-1) >= 0 {
							if _, err := unix.Write(fd, request); err != nil {
								b.Error(err)
								return
							}
							for got := 0; got < len(back); {
								n, err := unix.Read(fd, back[got:])
								if err != nil || n == 0 {
									b.Error(n, err)
									return
								}
								got += n
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(s.Stats().Enters-before.Enters)/float64(b.N), "waits/op")
			})
		}
	}
}
