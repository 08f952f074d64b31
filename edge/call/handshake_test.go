package call

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

func withHandshakes(keying string) func(w *world) {
	return func(w *world) { w.snap.Groups[1].Interworking.Keying = keying }
}

// shaker is a far side whose keys come from a handshake.
type shaker struct {
	*mouth
	*dialog
	engine *rtp.Engine
	at     netip.AddrPort
	print  sdp.Fingerprint // that it tells; its own unless the test says otherwise
}

func (w *world) newShaker(at string) *shaker {
	w.t.Helper()
	addr := netip.MustParseAddrPort(at)
	e, err := rtp.New(rtp.Config{Threads: 1, Network: w.media, Interfaces: []rtp.Interface{{Name: "far", Bind: addr.Addr(), PortMin: addr.Port(), PortMax: addr.Port() + 1}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = e.Close() })
	s := &shaker{mouth: &mouth{w: w}, engine: e, at: addr, print: sdp.Fingerprint(e.Fingerprint())}
	if s.port, err = e.Open("far"); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// describes is its description.
func (s *shaker) describes(setup string, version int) string {
	return fmt.Sprintf("v=0\r\no=far 1 %d IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d UDP/TLS/RTP/SAVP 8\r\na=rtcp-mux\r\na=setup:%s\r\na=fingerprint:%s %s\r\n",
		version, s.at.Addr(), s.at.Addr(), s.at.Port(), setup, s.print.Hash, s.print.Value)
}

// begins has it make the handshake that the two descriptions say.
func (s *shaker) begins(mine, ours string) {
	s.w.t.Helper()
	sent, err := sdp.Parse([]byte(mine))
	if err != nil {
		s.w.t.Fatal(err)
	}
	received, err := sdp.Parse([]byte(ours))
	if err != nil {
		s.w.t.Fatal(err)
	}
	side, err := sdp.Agree(sent, received)
	if err != nil || side.DTLS == nil {
		s.w.t.Fatalf("agreed on %+v: %v", side, err)
	}
	terms := &rtp.DTLS{Client: side.DTLS.Client, ID: side.DTLS.ID}
	for _, f := range side.DTLS.Remote {
		terms.Remote = append(terms.Remote, rtp.Fingerprint(f))
	}
	s.port.Secure(terms, side.Mux, func(err error) {
		if err == nil {
			s.listen()
		}
	})
	s.port.Remote(side.RTP, side.RTCP)
}

func (s *shaker) listen() {
	k := s.port.Secured()
	s.out = k.Out
	_ = s.port.Receive(&rtp.Plan{PT: rtp.PassPT(), In: k.In, Sink: func(pkt []byte, rtcp bool) {
		stage.Lock()
		defer stage.Unlock()
		if p, ok := rtp.Read(bytes.Clone(pkt)); ok && !rtcp {
			s.heard = append(s.heard, p)
		}
	}})
}

// shaken makes a call of the core that Teams answers with a handshake.
func (w *world) shaken(setup string) (core *mouth, teams *shaker, in *dialog) {
	w.t.Helper()
	teams = w.newShaker("10.2.0.9:6000")
	invite, out := w.place()
	mine := teams.describes(setup, 1)
	w.teams.reply(out, 200, "t1", mine)
	w.teams.expect("ACK")
	ok := w.core.expect("200")
	in = w.core.took(invite, ok)
	in.ack("")
	teams.dialog = w.teams.gave(out, "t1")
	teams.begins(mine, string(out.Body))
	time.Sleep(3 * time.Second)
	synctest.Wait()
	return w.mouthOf(coreSDP, string(ok.Body)), teams, in
}

// RFC 5763, 5764: whoever begins the handshake, both sides hear each other, and
// the record says how the media were protected.
func TestKeysOfAHandshake(t *testing.T) {
	for _, keying := range []string{"dtls", "either"} {
		for _, setup := range []string{"active", "passive"} {
			t.Run(keying+", far side "+setup, func(t *testing.T) {
				inWorldOf(t, withHandshakes(keying), func(w *world) {
					core, teams, in := w.shaken(setup)
					core.talk(time.Second)
					teams.talk(time.Second)
					if len(teams.heard) < 50 || len(core.heard) < 50 {
						t.Errorf("Teams heard %d packets, the core %d", len(teams.heard), len(core.heard))
					}
					r := w.leave(in)
					if r.Callee.SRTP != "AEAD_AES_128_GCM" || r.Callee.Keying != "DTLS" || r.Caller.SRTP != "" || r.Caller.Keying != "" {
						t.Errorf("the record says %+v and %+v", r.Callee, r.Caller)
					}
				})
			})
		}
	}
}

// Microsoft Teams docs, "Plan for media bypass": SDES is demanded, and DTLS may
// stand beside it.
func TestBothAreOfferedAndSDESIsTaken(t *testing.T) {
	inWorldOf(t, withHandshakes("either"), func(w *world) {
		_, _, in := w.converse()
		r := w.leave(in)
		if r.Callee.SRTP != sdp.Suite || r.Callee.Keying != "" {
			t.Errorf("the record says %+v", r.Callee)
		}
	})
}

// RFC 5763 6.7.1: an answered call without keys is no call.
func TestACallWithoutAHandshakeEnds(t *testing.T) {
	for _, x := range []struct {
		name, why string
		prepare   func(*shaker, *string)
		within    time.Duration
	}{
		{"another certificate than was described", "certificate is not the one", func(s *shaker, mine *string) {
			*mine = strings.Replace(*mine, s.print.Value[:5], "00:00", 1)
		}, 10 * time.Second},
		{"a far side that makes none", "none was made", nil, 40 * time.Second},
	} {
		t.Run(x.name, func(t *testing.T) {
			inWorldOf(t, withHandshakes("dtls"), func(w *world) {
				teams := w.newShaker("10.2.0.9:6000")
				invite, out := w.place()
				mine := teams.describes("active", 1)
				if x.prepare != nil {
					x.prepare(teams, &mine)
				}
				w.teams.reply(out, 200, "t1", mine)
				w.teams.expect("ACK")
				w.core.took(invite, w.core.expect("200")).ack("")
				if x.prepare != nil {
					teams.begins(teams.describes("active", 1), string(out.Body))
				}
				time.Sleep(x.within)
				synctest.Wait()
				w.ended(x.why)
			})
		})
	}
}

// A re-INVITE that changes nothing keeps the keys; another certificate is
// another handshake, and nothing passes until it is over (RFC 8842 4).
func TestAHandshakeAndReINVITEs(t *testing.T) {
	inWorldOf(t, withHandshakes("dtls"), func(w *world) {
		core, teams, in := w.shaken("active")
		core.talk(time.Second)
		before := teams.port.Secured()
		in.request("INVITE", strings.Replace(coreSDP, "o=core 1 1", "o=core 1 2", 1))
		w.core.expect("200")
		in.ack("")
		synctest.Wait()
		teams.request("INVITE", teams.describes("actpass", 2))
		if ok := w.teams.expect("200"); !strings.Contains(string(ok.Body), "a=setup:passive") {
			t.Errorf("the role changes\n%s", ok.Body)
		}
		teams.ack("")
		synctest.Wait()
		core.talk(time.Second)
		if n := len(teams.heard); n < 95 || teams.port.Secured() != before {
			t.Errorf("after two refreshes Teams heard %d packets", n)
		}

		next := w.newShaker("10.2.0.9:6002")
		mine := next.describes("actpass", 3)
		teams.request("INVITE", mine)
		ok := w.teams.expect("200")
		teams.ack("")
		core.talk(time.Second)
		if len(teams.heard) > 101 || len(next.heard) != 0 {
			t.Errorf("without a handshake they heard %d and %d packets", len(teams.heard), len(next.heard))
		}
		next.begins(mine, string(ok.Body))
		core.talk(3 * time.Second)
		if len(next.heard) < 100 {
			t.Errorf("the new one heard %d packets", len(next.heard))
		}
		if r := w.leave(in); r.Callee.Media.Dropped != 0 {
			t.Errorf("%+v", r.Callee.Media)
		}
	})
}

// Before the answer a failure is only noted: many a telephone begins when it is
// picked up.
func TestAHandshakeThatBeginsWithTheAnswer(t *testing.T) {
	inWorldOf(t, withHandshakes("dtls"), func(w *world) {
		teams := w.newShaker("10.2.0.9:6000")
		invite, out := w.place()
		mine := teams.describes("active", 1)
		w.teams.reply(out, 183, "t1", mine)
		w.core.expect("183")
		time.Sleep(59 * time.Second)
		w.teams.reply(out, 200, "t1", mine)
		w.teams.expect("ACK")
		ok := w.core.expect("200")
		in := w.core.took(invite, ok)
		in.ack("")
		time.Sleep(2 * time.Second) // in which the next silence is noted
		teams.begins(mine, string(out.Body))
		time.Sleep(3 * time.Second)
		core := w.mouthOf(coreSDP, string(ok.Body))
		core.talk(time.Second)
		if len(teams.heard) < 45 {
			t.Errorf("Teams heard %d packets", len(teams.heard))
		}
		if r := w.leave(in); r.Cause.By != record.ByCaller {
			t.Errorf("%+v", r.Cause)
		}
	})
}
