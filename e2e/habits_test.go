package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// What cores do and Teams must not notice, nor the subscriber.

// Teams refuses an INVITE without an offer, so the gateway makes one.
func TestLateOffer(t *testing.T) {
	t.Parallel()
	needSIPp(t)
	w := build(t, setup{})
	w.teams.Answer(user, phone.Behaviour{})
	w.teamsReady()
	w.sipp("uac_late", w.site(0), "-m", "1", "-d", "2000", "-rtp_echo").succeeded(20 * time.Second)
	f := w.ended(w.received())
	if !strings.Contains(f.Invite, "m=audio") {
		t.Errorf("Teams got an INVITE without an offer:\n%s", f.Invite)
	}
	heard(t, "what Teams' user said and SIPp returned", audio.Compare(f.Sent, f.Heard))
	w.behaved()
}

// Some cores take a held call back by an INVITE without an offer.
func TestLateOfferAfterHold(t *testing.T) {
	t.Parallel()
	needSIPp(t)
	w := build(t, setup{})
	w.teams.Answer(user, phone.Behaviour{})
	w.teamsReady()
	s := w.sipp("uac_reoffer", w.site(0), "-m", "1", "-d", "2000", "-rtp_echo")
	call := w.received()
	w.heldAndBack(call)
	s.succeeded(20 * time.Second)
	heardLast(t, w.ended(call))
	w.behaved()
}

// RFC 3261 section 7.3 allows much that nobody writes, until somebody does.
func TestGrammar(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		w.teams.Answer(user, phone.Behaviour{})
		w.teamsReady()
		w.sipp("uac_compact", w.site(0), "-m", "1", "-d", "1000", "-rtp_echo").succeeded(20 * time.Second)
		if r := w.records(1)[0]; r.From != subscriber || r.To != user {
			t.Errorf("the record is of a call from %s to %s", r.From, r.To)
		}
		w.behaved()
	})
}

// A call stands what is refused inside it.
func TestMethodsInCall(t *testing.T) {
	t.Parallel()
	needSIPp(t)
	w := build(t, setup{})
	w.teams.Answer(user, phone.Behaviour{})
	w.teamsReady()
	w.sipp("uac_methods", w.site(0), "-m", "1", "-d", "500").succeeded(20 * time.Second)
	w.records(1)
	w.behaved()
}

func TestEarlyMedia(t *testing.T) {
	t.Parallel()
	needSIPp(t)
	w := build(t, setup{})
	speech := audio.Speech(31)
	w.write("speech.alaw", audio.ALaw.Encode(nil, speech))
	core := w.core("uas_early", 0, "-d", "2000")
	w.teamsReady()
	f := w.dial(phone.CallSpec{From: user, To: subscriber, Duration: 2 * time.Second})
	core.finish()
	if early := f.Answered.Sub(f.Heard.At); f.EarlyAt.IsZero() || early < time.Second {
		t.Errorf("Teams' user heard the first sound %s before the answer", early)
	}
	heard(t, "what the core said before the answer and after it", audio.Listen(speech[:4*audio.Rate], f.Heard.PCM))
	w.behaved()
}

func TestCoreForks(t *testing.T) {
	t.Parallel()
	needSIPp(t)
	w := build(t, setup{})
	core := w.core("uas_forks", 0, "-d", "500", "-rtp_echo")
	w.teamsReady()
	f := w.dial(phone.CallSpec{From: user, To: subscriber, Duration: 2 * time.Second})
	core.finish()
	heard(t, "what Teams' user said", audio.Compare(f.Sent, f.Heard))
	w.behaved()
}

// Teams must never see a redirection, for nothing says what it does with one.
func TestCoreRedirects(t *testing.T) {
	t.Parallel()
	needSIPp(t)
	w := build(t, setup{})
	core := w.core("uas_302", 0)
	w.teamsReady()
	f := w.dial(phone.CallSpec{From: user, To: subscriber})
	core.finish()
	if f.Status < 400 {
		t.Errorf("Teams was told %d", f.Status)
	}
	w.records(1)
	w.behaved()
}

// A site that says nothing at all to an INVITE is given up early enough for
// Teams not to give up itself.
func TestSilentSite(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport, sites: 2})
		a, b := w.core("uas_silent", 0), w.core("uas", 1)
		w.teamsReady()
		f := w.dial(phone.CallSpec{From: user, To: subscriber, Duration: 500 * time.Millisecond})
		a.finish()
		b.finish()
		r := w.records(1)[0]
		if len(r.Attempts) != 2 || r.Attempts[0].Status != 0 || r.Attempts[0].Error == "" || r.Answered == nil || len(f.Attempts) != 1 {
			t.Errorf("the record has attempts %+v; Teams tried %+v", r.Attempts, f.Attempts)
		}
		w.behaved()
	})
}

// A fifth of the messages is lost each way; all calls succeed nevertheless.
func TestLostMessages(t *testing.T) {
	t.Parallel()
	needSIPp(t)
	const calls = 20
	w := build(t, setup{})
	w.teams.Answer(user, phone.Behaviour{})
	w.teamsReady()
	w.sipp("uac", w.site(0), "-m", "20", "-r", "5", "-d", "1000", "-lost", "20").succeeded(40 * time.Second)
	for _, r := range w.records(calls) {
		if r.Answered == nil || r.Failed() {
			t.Errorf("a call failed: %+v", r.Cause)
		}
	}
	w.behaved()
}

// A core may answer from behind proxies that stay in the way (RFC 3261
// section 16.6): what follows in the dialog goes through all of them.
func TestCoreRoutes(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		core := w.core("uas_routed", 0)
		w.teamsReady()
		f := w.dial(phone.CallSpec{From: user, To: subscriber, Duration: 500 * time.Millisecond})
		core.finish()
		if f.Status != 200 {
			t.Errorf("Teams was told %d", f.Status)
		}
		w.records(1)
		w.behaved()
	})
}

// An answer that crosses the CANCEL on its way is acknowledged and released.
func TestAnswerCrossesCancel(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		core := w.core("uas_cross", 0)
		w.teamsReady()
		f := w.dial(phone.CallSpec{From: user, To: subscriber, Patience: 500 * time.Millisecond})
		w.until(10*time.Second, func() string {
			if core.saw("BYE") == 0 {
				return "SIPp, which answered, has got no BYE"
			}
			return ""
		})
		core.finish()
		if f.Status != 487 {
			t.Errorf("Teams' user gave up and was told %d", f.Status)
		}
		w.records(1)
		w.behaved()
	})
}

// Teams refuses the address 0.0.0.0, by which RFC 2543 put calls on hold.
func TestOldHold(t *testing.T) {
	t.Parallel()
	needSIPp(t)
	w := build(t, setup{})
	w.teams.Answer(user, phone.Behaviour{})
	w.teamsReady()
	s := w.sipp("uac_zero", w.site(0), "-m", "1", "-d", "2000", "-rtp_echo")
	call := w.received()
	w.heldAndBack(call)
	s.succeeded(20 * time.Second)
	heardLast(t, w.ended(call))
	w.behaved()
}
