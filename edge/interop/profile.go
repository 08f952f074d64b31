package interop

import (
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sdp"
)

// Reliability is how provisional responses are made reliable on a leg
// (RFC 3262).
type Reliability uint8

// The kinds of reliability.
const (
	ReliableOff       Reliability = iota // never
	ReliableSupported                    // where the other end says it can
	ReliableRequired                     // demanded of the other end
)

// EarlyMedia is what a caller on this leg learns of early media.
type EarlyMedia uint8

// The kinds of early media.
const (
	EarlyKeep     EarlyMedia = iota // each 18x as it is
	EarlyFirst                      // the first 18x and no other
	EarlyRinging                    // 183 becomes 180 without a description
	EarlyRingback                   // 183 stays, we play ringback until media comes
)

// History is how forwarding is told on a leg.
type History uint8

// The ways to tell.
const (
	HistoryNone      History = iota // not at all
	HistoryDiversion                // Diversion (RFC 5806)
	HistoryInfo                     // History-Info (RFC 7044)
)

// DTMF is how digits are sent on a leg.
type DTMF uint8

// The forms of digits.
const (
	DTMFEvents DTMF = iota // telephone-event (RFC 4733)
	DTMFInfo               // SIP INFO
	DTMFInband             // tones
)

// RTCP is what reports a leg gets.
type RTCP uint8

const (
	RTCPRelayed RTCP = iota // the other leg's, and ours while there are none
	RTCPOwn                 // ours; the other leg's are ended
	RTCPNone                // none
)

// HoldForm is how hold is asked for on a leg.
type HoldForm uint8

// The forms of hold.
const (
	HoldSendonly HoldForm = iota // a=sendonly, RFC 3264 8.4
	HoldInactive                 // a=inactive
	HoldMusic                    // not at all: the side goes on hearing, music of ours
)

// Profile is what one kind of far side demands, and what of it is believed.
// Plain data, never changed once it is compiled.
type Profile struct {
	Name string
	// Allow and Supported are the methods and option tags we advertise there:
	// only what edge/call can do. They follow from the switches below.
	Allow     string
	Supported string

	// Sends is what becomes of each header on the way there, in the order in
	// which headers are written. Hears names the headers of the other side's
	// making that are believed, or passed on, when they come from there.
	Sends []Rule
	Hears []string

	// InactiveOnly: it understands no hold but a=inactive (see sdp.End).
	InactiveOnly bool
	// Mux: it is offered RTCP on the RTP port (RFC 5761). Without, it still has
	// that when it offers it itself.
	Mux bool
	// CallerInFrom: it shows the caller of From and does not read
	// P-Asserted-Identity, so From carries the asserted number.
	CallerInFrom bool
	// ShownOnly: it is told the number that is shown in P-Asserted-Identity too,
	// since it would show the asserted one.
	ShownOnly bool
	// AssertFrom: it reads the caller of P-Asserted-Identity alone, so the
	// number of From stands there when nobody has asserted one.
	AssertFrom bool
	// Trusted: it is in our trust domain (RFC 3325), so that the asserted
	// identity of a caller who asked for privacy may be told to it.
	Trusted bool
	// Declined34: its 486 carries Q.850 cause 34, "no circuit", where RFC 4497
	// has 17; cores that read the cause dial again.
	Declined34 bool
	// TenantGroup: it is told the enterprise as trunk group too (RFC 4904), in
	// the context TrunkContext; empty: our own name.
	TenantGroup  bool
	TrunkContext string
	// Location: it takes the location of an emergency caller (PIDF-LO).
	Location bool
	// ELIN: of an emergency caller it is told the number of his location.
	ELIN bool
	// BareRinging: 180 there never has a description; what is to be heard comes
	// with 183.
	BareRinging bool
	// Addresses: we go by our address in URIs there, not by our name.
	Addresses bool
	// Bandwidth: descriptions there say what they take, by b= lines (3GPP TS
	// 26.114 6.2.5).
	Bandwidth bool
	// Ptime is the only packet time that it takes; 0: any.
	Ptime time.Duration
	// Session is the session interval we ask for (RFC 4028); 0: none, though a
	// far side that wants one gets it.
	Session time.Duration
	// Alone: we refresh its sessions, at half of Session, even when it knows no
	// session timers.
	Alone bool

	// Reliable, Update and Preconditions are ended on the leg: nothing of them
	// reaches the other one (RFC 3262, 3311, 3312).
	Reliable      Reliability
	Update        bool
	Preconditions bool
	// Bypass: its clients send media themselves and check the way by ICE
	// (Microsoft Teams docs, "Plan for media bypass"); SRTP only.
	Bypass bool
	// Keying is where the keys of SRTP may come from.
	Keying sdp.Keying
	// Forks: a caller there may be shown several early dialogs; else all forks
	// are one to it.
	Forks bool
	// Refer, Replaces: REFER and INVITE with Replaces from there are carried
	// out (RFC 3515, 3891). Redirect: so is a 3xx.
	Refer, Replaces, Redirect bool
	// Notify: NOTIFY is advertised even where Refer is not.
	Notify bool
	// Info: INFO from there is understood.
	Info bool
	// Early is what a caller there learns of early media, Ringback the country
	// whose tones it hears (ISO 3166 alpha-2, lower case; "" is the world's
	// commonest).
	Early    EarlyMedia
	Ringback string
	History  History
	DTMF     DTMF
	Hold     HoldForm
	RTCP     RTCP
	// Fill: the leg hears comfort noise while the other one sends nothing.
	Fill bool
	// Operator is how we are called in P-Charging-Vector, "" by our own name;
	// Access the value of P-Access-Network-Info, "" none (RFC 7315).
	Operator string
	Access   string
}

// session is the interval that RFC 4028 4 recommends.
const session = 30 * time.Minute

var (
	// dialog are the rules that every far side has.
	dialog = []Rule{
		{"Contact", OnSession | OnOptions, Make},
		{"Allow", OnSession | OnOptions, Make},
		{"Supported", OnSession | OnOptions, Make},
		{"Reason", OnBye | OnFailure, Convert},
	}
	identity = []Rule{
		{"P-Asserted-Identity", OnInvite, Convert},
		{"Privacy", OnInvite, Convert},
	}
	// cloudRules are for Microsoft's proxies: the gateway says what it is in
	// every message, and goes by a name of the trunk in every one that has a
	// Contact (Microsoft Teams docs, "Direct Routing - SIP protocol"; Azure
	// Communications Gateway docs, interworking).
	cloudRules = slices.Concat(
		[]Rule{{"Contact", OnSession | OnOptions | OnAck, Make}}, dialog[1:], identity,
		[]Rule{{"X-MS-SBC", OnAll, Make}},
	)
	// coreRules are for the operator's network.
	coreRules = slices.Concat(dialog, []Rule{
		{"P-Asserted-Identity", OnInvite | OnEarly | OnAccept, Convert},
		{"Privacy", OnInvite, Convert},
		{"X-MS-FMC", OnInvite, Keep},
		{"X-MS-TenantID", OnInvite, Convert},
		{"User-to-User", OnInvite | OnEarly | OnAccept, Keep},
		{"Priority", OnInvite, Keep},
		{CustomHeader, OnAll, Make},
	})
	coreHears = []string{
		"P-Asserted-Identity", "Remote-Party-ID", "Diversion", "History-Info", "X-MS-FMC", "User-to-User", "Priority",
	}
)

// Teams is Microsoft Phone System with Operator Connect (Microsoft Teams docs,
// "Direct Routing - SIP protocol").
var Teams = compile(Profile{
	Name:         "teams",
	Sends:        cloudRules,
	Hears:        []string{"P-Asserted-Identity", "X-MS-TenantID", "History-Info", "Priority"},
	Session:      session,
	InactiveOnly: true,
	CallerInFrom: true,
	Declined34:   true,
	Notify:       true,
	Refer:        true,
	Replaces:     true,
	Hold:         HoldInactive,
	RTCP:         RTCPOwn,
	Fill:         true,
})

// TeamsMobile is Microsoft Phone System with Teams Phone Mobile: calls that
// have been through it are marked (Azure Communications Gateway docs, Teams
// Phone Mobile).
var TeamsMobile = compile(func() Profile {
	p := Teams
	p.Name = "teams-mobile"
	p.Hears = append(slices.Clone(p.Hears), "X-MS-FMC")
	p.with(Rule{"X-MS-FMC", OnInvite, Keep}, Rule{"X-MS-SBC", OnAll, Make})
	return p
}())

// DirectRouting is Microsoft Phone System with Direct Routing, where Contact
// names the customer's subdomain (Leg.Label).
var DirectRouting = compile(func() Profile {
	p := Teams
	p.Name = "direct-routing"
	return p
}())

// Zoom is Zoom Phone Cloud Peering: identity in P-Asserted-Identity, 180
// without a description and 183 with (Azure Communications Gateway docs, Zoom
// Phone Cloud Peering).
var Zoom = compile(Profile{
	Name:        "zoom",
	Sends:       slices.Concat(dialog, identity),
	Hears:       []string{"P-Asserted-Identity", "Remote-Party-ID", "Diversion", "History-Info", "Priority"},
	Session:     session,
	AssertFrom:  true,
	BareRinging: true,
	Ptime:       20 * time.Millisecond,
	RTCP:        RTCPOwn,
	Fill:        true,
})

// Core is an operator's core that follows the RFCs.
var Core = compile(Profile{
	Name:     "core",
	Sends:    coreRules,
	Hears:    coreHears,
	Session:  session,
	Alone:    true,
	Trusted:  true,
	Location: true,
	Reliable: ReliableSupported,
	Update:   true,
	Refer:    true,
	Replaces: true,
	Redirect: true,
	History:  HistoryDiversion,
})

// IMS is an operator's core by 3GPP TS 24.229.
var IMS = compile(func() Profile {
	p := Core
	p.Name = "ims"
	p.History = HistoryInfo
	p.Preconditions, p.Bandwidth = true, true
	p.with(charging, earlyHeader, accessHeader)
	return p
}())

var (
	charging     = Rule{"P-Charging-Vector", OnAll &^ (OnAck | OnOptions | onTrying), Make} // RFC 7315 table 1
	earlyHeader  = Rule{"P-Early-Media", OnInvite, Make}                                    // RFC 5009
	accessHeader = Rule{"P-Access-Network-Info", OnInvite | OnChange | OnBye, Make}         // RFC 7315 table 1
)

// profiles by name, in the words of snapshot.Interworking.
var profiles = map[string]*Profile{
	Teams.Name: &Teams, TeamsMobile.Name: &TeamsMobile, DirectRouting.Name: &DirectRouting,
	Zoom.Name: &Zoom, Core.Name: &Core, IMS.Name: &IMS,
}

// Of compiles the profile of a peer group: that of its kind of far side, with
// what the group wants otherwise. It is made once for a snapshot, not for each
// call.
func Of(g *snapshot.Group) *Profile {
	p := *kind(g)
	p.override(&g.Interworking)
	p = compile(p)
	return &p
}

// kind is the profile a group has by name, by what it serves, or by its side.
// Operator Connect and Teams Phone Mobile come through the same proxies, and
// what the latter has besides hurts no call of the former.
func kind(g *snapshot.Group) *Profile {
	if p := profiles[strings.ToLower(g.Interworking.Profile)]; p != nil {
		return p
	}
	switch {
	case g.Side == snapshot.Cloud && only(g, snapshot.Zoom):
		return &Zoom
	case g.Side == snapshot.Cloud && only(g, snapshot.TeamsDirectRouting):
		return &DirectRouting
	case slices.Contains(g.Services, snapshot.TeamsPhoneMobile) && strings.EqualFold(g.Profile, Teams.Name):
		return &TeamsMobile
	}
	if p := profiles[strings.ToLower(g.Profile)]; p != nil {
		return p
	}
	if g.Side == snapshot.Cloud {
		return &Teams
	}
	return &Core
}

func only(g *snapshot.Group, s snapshot.Service) bool {
	return len(g.Services) == 1 && g.Services[0] == s
}

// The words of snapshot.Interworking.
var (
	earlyWords    = map[string]EarlyMedia{"keep": EarlyKeep, "first": EarlyFirst, "ringing": EarlyRinging, "ringback": EarlyRingback}
	historyWords  = map[string]History{"none": HistoryNone, "diversion": HistoryDiversion, "history-info": HistoryInfo}
	reliableWords = map[string]Reliability{"off": ReliableOff, "supported": ReliableSupported, "require": ReliableRequired}
	dtmfWords     = map[string]DTMF{"rfc4733": DTMFEvents, "info": DTMFInfo, "inband": DTMFInband}
	holdWords     = map[string]HoldForm{"sendonly": HoldSendonly, "inactive": HoldInactive, "music": HoldMusic}
	rtcpWords     = map[string]RTCP{"relayed": RTCPRelayed, "own": RTCPOwn, "none": RTCPNone}
)

// override sets what a group says; what it leaves out stays.
func (p *Profile) override(i *snapshot.Interworking) {
	choose(&p.Early, earlyWords, i.Early)
	choose(&p.History, historyWords, i.History)
	choose(&p.Reliable, reliableWords, i.Reliable)
	choose(&p.DTMF, dtmfWords, i.DTMF)
	choose(&p.Hold, holdWords, i.Hold)
	choose(&p.RTCP, rtcpWords, i.RTCP)
	for _, s := range []struct {
		field *bool
		said  *bool
	}{
		{&p.Update, i.Update},
		{&p.Forks, i.Forks},
		{&p.Refer, i.Refer},
		{&p.Replaces, i.Replaces},
		{&p.Redirect, i.Redirect},
		{&p.Fill, i.Fill},
		{&p.Trusted, i.Trusted},
	} {
		if s.said != nil {
			*s.field = *s.said
		}
	}
	switch i.Caller {
	case "both":
		p.CallerInFrom, p.ShownOnly = false, false
	case "shown":
		p.CallerInFrom, p.ShownOnly = false, true
	case "asserted":
		p.CallerInFrom, p.ShownOnly = true, false
	}
	if i.Ringback != "" {
		p.Ringback = i.Ringback
	}
	p.Bypass = i.Bypass
	p.Keying = map[string]sdp.Keying{"dtls": sdp.ByDTLS, "either": sdp.ByEither}[i.Keying]
	p.TenantGroup, p.TrunkContext = i.TenantGroup, i.TrunkContext
	p.Operator, p.Access, p.ELIN, p.Addresses = i.Operator, i.Access, i.ELIN, i.Addresses
	p.overrideRules(i)
}

func (p *Profile) overrideRules(i *snapshot.Interworking) {
	if i.Charging != nil {
		p.without(charging.Header)
		if *i.Charging {
			p.with(charging)
		}
	}
	if i.Access != "" {
		p.with(accessHeader)
	}
	if i.Trusted != nil && !*i.Trusted {
		p.unhear("P-Asserted-Identity")
		p.unhear("Remote-Party-ID")
	}
	if i.UserToUser != nil {
		const name = "User-to-User"
		p.without(name)
		p.unhear(name)
		if *i.UserToUser {
			p.with(Rule{name, OnInvite | OnEarly | OnAccept, Keep})
			p.Hears = append(p.Hears, name)
		}
	}
}

func (p *Profile) unhear(header string) {
	p.Hears = slices.DeleteFunc(slices.Clone(p.Hears), func(h string) bool { return h == header })
}

func choose[T any](field *T, words map[string]T, said string) {
	if v, ok := words[said]; ok {
		*field = v
	}
}

// compile sets what follows from the rest.
func compile(p Profile) Profile {
	p.without("Diversion")
	p.without("History-Info")
	switch p.History {
	case HistoryDiversion:
		p.with(Rule{"Diversion", OnInvite, Convert})
	case HistoryInfo:
		p.with(Rule{"History-Info", OnInvite, Convert})
	}
	p.Allow, p.Supported = "INVITE, ACK, OPTIONS, CANCEL, BYE", "timer"
	if p.Notify {
		p.Allow = with(p.Allow, "NOTIFY")
	}
	if p.Info {
		p.Allow = with(p.Allow, "INFO")
	}
	p.announce()
	return p
}
