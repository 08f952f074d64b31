package teams

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	domain  = "pstnhub.lab.test"
	carrier = "1r1.lab.test"
	tenant  = "00000000-0000-4000-8000-00000000c042"
)

var local = netip.MustParseAddr("127.0.0.1")

// bench is a Teams and the scripted SBC it talks to.
type bench struct {
	t     *testing.T
	ca    *authority.Authority
	dns   *dns.Server
	teams *System
	sbc   *phone.Exchange
	// wrong alters what the SBC sends.
	wrong atomic.Pointer[func(m *sip.Message)]
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := prepare(t)
	b.start(change)
	return b
}

// prepare makes all but Teams.
func prepare(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t}
	var err error
	if b.ca, err = authority.New("Test"); err != nil {
		t.Fatal(err)
	}
	if b.dns, err = dns.Start(netip.AddrPortFrom(local, 0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.must(b.dns.Close()) })
	b.dns.SetHost(carrier, 0, local)
	b.dns.SetHost("*."+carrier, 0, local)
	b.startSBC()
	return b
}

func (b *bench) start(change func(*Config)) {
	t := b.t
	t.Helper()
	cfg := Config{
		Domain: domain, DNS: b.dns, RecordRoute: "sip-du-a-eu",
		Certificate: b.cert("*." + domain), Roots: b.ca.Roots(),
		Media: local, Ports: [2]uint16{31000, 31999},
		Trunks:   []Trunk{{FQDN: carrier, Port: b.sbc.Gates()[0].Addr().Port()}},
		Tenants:  map[string]string{carrier: "carrier", "c042." + carrier: tenant},
		Failover: time.Second, Options: 200 * time.Millisecond,
	}
	for i := range cfg.Proxies {
		cfg.Proxies[i] = netip.AddrPortFrom(local, 0)
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if b.teams, err = Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.must(b.teams.Close()) })
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Error(err)
	}
}

func (b *bench) cert(names ...string) func() (*tls.Certificate, error) {
	c, err := b.ca.Issue(authority.Terms{}, names...)
	if err != nil {
		b.t.Fatal(err)
	}
	return func() (*tls.Certificate, error) { return c, nil }
}

// startSBC opens an SBC that keeps the rules.
func (b *bench) startSBC() {
	b.sbc = phone.New(phone.Config{
		Name: "sbc", DNS: b.dns.Addr(), Media: local, Ports: [2]uint16{32000, 32999},
		Gates: []sip.Listener{{
			Name: "sbc", Transport: sip.TLS, Bind: netip.AddrPortFrom(local, 0), Advertise: carrier,
			Certificate: b.cert(carrier, "*."+carrier),
		}},
		Remote: &sip.Remote{Name: "teams", TLS: sip.TLSPolicy{Roots: b.ca.Roots()}},
		Manner: phone.Manner{
			Dialect: phone.Dialect{
				Name: "-", HoldAs: sdp.Inactive,
				Formats: []phone.Format{{PT: 8, Map: "PCMA/8000"}, {PT: 0, Map: "PCMU/8000"}, {PT: 9, Map: "G722/8000"}, {PT: 101, Map: "telephone-event/8000", Fmtp: "0-16"}},
				Crypto:  []phone.CryptoOffer{{Tag: "1", Suite: "AES_CM_128_HMAC_SHA1_80"}},
			},
			Allow:  "INVITE, ACK, OPTIONS, CANCEL, BYE",
			Finish: b.finishSBC,
			Judge:  func(*phone.Gate, *sip.Message, sip.Source) *phone.Refusal { return nil },
			Options: func(g *phone.Gate, tx *sip.ServerTx) {
				_ = tx.Respond(b.finishSBC(nil, g, sip.NewResponse(tx.Request(), 200, "Keepalive")))
			},
			Reason:   func(int, error) string { return "" },
			Leave:    func(g *phone.Gate) *phone.Gate { return g },
			Response: func(_ *phone.Call, m *sip.Message) *sip.Message { return m },
		},
	})
	if err := b.sbc.Open(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.must(b.sbc.Close()) })
}

func (b *bench) finishSBC(_ *phone.Call, g *phone.Gate, m *sip.Message) *sip.Message {
	m.Set("Contact", "<sip:"+g.Host()+";transport=tls>")
	m.Set("Allow", "INVITE, ACK, OPTIONS, CANCEL, BYE, NOTIFY, REFER")
	m.Set("X-MS-SBC", "Test/SBC/1.0")
	if wrong := b.wrong.Load(); wrong != nil {
		(*wrong)(m)
	}
	return m
}

// dial places a call from the SBC to a Teams user.
func (b *bench) dial(spec phone.CallSpec) *phone.Call {
	b.t.Helper()
	to := b.teams.ProxyAddr("sip")
	c, err := b.sbc.Place(phone.Outgoing{
		Spec: spec, Response: time.Second, Trying: true,
		Targets: []phone.Target{{
			Name: "sip", Gate: b.sbc.Gates()[0], Host: "sip." + domain + ":" + fmt.Sprint(to.Port()),
			Place: sip.Endpoint{Addr: to, Transport: sip.TLS, Host: "sip." + domain},
		}},
		Invite: func(c *phone.Call, t phone.Target) *sip.Message {
			m := sip.NewRequest("INVITE", "sip:"+spec.To+"@"+t.Host+";user=phone;transport=tls")
			m.Set("From", `"J Smith" <sip:`+spec.From+"@"+carrier+";user=phone>;tag="+c.Tag())
			m.Set("To", "<sip:"+spec.To+"@"+t.Host+";user=phone>")
			m.Set("Call-ID", sip.NewCallID())
			m.Set("CSeq", "1 INVITE")
			return m
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// ping sends an OPTIONS from the SBC to a proxy and gives the answer.
func (b *bench) ping(proxy string) *sip.Message {
	b.t.Helper()
	m := sip.NewRequest("OPTIONS", "sip:"+proxy+"."+domain)
	m.Set("From", "<sip:"+carrier+">;tag="+sip.NewTag())
	m.Set("To", "<sip:"+proxy+"."+domain+">")
	m.Set("Call-ID", sip.NewCallID())
	m.Set("CSeq", "1 OPTIONS")
	return b.ask(b.finishSBC(nil, b.sbc.Gates()[0], m), proxy)
}

// ask sends any request and gives its final response, nil when there is none
// within a second.
func (b *bench) ask(m *sip.Message, proxy string) *sip.Message {
	b.t.Helper()
	got := make(chan *sip.Message, 10)
	_, err := b.sbc.Gates()[0].Request(m, sip.Endpoint{Addr: b.teams.ProxyAddr(proxy), Transport: sip.TLS, Host: proxy + "." + domain}, func(ev sip.Event) {
		if ev.Err != nil || ev.Msg.Status >= 200 {
			got <- ev.Msg
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	select {
	case m := <-got:
		return m
	case <-time.After(time.Second):
		return nil
	}
}

// noViolations fails the test when a rule was broken.
func (b *bench) noViolations() {
	b.t.Helper()
	for _, v := range append(b.teams.Violations(), b.sbc.Violations()...) {
		b.t.Errorf("%s: %s", v.Rule, v.Message)
	}
}

func (b *bench) wait(what string, f func() bool) {
	b.t.Helper()
	for end := time.Now().Add(3 * time.Second); !f(); {
		if time.Now().After(end) {
			b.t.Fatalf("%s did not come", what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-b.t.Context().Done():
		}
	}
}

func (b *bench) answered(c *phone.Call) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 3*time.Second)
	defer cancel()
	if err := c.Wait(ctx); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) ended(c *phone.Call) phone.Facts {
	b.t.Helper()
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		b.t.Fatal("the call does not end")
	}
	return c.Facts()
}

// heard checks that what one side said is what the other heard.
func heard(t *testing.T, who string, said, heard phone.Facts) {
	t.Helper()
	r := audio.Compare(said.Sent, heard.Heard)
	if !r.Same || r.Loss > 0.05 || r.Delay > 500*time.Millisecond {
		t.Errorf("%s heard %+v (packets %+v)", who, r, heard.Packets)
	}
}

func TestATrunkIsActiveOnceBothSidesAnsweredOptions(t *testing.T) {
	b := newBench(t, nil)
	if b.teams.Trunks()[0].Active {
		t.Fatal("active before anything was sent")
	}
	answer := b.ping("sip2")
	if answer == nil || answer.Status != 200 {
		t.Fatalf("OPTIONS answered %v", answer)
	}
	if to, _ := answer.To(); to.Tag() != "" {
		t.Error("Teams puts no tag into this To")
	}
	if raw := string(answer.Append(nil)); !strings.Contains(raw, "\r\nFROM: ") || !strings.Contains(raw, "\r\nVIA: ") {
		t.Errorf("header names are not in upper case:\n%s", raw)
	}
	b.wait("the trunk's activation", func() bool { return b.teams.Trunks()[0].Active })
	b.wait("the demotion after three intervals without OPTIONS", func() bool {
		s := b.teams.Trunks()[0]
		if s.Active && time.Since(s.LastOptions) > (missing+1)*200*time.Millisecond {
			t.Error("still active after four intervals without OPTIONS")
		}
		return !s.Active
	})
	b.noViolations()
}

func TestTheFirstOptionsIsReturnedAtOnce(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Options = time.Minute })
	b.ping("sip")
	b.wait("the trunk's activation", func() bool { return b.teams.Trunks()[0].Active })
}

func TestActiveTrunksComeFirstUnlessOneIsAskedFor(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Trunks = append(c.Trunks, Trunk{FQDN: "1r2.lab.test", Port: 5063}) })
	b.ping("sip")
	b.wait("the trunk's activation", func() bool { return b.teams.Trunks()[0].Active })
	for range 20 {
		for region, want := range map[string]string{"": carrier, carrier: carrier, "1r2.lab.test": "1r2.lab.test"} {
			all, err := b.teams.targets(phone.CallSpec{Region: region, Trunk: "c042"})
			if err != nil || len(all) != 4 || all[0].Name != "c042."+want || all[1].Name != all[0].Name {
				t.Fatalf("%q: %+v %v", region, all, err)
			}
		}
	}
}

func TestACallFromATeamsUserIsHeardBothWays(t *testing.T) {
	b := newBench(t, nil)
	b.sbc.Answer("+442079460123", phone.Behaviour{Ring: 50 * time.Millisecond, Send: audio.Speech(2)})
	c, err := b.teams.Dial(t.Context(), phone.CallSpec{From: "+14255550123", To: "+442079460123", Duration: 1500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	b.answered(c)
	caller := b.ended(c)
	callee := b.ended(b.sbc.Calls()[0])
	if caller.Codec != "G722" || caller.Suite != "AES_CM_128_HMAC_SHA1_80" || caller.HungUpBy != "us" || callee.HungUpBy != "them" {
		t.Errorf("caller %+v", caller)
	}
	heard(t, "the SBC's number", caller, callee)
	heard(t, "the Teams user", callee, caller)
	for _, want := range []string{
		"FROM: John Doe<sip:+14255550123@sip." + domain, "P-ASSERTED-IDENTITY: <tel:+14255550123>,<sip:john@contoso.example>",
		"SESSION-EXPIRES: 3600", "X-MS-TENANTID: carrier", "a=crypto:0 AES_CM_128_HMAC_SHA1_32", "o=- ", "IN IP4 127.0.0.1", "SILK/16000", "RECORD-ROUTE: <sip:sip-du-a-eu." + domain,
	} {
		if !strings.Contains(callee.Invite, want) {
			t.Errorf("the INVITE has no %q:\n%s", want, callee.Invite)
		}
	}
	b.noViolations()
}

func TestACallToATeamsUserIsHeardBothWays(t *testing.T) {
	for _, c := range []struct {
		name string
		does phone.Behaviour
	}{
		{"one device", phone.Behaviour{Ring: 50 * time.Millisecond}},
		{"three devices, the last one answers after early media", phone.Behaviour{Ring: 300 * time.Millisecond, Forks: 3, Winner: 2, Early: 2, EarlyMedia: true}},
		{"another device than the one that spoke early answers", phone.Behaviour{Ring: 300 * time.Millisecond, Forks: 2, Winner: 1, EarlyMedia: true}},
		{"a refresh", phone.Behaviour{Refresh: 500 * time.Millisecond}},
		{"an answer at once", phone.Behaviour{NoRinging: true}},
		{"two devices answer", phone.Behaviour{Forks: 2, Winner: 1, LateOK: true}},
		{"PCMU only", phone.Behaviour{Codec: "PCMU"}},
		{"G722 only", phone.Behaviour{Codec: "G722"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			c.does.Send = audio.Speech(1)
			b.teams.Answer("+14255550123", c.does)
			call := b.dial(phone.CallSpec{From: "+13035550177", To: "+14255550123", Duration: 2100 * time.Millisecond})
			b.answered(call)
			caller := b.ended(call)
			calls := b.teams.Calls()
			callee := b.ended(calls[len(calls)-1])
			heard(t, "the Teams user", caller, callee)
			heard(t, "the SBC's number", callee, caller)
			if c.does.Codec != "" && callee.Codec != c.does.Codec {
				t.Errorf("codec %s", callee.Codec)
			}
			if c.does.EarlyMedia && (caller.EarlyAt.IsZero() || caller.Heard.At.After(caller.Answered)) {
				t.Error("early media was not heard early")
			}
			b.noViolations()
		})
	}
}

func TestHoldAndResumeFromBothSides(t *testing.T) {
	b := newBench(t, nil)
	b.teams.Answer("", phone.Behaviour{})
	caller := b.dial(phone.CallSpec{From: "+13035550177", To: "+14255550123"})
	b.answered(caller)
	callee := b.teams.Calls()[0]
	b.wait("the ACK", callee.Established)
	for _, holder := range []*phone.Call{caller, callee} {
		held := callee
		if holder == callee {
			held = caller
		}
		if err := holder.Hold(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wait("hold on the other side", func() bool { return held.Facts().Held })
		before := holder.Facts().Packets.Received
		select {
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
		}
		if n := holder.Facts().Packets.Received - before; n > 1 {
			t.Errorf("%d packets came while on hold", n)
		}
		if err := holder.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wait("the end of hold", func() bool { return !held.Facts().Held && holder.Facts().Packets.Received > before+5 })
	}
	callee.HangUp()
	if f := b.ended(caller); f.HungUpBy != "them" || !strings.Contains(f.Reason, "Q.850;cause=16") {
		t.Errorf("ended by %s, %s", f.HungUpBy, f.Reason)
	}
	b.noViolations()
}

func TestRefusalsOfUsers(t *testing.T) {
	b := newBench(t, nil)
	b.teams.Answer("+14255550101", phone.Behaviour{Status: 486})
	b.teams.Answer("+14255550102", phone.Behaviour{Status: 603})
	b.teams.Answer("+14255550103", phone.Behaviour{NoAnswer: true})
	for _, c := range []struct {
		to     string
		status int
		reason string
	}{
		{"+14255550101", 486, "Q.850;cause=34"},
		{"+14255550102", 603, "Q.850;cause=21"},
		{"+14255550103", 487, ""},
		{"+14255550199", 404, "510560"},
	} {
		f := b.ended(b.dial(phone.CallSpec{From: "+13035550177", To: c.to, Patience: 300 * time.Millisecond}))
		if f.Status != c.status || !strings.Contains(f.Reason, c.reason) {
			t.Errorf("%s: %d %s %s", c.to, f.Status, f.Reason, f.Error)
		}
	}
	b.noViolations()
}
