package sip

// Transport is how a message travels.
type Transport uint8

// The transports.
const (
	UDP Transport = iota + 1
	TCP
	TLS
)

var transportNames = [...]string{UDP: "UDP", TCP: "TCP", TLS: "TLS"}

// String is the name in Via: UDP, TCP, TLS.
func (t Transport) String() string {
	if int(t) < len(transportNames) {
		return transportNames[t]
	}
	return ""
}

// ParseTransport reads a transport's name in any case.
func ParseTransport(s string) (Transport, bool) {
	for t := UDP; t <= TLS; t++ {
		if sameFold(s, transportNames[t]) {
			return t, true
		}
	}
	return 0, false
}

// Via is one Via value.
type Via struct {
	Transport string // as on the wire, it may be one we do not speak
	Host      string // IPv6 without brackets
	Port      uint16 // 0: not given
	Params    Params
}

// ParseVia reads one Via value.
func ParseVia(s string) (v Via, err error) {
	err = asError(v.parse(s))
	return v, err
}

// parse allows blanks on either side of "/" and ":" (RFC 3261 25.1).
func (v *Via) parse(s string) (e *ParseError) {
	c := cursor{s: s}
	if c.skip(); !sameFold(c.token(), "SIP") || !c.eat('/') || c.token() != "2.0" || !c.eat('/') {
		return refuse("Via", c.at, "protocol is not SIP/2.0")
	}
	if v.Transport = c.token(); v.Transport == "" {
		return refuse("Via", c.at, "no transport")
	}
	if !c.skip() {
		return refuse("Via", c.at, "no blank after the transport")
	}
	host, n, msg := parseHost(s[c.at:])
	if msg != "" {
		return refuse("Via", c.at, msg)
	}
	v.Host = host
	c.at += n
	if c.eat(':') {
		port, n, msg := parsePort(s[c.at:])
		if msg != "" {
			return refuse("Via", c.at, msg)
		}
		v.Port = port
		c.at += n
	}
	v.Params, e = parseParams(s[c.at:])
	return e.shift(c.at)
}

// cursor walks over tokens and separators with blanks around them.
type cursor struct {
	s  string
	at int
}

// skip passes blanks and reports whether there were any.
func (c *cursor) skip() bool {
	from := c.at
	for c.at < len(c.s) && isBlank(c.s[c.at]) {
		c.at++
	}
	return c.at > from
}

func (c *cursor) token() string {
	from := c.at
	c.at += clsToken.span(c.s[from:])
	return c.s[from:c.at]
}

// eat passes a separator and the blanks around it, or stays where it is.
func (c *cursor) eat(sep byte) bool {
	from := c.at
	c.skip()
	if c.at == len(c.s) || c.s[c.at] != sep {
		c.at = from
		return false
	}
	c.at++
	c.skip()
	return true
}

// Branch is the branch parameter, "" when absent.
func (v Via) Branch() string {
	branch, _ := v.Params.Get("branch")
	return branch
}

// String writes the value anew.
func (v Via) String() string {
	b := append(make([]byte, 0, 128), "SIP/2.0/"...)
	b = append(append(b, v.Transport...), ' ')
	b = appendHostPort(b, v.Host, v.Port)
	return string(append(b, v.Params...))
}
