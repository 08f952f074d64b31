package record

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	link "github.com/tandemgw/tandem/link/record"
)

// BenchmarkCall writes the three entries of a call (begun, answered, ended),
// each durable before the next, from 1, 100 and 1000 callers at once, on this
// machine's disk (an fsync of 0.1 ms where it was written), and on one whose
// fsync takes 10 ms longer; and the same with an fsync for each record, which
// is what group commit is to be compared with.
func BenchmarkCall(b *testing.B) {
	for _, disk := range []time.Duration{0, 10 * time.Millisecond} {
		for _, callers := range []int{1, 100, 1000} {
			for _, t := range []tuning{{2048, disk}, {1, disk}} {
				b.Run(fmt.Sprintf("fsync=+%v/callers=%d/batch=%d", disk, callers, t.batch), func(b *testing.B) {
					benchmarkCalls(b, callers, t)
				})
			}
		}
	}
}

func benchmarkCalls(b *testing.B, callers int, t tuning) {
	s, err := open(Config{Dir: b.TempDir(), Node: "n1", Log: quiet}, t)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	waits := make([][]time.Duration, callers)
	next := make(chan int, callers)
	var wg sync.WaitGroup
	cpu := processTime(b)
	b.ResetTimer()
	for i := range callers {
		wg.Go(func() {
			done := make(chan error, 1)
			for n := range next {
				c := sample(n)
				for _, step := range []struct {
					write func(link.Call, func(error))
					call  link.Call
				}{{s.Begin, c}, {s.Answer, answeredCall(c)}, {s.End, endedCall(answeredCall(c), link.ByCaller, 0)}} {
					start := time.Now()
					step.write(step.call, func(err error) { done <- err })
					if err := <-done; err != nil {
						b.Error(err)
						return
					}
					waits[i] = append(waits[i], time.Since(start))
				}
			}
		})
	}
	for n := range b.N {
		next <- n
	}
	close(next)
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(waits...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64((processTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/call")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

func processTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
