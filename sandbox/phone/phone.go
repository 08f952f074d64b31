// Package phone is what every far side of the sandbox has in common: numbers
// that answer as told, calls with their facts, media ends that talk and
// listen, faults to order, and a list of the rules the gateway broke.
//
// An Exchange owns its gates (signalling sockets), its media engine and its
// calls. One goroutine owns one call and runs what is posted to it: responses,
// requests, timers, wishes of the user. Packages teams, zoom and carrier put
// their habits around it as a Manner. Start reading at Exchange, then at
// Call.incoming and Call.tryNext.
//
// What a scenario can do with a call, by the methods of Call:
//
//	HangUp                      CANCEL, BYE or a refusal
//	Hold, HoldAs, Resume        by re-INVITE, in any form, with music
//	Refresh, Update             a re-INVITE or UPDATE that changes nothing
//	Refer                       REFER; Transfer tells what became of it
//	Mute                        silence, or comfort noise
//	RestartICE                  by re-INVITE, of a call with media bypass
//	Press                       keys as telephone events, INFO or sound
//	Facts, Brief, Payloads      what this side saw and heard
//
// and before it, by the fields of CallSpec (calls placed) and Behaviour (numbers
// that are called): early media, forks, reliable responses, preconditions,
// codecs, packet times, keys, session timers, refusals, redirection, any
// header. Join connects two calls.
package phone

import (
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/ice"
)

// CallSpec is a call to place.
type CallSpec struct {
	From string `json:"from"` // E.164 with +
	To   string `json:"to"`   // E.164 with +
	// Trunk is the customer label in front of the region's name ("c042");
	// empty means the carrier trunk. Only Teams has trunks.
	Trunk    string        `json:"trunk,omitempty"`
	Region   string        `json:"region,omitempty"`   // the gateway's region to try first, by its name on this side; empty means as the side's own rules say
	Site     string        `json:"site,omitempty"`     // site or proxy to begin at; empty likewise
	Send     []int16       `json:"-"`                  // what to say, over and over; nil says a melody of the call's own
	Codec    string        `json:"codec,omitempty"`    // the only codec to use, by its name in SDP; empty means any that the side has
	Ptime    int           `json:"ptime,omitempty"`    // milliseconds in a packet; 0 means 20
	Duration time.Duration `json:"duration,omitempty"` // hang up this long after the answer; 0 means never by ourselves
	Patience time.Duration `json:"patience,omitempty"` // give up ringing after this long; 0 means 60 s
	Refresh  time.Duration `json:"refresh,omitempty"`  // re-INVITE that changes nothing this long after the answer, as a session timer makes it
	Session  time.Duration `json:"session,omitempty"`  // Session-Expires of the INVITE; 0 means the side's habit
	Digits   string        `json:"digits,omitempty"`   // keys pressed one second after the answer
	DTMF     string        `json:"dtmf,omitempty"`     // how: "info", "inband", empty for telephone events
	Headers  []Header      `json:"headers,omitempty"`  // on the INVITE, in place of those that the side writes
	Params   string        `json:"params,omitempty"`   // of the Request-URI, ";cause=302"
	Bypass   bool          `json:"bypass,omitempty"`   // its media come from the client, which checks the way by ICE; only Teams
	Parts    []Part        `json:"parts,omitempty"`    // further parts of the INVITE's body, behind the description

	// Only an operator's core has the following.
	LateSDP       bool   `json:"lateSdp,omitempty"`       // INVITE without an offer
	Reliable      string `json:"reliable,omitempty"`      // 100rel: "supported" or "require"
	Preconditions bool   `json:"preconditions,omitempty"` // resources are to be reserved before it rings (RFC 3312); needs Reliable
}

// Part is a part of a body with several (RFC 2046 section 5.1).
type Part struct {
	Type string `json:"type"`
	ID   string `json:"id"` // Content-ID, without angle brackets
	Text string `json:"text"`
}

// Header is a header field.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Behaviour is how a number behaves when it is called. The zero value answers
// at once and says a melody until the caller hangs up.
type Behaviour struct {
	Ring       time.Duration `json:"ring,omitempty"`       // ring this long before the answer
	NoRinging  bool          `json:"noRinging,omitempty"`  // no 18x at all
	EarlyMedia bool          `json:"earlyMedia,omitempty"` // 183 with SDP, and talk, before the answer
	NoAnswer   bool          `json:"noAnswer,omitempty"`   // never answer: ring (or talk early) until the caller gives up
	Status     int           `json:"status,omitempty"`     // refuse with this status, after Ring, instead of answering
	Reason     string        `json:"reason,omitempty"`     // Reason header of that refusal; empty means the side's habit
	Send       []int16       `json:"-"`                    // what to say, over and over; nil says a melody of the call's own
	Codec      string        `json:"codec,omitempty"`      // the only codec to use, by its name in SDP; empty means any that the side has
	Ptime      int           `json:"ptime,omitempty"`      // milliseconds in a packet; 0 means 20
	HangUp     time.Duration `json:"hangUp,omitempty"`     // hang up this long after the answer; 0 means never
	Hold       time.Duration `json:"hold,omitempty"`       // put the caller on hold this long after the answer
	Resume     time.Duration `json:"resume,omitempty"`     // and back after this long on hold
	Refresh    time.Duration `json:"refresh,omitempty"`    // re-INVITE that changes nothing this long after the answer, as a session timer makes it
	Session    time.Duration `json:"session,omitempty"`    // a shorter session than the caller proposes (RFC 4028); 0 accepts his
	Digits     string        `json:"digits,omitempty"`     // keys pressed one second after the answer
	DTMF       string        `json:"dtmf,omitempty"`       // how: "info", "inband", empty for telephone events
	IgnoreBye  bool          `json:"ignoreBye,omitempty"`  // never answer a BYE
	RetryAfter time.Duration `json:"retryAfter,omitempty"` // Retry-After header of the refusal by Status
	Redirect   string        `json:"redirect,omitempty"`   // Contact of the refusal by Status 302
	Headers    []Header      `json:"headers,omitempty"`    // on every 18x and 200
	Reliable   string        `json:"reliable,omitempty"`   // 100rel: "supported" uses it with whom it is offered by, "require" refuses all others
	// Preconditions says that resources are reserved before it rings, when the
	// caller wants that (RFC 3312); needs Reliable.
	Preconditions bool `json:"preconditions,omitempty"`
	Forks         int  `json:"forks,omitempty"`  // devices that ring, each with its To tag; 0 means one
	Winner        int  `json:"winner,omitempty"` // the fork that answers, from 0
	Early         int  `json:"early,omitempty"`  // the fork that sends early media, from 0
	LateOK        bool `json:"lateOk,omitempty"` // another fork answers 200 as well, a moment later

	// Only Teams has the following.
	TwoCrypto bool   `json:"twoCrypto,omitempty"` // two a=crypto lines in the answer
	Forward   string `json:"forward,omitempty"`   // the call goes on to this number by way of the gateway, and both are joined
	Cause     int    `json:"cause,omitempty"`     // why, by RFC 4458; 302 when zero
	AlsoRing  string `json:"alsoRing,omitempty"`  // this number rings as well, by way of the gateway
	Bypass    bool   `json:"bypass,omitempty"`    // its media come from the client, which checks the way by ICE; of Forks, all do at once

	// Came is called when a call comes in, Taken when it was answered; both on
	// the call's own goroutine.
	Came, Taken func(*Call) `json:"-"`
}

// Facts are what one side saw of a call. Zero times have not come (yet).
type Facts struct {
	ID        string      `json:"id"` // Call-ID on this side, of the last attempt
	From      string      `json:"from"`
	To        string      `json:"to"`
	Peer      string      `json:"peer"` // FQDN or address the call went to, or came from
	Gate      string      `json:"gate"` // proxy or site it used
	Outbound  bool        `json:"outbound"`
	Attempts  []Attempt   `json:"attempts,omitempty"`
	Began     time.Time   `json:"began"`
	Ringing   time.Time   `json:"ringing"`
	EarlyAt   time.Time   `json:"earlyAt"` // first early media description
	Answered  time.Time   `json:"answered"`
	Ended     time.Time   `json:"ended"`
	Status    int         `json:"status"`             // final status of the INVITE
	Reason    string      `json:"reason,omitempty"`   // Reason header of the refusal or of the BYE
	Error     string      `json:"error,omitempty"`    // what else went wrong: no response, refused connection
	HungUpBy  string      `json:"hungUpBy,omitempty"` // "us", "them"
	Codec     string      `json:"codec,omitempty"`    // what this side says it in, "PCMA"
	Suite     string      `json:"suite,omitempty"`    // SRTP suite, empty for RTP in the clear
	Sent      audio.Track `json:"-"`
	Heard     audio.Track `json:"-"`
	Packets   Packets     `json:"packets"`
	Digits    string      `json:"digits,omitempty"` // keys heard as telephone events or INFO
	Tones     string      `json:"tones,omitempty"`  // keys heard in the sound; not in Brief
	Held      bool        `json:"held"`             // the far side has us on hold
	ICE       *ice.State  `json:"ice,omitempty"`    // of a call with media bypass
	Rivals    []ice.State `json:"rivals,omitempty"` // likewise, of the devices that have not answered
	Reinvites int         `json:"reinvites"`        // re-INVITEs received
	Updates   int         `json:"updates"`          // UPDATEs received
	Pracks    int         `json:"pracks"`           // PRACKs received
	Refreshes int         `json:"refreshes"`        // how often the session was refreshed, by either side
	Invite    string      `json:"-"`                // the INVITE received, or the last one sent, as text
	Responses []string    `json:"-"`                // of a call we placed, all that came, as text
}

// Attempt is one target tried.
type Attempt struct {
	Target string `json:"target"`
	Gate   string `json:"gate"`
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Packets counts RTP on the media end.
type Packets struct {
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	Lost     int64  `json:"lost"`
	Late     uint64 `json:"late"`     // out of order
	Noise    uint64 `json:"noise"`    // of a payload number that was not agreed
	Comfort  uint64 `json:"comfort"`  // comfort noise
	Stranger uint64 `json:"stranger"` // from elsewhere than the description says
	BadKey   uint64 `json:"badKey"`   // SRTP authentication failed
	RTCP     uint64 `json:"rtcp"`     // RTCP received
}
