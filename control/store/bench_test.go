package store_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// A change of a resource as the rooms make it: read the row, write it, write
// what was done; 200 clients at once, 10 000 rows, durable (PostgreSQL with
// fsync, which other tests do without).
func BenchmarkWritesOf200Clients(b *testing.B) {
	b.Run(store.SQLite, func(b *testing.B) { writes(b, storetest.File(b)) })
	b.Run(store.Postgres, func(b *testing.B) {
		url := storetest.Server(b)
		durable(b, url)
		writes(b, url)
	})
}

func durable(b *testing.B, url string) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{"ALTER SYSTEM SET fsync = on", "SELECT pg_reload_conf()"} {
		if _, err := db.Exec(q); err != nil {
			b.Fatal(err)
		}
	}
}

func writes(b *testing.B, url string) {
	s := storetest.Open(b, url)
	ctx := b.Context()
	table(b, s)
	write(b, s, "CREATE TABLE trail (id BIGINT NOT NULL PRIMARY KEY, who TEXT NOT NULL)")
	body := []byte(strings.Repeat("x", 2000))
	err := s.Write(ctx, func(tx *store.Tx) error {
		for i := range 10_000 {
			if _, err := tx.Exec(ctx, "INSERT INTO thing (id, n, body) VALUES (?, 0, ?)", fmt.Sprintf("gateway-%05d", i), body); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	var next, tries atomic.Int64
	var slowest atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 200 {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				id := fmt.Sprintf("gateway-%05d", rand.N(10_000))
				began := time.Now()
				err := s.Write(ctx, func(tx *store.Tx) error {
					tries.Add(1)
					var was int64
					if err := tx.Row(ctx, "SELECT n FROM thing WHERE id = ?", id).Scan(&was); err != nil {
						return err
					}
					if _, err := tx.Exec(ctx, "UPDATE thing SET n = ?, body = ? WHERE id = ?", was+1, body, id); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, "INSERT INTO trail (id, who) VALUES (?, ?)", n, id)
					return err
				})
				if err != nil {
					b.Error(err)
					return
				}
				for took := time.Since(began).Microseconds(); ; {
					was := slowest.Load()
					if took <= was || slowest.CompareAndSwap(was, took) {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64(tries.Load())/float64(b.N), "tries/write")
	b.ReportMetric(float64(slowest.Load())/1000, "ms-slowest")
}
