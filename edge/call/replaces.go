package call

import (
	"net/netip"
	"strings"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// An INVITE with Replaces takes the place of a leg that we have already
// (RFC 3891): a call is picked up, taken back from the machine that played
// music to it, or handed on.

// replace gives an INVITE with Replaces to the call it names. Tags are no
// secret to whoever sees a trace, so only a leg of the newcomer's own peer group
// can be replaced.
func (s *Set) replace(tx *sip.ServerTx, req *sip.Message, known *peer.Known) {
	rep, err := ua.ReplacesOf(req)
	if err != nil {
		s.refuse(tx, req, refusalOf(err).status, nil)
		return
	}
	at, ok := s.leg(ua.ID{CallID: rep.CallID, LocalTag: rep.To})
	if !ok || at.group != known.Group.Name || !at.call.post(summons{tx, req, at.leg, *rep, known}, false) {
		s.count.unmatched.Add(1)
		s.refuse(tx, req, 481, nil)
	}
}

// summons is an INVITE with Replaces whose transaction has no name yet.
type summons struct {
	tx       *sip.ServerTx
	msg      *sip.Message
	leg      relay.Side
	replaces ua.Replaces
	peer     *peer.Known
}

func (summons) event() {}

// replacing is an INVITE that wants the place of a leg.
type replacing struct {
	leg       relay.Side
	tx        txn
	msg       *sip.Message
	replaces  ua.Replaces
	addr      netip.AddrPort
	remote    *sip.Remote
	transport sip.Transport
	peer      *peer.Known
	dress     interop.Leg
	inner     bool // from another call of ours
}

func (replacing) event() {}

// summoned hands the newcomer's INVITE to step.
func (c *call) summoned(ev summons) event {
	src := ev.tx.Source()
	c.set.traceFirst(end{call: c, leg: ev.leg}, ev.msg, src, time.Now())
	return replacing{
		leg: ev.leg, tx: c.take(ev.tx, ev.msg.Method), msg: ev.msg, replaces: ev.replaces, addr: src.Addr, remote: src.Remote,
		transport: src.Listener.Transport, peer: ev.peer, dress: c.set.cfg.Peers.Leg(ev.peer),
	}
}

// replacing gives the place of a leg to the sender of an INVITE.
func (s *state) replacing(ev replacing) {
	l := s.newcomer(ev.leg)
	l.peer, l.dress, l.tag, l.timers, l.inner = ev.peer, ev.dress, s.token(8), ev.remote.Timers, ev.inner
	s.clothe(&l)
	no := s.mayReplace(ev)
	if no == nil {
		no = checkSession(ev.msg)
	}
	if no == nil {
		no = checkRequire(ev.msg, l.dress.Profile, "replaces")
	}
	var offer *sdp.Session
	if no == nil {
		offer, no = describe(ev.msg)
	}
	if no == nil {
		d, err := ua.ServerDialog(ev.msg, l.tag)
		if err != nil {
			no = refusalOf(err)
		}
		l.dialog, l.confirmed = d, true
	}
	s.equip(&l)
	switch {
	case no != nil:
	case s.phase == hunting:
		no = s.pickUp(ev, l, offer)
	default:
		no = s.replaceTalking(ev, l, offer)
	}
	if no != nil {
		s.refuseNewcomer(ev, &l, no)
	}
}

func (s *state) refuseNewcomer(ev replacing, l *leg, no *refusal) {
	resp := respondOn(l, ev.msg, no.status)
	for _, h := range no.headers {
		resp.Set(h[0], h[1])
	}
	s.notef("an INVITE that wants the %s's place is refused with %d: %s", ev.leg, no.status, no.text)
	s.do(respond{ev.tx, resp})
}

// mayReplace finds the dialog that is to be replaced (RFC 3891 section 3).
func (s *state) mayReplace(ev replacing) *refusal {
	l := &s.legs[ev.leg]
	id := ev.replaces.ID()
	gone := s.aside[ev.leg]
	switch {
	case s.phase > talking || s.verdict != nil:
		return &refusal{status: 481, text: "the call has ended"}
	case gone != nil && gone.dialog.ID() == id, l.gone:
		return &refusal{status: 603, text: "that leg has given its place away already"}
	case ev.inner && s.legs[ev.leg.Other()].inner:
		// Nobody would be left to hang up, and each packet would run in circles.
		return &refusal{status: 403, text: "calls of ours would be joined to a ring"}
	case s.strangeTenant(ev):
		return &refusal{status: 481, text: "it is of another enterprise, or does not say of which"}
	case s.phase == hunting && ev.leg == relay.Callee && s.rings(id):
		return nil
	case !l.confirmed || l.dialog.ID() != id || s.phase != talking:
		return &refusal{status: 481, text: "there is no such dialog"}
	case ev.replaces.EarlyOnly:
		return &refusal{status: 486, text: "the call is answered, and only one that rings is wanted"}
	case s.transfer != nil || !s.settled():
		return &refusal{status: 491, text: "another change is under way"}
	case !s.mayTransfer():
		return &refusal{status: 403, text: "transfers in a loop"}
	}
	return nil
}

// strangeTenant: an enterprise's calls are its own, whatever tags are known. It
// is told by its ID, or by its subdomain. Who does not name his where others do,
// and where the call has one, is a stranger too; of another call of ours we may
// not know whose it is.
func (s *state) strangeTenant(ev replacing) bool {
	if s.label != "" && ev.peer.Group.Side == snapshot.Cloud {
		uri, err := sip.ParseURI(ev.msg.RequestURI)
		if label, _, _ := strings.Cut(uri.Host, "."); err != nil || !strings.EqualFold(label, s.label) {
			return true
		}
	}
	theirs, ours := interop.Tenant(ev.msg), s.party[ev.leg].Tenant
	if s.phase == hunting {
		ours = s.identity.Tenant
	}
	switch {
	case ours == "" || !ev.dress.Profile.NamesTenants(): // such as a core, whose users' legs are its own
		return false
	case theirs == "":
		return !ev.inner
	}
	return !strings.EqualFold(theirs, ours)
}

// rings tells whether an early dialog of the attempt under way has that ID.
func (s *state) rings(id ua.ID) bool {
	if s.attempt == nil || id.LocalTag != s.callee().tag {
		return false
	}
	r := s.find(s.attempt.id)
	if r == nil || r.stub.Get("Call-ID") != id.CallID {
		return false
	}
	for _, f := range s.attempt.forks {
		if f.tag == id.RemoteTag {
			return true
		}
	}
	return false
}

// replaceTalking takes over an answered call.
func (s *state) replaceTalking(ev replacing, l leg, offer *sdp.Session) *refusal {
	stays := ev.leg.Other()
	own, err := s.answerNewcomer(&l, offer, s.openTo(stays))
	if err != nil {
		return refusalOf(err)
	}
	s.recordReplaces(ev)
	s.takeOver(ev.leg, l, s.saidBy(ev), ev.tx)
	s.welcome(ev, own)
	s.releaseAside(ev.leg)
	if own == nil {
		s.rejoin(ev.leg)
	}
	return nil
}

// answerNewcomer settles the media of a leg that joins one that is there. own is
// the offer that it gets when it has made none.
func (s *state) answerNewcomer(l *leg, offer, other *sdp.Session) (own *sdp.Session, err error) {
	if offer == nil {
		return sdp.Offer(other, l.end)
	}
	return nil, s.answerTo(l, offer, other)
}

// welcome answers the INVITE of a leg that has taken its place.
func (s *state) welcome(ev replacing, own *sdp.Session) {
	l := &s.legs[ev.leg]
	resp := respondOn(l, ev.msg, 200)
	body := l.end.Sent
	if own != nil {
		body = own
	}
	resp.SetBody("application/sdp", body.Bytes())
	s.grant(ev.leg, ev.msg, resp)
	s.locate(ev.leg, 0)
	s.sendAccepted(ev.leg, &accepted{tx: ev.tx, msg: resp, offer: own})
}

func (s *state) saidBy(ev replacing) record.Leg {
	if ev.inner {
		return record.Leg{Side: record.Side(ev.peer.Group.Side), Peer: ev.peer.Name, Address: placeOf(sip.Target{Listener: inner}), CallID: ev.msg.Get("Call-ID")}
	}
	return record.Leg{
		Side: record.Side(ev.peer.Group.Side), Peer: ev.peer.Name,
		Transport: ev.transport.String(), Address: ev.addr.String(), CallID: ev.msg.Get("Call-ID"),
	}
}

func (s *state) recordReplaces(ev replacing) {
	s.notef("%s takes the %s's place", ev.peer.Name, ev.leg)
	s.record.Transfers = append(s.record.Transfers, record.Transfer{
		At: s.now, By: ev.leg.String(), How: howReplaces, To: ev.peer.Name, Status: 200, Left: *s.recordOf(ev.leg),
	})
}

// pickUp takes over a call that rings: the newcomer answers it, and the others
// are told that it was answered elsewhere. Caller and newcomer have both made
// an offer: each is answered with what both have.
func (s *state) pickUp(ev replacing, l leg, offer *sdp.Session) *refusal {
	caller := s.caller()
	if offer == nil {
		// Both would wait for the other's answer.
		return &refusal{status: 488, q850: 88, text: "it makes no offer"}
	}
	common := caller.end.Sent // the caller has its answer already
	if common == nil {
		var err error
		if common, err = s.offerTo(caller, offer); err != nil {
			return refusalOf(err)
		}
	}
	if err := s.answerTo(&l, offer, turned(common, sdp.SendRecv)); err != nil {
		return refusalOf(err)
	}
	if s.offer != nil && caller.end.Sent == nil {
		if err := s.answerTo(caller, s.offer, l.end.Sent); err != nil {
			return refusalOf(err)
		}
	}
	s.recordReplaces(ev)
	s.cancelAttempts(cause{Cause: record.Cause{Text: "answered elsewhere"}, elsewhere: true})
	s.stopSeeking()
	s.takeOver(ev.leg, l, s.saidBy(ev), ev.tx)
	if err := s.answerCaller(nil); err != nil {
		s.finish(gatewayCause(488, 88, err.Error()))
		return nil
	}
	s.talk()
	s.welcome(ev, nil)
	if s.caller().accepted.offer == nil {
		s.rejoin(ev.leg)
	}
	return nil
}

// offerTo is what the caller can be told of the newcomer's offer: the common
// ground of both.
func (s *state) offerTo(caller *leg, offer *sdp.Session) (*sdp.Session, error) {
	if s.offer == nil {
		return sdp.Offer(offer, caller.end)
	}
	return sdp.Answer(s.offer, offer, caller.end)
}

// part lets the leg of a side step aside.
func (c *call) part(e part) {
	c.asides[e.leg], c.ways[e.leg] = c.ways[e.leg], &way{}
	if release := c.heldBy[e.leg]; release != nil {
		release()
	}
	c.heldBy[e.leg] = c.held[e.leg]
	if e.tx == 0 {
		c.held[e.leg], c.coming = c.coming, nil
		return
	}
	l := &c.st.legs[e.leg]
	c.held[e.leg] = c.set.cfg.Peers.Hold(l.peer.Name) // limits are for calls that begin
	if tx := c.servers[e.tx]; tx != nil {
		c.ways[e.leg].fallback = targetOf(tx.Source())
	} else {
		*c.ways[e.leg] = way{target: sip.Target{Listener: inner}, known: true, inner: true}
	}
	c.know(e.key, e.leg, l.peer.Group.Name)
}

// farewell forgets the leg that is aside. Its way stays until the next one's:
// what was sent there may still be waiting.
func (c *call) farewell(e farewell) {
	if release := c.heldBy[e.leg]; release != nil {
		release()
		c.heldBy[e.leg] = nil
	}
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	delete(c.set.dialogs, e.key)
}

// forgo uncounts the call at a peer that came to nothing.
func (c *call) forgo() {
	if c.coming != nil {
		c.coming()
		c.coming = nil
	}
}
