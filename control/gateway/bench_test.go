package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// BenchmarkManyGateways makes 10 000 gateways by 200 writers at once, which
// change each once more, and lists them by pages of 100. One run is enough:
//
//	go test ./control/gateway -run - -bench Many -benchtime 1x
func BenchmarkManyGateways(b *testing.B) {
	b.Run(store.SQLite, func(b *testing.B) { many(b, storetest.File(b)) })
	b.Run(store.Postgres, func(b *testing.B) { many(b, storetest.Server(b)) })
}

const (
	gateways = 10_000
	writers  = 200
)

func many(b *testing.B, url string) {
	w, err := assemble(storetest.Open(b, url))
	if err != nil {
		b.Fatal(err)
	}
	write := func(name string, count int, change func(i int) error) {
		took := make([]time.Duration, count)
		next, begun := make(chan int), time.Now()
		var wait sync.WaitGroup
		for range writers {
			wait.Go(func() {
				for i := range next {
					t := time.Now()
					if err := change(i); err != nil {
						b.Error(err)
					}
					took[i] = time.Since(t)
				}
			})
		}
		for i := range count {
			next <- i
		}
		close(next)
		wait.Wait()
		slices.Sort(took)
		b.ReportMetric(float64(count)/time.Since(begun).Seconds(), name+"/s")
		b.ReportMetric(float64(took[count*99/100].Milliseconds()), name+"-p99-ms")
	}
	id := func(i int) gateway.ID {
		return gateway.ID{Subscription: sub, Group: fmt.Sprint("group-", i%10), Name: fmt.Sprintf("gw-%05d", i)}
	}
	ctx := context.Background()
	for b.Loop() {
		write("PUT", gateways, func(i int) error {
			_, _, _, err := w.set.Put(ctx, alice, id(i), two(), none)
			return err
		})
		write("PATCH", gateways/10, func(i int) error {
			_, err := w.set.Patch(ctx, alice, id(i), gateway.Patch{Tags: &map[string]string{"n": fmt.Sprint(i)}}, none)
			return err
		})
		begun, seen, page := time.Now(), 0, gateway.Page{Limit: 100}
		for {
			list, next, err := w.set.List(ctx, gateway.Scope{Subscription: sub}, page)
			if err != nil {
				b.Fatal(err)
			}
			seen += len(list)
			if page.After = next; next == "" {
				break
			}
		}
		if seen != gateways {
			b.Fatalf("%d listed", seen)
		}
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "list-ms")
	}
}
