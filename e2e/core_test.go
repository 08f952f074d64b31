package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// each runs a test for each transport that SIPp and a core have in common.
func each(t *testing.T, f func(t *testing.T, transport string)) {
	t.Helper()
	t.Parallel()
	needSIPp(t)
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			f(t, transport)
		})
	}
}

func TestSIPpCallsTeams(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		w.teams.Answer(user, phone.Behaviour{Ring: 100 * time.Millisecond, Send: audio.Speech(11)})
		w.teamsReady()
		w.sipp("uac", w.site(0), "-m", "1", "-d", "4000", "-rtp_echo").succeeded(20 * time.Second)

		f := w.ended(w.received())
		heard(t, "what Teams' user said and SIPp returned", audio.Compare(f.Sent, f.Heard))
		r := w.records(1)[0]
		w.legs(r, r.Callee, r.Caller, f)
		if r.Cause.By != record.ByCaller {
			t.Errorf("the record says that the call was ended by %q: %+v", r.Cause.By, r.Cause)
		}
		w.behaved()
	})
}

func TestTeamsCallsSIPp(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		core := w.core("uas", 0, "-rtp_echo")
		w.teamsReady()
		f := w.dial(phone.CallSpec{From: user, To: subscriber, Send: audio.Speech(12), Duration: 4 * time.Second})
		core.finish()

		heard(t, "what Teams' user said and SIPp returned", audio.Compare(f.Sent, f.Heard))
		r := w.records(1)[0]
		w.legs(r, r.Caller, r.Callee, f)
		if r.Cause.By != record.ByCaller || r.Callee.Peer != "site-0" {
			t.Errorf("the record says that the call to %q was ended by %q", r.Callee.Peer, r.Cause.By)
		}
		w.behaved()
	})
}

// SIPp talks from a file of its own, in a direction of its own.
func TestSIPpTalksToTeams(t *testing.T) {
	t.Parallel()
	needSIPp(t)
	w := build(t, setup{})
	w.teams.Answer(user, phone.Behaviour{})
	speech := audio.Speech(13)
	w.write("speech.alaw", audio.ALaw.Encode(nil, speech))
	w.teamsReady()
	w.sipp("uac_talk", w.site(0), "-m", "1", "-d", "6000").succeeded(20 * time.Second)
	f := w.ended(w.received())
	heard(t, "SIPp's speech", audio.Listen(speech, f.Heard.PCM))
	w.behaved()
}

// A node has to stand a busy minute: not a call may fail.
func TestManyCalls(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		const calls = 50
		load := []string{"-m", "50", "-r", "10", "-d", "1500", "-rtp_echo"}
		w := build(t, setup{transport: transport})
		w.teams.Answer(user, phone.Behaviour{})
		w.teamsReady()
		w.sipp("uac", w.site(0), load...).succeeded(40 * time.Second)
		for _, r := range w.records(calls) {
			if r.Answered == nil || r.Failed() || r.Callee.Media.Packets == 0 || r.Caller.Media.Packets == 0 {
				t.Errorf("a call of the batch went wrong: %+v", r)
			}
		}
		w.behaved()
	})
}

func TestWhoHangsUp(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		w.teams.Answer(user, phone.Behaviour{HangUp: 500 * time.Millisecond})
		w.teamsReady()
		w.sipp("uac_bye", w.site(0), "-m", "1").succeeded(20 * time.Second)

		core := w.core("uas_bye", 0, "-d", "500")
		f := w.dial(phone.CallSpec{From: user, To: subscriber})
		core.finish()
		if f.HungUpBy != "them" {
			t.Errorf("Teams' user was hung up on by %q, must have been by SIPp", f.HungUpBy)
		}
		for _, r := range w.records(2) {
			if r.Cause.By != record.ByCallee || r.Answered == nil {
				t.Errorf("the called side hung up; the record has %+v", r.Cause)
			}
		}
		w.behaved()
	})
}

func TestGivingUp(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		w.teams.Answer(user, phone.Behaviour{NoAnswer: true})
		w.teamsReady()
		w.sipp("uac_cancel", w.site(0), "-m", "1", "-d", "300").succeeded(20 * time.Second)
		if f := w.ended(w.received()); !f.Answered.IsZero() {
			t.Errorf("the call that SIPp gave up was answered at %s", f.Answered)
		}

		core := w.core("uas_ring", 0)
		f := w.dial(phone.CallSpec{From: user, To: subscriber, Patience: 500 * time.Millisecond})
		core.finish()
		if f.Status != 487 || core.saw("CANCEL") != 1 {
			t.Errorf("Teams' user gave up and was told %d; SIPp saw %d CANCELs", f.Status, core.saw("CANCEL"))
		}
		for _, r := range w.records(2) {
			if r.Answered != nil || r.Failed() || r.Cause.By != record.ByCaller {
				t.Errorf("the caller gave up; the record has %+v", r.Cause)
			}
		}
		w.behaved()
	})
}

func TestBusy(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport, sites: 2})
		w.teams.Answer(user, phone.Behaviour{Ring: 100 * time.Millisecond, Status: 486})
		w.teamsReady()
		w.sipp("uac_busy", w.site(0), "-m", "1").succeeded(20 * time.Second)

		a, b := w.core("uas_busy", 0), w.core("uas", 1)
		f := w.dial(phone.CallSpec{From: user, To: subscriber})
		a.finish()
		b.finish()
		if f.Status != 486 || b.saw("INVITE") != 0 {
			t.Errorf("Teams' user was told %d, and the second site got %d INVITEs: a busy line is busy at both", f.Status, b.saw("INVITE"))
		}
		for _, r := range w.records(2) {
			if r.Answered != nil || r.Failed() || r.Cause.Status != 486 || len(r.Attempts) != 1 {
				t.Errorf("the called line was busy; the record has %+v, attempts %+v", r.Cause, r.Attempts)
			}
		}
		w.behaved()
	})
}

// A site that takes no calls answers 503, and only then the other one is
// tried.
func TestFailover(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport, sites: 2})
		a, b := w.core("uas_503", 0), w.core("uas", 1, "-rtp_echo")
		w.teamsReady()
		f := w.dial(phone.CallSpec{From: user, To: subscriber, Duration: 2 * time.Second})
		a.finish()
		b.finish()
		heard(t, "what Teams' user said and the second site returned", audio.Compare(f.Sent, f.Heard))
		r := w.records(1)[0]
		var tried []int
		for _, at := range r.Attempts {
			tried = append(tried, at.Status)
		}
		if !slices.Equal(tried, []int{503, 200}) || r.Callee.Peer != "site-1" || a.saw("INVITE") != 1 {
			t.Errorf("the first site saw %d INVITEs; the record has attempts %+v and the peer %s", a.saw("INVITE"), r.Attempts, r.Callee.Peer)
		}
		w.behaved()
	})
}

func TestSIPpHolds(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		w := build(t, setup{transport: transport})
		w.teams.Answer(user, phone.Behaviour{})
		w.teamsReady()
		s := w.sipp("uac_hold", w.site(0), "-m", "1", "-d", "2000", "-rtp_echo")
		call := w.received()
		w.heldAndBack(call)
		s.succeeded(20 * time.Second)
		heardLast(t, w.ended(call))

		core := w.core("uas_hold", 0, "-d", "500", "-rtp_echo")
		f := w.dial(phone.CallSpec{From: user, To: subscriber, Duration: 4 * time.Second})
		core.finish()
		if f.Held || f.Reinvites != 2 {
			t.Errorf("Teams' user saw %d re-INVITEs, is held: %v", f.Reinvites, f.Held)
		}
		heardLast(t, f)
		w.records(2)
		w.behaved()
	})
}

// heldAndBack waits until Teams' user is put on hold and taken back.
func (w *world) heldAndBack(c *phone.Call) {
	w.t.Helper()
	w.held(c)
	w.takenBack(c)
}

func (w *world) held(c *phone.Call) {
	w.t.Helper()
	w.until(10*time.Second, func() string {
		if !c.Facts().Held {
			return "Teams' user was not put on hold"
		}
		return ""
	})
}

func (w *world) takenBack(c *phone.Call) {
	w.t.Helper()
	w.until(10*time.Second, func() string {
		if f := c.Facts(); f.Held || f.Reinvites != 2 {
			return "Teams' user was not taken back"
		}
		return ""
	})
}

// heardLast fails the test unless Teams' user heard its own last words come
// back from SIPp.
func heardLast(t *testing.T, f phone.Facts) { t.Helper(); heardLastOf(t, f.Sent.PCM, f) }

// heardLastOf fails the test unless Teams' user heard the last of what was
// sent.
func heardLastOf(t *testing.T, sent []int16, f phone.Facts) {
	t.Helper()
	const d = 3 * audio.Rate / 2
	back := f.Heard.PCM
	heard(t, "what was said after the hold", audio.Listen(sent[max(0, len(sent)-d):], back[max(0, len(back)-d):]))
}

// dial places a call from Teams' user, waits for its end and gives its facts.
func (w *world) dial(spec phone.CallSpec) phone.Facts {
	w.t.Helper()
	c, err := w.teams.Dial(w.ctx, spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.ended(c)
}

// ended waits for the end of a call and gives its facts.
func (w *world) ended(c *phone.Call) phone.Facts {
	w.t.Helper()
	select {
	case <-c.Done():
	case <-time.After(20 * time.Second):
		w.t.Fatal("the call has not ended by itself")
	}
	return c.Facts()
}

// legs checks that the record agrees with what the far sides saw.
func (w *world) legs(r record.Call, cloud, operator record.Leg, teams phone.Facts) {
	w.t.Helper()
	if cloud.SRTP == "" || cloud.SRTP != teams.Suite || cloud.Codec != teams.Codec {
		w.t.Errorf("the record has %q by %q towards Teams, which saw %q by %q", cloud.Codec, cloud.SRTP, teams.Codec, teams.Suite)
	}
	if operator.SRTP != "" || operator.Codec != "PCMA" || !strings.EqualFold(operator.Transport, w.transport) {
		w.t.Errorf("the record has %q by %q on %q towards SIPp, which had PCMA in the clear on %s", operator.Codec, operator.SRTP, operator.Transport, w.transport)
	}
	if r.Answered == nil || cloud.Media.Packets == 0 || operator.Media.Packets == 0 {
		w.t.Errorf("the record of an answered call has %v, %d packets from Teams, %d from SIPp", r.Answered, cloud.Media.Packets, operator.Media.Packets)
	}
}

// lossAllowed is what may be missing: the first packets of a call, for the most
// part. On a machine that stands still for longer than a telephone buffers, it
// says nothing of the gateway that sound is missing, only that some is there.
func lossAllowed() float64 {
	if stalls.lately() {
		return 0.5
	}
	return 0.05
}

// heard fails the test unless somebody heard what was sent.
func heard(t *testing.T, what string, r audio.Report) {
	t.Helper()
	if !r.Same || r.Loss > lossAllowed() {
		t.Errorf("%s was not heard: %+v", what, r)
		return
	}
	t.Logf("%s was heard: %+v", what, r)
}

// write puts a file into the world's folder.
func (w *world) write(name string, data []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}
