// Package relay is the media of a call: two ports, what each side negotiated,
// and the plans that follow from it.
//
// A Media belongs to the call's goroutine; the packets themselves never come
// here, they run in wire/rtp. Start reading at Media.Set. The package refuses
// to judge: it tells when each side was last heard, the call decides what
// silence means.
package relay

import (
	"net/netip"

	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// Relay opens the media of calls on one engine.
type Relay struct{ engine *rtp.Engine }

// New makes a relay over an engine, which stays the caller's to close.
func New(engine *rtp.Engine) *Relay { return &Relay{engine} }

// Open takes one port on each of the two named interfaces. The error is a
// fault.Exhausted when an interface has none left.
func (r *Relay) Open(callerIface, callee string) (*Media, error) { panic("todo") }

// Side names an end of the call.
type Side uint8

// The sides.
const (
	Caller Side = iota
	Callee
)

// Other is the opposite side.
func (s Side) Other() Side { return s ^ 1 }

// String is caller or callee.
func (s Side) String() string { return [...]string{"caller", "callee"}[s&1] }

// Negotiated is what one side and we agreed on.
type Negotiated struct {
	RTP, RTCP netip.AddrPort // where the side wants packets; RTCP zero = the port after RTP
	Mux       bool           // RTCP on the RTP port, both ways
	In, Out   *rtp.Keys      // the side's key for what it sends, ours for what it gets; nil = clear
	PT        [128]uint8     // numbers in what the side sends -> numbers the other side expects; rtp.Drop drops
	Direction sdp.Direction  // as that side sees it: a SendOnly side hears nothing
}

// Of takes one side of a negotiation with the payload map from it to the
// other side.
func Of(side sdp.Side, pt [128]uint8) Negotiated { panic("todo") }

// Media is the media of one call. Owned by the call's goroutine.
type Media struct{}

// Local is the RTP address to advertise to a side; LocalRTCP its RTCP twin.
func (m *Media) Local(s Side) netip.AddrPort     { panic("todo") }
func (m *Media) LocalRTCP(s Side) netip.AddrPort { panic("todo") }

// Set puts in force what a side negotiated; until a side was Set nothing flows
// to or from it. Setting the callee again re-points it to another fork without
// the caller noticing.
func (m *Media) Set(s Side, n Negotiated) error { panic("todo") }

// Stats is what a side sent and was sent.
func (m *Media) Stats(s Side) rtp.Stats { panic("todo") }

// Close gives the ports back. Close twice is harmless.
func (m *Media) Close() { panic("todo") }
