package rtp

import (
	"net/netip"
	"testing"
	"time"
)

// rekeyed is a world where alice was heard under one key and has another now,
// of which nothing came yet.
func rekeyed(t *testing.T, before, after string, test func(*testing.T, *world, *rekeying)) {
	bubble(t, func(t *testing.T, w *world) {
		r := &rekeying{w: w}
		w.aKeys = w.keys(before)
		old := oracle(t, w.aKeys)
		r.old = func(seq uint16) []byte { return seal(t, old, packet(7, seq)) }
		var err error
		if r.oldReport, err = old.EncryptRTCP(nil, []byte{0x80, 201, 0, 1, 0, 0, 0, 7}, nil); err != nil {
			t.Fatal(err)
		}
		w.replan()
		for _, seq := range []uint16{65534, 65535, 0} { // its roll-over counter is 1
			w.send(w.alice, r.old(seq))
		}
		w.aKeys = w.keys(after)
		fresh := oracle(t, w.aKeys)
		r.fresh = func(seq uint16) []byte { return seal(t, fresh, packet(7, seq)) }
		w.replan()
		test(t, w, r)
	}, netip.MustParsePrefix("192.0.2.0/24"))
}

type rekeying struct {
	w          *world
	old, fresh func(seq uint16) []byte
	oldReport  []byte // RTCP
}

func (r *rekeying) hears(t *testing.T, want bool, pkt []byte) {
	t.Helper()
	before := len(r.w.toBob)
	r.w.send(r.w.alice, pkt)
	if got := len(r.w.toBob) > before; got != want {
		t.Errorf("heard %v, want %v: %+v", got, want, r.w.a.Stats())
	}
}

func TestPacketsUnderTheOldKeyAreHeardUntilTheNewOneIs(t *testing.T) {
	for _, c := range [][2]string{{sdes, sdes}, {sdes, "AEAD_AES_256_GCM"}, {"AEAD_AES_128_GCM", sdes}, {"AEAD_AES_128_GCM", "AEAD_AES_128_GCM"}} {
		rekeyed(t, c[0], c[1], func(t *testing.T, w *world, r *rekeying) {
			r.hears(t, true, r.old(1))
			w.replan() // as the other side's re-INVITE does
			r.hears(t, true, r.old(2))
			r.hears(t, false, r.old(3)[:40])
			r.hears(t, true, r.fresh(3)) // its roll-over counter is 0 again
			r.hears(t, false, r.old(4))
			r.hears(t, true, r.fresh(4))
			if s := w.a.Stats(); s.Drops[AuthFailed]+s.Drops[TooShort] != 2 {
				t.Errorf("%+v", s.Drops)
			}
		})
	}
}

func TestTheOldKeyIsForgottenAfterAWhile(t *testing.T) {
	rekeyed(t, sdes, sdes, func(t *testing.T, w *world, r *rekeying) {
		time.Sleep(overlap - time.Millisecond)
		r.hears(t, true, r.old(1))
		time.Sleep(2 * time.Millisecond)
		r.hears(t, false, r.old(2))
		r.hears(t, true, r.fresh(3))
	})
}

func TestTheOldKeyIsWorthNothingOnceTheAddressChanges(t *testing.T) {
	rekeyed(t, sdes, sdes, func(t *testing.T, w *world, r *rekeying) {
		w.a.Remote(netip.MustParseAddrPort("192.0.2.9:4000"), netip.AddrPort{})
		r.hears(t, false, r.old(1))
		if s := w.a.Stats(); s.Latched || s.Drops[AuthFailed] != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTheOldKeyMovesNothing(t *testing.T) {
	rekeyed(t, sdes, sdes, func(t *testing.T, w *world, r *rekeying) {
		w.bob.Remote(w.a.Addr(), netip.AddrPort{})
		w.send(w.bob, r.old(1))
		w.send(w.bob, r.oldReport)
		if s := w.a.Stats(); s.Remote != w.alice.Addr() || s.RemoteRTCP != w.alice.RTCPAddr() || s.Received.Packets != 4 || s.ReceivedRTCP.Packets != 1 {
			t.Errorf("%+v", s)
		}
		w.send(w.bob, r.fresh(2))
		if s := w.a.Stats(); s.Remote != w.bob.Addr() {
			t.Errorf("%+v", s)
		}
	})
}

func TestNothingIsKeptOfAKeyThatWasTakenAway(t *testing.T) {
	for name, change := range map[string]func(*world){
		"no plan":    func(w *world) { w.plan(w.a, nil) },
		"clear RTP":  func(w *world) { w.plan(w.a, &Plan{PT: PassPT(), To: w.b}) },
		"third key":  func(w *world) { w.aKeys = w.keys(sdes); w.replan() },
		"fourth key": func(w *world) { w.aKeys = w.keys("AEAD_AES_128_GCM"); w.replan() },
	} {
		rekeyed(t, sdes, sdes, func(t *testing.T, w *world, r *rekeying) {
			fresh := w.aKeys
			change(w)
			if name == "no plan" || name == "clear RTP" {
				w.aKeys = fresh
				w.replan()
			}
			before := len(w.toBob)
			w.send(w.alice, r.old(1))
			if len(w.toBob) > before {
				t.Errorf("%s: the key before is heard", name)
			}
		})
	}
}
