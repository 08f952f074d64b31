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

// BenchmarkProgress is what the scores of a call cost that are recorded once:
// encoded, and written with 500 others.
func BenchmarkProgress(b *testing.B) {
	s, err := open(Config{Dir: b.TempDir(), Node: "n1", Log: quiet}, normal)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const calls = 500
	write := func(c link.Call, how func(link.Call, func(error))) {
		done := make(chan error, 1)
		how(c, func(err error) { done <- err })
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	for i := range calls {
		s.Begin(sample(i), func(error) {})
	}
	cpu := processTime(b)
	b.ResetTimer()
	for n := range b.N {
		c := scored(n%calls, n)
		for range 6 {
			c.Caller.Media.Whiles = append(c.Caller.Media.Whiles, *c.Caller.Media.Quality)
		}
		c.Callee.Media = c.Caller.Media
		s.Progress(c)
		if n%calls == calls-1 {
			write(endedCall(sample(calls), link.ByCaller, 0), s.End)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((processTime(b)-cpu).Nanoseconds())/1000/float64(b.N), "cpu-µs/call")
}
