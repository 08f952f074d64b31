package call

import (
	"errors"

	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// A fax may go by T.38 where both legs can carry it: legs of a core whose media
// are in the clear, and those to another call of this node, which asks its own.
// The cloud knows no T.38, and where media are encrypted there is no form of it
// (UDPTL has no SDES): there it is refused and the fax goes on as G.711.

// mayFax tells whether T.38 may be carried on a leg.
func mayFax(l *leg) bool {
	return l.inner || l.peer.Group.Side == snapshot.Operator && l.end.Secret == nil
}

// wantsFax takes the ports for T.38 when an offer has that and both legs may
// carry it; false when there is nothing to wait for.
func (s *state) wantsFax(side relay.Side, tx txn, msg *sip.Message, offer *sdp.Session) bool {
	if offer.Fax() == nil {
		return false
	}
	for i := range s.legs {
		if !mayFax(&s.legs[i]) {
			s.notef("the %s asks for T.38, which the %s cannot have: its fax has to go as G.711", side, relay.Side(i))
			return false
		}
	}
	if !s.fax[side].IsValid() {
		s.do(openFax{side, tx, msg})
		return true
	}
	for i := range s.legs {
		s.legs[i].end.Fax = s.fax[i]
	}
	return false
}

// faxOpened goes on with the offer.
func (s *state) faxOpened(ev faxOpened) {
	if ev.err != nil {
		s.refuse(ev.asked.leg, ev.asked.tx, ev.asked.msg, &refusal{status: 488, text: "no ports for T.38: " + ev.err.Error()})
		return
	}
	s.fax = ev.at
	if ev.asked.msg.Method == "UPDATE" {
		s.update(requested{leg: ev.asked.leg, tx: ev.asked.tx, msg: ev.asked.msg})
		return
	}
	s.reinvite(ev.asked.leg, ev.asked.tx, ev.asked.msg)
}

// noFax: a leg has answered T.38 with 200 and port 0. Who asked is told so, and
// the leg goes back to what it had.
func (s *state) noFax(r *round, desc *sdp.Session, err error) bool {
	l := &s.legs[r.to]
	if !errors.Is(err, sdp.ErrNoAudio) || r.offer.Fax() == nil || r.tx == 0 {
		return false
	}
	l.end.Sent, l.end.Received = r.offer, desc
	s.closeRound()
	s.refuse(r.to.Other(), r.tx, r.msg, &refusal{status: 488, text: "the " + r.to.String() + " takes no T.38"})
	s.stale[r.to] = true
	s.renewStale()
	return true
}
