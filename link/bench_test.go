package link

import (
	"os"
	"testing"
	"time"
)

// BenchmarkUpload is how many call records a second go from a spool into the
// stream's disk.
func BenchmarkUpload(b *testing.B) {
	_, e := pair(b)
	h := newHeap()
	const many = 20_000
	var spent time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		h.mu.Lock()
		h.owed = nil
		h.mu.Unlock()
		h.add("r1-a", i*many, (i+1)*many)
		b.StartTimer()
		began, after := time.Now(), uint64(0)
		for {
			last, err := e.uploadSome(b.Context(), e.conn.Load(), h, after)
			if err != nil {
				b.Fatal(err)
			}
			if last == 0 {
				break
			}
			after = last
		}
		spent += time.Since(began)
	}
	b.ReportMetric(float64(b.N)*many/spent.Seconds(), "records/s")
}

// BenchmarkPublish is how long a snapshot of a million scattered numbers takes
// from control to the edge's disk.
func BenchmarkPublish(b *testing.B) { benchmarkPublish(b, 1_000_000) }

// BenchmarkPublishHuge is that of ten million.
func BenchmarkPublishHuge(b *testing.B) {
	if os.Getenv("TANDEM_HUGE") == "" {
		b.Skip("needs 4 GB of memory: set TANDEM_HUGE")
	}
	benchmarkPublish(b, 10_000_000)
}

func benchmarkPublish(b *testing.B, numbers int) {
	c, e := pair(b)
	s := sample(b, "lab", numbers)
	revision, size := uint64(0), 0
	for b.Loop() {
		revision++
		publish(b, c, revision, s, "r1-a")
		a := next(b, e)
		if a.Revision != revision {
			b.Fatalf("revision %d came", a.Revision)
		}
		if err := e.Applied(a); err != nil {
			b.Fatal(err)
		}
		size = a.order.Size
	}
	b.ReportMetric(float64(size)/1e6, "MB")
}
