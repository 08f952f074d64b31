package sip

// Transport is how a message travels.
type Transport uint8

// The transports.
const (
	UDP Transport = iota + 1
	TCP
	TLS
)

// String is the name in Via: UDP, TCP, TLS.
func (t Transport) String() string { panic("todo") }

// ParseTransport reads a transport's name in any case.
func ParseTransport(s string) (Transport, bool) { panic("todo") }

// Via is one Via value.
type Via struct {
	Transport string // as on the wire, it may be one we do not speak
	Host      string // IPv6 without brackets
	Port      uint16 // 0: not given
	Params    Params
}

// ParseVia reads one Via value.
func ParseVia(s string) (Via, error) { panic("todo") }

// Branch is the branch parameter, "" when absent.
func (v Via) Branch() string { panic("todo") }

// String writes the value anew.
func (v Via) String() string { panic("todo") }
