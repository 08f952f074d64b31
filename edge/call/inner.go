package call

import (
	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// When a user of the core has two calls through us and joins the others (an
// attended transfer, RFC 5589 section 7), the Replaces in its REFER names a leg
// of a call of ours. The two calls then speak to each other, as two user agents
// would, but without the network: the one sends the INVITE with Replaces, the
// other gives it the place of the leg that is named. Their media meets on the
// ports of the side that has left.

// inner is the listener of a way that leads to another call.
const inner = "\x00inner"

func isInner(to sip.Target) bool { return to.Listener == inner }

// placeOf is a target in words.
func placeOf(to sip.Target) string {
	if isInner(to) {
		return "another call of this node"
	}
	return to.Transport.String() + " " + to.Addr.String()
}

// asker is who waits for the answer to a request of another call.
type asker struct {
	call *call
	id   int // of its request
}

// approach is a request of another call; tx has no name yet.
type approach struct {
	from asker
	msg  *sip.Message
	leg  relay.Side
	join *ua.Replaces // of an INVITE that wants the place of the leg
	peer *peer.Known  // whose place that is
}

func (approach) event() {}

// owns finds the leg of another call of ours that a REFER wants to be replaced.
// It must be one of the same peer group: nobody else can know of it.
func (c *call) owns(msg *sip.Message, leg relay.Side) bool {
	if msg.Method != "REFER" {
		return false
	}
	refer, err := ua.ReferOf(msg)
	if err != nil || refer.Replaces == nil {
		return false
	}
	at, ok := c.set.leg(ua.ID{CallID: refer.Replaces.CallID, LocalTag: refer.Replaces.To})
	return ok && at.call != c && at.group == c.st.legs[leg].peer.Group.Name
}

// tell gives a request to the call that it is for.
func (c *call) tell(id int, msg *sip.Message) {
	ev := approach{from: asker{c, id}, msg: msg.Clone()}
	name := ua.IDOf(msg)
	if rep, err := ua.ReplacesOf(msg); err == nil && rep != nil && msg.Method == "INVITE" && name.LocalTag == "" {
		ev.join, ev.peer = rep, c.st.sought().peer
		name = ua.ID{CallID: rep.CallID, LocalTag: rep.To}
	}
	at, ok := c.set.leg(name)
	ev.leg = at.leg
	switch {
	case ok && msg.Method == "ACK":
		at.call.post(acked{at.leg, ev.msg}, false)
	case id == 0 || ok && at.call.post(ev, msg.Method == "BYE"):
	case ok && !at.call.over(): // it is only behind with its work: 481 would end this call
		c.todo = append(c.todo, responded{id, sip.NewResponse(msg, 500, "")})
	default:
		c.todo = append(c.todo, responded{id, sip.NewResponse(msg, 481, "")})
	}
}

// tellBy gives what is sent inside a dialog to the other call.
func (c *call) tellBy(e effect) {
	switch e := e.(type) {
	case send:
		c.tell(e.id, e.msg)
	case ack:
		c.tell(0, e.msg)
	case sendAside:
		c.tell(e.id, e.msg)
	}
}

// approached names the transaction of another call's request.
func (c *call) approached(ev approach) event {
	c.lastTx++
	tx := c.lastTx
	if c.askers == nil {
		c.askers = map[txn]asker{}
	}
	c.askers[tx] = ev.from
	if ev.join == nil {
		return requested{leg: ev.leg, tx: tx, msg: ev.msg}
	}
	return replacing{
		leg: ev.leg, tx: tx, msg: ev.msg, replaces: *ev.join, remote: &sip.Remote{Name: ev.peer.Name},
		peer: ev.peer, dress: c.set.cfg.Peers.Leg(ev.peer), inner: true,
	}
}

// answerInner gives a response to the call that waits for it; false when none
// does.
func (c *call) answerInner(e respond) bool {
	to, ok := c.askers[e.tx]
	if !ok {
		return false
	}
	cseq, _ := e.msg.CSeq()
	if final := e.msg.Status >= 200; final && (e.msg.Status >= 300 || cseq.Method != "INVITE") {
		delete(c.askers, e.tx)
	}
	to.call.post(responded{to.id, e.msg.Clone()}, e.msg.Status >= 200)
	return true
}

// joinInner looks for no target: it is the other call.
func (s *state) joinInner(t *transfer) {
	l := &s.legs[t.by]
	t.leg.peer, t.leg.dress, t.leg.inner = l.peer, l.dress, true
	s.target.Peer, s.target.Why = &l.peer.Peer, "the other call of who asked"
	s.hops = []sip.Target{{Listener: inner, Remote: &sip.Remote{Name: l.peer.Name, Timers: l.timers}}}
	s.down = false
	s.hunt()
}

// writeInner is the INVITE to the other call.
func (t *transfer) writeInner(n interop.Names) *sip.Message {
	msg := interop.Invite(sip.NewRequest("INVITE", t.refer.Target), t.caller, t.leg.dress, n)
	msg.RequestURI = t.refer.Target
	msg.Set("To", "<"+t.refer.Target+">")
	msg.Set("Replaces", t.refer.Replaces.String())
	if t.caller.Tenant != "" {
		msg.Set("X-MS-TenantID", t.caller.Tenant)
	}
	return msg
}

// refuseApproach answers what came when the call was over.
func (ev approach) refuse() {
	ev.from.call.post(responded{ev.from.id, sip.NewResponse(ev.msg, 481, "")}, true)
}
