// Package phone is what every far side of the sandbox has in common: numbers
// that answer as told, calls with their facts, media ends that talk and
// listen, faults to order, and a list of the rules the gateway broke.
//
// Package teams and package carrier put their SIP habits around it. Start
// reading at Exchange.
package phone

import (
	"context"
	"net/http"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
)

// CallSpec is a call to place.
type CallSpec struct {
	From, To string // as this side writes numbers; Teams demands +E.164
	// Trunk is the customer label in front of the region's name ("c042");
	// empty means the carrier trunk. Only Teams has trunks.
	Trunk    string
	Site     string        // site or proxy to begin at; empty means as the side's own rules say
	Send     []int16       // what to say, over and over; nil says a melody of the call's own
	Duration time.Duration // hang up this long after the answer; 0 means never by ourselves
	Digits   string        // telephone events pressed one second after the answer
	LateSDP  bool          // INVITE without an offer; not on Teams
}

// Behaviour is how a number behaves when it is called. The zero value answers
// at once and says a melody until the caller hangs up.
type Behaviour struct {
	Ring       time.Duration // ring this long before the answer
	NoRinging  bool          // no 18x at all
	EarlyMedia bool          // 183 with SDP, and talk, before the answer
	EarlyOnly  bool          // as EarlyMedia, and never answer
	NoAnswer   bool          // ring until the caller gives up
	Status     int           // refuse with this status instead of answering
	Reason     string        // Reason header of that refusal; empty means the side's habit
	Send       []int16       // what to say, over and over; nil says a melody of the call's own
	HangUp     time.Duration // hang up this long after the answer; 0 means never
	Hold       time.Duration // put the caller on hold this long after the answer
	Resume     time.Duration // and back after this long on hold
	Digits     string        // telephone events pressed one second after the answer
	IgnoreBye  bool          // never answer a BYE

	// Only Teams has the following.
	Forks     int  // devices that ring, each with its To tag; 0 means one
	Winner    int  // the fork that answers
	LateOK    bool // another fork answers 200 as well, a moment later
	TwoCrypto bool // two a=crypto lines in the answer
}

// Facts are what one side saw of a call.
type Facts struct {
	ID        string // Call-ID on this side
	From, To  string
	Peer      string // FQDN or site the call came from or went to
	Outbound  bool   // placed by this side
	Attempts  []Attempt
	Began     time.Time
	Ringing   time.Time // zero when it never rang
	EarlyAt   time.Time // first early media description
	Answered  time.Time
	Ended     time.Time
	Status    int    // final status of the INVITE; 0 while there is none
	Reason    string // Reason header of the refusal or of the BYE
	Error     string // why there was no final status: timeout, refused connection
	HungUpBy  string // "us", "them", "" while it lasts
	Codec     string // "PCMA", "PCMU"
	Suite     string // SRTP suite, empty for RTP in the clear
	Sent      audio.Track
	Heard     audio.Track
	Packets   Packets
	Digits    string // telephone events heard
	Held      bool   // the far side has put us on hold
	Reinvites int    // re-INVITEs received
}

// Attempt is one target tried.
type Attempt struct {
	Target string
	Status int
	Error  string
}

// Packets counts RTP on the media end.
type Packets struct {
	Sent, Received, Lost, Late, Noise uint64 // Late: out of order; Noise: unknown payload
}

// Violation is one broken rule.
type Violation struct {
	Time    time.Time
	Rule    string // short key: "contact-fqdn"
	Message string // what was seen, with the start line
}

// Call is a call of this side.
type Call struct{}

// Facts are the call's facts so far.
func (c *Call) Facts() Facts { panic("todo") }

// Wait waits until the call has been answered or has failed.
func (c *Call) Wait(ctx context.Context) error { panic("todo") }

// Done is closed when the call has ended.
func (c *Call) Done() <-chan struct{} { panic("todo") }

// HangUp ends the call: CANCEL, BYE or a refusal, whichever is due.
func (c *Call) HangUp() { panic("todo") }

// Hold puts the far side on hold and waits for its answer.
func (c *Call) Hold(ctx context.Context) error { panic("todo") }

// Resume takes it back.
func (c *Call) Resume(ctx context.Context) error { panic("todo") }

// Faults are the ways in which one site or proxy misbehaves. The zero Faults
// behave.
type Faults struct {
	Status     int           // answer every INVITE with this status
	RetryAfter time.Duration // Retry-After header of that answer
	Silent     bool          // answer nothing at all, OPTIONS neither
	Slow       time.Duration // wait this long before every answer
	Refuse     bool          // close connections before TLS
	NoOptions  bool          // neither send nor answer OPTIONS
}

// Exchange is a far side: numbers, calls, sites with faults, violations.
type Exchange struct{}

// Answer sets how a number behaves; "" stands for every number that was not set.
func (x *Exchange) Answer(number string, b Behaviour) { panic("todo") }

// Calls lists the calls, the oldest first; ended ones are kept for a while.
func (x *Exchange) Calls() []*Call { panic("todo") }

// SetFaults makes a site or proxy misbehave from now on.
func (x *Exchange) SetFaults(site string, f Faults) error { panic("todo") }

// Drop closes all connections of a site or proxy; new ones are accepted.
func (x *Exchange) Drop(site string) error { panic("todo") }

// Violations lists the rules the gateway broke, the oldest first.
func (x *Exchange) Violations() []Violation { panic("todo") }

// Handler is the control port: the methods above as HTTP and JSON.
func (x *Exchange) Handler() http.Handler { panic("todo") }
