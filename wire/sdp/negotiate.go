package sdp

import (
	"errors"
	"net/netip"
	"time"
)

// Why a round cannot succeed. Each becomes a 488 for an offer; for an answer
// it ends the call.
var (
	ErrNoAudio   = errors.New("sdp: no audio stream that can be carried")
	ErrNoCodec   = errors.New("sdp: no codec in common")
	ErrNoKeys    = errors.New("sdp: SRTP keys missing or of no known suite")
	ErrCleartext = errors.New("sdp: SRTP offered where only RTP is allowed")
	ErrMismatch  = errors.New("sdp: answer does not fit the offer")
	ErrNoAddress = errors.New("sdp: no usable connection address")
)

// Suite is the SRTP suite we offer and accept (RFC 4568).
const Suite = "AES_CM_128_HMAC_SHA1_80"

// SecretSize is the length of End.Secret: the longest master key and salt.
const SecretSize = 46

// End is our end of one leg: everything of ours that a description sent there
// contains.
type End struct {
	ID     uint64         // o= session id, constant for the leg
	RTP    netip.AddrPort // where the side shall send RTP
	RTCP   netip.AddrPort // and RTCP
	Secret []byte         // SecretSize random bytes to make keys of; nil = plain RTP
	Codecs []string       // allow-list by gateway names: PCMA, PCMU, G722, G722_2, SILK_8, SILK_16
	// InactiveOnly turns every direction but sendrecv into inactive, for a side
	// that understands no other form of hold.
	InactiveOnly bool
	Sent         *Session // what we sent on this leg last; nil at first
	Received     *Session // what the side sent last; nil at first
}

// Keys is one direction's SRTP master key, in the shape of rtp.Keys.
type Keys struct {
	Suite  string
	Master []byte // key||salt
}

// Side is one leg after a completed round.
type Side struct {
	RTP       netip.AddrPort // where it wants RTP; invalid while it wants none
	RTCP      netip.AddrPort
	In, Out   *Keys         // its key for what it sends, ours for what we send; nil = clear
	Direction Direction     // as that side sees it
	Mux       bool          // RTCP on the RTP port, agreed by both
	Ptime     time.Duration // what it wants to receive; 0 = not said
	Codecs    []Agreed
}

// Agreed is a codec both ends of a leg accepted. The numbers differ when an
// answer renumbers (RFC 3264 6.1).
type Agreed struct {
	Codec
	In  uint8 // payload number in what the side sends
	Out uint8 // payload number in what it receives
}

// Negotiation is both legs joined: what the relay runs on.
type Negotiation struct {
	Near, Far Side
	// NearToFar and FarToNear map payload numbers; 0xff drops.
	NearToFar, FarToNear [128]uint8
}

// Offer builds our offer to one side out of the other side's description
// (its offer, or its answer when the offer was delayed).
func Offer(from *Session, to End) (*Session, error) { panic("todo") }

// Propose builds an offer of our own, for a side that demands one when the
// other side has made none.
func Propose(to End) *Session { panic("todo") }

// Answer builds our answer to a side's offer from what the other side accepted.
func Answer(offer, accepted *Session, to End) (*Session, error) { panic("todo") }

// Agree reads a completed round of one leg. weOffered says who made the offer.
func Agree(e End, sent, received *Session, weOffered bool) (Side, error) { panic("todo") }

// Bridge joins two legs; ErrNoCodec when they share no voice codec.
func Bridge(near, far Side) (Negotiation, error) { panic("todo") }
