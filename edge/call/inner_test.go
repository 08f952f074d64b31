package call

import (
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/ua"
)

// joinCalls is an attended transfer of the core whose two calls both go
// through us (RFC 5589 section 7): A talks to B, calls C, and leaves them to
// each other.
func (w *world) joinCalls() (first, second, b, c *dialog) {
	w.t.Helper()
	first, b = w.talk()
	second, c = w.talk()
	id := second.ID()
	first.requestWith("REFER", "Refer-To: <sip:+442079460123@10.0.1.1?Replaces="+
		url.QueryEscape(id.CallID+";to-tag="+id.RemoteTag+";from-tag="+id.LocalTag)+">")
	w.core.expect("202")
	got := w.core.answersIn(map[string]int{"NOTIFY": 2, "BYE": 1})
	if n := got["NOTIFY"]; string(n[0].Body) != "SIP/2.0 100 Trying" || string(n[1].Body) != "SIP/2.0 200 OK" {
		w.t.Errorf("%v", n)
	}
	if bye := got["BYE"][0]; bye.Get("Call-ID") != id.CallID {
		w.t.Errorf("the wrong leg is released: %s", bye)
	}
	for _, list := range got {
		for _, m := range list {
			w.core.reply(m, 200, "", "")
		}
	}
	first.bye()
	synctest.Wait()
	return first, second, b, c
}

func TestTwoCallsOfTheCoreAreJoined(t *testing.T) {
	inWorld(t, func(w *world) {
		_, _, b, c := w.joinCalls()
		w.core.quiet()
		w.teams.quiet() // both hear of nothing
		if n := w.set.Counters().Live; n != 2 {
			t.Errorf("%d calls", n)
		}
		// What one says in its dialog reaches the other through both calls.
		b.request("INVITE", turn(teamsSDP, "inactive", 2))
		w.teams.expect("100")
		re := w.teams.expect("INVITE")
		if re.Get("Call-ID") != c.ID().CallID || !strings.Contains(string(re.Body), "a=inactive") {
			t.Errorf("%s", re)
		}
		w.teams.reply(re, 200, "t1", turn(teamsSDP, "inactive", 3))
		w.teams.expect("ACK")
		w.teams.expect("200")
		b.ack("")
		time.Sleep(time.Second)
		b.bye()
		bye := w.teams.expect("BYE")
		if bye.Get("Call-ID") != c.ID().CallID {
			t.Errorf("%s", bye)
		}
		w.teams.reply(bye, 200, "", "")
		w.core.quiet()
		synctest.Wait()
		for _, r := range w.records.calls {
			if len(r.Transfers) != 1 || r.Transfers[0].Status != 200 || r.Caller.Address != "another call of this node" {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestTheOtherEndOfJoinedCallsHangsUp(t *testing.T) {
	inWorld(t, func(w *world) {
		_, _, b, c := w.joinCalls()
		c.bye()
		bye := w.teams.expect("BYE")
		if bye.Get("Call-ID") != b.ID().CallID {
			t.Errorf("%s", bye)
		}
		w.teams.reply(bye, 200, "", "")
	})
}

// A call that rings cannot be given away (RFC 3891 section 3: only who has made
// an early dialog may replace it).
func TestACallThatRingsIsNotJoined(t *testing.T) {
	inWorld(t, func(w *world) {
		first, _ := w.talk()
		in := w.core.invite("+442079460777", coreSDP)
		w.core.expect("100")
		out := w.teams.expect("INVITE")
		w.teams.reply(out, 180, "t2", "")
		ringing := w.core.expect("180")
		second := w.core.took(in, ringing).ID()
		first.requestWith("REFER", "Refer-To: <sip:+442079460777@10.0.1.1?Replaces="+
			url.QueryEscape(second.CallID+";to-tag="+second.RemoteTag+";from-tag="+second.LocalTag)+">")
		w.core.expect("202")
		first.notified("SIP/2.0 100 Trying", "active")
		if n := w.core.expect("NOTIFY"); !strings.Contains(string(n.Body), "SIP/2.0 5") && !strings.Contains(string(n.Body), "SIP/2.0 4") {
			t.Errorf("%s", n)
		} else {
			w.core.reply(n, 200, "", "")
		}
		w.core.cancel(in)
		w.core.answers("200", "487")
		w.teams.reply(w.teams.expect("CANCEL"), 200, "", "")
		w.teams.reply(out, 487, "t2", "")
		w.teams.expect("ACK")
		w.over()
	})
}

// The joined calls of a node that stops end both.
func TestJoinedCallsEndByCommand(t *testing.T) {
	inWorld(t, func(w *world) {
		w.joinCalls()
		if err := w.set.Hangup(w.set.Live()[0].ID); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		}
		w.core.quiet()
	})
}

// Two calls that are joined at one side already cannot be joined at the other:
// nobody would be left to hang up, and each packet would run in circles.
func TestCallsAreNotJoinedToARing(t *testing.T) {
	inWorld(t, func(w *world) {
		_, _, b, c := w.joinCalls()
		id := c.ID()
		b.requestWith("REFER", "Referred-By: <sip:x@example.com>", "Refer-To: <sip:+442079460123@10.0.1.1?Replaces="+
			url.QueryEscape(id.CallID+";to-tag="+id.RemoteTag+";from-tag="+id.LocalTag)+">")
		w.teams.expect("202")
		b.notified("SIP/2.0 100 Trying", "active")
		b.notified("SIP/2.0 403 Forbidden", "terminated;reason=noresource")
		w.teams.quiet() // b and c talk on
		b.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

// A call that is behind with its work refuses what the call it is joined to
// asks, and is not taken for one that has ended.
func TestAJoinedCallThatIsBehind(t *testing.T) {
	inWorld(t, func(w *world) {
		_, _, b, c := w.joinCalls()
		id := c.ID()
		at, ok := w.set.leg(ua.ID{CallID: id.CallID, LocalTag: id.RemoteTag})
		if !ok {
			t.Fatal("the other call is not there")
		}
		busy := make(chan record.LiveCall)
		at.call.post(question{busy}, true) // it waits to tell, as it would for the disk
		synctest.Wait()
		for at.call.post(digit{}, false) {
		}
		b.request("INVITE", turn(teamsSDP, "inactive", 2))
		w.teams.expect("100")
		b.f.ackFailure(b.invite, w.teams.expect("500"))
		<-busy
		synctest.Wait()
		if n := w.set.Counters().Live; n != 2 {
			t.Errorf("%d calls", n)
		}
		b.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

// callOf is an answered call of a user of an enterprise to the core.
func (w *world) callOf(tenant string) (teams, core *dialog) {
	w.t.Helper()
	in := w.teams.invite("+442079460123", teamsOffer, "X-MS-TenantID: "+tenant)
	w.teams.expect("100")
	out := w.core.expect("INVITE")
	w.core.reply(out, 200, "c"+in.Get("Call-ID"), coreAnswer)
	w.core.expect("ACK")
	teams, core = w.teams.took(in, w.teams.expect("200")), w.core.gave(out, "c"+in.Get("Call-ID"))
	teams.ack("")
	synctest.Wait()
	return teams, core
}

// Calls of two enterprises are joined by the core, whose legs are its own, and
// not by one of the enterprises.
func TestWhoJoinsCallsOfTwoEnterprises(t *testing.T) {
	for _, tc := range []struct {
		name   string
		second string // enterprise
		core   bool   // joins them; else the first enterprise
		frag   string
	}{
		{"the core", "c043", true, "SIP/2.0 200 OK"},
		{"an enterprise its own", "c042", false, "SIP/2.0 200 OK"},
		{"an enterprise another's", "c043", false, "SIP/2.0 500 Server Internal Error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				one, other := w.callOf("c042")
				two, another := w.callOf(tc.second)
				first, second := one, two
				if tc.core {
					first, second = other, another
				}
				id := second.ID()
				first.requestWith("REFER", "Refer-To: <sip:+442079460123@10.0.1.1?Replaces="+
					url.QueryEscape(id.CallID+";to-tag="+id.RemoteTag+";from-tag="+id.LocalTag)+">")
				first.f.expect("202")
				time.Sleep(time.Second)
				said := ""
				for len(first.f.in) > 0 {
					if m := <-first.f.in; strings.HasPrefix(m.Get("Subscription-State"), "terminated") {
						said = string(m.Body)
					}
				}
				if said != tc.frag {
					t.Errorf("it is told %q", said)
				}
				w.hangUpAll()
			})
		})
	}
}
