package mcp

import (
	"strings"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// Direction tells whose call it is.
type Direction string

// The directions.
const (
	Originating Direction = "originating" // the served user calls
	Terminating Direction = "terminating" // he is called
)

// mark is the header by which Teams and its gateways know a call that is
// anchored there, with its values: of a mobile user who calls, of one who is
// called, of a Teams client.
const (
	mark     = "X-MS-FMC"
	fromUser = "MO"
	toUser   = "MT"
	fromApp  = "APP"
)

// question is what Microsoft is asked about an INVITE.
type question struct {
	Direction  Direction
	Subscriber string // the served user, E.164
	Party      string // the other end, E.164; "" when it shows no number
}

// reading is what an INVITE says of itself.
type reading struct {
	question
	silent string // why nothing is to be asked, in words; "" when it is
}

// read finds out whose call an INVITE is, and whether Microsoft is to be asked
// about it (Azure Communications Gateway docs, "Mobile Control Point in Azure
// Communications Gateway"). top is the Route value that led to us.
func read(req *sip.Message, top *sip.Address, snap *snapshot.Snapshot) (r reading) {
	r.Direction = direction(req, top)
	target := number(req.RequestURI)
	if emergency(req.RequestURI, snap) {
		r.silent = "an emergency call of the mobile network must not come here: it goes on at once"
		return r
	}
	if diverted(req) {
		r.silent = "a call that is being diverted is not the served user's own"
		return r
	}
	if value := strings.TrimSpace(req.Get(mark)); anchored(r.Direction, value) {
		r.silent = "it bears " + mark + ": " + value + ", so Teams has it already"
		return r
	}
	served := servedBy(req)
	if r.Direction == Originating {
		if served == "" {
			served = asserted(req)
		}
		r.Subscriber, r.Party = served, target
	} else {
		if served == "" {
			served = target
		}
		r.Subscriber, r.Party = served, asserted(req)
	}
	if r.Subscriber == "" {
		r.silent = "the served user has no E.164 number"
	}
	return r
}

// direction is read from P-Served-User (RFC 5502), from the Route value that
// led to us, and from that value's URI, in this order; a call that says
// nothing is one to its user.
func direction(req *sip.Message, top *sip.Address) Direction {
	if a, err := sip.ParseAddress(req.Get("P-Served-User")); err == nil {
		switch c := sessionCase(a); {
		case strings.HasPrefix(c, "orig"):
			return Originating
		case c == "term":
			return Terminating
		}
	}
	if top == nil {
		return Terminating
	}
	for _, p := range []sip.Params{top.Params, top.URI.Params} {
		if _, ok := p.Get("term"); ok {
			return Terminating
		}
		if _, ok := p.Get("orig"); ok {
			return Originating
		}
	}
	return Terminating
}

// sessionCase is the sescase of a P-Served-User value, in lower case.
func sessionCase(a sip.Address) string {
	c, _ := a.Params.Get("sescase")
	return strings.ToLower(strings.TrimSpace(c))
}

// diverted tells whether the session case is that of a diversion. iFC keep such
// calls from us (session case 4); should one come, it goes on.
func diverted(req *sip.Message) bool {
	if req.Has("P-Served-User") {
		v := strings.ToLower(req.Get("P-Served-User"))
		return strings.Contains(v, "orig-cdiv")
	}
	return false
}

// anchored tells whether a call with this mark has been through Teams: one
// from the served user with any mark, one to him that Teams delivers or that
// comes from a Teams client.
func anchored(d Direction, value string) bool {
	if d == Originating {
		return value != ""
	}
	return strings.EqualFold(value, toUser) || strings.EqualFold(value, fromApp)
}

// servedBy is the number in P-Served-User.
func servedBy(req *sip.Message) string {
	a, err := sip.ParseAddress(req.Get("P-Served-User"))
	if err != nil {
		return ""
	}
	return numberOf(a.URI)
}

// asserted is the first number that the network vouches for. From is not
// asked: the user writes it.
func asserted(req *sip.Message) string {
	all, err := req.Addresses("P-Asserted-Identity")
	if err != nil {
		return ""
	}
	for _, a := range all {
		if n := numberOf(a.URI); n != "" {
			return n
		}
	}
	return ""
}

// number is that of a SIP or tel URI, "" when it is none in E.164.
func number(uri string) string {
	u, err := sip.ParseURI(uri)
	if err != nil {
		return ""
	}
	return numberOf(u)
}

// numberOf is the global number of a URI (RFC 3966 5.1.4) without its
// separators and parameters, "" when it has none.
func numberOf(u sip.URI) string {
	if u.Scheme != "sip" && u.Scheme != "sips" && u.Scheme != "tel" {
		return ""
	}
	user, _, _ := strings.Cut(u.User, ";")
	if !strings.HasPrefix(user, "+") {
		return ""
	}
	digits := []byte{'+'}
	for _, c := range []byte(user[1:]) {
		switch {
		case c >= '0' && c <= '9':
			digits = append(digits, c)
		case c == '-' || c == '.' || c == '(' || c == ')':
		default:
			return ""
		}
	}
	if len(digits) < 2 || len(digits) > 16 {
		return ""
	}
	return string(digits)
}

// emergency tells whether a request is for the emergency service.
func emergency(uri string, snap *snapshot.Snapshot) bool {
	if strings.HasPrefix(strings.ToLower(uri), "urn:service:sos") {
		return true
	}
	u, err := sip.ParseURI(uri)
	return err == nil && snap.IsEmergency(sip.Unescape(u.User))
}

// anchor sends an INVITE to Microsoft: to the number it has named, with the
// mark of the direction. The S-CSCF sees another target and routes anew by it
// (3GPP TS 24.229 5.4.3.2, 5.4.3.3), to the gateway.
func anchor(req *sip.Message, d Direction, routing string) error {
	u, err := sip.ParseURI(req.RequestURI)
	if err != nil {
		return err
	}
	u.User = routing
	if u.Scheme == "tel" {
		u.Params = ""
	} else {
		u.Params = u.Params.With("user", "phone")
	}
	req.RequestURI = u.String()
	value := toUser
	if d == Originating {
		value = fromUser
	}
	req.Set(mark, value)
	return nil
}
