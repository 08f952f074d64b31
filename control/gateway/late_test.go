package gateway_test

import (
	"testing"

	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// TestALineThatComesWhileTheSnapshotIsOnItsWay is not forgotten: neither with
// the first that a gateway has, nor with a later one.
func TestALineThatComesWhileTheSnapshotIsOnItsWay(t *testing.T) {
	w, id := build(t, storetest.New(t)), named("lab-1")
	w.rise(id)
	var late func() // put it, once
	w.net.point = func(point string) {
		if f := late; point == "published" && f != nil {
			late = nil
			f()
		}
	}
	for i, number := range []string{"+441134960001", "+441134960002"} {
		late = func() {
			if _, _, err := w.set.PutTestLine(t.Context(), alice, line(id, "OC"+number[len(number)-1:], number), none); err != nil {
				t.Error(err)
			}
		}
		doc := two()
		doc.Properties.EmergencyDialStrings = []string{"112", number[len(number)-3:]}
		_, op := w.put(id, doc)
		w.complete(op.ID)
		if lines, err := w.ops.Latest(t.Context(), id.String()+"/testLines"); err == nil {
			w.until(lines.ID, func(op operation.Operation) bool { return op.Status.Ended() })
		}
		w.net.mu.Lock()
		if got := len(w.net.orders["r1-a"].Snapshot.Policy.TestLines); got != i+1 {
			t.Errorf("the edge knows %d lines, not %d", got, i+1)
		}
		w.net.mu.Unlock()
	}
}
