// Package rtp moves media packets: ports, sockets, RTP and RTCP, SDES-SRTP,
// latching and statistics.
//
// An Engine owns the sockets of its interfaces and a few loops that serve
// them. A Port is one even/odd pair of them; what arrives there is treated as
// its Plan says. Start reading at Engine, then at receive in port.go, which is
// the life of one packet.
//
// A plan is compiled where it is set, so that the loop only looks things up;
// the loop allocates nothing per packet outside the SRTP library. A packet
// that does not fit is dropped and counted by cause, never answered.
//
// The package refuses to know calls, codecs and descriptions: it changes the
// payload number and the encryption of a packet and nothing else.
package rtp

import (
	"errors"
	"net/netip"
	"time"
)

// Config is what New needs.
type Config struct {
	Threads    int           // loops; 0 = one per two processors, at least one
	Quarantine time.Duration // how long a closed port stays bound and drops; 0 = not at all
	Interfaces []Interface
	Network    *Network // nil = the sockets of the operating system
}

// Interface is one local address with the ports that may be used on it.
type Interface struct {
	Name      string
	Bind      netip.Addr
	Advertise netip.Addr // what Addr tells; zero = Bind. They differ behind 1:1 NAT
	PortMin   uint16
	PortMax   uint16
	// Allow lists the sources that may latch. A packet from anywhere else is
	// heard only when it comes from exactly the signalled address.
	Allow []netip.Prefix
}

// Engine owns ports and the loops that serve them.
type Engine struct{}

// New binds nothing yet; it checks the configuration and starts the loops.
func New(Config) (*Engine, error) { panic("todo") }

// Close closes every port, without quarantine, and waits for the loops.
func (e *Engine) Close() error { panic("todo") }

// Counters are the sums over all ports that ever were.
func (e *Engine) Counters() Counters { panic("todo") }

// Open takes a random free pair of ports of the named interface: RTP on the
// even one, RTCP on the next. The error is a fault.Exhausted when there is
// none, a fault.NotFound for an unknown interface.
func (e *Engine) Open(iface string) (*Port, error) { panic("todo") }

// Port is one end of a media stream. All methods may be called from any
// goroutine.
type Port struct{}

// Addr is the RTP address to advertise.
func (p *Port) Addr() netip.AddrPort { panic("todo") }

// RTCPAddr is the RTCP address to advertise when RTCP is not multiplexed.
func (p *Port) RTCPAddr() netip.AddrPort { panic("todo") }

// Receive sets what happens to packets that arrive here from now on; nil
// drops them, still counted and latched. SRTP contexts of keys seen before on
// this port live on with their roll-over counters. The plan must not be changed
// afterwards. The error says which keys are unusable; the old plan then stays.
func (p *Port) Receive(plan *Plan) error { panic("todo") }

// Remote sets where the far side wants its packets, as signalled. An rtcp
// equal to rtp means that RTCP is multiplexed on the RTP port (RFC 5761); a
// zero rtcp means the port after rtp. A latched address survives while rtp
// stays the same.
func (p *Port) Remote(rtp, rtcp netip.AddrPort) { panic("todo") }

// Send protects a packet of our own making with keys (nil = clear) and sends
// it to the far side: RTCP when its second byte says so (RFC 5761 §4), else
// RTP. The packet is not kept or changed. ErrNoRemote when the far side is not
// known, ErrClosed after Close.
func (p *Port) Send(pkt []byte, keys *Keys) error { panic("todo") }

// Stats is a snapshot.
func (p *Port) Stats() Stats { panic("todo") }

// Close gives the ports back, into quarantine. Close twice is harmless.
func (p *Port) Close() { panic("todo") }

// Reasons why Send sends nothing.
var (
	ErrNoRemote = errors.New("rtp: far side's address is not known")
	ErrClosed   = errors.New("rtp: port is closed")
)

// Plan says what to do with each packet that arrives at a port. Immutable: a
// re-INVITE makes a new plan, it never edits one.
type Plan struct {
	PT    [128]uint8 // payload number in, payload number out; Drop drops. Beware of the zero value: see PassPT and MapPT
	In    *Keys      // the far side's keys; nil = it sends clear RTP
	Out   *Keys      // keys for what leaves at To; nil = clear
	To    *Port      // where it leaves; nil = nowhere, only counted and given to Sink
	Clock uint32     // RTP clock of the stream in Hz, for jitter; 0 = 8000
	// Sink is given each accepted packet in the clear, RTP with its number
	// mapped already. It runs on the loop that serves the port: it must not
	// block, and must not keep pkt. It may call Send of any port.
	Sink func(pkt []byte, rtcp bool)
}

// Drop as a payload number's image drops the packet.
const Drop uint8 = 0xff

// PassPT leaves all payload numbers as they are.
func PassPT() [128]uint8 { panic("todo") }

// MapPT maps the given payload numbers and drops all others.
func MapPT(pairs map[uint8]uint8) [128]uint8 { panic("todo") }

// Keys are the SDES keys of one direction (RFC 4568). It prints as ***.
type Keys struct {
	Suite  string
	Master []byte // key||salt
	MKI    []byte // master key identifier that its packets carry; nil = none
}

// NewKeys makes random keys for a suite.
func NewKeys(suite string) (*Keys, error) { panic("todo") }

// Check says whether the suite is known and the key of its length.
func (k *Keys) Check() error { panic("todo") }

// String hides the key.
func (k Keys) String() string { return "***" }

// Network is an in-memory network: engines that share one reach each other
// and nothing else. It starts no goroutine but the engines' own, so it works in
// a synctest bubble.
type Network struct{}

// NewNetwork is an empty one.
func NewNetwork() *Network { panic("todo") }

// Stats is what a port knows of its far side.
type Stats struct {
	Received, Sent         Traffic // RTP, as it passed: what was dropped is not in here
	ReceivedRTCP, SentRTCP Traffic
	SSRC                   uint32        // of the last packet
	PayloadType            uint8         // of the last packet, as received
	Lost                   int64         // RFC 3550 A.3, over all SSRCs; negative when packets were doubled
	OutOfOrder             uint64        // packets older than one already seen
	Jitter                 time.Duration // RFC 3550 A.8, of the current SSRC
	Last, LastRTCP         time.Time     // when the last valid packet came; zero = never
	Remote, RemoteRTCP     netip.AddrPort
	Latched                bool // Remote is what packets showed, not what was signalled
	Drops                  [Causes]uint64
}

// Traffic counts packets and their octets (UDP payload, in the clear).
type Traffic struct{ Packets, Octets uint64 }

// Counters are the sums of an engine.
type Counters struct {
	Received, Sent         Traffic
	ReceivedRTCP, SentRTCP Traffic
	Drops                  [Causes]uint64
	Open, Quarantined      int    // ports now
	Exhausted              uint64 // Opens refused for want of a port
}

// Cause says why a packet was dropped.
type Cause uint8

// The causes.
const (
	Stranger    Cause = iota // not from the far side, nor allowed to become it
	TooShort                 // no room for a header, or for what the header announces
	TooLong                  // longer than any packet we carry
	BadVersion               // not RTP version 2
	UnknownType              // payload number not in the plan, or not an RTCP packet on an RTCP port
	AuthFailed               // SRTP authentication failed
	Replayed                 // SRTP packet seen before, or too old to tell
	ManySources              // more SSRCs than a stream has any use for
	NoPlan                   // nil plan, or To and Sink both nil
	NoRemote                 // the other far side's address is not known yet
	SendFailed               // the kernel refused to send
	Late                     // arrived in quarantine
	Causes                   // number of causes
)

// String is the cause as a metric label.
func (c Cause) String() string { panic("todo") }
