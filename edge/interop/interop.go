// Package interop knows what each far side demands and tolerates, and what of
// one side may reach the other. Pure functions on messages, driven by data: a
// Profile per kind of far side.
//
// A message is never forwarded. Invite, Response and InDialog write the
// message of one leg anew, and take from the other leg only what is named
// here, each by a rule of its own: numbers, a display name that hides no
// address, Privacy, Reason as numbers, and the headers on the profile's list
// as plain tokens. Via, Contact, Record-Route, Call-ID, tags, host names,
// product names and addresses of one side therefore cannot reach the other.
// Diversion, History-Info, Referred-By, Subject, Warning, Alert-Info and all
// that nobody thought of stay behind.
//
// Start reading at Profile and Leg, then Identify and Invite. How media is
// described is wire/sdp's; which peer is asked is edge/route's.
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
	Remote    string        // their host[:port], for Request-URI and To
	Transport sip.Transport // of the hop
	Product   string        // value of X-MS-SBC: "Tandem/<product>/<version>"
	Plan      Plan          // how the side writes numbers
}

// Contact is our Contact on this leg.
func (l Leg) Contact() string { return "<sip:" + l.Local + transportParam(l.Transport) + ">" }

// sign puts on m what the profile wants on every message.
func (l Leg) sign(m *sip.Message) {
	if l.Profile.SBC && l.Product != "" {
		m.Set("X-MS-SBC", l.Product)
	}
}

// capable puts on m what we can do.
func (l Leg) capable(m *sip.Message) {
	m.Set("Allow", l.Profile.Allow)
	if l.Profile.Supported != "" {
		m.Set("Supported", l.Profile.Supported)
	}
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
