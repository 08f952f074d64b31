package relay

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const suite = "AES_CM_128_HMAC_SHA1_80"

// party is a far side: a port of another engine, the keys it uses, and what
// it heard.
type party struct {
	port    *rtp.Port
	in, out *rtp.Keys // in: what it is sent with
	seq     uint16
	heard   [][]byte
}

func newParty(t *testing.T, e *rtp.Engine, m *Media, s Side, secure bool) *party {
	t.Helper()
	port, err := e.Open("far")
	if err != nil {
		t.Fatal(err)
	}
	p := &party{port: port}
	if secure {
		p.in, p.out = keys(t), keys(t)
	}
	port.Remote(m.Local(s), m.LocalRTCP(s))
	p.listen(t)
	return p
}

func keys(t *testing.T) *rtp.Keys {
	t.Helper()
	k, err := rtp.NewKeys(suite)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (p *party) listen(t *testing.T) {
	t.Helper()
	err := p.port.Receive(&rtp.Plan{PT: rtp.PassPT(), In: p.in, Sink: func(pkt []byte, rtcp bool) {
		if !rtcp {
			p.heard = append(p.heard, bytes.Clone(pkt))
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// agreed is what a party and we agree on, in the party's direction.
func (p *party) agreed(d sdp.Direction) Negotiated {
	return Negotiated{RTP: p.port.Addr(), In: p.out, Out: p.in, PT: rtp.PassPT(), Direction: d}
}

// says sends one packet and reports who heard it.
func (p *party) says(t *testing.T, all ...*party) (heard []*party) {
	t.Helper()
	before := make([]int, len(all))
	for i, q := range all {
		before[i] = len(q.heard)
	}
	p.seq++
	pkt := append([]byte{0x80, 8, byte(p.seq >> 8), byte(p.seq), 0, 0, 0, 0, 0, 0, 0, 7}, make([]byte, 160)...)
	if err := p.port.Send(pkt, p.out); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	synctest.Wait()
	for i, q := range all {
		if len(q.heard) > before[i] {
			heard = append(heard, q)
		}
	}
	return heard
}

func hears(t *testing.T, from, to *party, want bool) {
	t.Helper()
	if got := len(from.says(t, to)) == 1; got != want {
		t.Errorf("heard %v, want %v", got, want)
	}
}

func world(t *testing.T, test func(*Media, *rtp.Engine)) {
	synctest.Test(t, func(t *testing.T) {
		n := rtp.NewNetwork()
		ours, err := rtp.New(rtp.Config{Threads: 1, Quarantine: time.Second, Network: n, Interfaces: []rtp.Interface{
			{Name: "operator", Bind: netip.MustParseAddr("192.0.2.1"), PortMin: 2000, PortMax: 2001},
			{Name: "cloud", Bind: netip.MustParseAddr("192.0.2.2"), PortMin: 2000, PortMax: 2001},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		far, err := rtp.New(rtp.Config{Threads: 1, Network: n, Interfaces: []rtp.Interface{
			{Name: "far", Bind: netip.MustParseAddr("198.51.100.1"), PortMin: 4000, PortMax: 4099},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		m, err := New(Config{Engine: ours}).Open("operator", "cloud")
		if err != nil {
			t.Fatal(err)
		}
		test(m, far)
		m.Close()
		m.Close()
	})
}

func set(t *testing.T, m *Media, s Side, n Negotiated) {
	t.Helper()
	if err := m.Set(s, n); err != nil {
		t.Fatal(err)
	}
}

func TestNothingFlowsBeforeBothSidesAgreed(t *testing.T) {
	world(t, func(m *Media, far *rtp.Engine) {
		caller, callee := newParty(t, far, m, Caller, false), newParty(t, far, m, Callee, true)
		set(t, m, Caller, caller.agreed(sdp.SendRecv))
		hears(t, caller, callee, false)
		hears(t, callee, caller, false)
		set(t, m, Callee, callee.agreed(sdp.SendRecv))
		hears(t, caller, callee, true)
		hears(t, callee, caller, true)
		if s := m.Stats(Caller); s.Received.Packets != 2 || s.Sent.Packets != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestDirections(t *testing.T) {
	// What a side says of itself, and what then flows.
	for _, c := range []struct {
		caller, callee     sdp.Direction
		toCallee, toCaller bool
	}{
		{sdp.SendRecv, sdp.SendRecv, true, true},
		{sdp.SendOnly, sdp.RecvOnly, true, false},
		{sdp.RecvOnly, sdp.SendOnly, false, true},
		{sdp.Inactive, sdp.Inactive, false, false},
		{sdp.SendRecv, sdp.Inactive, false, false},
		{sdp.SendOnly, sdp.SendOnly, false, false},
		{sdp.SendRecv, sdp.SendOnly, false, true},
	} {
		world(t, func(m *Media, far *rtp.Engine) {
			caller, callee := newParty(t, far, m, Caller, false), newParty(t, far, m, Callee, true)
			set(t, m, Caller, caller.agreed(c.caller))
			set(t, m, Callee, callee.agreed(c.callee))
			hears(t, caller, callee, c.toCallee)
			hears(t, callee, caller, c.toCaller)
			// Resumed.
			set(t, m, Callee, callee.agreed(sdp.SendRecv))
			set(t, m, Caller, caller.agreed(sdp.SendRecv))
			hears(t, caller, callee, true)
			hears(t, callee, caller, true)
		})
	}
}

func TestForksAreSwitchedUnderTheCaller(t *testing.T) {
	world(t, func(m *Media, far *rtp.Engine) {
		caller := newParty(t, far, m, Caller, false)
		first, second := newParty(t, far, m, Callee, true), newParty(t, far, m, Callee, true)
		// One offer went out, so both forks are sent with the same key of ours.
		second.in = first.in
		second.listen(t)
		set(t, m, Caller, caller.agreed(sdp.SendRecv))
		for range 3 {
			for _, on := range []*party{first, second} {
				off := first
				if on == first {
					off = second
				}
				set(t, m, Callee, on.agreed(sdp.SendRecv))
				hears(t, caller, on, true)
				hears(t, on, caller, true)
				hears(t, off, caller, false)
				if got := caller.says(t, first, second); len(got) != 1 || got[0] != on {
					t.Errorf("the wrong fork hears the caller")
				}
			}
		}
		if s := m.Stats(Callee); s.Drops[rtp.Stranger] != 6 {
			t.Errorf("%+v", s)
		}
	})
}

func TestPayloadNumbersDifferByDirection(t *testing.T) {
	world(t, func(m *Media, far *rtp.Engine) {
		caller, callee := newParty(t, far, m, Caller, false), newParty(t, far, m, Callee, false)
		n := caller.agreed(sdp.SendRecv)
		n.PT = rtp.MapPT(map[uint8]uint8{8: 96})
		set(t, m, Caller, n)
		set(t, m, Callee, callee.agreed(sdp.SendRecv))
		hears(t, caller, callee, true)
		hears(t, callee, caller, true)
		if callee.heard[0][1] != 96 || caller.heard[0][1] != 8 {
			t.Errorf("numbers %d and %d", callee.heard[0][1], caller.heard[0][1])
		}
	})
}

func TestControlIsMultiplexedWhereAgreed(t *testing.T) {
	world(t, func(m *Media, far *rtp.Engine) {
		caller, callee := newParty(t, far, m, Caller, false), newParty(t, far, m, Callee, true)
		n := callee.agreed(sdp.SendRecv)
		n.Mux = true
		set(t, m, Callee, n)
		set(t, m, Caller, caller.agreed(sdp.SendRecv))
		callee.port.Remote(m.Local(Callee), m.Local(Callee))
		report := []byte{0x80, 201, 0, 1, 0, 0, 0, 7}
		if err := caller.port.Send(report, nil); err != nil {
			t.Fatal(err)
		}
		if err := callee.port.Send(report, callee.out); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := callee.port.Stats(); s.ReceivedRTCP.Packets != 1 {
			t.Errorf("callee: %+v", s)
		}
		if s := caller.port.Stats(); s.ReceivedRTCP.Packets != 1 {
			t.Errorf("caller: %+v", s)
		}
		if s := m.Stats(Callee); s.LastRTCP.IsZero() || !s.Last.IsZero() {
			t.Errorf("%+v", s)
		}
	})
}

func TestBadAgreementsChangeNothing(t *testing.T) {
	world(t, func(m *Media, far *rtp.Engine) {
		caller, callee := newParty(t, far, m, Caller, false), newParty(t, far, m, Callee, true)
		set(t, m, Caller, caller.agreed(sdp.SendRecv))
		set(t, m, Callee, callee.agreed(sdp.SendRecv))
		for name, change := range map[string]func(*Negotiated){
			"unknown suite":   func(n *Negotiated) { n.In = &rtp.Keys{Suite: "NULL"} },
			"short key":       func(n *Negotiated) { n.Out = &rtp.Keys{Suite: suite, Master: []byte{1}} },
			"own port":        func(n *Negotiated) { n.RTP = m.Local(Callee) },
			"the other port":  func(n *Negotiated) { n.RTP = m.Local(Caller) },
			"own port's RTCP": func(n *Negotiated) { n.RTP = m.LocalRTCP(Callee) },
			"RTCP to itself":  func(n *Negotiated) { n.RTCP = m.LocalRTCP(Caller) },
		} {
			n := callee.agreed(sdp.SendRecv)
			change(&n)
			if err := m.Set(Callee, n); fault.Of(err) != fault.Invalid {
				t.Errorf("%s: %v", name, err)
			}
			hears(t, caller, callee, true)
			hears(t, callee, caller, true)
		}
	})
}

func TestPortsAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := rtp.New(rtp.Config{Threads: 1, Quarantine: time.Second, Network: rtp.NewNetwork(), Interfaces: []rtp.Interface{
			{Name: "operator", Bind: netip.MustParseAddr("192.0.2.1"), PortMin: 2000, PortMax: 2003},
			{Name: "cloud", Bind: netip.MustParseAddr("192.0.2.2"), PortMin: 2000, PortMax: 2001},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		r := New(Config{Engine: e})
		m, err := r.Open("operator", "cloud")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // the second interface is exhausted: the first one's port goes back
			if _, err := r.Open("operator", "cloud"); fault.Of(err) != fault.Exhausted {
				t.Fatalf("opened: %v", err)
			}
			time.Sleep(1100 * time.Millisecond)
		}
		m.Close()
		time.Sleep(1100 * time.Millisecond)
		if m, err = r.Open("operator", "cloud"); err != nil {
			t.Fatal(err)
		}
		m.Close()
		if _, err := r.Open("nowhere", "cloud"); fault.Of(err) != fault.NotFound {
			t.Errorf("opened nowhere: %v", err)
		}
	})
}

func TestOfTakesWhatWasNegotiated(t *testing.T) {
	side := sdp.Side{
		RTP: netip.MustParseAddrPort("192.0.2.9:4000"), RTCP: netip.MustParseAddrPort("192.0.2.9:4005"),
		In: &sdp.Keys{Suite: suite, Master: make([]byte, 30)}, Direction: sdp.RecvOnly, Mux: true,
	}
	n := Of(side, rtp.PassPT())
	if n.RTP != side.RTP || n.RTCP != side.RTCP || n.Out != nil || n.In.Check() != nil || n.Direction != sdp.RecvOnly || !n.Mux || n.PT[8] != 8 {
		t.Errorf("%+v", n)
	}
}

func TestWhoIsSilent(t *testing.T) {
	world(t, func(m *Media, far *rtp.Engine) {
		caller, callee := newParty(t, far, m, Caller, false), newParty(t, far, m, Callee, true)
		silent := func(why string, side Side, d time.Duration) {
			t.Helper()
			if s, got := m.Silent(time.Now()); got != d || d != 0 && s != side {
				t.Errorf("%s: the %v for %v, want the %v for %v", why, s, got, side, d)
			}
		}
		time.Sleep(time.Hour)
		silent("nothing agreed", Caller, 0)
		set(t, m, Caller, caller.agreed(sdp.SendRecv))
		time.Sleep(time.Hour)
		silent("one side agreed", Caller, 0)
		set(t, m, Callee, callee.agreed(sdp.SendRecv))
		silent("just agreed", Caller, 0)
		time.Sleep(time.Second)
		silent("nobody heard yet", Caller, time.Second)
		hears(t, caller, callee, true) // takes 20 ms
		silent("one side heard", Callee, 1020*time.Millisecond)
		hears(t, callee, caller, true)
		silent("both heard", Caller, 40*time.Millisecond)

		time.Sleep(time.Minute)
		if err := callee.port.Send([]byte{0x80, 201, 0, 1, 0, 0, 0, 7}, callee.out); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		silent("a report is a sign of life", Caller, time.Minute+40*time.Millisecond)

		set(t, m, Caller, caller.agreed(sdp.RecvOnly))
		time.Sleep(time.Minute)
		silent("the caller need not send", Callee, time.Minute)
		set(t, m, Callee, callee.agreed(sdp.Inactive))
		time.Sleep(time.Hour)
		silent("held both ways", Caller, 0)
		set(t, m, Callee, callee.agreed(sdp.SendRecv))
		set(t, m, Caller, caller.agreed(sdp.SendOnly))
		time.Sleep(time.Second)
		silent("resumed", Caller, time.Second)
	})
}
