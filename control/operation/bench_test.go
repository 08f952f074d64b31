package operation_test

import (
	"fmt"
	"testing"

	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// Operations of five steps that do nothing: what the rows cost, from Begin to
// the end, each begun in a transaction of its own.
func BenchmarkOperationsOfFiveSteps(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{store.SQLite: storetest.File, store.Postgres: storetest.Server} {
		b.Run(name, func(b *testing.B) {
			s := storetest.Open(b, url(b))
			set := start(b, s, step("1", fine), step("2", fine), step("3", fine), step("4", fine), step("5", fine))
			ops := make([]operation.Operation, b.N)
			b.ResetTimer()
			for i := range ops {
				ops[i] = begin(b, s, set, fmt.Sprint("/r", i), nil)
			}
			for _, op := range ops {
				until(b, set, op.ID, ended)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "operations/s")
		})
	}
}
