package rtp

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	signalled = netip.MustParseAddrPort("192.0.2.1:4000")
	elsewhere = netip.MustParseAddrPort("192.0.2.1:5000")
	thief     = netip.MustParseAddrPort("192.0.2.66:4000")
)

// hears plays one packet to a latch the way a port does.
func (l *latch) hears(src netip.AddrPort, h header, p proof, now time.Time) bool {
	ok := l.own(src) || l.claim(src, h, p, now)
	if ok && l.own(src) {
		l.hear(now)
	}
	return ok
}

func TestLatching(t *testing.T) {
	type step struct {
		after time.Duration
		src   netip.AddrPort
		seq   uint16
		proof proof
		heard bool
		at    netip.AddrPort // where the latch is then
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"the signalled address is heard from its first packet", []step{
			{0, signalled, 1, unproven, true, signalled},
		}},
		{"behind a NAT the second packet in sequence latches", []step{
			{0, elsewhere, 1, unproven, false, signalled},
			{20 * ms, elsewhere, 2, unproven, true, elsewhere},
		}},
		{"packets out of sequence do not latch", []step{
			{0, elsewhere, 1, unproven, false, signalled},
			{0, elsewhere, 3, unproven, false, signalled},
			{0, elsewhere, 5, unproven, false, signalled},
		}},
		{"a stream that is heard cannot be stolen", []step{
			{0, signalled, 1, unproven, true, signalled},
			{10 * ms, thief, 1, unproven, false, signalled},
			{10 * ms, thief, 2, unproven, false, signalled},
			{20 * ms, signalled, 2, unproven, true, signalled},
		}},
		{"after silence another may take over", []step{
			{0, signalled, 1, unproven, true, signalled},
			{relatch, elsewhere, 1, unproven, false, signalled},
			{20 * ms, elsewhere, 2, unproven, true, elsewhere},
		}},
		{"the signalled address always gets its stream back", []step{
			{0, thief, 1, unproven, false, signalled},
			{20 * ms, thief, 2, unproven, true, thief},
			{20 * ms, signalled, 1, unproven, true, signalled},
			{20 * ms, thief, 3, unproven, false, signalled},
			{20 * ms, thief, 4, unproven, false, signalled},
		}},
		{"an authenticated packet latches at once", []step{
			{0, signalled, 1, authentic, true, signalled},
			{20 * ms, elsewhere, 2, authentic, true, elsewhere},
			{20 * ms, thief, 3, authentic, true, thief},
		}},
		{"an authenticated packet from before the move is heard, and moves nothing", []step{
			{0, signalled, 1, authentic, true, signalled},
			{20 * ms, elsewhere, 3, authentic, true, elsewhere},
			{0, signalled, 2, authenticLate, true, elsewhere},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l latch
			l.signal(signalled)
			now := time.Unix(1000, 0)
			for i, s := range c.steps {
				now = now.Add(s.after)
				if got := l.hears(s.src, header{ssrc: 1, seq: s.seq}, s.proof, now); got != s.heard || l.current != s.at {
					t.Fatalf("step %d: heard %v at %v, want %v at %v", i+1, got, l.current, s.heard, s.at)
				}
			}
		})
	}
}

func TestControlFollowsMedia(t *testing.T) {
	now := time.Unix(1000, 0)
	var media, control latch
	media.signal(signalled)
	control.signal(netip.AddrPortFrom(signalled.Addr(), 4001))
	other := netip.AddrPortFrom(elsewhere.Addr(), 5001)

	if control.claimRTCP(other, unproven, &media, now) {
		t.Error("moved before any RTP was heard")
	}
	media.hears(signalled, header{seq: 1}, unproven, now)
	if control.claimRTCP(netip.AddrPortFrom(thief.Addr(), 4001), unproven, &media, now) {
		t.Error("moved to a host that sends no RTP")
	}
	if !control.claimRTCP(other, unproven, &media, now) || control.current != other {
		t.Error("not moved to the host that RTP comes from")
	}
	if !control.claimRTCP(thief, authentic, &media, now) || control.current != thief {
		t.Error("not moved by an authenticated packet")
	}
	if media.claimRTCP(elsewhere, unproven, &media, now.Add(time.Hour)) {
		t.Error("clear RTCP moved the address of RTP")
	}
}

// TestNoStreamIsStolen plays random clear packets: whatever an outsider sends,
// it is heard only after silence, only with two packets in sequence, and not
// against the signalled address.
func TestNoStreamIsStolen(t *testing.T) {
	addrs := []netip.AddrPort{signalled, elsewhere, thief, netip.MustParseAddrPort("[2001:db8::1]:4000")}
	rapid.Check(t, func(t *rapid.T) {
		var l latch
		l.signal(signalled)
		now := time.Unix(1000, 0)
		var lastHeard time.Time // from the current address
		var before struct {
			src netip.AddrPort
			h   header
		}
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 20, 20, 500, 5001}).Draw(t, "pause")) * time.Millisecond)
			src := rapid.SampledFrom(addrs).Draw(t, "src")
			h := header{ssrc: uint32(rapid.IntRange(1, 2).Draw(t, "ssrc")), seq: uint16(rapid.IntRange(0, 3).Draw(t, "seq"))}
			was := l.current
			heard := l.hears(src, h, unproven, now)
			if src == signalled && !heard {
				t.Fatal("the signalled address is not heard")
			}
			if l.current != was {
				if l.current != src || !heard {
					t.Fatalf("moved to %v by a packet from %v, heard %v", l.current, src, heard)
				}
				silent := lastHeard.IsZero() || now.Sub(lastHeard) >= relatch
				follows := before.src == src && before.h.ssrc == h.ssrc && before.h.seq+1 == h.seq
				if src != signalled && !(silent && follows) {
					t.Fatalf("%v took the stream: silence %v, in sequence %v", src, silent, follows)
				}
			}
			if heard {
				lastHeard = now
			} else {
				before.src, before.h = src, h
			}
		}
	})
}
