package zoom

import (
	"crypto/tls"
	"net/netip"
	"slices"
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

var local = netip.MustParseAddr("127.0.0.1")

const (
	domain  = "zoom.lab.test"
	gateway = "1r1.lab.test"
	user    = "+14255550123"
	outside = "+442079460123"
)

// bench is a Zoom and the scripted gateway it talks to.
type bench struct {
	t     *testing.T
	ca    *authority.Authority
	zoom  *System
	sbc   *phone.Exchange
	wrong atomic.Pointer[func(m *sip.Message)] // alters what the gateway sends
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t}
	var err error
	if b.ca, err = authority.New("Test"); err != nil {
		t.Fatal(err)
	}
	names, err := dns.Start(netip.AddrPortFrom(local, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.must(names.Close()) })
	names.SetHost(gateway, 0, local)
	b.startGateway(names)
	cfg := Config{
		Domain: domain, DNS: names, Zones: []Zone{{"sip-a", netip.AddrPortFrom(local, 0)}, {"sip-b", netip.AddrPortFrom(local, 0)}},
		Certificate: b.cert("*."+domain, "127.0.0.1"), Roots: b.ca.Roots(), Media: local, Ports: [2]uint16{35000, 35499},
		Gateways: []Gateway{{gateway, b.sbc.Gates()[0].Addr().Port()}}, Hidden: []string{"core.test"},
		Options: 100 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	if b.zoom, err = Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.must(b.zoom.Close()) })
	return b
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

// startGateway opens a gateway that keeps the rules.
func (b *bench) startGateway(names *dns.Server) {
	finish := func(_ *phone.Call, g *phone.Gate, m *sip.Message) *sip.Message {
		m.Set("Contact", "<sip:"+g.Host()+";transport=tls>")
		if wrong := b.wrong.Load(); wrong != nil {
			(*wrong)(m)
		}
		return m
	}
	b.sbc = phone.New(phone.Config{
		Name: "gateway", DNS: names.Addr(), Media: local, Ports: [2]uint16{35500, 35999},
		Gates: []sip.Listener{{
			Name: "gw", Transport: sip.TLS, Bind: netip.AddrPortFrom(local, 0), Advertise: gateway, Certificate: b.cert(gateway),
		}},
		Remote: &sip.Remote{Name: "zoom", TLS: sip.TLSPolicy{Roots: b.ca.Roots()}},
		Manner: phone.Manner{
			Dialect: phone.Dialect{
				Name: "-", HoldAs: sdp.SendOnly, Formats: []phone.Format{formats["opus"], formats["G722"], formats["PCMU"], formats["PCMA"], {PT: 101, Map: "telephone-event/8000", Fmtp: "0-15"}},
				Crypto: []phone.CryptoOffer{{Tag: "1", Suite: "AEAD_AES_256_GCM"}, {Tag: "2", Suite: "AES_CM_128_HMAC_SHA1_80"}},
			},
			Allow:  "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, UPDATE, INFO",
			Finish: finish,
			Judge:  func(*phone.Gate, *sip.Message, sip.Source) *phone.Refusal { return nil },
			Options: func(g *phone.Gate, tx *sip.ServerTx) {
				_ = tx.Respond(finish(nil, g, sip.NewResponse(tx.Request(), 200, "")))
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

// in places a call from the gateway to a user.
func (b *bench) in(spec phone.CallSpec) *phone.Call {
	b.t.Helper()
	zone := b.zoom.Gates()[0]
	spec.From = outside
	c, err := b.sbc.Place(phone.Outgoing{
		Spec: spec, Targets: []phone.Target{{
			Name: "zoom", Gate: b.sbc.Gates()[0], Host: "sip-a." + domain,
			Place: sip.Endpoint{Addr: zone.Addr(), Transport: sip.TLS, Host: "sip-a." + domain},
		}},
		Invite: func(c *phone.Call, t phone.Target) *sip.Message {
			m := sip.NewRequest("INVITE", "sip:"+spec.To+"@"+t.Host)
			m.Set("From", "<sip:"+spec.From+"@"+gateway+">;tag="+c.Tag())
			m.Set("To", "<sip:"+spec.To+"@"+t.Host+">")
			m.Set("Call-ID", sip.NewCallID())
			m.Set("CSeq", "1 INVITE")
			m.Set("P-Asserted-Identity", "<sip:"+spec.From+"@"+gateway+">")
			return m
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) ended(c *phone.Call) phone.Facts {
	b.t.Helper()
	select {
	case <-c.Done():
	case <-time.After(6 * time.Second):
		b.t.Fatalf("the call from %s does not end", c.Number())
	}
	return c.Facts()
}

func (b *bench) noted() (rules []string) {
	for _, v := range b.zoom.Violations() {
		rules = append(rules, v.Rule)
	}
	return rules
}

func heard(t *testing.T, who string, said, heard phone.Facts) {
	t.Helper()
	if r := audio.Compare(said.Sent, heard.Heard); !r.Same || r.Loss > 0.05 || r.Delay > 500*time.Millisecond {
		t.Errorf("%s heard %+v (packets %+v)", who, r, heard.Packets)
	}
}

// Azure Communications Gateway docs, interoperability with Zoom Phone Cloud
// Peering.
func TestCallsAreHeardInEachCodec(t *testing.T) {
	for _, c := range []struct {
		codec    string
		inferred bool
		suite    string
	}{
		{"G722", false, "AES_CM_128_HMAC_SHA1_80"},
		{"PCMU", false, "AES_CM_128_HMAC_SHA1_80"},
		{"PCMA", true, "AEAD_AES_256_GCM"},
	} {
		t.Run(c.codec, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(cfg *Config) { cfg.Inferred = c.inferred })
			b.sbc.Answer(outside, phone.Behaviour{Ring: 100 * time.Millisecond, EarlyMedia: true, Send: audio.Speech(1)})
			out, err := b.zoom.Dial(t.Context(), phone.CallSpec{From: user, To: outside, Codec: c.codec, Duration: 1200 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			caller := b.ended(out)
			callee := b.ended(b.sbc.Calls()[0])
			heard(t, "the gateway", caller, callee)
			heard(t, "the user", callee, caller)
			if caller.Codec != c.codec || caller.Suite != c.suite {
				t.Errorf("%s by %s", caller.Codec, caller.Suite)
			}
			for _, want := range []string{"Session-Expires: 1800\r\n", "Min-SE: 90\r\n", "Privacy: none\r\n", "X-Trace-ID: ", "P-Asserted-Identity: \"Zoom User\" <sip:" + user, "a=ptime:20\r\n", "RTP/SAVP "} {
				if !strings.Contains(caller.Invite, want) {
					t.Errorf("no %q in\n%s", want, caller.Invite)
				}
			}
			if byAddress := strings.Contains(caller.Invite, "From: \"Zoom User\" <sip:"+user+"@127.0.0.1"); byAddress != c.inferred {
				t.Errorf("an address in From: %t", byAddress)
			}
			b.zoom.Answer(user, phone.Behaviour{Ring: 50 * time.Millisecond})
			call := b.in(phone.CallSpec{To: user, Codec: c.codec, Duration: 1200 * time.Millisecond})
			caller = b.ended(call)
			callee = b.ended(b.zoom.Calls()[1])
			heard(t, "the user that was called", caller, callee)
			heard(t, "the gateway that called", callee, caller)
			if rules := b.noted(); len(rules) > 0 {
				t.Errorf("noted %+v", b.zoom.Violations())
			}
		})
	}
}

func TestOpusIsAgreedOn(t *testing.T) {
	b := newBench(t, nil)
	b.zoom.Answer(user, phone.Behaviour{})
	call := b.in(phone.CallSpec{To: user, Duration: 300 * time.Millisecond})
	if f := b.ended(call); f.Codec != "opus" || !strings.Contains(f.Responses[len(f.Responses)-1], "a=rtpmap:102 opus/48000/2\r\n") {
		t.Errorf("%s %v", f.Codec, f.Responses)
	}
}

func TestWhatZoomRefuses(t *testing.T) {
	b := newBench(t, nil)
	b.zoom.Answer(user, phone.Behaviour{})
	body := func(old, repl string) func(*sip.Message) {
		return func(m *sip.Message) {
			if m.Method == "INVITE" {
				m.Body = []byte(strings.ReplaceAll(string(m.Body), old, repl))
			}
		}
	}
	invite := func(f func(*sip.Message)) func(*sip.Message) {
		return func(m *sip.Message) {
			if m.Method == "INVITE" {
				f(m)
			}
		}
	}
	for _, c := range []struct {
		name   string
		to     string
		wrong  func(*sip.Message)
		status int
		rules  []string
	}{
		{"nothing", user, func(*sip.Message) {}, 200, nil},
		{"a number that is nobody's", "+14255550199", func(*sip.Message) {}, 404, nil},
		{"RTP in the clear", user, body("RTP/SAVP", "RTP/AVP"), 488, []string{"srtp"}},
		{"no key", user, body("a=crypto", "a=nothing"), 488, []string{"srtp"}},
		{"packets of 30 ms", user, body("ptime:20", "ptime:30"), 488, []string{"ptime"}},
		{"a codec of others", user, body("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 SILK/8000"), 200, []string{"codec"}},
		{"no offer", user, invite(func(m *sip.Message) { m.SetBody("", nil) }), 488, []string{"late-offer"}},
		{"nobody's identity", user, invite(func(m *sip.Message) { m.Del("P-Asserted-Identity") }), 403, []string{"identity"}},
		{"a national identity", user, invite(func(m *sip.Message) { m.Set("P-Asserted-Identity", "<sip:0207@x>") }), 403, []string{"identity"}},
		{"who was dialled before", user, invite(func(m *sip.Message) { m.Set("Diversion", "<sip:+1@x>") }), 200, []string{"identity"}},
		{"a national number", "4255550123", func(*sip.Message) {}, 404, []string{"called-e164"}},
		{"100rel", user, invite(func(m *sip.Message) { m.Set("Require", "100rel") }), 420, []string{"require"}},
		{"the core's name", user, invite(func(m *sip.Message) { m.Set("Server", "a.core.test") }), 200, []string{"topology"}},
		{"another service's header", user, invite(func(m *sip.Message) { m.Set("X-MS-SBC", "x") }), 200, []string{"topology"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(b.zoom.Violations())
			b.wrong.Store(&c.wrong)
			f := b.ended(b.in(phone.CallSpec{To: c.to, Duration: 50 * time.Millisecond}))
			if rules := b.noted()[before:]; f.Status != c.status || !slices.Equal(rules, c.rules) {
				t.Errorf("answered %d, noted %v", f.Status, rules)
			}
		})
	}
}

func TestWrongResponsesToZoom(t *testing.T) {
	for _, c := range []struct {
		rule  string
		wrong func(*sip.Message)
	}{
		{"ringing", func(m *sip.Message) {
			if m.Status == 183 {
				m.Status = 180
			}
		}},
		{"ringing", func(m *sip.Message) {
			if m.Status == 183 {
				m.SetBody("", nil)
			}
		}},
		{"ptime", func(m *sip.Message) { m.Body = []byte(strings.Replace(string(m.Body), "ptime:20", "ptime:40", 1)) }},
		{"crypto", func(m *sip.Message) {
			m.Body = []byte(strings.Replace(string(m.Body), "a=sendrecv", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+\r\na=sendrecv", 1))
		}},
	} {
		b := newBench(t, nil)
		b.wrong.Store(&c.wrong)
		b.sbc.Answer(outside, phone.Behaviour{Ring: 50 * time.Millisecond, EarlyMedia: true})
		call, err := b.zoom.Dial(t.Context(), phone.CallSpec{From: user, To: outside, Duration: 50 * time.Millisecond, Patience: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		b.ended(call)
		if rules := b.noted(); len(rules) == 0 || rules[0] != c.rule {
			t.Errorf("noted %v, want %s", rules, c.rule)
		}
	}
}

func TestRegionsAreWatchedAndTriedInOrder(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Gateways = append([]Gateway{{"1r2.lab.test", 9}}, c.Gateways...)
		c.DNS.SetHost("1r2.lab.test", 0, local)
		c.Backup = true
	})
	b.sbc.Answer("", phone.Behaviour{})
	end := time.Now().Add(3 * time.Second)
	for r := b.zoom.Regions(); !r[1].Up; r = b.zoom.Regions() {
		if time.Now().After(end) {
			t.Fatalf("%+v", r)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	targets, err := b.zoom.targets(phone.CallSpec{})
	if err != nil || targets[0].Name != gateway {
		t.Errorf("%v %v", targets, err)
	}
	call, err := b.zoom.Call(t.Context(), phone.CallSpec{From: user, To: outside, Region: "1r2.lab.test", Site: "sip-b", Duration: time.Millisecond})
	if err != nil || len(call.Brief().Attempts) != 2 {
		t.Errorf("%v %+v", err, call.Brief().Attempts)
	}
	if _, err := b.zoom.Dial(t.Context(), phone.CallSpec{From: user, To: outside, Site: "sip-c"}); err == nil {
		t.Error("a third zone was found")
	}
}

// RFC 3515: what the gateway refers is called.
func TestZoomObeysAReferral(t *testing.T) {
	b := newBench(t, nil)
	b.zoom.Answer(user, phone.Behaviour{})
	b.sbc.Answer(outside, phone.Behaviour{})
	call := b.in(phone.CallSpec{To: user, Codec: "PCMU"})
	if err := call.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr, err := call.Refer(t.Context(), phone.Referral{To: "<sip:" + outside + "@" + gateway + ">"})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	b.ended(call)
}
