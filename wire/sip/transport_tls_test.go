package sip_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// issuer is a certificate authority of the test.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	up   []*x509.Certificate // what a leaf sends with itself
}

var serial atomic.Int64

func newIssuer(t *testing.T, name string, parent *issuer) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &issuer{t: t, key: key}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	signer := a
	if parent != nil {
		signer = parent
	} else {
		a.cert = tmpl
	}
	a.cert = signer.sign(tmpl, &key.PublicKey)
	if parent != nil {
		a.up = append([]*x509.Certificate{a.cert}, parent.up...)
	}
	return a
}

func (a *issuer) sign(tmpl *x509.Certificate, pub *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, pub, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// leaf issues a certificate; change may spoil it.
func (a *issuer) leaf(change func(*x509.Certificate), names ...string) *tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(tmpl)
	}
	c := a.sign(tmpl, &key.PublicKey)
	out := &tls.Certificate{PrivateKey: key, Leaf: c, Certificate: [][]byte{c.Raw}}
	for _, up := range a.up {
		out.Certificate = append(out.Certificate, up.Raw)
	}
	return out
}

func (a *issuer) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// end is one stack on the loopback.
type end struct {
	stack *sip.Stack
	peer  *sip.Remote
}

var loopback = netip.MustParseAddr("127.0.0.1")

// newEnd starts a stack that answers 200 and knows one peer.
func newEnd(t *testing.T, transport sip.Transport, bind netip.Addr, cert *tls.Certificate, policy sip.TLSPolicy) *end {
	t.Helper()
	e := &end{peer: &sip.Remote{Name: "carrier", TLS: policy}}
	s, err := sip.NewStack(sip.StackConfig{
		Listeners: []sip.Listener{{
			Name: "core", Transport: transport, Bind: netip.AddrPortFrom(bind, 0),
			Certificate: func() (*tls.Certificate, error) { return cert, nil },
		}},
		Admit:  func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{e.peer} },
		Handle: func(tx *sip.ServerTx) { _ = tx.Respond(sip.NewResponse(tx.Request(), 200, "")) },
	})
	if err != nil {
		t.Fatal(err)
	}
	e.stack = s
	t.Cleanup(func() { s.Close() })
	return e
}

// ask sends an OPTIONS to the other end and gives what comes of it.
func (e *end) ask(t *testing.T, other *end, host string) sip.Event {
	t.Helper()
	l := other.stack.Addr("core")
	events := make(chan sip.Event, 10)
	to := sip.Target{Listener: "core", Addr: l, Host: host, Remote: e.peer}
	for _, tr := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS} {
		to.Transport = tr
		if _, err := e.stack.Request(ours("OPTIONS"), to, func(ev sip.Event) { events <- ev }); err == nil {
			break
		}
	}
	select {
	case ev := <-events:
		return ev
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came back")
		return sip.Event{}
	}
}

func TestRequestsTravelOverEveryTransportAndFamily(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	cert := ca.leaf(nil, "sbc.example")
	policy := sip.TLSPolicy{Names: []string{"sbc.example"}, Roots: ca.pool()}
	for _, transport := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS} {
		for _, bind := range []string{"127.0.0.1", "::1"} {
			t.Run(fmt.Sprint(transport, bind), func(t *testing.T) {
				addr := netip.MustParseAddr(bind)
				if l, err := net.Listen("tcp", netip.AddrPortFrom(addr, 0).String()); err != nil {
					t.Skip("no such family here")
				} else {
					l.Close()
				}
				a, b := newEnd(t, transport, addr, cert, policy), newEnd(t, transport, addr, cert, policy)
				for range 3 {
					if ev := a.ask(t, b, ""); ev.Err != nil || ev.Msg.Status != 200 {
						t.Fatalf("event %+v", ev)
					}
				}
			})
		}
	}
}

func TestMutualTLSVerifiesWhoIsThere(t *testing.T) {
	root := newIssuer(t, "Root X", nil)
	mid := newIssuer(t, "Issuing CA 1", root)
	other := newIssuer(t, "Root Y", nil)
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	for _, c := range []struct {
		name   string
		cert   *tls.Certificate
		wanted []string
		host   string
		want   []string // parts of the error, none: it works
	}{
		{"the exact name", mid.leaf(nil, "sbc.carrier.example"), []string{"sbc.carrier.example"}, "", nil},
		{"a name in other case", mid.leaf(nil, "SBC.Carrier.example"), []string{"sbc.carrier.EXAMPLE"}, "", nil},
		{"one of several names", mid.leaf(nil, "a.example", "sbc.carrier.example"), []string{"x.example", "sbc.carrier.example"}, "", nil},
		{"a wildcard for one label", mid.leaf(nil, "*.carrier.example"), []string{"sbc.carrier.example"}, "", nil},
		{"no configured name, the host dialled", mid.leaf(nil, "sbc.carrier.example"), nil, "sbc.carrier.example", nil},
		{"a common name when there is no other", mid.leaf(func(c *x509.Certificate) { c.DNSNames = nil }, "sbc.carrier.example"), []string{"sbc.carrier.example"}, "", nil},
		{"a sip URI", mid.leaf(func(c *x509.Certificate) {
			c.DNSNames, c.URIs = nil, []*url.URL{{Scheme: "sip", Opaque: "carrier.example"}}
		}, "whatever"), []string{"carrier.example"}, "", nil},
		{"serverAuth alone", mid.leaf(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, "sbc.carrier.example"), []string{"sbc.carrier.example"}, "", nil},
		{"clientAuth alone", mid.leaf(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }, "sbc.carrier.example"), []string{"sbc.carrier.example"}, "", nil},

		{"another name", mid.leaf(nil, "sbc.other.example"), []string{"sbc.carrier.example"}, "", []string{
			"handshake carrier at 127.0.0.1:", "sbc.other.example ← Issuing CA 1 ← Root X, valid until 2", "is for sbc.other.example", "wanted is sbc.carrier.example", "correct the names of this peer",
		}},
		{"the common name does not count beside other names", mid.leaf(func(c *x509.Certificate) { c.Subject.CommonName = "sbc.carrier.example" }, "sbc.other.example"), []string{"sbc.carrier.example"}, "", []string{"is for sbc.other.example"}},
		{"a wildcard for two labels", mid.leaf(nil, "*.carrier.example"), []string{"a.sbc.carrier.example"}, "", []string{"is for *.carrier.example"}},
		{"a wildcard for the whole name", mid.leaf(nil, "*.carrier.example"), []string{"carrier.example"}, "", []string{"wanted is carrier.example"}},
		{"another root, sent along", func() *tls.Certificate {
			c := other.leaf(nil, "sbc.carrier.example")
			c.Certificate = append(c.Certificate, other.cert.Raw)
			return c
		}(), []string{"sbc.carrier.example"}, "", []string{`ends in "Root Y", which is not among the roots trusted`, "add that root"}},
		{"another root, not sent", other.leaf(nil, "sbc.carrier.example"), []string{"sbc.carrier.example"}, "", []string{`needs "Root Y", which was neither sent nor is a root trusted`}},
		{"a missing intermediate", func() *tls.Certificate {
			c := mid.leaf(nil, "sbc.carrier.example")
			c.Certificate = c.Certificate[:1]
			return c
		}(), []string{"sbc.carrier.example"}, "", []string{`needs "Issuing CA 1"`, "have the peer send it if it is an intermediate"}},
		{"an expired one", mid.leaf(expired, "sbc.carrier.example"), []string{"sbc.carrier.example"}, "", []string{`"sbc.carrier.example" expired on 2`, "have the peer renew it"}},
		{"one of tomorrow", mid.leaf(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, "sbc.carrier.example"), []string{"sbc.carrier.example"}, "", []string{"is valid only from 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			good := mid.leaf(nil, "us.example")
			policy := sip.TLSPolicy{Names: c.wanted, Roots: root.pool()}
			us := sip.TLSPolicy{Names: []string{"us.example"}, Roots: root.pool()}

			// We dial the peer and look at its certificate.
			a, b := newEnd(t, sip.TLS, loopback, good, policy), newEnd(t, sip.TLS, loopback, c.cert, us)
			ev := a.ask(t, b, c.host)
			if c.want == nil {
				if ev.Err != nil {
					t.Fatalf("outbound: %v", ev.Err)
				}
				certs := a.stack.PeerCertificates()
				if len(certs) != 1 || certs[0].Root != "Root X" || certs[0].Inbound || !certs[0].NotAfter.Equal(c.cert.Leaf.NotAfter) {
					t.Errorf("facts: %+v", certs)
				}
			} else {
				for _, part := range c.want {
					if ev.Err == nil || !strings.Contains(ev.Err.Error(), part) {
						t.Errorf("outbound error lacks %q:\n%v", part, ev.Err)
					}
				}
			}

			// The peer dials us.
			if c.wanted == nil {
				return
			}
			ev = b.ask(t, a, "us.example")
			if ok := ev.Err == nil; ok != (c.want == nil) {
				t.Errorf("inbound: %v", ev.Err)
			}
			if c.want != nil {
				eventually(t, func() bool { return a.stack.Counters().Refused["tls"] > 0 })
			}
			if c.want != nil {
				if terr, ok := errors.AsType[*sip.TransportError](ev.Err); !ok || !strings.Contains(terr.Error(), "see that it trusts the root of our certificate") {
					t.Errorf("what the refused one is told: %v", ev.Err)
				}
			}
		})
	}
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, f func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(5 * time.Second); !f(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen")
		}
	}
}

func TestTheStockVerifierWouldRefuseServerAuthClients(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	leaf := ca.leaf(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, "sip.pstnhub.example")
	_, err := leaf.Leaf.Verify(x509.VerifyOptions{Roots: ca.pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err == nil {
		t.Fatal("Go accepts serverAuth-only certificates of clients now: our own verification is no longer needed for that")
	}
}

func TestAClientWithoutCertificateOrWithOldTLSIsRefused(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	cert := ca.leaf(nil, "sbc.example")
	e := newEnd(t, sip.TLS, loopback, cert, sip.TLSPolicy{Names: []string{"sbc.example"}, Roots: ca.pool()})
	for name, cfg := range map[string]*tls.Config{
		"no certificate": {InsecureSkipVerify: true},
		"TLS 1.1":        {InsecureSkipVerify: true, Certificates: []tls.Certificate{*cert}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10},
		"CBC suite":      {InsecureSkipVerify: true, Certificates: []tls.Certificate{*cert}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
	} {
		c, err := tls.Dial("tcp", e.stack.Addr("core").String(), cfg)
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "remote error: tls:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// dialler is a peer that is not ours: Go's own TLS client with a memory for
// sessions.
func dialler(cert *tls.Certificate, change func(*tls.Config)) *tls.Config {
	cfg := &tls.Config{InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(8), ServerName: "us.example"}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	if change != nil {
		change(cfg)
	}
	return cfg
}

// shake dials e, asks it something and gives what was agreed on.
func (e *end) shake(t *testing.T, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c, err := tls.Dial("tcp", e.stack.Addr("core").String(), cfg)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	if _, err := c.Write([]byte("\r\n\r\n")); err != nil {
		return c.ConnectionState(), err
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 2))
	return c.ConnectionState(), err
}

func TestNoSessionIsResumedSoThatEveryHandshakeShowsTheCertificate(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	cert := ca.leaf(nil, "sbc.example")
	e := newEnd(t, sip.TLS, loopback, cert, sip.TLSPolicy{Names: []string{"sbc.example"}, Roots: ca.pool()})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := dialler(cert, func(c *tls.Config) { c.MaxVersion = version })
		for range 3 {
			cs, err := e.shake(t, cfg)
			if err != nil || cs.DidResume {
				t.Errorf("%s: resumed %v, %v", tls.VersionName(version), cs.DidResume, err)
			}
		}
	}

	// And where we dial a server that would let us.
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	resumed := make(chan bool)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			resumed <- c.(*tls.Conn).ConnectionState().DidResume
			c.Close()
		}
	}()
	to := sip.Target{Listener: "core", Transport: sip.TLS, Addr: netip.MustParseAddrPort(l.Addr().String()), Host: "sbc.example", Remote: e.peer}
	for range 2 {
		if _, err := e.stack.Request(ours("OPTIONS"), to, func(sip.Event) {}); err != nil {
			t.Fatal(err)
		}
		if <-resumed {
			t.Error("our client resumed a session")
		}
		eventually(t, func() bool { return e.stack.Counters().Connections == 0 })
	}
}

func TestEachPeerIsHeldToItsOwnTLSPolicy(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	cert, own := ca.leaf(nil, "sbc.example"), ca.leaf(nil, "special.us.example")
	const gcm, cbc = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
	newest := func(v uint16) func(*tls.Config) { return func(c *tls.Config) { c.MaxVersion = v } }
	suite := func(s uint16) func(*tls.Config) {
		return func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{s} }
	}
	for _, c := range []struct {
		name   string
		policy sip.TLSPolicy
		cert   *tls.Certificate
		dial   func(*tls.Config)
		good   bool
	}{
		{"TLS 1.2 unless more is wanted", sip.TLSPolicy{}, cert, newest(tls.VersionTLS12), true},
		{"TLS 1.3 wanted, 1.2 spoken", sip.TLSPolicy{MinVersion: tls.VersionTLS13}, cert, newest(tls.VersionTLS12), false},
		{"TLS 1.3 wanted and spoken", sip.TLSPolicy{MinVersion: tls.VersionTLS13}, cert, nil, true},
		{"at most TLS 1.2, which both then speak", sip.TLSPolicy{MaxVersion: tls.VersionTLS12}, cert, nil, true},
		{"at most TLS 1.2, and the peer wants 1.3", sip.TLSPolicy{MaxVersion: tls.VersionTLS12}, cert, func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, false},
		{"a suite that is not listed", sip.TLSPolicy{}, cert, suite(cbc), false},
		{"a suite that is", sip.TLSPolicy{Suites: []uint16{cbc}}, cert, suite(cbc), true},
		{"a list that leaves out the usual ones", sip.TLSPolicy{Suites: []uint16{cbc}}, cert, suite(gcm), false},
		{"no certificate where one is demanded", sip.TLSPolicy{}, nil, nil, false},
		{"no certificate where none is", sip.TLSPolicy{Anonymous: true}, nil, nil, true},
		{"a certificate of our own for this peer", sip.TLSPolicy{Certificate: func() (*tls.Certificate, error) { return own, nil }}, cert, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.policy.Names, c.policy.Roots = []string{"sbc.example"}, ca.pool()
			e := newEnd(t, sip.TLS, loopback, ca.leaf(nil, "us.example"), sip.TLSPolicy{})
			e.peer.SetTLS(c.policy)
			cs, err := e.shake(t, dialler(c.cert, c.dial))
			if (err == nil) != c.good {
				t.Fatalf("got %v", err)
			}
			want := "us.example"
			if c.policy.Certificate != nil {
				want = "special.us.example"
			}
			if err == nil && cs.PeerCertificates[0].Subject.CommonName != want {
				t.Errorf("we showed %s, want %s", cs.PeerCertificates[0].Subject.CommonName, want)
			}
			if c.cert == nil || c.dial != nil {
				return
			}
			// The same policy where we dial.
			seen := sip.TLSPolicy{Names: []string{want}, Roots: ca.pool()}
			other := newEnd(t, sip.TLS, loopback, cert, seen)
			if ev := e.ask(t, other, "sbc.example"); ev.Err != nil {
				t.Errorf("outbound: %v", ev.Err)
			}
		})
	}
}

func TestWhoSharesAnAddressIsHeldToHisOwnPolicy(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	strict := &sip.Remote{Name: "strict", TLS: sip.TLSPolicy{Names: []string{"strict.example"}, Roots: ca.pool(), MinVersion: tls.VersionTLS13}}
	lax := &sip.Remote{Name: "lax", TLS: sip.TLSPolicy{Names: []string{"lax.example"}, Roots: ca.pool(), MaxVersion: tls.VersionTLS12, Anonymous: true}}
	e := &end{}
	var err error
	e.stack, err = sip.NewStack(sip.StackConfig{
		Listeners: []sip.Listener{{Name: "core", Transport: sip.TLS, Bind: netip.AddrPortFrom(loopback, 0), Certificate: func() (*tls.Certificate, error) {
			return ca.leaf(nil, "us.example"), nil
		}}},
		Admit: func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{strict, lax} },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.stack.Close()
	old := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	for _, c := range []struct {
		name string
		cert *tls.Certificate
		dial func(*tls.Config)
		good bool
	}{
		{"the strict one with TLS 1.3", ca.leaf(nil, "strict.example"), nil, true},
		{"the strict one with TLS 1.2, which is only for the other", ca.leaf(nil, "strict.example"), old, false},
		{"the lax one with TLS 1.2", ca.leaf(nil, "lax.example"), old, true},
		{"the lax one with TLS 1.3, which is only for the other", ca.leaf(nil, "lax.example"), nil, false},
		{"the lax one without certificate", nil, old, true},
		{"somebody else", ca.leaf(nil, "else.example"), old, false},
	} {
		if _, err := e.shake(t, dialler(c.cert, c.dial)); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestANewConnectionThatThePeerRefusesLeavesTheOldOne(t *testing.T) {
	ca, other := newIssuer(t, "Root", nil), newIssuer(t, "Other", nil)
	good := ca.leaf(nil, "us.example")
	e := newEnd(t, sip.TLS, loopback, good, sip.TLSPolicy{Names: []string{"them.example"}, Roots: ca.pool()})
	them := newEnd(t, sip.TLS, loopback, ca.leaf(nil, "them.example"), sip.TLSPolicy{Names: []string{"us.example"}, Roots: ca.pool()})
	if ev := e.ask(t, them, ""); ev.Err != nil {
		t.Fatal(ev.Err)
	}
	everything := func(*sip.Listener, *sip.Remote) bool { return true }
	*good = *other.leaf(nil, "us.example")
	done := e.stack.Reconnect(t.Context(), everything)
	if len(done) != 1 || done[0].Err == nil || !strings.Contains(done[0].Err.Error(), "see that it trusts the root of our certificate") {
		t.Fatalf("reconnected: %+v", done)
	}
	if ev := e.ask(t, them, ""); ev.Err != nil {
		t.Errorf("over the old one: %v", ev.Err)
	}
	*good = *ca.leaf(func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) }, "us.example")
	if done = e.stack.Reconnect(t.Context(), everything); len(done) != 1 || done[0].Err != nil {
		t.Fatalf("reconnected: %+v", done)
	}
	eventually(t, func() bool { return e.stack.Counters().Connections == 1 && them.stack.Counters().Connections == 1 })
	if ev := e.ask(t, them, ""); ev.Err != nil {
		t.Errorf("over the new one: %v", ev.Err)
	}
	for _, c := range them.stack.PeerCertificates() {
		if !c.NotAfter.Equal(good.Leaf.NotAfter) {
			t.Errorf("they still know the old certificate: %+v", c)
		}
	}
}

func TestAmongPeersBehindOneAddressTheCertificateDecides(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	remotes := []*sip.Remote{
		{Name: "first", TLS: sip.TLSPolicy{Names: []string{"first.example"}, Roots: ca.pool()}},
		{Name: "second", TLS: sip.TLSPolicy{Names: []string{"second.example"}, Roots: ca.pool()}},
	}
	who := make(chan string, 1)
	s, err := sip.NewStack(sip.StackConfig{
		Listeners: []sip.Listener{{Name: "core", Transport: sip.TLS, Bind: netip.AddrPortFrom(loopback, 0), Certificate: func() (*tls.Certificate, error) {
			return ca.leaf(nil, "us.example"), nil
		}}},
		Admit: func(*sip.Listener, netip.Addr) []*sip.Remote { return remotes },
		Handle: func(tx *sip.ServerTx) {
			who <- tx.Source().Remote.Name
			_ = tx.Respond(sip.NewResponse(tx.Request(), 200, ""))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	us := sip.TLSPolicy{Names: []string{"us.example"}, Roots: ca.pool()}
	for _, name := range []string{"second", "first"} {
		e := newEnd(t, sip.TLS, loopback, ca.leaf(nil, name+".example"), us)
		if ev := e.ask(t, &end{stack: s}, ""); ev.Err != nil {
			t.Fatal(ev.Err)
		}
		if got := <-who; got != name {
			t.Errorf("%s was taken for %s", name, got)
		}
	}
	if got := s.PeerCertificates(); len(got) != 2 || got[0].Remote != remotes[0] || !got[0].Inbound || !slices.Equal(got[1].Names, []string{"second.example"}) {
		t.Errorf("facts: %+v", got)
	}
}

func TestHandshakesAreBoundedInTimeAndNumber(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, _ *bubble) {
		cfg.Listeners[0].Transport = sip.TLS
		cfg.Listeners[0].Certificate = func() (*tls.Certificate, error) { return ca.leaf(nil, "us.example"), nil }
		cfg.Conns.Handshakes = 2
	}, func(b *bubble) {
		a, c := b.dial(), b.dial()
		defer c.Close()
		synctest.Wait()
		if d := b.closedBy(b.dial()); d != 0 {
			b.t.Errorf("a third handshake was let in for %v", d)
		}
		if d := b.closedBy(a); d != 5*time.Second {
			b.t.Errorf("a silent client was kept for %v", d)
		}
		synctest.Wait()
		got := b.stack.Counters()
		if got.Refused["handshakes"] != 1 || got.Refused["tls"] != 2 || got.Connections != 0 {
			b.t.Errorf("counters = %+v", got)
		}
	})
}

func TestAServerThatDoesNotShakeHandsIsGivenUp(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	inBubble(t, sip.TCP, func(cfg *sip.StackConfig, _ *bubble) {
		cfg.Listeners[0].Transport = sip.TLS
		cfg.Listeners[0].Certificate = func() (*tls.Certificate, error) { return ca.leaf(nil, "us.example"), nil }
	}, func(b *bubble) {
		to := b.target()
		to.Transport = sip.TLS
		_, err := b.stack.Request(ours("OPTIONS"), to, func(e sip.Event) { b.note("%v", e.Err) })
		if err != nil {
			b.t.Fatal(err)
		}
		after(time.Minute)
		b.want("5s handshake carrier at 10.0.0.2:5060: no TLS handshake within 5s: is the port one that speaks TLS?")
	})
}

func TestARenewedCertificateIsPresentedAtTheNextHandshake(t *testing.T) {
	ca := newIssuer(t, "Root", nil)
	cert := ca.leaf(nil, "us.example")
	s, err := sip.NewStack(sip.StackConfig{
		Listeners: []sip.Listener{{Name: "core", Transport: sip.TLS, Bind: netip.AddrPortFrom(loopback, 0), Certificate: func() (*tls.Certificate, error) { return cert, nil }}},
		Admit:     func(*sip.Listener, netip.Addr) []*sip.Remote { return []*sip.Remote{{Name: "x"}} },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		cert = ca.leaf(nil, "us.example")
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		c, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{*cert}}}).DialContext(ctx, "tcp", s.Addr("core").String())
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if got := c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber; got.Cmp(cert.Leaf.SerialNumber) != 0 {
			t.Errorf("serial %v presented, want %v", got, cert.Leaf.SerialNumber)
		}
		c.Close()
	}
}
