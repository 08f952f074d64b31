package call

import (
	"github.com/tandemgw/tandem/edge/rule"
	"github.com/tandemgw/tandem/wire/sip"
)

// The operator's own rules run at two places. Over the INVITE that makes a leg
// they run in step, since they may change who calls whom: what came in is then
// read as they left it (view), and answered as it came. Over all else they run
// where messages come in and leave.

// rulesIn runs those of the caller's peers over its INVITE.
func (s *state) rulesIn() *refusal {
	r := s.caller().peer.Rules.In(s.invite, s.ruleFacts(s.caller()))
	s.noteRules(r, "the INVITE")
	s.view = r.Message
	if r.Refuse != nil {
		text := r.Refuse.Text
		if text == "" {
			text = "refused by a rule of the operator"
		}
		return &refusal{status: r.Refuse.Status, q850: 21, text: text} // call rejected
	}
	return nil
}

// rulesOut runs those of the peers of a leg over the INVITE to it.
func (s *state) rulesOut(l *leg, m *sip.Message) *sip.Message {
	r := l.peer.Rules.Out(m, s.ruleFacts(l))
	s.noteRules(r, "the INVITE to "+l.peer.Name)
	return r.Message
}

func (s *state) ruleFacts(l *leg) rule.Facts {
	return rule.Facts{Peer: l.peer.Name, Group: l.peer.Group.Name, Service: s.record.Service, Emergency: s.emergency()}
}

func (s *state) noteRules(r rule.Result, what string) {
	for _, name := range r.Applied {
		s.notef("rule %s changed %s", name, what)
	}
	for _, text := range r.Notes {
		s.do(note{text})
	}
}

// ruledIn is a message inside a dialog as the rules leave it that are for
// messages from a peer.
func (s *Set) ruledIn(from string, m *sip.Message) *sip.Message {
	if rules := s.cfg.Peers.Rules(from); rules != nil {
		return rules.In(m, rule.Facts{Peer: from, Dialog: true}).Message
	}
	return m
}

// ruledOut likewise, to a peer. An INVITE that makes a dialog has been through
// rulesOut.
func (s *Set) ruledOut(to string, m *sip.Message) *sip.Message {
	rules := s.cfg.Peers.Rules(to)
	if rules == nil || m.Status == 100 {
		return m
	}
	if m.Method == "INVITE" {
		if at, err := m.To(); err != nil || at.Tag() == "" {
			return m
		}
	}
	return rules.Out(m, rule.Facts{Peer: to, Dialog: true}).Message
}
