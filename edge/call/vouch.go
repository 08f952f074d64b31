package call

import (
	"net/http"
	"slices"
	"time"

	"github.com/tandemgw/tandem/edge/attest"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/stir"
)

// Vouching is what is done about Identity headers (RFC 8224). The zero value
// does nothing, and lets none of them pass.
type Vouching struct {
	Set     *attest.Set
	Verify  []snapshot.Side // calls from here are verified
	Sign    []snapshot.Side // callers are vouched for to here
	Refuse  bool            // a call whose Identity is not believed is refused; else the core is told by verstat
	Require bool            // so is one that has none
}

type (
	// examine asks for the verdict on the caller's Identity headers.
	examine struct {
		values  []string
		request stir.Request
	}
	// examined is the verdict.
	examined struct{ verdict attest.Verdict }
)

func (examine) effect() {}
func (examined) event() {}

// vouch is what the Identity headers of ours in an INVITE are to say.
type vouch struct {
	orig, dest string
	attest     stir.Attestation // "": others vouch for the caller
	diverted   string           // from which number the call was; "": it was not
}

// examine has the caller's Identity headers verified while ports and record
// are made. Nobody's emergency call waits for a certificate.
func (s *state) examine() {
	v := s.vouching
	if !v.Set.Verifies() || s.record.Emergency || !slices.Contains(v.Verify, s.caller().peer.Group.Side) {
		return
	}
	r := stir.Request{Now: s.now, Orig: []string{s.identity.Asserted, s.identity.Calling}, Dest: []string{s.identity.Called}}
	if at, err := s.view.To(); err == nil {
		r.Dest = append(r.Dest, at.URI.User)
	}
	if at, err := http.ParseTime(s.view.Get("Date")); err == nil { // RFC 3261 20.17: the form is HTTP's
		r.Date = at
	}
	r.Orig = slices.DeleteFunc(r.Orig, func(n string) bool { return n == "" })
	s.examining = true
	s.do(examine{slices.Collect(s.view.Values("Identity")), r})
}

// examined goes on with a call whose record waits for the verdict.
func (s *state) examined(ev examined) {
	if !s.examining {
		return
	}
	s.examining = false
	if s.phase != arriving {
		return
	}
	v := ev.verdict
	s.do(note{v.String()})
	s.record.Identity = v.String()
	if v.Err != nil && (s.vouching.Refuse && !v.None || s.vouching.Require && v.None) {
		s.decline(&refusal{status: v.Err.Status, q850: 21, text: v.String()})
		return
	}
	s.identity.Verstat = v.Verstat()
	if v.Err == nil {
		s.identities, s.claims = slices.Collect(s.view.Values("Identity")), v.Claims
	}
	if s.durable {
		s.depart()
	}
}

// vouchFor tells who the caller is, for the Identity headers of the INVITE to a
// leg; nil when nobody is vouched for there. What was verified goes on as it
// came to a core that we trust, for it to see by itself. It names who was
// called: where we have followed a redirection, our token stands beside it
// (RFC 8946 section 5).
func (s *state) vouchFor(l *leg, m *sip.Message) *vouch {
	if s.transfer != nil {
		return nil // who stays was vouched for when the call came
	}
	signs := s.vouching.Set.Signs() && slices.Contains(s.vouching.Sign, l.peer.Group.Side)
	if len(s.identities) > 0 && l.dress.Profile.Trusted {
		for _, v := range s.identities {
			m.Add("Identity", v)
		}
		return s.vouchForDiversion(signs)
	}
	who := s.identity.Caller()
	if !signs || who == "" {
		return nil
	}
	v := &vouch{orig: who, dest: s.identity.Called, attest: s.attestation(who)}
	if n := len(s.identity.Forwards); n > 0 {
		v.diverted = s.identity.Forwards[n-1].Number
	}
	s.notef("the caller is vouched for, attestation %s", v.attest)
	return v
}

// vouchForDiversion is for a call whose caller others vouch for; nil when it
// still goes to whom they name.
func (s *state) vouchForDiversion(signs bool) *vouch {
	to := s.identity.Called
	if s.followed == 0 || slices.Contains(s.claims.Dest, stir.Canonical(to)) {
		return nil
	}
	from := s.claims.Dest[0] // it was verified to name who was called
	if !signs {
		s.notef("nobody vouches for the redirection from %s, since we do not sign: the Identity header names another number", from)
		return nil
	}
	s.notef("the redirection from %s is vouched for", from)
	return &vouch{orig: s.claims.Orig, dest: to, diverted: from}
}

// attestation is how well we know a caller (RFC 8588 section 4; ATIS-1000074
// 5.2.3). A number that is provisioned for the service it calls from, or for
// another one of the same account, is the customer's: A. One of somebody else's,
// where callers are not screened, or of an enterprise that Microsoft or Zoom has
// authenticated is a customer of ours with a number that we do not know: B. A
// forwarded call is somebody else's, and so is what a core sends: C.
func (s *state) attestation(who string) stir.Attestation {
	if s.caller().peer.Group.Side != snapshot.Cloud || len(s.identity.Forwards) > 0 {
		return stir.Gateway
	}
	n, ok := s.snapshot.Numbers.Find(who)
	if ok && n.Account == s.record.Account && (n.Account != "" || string(n.Service) == s.record.Service) {
		return stir.Full
	}
	return stir.Partial
}

// examine carries the effect out.
func (c *call) examine(e examine) {
	c.set.cfg.Vouching.Set.Verify(e.values, e.request, func(v attest.Verdict) { c.post(examined{v}, true) })
}

// vouch puts the Identity headers on an INVITE that leaves. One that cannot be
// made is no reason to lose the call: whoever wants one tells the callee that
// there is none.
func (c *call) vouch(v *vouch, m *sip.Message) {
	if v == nil {
		return
	}
	now := time.Now()
	set := c.set.cfg.Vouching.Set
	add := func(value string, err error) {
		if err != nil {
			c.do(note{"the caller cannot be vouched for: " + err.Error()})
			return
		}
		m.Add("Identity", value)
		m.Set("Date", now.UTC().Format(http.TimeFormat))
	}
	if v.attest != "" {
		add(set.Sign(v.orig, v.dest, v.attest, now))
	}
	if v.diverted != "" && v.diverted != v.orig {
		add(set.SignDiverted(v.orig, v.dest, v.diverted, now))
	}
}
