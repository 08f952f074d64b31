package call

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// A transfer gives the place of one leg to another. The legs that talk stay
// two; beside them there may be one that is sought (transfer.leg), as the
// callee was, by the same hunt, and for a while one that has left its place
// (aside). Both use the media port of their side, one after the other, as the
// forks of an INVITE do.
//
// The one who asked keeps its place until the new leg has answered: should
// nobody answer, the call is as it was.

// transfer is a new leg that is sought for the place of the one that asked for
// it.
type transfer struct {
	by     relay.Side // who asked
	refer  ua.Refer
	back   bool // the target is for who asked to resolve
	caller interop.Identity
	leg    leg        // the one sought
	said   record.Leg // and its record
	row    int        // in record.Transfers

	emergency bool   // it is the emergency service
	elin      string // of the location of the one that stays, where he is to be shown by it

	told  int  // status that was notified last
	mute  bool // nobody is, or can be, notified
	rings bool // it has said that it rings
	heard bool // the one that stays hears ringback or early media
	plays bool // ringback
	early bool // early media
}

// stays is the side of the party that is transferred.
func (t *transfer) stays() relay.Side { return t.by.Other() }

// How a leg came to its place, in the words of record.Transfer.
const (
	howRefer    = "REFER"
	howReplaces = "Replaces"
)

// maxTransfers is how many transfers of one call may begin in a minute, and
// mostTransfers how many in all: each stays in the record. People make a few, a
// loop of two machines makes as many as it is let.
const (
	maxTransfers  = 10
	mostTransfers = 300
)

// mayTransfer tells whether there may be one more transfer.
func (s *state) mayTransfer() bool {
	return len(s.record.Transfers) < mostTransfers && s.transfers.take(s.now, time.Minute, maxTransfers)
}

// pace counts what shall not happen too often.
type pace struct {
	since time.Time
	n     int
}

// take tells whether there may be one more, where most may be in each time.
func (p *pace) take(now time.Time, each time.Duration, most int) bool {
	if now.Sub(p.since) >= each {
		p.since, p.n = now, 0
	}
	p.n++
	return p.n <= most
}

// partedAfter is how long a leg that was replaced may take to hang up. That is
// its part when it has asked for it; a BYE of ours that comes before its own
// ends the whole call there (Microsoft Teams docs, "Direct Routing: call
// transfer").
const partedAfter = 32 * time.Second

func partedTimer(s relay.Side) timer { return partedCaller + timer(s) }

// openTo is what a leg that joins is told of the one that is there: all it has
// accepted, in both directions unless it holds the call itself.
func (s *state) openTo(stays relay.Side) *sdp.Session {
	l := &s.legs[stays]
	return turned(l.end.Received, l.holds)
}

// newcomer is a leg that is to stand at a side, on the ports there.
func (s *state) newcomer(side relay.Side) leg {
	old := s.legs[side].end
	return leg{peer: peer.Nobody, end: sdp.End{RTP: old.RTP, RTCP: old.RTCP}}
}

// takeOver gives a side to another leg. The one that stood there goes aside,
// with its dialog and nothing else.
func (s *state) takeOver(side relay.Side, l leg, said record.Leg, tx txn) {
	s.releaseAside(side) // one that has not hung up since the transfer before
	s.dropRound()
	old := &s.legs[side]
	if old.accepted != nil {
		s.settleAccepted(side)
	}
	s.aside[side] = &leg{peer: old.peer, dress: old.dress, tag: old.tag, dialog: old.dialog, confirmed: old.confirmed, gone: old.gone}
	s.do(part{side, tx, dialogKey{l.callID(said), l.tag}})
	s.legs[side] = l
	s.stale[side] = false
	for _, t := range []timer{refreshTimer(side), lapseTimer(side)} {
		s.do(arm{t, 0})
	}
	if r := s.recordOf(side); r != nil {
		said.Codec, said.SRTP, said.Keying = r.Codec, r.SRTP, r.Keying
		*r = said
	}
	if s.aside[side].gone || !s.aside[side].confirmed {
		s.forgetAside(side)
	} else {
		s.do(arm{partedTimer(side), partedAfter})
	}
}

// settled tells whether what the legs say to each other is known: no offer of
// ours waits for its answer, and the caller has its 200.
func (s *state) settled() bool {
	for i := range s.legs {
		l := &s.legs[i]
		if l.end.Received == nil || l.accepted != nil && (l.accepted.offer != nil || l.accepted.withheld) {
			return false
		}
	}
	return true
}

// callID is the Call-ID of the leg.
func (l *leg) callID(said record.Leg) string {
	if l.dialog != nil {
		return l.dialog.ID().CallID
	}
	return said.CallID
}

func (s *state) recordOf(side relay.Side) *record.Leg {
	return [2]*record.Leg{&s.record.Caller, &s.record.Callee}[side]
}

// dropRound gives up a re-INVITE that is under way. Who asked for it may ask
// again, if it is still there.
func (s *state) dropRound() {
	if s.round == nil {
		return
	}
	r := s.closeRound()
	s.do(cancel{r.id, ""})
	if r.tx != 0 {
		s.refuse(r.to.Other(), r.tx, r.msg, &refusal{status: 491})
	}
	s.stale[r.to] = true // should it answer all the same
}

// releaseAside sends BYE to a leg that was replaced.
func (s *state) releaseAside(side relay.Side) {
	l := s.aside[side]
	if l == nil {
		return
	}
	bye := l.dialog.NewRequest("BYE")
	s.finishRequest(bye, nil, l)
	r := s.newRequest(releasing, side)
	r.dialog = l.dialog
	s.do(sendAside{r.id, side, bye})
	s.forgetAside(side)
}

func (s *state) forgetAside(side relay.Side) {
	l := s.aside[side]
	s.aside[side] = nil
	s.do(arm{partedTimer(side), 0})
	key := dialogKey{localTag: l.tag}
	if l.dialog != nil {
		key.callID = l.dialog.ID().CallID
	}
	s.do(farewell{side, key})
}

// asideOf is the leg aside that a request names; nil when it names none.
func (s *state) asideOf(ev requested) *leg {
	if l := s.aside[ev.leg]; l != nil && l.dialog.ID() == ua.IDOf(ev.msg) {
		return l
	}
	return nil
}

// asideRequested is a request inside the dialog of a leg that was replaced: it
// may hang up, and nothing else.
func (s *state) asideRequested(l *leg, ev requested) {
	status := 481
	if err := l.dialog.Accept(ev.msg); err != nil {
		status = refusalOf(err).status
	} else if ev.msg.Method == "BYE" || ev.msg.Method == "OPTIONS" {
		status = 200
	}
	s.do(respond{ev.tx, respondOn(l, ev.msg, status)})
	if ev.msg.Method == "BYE" && status == 200 {
		s.forgetAside(ev.leg)
	}
}

// transferRings is a provisional response of the target: who asked is told, and
// the party that is transferred hears it.
func (s *state) transferRings(r *request, msg *sip.Message) {
	t := s.transfer
	if msg.Status == 100 || msg.Status == 199 {
		return
	}
	s.notify(msg.Status)
	if s.earlyMedia(r, msg) {
		s.quiet()
		t.early = true
		s.listenIn()
		return
	}
	if msg.Status == 180 && !t.rings {
		t.rings = true
		s.do(arm{ringingSoon, s.limits.Ringback})
	}
}

// earlyMedia lets the one that stays hear the target before it answers.
func (s *state) earlyMedia(r *request, msg *sip.Message) bool {
	t := s.transfer
	f := s.fork(r, msg)
	desc, no := describe(msg)
	if f == nil || desc == nil || no != nil {
		return false
	}
	if f.received == nil {
		f.received = desc
	}
	media, err := sdp.Agree(t.leg.end.Sent, f.received)
	if err == nil {
		t.leg.media = media
		err = s.bridgeWith(t.by, &t.leg)
	}
	if err != nil {
		s.notef("early media of the target cannot be used: %v", err)
	}
	return err == nil
}

// ring lets the one that stays hear that the target rings. It waits a moment:
// a machine that answers at once, such as the one that plays music while a user
// of the cloud holds the call, shall not be rung for.
func (s *state) ring() {
	t := s.transfer
	if t == nil || t.early || t.plays || s.phase != talking {
		return
	}
	t.plays = true
	s.soothe(t.stays())
	s.do(play{t.stays(), relay.Source{Sound: relay.Ringback, Country: s.legs[t.stays()].dress.Profile.Ringback}})
	s.listenIn()
}

// quiet ends the ringback.
func (s *state) quiet() {
	s.do(arm{ringingSoon, 0})
	if t := s.transfer; t.plays {
		t.plays = false
		s.do(stop{t.stays()})
	}
}

// listenIn sees to it that the one that stays hears what there is to be heard:
// before it was transferred it may have been put on hold.
func (s *state) listenIn() {
	t := s.transfer
	t.heard = true
	if s.mustHear(t.stays()) {
		s.stale[t.stays()] = true
		s.renewStale()
	}
}

// transferAnswered gives the place of who asked to the target.
func (s *state) transferAnswered(r *request, msg *sip.Message) {
	a, t := r.attempt, s.transfer
	s.row().Status = msg.Status
	s.do(report{a.peer, peer.Outcome{Status: msg.Status}})
	media, desc, err := s.targetMedia(r, msg)
	var d *ua.Dialog
	if err == nil {
		d, err = a.confirmed(r.stub, msg)
	}
	if err != nil {
		s.reject(r, msg)
		s.transferFailed(gatewayCause(488, 88, a.peer+" answered a transfer with what cannot be used: "+err.Error()))
		return
	}
	r.accepted, a.won = true, d
	s.do(sendDirect{0, r.id, ackOf(d, r.stub, a.dress)})
	if c, ok := a.overtaken[d.ID()]; ok {
		s.transferFailed(c)
		return
	}
	s.stopSeeking()
	s.quiet()
	s.notify(200)
	l := t.leg
	l.dialog, l.confirmed, l.media, l.end.Received = d, true, media, desc
	learnHold(&l, l.end.Sent, desc)
	s.finishTransfer(200)
	s.takeOver(t.by, l, t.said, 0)
	s.party[t.by] = t.party(s.party[t.by])
	if t.emergency {
		s.record.Emergency = true
		s.do(arm{talkedEnough, 0})
	}
	s.granted(t.by, msg)
	s.locate(t.by, a.id)
	s.rejoin(t.by)
}

// targetMedia is what came of the offer to the target.
func (s *state) targetMedia(r *request, msg *sip.Message) (sdp.Side, *sdp.Session, error) {
	desc, no := describe(msg)
	if no != nil {
		return sdp.Side{}, nil, fmt.Errorf("its 200: %s", no.text)
	}
	if f := s.fork(r, msg); desc == nil && f != nil {
		desc = f.received
	}
	if desc == nil {
		return sdp.Side{}, nil, fmt.Errorf("its 200 has no description")
	}
	media, err := sdp.Agree(s.transfer.leg.end.Sent, desc)
	return media, desc, err
}

// rejoin lets media flow to and from a leg that has just taken its place. The
// other one hears of it only if it must.
func (s *state) rejoin(side relay.Side) {
	if err := s.bridge(); err != nil || s.mustHear(side.Other()) {
		s.stale[side.Other()] = true
	}
	s.renewStale()
}

// stopSeeking ends the hunt for a target.
func (s *state) stopSeeking() {
	s.targets, s.hops = nil, nil
	for _, t := range []timer{silence, ringingTooLong, ringingSoon} {
		s.do(arm{t, 0})
	}
}

// finishTransfer closes the record of the transfer under way and forgets it.
func (s *state) finishTransfer(status int) *transfer {
	t := s.transfer
	row := &s.record.Transfers[t.row]
	row.Status = status
	if status < 300 {
		row.Left = *s.recordOf(t.by)
	}
	s.transfer = nil
	return t
}

// transferFailed leaves the call as it was: who asked is told why, and has the
// other party back.
func (s *state) transferFailed(c cause) {
	t := s.transfer
	s.notef("the transfer to %s failed: %s", t.refer.Target, c.Text)
	s.stopSeeking()
	s.quiet()
	s.cancelAttempts(c)
	s.do(forgo{})
	s.notify(c.Status)
	s.finishTransfer(c.Status)
	if s.legs[t.by].gone {
		c.Text = "the transfer that the " + t.by.String() + " hung up after failed: " + c.Text
		s.pronounce(verdict{t.stays(), c}, t.emergency || s.record.Emergency)
		return
	}
	if t.early {
		if err := s.bridge(); err != nil {
			s.finish(gatewayCause(0, 88, err.Error()))
			return
		}
	}
	s.entertain()
	if t.heard && s.mustHear(t.stays()) {
		s.stale[t.stays()] = true
	}
	s.renewStale()
}

// abandonTransfer ends the transfer of a call that ends.
func (s *state) abandonTransfer() {
	if s.transfer == nil {
		return
	}
	s.stopSeeking()
	s.notify(487)
	s.finishTransfer(487)
}

// party is who stands at the place of who asked, as far as its number is known.
func (t *transfer) party(before interop.Identity) interop.Identity {
	number, ok := t.number()
	if !ok {
		return before
	}
	return interop.Identity{Calling: number, CallingOK: true, Asserted: number, Tenant: before.Tenant}
}

// number is that of the target; false when it is none.
func (t *transfer) number() (string, bool) { return numberOf(t.refer.Target, t.leg.dress) }

// remember keeps of the caller's INVITE who the parties are, without the
// message that the words are a part of.
func (s *state) remember() {
	id := s.identity
	called, tenant := strings.Clone(id.Called), strings.Clone(id.Tenant)
	s.party[relay.Caller] = interop.Identity{
		Calling: strings.Clone(id.Calling), CallingOK: id.CallingOK, Asserted: strings.Clone(id.Asserted),
		Display: strings.Clone(id.Display), Anonymous: id.Anonymous, Privacy: slices.Clone(id.Privacy), Tenant: tenant,
	}
	s.party[relay.Callee] = interop.Identity{Calling: called, CallingOK: id.CalledOK, Tenant: tenant}
	if id.CalledOK {
		s.party[relay.Callee].Asserted = called
	}
	s.identity = interop.Identity{}
}
