package call

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/sip/memnet"
)

func TestWhatSaysNothingIsLeft(t *testing.T) {
	t.Run("the last target gets twelve seconds", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in := w.teams.invite("+442079460123", teamsOffer)
			w.teams.expect("100")
			began := time.Now()
			no := w.teams.expect("504")
			if d := time.Since(began); d != (4+12)*time.Second {
				t.Errorf("the caller was told after %v", d)
			}
			w.teams.ackFailure(in, no)
			if a := w.records.last(t).Attempts; len(a) != 2 || !strings.Contains(a[1].Error, "no response at all in 12s") {
				t.Errorf("%+v", a)
			}
		})
	})
	t.Run("one that does not answer OPTIONS either gets two", func(t *testing.T) {
		gw := netip.MustParseAddrPort(gwOperator).Addr()
		inWorldOf(t, func(w *world) { w.net.Set(gw, netip.Addr{}, memnet.Weather{Hole: true}) }, func(w *world) {
			time.Sleep(30 * time.Second)
			in := w.teams.invite("+442079460123", teamsOffer)
			w.teams.expect("100")
			began := time.Now()
			no := w.teams.expect("504")
			if d := time.Since(began); d != (2+2)*time.Second {
				t.Errorf("the caller was told after %v", d)
			}
			w.teams.ackFailure(in, no)
			w.net.Set(gw, netip.Addr{}, memnet.Weather{})
		})
	})
	t.Run("one that says 100 and no more is left after twenty", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 100, "", "")
			began := time.Now()
			out2 := w.teams2.expect("INVITE")
			if d := time.Since(began); d != 20*time.Second {
				t.Errorf("the next target was tried after %v", d)
			}
			w.teams.reply(w.teams.expect("CANCEL"), 200, "", "")
			w.teams.reply(out, 487, "t1", "")
			w.teams.expect("ACK")
			w.teams2.reply(out2, 100, "", "")
			time.Sleep(time.Minute) // there is no other one: it may take its time
			w.teams2.reply(out2, 180, "t2", "")
			w.core.expect("180")
			hangUp(w)
		})
	})
	t.Run("one that rings is not", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.core.invite("+442079460123", coreSDP)
			w.core.expect("100")
			out := w.teams.expect("INVITE")
			w.teams.reply(out, 100, "", "")
			w.teams.reply(out, 180, "t1", "")
			w.core.expect("180")
			time.Sleep(time.Minute)
			w.teams2.quiet()
			hangUp(w)
		})
	})
}

// A panic that nothing can be done about: the state is broken, and each event
// panics again.
func TestAPanicReleasesWhatStands(t *testing.T) {
	for name, break_ := range map[string]func(c *call){
		"while step runs":              func(*call) {},
		"and again while it is ending": func(c *call) { c.st.legs[0].dress.Profile = nil },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.talk()
				c := w.set.all()[0]
				break_(c) // nobody else is at it: the bubble is at rest
				c.post(unplugged{nil}, true)
				w.core.reply(w.core.expect("BYE"), 200, "", "")
				w.teams.reply(w.teams.expect("BYE"), 200, "", "")
				if r := w.records.last(t); r.Ended == nil || r.Cause.By != byGateway {
					t.Errorf("%+v", r)
				}
			})
		})
	}
	for name, break_ := range map[string]func(c *call){
		"before the answer":                        func(c *call) { c.st.legs[0].dress.Profile = nil },
		"before the answer, and requests are lost": func(c *call) { c.st.requests = []*request{nil} },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				in, out := w.place()
				w.teams.reply(out, 180, "t1", "")
				w.core.expect("180")
				c := w.set.all()[0]
				break_(c)
				c.post(unplugged{nil}, true)
				w.core.ackFailure(in, w.core.expect("500"))
				w.teams.reply(w.teams.expect("CANCEL"), 200, "t1", "")
				w.teams.reply(out, 200, "t1", teamsSDP) // it has crossed the CANCEL
				w.teams.expect("ACK")
				w.teams.reply(w.teams.expect("BYE"), 200, "", "")
				if r := w.records.last(t); r.Ended == nil || r.Cause.Status != 500 {
					t.Errorf("%+v", r)
				}
			})
		})
	}
	t.Run("at the answer, which is acknowledged all the same", func(t *testing.T) {
		inWorld(t, func(w *world) {
			in, out := w.place()
			w.teams.reply(out, 180, "t1", "")
			w.core.expect("180")
			w.set.all()[0].st.legs[0].dress.Profile = nil
			w.teams.reply(out, 200, "t1", teamsSDP)
			w.teams.expect("ACK")
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
			w.core.ackFailure(in, w.core.expect("500"))
		})
	})
}

// What the gateway says without a call bears the mark that Teams wants.
func TestRefusalsWithoutACallAreSigned(t *testing.T) {
	inWorld(t, func(w *world) {
		m := sip.NewRequest("BYE", "sip:x@"+gwCloud)
		m.Add("Via", "SIP/2.0/UDP "+teamsAt+";branch=z9hG4bKx")
		m.Add("From", "<sip:a@h>;tag=f")
		m.Add("To", "<sip:x@h>;tag=unknown")
		m.Add("Call-ID", "stray")
		m.Add("CSeq", "1 BYE")
		w.teams.send(m)
		if no := w.teams.expect("481"); no.Get("X-MS-SBC") == "" {
			t.Errorf("no X-MS-SBC:\n%s", no)
		}
	})
}
