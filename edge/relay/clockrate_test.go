package relay

import (
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// RFC 4733 2.1: events share the clock of their voice; from one leg to the other
// that may change with the codec.
func TestEventsChangeTheirClockWithTheVoice(t *testing.T) {
	wide := sdp.Agreed{Codec: sdp.Codec{PT: 111, Name: "opus", Rate: 48000, Channels: 2}, In: 111, Out: 111}
	if _, ok := codec.Lookup("opus", 48000, ""); !ok {
		t.Skip("no Opus on this machine")
	}
	fast := sdp.Agreed{Codec: sdp.Codec{PT: 110, Name: "telephone-event", Rate: 48000, Fmtp: "0-16"}, In: 110, Out: 110}
	conversation(t, voiceAndEvents, []sdp.Agreed{wide, fast}, func(m *Media, caller, callee *talker) {
		recode := func(n *Negotiated) { n.Recode = true }
		set(t, m, Caller, caller.agreed(recode))
		set(t, m, Callee, callee.agreed(recode))
		caller.talk(audio.Speech(1)[:4000])
		caller.key('8', 10, nil)
		caller.quiet(300 * time.Millisecond)
		var last codec.Event
		var first rtp.Packet
		ends := 0
		for _, p := range callee.got {
			if p.PT != 110 {
				continue
			}
			e, err := codec.ParseEvent(p.Payload)
			if err != nil || e.Digit() != '8' {
				t.Fatalf("%+v, %v", e, err)
			}
			if last.Duration == 0 {
				first = p.Packet
			}
			if last = e; e.End {
				ends++
			}
		}
		if d := time.Duration(last.Duration) * time.Second / 48000; ends != 3 || d < 180*time.Millisecond || d > 240*time.Millisecond {
			t.Errorf("%d ends, it lasted %v", ends, d)
		}
		voice := callee.got[0]
		if at := time.Duration(first.Stamp-voice.Stamp) * time.Second / 48000; at < 400*time.Millisecond || at > 600*time.Millisecond {
			t.Errorf("it begins %v after the speech", at)
		}
		callee.continuous()
	})
}
