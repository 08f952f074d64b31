// Package trace remembers the SIP messages of each call and our decisions
// between them, in bounded memory: the newest calls win.
//
// Adding a message stores a reference and formats nothing; the work is done
// when somebody looks. SRTP master keys (RFC 4568 "inline:") never leave the
// package: they are blanked in everything shown or exported. Start reading at
// Ring.
package trace

import (
	"io"
	"net/netip"
	"time"

	link "github.com/tandemgw/tandem/link/record"
)

// Config bounds the memory of a Ring. Zero fields take the defaults.
type Config struct {
	Bytes    int           // of all calls together; 64 MiB
	PerCall  int           // bytes of one call; 256 KiB
	Messages int           // messages of one call; 128
	Keep     time.Duration // how long a call is remembered after its end; 1 h
}

// Packet is one message as seen on the wire. Raw is kept, not copied: it must
// not be changed afterwards.
type Packet struct {
	At            time.Time
	Out           bool   // sent by us
	Peer          string // the far side
	Side          link.Side
	Leg           string // "caller" or "callee"
	Transport     string
	Local, Remote netip.AddrPort
	Raw           []byte
}

// Ring holds the traces. Its methods may be called from any goroutine.
type Ring struct{}

// New makes an empty Ring.
func New(c Config) *Ring { panic("todo") }

// Add remembers one message of a call.
func (r *Ring) Add(callID string, p Packet) { panic("todo") }

// Note remembers a decision of ours: a route chosen, a retry and its reason.
func (r *Ring) Note(callID, text string) { panic("todo") }

// End says that the call is over: its trace is kept for Config.Keep more.
func (r *Ring) End(callID string) { panic("todo") }

// Get gives what is remembered of a call, keys blanked. Trace.Call holds only
// the ID: the ring does not know the record.
func (r *Ring) Get(callID string) (link.Trace, bool) { panic("todo") }

// Pcap writes the messages of a call as a capture file of made-up IP and UDP
// frames, whatever the transport was, with the keys blanked. It reports false
// when nothing is remembered of the call.
func (r *Ring) Pcap(w io.Writer, callID string) (bool, error) { panic("todo") }
