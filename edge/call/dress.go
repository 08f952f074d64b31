package call

import (
	"cmp"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// clothe gives the messages of a leg what belongs to the number that the call
// is for or from: the name of its customer towards the cloud, the operator's
// own header towards the core.
func (s *state) clothe(l *leg) {
	if l.peer.Group.Side == snapshot.Operator {
		l.dress.Custom = s.custom
		return
	}
	if s.label != "" {
		l.dress.Label, l.dress.Domain = s.label, s.domain
	}
}

// customer is our name for the customer of Direct Routing whose call this is,
// "" when it is nobody's: what he may call goes with it.
func (s *state) customer() string {
	r := s.snapshot.Region(s.region)
	if s.label == "" || r == nil {
		return ""
	}
	return s.label + "." + cmp.Or(s.domain, r.Domain)
}

// ackOf acknowledges a 2xx to an INVITE of ours.
func ackOf(d *ua.Dialog, stub *sip.Message, dress interop.Leg) *sip.Message {
	m := d.NewAck(stub)
	interop.InDialog(m, nil, dress)
	return m
}

// asMicrosoftShows gives a refusal of ours the code by which Microsoft's own
// reports show it: 560 and the SIP status (Microsoft Teams docs, "Microsoft and
// SIP response codes").
func (s *state) asMicrosoftShows(c *cause) {
	p := s.caller().dress.Profile
	if s.inviteTx == 0 || p == nil || !p.Microsoft() || c.Status < 300 || c.Status == 487 {
		return
	}
	c.MicrosoftCode, c.Explanation = 560000+c.Status, "so Microsoft's reports show it"
}

// diagnosis is what Microsoft said about why.
func diagnosis(m *sip.Message, from interop.Leg) (interop.Diagnosis, bool) {
	if m == nil || from.Profile == nil || !from.Profile.Microsoft() {
		return interop.Diagnosis{}, false
	}
	return interop.Diagnose(m)
}

// diagnose keeps it in the record.
func (c *cause) diagnose(m *sip.Message, from interop.Leg) {
	if d, ok := diagnosis(m, from); ok {
		c.MicrosoftCode, c.Correlation, c.Explanation = d.Code, d.Correlation, d.Explanation
	}
}

// explain notes it in the trace.
func (s *state) explain(m *sip.Message, from interop.Leg) {
	if d, _ := diagnosis(m, from); d.String() != "" {
		s.do(note{d.String()})
	}
}
