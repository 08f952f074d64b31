package call

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// told is what a far side is told next, in short.
func (f *far) told(status string) string {
	f.w.t.Helper()
	m := f.expect(status)
	return strings.TrimSpace(status + " " + describeShort(m))
}

// What a caller learns of ringing and early media is its peer group's choice
// (Microsoft Teams docs, "Issues that affect outbound Direct Routing calls", no
// ringback; Azure Communications Gateway docs, Zoom Phone Cloud Peering, for
// 180 without a description and 183 with).
func TestEarlyMediaPolicies(t *testing.T) {
	type response struct {
		status int
		body   string
	}
	const media = "183 {AVP 8,101 sendrecv}"
	for _, tc := range []struct {
		name  string
		early string
		says  []response
		want  []string
	}{
		{"each as it is", "keep", []response{{180, ""}, {183, teamsSDP}, {180, ""}, {181, ""}}, []string{"180", media, "180", "181"}},
		{"the first one alone", "first", []response{{180, ""}, {183, teamsSDP}, {180, ""}}, []string{"180"}},
		{"the first one alone, with media", "first", []response{{183, teamsSDP}, {180, ""}}, []string{media}},
		{"183 becomes 180, without media", "ringing", []response{{183, teamsSDP}, {180, teamsSDP}, {182, ""}}, []string{"180", "180", "182"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorldOf(t, wants(func(i *snapshot.Interworking) { i.Early = tc.early }), func(w *world) {
				in, out := w.place()
				for _, r := range tc.says {
					w.teams.reply(out, r.status, "t1", r.body)
					synctest.Wait()
				}
				for _, want := range tc.want {
					if got := w.core.told(want[:3]); got != want {
						t.Errorf("told %s, want %s", got, want)
					}
				}
				w.core.quiet()
				w.teams.reply(out, 200, "t1", teamsSDP)
				w.teams.expect("ACK")
				ok := w.core.expect("200")
				if len(ok.Body) == 0 {
					t.Error("the answer has no description")
				}
				w.core.took(in, ok).ack("")
				w.over()
			})
		})
	}
}

// Zoom takes a 180 without a description and a 183 with one, whatever the core
// says (Azure Communications Gateway docs, Zoom Phone Cloud Peering).
func TestZoomIsToldOfMediaWith183Alone(t *testing.T) {
	zoom := func(w *world) { w.snap.Groups[1].Interworking.Profile = "zoom" }
	for _, tc := range []struct {
		status int
		body   string
		want   string
	}{
		{180, "", "180"},
		{183, "", "180"},
		{180, coreAnswer, "183 {SAVP 8,101 sendrecv}"},
		{183, coreAnswer, "183 {SAVP 8,101 sendrecv}"},
	} {
		inWorldOf(t, zoom, func(w *world) {
			w.teams.invite("+442079460123", teamsOffer)
			w.teams.expect("100")
			w.core.reply(w.core.expect("INVITE"), tc.status, "c1", tc.body)
			if got := w.teams.told(tc.want[:3]); got != tc.want {
				t.Errorf("%d becomes %s, want %s", tc.status, got, tc.want)
			}
			hangUp(w)
		})
	}
}

// The cloud gives up, or tries elsewhere, after 10 s without a provisional
// response (Microsoft Teams docs, FailoverTimeSeconds).
func TestACallerIsReassuredInTheWordsOfItsProfile(t *testing.T) {
	silent := func(change func(w *world)) func(w *world) {
		return func(w *world) {
			w.cfg.Limits.Progress = 8 * time.Second
			change(w)
		}
	}
	for _, tc := range []struct {
		name string
		prof func(w *world)
		want string
	}{
		{"of Teams", func(*world) {}, "183"},
		{"of Zoom, which takes no 183 without a description", func(w *world) { w.snap.Groups[1].Interworking.Profile = "zoom" }, "180"},
		{"of a side that takes no 183 at all", func(w *world) { w.snap.Groups[1].Interworking.Early = "ringing" }, "180"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorldOf(t, silent(tc.prof), func(w *world) {
				began := time.Now()
				w.teams.invite("+442079460123", teamsOffer)
				w.teams.expect("100")
				w.core.reply(w.core.expect("INVITE"), 100, "", "")
				if got := w.teams.told(tc.want); got != tc.want || time.Since(began) != 8*time.Second {
					t.Errorf("told %s after %v", got, time.Since(began))
				}
				hangUp(w)
			})
		})
	}
	t.Run("it rings: 180, though the ringing was not passed on", func(t *testing.T) {
		change := wants(func(*snapshot.Interworking) {})
		inWorldOf(t, silent(change), func(w *world) {
			w.core.invite("+442079460123", "", "Require: 100rel")
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 180, "t1", "")
			time.Sleep(30 * time.Second)
			w.core.quiet() // it takes nothing that is not reliable, and there is nothing to offer yet
			hangUp(w)
		})
	})
}

// A caller that may see forks has an early dialog for each (RFC 3261
// 12.1.2), each with numbers of its own (RFC 3262 section 3).
func TestACallerMaySeeForks(t *testing.T) {
	yes := true
	forks := wants(func(i *snapshot.Interworking) { i.Forks = &yes })
	t.Run("each in its own dialog", func(t *testing.T) {
		inWorldOf(t, forks, func(w *world) {
			in := w.core.invite("+442079460123", coreSDP, can100rel)
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 180, "A", "")
			a := w.core.expect("180")
			w.teams.reply(out, 183, "B", teamsSDP)
			b := w.core.expect("183") // it waits for nothing that is not its own
			if ua.IDOf(a).RemoteTag == ua.IDOf(b).RemoteTag {
				t.Errorf("two forks have the tag %s", ua.IDOf(a).RemoteTag)
			}
			da, db := w.core.took(in, a), w.core.took(in, b)
			db.prack(b, "")
			w.core.expect("200")
			da.prack(a, "")
			w.core.expect("200")
			w.teams.reply(out, 180, "A", "")
			again := w.core.expect("180")
			if ua.IDOf(again) != ua.IDOf(a) || w.core.rseq(again) != w.core.rseq(a)+1 {
				t.Errorf("fork A goes on as\n%s", again)
			}
			db.request("UPDATE", turn(coreSDP, "sendrecv", 2))
			w.core.expect("200")
			w.teams.reply(out, 200, "B", teamsSDP)
			w.teams.expect("ACK")
			ok := w.core.expect("200")
			if ua.IDOf(ok) != ua.IDOf(b) {
				t.Errorf("answered in %v, not in %v", ua.IDOf(ok), ua.IDOf(b))
			}
			db.ack("")
			synctest.Wait()
			db.bye()
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
			w.golden("forks_shown")
		})
	})
	t.Run("unless it wants none (RFC 3841 9.1)", func(t *testing.T) {
		inWorldOf(t, forks, func(w *world) {
			w.core.invite("+442079460123", coreSDP, "Request-Disposition: no-fork")
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 180, "A", "")
			a := w.core.expect("180")
			w.teams.reply(out, 180, "B", "")
			if b := w.core.expect("180"); ua.IDOf(a) != ua.IDOf(b) {
				t.Errorf("two dialogs: %v, %v", ua.IDOf(a), ua.IDOf(b))
			}
			hangUp(w)
		})
	})
	t.Run("a fork that answers without having rung", func(t *testing.T) {
		inWorldOf(t, forks, func(w *world) {
			in, out := w.place()
			w.teams.reply(out, 180, "A", "")
			a := w.core.expect("180")
			w.teams.reply(out, 200, "B", teamsSDP)
			w.teams.expect("ACK")
			ok := w.core.expect("200")
			if ua.IDOf(ok) == ua.IDOf(a) {
				t.Error("B answers in the dialog of A")
			}
			w.core.took(in, ok).ack("")
			w.over()
		})
	})
}

// RFC 5009: an IMS is told what of the early media is real, and what it does
// not let through is not heard.
func TestPEarlyMedia(t *testing.T) {
	ims := func(w *world) { w.snap.Groups[0].Interworking.Profile = "ims" }
	t.Run("told", func(t *testing.T) {
		inWorldOf(t, ims, func(w *world) {
			w.core.invite("+442079460123", coreSDP, "P-Early-Media: supported")
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			if out.Has("P-Early-Media") {
				t.Errorf("the cloud is told of it:\n%s", out)
			}
			for _, r := range []struct {
				status int
				body   string
				want   string
			}{{180, "", "inactive"}, {183, teamsSDP, "sendrecv"}, {180, "", "sendrecv"}} {
				w.teams.reply(out, r.status, "t1", r.body)
				if m := <-w.core.in; m.Get("P-Early-Media") != r.want {
					t.Errorf("P-Early-Media: %s, want %s", m.Get("P-Early-Media"), r.want)
				}
			}
			hangUp(w)
		})
		inWorldOf(t, ims, func(w *world) {
			w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			w.teams.reply(w.teams.expect("INVITE"), 183, "t1", teamsSDP)
			if m := w.core.expect("183"); m.Has("P-Early-Media") {
				t.Errorf("told though it does not read it:\n%s", m)
			}
			hangUp(w)
		})
	})
	t.Run("heeded", func(t *testing.T) {
		inWorldOf(t, ims, func(w *world) {
			w.teams.invite("+442079460123", teamsOffer)
			w.teams.expect("100")
			out := w.core.expect("INVITE")
			if out.Get("P-Early-Media") != "supported" {
				t.Errorf("the core is not told that we read it:\n%s", out)
			}
			w.core.reply(out, 183, "c1", coreAnswer, "P-Early-Media: inactive")
			if m := w.teams.expect("183"); len(m.Body) > 0 {
				t.Errorf("there is nothing to be heard, and the caller is told\n%s", m)
			}
			w.core.reply(out, 183, "c1", "", "P-Early-Media: sendonly")
			if m := w.teams.expect("183"); len(m.Body) == 0 {
				t.Errorf("there is something to be heard, and the caller is told\n%s", m)
			}
			w.core.reply(out, 200, "c1", "")
			w.core.expect("ACK")
			w.teams.expect("200")
			hangUp(w)
		})
	})
}

// A 183 whose media never come leaves the caller in silence: where the peer
// group wants it, it hears a tone of ours until they do (Microsoft Teams docs,
// no ringback on outbound calls).
func TestRingbackUntilMediaComes(t *testing.T) {
	clear := func(w *world) {
		wants(func(i *snapshot.Interworking) { i.Early, i.Ringback = "ringback", "gb" })(w)
		w.snap.Groups[1].Peers[0].SRTP = false
	}
	inWorldOf(t, clear, func(w *world) {
		heard := w.ear("10.1.0.1", 4000)
		in, out := w.place()
		at := strings.Replace(strings.Replace(teamsSDP, "RTP/SAVP", "RTP/AVP", 1), "10.2.0.77", "10.2.0.1", 1)
		at = at[:strings.Index(at, "a=crypto")] + at[strings.Index(at, "a=rtpmap:8"):]
		w.teams.reply(out, 183, "t1", at)
		early := w.core.expect("183")
		if len(early.Body) == 0 {
			t.Fatalf("told\n%s", early)
		}
		time.Sleep(2 * time.Second)
		tone := heard()
		if tone < 90 {
			t.Errorf("%d packets of ringback in 2 s", tone)
		}
		port := portOf(out)
		w.speak("10.2.0.1", 49168, netip.AddrPortFrom(netip.MustParseAddr("10.0.1.2"), port), 50)
		time.Sleep(time.Second)
		if n := heard(); n > tone+70 || n < tone+20 {
			t.Errorf("%d packets in the second in which the callee began to speak", n-tone)
		}
		w.teams.reply(out, 200, "t1", at)
		w.teams.expect("ACK")
		w.core.took(in, w.core.expect("200")).ack("")
		w.over()
	})
}

// The tone is the caller's own to make of a final response (RFC 3261 13.3.1.3,
// ITU-T Q.764 2.2: the exchange of the caller), which waits for nothing: a caller
// that hears ringback of ours is told at once too, and no tone follows.
func TestAFinalResponseWaitsForNoTone(t *testing.T) {
	inWorldOf(t, wants(func(i *snapshot.Interworking) { i.Early, i.Ringback = "ringback", "gb" }), func(w *world) {
		in, out := w.place()
		w.teams.reply(out, 183, "t1", teamsSDP)
		w.core.expect("183")
		time.Sleep(2 * time.Second)
		began := time.Now()
		w.teams.reply(out, 486, "t1", "")
		w.teams.expect("ACK")
		w.core.ackFailure(in, w.core.expect("486"))
		if d := time.Since(began); d != 0 {
			t.Errorf("told after %v", d)
		}
	})
}

// ear listens at a far side's media address and counts packets.
func (w *world) ear(ip string, port uint16) (heard func() int) {
	w.t.Helper()
	far, err := rtp.New(rtp.Config{Threads: 1, Network: w.media, Interfaces: []rtp.Interface{
		{Name: ip, Bind: netip.MustParseAddr(ip), PortMin: port, PortMax: port + 1, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = far.Close() })
	p, err := far.Open(ip)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = p.Receive(&rtp.Plan{PT: rtp.PassPT()})
	return func() int { return int(p.Stats().Received.Packets) }
}

// speak sends n packets from a far side's media address, 20 ms apart.
func (w *world) speak(ip string, port uint16, to netip.AddrPort, n int) {
	w.t.Helper()
	far, err := rtp.New(rtp.Config{Threads: 1, Network: w.media, Interfaces: []rtp.Interface{
		{Name: ip, Bind: netip.MustParseAddr(ip), PortMin: port, PortMax: port + 1},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = far.Close() })
	p, err := far.Open(ip)
	if err != nil {
		w.t.Fatal(err)
	}
	p.Remote(to, netip.AddrPort{})
	go func() {
		for i := range n {
			_ = p.Send(append([]byte{0x80, 8, 0, byte(i), 0, 0, byte(i * 160 >> 8), byte(i * 160), 0, 0, 0, 9}, make([]byte, 160)...), nil)
			time.Sleep(20 * time.Millisecond)
		}
	}()
}

// portOf is the media port of a description.
func portOf(m *sip.Message) uint16 {
	for line := range strings.Lines(string(m.Body)) {
		if v, ok := strings.CutPrefix(line, "m=audio "); ok {
			var port uint16
			for _, c := range strings.Fields(v)[0] {
				port = port*10 + uint16(c-'0')
			}
			return port
		}
	}
	return 0
}

// 199 (RFC 6228) tells that a fork is gone: it is acknowledged when it is
// reliable, so that its sender goes on, and the caller hears nothing of it.
func TestAGoneForkGoesNoFurther(t *testing.T) {
	inWorldOf(t, wantsReliable, func(w *world) {
		w.teams.invite("+442079460123", teamsOffer)
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		w.core.reply(out, 180, "c1", "", "Require: 100rel", "RSeq: 5")
		w.core.reply(w.core.expect("PRACK"), 200, "", "")
		w.teams.expect("180")
		w.core.reply(out, 199, "c1", "", "Require: 100rel", "RSeq: 6")
		prack := w.core.expect("PRACK")
		if prack.Get("RAck") != "6 1 INVITE" {
			t.Errorf("RAck: %s", prack.Get("RAck"))
		}
		w.core.reply(prack, 200, "", "")
		w.teams.quiet()
		hangUp(w)
	})
}
