package call

import (
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
)

// A hold is told in the form that a peer knows, and answered in the form that
// it was asked in (RFC 3264 8.4; Microsoft Teams docs, "Direct Routing - SIP
// protocol").
func TestHoldInTheFormThatAPeerKnows(t *testing.T) {
	for _, tc := range []struct {
		name   string
		form   string // of who is told
		byCore bool
		asks   string // what the holder writes
		told   string // what the other side reads; "" when it is told nothing
		says   string // what it answers
		back   string // what the holder is answered
	}{
		{"Teams holds, by the book", "", false, "inactive", "sendonly", "recvonly", "inactive"},
		{"Teams holds a core that is to send nothing", "inactive", false, "inactive", "inactive", "inactive", "inactive"},
		{"Teams holds a core that is to hear music of ours", "music", false, "inactive", "", "", "inactive"},
		{"the core holds Teams", "", true, "sendonly", "inactive", "inactive", "inactive"},
		{"the core holds Teams with music of its own", "music", true, "sendonly", "", "", "recvonly"},
		{"the core holds Teams, in silence", "music", true, "inactive", "", "", "inactive"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorldOf(t, func(w *world) {
				told := 0
				if tc.byCore {
					told = 1
				}
				w.snap.Groups[told].Interworking.Hold = tc.form
			}, func(w *world) {
				core, teams := w.talk()
				holder, other, desc, theirs := teams, w.core, teamsSDP, coreSDP
				if tc.byCore {
					holder, other, desc, theirs = core, w.teams, coreSDP, teamsSDP
				}
				for i, dir := range []string{tc.asks, "sendrecv"} {
					told, says, back := tc.told, tc.says, tc.back
					if dir == "sendrecv" {
						back = dir
						if told != "" {
							told, says = dir, dir
						}
					}
					holder.request("INVITE", turn(desc, dir, i+2))
					if told != "" {
						holder.f.expect("100")
						re := other.expect("INVITE")
						if !strings.Contains(string(re.Body), "a="+told+"\r\n") {
							t.Errorf("%s is told as\n%s", dir, re.Body)
						}
						tag := ""
						if tc.byCore {
							tag = "t1"
						}
						other.reply(re, 200, tag, turn(theirs, says, i+2))
						other.expect("ACK")
					}
					if ok := holder.f.expect("200"); !strings.Contains(string(ok.Body), "a="+back+"\r\n") {
						t.Errorf("%s is answered\n%s", dir, ok.Body)
					}
					holder.ack("")
					other.quiet()
				}
				w.over()
			})
		})
	}
}

// Who is held in silence hears music, if there is some, until the call goes on.
func TestMusicOnHold(t *testing.T) {
	held := func(t *testing.T, music string, steps func(m *machine)) []string {
		m := newMachine(t, nil)
		m.s.limits.Music = music
		m.talk()
		m.sounds = nil
		steps(m)
		sounds := slices.Clone(m.sounds)
		m.windUp()
		return sounds
	}
	change := func(m *machine, by relay.Side, body, answer string) {
		m.request(by, "INVITE", body)
		if ids := m.pending(); len(ids) > 0 {
			m.answer(0, 200, "a", answer)
		}
		m.feed(acked{by, m.ackOf(by, "")})
	}
	hold := func(m *machine) {
		change(m, relay.Callee, turn(teamsSDP, "inactive", 2), turn(coreSDP, "recvonly", 2))
	}
	resume := func(m *machine) {
		change(m, relay.Callee, turn(teamsSDP, "sendrecv", 3), turn(coreSDP, "sendrecv", 3))
	}
	for _, tc := range []struct {
		name  string
		music string
		steps func(m *machine)
		want  []string
	}{
		{"held and taken back", "m.wav", func(m *machine) { hold(m); resume(m) }, []string{"music to caller", "nothing to caller"}},
		{"held for good", "m.wav", hold, []string{"music to caller"}},
		{"without music", "", func(m *machine) { hold(m); resume(m) }, nil},
		{"promised music, and there is none", "", func(m *machine) {
			p := interop.Core
			p.Hold = interop.HoldMusic
			m.s.caller().dress.Profile = &p
			hold(m)
			resume(m)
		}, []string{"music to caller", "nothing to caller"}}, // music without a file is comfort noise
		{"held by who plays its own", "m.wav", func(m *machine) {
			change(m, relay.Caller, turn(coreSDP, "sendonly", 2), turn(teamsSDP, "inactive", 2))
		}, nil},
		{"both hold", "m.wav", func(m *machine) {
			hold(m)
			change(m, relay.Caller, turn(coreSDP, "inactive", 3), turn(teamsSDP, "inactive", 3))
		}, []string{"music to caller", "nothing to caller"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := held(t, tc.music, tc.steps); !slices.Equal(got, tc.want) {
				t.Errorf("it hears %q, want %q", got, tc.want)
			}
		})
	}
}
