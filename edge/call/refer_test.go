package call

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sip"
)

// What Microsoft's phone system writes into a REFER, and wants to find again
// byte for byte (Microsoft Teams docs, "Direct Routing: call transfer").
const (
	toUser   = "sip:10.2.0.1:5061;transport=udp;x-m=8:orgid:11111111-1111-4111-8111-AbCdEf111111"
	toNumber = "sip:+442079460999@10.2.0.1:5061;user=phone;transport=udp;x-m=4:%2B442079460999"
)

// referredBy is over 4000 bytes long, of mixed case and with escapes.
var referredBy = "<sip:10.2.0.1:5061;x-m=8:orgid:2222;x-t=c042;x-ti=b712;x-tt=aHR0cHM6Ly9%2FZGNpPTE%3D" + strings.Repeat("aB%2f", 790) + ">"

// refer sends a REFER.
func (d *dialog) refer(to string, headers ...string) *sip.Message {
	return d.requestWith("REFER", append([]string{"Refer-To: <" + to + ">", "Referred-By: " + referredBy}, headers...)...)
}

func (d *dialog) requestWith(method string, headers ...string) *sip.Message {
	d.f.w.t.Helper()
	m := d.NewRequest(method)
	m.Add("Via", "SIP/2.0/UDP "+d.f.at.String()+";branch="+sip.NewBranch())
	m.Set("Contact", "<sip:"+d.f.at.String()+">")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		m.Set(name, value)
	}
	d.f.send(m)
	return m
}

// notified expects a NOTIFY of a transfer and checks it (RFC 3515 2.4.4).
func (d *dialog) notified(frag, state string) {
	f := d.f
	f.w.t.Helper()
	m := f.expect("NOTIFY")
	if string(m.Body) != frag || !strings.HasPrefix(m.Get("Subscription-State"), state) || !strings.HasPrefix(m.Get("Event"), "refer;id=") {
		f.w.t.Errorf("%s is notified\n%s\nwant %s, %s", f.name, m, frag, state)
	}
	if m.Get("Content-Type") != "message/sipfrag;version=2.0" || m.Get("Call-ID") != d.ID().CallID {
		f.w.t.Errorf("%s", m)
	}
	f.reply(m, 200, "", "")
}

// transfer lets Teams transfer a call, up to the INVITE that goes to the target.
func (w *world) transfer(teams *dialog, to string) *sip.Message {
	w.t.Helper()
	teams.refer(to)
	w.teams.expect("202")
	teams.notified("SIP/2.0 100 Trying", "active")
	return w.teams.expect("INVITE")
}

const teamsNew = "v=0\r\no=- 77 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 10.2.0.88\r\nt=0 0\r\nm=audio 50000 RTP/SAVP 8 101\r\n" +
	"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:w126Rsorb10OxNF10Da7m6eha9K/fTRmAgAuKtqK|2^31\r\n" +
	"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"

// A blind transfer by Teams to one of its users.
func TestTeamsTransfersToAUser(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		teams.refer(toUser)
		if ok := w.teams.expect("202"); ok.Get("Contact") == "" {
			t.Errorf("%s", ok)
		}
		teams.notified("SIP/2.0 100 Trying", "active;expires=")
		out := w.teams.expect("INVITE")
		w.checkBack(out, toUser)
		w.teams.reply(out, 100, "", "")
		w.teams.reply(out, 180, "n1", "")
		teams.notified("SIP/2.0 180 Ringing", "active")
		time.Sleep(3 * time.Second)
		w.teams.reply(out, 200, "n1", teamsNew)
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 200 OK", "terminated;reason=noresource")
		w.core.quiet() // nothing has changed for it: the media is re-anchored here
		teams.bye()
		w.golden("transfer_to_user")
		target := w.teams.gave(out, "n1")
		w.hears(core, target)
		target.bye()
		w.core.reply(w.core.expect("BYE"), 200, "", "")
		synctest.Wait()
		r := w.records.last(t)
		if len(r.Transfers) != 1 || r.Transfers[0].Status != 200 || r.Transfers[0].How != "REFER" || r.Transfers[0].By != "callee" ||
			r.Transfers[0].To != toUser || r.Transfers[0].Left.CallID == r.Callee.CallID || r.Callee.CallID != out.Get("Call-ID") || r.Cause.By != "callee" {
			t.Errorf("%+v", r)
		}
	})
}

// checkBack checks the INVITE by which a transfer goes back to the cloud.
func (w *world) checkBack(out *sip.Message, target string) {
	w.t.Helper()
	if out.RequestURI != target || out.Get("To") != "<"+target+">" {
		w.t.Errorf("to %s, %s; want %s", out.RequestURI, out.Get("To"), target)
	}
	if out.Get("Referred-By") != referredBy {
		w.t.Errorf("Referred-By %.300s", out.Get("Referred-By"))
	}
	if from, err := out.From(); err != nil || from.URI.User != "+441632960001" {
		w.t.Errorf("From is not the party that stays: %s", out.Get("From"))
	}
	if out.Has("Replaces") || !strings.Contains(out.Get("Allow"), "REFER") || out.Get("X-MS-SBC") == "" || out.Get("Contact") == "" {
		w.t.Errorf("%s", out)
	}
	if !strings.Contains(string(out.Body), "RTP/SAVP") || !strings.Contains(string(out.Body), "a=sendrecv") {
		w.t.Errorf("%s", out.Body)
	}
}

// hears is filled in where media is looked at.
func (w *world) hears(core, teams *dialog) {}

// A caller of Teams that holds the other party, as its users do before they
// transfer: the party that is transferred hears the ringing, and talks
// afterwards.
func TestAHeldPartyIsTransferred(t *testing.T) {
	inWorld(t, func(w *world) {
		_, teams := w.talk()
		w.holdBy(teams)
		out := w.transfer(teams, toNumber)
		w.checkBack(out, toNumber)
		w.teams.reply(out, 180, "n1", "")
		teams.notified("SIP/2.0 180 Ringing", "active")
		w.core.quiet()
		re := w.core.expect("INVITE") // a moment later, the ringback
		if strings.Contains(string(re.Body), "a=sendonly") || strings.Contains(string(re.Body), "a=inactive") {
			t.Errorf("it cannot hear the ringing:\n%s", re.Body)
		}
		w.core.reply(re, 200, "", turn(coreSDP, "sendrecv", 3))
		w.core.expect("ACK")
		w.teams.reply(out, 200, "n1", teamsNew)
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 200 OK", "terminated")
		w.core.quiet()
		teams.bye()
		w.golden("transfer_held")
		w.over()
	})
}

// holdBy lets the cloud hold the core.
func (w *world) holdBy(teams *dialog) {
	w.t.Helper()
	teams.request("INVITE", turn(teamsSDP, "inactive", 1))
	w.teams.expect("100")
	w.core.reply(w.core.expect("INVITE"), 200, "", turn(coreSDP, "recvonly", 2))
	w.core.expect("ACK")
	w.teams.expect("200")
	teams.ack("")
	synctest.Wait()
}

// A machine that plays music while the call is on hold answers at once: nobody
// is rung for it, and the held party hears of it by one re-INVITE.
func TestATransferThatIsAnsweredAtOnceDoesNotRing(t *testing.T) {
	inWorld(t, func(w *world) {
		_, teams := w.talk()
		w.holdBy(teams)
		out := w.transfer(teams, toUser)
		w.teams.reply(out, 180, "n1", "")
		teams.notified("SIP/2.0 180 Ringing", "active")
		time.Sleep(500 * time.Millisecond)
		w.core.quiet()
		w.teams.reply(out, 200, "n1", teamsNew)
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 200 OK", "terminated")
		w.core.reply(w.core.expect("INVITE"), 200, "", turn(coreSDP, "sendrecv", 3))
		w.core.expect("ACK")
		time.Sleep(3 * time.Second)
		w.core.quiet()
		teams.bye()
		w.over()
	})
}

// A target that does not answer: who asked is told why, and has the held party
// back.
func TestATransferThatFails(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		w.holdBy(teams)
		out := w.transfer(teams, toUser)
		w.teams.reply(out, 180, "n1", "")
		teams.notified("SIP/2.0 180 Ringing", "active")
		w.core.reply(w.core.expect("INVITE"), 200, "", turn(coreSDP, "sendrecv", 3))
		w.core.expect("ACK")
		w.teams.reply(out, 603, "n1", "")
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 603 Decline", "terminated")
		re := w.core.expect("INVITE") // on hold again
		if !strings.Contains(string(re.Body), "a=sendonly") {
			t.Errorf("%s", re.Body)
		}
		w.core.reply(re, 200, "", turn(coreSDP, "recvonly", 4))
		w.core.expect("ACK")
		// It takes the call back.
		teams.request("INVITE", turn(teamsSDP, "sendrecv", 2))
		w.teams.expect("100")
		w.core.reply(w.core.expect("INVITE"), 200, "", turn(coreSDP, "sendrecv", 5))
		w.core.expect("ACK")
		w.teams.expect("200")
		teams.ack("")
		w.golden("transfer_fails")
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		synctest.Wait()
		if r := w.records.last(t); len(r.Transfers) != 1 || r.Transfers[0].Status != 603 || r.Callee.CallID == out.Get("Call-ID") {
			t.Errorf("%+v", r)
		}
	})
}

// Proxies that are overloaded are passed over, as for every other call
// (Microsoft Teams docs, "Direct Routing: trunk failover").
func TestATransferGoesToTheNextProxy(t *testing.T) {
	inWorld(t, func(w *world) {
		_, teams := w.talk()
		out := w.transfer(teams, toUser)
		w.teams.reply(out, 503, "n1", "")
		w.teams.expect("ACK")
		out = w.teams2.expect("INVITE")
		w.checkBack(out, toUser)
		w.teams2.reply(out, 200, "n2", teamsNew)
		w.teams2.expect("ACK")
		teams.notified("SIP/2.0 200 OK", "terminated")
		teams.bye()
		target := w.teams2.gave(out, "n2")
		target.bye()
		w.core.reply(w.core.expect("BYE"), 200, "", "")
	})
}

// To a number, Microsoft forwards the INVITE to itself and then calls us for the
// number: that is no loop (Microsoft Teams docs, "Direct Routing: call
// transfer").
func TestATransferToANumberComesBackAsACall(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		out := w.transfer(teams, toNumber)
		w.teams.reply(out, 100, "", "")
		second := w.teams.invite("+442079460999", teamsOffer, "From: "+out.Get("From"), "Referred-By: "+out.Get("Referred-By"))
		w.teams.expect("100")
		far := w.core.expect("INVITE")
		w.core.reply(far, 180, "c1", "")
		w.teams.expect("180")
		w.teams.reply(out, 180, "n1", "")
		teams.notified("SIP/2.0 180 Ringing", "active")
		w.core.reply(far, 200, "c1", coreAnswer)
		w.core.expect("ACK")
		ok := w.teams.expect("200")
		number := w.teams.took(second, ok)
		number.ack("")
		w.teams.reply(out, 200, "n1", teamsNew)
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 200 OK", "terminated")
		teams.bye()
		if c := w.set.Counters(); c.Live != 2 {
			t.Errorf("%d calls", c.Live)
		}
		number.bye()
		w.core.reply(w.core.expect("BYE"), 200, "", "")
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

// Whoever asked for a transfer may hang up before it has come about (RFC 5589
// section 5). If it comes to nothing then, there is nobody to return to.
func TestWhoTransfersHangsUpAtOnce(t *testing.T) {
	for _, status := range []int{200, 486} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inWorld(t, func(w *world) {
				_, teams := w.talk()
				out := w.transfer(teams, toUser)
				teams.bye()
				w.teams.reply(out, 180, "n1", "")
				time.Sleep(time.Second)
				w.teams.quiet()
				if status == 200 {
					w.teams.reply(out, 200, "n1", teamsNew)
					w.teams.expect("ACK")
					target := w.teams.gave(out, "n1")
					target.bye()
				} else {
					w.teams.reply(out, status, "n1", "")
					w.teams.expect("ACK")
				}
				w.core.reply(w.core.expect("BYE"), 200, "", "")
			})
		})
	}
}

// The transferred party does not wait.
func TestWhoIsTransferredHangsUp(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		out := w.transfer(teams, toUser)
		w.teams.reply(out, 180, "n1", "")
		teams.notified("SIP/2.0 180 Ringing", "active")
		core.bye()
		teams.notified("SIP/2.0 487 Request Terminated", "terminated")
		w.teams.reply(w.teams.expect("CANCEL"), 200, "", "")
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
		w.teams.reply(out, 200, "n1", teamsNew) // crosses the CANCEL
		w.teams.expect("ACK")
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

// A leg that was replaced and does not hang up is released.
func TestWhoTransferredNeverHangsUp(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		out := w.transfer(teams, toUser)
		w.teams.reply(out, 200, "n1", teamsNew)
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 200 OK", "terminated")
		began := time.Now()
		bye := w.teams.expect("BYE")
		w.teams.reply(bye, 200, "", "")
		if after := time.Since(began); bye.Get("Call-ID") != teams.ID().CallID || after < 30*time.Second || after > 40*time.Second {
			t.Errorf("after %s\n%s", after, bye)
		}
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

// What is refused, and leaves the call as it is.
func TestARefer(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		for _, tc := range []struct{ to, status string }{
			{"https://example.org/", "416"},
			{"sip:a@10.2.0.1;method=BYE", "403"},
			{"sip:a@10.2.0.1?Replaces=x", "400"},
		} {
			teams.refer(tc.to)
			w.teams.expect(tc.status)
		}
		out := w.transfer(teams, toUser)
		teams.refer(toUser) // another one meanwhile
		w.teams.expect("491")
		core.refer("sip:+442079460777@10.0.1.1")
		w.core.expect("491")
		w.teams.reply(out, 404, "n1", "")
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 404 Not Found", "terminated")
		teams.requestWith("REFER", "Refer-To: <"+toUser+">", "Refer-Sub: false") // RFC 4488
		if ok := w.teams.expect("202"); ok.Get("Refer-Sub") != "false" {
			t.Errorf("%s", ok)
		}
		out = w.teams.expect("INVITE")
		w.teams.reply(out, 404, "n1", "")
		w.teams.expect("ACK")
		time.Sleep(time.Second)
		w.teams.quiet()
		w.over()
	})
}

// A machine that transfers for ever is stopped.
func TestTransfersInALoop(t *testing.T) {
	inWorld(t, func(w *world) {
		_, teams := w.talk()
		for range maxTransfers {
			out := w.transfer(teams, toUser)
			w.teams.reply(out, 480, "n1", "")
			w.teams.expect("ACK")
			teams.notified("SIP/2.0 480 Temporarily Unavailable", "terminated")
		}
		teams.refer(toUser)
		w.teams.expect("403")
		w.over()
	})
}

// Teams lists no REFER, so one from the core is carried out here: the target
// is called as if the party that stays had dialled it.
func TestTheCoreTransfers(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		core.requestWith("REFER", "Refer-To: <sip:02079460999@10.0.1.1>", "Referred-By: <sip:+441632960001@10.1.0.1>")
		w.core.expect("202")
		core.notified("SIP/2.0 100 Trying", "active")
		out := w.core.expect("INVITE")
		if from, _ := out.From(); from.URI.User != "+442079460123" || !strings.Contains(out.RequestURI, "02079460999@") || out.Get("Referred-By") != "<sip:+441632960001@10.1.0.1>" {
			t.Errorf("%s", out)
		}
		w.core.reply(out, 180, "c2", "")
		core.notified("SIP/2.0 180 Ringing", "active")
		time.Sleep(2 * time.Second)
		w.teams.quiet() // it hears the ringing on the media it has
		w.core.reply(out, 200, "c2", coreAnswer)
		w.core.expect("ACK")
		core.notified("SIP/2.0 200 OK", "terminated")
		core.bye()
		w.golden("transfer_by_core")
		target := w.core.gave(out, "c2")
		teams.bye()
		bye := w.core.expect("BYE")
		w.core.reply(bye, 200, "", "")
		if bye.Get("Call-ID") != target.ID().CallID {
			t.Errorf("%s", bye)
		}
	})
}

// An attended transfer of the core, where the call to the target does not go
// through us: the core finds it by Replaces (RFC 5589 section 7.1).
func TestTheCoreTransfersAttended(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		core.requestWith("REFER", "Refer-To: <sip:+442079460999@10.0.1.1?Replaces=inner%4010.1.0.9%3Bto-tag%3Dt%3Bfrom-tag%3Df>")
		w.core.expect("202")
		core.notified("SIP/2.0 100 Trying", "active")
		out := w.core.expect("INVITE")
		if out.Get("Replaces") != "inner@10.1.0.9;to-tag=t;from-tag=f" || out.Get("Require") != "replaces" {
			t.Errorf("%s", out)
		}
		w.core.reply(out, 200, "c2", coreAnswer)
		w.core.expect("ACK")
		core.notified("SIP/2.0 200 OK", "terminated")
		core.bye()
		teams.bye()
		w.core.reply(w.core.expect("BYE"), 200, "", "")
	})
}

// What a REFER of the core cannot do, and one that a profile forbids.
func TestATransferOfTheCoreThatIsRefused(t *testing.T) {
	no := false
	t.Run("to nobody", func(t *testing.T) {
		inWorld(t, func(w *world) {
			core, _ := w.talk()
			core.requestWith("REFER", "Refer-To: <sip:10.1.0.9>")
			w.core.expect("202")
			core.notified("SIP/2.0 100 Trying", "active")
			core.notified("SIP/2.0 404 Not Found", "terminated")
			w.over()
		})
	})
	t.Run("by a peer that may not", func(t *testing.T) {
		inWorldOf(t, func(w *world) { w.snap.Groups[0].Interworking.Refer = &no }, func(w *world) {
			core, teams := w.talk()
			core.refer("sip:+442079460999@10.0.1.1")
			if m := w.core.expect("405"); strings.Contains(m.Get("Allow"), "REFER") {
				t.Errorf("%s", m)
			}
			out := w.transfer(teams, toUser)
			w.teams.reply(out, 486, "n", "")
			w.teams.expect("ACK")
			teams.notified("SIP/2.0 486 Busy Here", "terminated")
			w.over()
		})
	})
	t.Run("outside of a call", func(t *testing.T) {
		inWorld(t, func(w *world) {
			m := sip.NewRequest("REFER", "sip:"+gwOperator)
			m.Add("Via", "SIP/2.0/UDP "+coreAt+";branch="+sip.NewBranch())
			m.Add("From", "<sip:x@10.1.0.1>;tag=a")
			m.Add("To", "<sip:y@10.0.1.1>")
			m.Add("Call-ID", "refer-out")
			m.Add("CSeq", "1 REFER")
			m.Add("Contact", "<sip:10.1.0.1>")
			m.Add("Refer-To", "<sip:+442079460999@10.0.1.1>")
			w.core.send(m)
			w.core.expect("405")
		})
	})
}

// Teams may send its REFER by another connection than the ACK before it, and so
// before it.
func TestAReferThatOvertakesAnAck(t *testing.T) {
	inWorld(t, func(w *world) {
		core, teams := w.talk()
		teams.request("INVITE", turn(teamsSDP, "inactive", 1))
		w.teams.expect("100")
		w.core.reply(w.core.expect("INVITE"), 200, "", turn(coreSDP, "recvonly", 2))
		w.core.expect("ACK")
		w.teams.expect("200")
		hold := *teams
		out := w.transfer(teams, toUser)
		hold.ack("")
		w.teams.reply(out, 200, "n1", teamsNew)
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 200 OK", "terminated")
		w.core.reply(w.core.expect("INVITE"), 200, "", turn(coreSDP, "sendrecv", 3))
		w.core.expect("ACK")
		teams.bye()
		core.bye()
		w.teams.reply(w.teams.expect("BYE"), 200, "", "")
	})
}

// Each transfer stays in the record: a call has so many and no more.
func TestTransfersOfACallAreCounted(t *testing.T) {
	m := newMachine(t, nil)
	m.talk()
	n := 0
	for range 2 * mostTransfers {
		m.now = m.now.Add(7 * time.Second)
		if m.s.now = m.now; m.s.mayTransfer() {
			m.s.record.Transfers = append(m.s.record.Transfers, record.Transfer{})
			n++
		}
	}
	if n != mostTransfers {
		t.Errorf("%d transfers", n)
	}
	m.windUp()
}

// A target may hang up so soon that its BYE overtakes its 200: it has left, and
// who asked has the other party back.
func TestATargetThatHasLeftBeforeItsAnswerCame(t *testing.T) {
	inWorld(t, func(w *world) {
		_, teams := w.talk()
		out := w.transfer(teams, toUser)
		target := w.teams.gave(out, "n1")
		target.bye()
		w.teams.reply(out, 200, "n1", teamsNew)
		w.teams.expect("ACK")
		teams.notified("SIP/2.0 480 Temporarily Unavailable", "terminated")
		w.over()
	})
}
