package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

// soon is how long an answer that must come may take on a busy machine.
const soon = 5 * time.Second

// invite calls Teams' user from the peer gone wild and gives what answers.
func (m *mouth) invite(l letter) *sip.Message {
	m.s.t.Helper()
	l.method = "INVITE"
	if l.body == "" {
		l.body = offer(netip.AddrPortFrom(m.at.Addr(), 9000))
	}
	m.say(l)
	return m.final(soon)
}

// waits for a request of a method, which it answers 200; nil when none comes.
func (m *mouth) request(method string, within time.Duration) *sip.Message {
	m.s.t.Helper()
	for limit := time.Now().Add(within); ; {
		msg := m.hear(time.Until(limit))
		if msg == nil {
			return nil
		}
		if msg.Method == method {
			m.raw(sip.NewResponse(msg, 200, "").Append(nil))
			return msg
		}
	}
}

// talkers are numbers of Teams' for the tests of dialogs.
const (
	brief   = "+14255550102" // hangs up after half a second
	patient = "+14255550103" // talks for ever
	slow    = "+14255550104" // rings for a while
)

func besieged(t *testing.T) *siege {
	s := besiege(t)
	s.inProcess()
	s.teams.Answer(brief, phone.Behaviour{HangUp: 500 * time.Millisecond})
	s.teams.Answer(patient, phone.Behaviour{})
	s.teams.Answer(slow, phone.Behaviour{Ring: 2 * time.Second})
	return s
}

// What a peer says about addresses must not make us speak to anybody else.
func TestAPeerCannotMakeTheNodeSpeakToAThirdParty(t *testing.T) {
	s := besieged(t)
	third := s.v4(hostThird)
	at := func(port int) string { return fmt.Sprintf("%v:%d", third, port) }
	c := s.canary(hostThird, 5060, 5061, 9000, 9001)
	m := s.mouth(hostWild, 5060)
	to := "sip:" + brief + "@%d"
	for _, x := range []struct {
		name string
		l    letter
	}{
		{"Contact", letter{uri: to, headers: []string{"Contact: <sip:x@" + at(5060) + ">"}}},
		{"Contact over TLS", letter{uri: to, headers: []string{"Contact: <sip:x@" + at(5061) + ";transport=tls>"}}},
		{"Contact over TCP", letter{uri: to, headers: []string{"Contact: <sip:x@" + at(5060) + ";transport=tcp>"}}},
		{"Contact with maddr", letter{uri: to, headers: []string{"Contact: <sip:x@%h;maddr=" + third.String() + ">"}}},
		{"Record-Route", letter{uri: to, headers: []string{"Record-Route: <sip:" + at(5060) + ";lr>"}}},
		{"a strict Record-Route", letter{uri: to, headers: []string{"Record-Route: <sip:" + at(5060) + ">, <sip:%h>"}}},
		{"Route", letter{uri: to, headers: []string{"Route: <sip:" + at(5060) + ";lr>"}}},
		{"Route to ourselves, then on", letter{uri: to, headers: []string{"Route: <sip:%d;lr>, <sip:" + at(5060) + ";lr>"}}},
		{"the host of the Request-URI", letter{uri: "sip:" + brief + "@" + at(5060)}},
		{"Via", letter{uri: to, headers: []string{"Via: SIP/2.0/UDP " + at(5060) + ";rport;branch=z9hG4bK%n"}}},
		{"Via with received", letter{uri: to, headers: []string{"Via: SIP/2.0/UDP %h;rport;received=" + third.String() + ";branch=z9hG4bK%n"}}},
		{"Via with maddr", letter{uri: to, headers: []string{"Via: SIP/2.0/UDP %h;rport;maddr=" + third.String() + ";branch=z9hG4bK%n"}}},
		{"the address of its media", letter{uri: to, body: offer(netip.AddrPortFrom(third, 9000))}},
		{"the address of its RTCP", letter{uri: to, body: offer(netip.AddrPortFrom(s.v4(hostWild), 9000)) + "a=rtcp:9001 IN IP4 " + third.String() + "\r\n"}},
		{"Reply-To, Call-Info, Alert-Info, Refer-To", letter{uri: to, headers: []string{
			"Reply-To: <sip:" + at(5060) + ">", "Call-Info: <http://" + at(5060) + "/>", "Alert-Info: <http://" + at(5060) + "/>", "Refer-To: <sip:" + at(5060) + ">",
		}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			s.t = t
			resp := m.invite(x.l)
			if resp == nil {
				t.Fatal("no answer")
			}
			if resp.Status == 200 {
				m.say(m.follow("ACK", resp, 1))
				if m.request("BYE", 3*time.Second) == nil {
					t.Error("the BYE did not come to where the dialog came from")
				}
			}
			m.leave(letter{method: "INVITE"}, resp)
			s.quiet(c)
		})
	}
	s.t = t
	s.settled()
}

// A dialog is between two; who knows its names from elsewhere is not one of
// them.
func TestAnotherPeerCannotTouchADialog(t *testing.T) {
	s := besieged(t)
	m := s.mouth(hostWild, 5060)
	other := s.mouth(hostSite, 0) // an address of site-0, which is another group's
	resp := m.invite(letter{uri: "sip:" + patient + "@%d"})
	if resp == nil || resp.Status != 200 {
		t.Fatalf("answered %v", resp)
	}
	m.say(m.follow("ACK", resp, 1))
	for _, method := range []string{"BYE", "INVITE", "INFO"} {
		l := other.follow(method, resp, 7)
		if method == "INVITE" {
			l.body = offer(netip.AddrPortFrom(s.v4(hostSite), 9000))
		}
		other.say(l)
		if got := other.final(soon); got == nil || got.Status != 481 {
			t.Errorf("%s of another peer is answered %v, want 481", method, got)
		}
		other.leave(l, nil)
	}
	if got := m.hear(200 * time.Millisecond); got != nil && got.IsRequest() {
		t.Errorf("the dialog's own peer is told %s", got.Method)
	}
	s.until(soon, func() string {
		if live, err := s.node.Live(s.ctx); err != nil || len(live) != 1 {
			return fmt.Sprintf("%d calls, %v", len(live), err)
		}
		return ""
	})
	m.say(m.follow("BYE", resp, 2))
	if got := m.final(soon); got == nil || got.Status != 200 {
		t.Errorf("its own BYE is answered %v", got)
	}
	s.settled()
}

// A CANCEL counts when it comes from whom the INVITE came from.
func TestAnotherPeerCannotCancel(t *testing.T) {
	s := besieged(t)
	m := s.mouth(hostWild, 5060)
	other := s.mouth(hostSite, 0)
	headers := []string{
		"Via: SIP/2.0/UDP " + m.at.String() + ";rport;branch=z9hG4bKknown", "Call-ID: known", "From: <sip:" + wildNumber + "@x>;tag=known", "To: <sip:" + slow + "@x>",
	}
	m.say(letter{method: "INVITE", uri: "sip:" + slow + "@%d", headers: headers, body: offer(netip.AddrPortFrom(m.at.Addr(), 9000))})
	for m.hear(100*time.Millisecond) != nil {
	}
	other.say(letter{method: "CANCEL", uri: "sip:" + slow + "@%d", headers: headers})
	resp := m.final(soon)
	if resp == nil || resp.Status != 200 {
		t.Fatalf("the INVITE ends with %v", resp)
	}
	m.leave(letter{method: "INVITE"}, resp)
	s.settled()
}

func TestAnEarlyBYEEndsTheCall(t *testing.T) {
	s := besieged(t)
	m := s.mouth(hostWild, 5060)
	m.say(letter{method: "INVITE", uri: "sip:" + slow + "@%d", body: offer(netip.AddrPortFrom(m.at.Addr(), 9000))})
	var ringing *sip.Message
	for ringing == nil || ringing.Status < 180 {
		if ringing = m.hear(soon); ringing == nil {
			t.Fatal("it does not ring")
		}
	}
	m.say(m.follow("BYE", ringing, 2))
	got := map[string]int{}
	for range 2 {
		if f := m.final(soon); f != nil {
			c, _ := f.CSeq()
			got[c.Method] = f.Status
			if c.Method == "INVITE" {
				m.leave(letter{method: "INVITE"}, f)
			}
		}
	}
	if got["BYE"] != 200 || got["INVITE"] != 487 {
		t.Errorf("answers: %v", got)
	}
	s.settled()
}

// Two calls of one name, from two peers, are two calls.
func TestTheSameCallIDFromTwoPeersMakesTwoCalls(t *testing.T) {
	s := besieged(t)
	a, b := s.mouth(hostWild, 5060), s.mouth(hostSite, 0)
	var answers []*sip.Message
	for i, m := range []*mouth{a, b} {
		resp := m.invite(letter{uri: "sip:" + patient + "@%d", headers: []string{"Call-ID: the-same", fmt.Sprintf("From: <sip:"+wildNumber+"@x>;tag=of-%d", i)}})
		if resp == nil || resp.Status != 200 {
			t.Fatalf("call %d: %v", i, resp)
		}
		m.say(m.follow("ACK", resp, 1))
		answers = append(answers, resp)
	}
	a.say(a.follow("BYE", answers[0], 2))
	if got := a.final(soon); got == nil || got.Status != 200 {
		t.Errorf("BYE: %v", got)
	}
	s.until(soon, func() string {
		if live, err := s.node.Live(s.ctx); err != nil || len(live) != 1 || live[0].Caller.Peer != "site-0" {
			return fmt.Sprintf("%d calls, %v", len(live), err)
		}
		return ""
	})
	b.say(b.follow("BYE", answers[1], 2))
	if got := b.final(soon); got == nil || got.Status != 200 {
		t.Errorf("BYE: %v", got)
	}
	s.settled()
}

// What the other side said of the third party must not be passed on either.
func TestNothingOfAnAttackReachesTeams(t *testing.T) {
	s := besieged(t)
	m := s.mouth(hostWild, 5060)
	resp := m.invite(letter{uri: "sip:" + brief + "@%d", headers: []string{
		"X-Evil: 1", "P-Asserted-Identity: <sip:+15550001@evil.example>", "Diversion: <sip:evil@evil.example>", "Route: <sip:evil.example;lr>",
		"Max-Forwards: 1", "User-Agent: evil", "Subject: evil", "Call-Info: <http://evil.example>",
	}})
	if resp == nil {
		t.Fatal("no answer")
	}
	if resp.Status == 200 {
		m.say(m.follow("ACK", resp, 1))
		m.request("BYE", 3*time.Second)
		if text := strings.ToLower(s.received().Facts().Invite); strings.Contains(text, "evil") {
			t.Errorf("Teams was shown:\n%s", text)
		}
	}
	s.settled()
}
