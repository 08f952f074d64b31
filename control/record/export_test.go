package record

import (
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/store"
	link "github.com/tandemgw/tandem/link/record"
)

// Plan is how SQLite looks for calls.
func Plan(t *testing.T, s *store.Store, f link.Filter) string {
	where, args := conditions(f)
	var lines []string
	err := s.Read(t.Context(), func(tx *store.Tx) (err error) {
		lines, err = store.All(t.Context(), tx, func(scan store.Scan) (line string, err error) {
			var id, parent, unused int
			return line, scan(&id, &parent, &unused, &line)
		}, "EXPLAIN QUERY PLAN SELECT body FROM call_record"+where+" ORDER BY began DESC, id DESC LIMIT 10", args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}
