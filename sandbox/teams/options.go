package teams

import (
	"context"
	"fmt"
	"time"

	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

// missing is how many intervals without OPTIONS demote a trunk.
const missing = 3

// options answers an SBC's OPTIONS, without a To tag, on the connection it
// came on, and has ours sent to the name in its Contact.
func (s *System) options(g *phone.Gate, tx *sip.ServerTx) {
	req := tx.Request()
	answer, no := sip.NewResponse(req, 200, ""), s.strange(req)
	if no != nil {
		answer = sip.NewResponse(req, no.Status, "")
		answer.Set("Reason", no.Reason)
	}
	_ = g.Reply(tx, s.finish(nil, g, answer)) // who is gone needs no answer
	who, err := sbc(req)
	if err != nil {
		return // judge has seen to it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trunks[who.Host]
	if t == nil {
		return // a customer's trunk lives with the carrier's
	}
	fresh := time.Since(t.LastOptions) > missing*s.cfg.Options || t.LastAnswer.IsZero()
	t.LastOptions = time.Now()
	if fresh && no == nil {
		select {
		case s.kick[who.Host] <- place{g, who.Port}:
		default: // one is on its way
		}
	}
}

// watch sends OPTIONS to a trunk: at once when its own came after a pause,
// and each interval while they come.
func (s *System) watch(ctx context.Context, t Trunk) {
	tick := time.NewTicker(s.cfg.Options)
	defer tick.Stop()
	at := place{s.Gates()[0], t.Port}
	for {
		select {
		case <-ctx.Done():
			return
		case at = <-s.kick[t.FQDN]:
		case <-tick.C:
			at.gate = s.leave(at.gate)
			if time.Since(s.state(t.FQDN).LastOptions) > missing*s.cfg.Options || !s.verified(t.FQDN) {
				continue
			}
		}
		if !at.gate.Faults().NoOptions {
			s.ping(ctx, t, at)
		}
	}
}

// ping sends one OPTIONS and waits for what comes of it.
func (s *System) ping(ctx context.Context, t Trunk, at place) {
	hop := sip.Hop{Host: t.FQDN, Port: t.Port, Transport: sip.TLS}
	if at.port != 0 {
		hop.Port = at.port
	}
	places, err := s.Resolve(ctx, hop)
	if err != nil {
		s.pinged(t, err)
		return
	}
	self := fmt.Sprintf("<sip:%s>", at.gate.Host())
	m := sip.NewRequest("OPTIONS", fmt.Sprintf("sip:%s:%d;transport=tls", t.FQDN, hop.Port))
	m.Set("From", self+";tag="+sip.NewTag())
	m.Set("To", "<sip:"+t.FQDN+">")
	m.Set("CSeq", "1 OPTIONS")
	m.Set("Call-ID", sip.NewCallID())
	m.Set("Contact", self)
	result := make(chan error, 1)
	_, err = at.gate.Request(s.finish(nil, at.gate, m), places[0], func(ev sip.Event) {
		switch {
		case ev.Err != nil:
			result <- ev.Err
		case ev.Msg.Status == 200:
			result <- nil
		case ev.Msg.Status > 200:
			result <- fmt.Errorf("%d %s", ev.Msg.Status, ev.Msg.Reason)
		}
	})
	if err != nil {
		s.pinged(t, err)
		return
	}
	select {
	case err := <-result:
		s.pinged(t, err)
	case <-ctx.Done():
	}
}

func (s *System) pinged(t Trunk, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.trunks[t.FQDN]
	if err != nil {
		state.LastError = err.Error()
		return
	}
	state.LastAnswer, state.LastError = time.Now(), ""
}

func (s *System) state(fqdn string) TrunkState {
	verified := s.verified(fqdn)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := *s.trunks[fqdn]
	limit := missing * s.cfg.Options
	if t.Verified = verified; !verified {
		t.LastError = unverified
	}
	t.Active = verified && time.Since(t.LastOptions) <= limit && time.Since(t.LastAnswer) <= limit
	return t
}

// Trunks tells the state of each trunk.
func (s *System) Trunks() []TrunkState {
	var all []TrunkState
	for _, t := range s.cfg.Trunks {
		all = append(all, s.state(t.FQDN))
	}
	return all
}
