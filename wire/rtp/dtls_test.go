package rtp

import (
	"bytes"
	gocontext "context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"golang.org/x/sys/unix"
)

// shaken is what a port's handshakes have told.
type shaken struct {
	mu   sync.Mutex
	said []error
}

func (s *shaken) tell(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, err)
}

func (s *shaken) all() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// last is what was told last; nil with ok false: nothing yet.
func (s *shaken) last() (err error, ok bool) { //nolint:revive
	all := s.all()
	if len(all) == 0 {
		return nil, false
	}
	return all[len(all)-1], true
}

// pairOf is two ports of two engines that are told of each other.
type pairOf struct {
	ours, far           *Port
	oursTold, farTold   shaken
	gateway, other      *Engine
	oursTerms, farTerms DTLS
}

func (p *pairOf) secure(mux bool) {
	p.ours.Secure(&p.oursTerms, mux, p.oursTold.tell)
	p.far.Secure(&p.farTerms, mux, p.farTold.tell)
}

// locate tells both where the other is.
func (p *pairOf) locate(mux bool) {
	for _, x := range [][2]*Port{{p.ours, p.far}, {p.far, p.ours}} {
		rtcp := x[1].RTCPAddr()
		if mux {
			rtcp = x[1].Addr()
		}
		x[0].Remote(x[1].Addr(), rtcp)
	}
}

func handshakeWorld(t *testing.T, client bool, test func(*testing.T, *pairOf)) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		p := &pairOf{gateway: memoryEngine(t, n, "192.0.2.1", netip.MustParsePrefix("192.0.2.0/24")), other: memoryEngine(t, n, "192.0.2.2")}
		p.ours, p.far = open(t, p.gateway), open(t, p.other)
		p.oursTerms = DTLS{Client: client, Remote: []Fingerprint{p.other.Fingerprint()}}
		p.farTerms = DTLS{Client: !client, Remote: []Fingerprint{p.gateway.Fingerprint()}}
		test(t, p)
	})
}

// RFC 5764 4.2, 5.1: both ends have the same keys, crosswise; RTCP has its own
// where it has a socket of its own.
func TestAHandshakeMakesKeys(t *testing.T) {
	for _, client := range []bool{true, false} {
		for _, mux := range []bool{true, false} {
			handshakeWorld(t, client, func(t *testing.T, p *pairOf) {
				p.secure(mux)
				if s := p.ours.Secured(); s.In != Pending || s.Out != Pending {
					t.Errorf("before it: %v", s)
				}
				p.locate(mux)
				time.Sleep(10 * time.Second)
				us, them := p.ours.Secured(), p.far.Secured()
				if us.In == Pending || !us.In.equal(them.Out) || !us.Out.equal(them.In) || us.In.equal(us.Out) {
					t.Fatalf("client %v, mux %v: %v and %v; told %v", client, mux, us, them, p.oursTold.all())
				}
				if us.In.Suite != "AEAD_AES_128_GCM" {
					t.Errorf("suite %s", us.In.Suite)
				}
				told := 1
				if mux {
					if us.InRTCP != nil || them.OutRTCP != nil {
						t.Error("RTCP has keys of its own")
					}
				} else {
					told = 2
					if !us.InRTCP.equal(them.OutRTCP) || !us.OutRTCP.equal(them.InRTCP) || us.InRTCP.equal(us.In) {
						t.Errorf("RTCP: %v and %v", us, them)
					}
				}
				if all := p.oursTold.all(); len(all) != told || all[0] != nil {
					t.Errorf("told %v", all)
				}
				if c := p.gateway.Counters(); c.Handshakes != uint64(told) || c.HandshakesFailed != 0 || c.Handshaking != 0 {
					t.Errorf("%+v", c)
				}
			})
		}
	}
}

// What the far side says of itself and our role make an association; the rest
// may change (RFC 8842 4).
func TestAnAssociationStays(t *testing.T) {
	handshakeWorld(t, true, func(t *testing.T, p *pairOf) {
		p.secure(true)
		p.locate(true)
		time.Sleep(5 * time.Second)
		before := p.ours.Secured()
		same := p.oursTerms
		same.Remote = slices.Clone(same.Remote)
		if s := p.ours.Secure(&same, true, p.oursTold.tell); s != before || s.In == Pending {
			t.Fatalf("the same terms: %v, not %v", s, before)
		}
		p.ours.Check(&Lite{Ufrag: "abcd", Pwd: "abcdefghijklmnopqrstuv"})
		if s := p.ours.Secure(&same, true, p.oursTold.tell); s != before {
			t.Error("ICE ended it")
		}
		for _, change := range []func(*DTLS){
			func(d *DTLS) { d.ID = "another" },
			func(d *DTLS) { d.Remote = []Fingerprint{{"sha-256", "00"}} },
			func(d *DTLS) { d.Client = false },
		} {
			other := same
			change(&other)
			if s := p.ours.Secure(&other, true, p.oursTold.tell); s.In != Pending {
				t.Errorf("%+v keeps the keys", other)
			}
		}
		if s := p.ours.Secure(nil, true, nil); s != (Secured{}) {
			t.Errorf("without: %v", s)
		}
	})
}

// RFC 5763 6.6: without ICE another address is another association; whoever
// does not know that is heard under the keys there are.
func TestAnAddressThatChangesMakesNewKeys(t *testing.T) {
	for _, client := range []bool{true, false} {
		handshakeWorld(t, client, func(t *testing.T, p *pairOf) {
			p.secure(true)
			p.locate(true)
			time.Sleep(30 * time.Second)
			before := p.ours.Secured()
			next := open(t, p.other)
			next.Secure(&p.farTerms, true, p.farTold.tell)
			p.ours.Remote(next.Addr(), next.Addr())
			if s := p.ours.Secured(); s != before {
				t.Error("the keys are gone")
			}
			next.Remote(p.ours.Addr(), p.ours.Addr())
			time.Sleep(20 * time.Second)
			if us, them := p.ours.Secured(), next.Secured(); us == before || !us.In.equal(them.Out) {
				t.Errorf("client %v: %v and %v", client, us, them)
			}
			for _, err := range p.oursTold.all() {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// An address that changes where nobody begins anew: nothing is lost.
func TestAnAddressThatChangesAlone(t *testing.T) {
	handshakeWorld(t, true, func(t *testing.T, p *pairOf) {
		p.secure(true)
		p.locate(true)
		time.Sleep(30 * time.Second)
		before := p.ours.Secured()
		deaf := open(t, p.other)
		p.ours.Remote(deaf.Addr(), deaf.Addr())
		time.Sleep(2 * time.Minute)
		if s := p.ours.Secured(); s != before {
			t.Error("the keys are gone")
		}
		if all := p.oursTold.all(); len(all) != 1 {
			t.Errorf("told %v", all)
		}
	})
}

func TestACertificateThatWasNotDescribed(t *testing.T) {
	for _, client := range []bool{true, false} {
		handshakeWorld(t, client, func(t *testing.T, p *pairOf) {
			p.oursTerms.Remote = []Fingerprint{p.gateway.Fingerprint()}
			p.secure(true)
			p.locate(true)
			time.Sleep(5 * time.Second)
			all := p.oursTold.all()
			if len(all) == 0 || len(all) > 4 {
				t.Fatalf("told %v", all)
			}
			for _, err := range all {
				if !errors.Is(err, ErrFingerprint) {
					t.Errorf("client %v: told %v", client, err)
				}
			}
			if s := p.ours.Secured(); s.In != Pending {
				t.Errorf("it has keys: %v", s)
			}
			time.Sleep(5 * time.Minute)
			if n := len(p.oursTold.all()); n > 40 {
				t.Errorf("%d attempts in five minutes", n)
			}
		})
	}
}

func TestASilentFarSide(t *testing.T) {
	for _, client := range []bool{true, false} {
		handshakeWorld(t, client, func(t *testing.T, p *pairOf) {
			p.ours.Secure(&p.oursTerms, true, p.oursTold.tell)
			p.ours.Remote(p.far.Addr(), p.far.Addr())
			time.Sleep(handshakeTime - time.Second)
			if all := p.oursTold.all(); len(all) != 0 {
				t.Errorf("client %v: told %v too early", client, all)
			}
			time.Sleep(2 * time.Second)
			if err, ok := p.oursTold.last(); !ok || !errors.Is(err, ErrSilent) {
				t.Errorf("client %v: told %v", client, err)
			}
			// It wakes up later, as a telephone does that rings.
			p.far.Secure(&p.farTerms, true, p.farTold.tell)
			p.far.Remote(p.ours.Addr(), p.ours.Addr())
			time.Sleep(40 * time.Second)
			if s := p.ours.Secured(); s.In == Pending {
				t.Errorf("client %v: no keys after all: %v", client, p.oursTold.all())
			}
		})
	}
}

// RFC 5763 5: whoever answers may begin before his answer is here.
func TestAClientHelloBeforeItsAnswer(t *testing.T) {
	handshakeWorld(t, false, func(t *testing.T, p *pairOf) {
		p.far.Secure(&p.farTerms, true, p.farTold.tell)
		p.far.Remote(p.ours.Addr(), p.ours.Addr())
		time.Sleep(50 * time.Millisecond)
		p.ours.Secure(&p.oursTerms, true, p.oursTold.tell)
		p.ours.Remote(p.far.Addr(), p.far.Addr())
		time.Sleep(50 * time.Millisecond) // it need not be sent again
		if s := p.ours.Secured(); s.In == Pending {
			t.Errorf("no keys: %v", p.oursTold.all())
		}
	})
}

// Nobody but who may be heard gets anything of us, and no association lives
// longer than its port.
func TestAHandshakeOfAStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		gateway, other := memoryEngine(t, n, "192.0.2.1"), memoryEngine(t, n, "198.51.100.2")
		ours, far := open(t, gateway), open(t, other)
		var told shaken
		ours.Secure(&DTLS{Remote: []Fingerprint{other.Fingerprint()}}, true, told.tell)
		far.Secure(&DTLS{Client: true, Remote: []Fingerprint{gateway.Fingerprint()}}, true, func(error) {})
		far.Remote(ours.Addr(), ours.Addr())
		time.Sleep(10 * time.Second)
		if s := ours.Stats(); s.Drops[Stranger] == 0 || far.Secured().In != Pending || far.Stats().Drops[BadVersion] != 0 {
			t.Errorf("%v; the stranger has %v", s.Drops, far.Secured())
		}
		ours.Close()
		if s := ours.Secure(&DTLS{}, true, told.tell); s != (Secured{}) {
			t.Error("a closed port makes a handshake")
		}
	})
}

// What comes before the keys is not heard, what is to leave does not, and both
// are counted.
func TestNothingPassesBeforeTheKeys(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.aKeys = Pending
		w.replan()
		w.send(w.alice, packet(7, 1))
		w.aKeys, w.bKeys = nil, Pending
		w.replan()
		w.send(w.alice, packet(7, 2))
		if s := w.a.Stats(); s.Drops[Unkeyed] != 2 || len(w.toBob) != 0 || w.b.Stats().Sent.Packets != 0 {
			t.Errorf("%v", s.Drops)
		}
		if err := w.b.Send(packet(7, 3), Pending); !errors.Is(err, ErrSend) {
			t.Errorf("sent: %v", err)
		}
	})
}

// plain is a far side that is nothing but pion/dtls on a socket.
type plain struct {
	net.PacketConn
	lose    func(n int) bool // which packets it sends are lost
	garbage [][]byte         // sent before each packet
	to      netip.AddrPort
	mu      sync.Mutex
	sent    int
}

func (p *plain) WriteTo(b []byte, to net.Addr) (int, error) {
	p.mu.Lock()
	p.sent++
	n := p.sent
	p.mu.Unlock()
	for _, g := range p.garbage {
		_, _ = p.PacketConn.WriteTo(g, to)
	}
	if p.lose != nil && p.lose(n) {
		return len(b), nil
	}
	return p.PacketConn.WriteTo(b, to)
}

func newPlain(t *testing.T, to netip.AddrPort) *plain {
	t.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sock.Close() })
	return &plain{PacketConn: sock, to: to}
}

func (p *plain) addr() netip.AddrPort { return p.LocalAddr().(*net.UDPAddr).AddrPort() }

// shake makes a handshake and gives what it exports.
func (p *plain) shake(t *testing.T, client bool, by tls.Certificate, ids ...dtls.SRTPProtectionProfile) (*dtls.Conn, []byte, error) {
	t.Helper()
	shared := []dtls.Option{
		dtls.WithCertificates(by), dtls.WithInsecureSkipVerify(true), dtls.WithSRTPProtectionProfiles(ids...),
		dtls.WithFlightInterval(200 * time.Millisecond),
	}
	var conn *dtls.Conn
	var err error
	to := net.UDPAddrFromAddrPort(p.to)
	if client {
		var options []dtls.ClientOption
		for _, o := range shared {
			options = append(options, o)
		}
		conn, err = dtls.ClientWithOptions(p, to, options...)
	} else {
		options := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithClientCAs(authority(t))}
		for _, o := range shared {
			options = append(options, o)
		}
		conn, err = dtls.ServerWithOptions(p, to, options...)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := gocontext.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return conn, nil, err
	}
	state, _ := conn.ConnectionState()
	m, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, 60)
	return conn, m, err
}

// authority is one that has signed nothing of ours, as Linphone's stack names in
// its request for a certificate; it is not asked.
func authority(t *testing.T) *x509.CertPool {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	terms := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, IsCA: true}
	raw, err := x509.CreateCertificate(nil, terms, terms, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

// With pion/dtls at the far side, over sockets: both roles, each suite, packets
// lost, and other packets in between.
func TestAHandshakeWithAnotherStack(t *testing.T) {
	hello := []byte{22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 9, 0, 4, 1, 0, 0, 0}
	rubbish := [][]byte{
		packet(7, 1),
		{20},
		bytes.Repeat([]byte{22}, 40),
		{63, 1, 2, 3},
		slices.Concat(hello, []byte{1}),
		{20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 9},
		{23, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 9},
		{22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 8, 0, 2, 9, 9},
		{25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 8, 0, 1, 9},
	}
	for _, x := range []struct {
		name  string
		begin bool // the far side does
		id    dtls.SRTPProtectionProfile
		suite string
		lose  func(int) bool
		junk  [][]byte
	}{
		{"it begins", true, dtls.SRTP_AES128_CM_HMAC_SHA1_80, "AES_CM_128_HMAC_SHA1_80", nil, nil},
		{"we begin", false, dtls.SRTP_AES128_CM_HMAC_SHA1_80, "AES_CM_128_HMAC_SHA1_80", nil, nil},
		{"GCM", true, dtls.SRTP_AEAD_AES_128_GCM, "AEAD_AES_128_GCM", nil, nil},
		{"every second packet is lost", true, dtls.SRTP_AEAD_AES_128_GCM, "AEAD_AES_128_GCM", func(n int) bool { return n%2 == 1 }, nil},
		{"the first three packets are lost", false, dtls.SRTP_AEAD_AES_128_GCM, "AEAD_AES_128_GCM", func(n int) bool { return n < 4 }, nil},
		{"rubbish in between, it begins", true, dtls.SRTP_AEAD_AES_128_GCM, "AEAD_AES_128_GCM", nil, rubbish},
		{"rubbish in between, we begin", false, dtls.SRTP_AEAD_AES_128_GCM, "AEAD_AES_128_GCM", nil, rubbish},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			ours, _ := iceWorld(t)
			far := newPlain(t, ours.Addr())
			far.lose, far.garbage = x.lose, x.junk
			id, err := newIdentity()
			if err != nil {
				t.Fatal(err)
			}
			told := make(chan error, 16)
			ours.Secure(&DTLS{Client: !x.begin, Remote: []Fingerprint{id.print}}, true, func(err error) { told <- err })
			ours.Remote(far.addr(), far.addr())
			conn, m, err := far.shake(t, x.begin, id.certificate, x.id)
			if err != nil {
				t.Fatal(err)
			}
			if err := <-told; err != nil {
				t.Fatal(err)
			}
			s := ours.Secured()
			key, salt := suites[x.suite].key, suites[x.suite].salt
			client := slices.Concat(m[:key], m[2*key:2*key+salt])
			server := slices.Concat(m[key:2*key], m[2*key+salt:2*key+2*salt])
			in, out := client, server
			if !x.begin {
				in, out = server, client
			}
			if s.In.Suite != x.suite || !bytes.Equal(s.In.Master, in) || !bytes.Equal(s.Out.Master, out) {
				t.Errorf("keys differ, of suite %s", s.In.Suite)
			}
			// Many a stack ends the media at a close_notify, so none is sent.
			_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := conn.Read(make([]byte, 16)); errors.Is(err, io.EOF) {
				t.Error("we have closed the association")
			}
			state, _ := conn.ConnectionState()
			if len(state.PeerCertificates) != 1 || !bytes.Equal(state.PeerCertificates[0], ours.engine.shakes.identity.certificate.Certificate[0]) {
				t.Error("we have shown another certificate than we describe")
			}
		})
	}
}

// The far side's certificate is proven by its fingerprint, in any hash that is
// good, and by the strongest that there is (RFC 8122 5).
func TestFingerprintsAreJudgedByTheStrongest(t *testing.T) {
	id, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	raw := id.certificate.Certificate
	print := func(hash string, of []byte) Fingerprint {
		for _, h := range strongest {
			if h.name == hash {
				return Fingerprint{hash, colons(h.sum(of))}
			}
		}
		return Fingerprint{hash, "00"}
	}
	right := func(hash string) Fingerprint { return print(hash, raw[0]) }
	wrong := func(hash string) Fingerprint { return print(hash, []byte("another")) }
	for _, x := range []struct {
		name   string
		prints []Fingerprint
		good   bool
	}{
		{"SHA-256", []Fingerprint{right("sha-256")}, true},
		{"SHA-1", []Fingerprint{right("sha-1")}, true},
		{"SHA-512", []Fingerprint{right("sha-512"), right("sha-256")}, true},
		{"two certificates", []Fingerprint{wrong("sha-256"), right("sha-256")}, true},
		{"the weaker one alone", []Fingerprint{wrong("sha-512"), right("sha-1")}, false},
		{"another", []Fingerprint{wrong("sha-256")}, false},
		{"a hash that nobody believes", []Fingerprint{right("md5")}, false},
		{"none", nil, false},
	} {
		a := &association{terms: DTLS{Remote: x.prints}}
		if err := a.verify(raw, nil); (err == nil) != x.good {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if err := (&association{terms: DTLS{Remote: []Fingerprint{right("sha-256")}}}).verify(nil, nil); err == nil {
		t.Error("no certificate will do")
	}
}

// A far side that shows no certificate at all has not proven anything.
func TestAFarSideWithoutACertificate(t *testing.T) {
	t.Parallel()
	ours, _ := iceWorld(t)
	far := newPlain(t, ours.Addr())
	id, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 16)
	ours.Secure(&DTLS{Remote: []Fingerprint{id.print}}, true, func(err error) { told <- err })
	ours.Remote(far.addr(), far.addr())
	conn, err := dtls.ClientWithOptions(far, net.UDPAddrFromAddrPort(far.to),
		dtls.WithInsecureSkipVerify(true), dtls.WithSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := gocontext.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_ = conn.HandshakeContext(ctx)
	if err := <-told; err == nil || ours.Secured().In != Pending {
		t.Errorf("told %v", err)
	}
}

// Somebody of an allowed range begins before the far side does: that one is let
// as soon as it begins from where it is signalled to be.
func TestTheSignalledAddressGoesFirst(t *testing.T) {
	hello := clientHello()
	handshakeWorld(t, false, func(t *testing.T, p *pairOf) {
		thief := open(t, p.other)
		p.ours.Secure(&p.oursTerms, true, p.oursTold.tell)
		p.ours.Remote(p.far.Addr(), p.far.Addr())
		if err := p.ours.engine.tier.send(thief.sockets[media], hello, p.ours.Addr()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if c := p.gateway.Counters(); c.Handshaking != 1 {
			t.Fatalf("the thief's attempt does not stand: %+v", c)
		}
		p.far.Secure(&p.farTerms, true, p.farTold.tell)
		p.far.Remote(p.ours.Addr(), p.ours.Addr())
		time.Sleep(time.Second)
		if us, them := p.ours.Secured(), p.far.Secured(); us.In == Pending || !us.In.equal(them.Out) {
			t.Errorf("%v and %v; told %v", us, them, p.oursTold.all())
		}
		if at := p.ours.Stats().Remote; at != p.far.Addr() {
			t.Errorf("we send to %v", at)
		}
	})
}

// clientHello is one of another stack, as it left.
var clientHello = sync.OnceValue(func() []byte {
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	defer sock.Close()
	from, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	defer from.Close()
	conn, err := dtls.ClientWithOptions(from, sock.LocalAddr(), dtls.WithInsecureSkipVerify(true), dtls.WithSRTPProtectionProfiles(dtls.SRTP_AES128_CM_HMAC_SHA1_80))
	if err != nil {
		panic(err)
	}
	ctx, cancel := gocontext.WithTimeout(gocontext.Background(), 100*time.Millisecond)
	defer cancel()
	_ = conn.HandshakeContext(ctx)
	b := make([]byte, 2048)
	_ = sock.SetReadDeadline(time.Now().Add(time.Second))
	n, err := sock.Read(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		panic(err)
	}
	return b[:n]
})

// FuzzHandshake: whatever is sent as a handshake, the port lives, and has no
// keys.
func FuzzHandshake(f *testing.F) {
	hello := clientHello()
	f.Add(hello)
	f.Add([]byte{20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 1})
	f.Add([]byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7, 0, 2, 2, 40})
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 7, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	e, err := New(Config{Threads: 1, Network: NewNetwork(), Interfaces: []Interface{
		{Name: "test", Bind: netip.MustParseAddr("192.0.2.1"), PortMin: 2000, PortMax: 2999},
	}})
	if err != nil {
		f.Fatal(err)
	}
	defer e.Close()
	far := netip.MustParseAddrPort("192.0.2.2:3000")
	f.Fuzz(func(t *testing.T, pkt []byte) {
		pkt = pkt[:min(len(pkt), maxPacket)]
		p := open(t, e)
		defer p.Close()
		p.Remote(far, far)
		p.Secure(&DTLS{Remote: []Fingerprint{e.Fingerprint()}}, true, func(err error) {
			if err == nil {
				t.Error("keys")
			}
		})
		l := &lane{now: time.Now()}
		for _, b := range [][]byte{pkt, hello, pkt} {
			p.receive(l, p.sockets[media], copy(l.buf[:], b), far)
		}
		if s := p.Secured(); s.In != Pending {
			t.Errorf("%v", s)
		}
	})
}

// BenchmarkHandshake: what one end of a handshake costs; the other one, in the
// same process, costs as much.
func BenchmarkHandshake(b *testing.B) {
	n := NewNetwork()
	engine := func(ip string) *Engine {
		e, err := New(Config{Threads: 1, Network: n, Interfaces: []Interface{{Name: "test", Bind: netip.MustParseAddr(ip), PortMin: 2000, PortMax: 2099}}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = e.Close() })
		return e
	}
	gateway, far := engine("192.0.2.1"), engine("192.0.2.2")
	before := cpuTime(b)
	for b.Loop() {
		ours, theirs := open(b, gateway), open(b, far)
		told := make(chan error, 2)
		ours.Secure(&DTLS{Client: true, Remote: []Fingerprint{far.Fingerprint()}}, true, func(err error) { told <- err })
		theirs.Secure(&DTLS{Remote: []Fingerprint{gateway.Fingerprint()}}, true, func(err error) { told <- err })
		theirs.Remote(ours.Addr(), ours.Addr())
		ours.Remote(theirs.Addr(), theirs.Addr())
		for range 2 {
			if err := <-told; err != nil {
				b.Fatal(err)
			}
		}
		ours.Close()
		theirs.Close()
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/2e3, "cpu-µs/end")
}

// cpuTime is what the process has used of the processors.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// RFC 5764 5.1.1: RTCP that has a handshake of its own is under its keys.
func TestRTCPUnderKeysOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		rtp, rtcp, out, outRTCP := w.keys(sdes), w.keys("AEAD_AES_128_GCM"), w.keys(sdes), w.keys(sdes)
		w.plan(w.a, &Plan{PT: PassPT(), In: rtp, InRTCP: rtcp, To: w.b, Out: out, OutRTCP: outRTCP})
		w.plan(w.bob, &Plan{PT: PassPT(), In: out, InRTCP: outRTCP, Sink: func(p []byte, rtcp bool) {
			if rtcp {
				w.rtcpToBob = append(w.rtcpToBob, bytes.Clone(p))
			} else {
				w.toBob = append(w.toBob, bytes.Clone(p))
			}
		}})
		report := []byte{0x80, 201, 0, 1, 0, 0, 0, 7}
		for _, x := range []struct {
			keys  *Keys
			heard int
		}{{rtp, 0}, {rtcp, 1}} {
			sealed, err := oracle(t, x.keys).EncryptRTCP(nil, report, nil)
			if err != nil {
				t.Fatal(err)
			}
			w.send(w.alice, sealed)
			if len(w.rtcpToBob) != x.heard {
				t.Errorf("%d reports arrived, not %d", len(w.rtcpToBob), x.heard)
			}
		}
		w.send(w.alice, seal(t, oracle(t, rtp), packet(7, 1)))
		if len(w.toBob) != 1 {
			t.Errorf("%d packets arrived", len(w.toBob))
		}
	})
}

// Somebody of an allowed range sends hellos as fast as he can: what is done for
// him is bounded, and the far side makes its handshake all the same.
func TestAStormOfHellos(t *testing.T) {
	hello := clientHello()
	handshakeWorld(t, false, func(t *testing.T, p *pairOf) {
		thief := open(t, p.other)
		p.ours.Secure(&p.oursTerms, true, p.oursTold.tell)
		p.ours.Remote(p.far.Addr(), p.far.Addr())
		for range 60 * 2000 {
			if err := p.ours.engine.tier.send(thief.sockets[media], hello, p.ours.Addr()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Microsecond)
		}
		c, s := p.gateway.Counters(), p.ours.Stats()
		if c.HandshakesFailed > 60 || s.Drops[Flood] < 60*500 {
			t.Errorf("in a minute %d attempts; %v", c.HandshakesFailed, s.Drops)
		}
		p.far.Secure(&p.farTerms, true, p.farTold.tell)
		p.far.Remote(p.ours.Addr(), p.ours.Addr())
		time.Sleep(20 * time.Second)
		keys := p.ours.Secured()
		if keys.In == Pending {
			t.Fatalf("no keys; told %v", p.oursTold.all())
		}
		// Nor does he use up what the far side may send.
		if err := p.ours.Receive(&Plan{PT: PassPT(), In: keys.In, Sink: func([]byte, bool) {}}); err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			for range 60 {
				_ = p.ours.engine.tier.send(thief.sockets[media], hello, p.ours.Addr())
			}
			if err := p.far.Send(packet(7, uint16(i+1)), p.far.Secured().Out); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if s := p.ours.Stats(); s.Received.Packets != 50 {
			t.Errorf("of 50 packets %d were heard; %v", s.Received.Packets, s.Drops)
		}
	})
}

// Half handshakes take no more places than there are, and give them back.
func TestHandshakesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		engine := func(ip string) *Engine {
			e, err := New(Config{Threads: 1, Network: n, Interfaces: []Interface{{Name: "test", Bind: netip.MustParseAddr(ip), PortMin: 2000, PortMax: 2999}}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.Close() })
			return e
		}
		gateway, far := engine("192.0.2.1"), engine("192.0.2.2")
		nowhere := netip.MustParseAddrPort("192.0.2.9:9")
		for range maxHandshakes + 40 {
			p := open(t, gateway)
			p.Secure(&DTLS{Client: true, Remote: []Fingerprint{far.Fingerprint()}}, true, func(error) {})
			p.Remote(nowhere, nowhere)
		}
		time.Sleep(time.Second)
		if c := gateway.Counters(); c.Handshaking != maxHandshakes {
			t.Errorf("%d at work", c.Handshaking)
		}
		ours, theirs := open(t, gateway), open(t, far)
		ours.Secure(&DTLS{Remote: []Fingerprint{far.Fingerprint()}}, true, func(error) {})
		theirs.Secure(&DTLS{Client: true, Remote: []Fingerprint{gateway.Fingerprint()}}, true, func(error) {})
		ours.Remote(theirs.Addr(), theirs.Addr())
		theirs.Remote(ours.Addr(), ours.Addr())
		time.Sleep(45 * time.Second)
		if ours.Secured().In == Pending {
			t.Error("the honest one got no turn")
		}
	})
}
