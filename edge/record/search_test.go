package record

import (
	"fmt"
	"testing"
	"time"

	link "github.com/tandemgw/tandem/link/record"
)

// BenchmarkSearch asks a spool of 200 000 calls what people ask on a bad night.
func BenchmarkSearch(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir(), Node: "n1", Queue: 50_000, Keep: 100 * 365 * 24 * time.Hour, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const calls = 200_000
	start := time.Now()
	done := make(chan error, calls)
	for i := range calls {
		c := sample(i)
		c.From = fmt.Sprintf("+44%010d", i*7919%10_000_000)
		c.To = fmt.Sprintf("+44%010d", i*104729%10_000_000)
		status := 0
		if i%1000 == 999 {
			status = 503
		} else {
			c = answeredCall(c)
		}
		s.End(endedCall(c, link.ByCaller, status), func(err error) { done <- err })
		if i%10_000 == 9_999 {
			for range 10_000 {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Logf("filled at %.0f/s", calls/time.Since(start).Seconds())
	for name, f := range map[string]link.Filter{
		"newest":          {},
		"failed":          {Failed: true},
		"number":          {Number: "+440000007919"},
		"unknown number":  {Number: "+1"},
		"number of a day": {Number: "+1", Since: day, Until: day.Add(24 * time.Hour)},
		"unknown peer":    {Peer: "nobody"},
		"ID":              {ID: "0012345"},
		"last hour":       {Since: day.Add((calls - 3600) * time.Second), Limit: 1000},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.List(b.Context(), f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
