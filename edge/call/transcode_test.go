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

// Azure Communications Gateway docs, Zoom Phone Cloud Peering: Zoom takes
// packets of 20 ms and no others; a core with longer ones is transrated.
func TestZoomIsToldOfItsOwnPacketTime(t *testing.T) {
	inWorldOf(t, func(w *world) { w.snap.Groups[1].Interworking.Profile = "zoom" }, func(w *world) {
		in := w.core.invite("+442079460123", coreSDP+"a=ptime:30\r\na=maxptime:60\r\n")
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		if body := string(out.Body); !strings.Contains(body, "a=ptime:20\r\n") || strings.Contains(body, "maxptime") {
			t.Errorf("Zoom is told\n%s", body)
		}
		w.teams.reply(out, 200, "t1", teamsSDP+"a=ptime:20\r\n")
		w.teams.expect("ACK")
		ok := w.core.expect("200")
		w.core.took(in, ok).ack("")
		if live := w.set.Live(); live[0].Transcoding != "caller wants packets of 30 ms, callee of 20 ms" {
			t.Errorf("%q\n%s", live[0].Transcoding, ok.Body)
		}
		w.over()
	})
}
