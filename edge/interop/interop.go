// Package interop knows what each far side demands and tolerates, and what of
// one side may reach the other. Pure functions on messages and descriptions,
// driven by data: a Profile per kind of far side.
//
// A message is never forwarded. Invite, Response and InDialog write the
// message of one leg, and copy from the other leg only the headers on the
// receiving profile's allow-list, each by a rule of its own. Via, Contact,
// Record-Route, Call-ID, tags, host names, product names and SDP of one side
// therefore cannot reach the other.
//
// Start reading at Profile and Leg.
package interop

import (
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// Profile is what one kind of far side demands. Plain data, never changed.
type Profile struct {
	Name string
	// Cloud marks the cloud's side of the gateway: the other is the core's.
	Cloud        bool
	Allow        string   // methods we advertise there
	Supported    string   // option tags we advertise there
	InactiveOnly bool     // understands no hold but a=inactive
	EarlyOffer   bool     // an INVITE there must carry an offer
	ContactUser  bool     // Contact carries the calling number
	SBC          bool     // wants X-MS-SBC on every message
	CallerInFrom bool     // takes the caller from From, so From is made of P-Asserted-Identity
	BusyCause    bool     // 486 with cause 34 becomes 17 (RFC 4497) when passed on to the other side
	Cross        []string // headers of the other side that may reach this one, as they are
}

// Teams is Microsoft Phone System: Operator Connect, Teams Phone Mobile,
// Direct Routing.
var Teams Profile

// Core is an operator's core that follows the RFCs.
var Core Profile

// Leg is one leg of a call as its messages need it: whose rules, our name and
// theirs.
type Leg struct {
	Profile   *Profile
	Local     string        // our host[:port] there: the FQDN for Contact and From
	Remote    string        // their host[:port], for Request-URI and To
	Transport sip.Transport // of the hop, for the transport parameter
	Product   string        // "Tandem/<product>/<version>"
	Plan      Plan          // how the side writes numbers
}

// Plan is how a peer writes numbers that are not in E.164. The zero Plan
// accepts only numbers with a plus.
type Plan struct {
	CountryCode   string // "44"
	Trunk         string // national prefix: "0"
	International string // "00"
}

// Normalise gives number in E.164 with a plus. It reports false, and the
// number as it was without visual separators, when no rule applies.
func (p Plan) Normalise(number string) (string, bool) { panic("todo") }

// Identity is who calls whom, as read from an INVITE.
type Identity struct {
	Called    string // user part: E.164 when CalledOK
	CalledOK  bool
	Calling   string // E.164 or the user part as it was; "" when withheld or absent
	CallingOK bool
	Display   string
	Asserted  string // number of P-Asserted-Identity, "" when none
	Private   bool   // Privacy asks to hide the caller from the callee
	Tenant    string // X-MS-TenantID, either spelling
}

// Identify reads who calls whom. The error is a *sip.ParseError.
func Identify(invite *sip.Message, from Leg) (Identity, error) { panic("todo") }

// Names are the random names of a new leg.
type Names struct {
	CallID, Tag string
}

// Invite writes the INVITE of the far leg; the body is the caller's affair
// (SetBody).
func Invite(in *sip.Message, id Identity, to Leg, n Names) *sip.Message { panic("todo") }

// Response writes our response to a request of this leg. far is the response
// of the other leg it stands for, nil when it is our own; to the caller
// belongs only the body.
func Response(req *sip.Message, status int, far *sip.Message, to Leg) *sip.Message { panic("todo") }

// InDialog completes a request that ua.Dialog has made, on behalf of far, the
// message of the other leg it stands for; nil when it is our own.
func InDialog(req, far *sip.Message, to Leg) { panic("todo") }

// Failure is how a call that did not come about is told to the caller's side.
type Failure struct {
	Status     int
	Reasons    []sip.Reason
	RetryAfter int // seconds; 0 = none
}

// Fail translates the other leg's final response for the side of to.
func Fail(far *sip.Message, from, to Leg) Failure { panic("todo") }

// Q850 is the cause for a SIP status (RFC 4497, RFC 3398 8.2.6.1).
func Q850(status int) int { panic("todo") }

// Status is the SIP status for a Q.850 cause (RFC 4497, RFC 3398 7.2.4.1).
func Status(cause int) int { panic("todo") }

// Describe finds the session description in a message: the body itself, or
// the application/sdp part of a multipart body. nil when there is none.
func Describe(m *sip.Message) (*sdp.Session, error) { panic("todo") }
