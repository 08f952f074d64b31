package call

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// replacing is an INVITE that wants the place of a leg, as Teams sends it for
// call queues and when a user takes a held call back (Microsoft Teams docs,
// "Direct Routing - SIP protocol").
func (f *far) replacing(callID, toTag, fromTag, body string, headers ...string) *sip.Message {
	return f.invite("+441632960001", body, append([]string{
		"Require: replaces",
		fmt.Sprintf("Replaces: %s;from-tag=%s;to-tag=%s", callID, fromTag, toTag),
	}, headers...)...)
}

// replacing wants the place of the leg that this dialog is one of.
func (d *dialog) replacing(body string, headers ...string) *sip.Message {
	id := d.ID()
	return d.f.replacing(id.CallID, id.RemoteTag, id.LocalTag, body, headers...)
}

func TestTeamsReplacesALeg(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		w.teams2.gw = w.teams.gw
		in := w.teams2.invite("+441632960001", teamsOffer, "Require: replaces",
			fmt.Sprintf("Replaces: %s;from-tag=%s;to-tag=%s", teams.ID().CallID, teams.ID().LocalTag, teams.ID().RemoteTag))
		ok := w.teams2.expect("200")
		joined := w.teams2.took(in, ok)
		joined.ack("")
		bye := w.teams.expect("BYE")
		if bye.Get("Call-ID") != teams.ID().CallID {
			t.Errorf("the wrong leg is released:\n%s", bye)
		}
		w.teams.reply(bye, 200, "", "")
		w.core.quiet() // it hears of nothing
		w.golden("replaced")
		core.bye()
		w.teams2.reply(w.teams2.expect("BYE"), 200, "", "")
		synctest.Wait()
		r := w.records.last(t)
		if len(r.Transfers) != 1 || r.Transfers[0].How != "Replaces" || r.Transfers[0].Left.Peer != "teams-1" || r.Callee.Peer != "teams-2" || r.Callee.CallID != in.Get("Call-ID") {
			t.Errorf("%+v", r)
		}
	})
}

// A user of Teams who holds a call hands it to a machine with a REFER, and
// takes it back with Replaces: the held party hears music and then the user,
// and its telephone is told once of each (Microsoft Teams docs, "Music on
// hold").
func TestHoldByReferAndResumeByReplaces(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		w.holdBy(teams)
		out := w.transfer(teams, toUser)
		w.teams.reply(out, 180, "bot", "")
		teams.notified("SIP/2.0 180 Ringing", "active")
		w.teams.reply(out, 200, "bot", teamsNew)
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 200 OK", "terminated")
		w.core.reply(w.core.expect("INVITE"), 200, "", turn(coreSDP, "sendrecv", 3))
		w.core.expect("ACK")
		teams.bye()
		bot := w.teams.gave(out, "bot")
		time.Sleep(20 * time.Second)
		in := bot.replacing(teamsOffer)
		user := w.teams.took(in, w.teams.expect("200"))
		user.ack("")
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		w.core.quiet()
		w.golden("hold_by_refer")
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

// A call that rings is picked up by somebody else (RFC 3891 section 1).
func TestTeamsPicksUpACallThatRings(t *testing.T) {
	for _, early := range []string{"", teamsSDP} {
		t.Run(map[bool]string{true: "with early media", false: "without"}[early != ""], func(t *testing.T) {
			inWorld(t, func(w *world) {
				in, out := w.place()
				status := 180
				if early != "" {
					status = 183
				}
				w.teams.reply(out, status, "t1", early)
				w.core.expect(fmt.Sprint(status))
				from, _ := out.From()
				pick := w.teams.replacing(out.Get("Call-ID"), from.Tag(), "t1", teamsOffer, "X-MS-TenantID: c042")
				got := w.teams.answers("CANCEL", "200")
				if !strings.Contains(got["CANCEL"].Get("Reason"), "SIP;cause=200") {
					t.Errorf("a missed call is shown: %s", got["CANCEL"])
				}
				w.teams.reply(got["CANCEL"], 200, "", "")
				w.teams.reply(out, 487, "t1", "")
				w.teams.expect("ACK")
				user := w.teams.took(pick, got["200"])
				user.ack("")
				ok := w.core.expect("200")
				core := w.core.took(in, ok)
				core.ack("")
				user.bye()
				w.core.reply(w.core.expect("BYE"), 200, "", "")
			})
		})
	}
}

// answers gives messages that come in no order.
func (f *far) answers(what ...string) map[string]*sip.Message {
	f.w.t.Helper()
	got := map[string]*sip.Message{}
	for range what {
		m := <-f.in
		name := m.Method
		if !m.IsRequest() {
			name = fmt.Sprint(m.Status)
		}
		got[name] = m
	}
	for _, x := range what {
		if got[x] == nil {
			f.w.t.Fatalf("%s has no %s among what it got: %v", f.name, x, got)
		}
	}
	return got
}

// What does not fit leaves the call as it is (RFC 3891 section 3).
func TestWhatReplacesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		id, own := teams.ID(), core.ID()
		for _, tc := range []struct {
			name   string
			status string
			send   func() *sip.Message
			f      *far
		}{
			{"an unknown Call-ID", "481", func() *sip.Message { return w.teams.replacing("x", id.RemoteTag, id.LocalTag, teamsOffer) }, w.teams},
			{"another tag", "481", func() *sip.Message { return w.teams.replacing(id.CallID, id.RemoteTag, "zz", teamsOffer) }, w.teams},
			{"tags the other way round", "481", func() *sip.Message { return w.teams.replacing(id.CallID, id.LocalTag, id.RemoteTag, teamsOffer) }, w.teams},
			{"the other side's leg", "481", func() *sip.Message {
				return w.teams.replacing(own.CallID, own.RemoteTag, own.LocalTag, teamsOffer)
			}, w.teams},
			{"the cloud's leg, asked for by the core", "481", func() *sip.Message {
				return w.core2.replacing(id.CallID, id.RemoteTag, id.LocalTag, coreSDP)
			}, w.core2},
			{"a call that is answered, where one that rings is wanted", "486", func() *sip.Message {
				return w.teams.invite("+441632960001", teamsOffer, "Require: replaces",
					fmt.Sprintf("Replaces: %s;from-tag=%s;to-tag=%s;early-only", id.CallID, id.LocalTag, id.RemoteTag))
			}, w.teams},
			{"no codec in common", "488", func() *sip.Message {
				return w.teams.replacing(id.CallID, id.RemoteTag, id.LocalTag, strings.NewReplacer("104 9 0 8", "104").Replace(teamsOffer))
			}, w.teams},
			{"half a value", "400", func() *sip.Message {
				return w.teams.invite("+441632960001", teamsOffer, "Require: replaces", "Replaces: x;to-tag=y")
			}, w.teams},
		} {
			m := tc.send()
			resp := tc.f.expect(tc.status)
			tc.f.ackFailure(m, resp)
			if resp.Get("Call-ID") != m.Get("Call-ID") {
				t.Errorf("%s: %s", tc.name, resp)
			}
		}
		if c := w.set.Counters(); c.Live != 1 {
			t.Errorf("%d calls", c.Live)
		}
		w.over()
	})
}

// A leg that has given its place away cannot give it again.
func TestALegIsReplacedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		out := w.transfer(teams, toUser)
		w.teams.reply(out, 200, "n1", teamsNew)
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 200 OK", "terminated")
		m := teams.replacing(teamsOffer)
		w.teams.ackFailure(m, w.teams.expect("603"))
		teams.bye()
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

// An enterprise cannot take another one's call, whatever it knows of it, and
// nobody can who does not say of which he is.
func TestAnotherEnterpriseReplacesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer, "X-MS-TenantID: c042")
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		w.core.reply(out, 200, "c1", coreAnswer)
		w.core.expect("ACK")
		teams := w.teams.took(in, w.teams.expect("200"))
		teams.ack("")
		synctest.Wait()
		for _, header := range []string{"X-MS-TenantID: c043", "X-MSTenantID: c043", "Subject: none"} {
			m := teams.replacing(teamsOffer, header)
			w.teams.ackFailure(m, w.teams.expect("481"))
		}
		m := teams.replacing(teamsOffer, "X-MSTenantID: C042")
		joined := w.teams.took(m, w.teams.answers("200", "BYE")["200"])
		joined.ack("")
		joined.bye()
		w.core.reply(w.core.expect("BYE"), 200, "", "")
	})
}

// A core does not name enterprises: its legs are its own, whosever calls they
// belong to.
func TestTheCoreReplacesItsLegOfAnEnterprisesCall(t *testing.T) {
	inWorld(t, func(w *world) {
		in := w.teams.invite("+442079460123", teamsOffer, "X-MS-TenantID: c042")
		w.teams.expect("100")
		out := w.core.expect("INVITE")
		w.core.reply(out, 200, "c1", coreAnswer)
		w.core.expect("ACK")
		teams := w.teams.took(in, w.teams.expect("200"))
		teams.ack("")
		synctest.Wait()
		id := w.core.gave(out, "c1").ID()
		joined := w.core2.replacing(id.CallID, id.RemoteTag, id.LocalTag, coreSDP)
		w.core2.took(joined, w.core2.expect("200")).ack("")
		w.core.reply(w.core.expect("BYE"), 200, "", "")
		time.Sleep(time.Second)
		teams.bye()
		w.core2.reply(w.core2.expect("BYE"), 200, "", "")
	})
}

// answersIn gives messages that come in no order, so many of each kind.
func (f *far) answersIn(what map[string]int) map[string][]*sip.Message {
	f.w.t.Helper()
	n, got := 0, map[string][]*sip.Message{}
	for _, k := range what {
		n += k
	}
	for range n {
		m := <-f.in
		name := m.Method
		if !m.IsRequest() {
			name = fmt.Sprint(m.Status)
		}
		got[name] = append(got[name], m)
	}
	for name, k := range what {
		if len(got[name]) != k {
			f.w.t.Fatalf("%s got %v", f.name, got)
		}
	}
	return got
}

// A core may replace its own leg too, and with an INVITE that has no offer.
func TestTheCoreReplacesALeg(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(map[bool]string{true: "without an offer", false: "with one"}[late], func(t *testing.T) {
			inWorld(t, func(w *world) {
				core, teams := w.talk()
				id, desc := core.ID(), coreSDP
				if late {
					desc = ""
				}
				in := w.core2.replacing(id.CallID, id.RemoteTag, id.LocalTag, desc)
				ok := w.core2.expect("200")
				if len(ok.Body) == 0 {
					t.Errorf("%s", ok)
				}
				joined := w.core2.took(in, ok)
				if late {
					joined.ack(coreAnswer)
				} else {
					joined.ack("")
				}
				w.core.reply(w.core.expect("BYE"), 200, "", "")
				time.Sleep(time.Second)
				w.teams.quiet()
				teams.bye()
				w.core2.reply(w.core2.expect("BYE"), 200, "", "")
			})
		})
	}
}
