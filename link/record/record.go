// Package record holds what goes up from the edges: call records, live calls,
// the health of peers, traces. Plain types, no behaviour beyond naming.
package record

import "time"

// Side of a call's leg or of a peer: "operator" or "cloud".
type Side string

// Call is the record of one call. It is written three times under the same
// ID: before the first INVITE leaves, at the answer, and at the end.
type Call struct {
	ID        string     `json:"id"`   // ours, unique over all nodes, sorts by time
	Node      string     `json:"node"` // node that carried it
	Region    string     `json:"region"`
	Gateway   string     `json:"gateway,omitempty"`
	Revision  uint64     `json:"revision,omitempty"` // of the snapshot that routed it
	Service   string     `json:"service"`            // communications service, "OperatorConnect"
	Account   string     `json:"account,omitempty"`  // whose number, or name, the call is for or from in the cloud
	From      string     `json:"from"`               // calling number as routed, E.164 where known
	To        string     `json:"to"`                 // called number as routed
	Emergency bool       `json:"emergency,omitempty"`
	Test      bool       `json:"test,omitempty"` // the gateway placed it itself to test the way: nobody is billed for it
	Began     time.Time  `json:"began"`
	Answered  *time.Time `json:"answered,omitempty"`
	Ended     *time.Time `json:"ended,omitempty"`
	Caller    Leg        `json:"caller"`
	Callee    Leg        `json:"callee"`
	Attempts  []Attempt  `json:"attempts,omitempty"`  // every target tried, in order
	Transfers []Transfer `json:"transfers,omitempty"` // in order
	Cause     Cause      `json:"cause"`

	Identity    string `json:"identity,omitempty"`    // what became of verifying the caller (RFC 8224), in words; empty: it was not asked
	Transcoding string `json:"transcoding,omitempty"` // why voice was recoded, in words; empty: it passed as it was
}

// Transfer is a change of who stands at one side of a call. The call's own leg
// is the one that stands there last.
type Transfer struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`               // "caller", "callee": the side that another leg was to stand at
	How    string    `json:"how"`              // "REFER", "Replaces"
	To     string    `json:"to"`               // the URI asked for, or the peer that came
	Status int       `json:"status,omitempty"` // final SIP status: 200, the other leg stands there; 0, none yet
	Left   Leg       `json:"left,omitzero"`    // the leg that stood there before
}

// Leg is one side of a call.
type Leg struct {
	Side      Side   `json:"side"`
	Peer      string `json:"peer"`
	Transport string `json:"transport,omitempty"`
	Address   string `json:"address,omitempty"` // signalling address of the far side
	CallID    string `json:"callId,omitempty"`
	Codec     string `json:"codec,omitempty"`
	SRTP      string `json:"srtp,omitempty"`   // suite, empty for RTP in the clear
	Keying    string `json:"keying,omitempty"` // "DTLS": its keys come from a handshake; empty: they were described (SDES)
	Media     Media  `json:"media"`
}

// Media counts what was received from a leg's far side.
type Media struct {
	Packets  uint64        `json:"packets"`
	Octets   uint64        `json:"octets"`
	Lost     uint64        `json:"lost"`
	Dropped  uint64        `json:"dropped"` // refused by us: strangers, failed authentication, unknown payload
	Jitter   time.Duration `json:"jitter"`
	Silent   time.Duration `json:"silent,omitempty"` // since the last packet
	Remote   string        `json:"remote,omitempty"` // latched address
	Received bool          `json:"received"`
	Fax      uint64        `json:"fax,omitempty"` // datagrams of a fax by T.38 that the far side has sent

	// Mute is the longest that the far side sent nothing to be heard though it
	// was to, when that was long enough to be noticed.
	Mute    time.Duration `json:"mute,omitempty"`
	Quality *Quality      `json:"quality,omitempty"` // over the whole call; nil: nothing could be judged
	Whiles  []Quality     `json:"whiles,omitempty"`  // one after the other
}

// Quality is how a leg sounded over a while.
type Quality struct {
	Since     time.Time     `json:"since"`
	For       time.Duration `json:"for"`
	From      *Score        `json:"from,omitempty"`      // what its far side sent, as it came here
	To        *Score        `json:"to,omitempty"`        // what it was sent, as it tells by RTCP
	RoundTrip time.Duration `json:"roundTrip,omitempty"` // between the far side and us, by RTCP
}

// Score is how one direction of a leg sounded over a while.
type Score struct {
	MOS    float64       `json:"mos"`             // by the E-model of ITU-T G.107: 1 bad, 4.4 as good as telephony is
	R      float64       `json:"r"`               // 0 to 93
	Loss   float64       `json:"loss"`            // share of the packets, 0 to 1
	Burst  float64       `json:"burst,omitempty"` // packets lost in a row, in the mean
	Jitter time.Duration `json:"jitter"`          // RFC 3550 A.8
	// Of a wideband codec on its own scale, ITU-T G.107.1, where the best
	// narrowband telephony has R 93 and MOS 3.7: R to 129, MOS to 4.5.
	WideMOS float64 `json:"wideMos,omitempty"`
	WideR   float64 `json:"wideR,omitempty"`
}

// Attempt is one target tried for a call.
type Attempt struct {
	Peer   string    `json:"peer"`
	Region string    `json:"region,omitempty"`
	Target string    `json:"target"` // transport and address
	Why    string    `json:"why"`    // the routing rule that put it here
	At     time.Time `json:"at"`
	Status int       `json:"status,omitempty"` // final SIP status, 0 when none came
	Error  string    `json:"error,omitempty"`  // transport failure or time-out in words
}

// Cause tells how a call ended.
type Cause struct {
	By     string `json:"by,omitempty"`     // "caller", "callee", "gateway", "operator command", "node lost"
	Status int    `json:"status,omitempty"` // SIP status sent to the caller when it was never answered
	Q850   int    `json:"q850,omitempty"`
	Text   string `json:"text,omitempty"` // in words, with what to do where we know

	MicrosoftCode int    `json:"microsoftCode,omitempty"` // response code of Microsoft's, 560403; 0: it gave none that is known
	Correlation   string `json:"correlation,omitempty"`   // GUID by which Microsoft's support finds the call
	Explanation   string `json:"explanation,omitempty"`   // what Microsoft's reason means, with what to do
}

// Who ended a call.
const (
	ByCaller   = "caller"
	ByCallee   = "callee"
	ByGateway  = "gateway"
	ByOperator = "operator command"
	ByNodeLost = "node lost"
)

// States of a live call.
const (
	Routing = "routing" // no target has answered yet
	Ringing = "ringing"
	Talking = "talking"
	Held    = "held"
	Ending  = "ending"
)

// LiveCall is a call as it stands now.
type LiveCall struct {
	Call
	State string `json:"state"`
}

// PeerHealth is how one peer stands as seen from one node.
type PeerHealth struct {
	Peer      string     `json:"peer"`
	Group     string     `json:"group"`
	Side      Side       `json:"side"`
	Transport string     `json:"transport"` // "UDP", "TCP", "TLS"
	Target    string     `json:"target"`    // host and port as configured
	State     string     `json:"state"`     // "up", "down", "unknown", "suspended" (by the circuit breaker)
	Since     time.Time  `json:"since"`
	Why       string     `json:"why,omitempty"`    // last failure in one sentence
	Unused    bool       `json:"unused,omitempty"` // calls are never sent to it: nobody connects to it
	RTT       string     `json:"rtt,omitempty"`    // of the last OPTIONS answered
	Sent      uint64     `json:"optionsSent"`
	Answered  uint64     `json:"optionsAnswered"`
	Received  uint64     `json:"optionsReceived"`
	LastSeen  *time.Time `json:"lastSeen,omitempty"` // last OPTIONS received from it
	Calls     int        `json:"calls"`              // live calls through it
	Limited   uint64     `json:"limited,omitempty"`  // calls that its limits refused or passed over
	CertEnds  *time.Time `json:"certificateEnds,omitempty"`
	CertRoot  string     `json:"certificateRoot,omitempty"`
	TLS       *TLS       `json:"tls,omitempty"` // of the newest handshake

	Registration *Registration `json:"registration,omitempty"` // where we register with it
}

// TLS is what a peer and we agreed on, and who it proved to be.
type TLS struct {
	Version  string    `json:"version"` // "TLS 1.3"
	Suite    string    `json:"suite"`
	Names    []string  `json:"names"`  // that its certificate bears
	Issuer   string    `json:"issuer"` // of its certificate
	RootEnds time.Time `json:"rootEnds"`
	Address  string    `json:"address"`
	Inbound  bool      `json:"inbound,omitempty"` // it dialled us
	Seen     time.Time `json:"seen"`
}

// Reconnection is what became of one TLS connection when it was made anew.
type Reconnection struct {
	Peer    string `json:"peer"`
	Address string `json:"address"`
	Inbound bool   `json:"inbound,omitempty"` // the peer had opened it, and opens another when it needs one
	Why     string `json:"why,omitempty"`     // why no new one could be had; the old one is kept then
}

// Filter chooses call records. Zero fields choose everything.
type Filter struct {
	Since  time.Time // began at or after
	Until  time.Time // began before
	Peer   string    // either leg's peer
	Number string    // calling or called number as recorded
	ID     string    // beginning of the call's ID
	Failed bool      // only those for which Call.Failed is true
	Limit  int       // newest first; 0 means 100
}

// Failed reports whether a finished call went wrong for a reason that is not a
// decision of one of its users: busy, declined, not answered in time and
// cancelled calls did what the network should do.
func (c Call) Failed() bool {
	if c.Ended == nil {
		return false
	}
	if c.Answered != nil {
		return c.Cause.By == ByGateway || c.Cause.By == ByNodeLost
	}
	switch c.Cause.Status {
	case 480, 486, 487, 600, 603:
		return false
	}
	return true
}

// Packet is one SIP message of a trace.
type Packet struct {
	At        time.Time `json:"at"`
	Out       bool      `json:"out"`  // sent by us
	Peer      string    `json:"peer"` // the far side
	Side      Side      `json:"side"`
	Leg       string    `json:"leg"` // "caller" or "callee"
	Transport string    `json:"transport"`
	Local     string    `json:"local"`
	Remote    string    `json:"remote"`
	Raw       string    `json:"raw"` // the message; keys of SRTP blanked
}

// Note is a decision of ours inside a trace, between the messages: the route
// chosen, a retry and its reason.
type Note struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Trace is what a node remembers of one call.
type Trace struct {
	Call    Call     `json:"call"`
	Packets []Packet `json:"packets"`
	Notes   []Note   `json:"notes,omitempty"`
	Missing int      `json:"missing,omitempty"` // messages that fell out of the ring
}
