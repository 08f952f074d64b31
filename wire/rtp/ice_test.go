package rtp

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// client is a far side that does ICE, with one candidate. Its messages are
// pion's, so that mistakes of ours are not made twice.
type client struct {
	t     *testing.T
	sock  *net.UDPConn
	ours  string // our ufrag
	pwd   string // our password
	ufrag string
}

// iceWorld is a port that answers checks, on real sockets of loopback.
func iceWorld(t *testing.T) (*Port, *Port) {
	t.Helper()
	lo := netip.MustParseAddr("127.0.0.1")
	e, err := New(Config{Threads: 1, Interfaces: []Interface{{
		Name: "cloud", Bind: lo, PortMin: 34000, PortMax: 34099, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	open := func() *Port {
		p, err := e.Open("cloud")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return p
	}
	return open(), open()
}

func newClient(t *testing.T, ours *Lite, ufrag string) *client {
	t.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sock.Close() })
	return &client{t: t, sock: sock, ours: ours.Ufrag, pwd: ours.Pwd, ufrag: ufrag}
}

func (c *client) addr() netip.AddrPort { return c.sock.LocalAddr().(*net.UDPAddr).AddrPort() }

func (c *client) write(p *Port, b []byte) {
	c.t.Helper()
	if _, err := c.sock.WriteToUDPAddrPort(b, p.sockets[media].addr); err != nil {
		c.t.Fatal(err)
	}
}

// read gives the next datagram, nil when none comes.
func (c *client) read() []byte {
	_ = c.sock.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	buf := make([]byte, 2000)
	n, err := c.sock.Read(buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// forget reads what came before.
func (c *client) forget() {
	buf := make([]byte, 2000)
	for {
		_ = c.sock.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := c.sock.Read(buf); err != nil {
			return
		}
	}
}

// check sends a check and reports whether it was answered as it must be.
func (c *client) check(p *Port, setters ...stun.Setter) bool {
	c.t.Helper()
	c.forget()
	all := append([]stun.Setter{stun.BindingRequest, stun.TransactionID, stun.NewUsername(c.ours + ":" + c.ufrag)}, setters...)
	m, err := stun.Build(append(all, stun.NewShortTermIntegrity(c.pwd), stun.Fingerprint)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(p, m.Raw)
	raw := c.read()
	if raw == nil {
		return false
	}
	answer := &stun.Message{Raw: raw}
	if err := answer.Decode(); err != nil {
		c.t.Fatalf("the answer cannot be read: %v", err)
	}
	if answer.Type != stun.BindingSuccess || answer.TransactionID != m.TransactionID {
		c.t.Errorf("the answer is %v", answer)
	}
	if err := stun.NewShortTermIntegrity(c.pwd).Check(answer); err != nil {
		c.t.Error(err)
	}
	if err := stun.Fingerprint.Check(answer); err != nil {
		c.t.Error(err)
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(answer); err != nil || mapped.Port != int(c.addr().Port()) || !mapped.IP.Equal(net.IPv4(127, 0, 0, 1)) {
		c.t.Errorf("mapped %v, %v", mapped, err)
	}
	return true
}

type priority uint32

func (p priority) AddTo(m *stun.Message) error {
	m.Add(stun.AttrPriority, []byte{byte(p >> 24), byte(p >> 16), byte(p >> 8), byte(p)})
	return nil
}

type attr struct {
	kind  stun.AttrType
	value []byte
}

func (a attr) AddTo(m *stun.Message) error { m.Add(a.kind, a.value); return nil }

var use = attr{kind: stun.AttrUseCandidate}

// hears reports whether what is sent by a port comes to a client.
func (c *client) hears(p *Port) bool {
	c.t.Helper()
	c.forget()
	if err := p.Send(packet(1, 1), nil); err != nil {
		return false
	}
	for b := c.read(); b != nil; b = c.read() {
		if !looksSTUN(b) {
			return true
		}
	}
	return false
}

func TestChecksTellWhereTheFarSideIs(t *testing.T) {
	p, _ := iceWorld(t)
	ours := &Lite{Ufrag: "Sb7Q", Pwd: "q5mZr0yK2c9wX4tB8nVhLd"}
	p.Check(ours)
	low, high := newClient(t, ours, "far"), newClient(t, ours, "far")
	if !low.check(p, priority(100)) || !low.hears(p) {
		t.Error("the first candidate that checks is not answered, or hears nothing")
	}
	if !high.check(p, priority(200), attr{kind: 0x7fff, value: []byte{1, 2, 3, 4}}) || !high.hears(p) || low.hears(p) {
		t.Error("the candidate of the higher priority is not taken")
	}
	if !low.check(p, priority(100), use) || !low.hears(p) || high.hears(p) {
		t.Error("the nominated candidate is not taken")
	}
	high.check(p, priority(300)) // keeps its way open (RFC 8445 11)
	if !low.hears(p) {
		t.Error("a check after the nomination changed the way")
	}
}

// Whoever has checked is heard, also from where no media would be allowed, and
// does not move what was nominated.
func TestWhoHasCheckedIsHeard(t *testing.T) {
	p, other := iceWorld(t)
	heard := make(chan struct{}, 10)
	if err := p.Receive(&Plan{PT: PassPT(), To: other, Sink: func([]byte, bool) { heard <- struct{}{} }}); err != nil {
		t.Fatal(err)
	}
	hears := func() bool {
		select {
		case <-heard:
			return true
		case <-time.After(300 * time.Millisecond):
			return false
		}
	}
	ours := &Lite{Ufrag: "Sb7Q", Pwd: "q5mZr0yK2c9wX4tB8nVhLd"}
	p.Check(ours)
	a, b, stranger := newClient(t, ours, "far"), newClient(t, ours, "far"), newClient(t, ours, "far")
	stranger.write(p, packet(1, 1))
	if hears() {
		t.Error("a stranger is heard")
	}
	a.check(p, use)
	b.check(p)
	b.write(p, packet(2, 1))
	if !hears() || !a.hears(p) {
		t.Error("another candidate is not heard, or has moved the way")
	}
}

// Forks check at once; the one that answers the call is told by its ufrag.
func TestTheForkThatAnswersHasTheWay(t *testing.T) {
	p, _ := iceWorld(t)
	ours := &Lite{Ufrag: "Sb7Q", Pwd: "q5mZr0yK2c9wX4tB8nVhLd"}
	p.Check(ours)
	first, second := newClient(t, ours, "forkA"), newClient(t, ours, "forkB")
	first.check(p, priority(200), use)
	second.check(p, priority(100))
	if !first.hears(p) {
		t.Error("the nominated fork does not hear")
	}
	p.Check(&Lite{Ufrag: ours.Ufrag, Pwd: ours.Pwd, Remote: "forkB"})
	if !second.hears(p) || first.hears(p) {
		t.Error("the fork that answered does not hear")
	}
	// RFC 8445 section 9: new credentials begin anew; until then it goes on.
	again := &Lite{Ufrag: "New1", Pwd: "anotherpasswordforus22", Remote: "forkC"}
	p.Check(again)
	if !second.hears(p) {
		t.Error("it is silent while an ICE restart is under way")
	}
	if second.check(p) {
		t.Error("the old password still works")
	}
	moved := newClient(t, again, "forkC")
	if !moved.check(p, use) || !moved.hears(p) {
		t.Error("the way did not follow the restart")
	}
}

func TestChecksThatAreNoneAreDropped(t *testing.T) {
	p, _ := iceWorld(t)
	ours := &Lite{Ufrag: "Sb7Q", Pwd: "q5mZr0yK2c9wX4tB8nVhLd"}
	c := newClient(t, ours, "far")
	if c.check(p) {
		t.Error("without ICE a check is answered")
	}
	p.Check(ours)
	for name, change := range map[string]func(*client){
		"another password": func(c *client) { c.pwd += "x" },
		"another ufrag":    func(c *client) { c.ours = "x" },
		"no ufrag":         func(c *client) { c.ufrag = "" },
	} {
		bad := *c
		change(&bad)
		if bad.check(p) {
			t.Errorf("%s: answered", name)
		}
	}
	good, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername("Sb7Q:far"), stun.NewShortTermIntegrity(ours.Pwd), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(good.Raw) - 8 { // every octet is proven, before the fingerprint, which need not be there
		bad := append([]byte{}, good.Raw...)
		bad[i] ^= 1
		c.write(p, bad)
	}
	for n := range good.Raw {
		c.write(p, good.Raw[:n])
	}
	if b := c.read(); b != nil {
		t.Errorf("answered %x", b)
	}
	if p.Stats().Drops[BadCheck] < uint64(len(good.Raw)-8) {
		t.Errorf("drops %v", p.Stats().Drops)
	}
	if !c.check(p) {
		t.Error("afterwards a good check is not answered")
	}
}

func TestPairsAreBounded(t *testing.T) {
	i := &lite{Lite: Lite{Ufrag: "u", Pwd: "p"}, key: "p"}
	for n := range 2 * maxPairs {
		i.seen(media, check{remote: "r"}, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(1+n)))
	}
	if len(i.pairs[media]) != maxPairs {
		t.Errorf("%d pairs", len(i.pairs[media]))
	}
}

func FuzzCheck(f *testing.F) {
	i := &lite{Lite: Lite{Ufrag: "Sb7Q", Pwd: "q5mZr0yK2c9wX4tB8nVhLd"}, key: "q5mZr0yK2c9wX4tB8nVhLd"}
	good, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername("Sb7Q:far"), priority(5), use, stun.NewShortTermIntegrity(i.key), stun.Fingerprint)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Raw)
	f.Add(good.Raw[:stunHeader])
	f.Fuzz(func(t *testing.T, b []byte) {
		c, ok := parseCheck(b, i)
		if !ok {
			return
		}
		// Nobody finds our password by chance: what is taken, pion takes.
		m := &stun.Message{Raw: b}
		if err := m.Decode(); err != nil || stun.NewShortTermIntegrity(i.key).Check(m) != nil || c.remote == "" {
			t.Fatalf("taken: %x (%v)", b, err)
		}
	})
}
