package arm_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// crowd is a world with many gateways, whose operations do not run.
func crowd(b *testing.B, s *store.Store, n int) *world {
	b.Helper()
	w := newWorld(b, s, true)
	w.want(201, w.do("PUT", voice+platform, `{"location":"westeurope"}`))
	var wg sync.WaitGroup
	for part := range 8 {
		wg.Go(func() {
			for i := part; i < n; i += 8 {
				if r := w.do("PUT", fmt.Sprintf("%s/gw-%05d%s", gateways, i, api), plain); r.Code != 201 {
					b.Errorf("%d %s", r.Code, r.Body)
				}
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return w
}

// BenchmarkListTenThousand walks through all pages of a subscription with ten
// thousand gateways.
func BenchmarkListTenThousand(b *testing.B) {
	const n = 10_000
	w := crowd(b, storetest.New(b), n)
	for _, top := range []int{100, 1000} {
		b.Run(fmt.Sprintf("top=%d", top), func(b *testing.B) {
			var slowest time.Duration
			octets, pages := 0, 0
			for b.Loop() {
				found := 0
				for next := fmt.Sprintf("/subscriptions/%s/providers/Microsoft.VoiceServices/communicationsGateways%s&$top=%d", sub, api, top); next != ""; pages++ {
					begun := time.Now()
					r := w.want(200, w.do("GET", next, ""))
					slowest = max(slowest, time.Since(begun))
					found += len(r.JSON["value"].([]any))
					octets += r.Body.Len()
					next = strings.TrimPrefix(r.text("nextLink"), base)
					w.log.Reset()
				}
				if found != n {
					b.Fatalf("%d found", found)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(pages), "µs/page")
			b.ReportMetric(float64(slowest.Microseconds()), "µs/slowest")
			b.ReportMetric(float64(octets)/float64(pages)/1024, "KB/page")
		})
	}
}

// BenchmarkTwoHundredWriters has two hundred clients at once, each of which
// makes gateways one after the other.
func BenchmarkTwoHundredWriters(b *testing.B) {
	for _, kind := range []string{store.SQLite, store.Postgres} {
		b.Run(kind, func(b *testing.B) {
			url := storetest.File(b)
			if kind == store.Postgres {
				url = storetest.Server(b)
			}
			w := crowd(b, storetest.Open(b, url), 0)
			const writers, each = 200, 10
			var mu sync.Mutex
			var took []time.Duration
			round := 0
			for b.Loop() {
				round++
				var wg sync.WaitGroup
				for i := range writers {
					wg.Go(func() {
						for j := range each {
							begun := time.Now()
							r := w.do("PUT", fmt.Sprintf("%s/w%d-%d-%d%s", gateways, round, i, j, api), plain)
							if r.Code != 201 {
								b.Errorf("%d %s", r.Code, r.Body)
							}
							mu.Lock()
							took = append(took, time.Since(begun))
							mu.Unlock()
						}
					})
				}
				wg.Wait()
			}
			slices.Sort(took)
			b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "PUT/s")
			b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "ms/median")
			b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "ms/p99")
		})
	}
}
