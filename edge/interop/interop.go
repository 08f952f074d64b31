// Package interop knows what each far side demands and tolerates, and what of
// one side may reach the other. Pure functions on messages, driven by data: a
// Profile per kind of far side.
//
// A message is never forwarded. Invite, Response and InDialog write the
// message of one leg anew, by the rules of its profile: a header is made of
// what we know, kept from the other leg as long as it has the plain form of its
// kind, or converted. What no rule names stays behind. What crosses so is
// numbers, a display name that hides no address, Privacy, Reason as numbers,
// forwarding as numbers and causes, and plain tokens. Via, Contact,
// Record-Route, Call-ID, tags, host names, product names and addresses of one
// side therefore cannot reach the other, and nor can Referred-By, Subject,
// Warning, Alert-Info and all that nobody thought of.
//
// Start reading at Profile and Rule, then Leg, Identify and Invite. history.go
// is forwarding, number.go how numbers are written, microsoft.go what the
// cloud's own reasons mean. How media is described is wire/sdp's; which peer is
// asked is edge/route's.
package interop

import (
	"strings"

	"github.com/tandemgw/tandem/wire/sip"
)

// Leg is one leg of a call as its messages need it: whose rules, our name and
// theirs.
type Leg struct {
	Profile   *Profile
	Local     string        // our host[:port] there; the FQDN where the profile wants one
	Label     string        // of the customer's subdomain, put before Local; "" is the trunk itself
	Domain    string        // that Label stands before, where it is not the host in Local
	Remote    string        // their host[:port], for Request-URI and To
	Transport sip.Transport // of the hop
	Product   string        // value of X-MS-SBC: "Tandem/<product>/<version>"
	Plan      Plan          // how the side writes numbers
	Custom    Custom        // header of the operator's own

	theirs   bool   // it called us
	charging string // P-Charging-Vector of its INVITE
}

// Custom is a header of the operator's own, with the value that one number
// has. It is for the operator's side alone (Azure Communications Gateway docs,
// "customSipHeaders").
type Custom struct{ Name, Value string }

// Called is the leg of a side that has called us by an INVITE: in answers to
// it we go by the name it was sent to, so that a call of a customer's
// subdomain stays one (Azure Communications Gateway docs, Direct Routing).
func (l Leg) Called(invite *sip.Message) Leg {
	if u, err := sip.ParseURI(invite.RequestURI); err == nil && l.Label == "" {
		l.Label = labelOf(u.Host, hostOf(l.Local))
	}
	l.theirs = true
	if l.Profile.ruled("P-Charging-Vector") {
		l.charging = vector(invite)
	}
	return l
}

// labelOf is what stands before our name in a host; "" when it is something
// else.
func labelOf(host, ours string) string {
	n := len(host) - len(ours) - 1
	if n < 1 || host[n] != '.' || !strings.EqualFold(host[n+1:], ours) || !token(host[:n]) {
		return ""
	}
	return strings.ToLower(host[:n])
}

// at is our host[:port] on this leg.
func (l Leg) at() string {
	host := hostOf(l.Local)
	switch {
	case l.Label == "":
		return l.Local
	case l.Domain != "":
		return l.Label + "." + l.Domain + l.Local[len(host):]
	}
	return l.Label + "." + l.Local
}

func (l Leg) host() string { return hostOf(l.at()) }

// Contact is our Contact on this leg.
func (l Leg) Contact() string { return "<sip:" + l.at() + transportParam(l.Transport) + ">" }

// groupContact tells the enterprise as the trunk group that a call comes from
// (RFC 4904 section 5.1): in the user of Contact, which has to be a number.
func (l Leg) groupContact(id Identity) string {
	number := id.Caller()
	if id.Tenant == "" || !dialled(number) || !l.Profile.Trusted && id.Private() {
		return l.Contact()
	}
	context := l.Profile.TrunkContext
	if context == "" {
		context = l.host()
	}
	return "<sip:" + l.Plan.Write(number) + ";tgrp=" + id.Tenant + ";trunk-context=" + context + "@" + l.at() + transportParam(l.Transport) + ">"
}

// transportParam is the URI parameter; UDP is the default and goes unsaid.
func transportParam(t sip.Transport) string {
	switch t {
	case sip.TLS:
		return ";transport=tls"
	case sip.TCP:
		return ";transport=tcp"
	}
	return ""
}

// hostOf drops the port of host:port.
func hostOf(hostPort string) string {
	i := strings.LastIndexByte(hostPort, ':')
	if i < 0 || strings.HasSuffix(hostPort, "]") {
		return hostPort
	}
	return hostPort[:i]
}
