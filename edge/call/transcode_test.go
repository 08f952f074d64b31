package call

import (
	"strings"
	"testing"
)

// A core that speaks nothing but G.722 is called by somebody who offers G.711
// alone: each has its own codec, and the record says why voice was recoded.
func TestVoiceIsTranscodedWhenTheAnswersForceIt(t *testing.T) {
	inWorld(t, func(w *world) {
		in := w.teams.invite("+441632960001", strings.NewReplacer("RTP/SAVP 104 9 0 8 101", "RTP/SAVP 8 101", "a=rtpmap:104 SILK/16000\r\n", "").Replace(teamsOffer))
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		if got := describeShort(out); got != "{AVP 8,0,9,101 sendrecv}" {
			t.Errorf("offered %s", got)
		}
		w.core.reply(out, 200, "c1", strings.Replace(coreAnswer, "RTP/AVP 8 101", "RTP/AVP 9 101", 1))
		w.core.expect("ACK")
		ok := w.teams.expect("200")
		if got := describeShort(ok); got != "{SAVP 8,101 sendrecv}" {
			t.Errorf("answered %s", got)
		}
		w.teams.took(in, ok).ack("")
		if live := w.set.Live(); live[0].Caller.Codec != "PCMA" || live[0].Callee.Codec != "G722" || live[0].Transcoding != "caller speaks PCMA, callee G722" {
			t.Errorf("%+v", live[0])
		}
		w.over()
	})
}
