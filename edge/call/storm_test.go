package call

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// storm is a world whose far sides do as they like: they transfer, replace,
// hold, hang up and answer, or not, in any order, in several calls at once.
type storm struct {
	w       *world
	r       *rand.Rand
	dialogs []*dialog
	rings   []unsettled     // INVITEs of ours that wait for their answer
	asked   []unsettled     // INVITEs of theirs, likewise
	answers map[string]bool // what was answered already: it came again
}

type unsettled struct {
	f   *far
	msg *sip.Message
	of  *dialog // a re-INVITE
}

func (s *storm) one(of ...string) string { return of[s.r.IntN(len(of))] }

func (s *storm) dialog() *dialog {
	if len(s.dialogs) == 0 {
		return nil
	}
	return s.dialogs[s.r.IntN(len(s.dialogs))]
}

func (s *storm) offer(f *far) string {
	desc := coreSDP
	if f == s.w.teams || f == s.w.teams2 {
		desc = teamsSDP
	}
	return turn(desc, s.one("sendrecv", "sendonly", "inactive", "recvonly"), s.r.IntN(100))
}

// act does one thing of a far side's own accord.
func (s *storm) act() {
	w := s.w
	d := s.dialog()
	f := []*far{w.core, w.core, w.core2, w.teams, w.teams2}[s.r.IntN(5)]
	switch n := s.r.IntN(16); {
	case n < 2 || d == nil:
		var headers []string
		if o := s.dialog(); o != nil && s.r.IntN(2) == 0 {
			f, headers = o.f, []string{"Require: replaces", fmt.Sprintf("Replaces: %s;to-tag=%s;from-tag=%s", o.ID().CallID, o.ID().RemoteTag, o.ID().LocalTag)}
		}
		if s.r.IntN(2) == 0 {
			headers = append(headers, can100rel)
		}
		s.asked = append(s.asked, unsettled{f, f.invite("+442079460123", s.one(s.offer(f), s.offer(f), ""), headers...), nil})
	case n < 8:
		s.refer(d)
	case n < 10:
		s.asked = append(s.asked, unsettled{d.f, d.request("INVITE", s.offer(d.f)), d})
	case n == 10:
		d.request(s.one("UPDATE", "INFO", "OPTIONS", "PRACK", "NOTIFY"), "")
	case n == 11:
		d.request("UPDATE", s.offer(d.f))
	case n == 12 && s.r.IntN(3) == 0:
		d.request("BYE", "")
		s.drop(d)
	case n == 13 && len(s.asked) > 0:
		if i := s.r.IntN(len(s.asked)); s.asked[i].of == nil {
			s.asked[i].f.cancel(s.asked[i].msg)
		}
	default:
		s.settle(s.r.IntN(4))
	}
}

func (s *storm) refer(d *dialog) {
	to := s.one("<"+toUser+">", "<"+toNumber+">", "<sip:+442079460999@10.0.1.1>", "<tel:+441632960999>", "<sip:+441632960002@6.6.6.6;maddr=6.6.6.7>", "<sip:10.2.0.1?Replaces=x>")
	if o := s.dialog(); s.r.IntN(2) == 0 {
		id := o.ID()
		to = "<sip:+442079460123@10.0.1.1?Replaces=" + url.QueryEscape(id.CallID+";to-tag="+id.RemoteTag+";from-tag="+id.LocalTag) + ">"
	}
	headers := []string{"Refer-To: " + to}
	if s.r.IntN(4) == 0 {
		headers = append(headers, "Refer-Sub: false")
	}
	if s.r.IntN(4) == 0 {
		headers = append(headers, "Contact: "+s.stranger())
	}
	d.requestWith("REFER", headers...)
}

// stranger is somebody whom nobody has configured.
func (s *storm) stranger() string {
	return s.one("<sip:x@6.6.6.6:5060>", "<sip:10.1.0.1;maddr=6.6.6.6>", "<sip:x@[2001:db8::6]>", "<sip:evil.example;lr>", "<sip:10.1.0.1:9;lr>")
}

func (s *storm) drop(d *dialog) {
	s.dialogs = slices.DeleteFunc(s.dialogs, func(x *dialog) bool { return x == d })
}

// settle answers some INVITEs of ours.
func (s *storm) settle(n int) {
	for range min(n, len(s.rings)) {
		i := s.r.IntN(len(s.rings))
		r := s.rings[i]
		status := []int{180, 183, 200, 200, 200, 200, 302, 486, 503, 491, 603}[s.r.IntN(11)]
		if status >= 200 {
			s.rings = slices.Delete(s.rings, i, i+1)
		}
		s.reply(r, status)
	}
}

func (s *storm) reply(r unsettled, status int) {
	body := ""
	if status == 183 || status == 200 {
		body = s.offer(r.f)
	}
	var headers []string
	if status/100 == 1 && s.r.IntN(3) == 0 {
		headers = []string{"Require: 100rel", "RSeq: " + fmt.Sprint(1+s.r.IntN(3))}
	}
	if status == 302 {
		headers = []string{"Contact: " + s.one("<sip:+442079460777@6.6.6.6>", "<sip:+442079460888@10.1.0.2>")}
	}
	if status == 200 && s.r.IntN(4) == 0 {
		headers = append(headers, s.one("Contact: ", "Record-Route: ")+s.stranger())
	}
	if r.of != nil {
		r.f.reply(r.msg, max(status, 200), "", body)
		return
	}
	tag := s.one("s", "s", "s", "u") // of a fork
	r.f.reply(r.msg, status, tag, body, headers...)
	if status == 200 {
		s.dialogs = append(s.dialogs, r.f.gave(r.msg, tag))
	}
}

// hear takes what has come to the far sides.
func (s *storm) hear() {
	synctest.Wait()
	for _, f := range []*far{s.w.core, s.w.core2, s.w.teams, s.w.teams2} {
		for len(f.in) > 0 {
			s.heard(f, <-f.in)
		}
	}
}

func (s *storm) heard(f *far, m *sip.Message) {
	if !m.IsRequest() {
		s.answered(f, m)
		return
	}
	d := s.named(f, ua.IDOf(m))
	key := f.name + m.Get("Via")
	again := s.answers[key]
	s.answers[key] = true
	switch {
	case m.Method == "ACK":
	case m.Method == "INVITE" && !again:
		s.rings = append(s.rings, unsettled{f, m, d})
	case m.Method == "INVITE":
	case m.Method == "CANCEL":
		f.reply(m, 200, "", "")
		for i, r := range s.rings {
			if r.f == f && r.msg.Get("Via") == m.Get("Via") {
				s.rings = slices.Delete(s.rings, i, i+1)
				f.reply(r.msg, 487, "c", "")
				return
			}
		}
	case m.Method == "NOTIFY" && s.r.IntN(3) > 0:
		f.reply(m, []int{200, 200, 481, 603}[s.r.IntN(4)], "", "")
	case m.Method == "NOTIFY":
	case d == nil:
		f.reply(m, 481, "", "")
	default:
		f.reply(m, 200, "", "")
		if m.Method == "BYE" {
			s.drop(d)
		}
	}
}

func (s *storm) named(f *far, id ua.ID) *dialog {
	for _, d := range s.dialogs {
		if d.f == f && d.ID() == id {
			return d
		}
	}
	return nil
}

// answered takes a response to what a far side has asked.
func (s *storm) answered(f *far, m *sip.Message) {
	cseq, _ := m.CSeq()
	if cseq.Method != "INVITE" || m.Status == 100 {
		return
	}
	for i, a := range s.asked {
		c, _ := a.msg.CSeq()
		if a.f != f || a.msg.Get("Call-ID") != m.Get("Call-ID") || c.Seq != cseq.Seq {
			continue
		}
		if m.Status < 200 {
			s.ringing(a, m)
			return
		}
		if m.Status >= 300 {
			f.ackFailure(a.msg, m)
			s.asked = slices.Delete(s.asked, i, i+1)
			return
		}
		d := a.of
		if d == nil {
			d = f.took(a.msg, m)
			s.dialogs = append(s.dialogs, d)
		}
		if s.r.IntN(20) > 0 {
			s.asked = slices.Delete(s.asked, i, i+1)
			d.invite = a.msg
			d.ack("")
		}
		return
	}
}

// ringing: in an early dialog a caller may do what it likes, too.
func (s *storm) ringing(a unsettled, m *sip.Message) {
	if a.of != nil {
		return
	}
	d := a.f.took(a.msg, m)
	if m.Has("RSeq") && s.r.IntN(4) > 0 {
		d.prack(m, s.one("", "", "", s.offer(a.f)))
	}
	if s.r.IntN(3) == 0 {
		s.dialogs = append(s.dialogs, d)
	}
}

// Whatever calls do to each other, in whatever order: nothing is left of them,
// and nothing is sent to strangers.
func TestTransfersInAStorm(t *testing.T) {
	seeds := 24
	if testing.Short() {
		seeds = 4
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			change := func(*world) {}
			if seed%2 == 1 {
				change = wants(func(i *snapshot.Interworking) {
					yes := true
					i.Early = []string{"keep", "first", "ringing", "ringback"}[r.IntN(4)]
					i.DTMF = []string{"rfc4733", "info", "inband"}[r.IntN(3)]
					i.Hold = []string{"sendonly", "inactive", "music"}[r.IntN(3)]
					if r.IntN(2) == 0 {
						i.Forks = &yes
					}
					if r.IntN(4) == 0 {
						i.Reliable = "require"
					}
				})
			}
			inWorldOf(t, change, func(w *world) {
				s := &storm{w: w, r: r, answers: map[string]bool{}}
				for range 150 {
					s.act()
					s.hear()
					s.settle(s.r.IntN(2))
					s.hear()
					if s.r.IntN(4) == 0 {
						time.Sleep(time.Duration(s.r.IntN(3000)) * time.Millisecond)
						s.hear()
					}
				}
				for _, l := range w.set.Live() {
					_ = w.set.Hangup(l.ID)
				}
				s.hear()
				time.Sleep(5 * time.Minute)
				for id, r := range w.records.calls {
					if r.Ended == nil {
						t.Errorf("the record of %s is open", id)
					}
				}
				if n := w.set.Counters().Panics; n > 0 {
					t.Errorf("%d panics", n)
				}
				for at := range w.sent { // other ports of a peer are its own affair
					host := netip.MustParseAddrPort(at).Addr()
					if !slices.ContainsFunc([]string{coreAt, core2At, teamsAt, teams2At}, func(p string) bool { return netip.MustParseAddrPort(p).Addr() == host }) {
						t.Errorf("something was sent to %s", at)
					}
				}
			})
		})
	}
}
