package carrier

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

const subscriber, user = "+442079460123", "+14255550123"

// imsBench is a core with everything.
func imsBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := newBench(t, sip.UDP, func(c *Config) {
		c.Methods, c.IMS, c.LeastSession = Everything, true, time.Second
		c.Codecs = []string{"PCMA", "PCMU", "G722", "AMR-WB"}
		if change != nil {
			change(c)
		}
	})
	b.up()
	return b
}

// out places a call from the core to the gateway's user.
func (b *bench) out(spec phone.CallSpec) *phone.Call {
	b.t.Helper()
	spec.From, spec.To = subscriber, user
	c, err := b.core.Dial(b.t.Context(), spec)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) noted() (rules []string) {
	for _, v := range b.core.Violations() {
		rules = append(rules, v.Rule)
	}
	return rules
}

// RFC 3262, RFC 3311, RFC 3312.
func TestReliableResponsesBothWays(t *testing.T) {
	early := phone.Behaviour{Ring: 300 * time.Millisecond, EarlyMedia: true, Reliable: "supported", Forks: 1}
	met := early
	met.Preconditions = true
	for _, c := range []struct {
		name   string
		spec   phone.CallSpec
		does   phone.Behaviour
		pracks int
	}{
		{"early media, reliably", phone.CallSpec{Reliable: "supported"}, early, 1},
		{"early media of another telephone than the one that answers", phone.CallSpec{Reliable: "supported"}, phone.Behaviour{Ring: 300 * time.Millisecond, EarlyMedia: true, Reliable: "supported", Forks: 2, Winner: 1}, 2},
		{"ringing alone", phone.CallSpec{Reliable: "require"}, phone.Behaviour{Ring: 200 * time.Millisecond, Reliable: "require"}, 1},
		{"the offer in the 183, the answer in its PRACK", phone.CallSpec{Reliable: "supported", LateSDP: true}, early, 1},
		{"preconditions that are met by UPDATE", phone.CallSpec{Reliable: "supported", Preconditions: true}, met, 2},
		{"preconditions the other side does not know", phone.CallSpec{Reliable: "supported", Preconditions: true}, early, 1},
		{"not at all", phone.CallSpec{Reliable: "supported"}, phone.Behaviour{Ring: 100 * time.Millisecond, EarlyMedia: true}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := imsBench(t, nil)
			c.spec.Duration = 1200 * time.Millisecond
			if c.does.Forks < 2 { // which a gateway does not show
				b.peers[0].Answer(user, c.does)
				caller := b.ended(b.out(c.spec))
				callee := b.ended(b.peers[0].Calls()[0])
				heard(t, "the gateway", caller, callee)
				heard(t, "the subscriber", callee, caller)
				if callee.Pracks != c.pracks || c.does.Preconditions != (callee.Updates == 1) {
					t.Errorf("%d PRACK, %d UPDATE", callee.Pracks, callee.Updates)
				}
			}

			b.core.Answer(subscriber, c.does)
			in := c.spec
			in.From, in.To = user, subscriber
			caller := b.ended(b.dial(in))
			callee := b.ended(b.core.Calls()[len(b.core.Calls())-1])
			heard(t, "the subscriber that was called", caller, callee)
			heard(t, "the gateway that called", callee, caller)
			if callee.Pracks != c.pracks {
				t.Errorf("%d PRACK", callee.Pracks)
			}
			b.noViolations()
		})
	}
}

func TestWrongReliableResponses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spec  phone.CallSpec
		does  phone.Behaviour
		wrong func(*sip.Message)
		rule  string
	}{
		{"required, and not done", phone.CallSpec{Reliable: "require"}, phone.Behaviour{Ring: 50 * time.Millisecond}, nil, "100rel"},
		{"no RSeq", phone.CallSpec{Reliable: "supported"}, phone.Behaviour{Ring: 50 * time.Millisecond, Reliable: "supported"}, func(m *sip.Message) { m.Del("RSeq") }, "rseq"},
		{"RSeq out of order", phone.CallSpec{Reliable: "supported"}, phone.Behaviour{Ring: 50 * time.Millisecond, EarlyMedia: true, Reliable: "supported", Forks: 2}, func(m *sip.Message) {
			if m.Status == 183 {
				to, _ := m.To()
				m.Set("To", strings.Replace(m.Get("To"), to.Tag(), "same", 1))
				m.Set("RSeq", "3")
			} else if m.Status == 180 {
				to, _ := m.To()
				m.Set("To", strings.Replace(m.Get("To"), to.Tag(), "same", 1))
			}
		}, "rseq"},
		{"PRACK refused", phone.CallSpec{Reliable: "supported"}, phone.Behaviour{Ring: 50 * time.Millisecond, Reliable: "supported"}, func(m *sip.Message) {
			if cseq, _ := m.CSeq(); cseq.Method == "PRACK" {
				m.Status = 481
			}
		}, "prack"},
		{"ringing before resources are reserved", phone.CallSpec{Reliable: "supported", Preconditions: true}, phone.Behaviour{Ring: 50 * time.Millisecond, Reliable: "supported", Preconditions: true}, func(m *sip.Message) {
			if cseq, _ := m.CSeq(); cseq.Method == "UPDATE" {
				m.Body = []byte(strings.Replace(string(m.Body), "local sendrecv", "local none", 1))
			}
		}, "precondition"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := imsBench(t, nil)
			if c.wrong != nil {
				b.wrong.Store(&c.wrong)
			}
			b.peers[0].Answer(user, c.does)
			c.spec.Duration, c.spec.Patience = 100*time.Millisecond, 700*time.Millisecond
			b.ended(b.out(c.spec))
			if rules := b.noted(); len(rules) == 0 || rules[0] != c.rule {
				t.Errorf("noted %+v, want %s", b.core.Violations(), c.rule)
			}
		})
	}
}

func TestAWrongPrackIsNoted(t *testing.T) {
	b := imsBench(t, nil)
	b.core.Answer(subscriber, phone.Behaviour{Ring: 100 * time.Millisecond, Reliable: "supported"})
	wrong := func(m *sip.Message) {
		if m.Method == "PRACK" {
			m.Set("RAck", "99 1 INVITE")
		}
	}
	b.wrong.Store(&wrong)
	b.ended(b.dial(phone.CallSpec{From: user, To: subscriber, Reliable: "supported", Patience: 500 * time.Millisecond}))
	if rules := b.noted(); !slices.Equal(rules, []string{"rack"}) {
		t.Errorf("noted %v", rules)
	}
}

func TestWhoCannotDoReliableResponsesIsRefused(t *testing.T) {
	b := imsBench(t, nil)
	b.core.Answer(subscriber, phone.Behaviour{Reliable: "require"})
	if f := b.ended(b.dial(phone.CallSpec{From: user, To: subscriber})); f.Status != 421 || !strings.Contains(f.Responses[len(f.Responses)-1], "Require: 100rel") {
		t.Errorf("%d: %v", f.Status, f.Responses)
	}
}

// talk sets a call up both ends of which are known.
func (b *bench) talk(spec phone.CallSpec, does phone.Behaviour) (caller, callee *phone.Call) {
	b.t.Helper()
	b.peers[0].Answer(user, does)
	caller = b.out(spec)
	if err := caller.Wait(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	callee = b.peers[0].Calls()[len(b.peers[0].Calls())-1]
	b.wait("the ACK", callee.Established)
	return caller, callee
}

func TestUpdatesInACall(t *testing.T) {
	b := imsBench(t, nil)
	caller, callee := b.talk(phone.CallSpec{}, phone.Behaviour{})
	for _, c := range []*phone.Call{caller, callee} {
		for _, offer := range []bool{true, false} {
			if err := c.Update(t.Context(), offer); err != nil {
				t.Error(err)
			}
		}
	}
	if caller.Brief().Updates != 2 || callee.Brief().Updates != 2 {
		t.Error("not all of them came")
	}
	caller.HangUp()
	b.ended(callee)
	b.noViolations()
}

// RFC 3264 section 8.4.
func TestEachFormOfHold(t *testing.T) {
	for name, form := range Holds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := imsBench(t, nil)
			caller, callee := b.talk(phone.CallSpec{}, phone.Behaviour{})
			b.wait("sound", func() bool { return callee.Brief().Packets.Received > 5 })
			if err := caller.HoldAs(t.Context(), form); err != nil {
				t.Fatal(err)
			}
			silent := name != "recvonly"
			if name == "recvonly" { // which the far side may go on speaking to
				b.wait("sound on hold", func() bool { return !callee.Brief().Held })
			} else {
				b.wait("hold on the other side", func() bool { return callee.Brief().Held })
			}
			from := callee.Brief().Packets.Received
			before := caller.Brief().Packets.Received
			b.pause(400 * time.Millisecond)
			if n := callee.Brief().Packets.Received - from; (n > 10) != (name == "music") {
				t.Errorf("the one on hold got %d packets", n)
			}
			if n := caller.Brief().Packets.Received - before; (n > 3) == silent {
				t.Errorf("the holder got %d packets", n)
			}
			if err := caller.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			now := callee.Brief().Packets.Received
			b.wait("the end of hold", func() bool { return !callee.Brief().Held && callee.Brief().Packets.Received > now+10 })
			caller.HangUp()
			b.ended(callee)
			b.noViolations()
		})
	}
}

func (b *bench) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-b.t.Context().Done():
	}
}

func TestKeysInEachWay(t *testing.T) {
	b := imsBench(t, nil)
	caller, callee := b.talk(phone.CallSpec{Send: make([]int16, audio.Rate)}, phone.Behaviour{Send: make([]int16, audio.Rate)})
	caller.Press("12", "")
	caller.Press("3#", "info")
	b.wait("events and INFO", func() bool { return len(callee.Brief().Digits) == 4 })
	caller.Press("456", "inband")
	callee.Press("7", "info")
	b.wait("INFO from the gateway", func() bool { return caller.Brief().Digits == "7" })
	b.wait("tones", func() bool { return len(callee.Facts().Tones) == 3 })
	caller.HangUp()
	f := b.ended(callee)
	if got := []byte(f.Digits); f.Tones != "456" || strings.Trim(string(got), "123#") != "" {
		t.Errorf("digits %q, tones %q", f.Digits, f.Tones)
	}
	b.noViolations()
}

// RFC 5621 section 3.1.
func TestADescriptionAmongOtherParts(t *testing.T) {
	b := imsBench(t, nil)
	b.core.Answer(subscriber, phone.Behaviour{Send: audio.Speech(3)})
	call := b.dial(phone.CallSpec{From: user, To: subscriber, Duration: time.Second, Parts: []phone.Part{{Type: "application/pidf+xml", ID: "x", Text: "<presence/>"}}})
	caller := b.ended(call)
	callee := b.ended(b.core.Calls()[0])
	heard(t, "the caller", callee, caller)
	if !strings.Contains(callee.Invite, "<presence/>") {
		t.Errorf("%s", callee.Invite)
	}
	b.noViolations()
}

func TestKeysInEarlyMedia(t *testing.T) {
	b := imsBench(t, nil)
	b.peers[0].Answer(user, phone.Behaviour{EarlyMedia: true, NoAnswer: true})
	caller := b.out(phone.CallSpec{})
	b.wait("early media", func() bool { return caller.Brief().Packets.Received > 0 })
	callee := b.peers[0].Calls()[0]
	if callee.Brief().Packets.Received > 0 {
		t.Error("the caller speaks before he is answered")
	}
	caller.Press("90", "")
	b.wait("keys", func() bool { return callee.Brief().Digits == "90" })
	caller.HangUp()
	b.ended(callee)
	b.noViolations()
}

// RFC 3515, RFC 3891, RFC 5589.
func TestTransfersByTheCore(t *testing.T) {
	b := imsBench(t, nil)
	b.core.Answer("+442079460199", phone.Behaviour{Ring: 50 * time.Millisecond})
	b.core.Answer("+442079460186", phone.Behaviour{Status: 486})
	caller, callee := b.talk(phone.CallSpec{}, phone.Behaviour{})
	failed, err := b.core.Transfer(t.Context(), caller, "+442079460186")
	if err != nil {
		t.Fatal(err)
	}
	if err := failed.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "486") || caller.Brief().HungUpBy != "" {
		t.Errorf("a transfer to somebody busy: %v, %+v", err, caller.Brief().HungUpBy)
	}
	good, err := b.core.Transfer(t.Context(), caller, "+442079460199")
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if got := good.Notified(); good.Accepted() != 202 || got[0] != 100 || got[len(got)-1] != 200 {
		t.Errorf("%d, notified %v", good.Accepted(), got)
	}
	if f := b.ended(callee); f.HungUpBy != "them" {
		t.Errorf("ended by %s", f.HungUpBy)
	}
	<-b.refers
	<-b.refers

	one, _ := b.talk(phone.CallSpec{}, phone.Behaviour{})
	two, gatewaysTwo := b.talk(phone.CallSpec{}, phone.Behaviour{})
	b.core.Answer(user, phone.Behaviour{}) // where the scripted gateway finds him
	attended, err := b.core.TransferTo(t.Context(), one, two)
	if err != nil {
		t.Fatal(err)
	}
	if err := attended.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	id, theirs, ours, err := gatewaysTwo.Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("?Replaces=%s%%3Bto-tag%%3D%s%%3Bfrom-tag%%3D%s>", id, ours, theirs); !strings.HasSuffix((<-b.refers).Get("Refer-To"), want) {
		t.Errorf("want %s", want)
	}
	b.ended(one)
	if b.noViolations(); len(b.noted()) > 0 {
		return
	}
	b.ended(two) // which this gateway forgets to hang up on
	if rules := b.noted(); !slices.Equal(rules, []string{"replaces-left"}) {
		t.Errorf("noted %v", rules)
	}
}

func TestARedirection(t *testing.T) {
	b := imsBench(t, nil)
	b.core.Answer(subscriber, phone.Behaviour{Status: 302, Redirect: "sip:+442079460199@core.test"})
	f := b.ended(b.dial(phone.CallSpec{From: user, To: subscriber}))
	if f.Status != 302 || !strings.Contains(f.Responses[len(f.Responses)-1], "Contact: <sip:+442079460199@core.test>\r\n") {
		t.Errorf("%d %v", f.Status, f.Responses)
	}
}

func TestCodecsAndPacketTimes(t *testing.T) {
	for _, c := range []struct {
		codec string
		ptime int
	}{{"PCMA", 30}, {"PCMU", 40}, {"G722", 0}, {"G722", 10}, {"PCMU", 0}} {
		t.Run(fmt.Sprint(c.codec, c.ptime), func(t *testing.T) {
			t.Parallel()
			b := imsBench(t, nil)
			b.peers[0].Answer(user, phone.Behaviour{Send: audio.Speech(4)})
			caller := b.ended(b.out(phone.CallSpec{Codec: c.codec, Ptime: c.ptime, Duration: 1500 * time.Millisecond}))
			callee := b.ended(b.peers[0].Calls()[0])
			heard(t, "the gateway", caller, callee)
			heard(t, "the subscriber", callee, caller)
			if c.ptime > 0 && !strings.Contains(caller.Invite, fmt.Sprintf("a=ptime:%d\r\n", c.ptime)) {
				t.Errorf("%s", caller.Invite)
			}
			every := c.ptime
			if every == 0 {
				every = 20
			}
			if n := int(caller.Packets.Sent); caller.Codec != c.codec || n > 1800/every || n < 900/every {
				t.Errorf("%d packets of %s", n, caller.Codec)
			}
			b.noViolations()
		})
	}
}

func TestAMRWBIsSaid(t *testing.T) {
	b := imsBench(t, nil)
	b.core.Answer(subscriber, phone.Behaviour{Codec: "AMR-WB"})
	call := b.dial(phone.CallSpec{From: user, To: subscriber, Duration: 500 * time.Millisecond})
	b.ended(call)
	got := call.Payloads()
	want := audio.AMRWB.Precoded("octet-align=1")
	if len(got) < 10 || !slices.Equal(got[0], want[0]) && !slices.ContainsFunc(want, func(w []byte) bool { return slices.Equal(w, got[0]) }) {
		t.Errorf("%d payloads", len(got))
	}
	b.core.Answer(subscriber, phone.Behaviour{Codec: "EVS"})
	if f := b.ended(b.dial(phone.CallSpec{From: user, To: subscriber})); f.Status != 488 {
		t.Errorf("a codec that was not offered: %d", f.Status)
	}
	b.noViolations()
}

// RFC 4028.
func TestSessionsAreRefreshedOrEnd(t *testing.T) {
	b := imsBench(t, func(c *Config) { c.Session = 2 * time.Second })
	caller, callee := b.talk(phone.CallSpec{}, phone.Behaviour{})
	b.wait("a refresh by the subscriber", func() bool { return caller.Brief().Refreshes > 0 && callee.Brief().Reinvites > 0 })
	caller.HangUp()
	b.ended(callee)
	b.noViolations()

	forgets := func(m *sip.Message) {
		switch {
		case m.Status == 200 && m.Has("Session-Expires"):
			m.Set("Session-Expires", "2;refresher=uas")
		case m.Method == "INVITE": // it gets lost
			m.Set("Call-ID", "another")
		}
	}
	b.wrong.Store(&forgets)
	caller, _ = b.talk(phone.CallSpec{}, phone.Behaviour{})
	if f := b.ended(caller); f.HungUpBy != "us" {
		t.Errorf("ended by %s", f.HungUpBy)
	}
	if rules := b.noted(); !slices.Equal(rules, []string{"session-expired"}) {
		t.Errorf("noted %v", rules)
	}
}

func TestASessionThatIsTooShort(t *testing.T) {
	b := imsBench(t, func(c *Config) { c.LeastSession = 90 * time.Second })
	b.core.Answer(subscriber, phone.Behaviour{})
	f := b.ended(b.dial(phone.CallSpec{From: user, To: subscriber, Session: 60 * time.Second}))
	if f.Status != 422 || !strings.Contains(f.Responses[len(f.Responses)-1], "Min-SE: 90\r\n") {
		t.Errorf("%d %v", f.Status, f.Responses)
	}
}

// RFC 5009, RFC 7315 section 4.6, RFC 3325, RFC 7544.
func TestWhatACoreDemands(t *testing.T) {
	b := imsBench(t, func(c *Config) {
		c.Demands = Demands{Charging: true, Identity: true, EarlyMedia: true, History: "diversion"}
	})
	b.core.Answer(subscriber, phone.Behaviour{})
	b.ended(b.dial(phone.CallSpec{From: user, To: subscriber, Duration: time.Millisecond, Params: ";cause=302"}))
	if rules := b.noted(); !slices.Equal(rules, []string{"charging", "identity", "history"}) {
		t.Errorf("noted %v", rules)
	}
	b.peers[0].Answer(user, phone.Behaviour{EarlyMedia: true, Ring: 20 * time.Millisecond})
	caller := b.ended(b.out(phone.CallSpec{Duration: time.Millisecond, Headers: []phone.Header{b.core.Diversion("+442079460150", "no-answer")}}))
	if rules := b.noted(); rules[len(rules)-1] != "early-media" {
		t.Errorf("noted %v", rules)
	}
	for _, want := range []string{"P-Early-Media: supported", "P-Charging-Vector: icid-value=", "P-Access-Network-Info: ", "Diversion: <sip:+442079460150@core.test;user=phone>;reason=no-answer"} {
		if !strings.Contains(caller.Invite, want) {
			t.Errorf("no %q in\n%s", want, caller.Invite)
		}
	}
	before := len(b.noted())
	good := []phone.Header{{Name: "P-Charging-Vector", Value: "icid-value=1"}, {Name: "P-Asserted-Identity", Value: "<tel:+1>"}, {Name: "Diversion", Value: "<tel:+2>"}}
	b.ended(b.dial(phone.CallSpec{From: user, To: subscriber, Duration: time.Millisecond, Params: ";cause=302", Headers: good}))
	b.peers[0].Answer(user, phone.Behaviour{EarlyMedia: true, Ring: 20 * time.Millisecond, Headers: []phone.Header{RingOn("sendrecv")}})
	b.ended(b.out(phone.CallSpec{Duration: time.Millisecond}))
	if rules := b.noted()[before:]; len(rules) > 0 {
		t.Errorf("noted %v", rules)
	}
}
