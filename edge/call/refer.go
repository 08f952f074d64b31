package call

import (
	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/edge/route"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// referred is a REFER inside a leg's dialog: the other party shall talk to
// somebody else (RFC 3515, RFC 5589). It is never passed on; a new leg is made
// here.
func (s *state) referred(ev requested) {
	l := &s.legs[ev.leg]
	if no := s.mayRefer(ev); no != nil {
		s.refuse(ev.leg, ev.tx, ev.msg, no)
		return
	}
	refer, err := ua.ReferOf(ev.msg)
	if err != nil {
		s.refuse(ev.leg, ev.tx, ev.msg, refusalOf(err))
		return
	}
	l.dialog.Refresh(ev.msg)
	s.locate(ev.leg, 0)
	resp := respondOn(l, ev.msg, 202)
	resp.Set("Contact", l.dress.Contact())
	if refer.Silent { // RFC 4488 section 4
		resp.Set("Refer-Sub", "false")
	}
	s.do(respond{ev.tx, resp})
	s.startTransfer(ev.leg, refer, ev.own)
}

// mayRefer refuses a REFER that cannot be carried out as things are.
func (s *state) mayRefer(ev requested) *refusal {
	l := &s.legs[ev.leg]
	switch {
	case s.phase > talking || l.gone || s.verdict != nil:
		return &refusal{status: 481}
	case s.phase < talking || s.transfer != nil || !s.settled():
		// Before the answer there is no party to be transferred; in another
		// transfer, two who want it. An ACK that a REFER overtakes, by another
		// connection, is not waited for.
		return &refusal{status: 491}
	case !s.mayTransfer():
		return &refusal{status: 403, text: "transfers in a loop"}
	}
	return nil
}

// startTransfer looks for the target. own: it is at the other end of another
// call of ours.
func (s *state) startTransfer(by relay.Side, refer ua.Refer, own bool) {
	l := &s.legs[by]
	t := &transfer{
		by: by, refer: refer, mute: refer.Silent, back: l.peer.Group.Side == snapshot.Cloud,
		caller: s.party[by.Other()], leg: s.newcomer(by), row: len(s.record.Transfers),
	}
	t.leg.dress = l.dress
	t.caller.Hops = maxForwards
	s.transfer, s.attempt, s.hops, s.failure = t, nil, nil, failure{}
	s.followed, s.places = 0, nil
	s.record.Transfers = append(s.record.Transfers, record.Transfer{
		At: s.now, By: by.String(), How: howRefer, To: refer.Target,
	})
	s.notef("the %s transfers the other party to %s", by, refer.Target)
	s.notify(100)
	if own {
		s.joinInner(t)
		return
	}
	d := s.transferRoute(t)
	for _, rule := range d.Rules {
		s.do(note{rule})
	}
	s.urge(d)
	if d.Refuse != nil {
		s.transferFailed(gatewayCause(d.Refuse.Status, d.Refuse.Q850, d.Refuse.Text))
		return
	}
	s.targets = d.Targets
	s.hunt()
}

// transferRoute finds who is to be asked for the target. Those of the cloud are
// the cloud's to resolve, even when they are telephone numbers: the INVITE goes
// back to it, and where it wants to call a number, it calls us (Microsoft Teams
// docs, "Direct Routing: call transfer"). Those of a core are numbers like any
// other that the party that stays might have called.
func (s *state) transferRoute(t *transfer) route.Decision {
	f := s.transferFacts(t)
	f.Dialled = t.refer.URI.User
	if t.back {
		d := route.Back(s.legs[t.by].peer.Group.Name, f, s.snapshot, s.health)
		d.Prefer(s.health, t.refer.URI.Host, s.legs[t.by].peer.Name)
		return d
	}
	number, ok := t.number()
	if number == "" {
		return route.Decision{Refuse: &route.Refusal{Status: 404, Q850: 1, Text: "the target of the transfer is no number"}}
	}
	t.caller.Called, t.caller.CalledOK = number, ok
	f.Called = number
	return route.Route(f, s.snapshot, s.health)
}

// transferFacts are those of a call by the party that stays.
func (s *state) transferFacts(t *transfer) route.Facts {
	stay := s.legs[t.stays()].peer
	return route.Facts{
		From: stay.Group.Side, Group: stay.Group.Name, Peer: stay.Name, Calling: t.caller.Caller(), Host: s.customer(),
		Region: s.region, Seed: s.random.Uint64(),
	}
}

// writeTransfer is the INVITE to the target. What the cloud has written about
// it goes back byte for byte: it finds by it what is to be joined.
func (s *state) writeTransfer(n interop.Names) (*sip.Message, error) {
	t := s.transfer
	l := &t.leg
	offer, err := sdp.Offer(s.openTo(t.stays()), l.end)
	if err != nil {
		return nil, err
	}
	l.end.Sent = offer
	if l.inner {
		msg := t.writeInner(n)
		msg.SetBody("application/sdp", offer.Bytes())
		return msg, nil
	}
	id := s.shownBy(t.elin, t.caller, l)
	msg := interop.Invite(sip.NewRequest("INVITE", t.refer.Target), id, l.dress, n)
	if t.back {
		msg.RequestURI = t.refer.Target
		msg.Set("To", "<"+t.refer.Target+">")
	}
	if t.refer.By != "" {
		msg.Set("Referred-By", t.refer.By) // RFC 3892 section 2.3
	}
	if r := t.refer.Replaces; r != nil && !t.back {
		msg.Set("Replaces", r.String())
		msg.Set("Require", "replaces")
	}
	msg.SetBody("application/sdp", offer.Bytes())
	return msg, nil
}

// maxForwards is what an INVITE of our own begins with (RFC 3261 8.1.1.6), less
// the hop that we are.
const maxForwards = 69

// notify tells who asked how far the target is. The subscription that it says
// lasts longer than the target may ring.
func (s *state) notify(status int) {
	t := s.transfer
	l := &s.legs[t.by]
	if t.mute || t.told == status || l.gone {
		return
	}
	t.told = status
	req := l.dialog.NewRequest("NOTIFY")
	req.Set("Contact", l.dress.Contact())
	t.refer.Notify(req, status, s.limits.Ringing+giveUpAfter)
	s.finishRequest(req, nil, l)
	r := s.newRequest(notifying, t.by)
	r.dialog = l.dialog
	s.do(send{r.id, t.by, req})
}

// notified takes the answer to a NOTIFY. Whoever does not want them is not sent
// any more (RFC 6665 4.2.2); the transfer goes on.
func (s *state) notified(r *request, status int) {
	if t := s.transfer; t != nil && status >= 300 && r.dialog == s.legs[t.by].dialog {
		t.mute = true
	}
}
