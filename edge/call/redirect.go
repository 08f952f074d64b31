package call

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/route"
	"github.com/tandemgw/tandem/wire/sip"
)

// A far side that forwards a call by 3xx is followed here, where its profile
// allows that: the caller's side is never told to call somewhere else, since
// the Contact names hosts of the other network and nobody promises to go there
// (Microsoft's phone system does not).

// maxRedirects is how often one call is sent on. ISUP gives up at five
// (ITU-T Q.732.2).
const maxRedirects = 5

// redirected follows a 3xx; false when it leads nowhere.
func (s *state) redirected(msg *sip.Message) bool {
	switch msg.Status {
	case 300, 301, 302: // 305 would make us use a proxy of their choice, 380 is no call
	default:
		return false
	}
	if !s.attempt.dress.Profile.Redirect || s.transfer != nil && s.transfer.back { // what the cloud resolves is no number of ours
		return false
	}
	for _, c := range contacts(msg) {
		if s.followed == maxRedirects {
			s.notef("%s answered %d once too often", s.attempt.peer, msg.Status)
			return false
		}
		if s.follow(c, msg) {
			return true
		}
	}
	s.notef("%s answered %d, and nothing that it names can be called", s.attempt.peer, msg.Status)
	return false
}

// contacts are where a 3xx leads, the best liked first (RFC 3261 20.10).
func contacts(msg *sip.Message) []sip.Address {
	list, err := msg.Addresses("Contact")
	if err != nil {
		return nil
	}
	slices.SortStableFunc(list, func(a, b sip.Address) int { return cmp.Compare(weight(b), weight(a)) })
	return list
}

func weight(a sip.Address) float64 {
	q, ok := a.Params.Get("q")
	if !ok {
		return 1
	}
	w, _ := strconv.ParseFloat(q, 64)
	return w
}

// follow routes the call anew, as one from the same caller for the number that
// the redirection names. A host that is one of our peers is tried first; no
// other one is ever asked.
func (s *state) follow(to sip.Address, msg *sip.Message) bool {
	a := s.attempt
	number, ok := numberOf(to.URI.String(), a.dress)
	place := number + " " + to.URI.Host
	if number == "" || slices.Contains(s.places, place) {
		return false
	}
	id := &s.identity
	var f route.Facts
	if t := s.transfer; t != nil {
		f, id = s.transferFacts(t), &t.caller
	} else {
		f = s.facts()
	}
	f.Dialled, f.Called = to.URI.User, number
	d := route.Route(f, s.snapshot, s.health)
	for _, rule := range d.Rules {
		s.do(note{rule})
	}
	if d.Refuse != nil {
		s.notef("redirected to %s: %s", number, d.Refuse.Text)
		return false
	}
	s.urge(d)
	d.Prefer(s.health, to.URI.Host)
	s.followed++
	s.places = append(s.places, place)
	s.notef("%s answered %d: the call goes to %s", a.peer, msg.Status, number)
	if number != id.Called {
		*id = id.Forwarded(id.Called, forwardCause(to, msg))
		id.Called, id.CalledOK = number, ok
	}
	id.Hops = max(id.Hops-1, 0)
	for i := range d.Targets {
		d.Targets[i].Why = "redirected to " + number + ", " + d.Targets[i].Why
	}
	s.targets, s.hops = d.Targets, nil
	s.hunt()
	return true
}

// forwardCause is why a call was forwarded, in the words of RFC 4458: what the
// Contact says, what a Diversion beside it says, or unconditionally.
func forwardCause(to sip.Address, msg *sip.Message) int {
	if v, ok := to.URI.Params.Get("cause"); ok {
		if n, err := strconv.Atoi(v); err == nil {
			return n
		}
	}
	if a, err := msg.Address("Diversion"); err == nil {
		switch reason, _ := a.Params.Get("reason"); reason {
		case "user-busy":
			return 486
		case "no-answer":
			return 408
		case "unavailable":
			return 503
		case "deflection":
			return 480
		}
	}
	return 302
}

// numberOf is the number that a URI of a leg's network names; "" when it names
// nobody, false when it is no number.
func numberOf(uri string, dress interop.Leg) (string, bool) {
	probe := sip.NewRequest("INVITE", uri)
	probe.Set("From", "<sip:anonymous@anonymous.invalid>")
	id, err := interop.Identify(probe, dress)
	if err != nil {
		return "", false
	}
	return id.Called, id.CalledOK
}
