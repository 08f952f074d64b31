package sip

// URI is a sip, sips or tel URI, or any other in which User is all that
// follows the scheme. Strings are as on the wire, escapes left in place,
// except Scheme, which is in lower case, and Host, which comes without the
// brackets of an IPv6 reference.
type URI struct {
	Scheme   string
	User     string // tel: the number
	Password string
	Host     string
	Port     uint16 // 0: not given
	Params   Params
	Headers  string // what follows "?"
}

// ParseURI reads an absolute URI.
func ParseURI(s string) (URI, error) { panic("todo") }

// String writes the URI.
func (u URI) String() string { panic("todo") }

// HostPort is host or host:port, an IPv6 address in brackets.
func (u URI) HostPort() string { panic("todo") }
