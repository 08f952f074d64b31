package call

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A call that lasts is recorded as it has sounded, each minute in which
// somebody speaks; so that a node that dies leaves what was known of it.
func TestScoresAreRecordedDuringTheCall(t *testing.T) {
	inWorld(t, func(w *world) {
		core, _, in := w.converse()
		core.talk(150 * time.Second)
		r := w.records.last(t)
		if q := r.Caller.Media.Quality; r.Ended != nil || q == nil || q.From == nil || q.From.MOS < 4 || q.For != 2*time.Minute {
			t.Errorf("%+v", r.Caller.Media)
		}
		time.Sleep(10 * time.Minute) // in which nothing is said
		synctest.Wait()
		if log := w.records.log; !slices.Equal(log, []string{"begin", "answer", "progress", "progress", "progress"}) {
			t.Errorf("%v", log)
		}
		w.leave(in)
	})
}
