package teams

import (
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

// Microsoft Teams docs, Direct Routing: SIP protocol, History-Info; RFC 4458.
func TestAForwardedCallIsHeardThroughTeams(t *testing.T) {
	for _, c := range []struct {
		name string
		does phone.Behaviour
		want []string
		not  string
	}{
		{
			"unconditionally",
			phone.Behaviour{Forward: "+442079460199"},
			[]string{
				"INVITE sip:+442079460199@1r1.lab.test:", ";user=phone;transport=tls;cause=302 SIP/2.0", "FROM: John Doe<sip:+13035550177@sip." + domain,
				"HISTORY-INFO: <sip:+14255550123@sip." + domain, "?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%20temporarily%22>;index=1,<sip:+442079460199@sip.",
				";index=1.1", "REFERRED-BY: <sip:+14255550123@", "P-ASSERTED-IDENTITY: <tel:+14255550123>",
			},
			"",
		},
		{"when busy", phone.Behaviour{Forward: "+442079460199", Cause: 486}, []string{";cause=486 SIP/2.0", "cause%3D486"}, ""},
		{"to ring as well", phone.Behaviour{NoAnswer: true, AlsoRing: "+442079460199"}, []string{"HISTORY-INFO: "}, "cause=302 SIP/2.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.sbc.Answer("+442079460199", phone.Behaviour{Ring: 100 * time.Millisecond, Send: audio.Speech(9)})
			b.teams.Answer("+14255550123", c.does)
			call := b.dial(phone.CallSpec{From: "+13035550177", To: "+14255550123", Duration: 2500 * time.Millisecond})
			b.answered(call)
			caller := b.ended(call)
			calls := b.sbc.Calls()
			callee := b.ended(calls[len(calls)-1])
			heard(t, "who it was forwarded to", caller, callee)
			heard(t, "the caller", callee, caller)
			if caller.Ringing.IsZero() || callee.HungUpBy != "them" {
				t.Errorf("rang at %v, ended by %q", caller.Ringing, callee.HungUpBy)
			}
			for _, w := range c.want {
				if !strings.Contains(callee.Invite, w) {
					t.Errorf("no %q in\n%s", w, callee.Invite)
				}
			}
			if c.not != "" && strings.Contains(callee.Invite, c.not) {
				t.Errorf("%q in\n%s", c.not, callee.Invite)
			}
			b.noViolations()
		})
	}
}

func TestAForwardedCallThatFailsAndOneThatIsNotNeeded(t *testing.T) {
	b := newBench(t, nil)
	b.sbc.Answer("+442079460186", phone.Behaviour{Status: 486})
	b.teams.Answer("+14255550123", phone.Behaviour{Forward: "+442079460186"})
	if f := b.ended(b.dial(phone.CallSpec{From: "+13035550177", To: "+14255550123"})); f.Status != 486 {
		t.Errorf("status %d", f.Status)
	}
	b.sbc.Answer("+442079460187", phone.Behaviour{NoAnswer: true})
	b.teams.Answer("+14255550124", phone.Behaviour{Ring: 100 * time.Millisecond, AlsoRing: "+442079460187"})
	call := b.dial(phone.CallSpec{From: "+13035550177", To: "+14255550124", Duration: 100 * time.Millisecond})
	b.answered(call)
	b.ended(call)
	calls := b.sbc.Calls()
	if f := b.ended(calls[len(calls)-1]); f.Status != 487 || f.HungUpBy != "them" {
		t.Errorf("the second telephone: %d by %q", f.Status, f.HungUpBy)
	}
	b.noViolations()
}

// Microsoft support, Teams Direct Routing: issues with call transfers.
func TestATransferToANumberCallsItByTheSBC(t *testing.T) {
	b, h := handBench(t)
	d, old := h.call("+14255550123")
	h.obey(d, obey{})
	invites := make(chan *sip.Message, 5)
	h.handle("INVITE", func(tx *sip.ServerTx) {
		invites <- tx.Request().Clone()
		h.answer(tx)
	})
	tr, err := b.teams.TransferToNumber(t.Context(), old, "+442079460199")
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := <-invites
	if from, _ := second.From(); from.URI.User != "+13035550177" || second.Has("History-Info") || second.Get("P-Asserted-Identity") != "<tel:+14255550123>" ||
		!strings.HasPrefix(second.RequestURI, "sip:+442079460199@1r1.lab.test") {
		t.Errorf("the second INVITE:\n%s", second)
	}
	b.ended(old)
	b.noViolations()
	tr.Call().HangUp()
}

func TestParkedCallsComeBack(t *testing.T) {
	b, h := handBench(t)
	d, old := h.call("+14255550123")
	h.obey(d, obey{})
	parked, err := b.teams.Park(t.Context(), old, Music())
	if err != nil {
		t.Fatal(err)
	}
	if err := parked.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if uri := parked.Call().Brief().Invite; !strings.Contains(uri, "x-m=28:") {
		t.Errorf("the bot's INVITE:\n%s", uri)
	}
	h.handle("INVITE", func(tx *sip.ServerTx) {
		h.answer(tx)
		h.mu.Lock()
		bot := h.newest
		h.mu.Unlock()
		h.tasks.Go(func() { <-h.ask(bot.NewRequest("BYE")) })
	})
	back, err := b.teams.Unpark(t.Context(), parked)
	if err != nil {
		t.Fatal(err)
	}
	b.answered(back)
	b.ended(parked.Call())
	if f := back.Brief(); f.From != "+14255550123" || f.To != "+13035550177" {
		t.Errorf("back from %s to %s", f.From, f.To)
	}
	b.noViolations()
	back.HangUp()
}

// An attended transfer joins who was referred with who was consulted.
func TestAnAttendedTransferJoinsBoth(t *testing.T) {
	b, h := handBench(t)
	d, old := h.call("+14255550123")
	h.obey(d, obey{})
	h.handle("INVITE", h.answer)
	consultation, err := b.teams.Dial(t.Context(), phone.CallSpec{From: "+14255550123", To: "+442079460199"})
	if err != nil {
		t.Fatal(err)
	}
	b.answered(consultation)
	tr, err := b.teams.TransferTo(t.Context(), old, consultation)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(tr.By, ";x-tt=") || !strings.Contains(tr.By, "%2F") && !strings.Contains(tr.By, "%2B") && !strings.Contains(tr.By, "%3D") {
		t.Errorf("Referred-By: %s", tr.By)
	}
	if err := tr.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.ended(old)
	tr.Call().HangUp()
	if f := b.ended(consultation); f.HungUpBy != "us" {
		t.Errorf("the consultation was ended by %s", f.HungUpBy)
	}
	b.noViolations()
}

// RFC 6442; Microsoft Teams docs, Plan for emergency calling.
func TestAnEmergencyCallTellsThePlace(t *testing.T) {
	_, h := handBench(t)
	b := h.b
	got := make(chan *sip.Message, 1)
	h.handle("INVITE", func(tx *sip.ServerTx) {
		got <- tx.Request().Clone()
		h.answer(tx)
	})
	call, err := b.teams.Dial(t.Context(), Emergency("+14255550123", "911", "+14255550911"))
	if err != nil {
		t.Fatal(err)
	}
	b.answered(call)
	m := <-got
	parts := strings.Split(string(m.Body), "--bnd42")
	if len(parts) != 4 || parts[3] != "--\r\n" || !strings.HasPrefix(parts[1], "\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n") ||
		!strings.Contains(parts[2], "Content-ID: <loc1@contoso.example>\r\n\r\n<?xml") || !strings.Contains(parts[2], "<ELIN>+14255550911</ELIN>") {
		t.Errorf("the body:\n%s", m.Body)
	}
	if m.Get("Content-Type") != "multipart/mixed;boundary=bnd42" || m.Get("Geolocation") != "<cid:loc1@contoso.example>" || m.Get("Priority") != "emergency" {
		t.Errorf("%s", m)
	}
	call.HangUp()
	b.ended(call)
	b.noViolations()
}

// RFC 3389.
func TestSilenceIsNoted(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Gap = 400 * time.Millisecond })
	b.teams.Answer("", phone.Behaviour{})
	call := b.dial(phone.CallSpec{From: "+13035550177", To: "+14255550123"})
	b.answered(call)
	user := b.teams.Calls()[0]
	b.wait("sound", func() bool { return user.Brief().Packets.Received > 20 })
	call.Mute(phone.Comfort)
	b.wait("comfort noise", func() bool { return user.Brief().Packets.Comfort > 3 })
	if err := call.Hold(t.Context()); err != nil {
		t.Fatal(err)
	}
	select { // hold is no silence
	case <-time.After(700 * time.Millisecond):
	case <-t.Context().Done():
	}
	if err := call.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.noViolations()
	call.Mute(phone.Silent)
	b.wait("the note", func() bool { return len(b.noted()) > 0 })
	if rules := b.noted(); rules[0] != "silence" {
		t.Errorf("noted %v", rules)
	}
	call.Mute(phone.Speaking)
	before := user.Brief().Packets.Received
	b.wait("sound again", func() bool { return user.Brief().Packets.Received > before+5 })
}

// RFC 3261 section 12.2.1.1: a dialog's parties keep their names.
func TestAPartyThatChangesItsNameIsNoted(t *testing.T) {
	b := newBench(t, nil)
	b.teams.Answer("", phone.Behaviour{})
	call := b.dial(phone.CallSpec{From: "+13035550177", To: "+14255550123"})
	b.answered(call)
	wrong := func(m *sip.Message) {
		if m.Method == "BYE" {
			m.Set("From", strings.Replace(m.Get("From"), ";user=phone", "", 1))
		}
	}
	b.wrong.Store(&wrong)
	call.HangUp()
	b.ended(b.teams.Calls()[0])
	if rules := b.noted(); len(rules) != 1 || rules[0] != "mirror" {
		t.Errorf("noted %v", rules)
	}
}
