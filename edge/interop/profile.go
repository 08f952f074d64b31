package interop

import (
	"strings"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
)

// Reliability is how provisional responses are made reliable on a leg
// (RFC 3262).
type Reliability uint8

const (
	ReliableOff       Reliability = iota // never
	ReliableSupported                    // where the other end says it can
	ReliableRequired                     // demanded of the other end
)

// EarlyMedia is what a caller on this leg learns of early media.
type EarlyMedia uint8

const (
	EarlyKeep     EarlyMedia = iota // each 18x as it is
	EarlyFirst                      // the first 18x and no other
	EarlyRinging                    // 183 becomes 180 without a description
	EarlyRingback                   // 183 stays, we play ringback until media comes
)

// History is how forwarding is told on a leg.
type History uint8

const (
	HistoryNone      History = iota // not at all
	HistoryDiversion                // Diversion (RFC 5806)
	HistoryInfo                     // History-Info (RFC 7044)
)

// DTMF is how digits are sent on a leg.
type DTMF uint8

const (
	DTMFEvents DTMF = iota // telephone-event (RFC 4733)
	DTMFInfo               // SIP INFO
	DTMFInband             // tones
)

// HoldForm is how hold is asked for on a leg.
type HoldForm uint8

const (
	HoldSendonly HoldForm = iota // a=sendonly, RFC 3264 8.4
	HoldInactive                 // a=inactive
	HoldMusic                    // not at all: the side goes on hearing, music of ours
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
	// TenantGroup: it is told the enterprise as trunk group too (RFC 4904), in
	// the context TrunkContext; empty: our own name.
	TenantGroup  bool
	TrunkContext string
	// Location: it takes the location of an emergency caller (PIDF-LO).
	Location bool
	// ELIN: of an emergency caller it is told the number of his location.
	ELIN bool
	// Session is the session interval we ask for (RFC 4028); 0: none, though a
	// far side that wants one gets it.
	Session time.Duration
	// Alone: we refresh its sessions, at half of Session, even when it knows no
	// session timers.
	Alone bool
	// Takes names the headers of the other side that cross to this one, as
	// long as the value is one plain token.
	Takes []string

	// Reliable, Update and Preconditions are ended on the leg: nothing of them
	// reaches the other one (RFC 3262, 3311, 3312).
	Reliable      Reliability
	Update        bool
	Preconditions bool
	// Forks: a caller there may be shown several early dialogs; else all forks
	// are one to it.
	Forks bool
	// Refer, Replaces: REFER and INVITE with Replaces from there are carried
	// out (RFC 3515, 3891). Redirect: so is a 3xx.
	Refer, Replaces, Redirect bool
	// Early is what a caller there learns of early media, Ringback the country
	// whose tones it hears (ISO 3166 alpha-2, lower case; "" is the world's
	// commonest).
	Early    EarlyMedia
	Ringback string
	// EarlyMediaHeader: P-Early-Media is spoken there (RFC 5009).
	EarlyMediaHeader bool
	History          History
	DTMF             DTMF
	Hold             HoldForm
	// Charging: P-Charging-Vector is made there and ended; Operator is how we
	// are called in it, "" by our own name. Access: P-Access-Network-Info too
	// (RFC 7315).
	Charging bool
	Operator string
	Access   bool
	// UserToUser: User-to-User crosses, both ways (RFC 7433).
	UserToUser bool
	// CustomHeader: its messages may bear the operator's own header with the
	// value of the number.
	CustomHeader bool
	// Addresses: in URIs it is spoken to by address, and speaks so, where
	// others want names.
	Addresses bool
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
	Hold:         HoldInactive,
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

// Of compiles the profile of a peer group: that of its kind of far side, with
// what the group wants otherwise. It is made once for a snapshot, not for each
// call.
func Of(g *snapshot.Group) *Profile {
	p := Core
	if strings.EqualFold(g.Profile, "teams") {
		p = Teams
	}
	p.announce()
	return &p
}
