package call

import (
	"testing"
)

func TestACallFromTheCoreIsAnsweredAndReleased(t *testing.T) {
	inWorld(t, func(w *world) {
		core, _ := w.talk()
		core.request("BYE", "")
		w.core.expect("200")
		bye := w.teams.expect("BYE")
		w.teams.reply(bye, 200, "", "")
		w.golden("answered")
		r := w.records.last(t)
		if r.Answered == nil || r.Ended == nil || r.Cause.By != "caller" || r.Caller.Codec != "PCMA" || r.Callee.SRTP == "" || r.Caller.SRTP != "" {
			t.Errorf("%+v", r)
		}
	})
}
