package rtp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// datagram of UDPTL with the T.38 indicator "no signal" and no redundancy
// (ITU-T T.38 9.1, Annex A).
func udptl(seq uint16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, seq), 1, 0, 0, 0)
}

func openUDPTL(t testing.TB, e *Engine) *Port {
	t.Helper()
	p, err := e.OpenUDPTL("test")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func throw(t testing.TB, from *Port, pkt []byte) {
	t.Helper()
	if err := from.Send(pkt, nil); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// fax is a gateway between alice and bob who are sending each other one.
type fax struct {
	a, b, alice, bob *Port
	toBob            [][]byte
}

func faxing(t *testing.T, test func(*testing.T, *fax), allow ...netip.Prefix) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		gateway, far := memoryEngine(t, n, "192.0.2.1", allow...), memoryEngine(t, n, "192.0.2.2")
		f := &fax{a: openUDPTL(t, gateway), b: openUDPTL(t, gateway), alice: openUDPTL(t, far), bob: openUDPTL(t, far)}
		f.a.Remote(f.alice.Addr(), netip.AddrPort{})
		f.b.Remote(f.bob.Addr(), netip.AddrPort{})
		f.alice.Remote(f.a.Addr(), netip.AddrPort{})
		f.bob.Remote(f.b.Addr(), netip.AddrPort{})
		for port, plan := range map[*Port]*Plan{
			f.a: {To: f.b}, f.b: {To: f.a},
			f.bob: {Sink: func(p []byte, _ bool) { f.toBob = append(f.toBob, bytes.Clone(p)) }},
		} {
			if err := port.Receive(plan); err != nil {
				t.Fatal(err)
			}
		}
		test(t, f)
	})
}

// Their numbers may look like STUN, DTLS, RTP or RTCP: all pass as they come.
func TestDatagramsOfAFaxPass(t *testing.T) {
	faxing(t, func(t *testing.T, f *fax) {
		var sent [][]byte
		for _, seq := range []uint16{0, 1, 0x0101, 0x1603, 0x8000, 0x80c8, 0xffff} {
			sent = append(sent, append(udptl(seq), make([]byte, 40)...))
			throw(t, f.alice, sent[len(sent)-1])
		}
		if !equal(f.toBob, sent) {
			t.Errorf("% x", f.toBob)
		}
		if s := f.a.Stats(); s.Received.Packets != uint64(len(sent)) || s.Dropped() != 0 {
			t.Errorf("%+v", s)
		}
		if s := f.b.Stats(); s.Sent.Packets != uint64(len(sent)) {
			t.Errorf("%+v", s)
		}
	})
}

func equal(a, b [][]byte) bool {
	return bytes.Equal(bytes.Join(a, nil), bytes.Join(b, nil)) && len(a) == len(b)
}

func TestWhatIsNoFaxIsDropped(t *testing.T) {
	faxing(t, func(t *testing.T, f *fax) {
		long := make([]byte, maxPacket+1)
		for cause, pkt := range map[Cause][]byte{TooShort: {0, 1, 1, 0}, TooLong: long} {
			f.alice.tx.Lock()
			if err := f.alice.engine.tier.send(f.alice.sockets[media], pkt, f.a.Addr()); err != nil {
				t.Error(err)
			}
			f.alice.tx.Unlock()
			synctest.Wait()
			if n := f.a.Stats().Drops[cause]; n != 1 {
				t.Errorf("%v: %d", cause, n)
			}
		}
		throw(t, f.alice, make([]byte, maxPacket))
		f.a.Remote(f.alice.Addr(), netip.AddrPort{})
		for range maxRate {
			throw(t, f.alice, udptl(9))
		}
		if s := f.a.Stats(); s.Drops[Flood] == 0 || len(f.toBob) > maxRate {
			t.Errorf("%d passed: %+v", len(f.toBob), s)
		}
		if err := f.alice.Send([]byte{1}, nil); err != ErrPacket {
			t.Error(err)
		}
	})
}

// Who may be heard, and where it is answered, is as with clear RTP (see latch).
func TestAFaxLatches(t *testing.T) {
	allowed := netip.MustParsePrefix("192.0.2.2/32")
	for name, allow := range map[string][]netip.Prefix{"allowed": {allowed}, "a stranger": nil} {
		t.Run(name, func(t *testing.T) {
			faxing(t, func(t *testing.T, f *fax) {
				nat := openUDPTL(t, f.bob.engine)
				nat.Remote(f.a.Addr(), netip.AddrPort{})
				throw(t, nat, udptl(1))
				if len(f.toBob) != 0 {
					t.Error("one datagram is no proof")
				}
				throw(t, nat, udptl(2))
				if got := f.a.Stats().Remote == nat.Addr(); got != (allow != nil) || len(f.toBob) == 1 != got {
					t.Errorf("%+v, %d arrived", f.a.Stats(), len(f.toBob))
				}
				throw(t, f.alice, udptl(3)) // as signalled: it is the true one
				if f.a.Stats().Remote != f.alice.Addr() {
					t.Error("the signalled address has lost its place")
				}
				time.Sleep(time.Second)
				throw(t, nat, udptl(4))
				throw(t, nat, udptl(5))
				if f.a.Stats().Remote != f.alice.Addr() {
					t.Error("stolen")
				}
			}, allow...)
		})
	}
}

func TestAFaxWithoutAPlanGoesNowhere(t *testing.T) {
	faxing(t, func(t *testing.T, f *fax) {
		if err := f.a.Receive(nil); err != nil {
			t.Fatal(err)
		}
		throw(t, f.alice, udptl(1))
		if s := f.a.Stats(); s.Drops[NoDestination] != 1 || s.Received.Packets != 1 || len(f.toBob) != 0 {
			t.Errorf("%+v", s)
		}
		f.a.Close()
		throw(t, f.alice, udptl(2))
		if s := f.a.Stats(); s.Drops[Late] != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAFaxOverRealSockets(t *testing.T) {
	e := sockets(t, "127.0.0.1")
	a, b := openUDPTL(t, e), openUDPTL(t, e)
	alice, bob := dial(t, "127.0.0.1"), dial(t, "127.0.0.1")
	a.Remote(alice.addr(), netip.AddrPort{})
	b.Remote(bob.addr(), netip.AddrPort{})
	if err := a.Receive(&Plan{To: b}); err != nil {
		t.Fatal(err)
	}
	for seq := range uint16(100) {
		alice.send(a.Addr(), udptl(seq))
		if got, from := bob.next(); !bytes.Equal(got, udptl(seq)) || from != b.Addr() {
			t.Fatalf("% x from %v", got, from)
		}
	}
}
