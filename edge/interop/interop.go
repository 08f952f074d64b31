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
	"time"

	"github.com/tandemgw/tandem/wire/sip"
)

// Profile is what one kind of far side demands. Plain data, never changed.
type Profile struct {
	Name      string
	Allow     string // methods we advertise there: only what edge/call can do
	Supported string // option tags we advertise there

	// InactiveOnly: it understands no hold but a=inactive (see sdp.End).
	InactiveOnly bool
	// Mux: it is offered RTCP on the RTP port (RFC 5761). Without, it still has
	// that when it offers it itself.
	Mux bool
	// EarlyOffer: an INVITE there must carry an offer.
	EarlyOffer bool
	// CallerInFrom: it shows the caller of From and does not read
	// P-Asserted-Identity, so From carries the asserted number.
	CallerInFrom bool
	// Trusted: it is in our trust domain (RFC 3325), so that the asserted
	// identity of a caller who asked for privacy may be told to it.
	Trusted bool
	// SBC: it wants X-MS-SBC on every message.
	SBC bool
	// Declined34: its 486 carries Q.850 cause 34, "no circuit", where RFC 4497
	// has 17; cores that read the cause dial again.
	Declined34 bool
	// Tenant: it is told the enterprise in X-MS-TenantID.
	Tenant bool
	// Location: it takes the location of an emergency caller (PIDF-LO).
	Location bool
	// Session is the session interval we ask for (RFC 4028); 0: none, though a
	// far side that wants one gets it.
	Session time.Duration
	// Alone: we refresh its sessions, at half of Session, even when it knows no
	// session timers.
	Alone bool
	// Takes names the headers of the other side that cross to this one, as
	// long as the value is one plain token.
	Takes []string
}

// session is the interval that RFC 4028 4 recommends.
const session = 30 * time.Minute

// Teams is Microsoft Phone System: Operator Connect, Teams Phone Mobile,
// Direct Routing (Microsoft Teams docs, "Direct Routing - SIP protocol").
var Teams = Profile{
	Name:         "teams",
	Allow:        "INVITE, ACK, OPTIONS, CANCEL, BYE, NOTIFY",
	Supported:    "timer",
	Session:      session,
	InactiveOnly: true,
	EarlyOffer:   true,
	CallerInFrom: true,
	SBC:          true,
	Declined34:   true,
	Takes:        []string{"X-MS-FMC"},
}

// Core is an operator's core that follows the RFCs.
var Core = Profile{
	Name:      "core",
	Allow:     "INVITE, ACK, OPTIONS, CANCEL, BYE",
	Supported: "timer",
	Session:   session,
	Alone:     true,
	Trusted:   true,
	Tenant:    true,
	Location:  true,
	Takes:     []string{"X-MS-FMC"},
}

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
