package sip

import (
	"net/netip"
	"strconv"
	"strings"
)

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
func ParseURI(s string) (u URI, err error) {
	err = asError(u.parse(s))
	return u, err
}

func (u *URI) parse(s string) *ParseError {
	colon := strings.IndexByte(s, ':')
	if colon <= 0 {
		return refuse("", 0, "URI without scheme")
	}
	rest := s[colon+1:]
	switch scheme := s[:colon]; {
	case sameFold(scheme, "sip"):
		u.Scheme = "sip"
		return u.parseSIP(rest).shift(colon + 1)
	case sameFold(scheme, "sips"):
		u.Scheme = "sips"
		return u.parseSIP(rest).shift(colon + 1)
	case sameFold(scheme, "tel"):
		u.Scheme = "tel"
		return u.parseTel(rest).shift(colon + 1)
	}
	return u.parseOther(s[:colon], rest).shift(colon + 1)
}

func (u *URI) parseSIP(s string) *ParseError {
	at := 0
	if i := strings.IndexByte(s, '@'); i >= 0 {
		user := s[:i]
		switch n := clsUser.span(user); {
		case i == 0 || s[0] == ':':
			return refuse("", 0, "empty user part")
		case n < i:
			return refuse("", n, "malformed user part")
		}
		u.User, u.Password, _ = strings.Cut(user, ":")
		at = i + 1
	}
	host, n, msg := parseHost(s[at:])
	if msg != "" {
		return refuse("", at, msg)
	}
	u.Host = host
	at += n
	if at < len(s) && s[at] == ':' {
		port, n, msg := parsePort(s[at+1:])
		if msg != "" {
			return refuse("", at+1, msg)
		}
		u.Port = port
		at += 1 + n
	}
	if e := u.parseTail(s[at:]); e != nil {
		return e.shift(at)
	}
	return checkEscapes(s)
}

// parseTail reads ";params?headers".
func (u *URI) parseTail(s string) *ParseError {
	params := s
	if i := strings.IndexByte(s, '?'); i >= 0 {
		params, u.Headers = s[:i], s[i+1:]
		if n := span(u.Headers, inURI); n < len(u.Headers) {
			return refuse("", i+1+n, "malformed URI headers")
		}
	}
	if params != "" && params[0] != ';' {
		return refuse("", 0, "malformed host or port")
	}
	for i := 0; i < len(params); {
		name := clsParam.span(params[i+1:])
		i += 1 + name
		if name == 0 {
			return refuse("", i, "empty or malformed URI parameter")
		}
		if i < len(params) && params[i] == '=' {
			i += 1 + clsParam.span(params[i+1:])
		}
		if i < len(params) && params[i] != ';' {
			return refuse("", i, "malformed URI parameter")
		}
	}
	u.Params = Params(params)
	return nil
}

func (u *URI) parseTel(s string) *ParseError {
	number, _, _ := strings.Cut(s, ";")
	n := 0
	for n < len(number) && (clsHex.has(number[n]) || strings.IndexByte("+*#-.()", number[n]) >= 0) {
		n++
	}
	if n == 0 || n < len(number) {
		return refuse("", n, "malformed telephone number")
	}
	u.User = number
	if e := u.parseTail(s[n:]); e != nil {
		return e.shift(n)
	}
	return checkEscapes(s)
}

// parseOther carries a URI we do not read: urn:service:sos, http://…
func (u *URI) parseOther(scheme, s string) *ParseError {
	first := lower(scheme[0])
	if first < 'a' || 'z' < first || !clsToken.all(scheme) {
		return refuse("", -1-len(scheme), "malformed URI scheme")
	}
	switch n := span(s, inURI); {
	case s == "":
		return refuse("", 0, "empty URI")
	case n < len(s):
		return refuse("", n, "malformed URI")
	}
	u.Scheme, u.User = strings.ToLower(scheme), s
	return nil
}

// inURI tells what may stand in some URI: no blank, quote, angle bracket,
// control character or byte beyond ASCII (RFC 3986 2).
func inURI(c byte) bool {
	return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\'
}

func span(s string, in func(byte) bool) int {
	for i := range len(s) {
		if !in(s[i]) {
			return i
		}
	}
	return len(s)
}

func checkEscapes(s string) *ParseError {
	for at := 0; ; {
		i := strings.IndexByte(s[at:], '%')
		if i < 0 {
			return nil
		}
		at += i + 1
		if at+2 > len(s) || !clsHex.has(s[at]) || !clsHex.has(s[at+1]) {
			return refuse("", at-1, "malformed escape in URI")
		}
	}
}

// parseHost reads the host that s begins with and tells how long it is.
func parseHost(s string) (host string, n int, msg string) {
	if s == "" || s[0] != '[' {
		if n = clsHost.span(s); n == 0 {
			return "", 0, "no host"
		}
		return s[:n], n, ""
	}
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return "", 0, "malformed IPv6 reference"
	}
	// RFC 5118 4.10: the grammar of RFC 3261 let a third colon pass.
	host = strings.Replace(s[1:end], ":::", "::", 1)
	if a, err := netip.ParseAddr(host); err != nil || !a.Is6() || a.Zone() != "" {
		return "", 0, "malformed IPv6 reference"
	}
	return host, end + 1, ""
}

// parsePort reads the port that s begins with and tells how long it is.
func parsePort(s string) (port uint16, n int, msg string) {
	v, n, ok := parseDigits(s, 65535)
	switch {
	case n == 0:
		return 0, 0, "no port after the colon"
	case !ok || v == 0:
		return 0, 0, "port out of range"
	}
	return uint16(v), n, ""
}

// appendHostPort writes host[:port], an IPv6 address in brackets.
func appendHostPort(b []byte, host string, port uint16) []byte {
	if strings.IndexByte(host, ':') >= 0 {
		b = append(append(append(b, '['), host...), ']')
	} else {
		b = append(b, host...)
	}
	if port != 0 {
		b = strconv.AppendUint(append(b, ':'), uint64(port), 10)
	}
	return b
}

// HostPort is host or host:port, an IPv6 address in brackets.
func (u URI) HostPort() string { return string(appendHostPort(nil, u.Host, u.Port)) }

// String writes the URI.
func (u URI) String() string { return string(u.append(make([]byte, 0, 96))) }

func (u URI) append(b []byte) []byte {
	b = append(append(b, u.Scheme...), ':')
	b = append(b, u.User...)
	if u.Host != "" {
		if u.Password != "" {
			b = append(append(b, ':'), u.Password...)
		}
		if u.User != "" {
			b = append(b, '@')
		}
		b = appendHostPort(b, u.Host, u.Port)
	}
	b = append(b, u.Params...)
	if u.Headers != "" {
		b = append(append(b, '?'), u.Headers...)
	}
	return b
}

// Header gives a header that the URI asks for (RFC 3261 19.1.1), its escapes
// resolved: Replaces in Refer-To. Never put one into a request unseen.
func (u URI) Header(name string) (value string, ok bool) {
	for rest := u.Headers; rest != ""; {
		var field string
		field, rest, _ = strings.Cut(rest, "&")
		if k, v, _ := strings.Cut(field, "="); sameFold(Unescape(k), name) {
			return Unescape(v), true
		}
	}
	return "", false
}

// Unescape resolves the %xx escapes of a part of a URI. An escape that is
// none stays as it is.
func Unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(v))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
