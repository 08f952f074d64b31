package call

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/sip"
)

// ITU-T E.180 (Q.35): busy tone when the called line is, congestion tone when
// the network has no way for the time being, the special information tone, in
// whose place many networks have one of their own, for what is neither. Statuses
// stand for causes by RFC 3398 8.2.6.1; a cause of the telephone network in a
// response (RFC 6432) counts where the status says little.
func TestTheToneTellsWhy(t *testing.T) {
	target := interop.Leg{Profile: &interop.Core}
	answered := func(status int, reason string) cause {
		resp := sip.NewResponse(stub(outOfNowhere()), status, "")
		if reason != "" {
			resp.Set("Reason", reason)
		}
		return failure{peer: "core", msg: resp, from: target}.cause()
	}
	for _, tc := range []struct {
		cause cause
		want  relay.Sound
	}{
		{answered(486, ""), relay.Busy},
		{answered(600, ""), relay.Busy},
		{answered(603, ""), relay.Busy},
		{answered(480, "Q.850;cause=17"), relay.Busy},
		{answered(404, ""), relay.Unobtainable},
		{answered(404, "Q.850;cause=16"), relay.Unobtainable},
		{answered(410, ""), relay.Unobtainable},
		{answered(484, ""), relay.Unobtainable},
		{answered(604, ""), relay.Unobtainable},
		{answered(500, "Q.850;cause=1"), relay.Unobtainable},
		{answered(403, ""), relay.Congestion},
		{answered(408, ""), relay.Congestion},
		{answered(480, ""), relay.Congestion},
		{answered(500, ""), relay.Congestion},
		{answered(503, ""), relay.Congestion},
		{failure{peer: "core", err: sip.ErrTimeout}.cause(), relay.Congestion},
		{failure{}.cause(), relay.Congestion},
	} {
		if got, ok := toneOf(tc.cause); !ok || got != tc.want {
			t.Errorf("%d, cause %d (%s): %s, want %s", tc.cause.Status, tc.cause.Q850, tc.cause.Text, got, tc.want)
		}
	}
	if tone, ok := toneOf(byeCause(relay.Callee, outOfNowhere())); ok {
		t.Errorf("who was answered hears a %s", tone)
	}
}

func outOfNowhere() *sip.Message {
	m := sip.NewRequest("INVITE", "sip:x")
	for h, v := range map[string]string{"From": "<sip:a>;tag=f", "To": "<sip:b>", "Call-ID": "c", "CSeq": "1 INVITE"} {
		m.Set(h, v)
	}
	return m
}

// forsaken brings a call to where its callee has transferred the caller and
// hung up, and the target has yet to answer (RFC 5589 section 5).
func forsaken(t *testing.T) *machine {
	m := newMachine(t, nil)
	m.talk()
	m.forsake()
	return m
}

func (m *machine) forsake() {
	m.request(relay.Callee, "REFER", "")
	m.feed(m.script[0])
	m.script = nil
	m.request(relay.Callee, "BYE", "")
	if m.s.transfer == nil || !m.s.callee().gone || m.s.attempt == nil {
		m.t.Fatal("nobody is sought")
	}
}

// FuzzVerdict is FuzzStep for a party that hears why its call ends.
func FuzzVerdict(f *testing.F) {
	addRandom(f, 5, 6, 20, 100)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		m := forsaken(t)
		delete(m.clients, m.s.attempt.id)
		m.feed(m.answered(486, ""))
		m.bytes = data
		for len(m.bytes) > 0 && m.s.phase != over {
			m.act()
		}
		m.windUp()
		if m.ended != 1 {
			t.Fatalf("the record was ended %d times", m.ended)
		}
	})
}

// What comes of it when the target refuses, and of what happens while the tone
// is heard: it lasts toneFor, ends at once with the call, and nobody else joins
// what is ending.
func TestWhoIsForsakenHearsWhy(t *testing.T) {
	const bye = "BYE to caller, ended, unplug, timer 40s"
	request := func(side relay.Side, method, body string) func(m *machine) {
		return func(m *machine) { m.request(side, method, body) }
	}
	for _, tc := range []struct {
		name string
		does func(m *machine)
		over bool
	}{
		{"the tone was heard", func(m *machine) { m.feed(expired{toneOver}) }, true},
		{"it hangs up", request(relay.Caller, "BYE", ""), true},
		{"the tone cannot be played", func(m *machine) { m.feed(unplayed{relay.Caller, fmt.Errorf("a codec that passes only")}) }, true},
		{"by command", func(m *machine) { m.feed(hangup{commandCause}) }, true},
		{"who has left hangs up again", request(relay.Callee, "BYE", ""), false},
		{"it transfers", request(relay.Caller, "REFER", ""), false},
		{"it holds, by INVITE", request(relay.Caller, "INVITE", turn(coreSDP, "sendonly", 9)), false},
		{"it holds, by UPDATE", request(relay.Caller, "UPDATE", turn(coreSDP, "sendonly", 9)), false},
		{"it is asked whether it is there", request(relay.Caller, "OPTIONS", ""), false},
		{"somebody wants its place", func(m *machine) { m.join(relay.Caller, teamsOffer) }, false},
		{"the target rings after all", func(m *machine) { m.feed(responded{3, sip.NewResponse(m.inviteOut, 180, "")}) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := forsaken(t)
			if got, want := m.told(m.answered(486, "")), "forgo, play, timer 5s"; got != want {
				t.Fatalf("the target is busy\n got: %s\nwant: %s", got, want)
			}
			if got := m.sounds[len(m.sounds)-1]; got != "busy tone to caller" {
				t.Errorf("heard: %s", got)
			}
			tc.does(m)
			if over := m.s.phase >= ending; over != tc.over {
				t.Errorf("over: %v", over)
			}
			if tc.over != m.due[toneOver].IsZero() {
				t.Error("the timer")
			}
			m.windUp()
			if m.ended != 1 {
				t.Errorf("the record was ended %d times", m.ended)
			}
		})
	}
	t.Run("it was answered, and hung up on", func(t *testing.T) {
		m := forsaken(t)
		c := byeCause(relay.Callee, outOfNowhere())
		m.s.out = nil
		m.s.transferFailed(c)
		if m.s.phase != ending {
			t.Error("it goes on")
		}
	})
	t.Run("an emergency", func(t *testing.T) {
		m := forsaken(t)
		m.s.record.Emergency = true
		if got := m.told(m.answered(486, "")); got != "forgo, "+bye {
			t.Errorf("got: %s", got)
		}
		m.windUp()
	})
}

// Who has left for a transfer need not answer what it was asked before: the
// transfer goes on, and so does the tone (RFC 5589 section 5; RFC 3261 15.1.2
// would have it answer 487 to what was under way, some do not at all).
func TestWhoHasLeftOwesNoAnswer(t *testing.T) {
	asks := map[string]func(m *machine){
		"OPTIONS": func(m *machine) { m.s.ask(relay.Callee) },
		"UPDATE":  func(m *machine) { m.s.refreshByUpdate(relay.Callee) },
		"INVITE":  func(m *machine) { m.s.stale[relay.Callee] = true; m.s.renewStale() },
	}
	for method, ask := range asks {
		for _, status := range []int{0, 481} {
			t.Run(fmt.Sprint(method, status), func(t *testing.T) {
				m := newMachine(t, nil)
				m.talk()
				ask(m)
				id := m.s.requests[len(m.s.requests)-1].id
				for _, e := range m.s.out {
					m.do(e)
				}
				m.forsake()
				if status == 0 {
					m.feed(failed{id, sip.ErrTimeout})
				} else {
					m.feed(responded{id, sip.NewResponse(m.clients[id], status, "")})
				}
				if m.s.transfer == nil || m.s.phase != talking {
					t.Error("the transfer is given up")
				}
				m.windUp()
			})
		}
	}
}

// British tones (BT SIN 350), as they are heard in the stream of the party that
// is left; RFC 3326 tells the same in its BYE.
func TestTheToneIsHeard(t *testing.T) {
	for _, tc := range []struct {
		status  int
		on, off time.Duration // of the tone, 400 Hz; off 0: it never is
		q850    int
	}{
		{486, 375 * time.Millisecond, 375 * time.Millisecond, 17},
		{404, 5 * time.Second, 0, 1},
	} {
		t.Run(fmt.Sprint(tc.status), func(t *testing.T) {
			british := func(w *world) { w.snap.Groups[0].Interworking.Ringback = "gb" }
			inWorldOf(t, british, func(w *world) {
				invite, first := w.place()
				w.teams.reply(first, 200, "t1", teamsSDP)
				w.teams.expect("ACK")
				ok := w.core.expect("200")
				in, teams := w.core.took(invite, ok), w.teams.gave(first, "t1")
				in.ack("")
				synctest.Wait()
				core := w.mouthOf(coreSDP, string(ok.Body))
				out := w.transfer(teams, toUser)
				teams.bye()
				w.teams.reply(out, tc.status, "n1", "")
				w.teams.expect("ACK")
				began := time.Now()
				bye := w.core.expect("BYE")
				if d := time.Since(began); d != toneFor {
					t.Errorf("released after %v", d)
				}
				if !strings.HasPrefix(bye.Get("Reason"), fmt.Sprintf("Q.850;cause=%d", tc.q850)) {
					t.Errorf("Reason: %s", bye.Get("Reason"))
				}
				w.core.reply(bye, 200, "", "")
				synctest.Wait()
				stage.Lock()
				defer stage.Unlock()
				var pcm []int16
				for _, p := range core.heard {
					pcm = codec.ALaw.Decode(pcm, p.Payload)
				}
				if len(pcm) < 8*4900 || len(pcm) > 8*5100 {
					t.Fatalf("%d samples in 5 s", len(pcm))
				}
				on, off := int(tc.on/time.Millisecond)*8, int(tc.off/time.Millisecond)*8
				if l := codec.ToneLevel(pcm[400:400+2400], 400, 8000); math.Abs(l+10) > 1 { // of which it has at least 375 ms
					t.Errorf("400 Hz at %.1f dBm0", l)
				}
				if off > 0 {
					if l := codec.DBm0(pcm[on+200 : on+off-200]); l > -50 {
						t.Errorf("%.1f dBm0 in the pause", l)
					}
				} else if l := codec.ToneLevel(pcm[8*4000:8*4800], 400, 8000); math.Abs(l+10) > 1 {
					t.Errorf("400 Hz at %.1f dBm0 in the end", l)
				}
				r := w.records.last(t)
				if r.Cause.Q850 != tc.q850 || len(r.Transfers) != 1 || r.Transfers[0].Status != tc.status {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// A party that was put on hold before it was transferred has to be told that
// there is something to be heard.
func TestAHeldPartyHearsWhy(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		w.holdBy(teams)
		out := w.transfer(teams, toUser)
		teams.bye()
		w.teams.reply(out, 486, "n1", "")
		w.teams.expect("ACK")
		re := w.core.expect("INVITE")
		if strings.Contains(string(re.Body), "a=sendonly") || strings.Contains(string(re.Body), "a=inactive") {
			t.Errorf("it cannot hear the tone:\n%s", re.Body)
		}
		w.core.reply(re, 200, "", turn(coreSDP, "sendrecv", 3))
		w.core.expect("ACK")
		time.Sleep(time.Second)
		core.bye()
		synctest.Wait()
		if r := w.records.last(t); r.Ended == nil || !strings.Contains(r.Cause.Text, "hung up after failed") {
			t.Errorf("%+v", r)
		}
	})
}
