package carrier

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

// bench is a core and a scripted gateway of two regions, two peers in the
// first one.
type bench struct {
	t         *testing.T
	transport sip.Transport
	secure    bool
	full      bool // the gateway has all methods and codecs
	ca        *authority.Authority
	dns       *dns.Server
	core      *Core
	peers     [3]*phone.Exchange                   // r1 first choice, r1 second choice, r2
	refers    chan *sip.Message                    // REFERs that the gateway got
	wrong     atomic.Pointer[func(m *sip.Message)] // alters what the gateway sends
}

var hosts = [3]string{"one.r1.lab.test", "two.r1.lab.test", "one.r2.lab.test"}

func newBench(t *testing.T, transport sip.Transport, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, transport: transport, refers: make(chan *sip.Message, 9)}
	var err error
	if b.ca, err = authority.New("Test"); err != nil {
		t.Fatal(err)
	}
	if b.dns, err = dns.Start(netip.AddrPortFrom(local, 0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.must(b.dns.Close()) })
	cfg := Config{
		Domain: "core.test", DNS: b.dns, Regions: []string{"r1.lab.test", "r2.lab.test"},
		Certificate: b.cert("a.core.test", "b.core.test"), Roots: b.ca.Roots(),
		Sites: []Site{
			{Name: "a", Bind: netip.AddrPortFrom(local, 0), Transport: transport, Near: "r1.lab.test"},
			{Name: "b", Bind: netip.AddrPortFrom(local, 0), Transport: transport, Near: "r2.lab.test"},
		},
		Media: local, Ports: [2]uint16{33000, 33999},
		Response: 300 * time.Millisecond, Options: 200 * time.Millisecond,
		Hidden: []string{"pstnhub", "X-MS-"},
	}
	if change != nil {
		change(&cfg)
	}
	b.secure, b.full = cfg.SRTP, len(cfg.Methods) > 0
	for i := range b.peers {
		b.openPeer(i)
	}
	srv := func(i int, priority uint16) dns.SRV {
		return dns.SRV{Priority: priority, Port: b.peers[i].Gates()[0].Addr().Port(), Target: hosts[i]}
	}
	b.dns.SetSRV(service(transport)+"r1.lab.test", 0, srv(0, 1), srv(1, 2))
	b.dns.SetSRV(service(transport)+"r2.lab.test", 0, srv(2, 1))
	if b.core, err = Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.must(b.core.Close()) })
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

func (b *bench) openPeer(i int) {
	b.dns.SetHost(hosts[i], 0, local)
	dialect := phone.Dialect{
		Name: "-", HoldAs: sdp.SendOnly,
		Formats: []phone.Format{{PT: 8, Map: "PCMA/8000"}, {PT: 0, Map: "PCMU/8000"}, {PT: 101, Map: "telephone-event/8000", Fmtp: "0-16"}},
	}
	allow := "INVITE, ACK, CANCEL, BYE, OPTIONS"
	if b.full {
		allow += ", " + strings.Join(Everything, ", ")
		dialect.Formats = append(dialect.Formats, formats["G722"], formats["AMR-WB"])
	}
	if b.secure {
		dialect.Crypto = []phone.CryptoOffer{{Tag: "1", Suite: "AES_CM_128_HMAC_SHA1_80"}}
	}
	finish := func(_ *phone.Call, g *phone.Gate, m *sip.Message) *sip.Message {
		m.Set("Contact", "<sip:"+g.Host()+";transport="+strings.ToLower(g.Transport.String())+">")
		if wrong := b.wrong.Load(); wrong != nil {
			(*wrong)(m)
		}
		return m
	}
	b.peers[i] = phone.New(phone.Config{
		Name: hosts[i], DNS: b.dns.Addr(), Media: local, Ports: [2]uint16{uint16(34000 + 500*i), uint16(34499 + 500*i)},
		Gates: []sip.Listener{{
			Name: "gw", Transport: b.transport, Bind: netip.AddrPortFrom(local, 0), Certificate: b.cert("r1.lab.test", "r2.lab.test", "127.0.0.1"),
		}},
		Remote: &sip.Remote{Name: "core", TLS: sip.TLSPolicy{Roots: b.ca.Roots()}},
		Manner: phone.Manner{
			Dialect: dialect, Allow: allow, LeastSession: time.Second, Referred: b.referred(i),
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
	if err := b.peers[i].Open(); err != nil {
		b.t.Fatal(err)
	}
	b.peers[i].Answer("", phone.Behaviour{})
	b.t.Cleanup(func() { b.must(b.peers[i].Close()) })
}

// referred calls the subscriber that a REFER of the core names, as a gateway
// would call whoever is behind it.
func (b *bench) referred(i int) func(*phone.Call, *sip.Message, func(*phone.Call, phone.Progress)) (*phone.Call, error) {
	return func(_ *phone.Call, refer *sip.Message, watch func(*phone.Call, phone.Progress)) (*phone.Call, error) {
		to, err := refer.Address("Refer-To")
		if err != nil {
			return nil, err
		}
		b.refers <- refer.Clone()
		return b.place(b.peers[i], phone.CallSpec{From: "+14255550123", To: to.URI.User}, watch)
	}
}

// dial places a call from the first peer to a subscriber.
func (b *bench) dial(spec phone.CallSpec) *phone.Call {
	b.t.Helper()
	c, err := b.place(b.peers[0], spec, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) place(x *phone.Exchange, spec phone.CallSpec, watch func(*phone.Call, phone.Progress)) (*phone.Call, error) {
	to := b.core.SiteAddr("a")
	return x.Place(phone.Outgoing{
		Spec: spec, Watch: watch,
		Targets: []phone.Target{{
			Name: "a", Gate: x.Gates()[0], Host: "a.core.test",
			Place: sip.Endpoint{Addr: to, Transport: b.transport, Host: "a.core.test"},
		}},
		Invite: func(c *phone.Call, t phone.Target) *sip.Message {
			m := sip.NewRequest("INVITE", "sip:"+spec.To+"@"+t.Host+";user=phone")
			m.Set("From", "<sip:"+spec.From+"@r1.lab.test;user=phone>;tag="+c.Tag())
			m.Set("To", "<sip:"+spec.To+"@"+t.Host+";user=phone>")
			m.Set("Call-ID", sip.NewCallID())
			m.Set("CSeq", "1 INVITE")
			return m
		},
	})
}

func (b *bench) noViolations() {
	b.t.Helper()
	all := b.core.Violations()
	for _, p := range b.peers {
		all = append(all, p.Violations()...)
	}
	for _, v := range all {
		b.t.Errorf("%s: %s", v.Rule, v.Message)
	}
}

func (b *bench) wait(what string, f func() bool) {
	b.t.Helper()
	for end := time.Now().Add(4 * time.Second); !f(); {
		if time.Now().After(end) {
			b.t.Fatalf("%s did not come", what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-b.t.Context().Done():
		}
	}
}

// up waits until both sites reach all peers.
func (b *bench) up() {
	b.t.Helper()
	b.wait("the answers to OPTIONS", func() bool {
		peers := b.core.Peers()
		return len(peers) == 6 && !slices.ContainsFunc(peers, func(p PeerState) bool { return !p.Up })
	})
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

func heard(t *testing.T, who string, said, heard phone.Facts) {
	t.Helper()
	r := audio.Compare(said.Sent, heard.Heard)
	if !r.Same || r.Loss > 0.05 || r.Delay > 500*time.Millisecond {
		t.Errorf("%s heard %+v (packets %+v)", who, r, heard.Packets)
	}
}

func TestCallsAreHeardBothWaysOverEachTransport(t *testing.T) {
	for _, c := range []struct {
		name      string
		transport sip.Transport
		secure    bool
		late      bool
	}{
		{"UDP and RTP", sip.UDP, false, false},
		{"UDP, the offer in the answer", sip.UDP, false, true},
		{"TCP and RTP", sip.TCP, false, false},
		{"TLS and SRTP", sip.TLS, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.transport, func(cfg *Config) { cfg.SRTP = c.secure })
			b.up()
			b.peers[0].Answer("+14255550123", phone.Behaviour{Send: audio.Speech(1), Ring: 50 * time.Millisecond})
			out, err := b.core.Dial(t.Context(), phone.CallSpec{From: "+442079460123", To: "+14255550123", Duration: 1700 * time.Millisecond, LateSDP: c.late, Digits: "7"})
			if err != nil {
				t.Fatal(err)
			}
			caller := b.ended(out)
			if caller.Answered.IsZero() {
				t.Fatalf("%+v", caller)
			}
			callee := b.ended(b.peers[0].Calls()[0])
			heard(t, "the gateway", caller, callee)
			heard(t, "the subscriber", callee, caller)
			if callee.Digits != "7" {
				t.Errorf("digits %q", callee.Digits)
			}
			b.core.Answer("+442079460124", phone.Behaviour{Send: audio.Speech(2), EarlyMedia: true, Ring: 200 * time.Millisecond})
			in := b.dial(phone.CallSpec{From: "+14255550123", To: "+442079460124", Duration: 1200 * time.Millisecond, LateSDP: c.late})
			caller = b.ended(in)
			calls := b.core.Calls()
			callee = b.ended(calls[len(calls)-1])
			heard(t, "the subscriber who was called", caller, callee)
			heard(t, "the gateway that called", callee, caller)
			b.noViolations()
		})
	}
}

func TestThePeerRules(t *testing.T) {
	b := newBench(t, sip.UDP, nil)
	b.up()
	spec := phone.CallSpec{From: "+442079460123", To: "+14255550123", Duration: 50 * time.Millisecond}
	for _, c := range []struct {
		name   string
		faults [3]phone.Faults
		site   string
		tried  []int
		status int
	}{
		{"the first peer of the near region takes the call", [3]phone.Faults{}, "a", []int{0}, 200},
		{"site b is near region 2", [3]phone.Faults{}, "b", []int{2}, 200},
		{"503 leads to the next peer of the region", [3]phone.Faults{{Status: 503}}, "a", []int{0, 1}, 200},
		{"504 too", [3]phone.Faults{{Status: 504}}, "a", []int{0, 1}, 200},
		{"only when all of the region failed the other one is tried", [3]phone.Faults{{Status: 503}, {Status: 408}}, "a", []int{0, 1, 2}, 200},
		{"silence counts as failure", [3]phone.Faults{{Silent: true}}, "a", []int{0, 1}, 200},
		{"486 is final", [3]phone.Faults{{Status: 486}}, "a", []int{0}, 486},
		{"so is 603", [3]phone.Faults{{Status: 603}}, "a", []int{0}, 603},
		{"so is 500", [3]phone.Faults{{Status: 500}}, "a", []int{0}, 500},
		{"at last everything has failed", [3]phone.Faults{{Status: 503}, {Status: 503}, {Status: 503}}, "a", []int{0, 1, 2}, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, f := range c.faults {
				b.must(b.peers[i].SetFaults("gw", f))
			}
			spec.Site = c.site
			call, err := b.core.Dial(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			f := b.ended(call)
			var tried []string
			for _, a := range f.Attempts {
				tried = append(tried, a.Target[strings.LastIndexByte(a.Target, ' ')+1:])
			}
			var want []string
			for _, i := range c.tried {
				want = append(want, b.peers[i].Gates()[0].Addr().String())
			}
			if strings.Join(tried, " ") != strings.Join(want, " ") || f.Status != c.status {
				t.Errorf("tried %v with %d, want %v with %d", tried, f.Status, want, c.status)
			}
		})
	}
}

func TestAPeerThatIsSilentToOptionsIsTriedLast(t *testing.T) {
	b := newBench(t, sip.UDP, nil)
	b.must(b.peers[0].SetFaults("gw", phone.Faults{NoOptions: true}))
	first := b.peers[0].Gates()[0].Addr()
	up := func(addr netip.AddrPort) bool {
		for _, p := range b.core.Peers() {
			if p.Site == "a" && p.Addr == addr {
				return p.Up
			}
		}
		return false
	}
	b.wait("the others' answers", func() bool {
		return !up(first) && up(b.peers[1].Gates()[0].Addr()) && up(b.peers[2].Gates()[0].Addr())
	})
	targets, err := b.core.targets(t.Context(), phone.CallSpec{Site: "a"})
	if err != nil || len(targets) != 3 || targets[2].Place.Addr != first {
		t.Errorf("%v %v", targets, err)
	}
}

func TestNumbersAreWrittenAsTheCoreDoes(t *testing.T) {
	b := newBench(t, sip.UDP, func(c *Config) { c.National = "44" })
	b.up()
	call, err := b.core.Call(t.Context(), phone.CallSpec{From: "+442079460123", To: "+14255550123", Duration: 30 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	invite := call.Facts().Invite
	for _, want := range []string{`From: "Subscriber" <sip:02079460123@a.core.test;user=phone>`, "P-Asserted-Identity: <sip:02079460123@", "INVITE sip:+14255550123@r1.lab.test:"} {
		if !strings.Contains(invite, want) {
			t.Errorf("no %q in\n%s", want, invite)
		}
	}
}

func TestWhatTheGatewayMustNotShow(t *testing.T) {
	for _, c := range []struct {
		rule  string
		wrong func(*sip.Message)
	}{
		{"topology", func(m *sip.Message) { m.Set("X-MS-SBC", "x") }},
		{"topology", func(m *sip.Message) { m.Set("Server", "sip.pstnhub.example") }},
		{"crypto-in-clear", func(m *sip.Message) {
			if len(m.Body) > 0 {
				m.Body = append(m.Body, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d1GM2VbCF+nm7MD8Xl0wuE972Px+bKmkyy6VpCN+\r\n"...)
			}
		}},
		{"cause-34", func(m *sip.Message) {
			if m.Status == 486 {
				m.Set("Reason", `Q.850;cause=34;text="x;Call was declined"`)
			}
		}},
		{"sdp-changed", func(m *sip.Message) {
			if m.Status == 200 && len(m.Body) > 0 {
				m.Body = []byte(strings.Replace(string(m.Body), "s=-", "s=other", 1))
			}
		}},
		{"forks-shown", func(m *sip.Message) {
			if m.Status == 183 {
				m.Set("To", m.Get("To")+"x")
			}
		}},
		{"100rel", func(m *sip.Message) {
			if m.Status == 183 {
				m.Set("Require", "100rel")
			}
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			b := newBench(t, sip.UDP, nil)
			b.up()
			b.wrong.Store(&c.wrong)
			b.peers[0].Answer("+14255550102", phone.Behaviour{Status: 486})
			b.peers[0].Answer("+14255550103", phone.Behaviour{EarlyMedia: true, Ring: 20 * time.Millisecond})
			for _, to := range []string{"+14255550102", "+14255550103"} {
				call, err := b.core.Dial(t.Context(), phone.CallSpec{From: "+442079460123", To: to, Duration: 50 * time.Millisecond, Patience: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				b.ended(call)
			}
			found := false
			for _, v := range b.core.Violations() {
				found = found || v.Rule == c.rule
				if v.Rule != c.rule {
					t.Errorf("also %s: %s", v.Rule, v.Message)
				}
			}
			if !found {
				t.Error("was not noticed")
			}
		})
	}
}
