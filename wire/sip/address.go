package sip

import "strings"

// Address is one name-addr or addr-spec with its parameters: From, To,
// Contact, Route, P-Asserted-Identity.
type Address struct {
	Display string // quotes and escapes resolved, free of control characters
	URI     URI
	Params  Params // of the header, not of the URI
	Raw     string // the whole value as on the wire, unfolded
}

// ParseAddress reads one address.
func ParseAddress(s string) (Address, error) {
	a, e := parseAddress(s)
	return a, asError(e)
}

func parseAddress(s string) (Address, *ParseError) {
	a := Address{Raw: trim(s)}
	at := len(s) - len(trimLeft(s))
	open, e := a.parseDisplay(s[at:])
	if e != nil {
		return Address{}, e.shift(at)
	}
	at += open
	if open < 0 || at == len(s) || s[at] != '<' {
		e = a.parseBare(s)
	} else {
		e = a.parseAngle(s[at+1:]).shift(at + 1)
	}
	if e != nil {
		return Address{}, e
	}
	return a, nil
}

// parseDisplay reads the display name and tells where "<" stands; -1 when the
// address has neither.
func (a *Address) parseDisplay(s string) (open int, e *ParseError) {
	if s != "" && s[0] == '"' {
		n := quotedEnd(s)
		if !closed(s[:n]) {
			return 0, refuse("", 0, "quotes not closed")
		}
		a.Display = unquote(s[:n])
		open = n + len(s[n:]) - len(trimLeft(s[n:]))
		if open == len(s) || s[open] != '<' {
			return 0, refuse("", open, "no address after the display name")
		}
		return open, nil
	}
	open = strings.IndexByte(s, '<')
	if open <= 0 {
		return open, nil
	}
	// RFC 3261 wants a blank before "<"; Teams and RFC 4475 3.1.1.6 do without.
	a.Display = trimRight(s[:open])
	for i := range len(a.Display) {
		if c := a.Display[i]; !clsDisplay.has(c) && !isBlank(c) {
			return 0, refuse("", i, "malformed display name")
		}
	}
	return open, nil
}

// parseAngle reads what follows "<".
func (a *Address) parseAngle(s string) (e *ParseError) {
	end := strings.IndexByte(s, '>')
	if end < 0 {
		return refuse("", len(s), "angle bracket not closed")
	}
	if a.URI, e = parseURI(s[:end]); e != nil {
		return e
	}
	a.Params, e = parseParams(s[end+1:])
	return e.shift(end + 1)
}

// parseBare reads an addr-spec: parameters belong to the header, and a URI
// with a comma or a question mark would have needed brackets (RFC 3261 20).
func (a *Address) parseBare(s string) (e *ParseError) {
	at := len(s) - len(trimLeft(s))
	end := at
	for end < len(s) && s[end] != ';' && !isBlank(s[end]) {
		if s[end] == '?' || s[end] == ',' {
			return refuse("", end, "URI needs angle brackets")
		}
		end++
	}
	if a.URI, e = parseURI(s[at:end]); e != nil {
		return e.shift(at)
	}
	a.Params, e = parseParams(s[end:])
	return e.shift(end)
}

// Tag is the tag parameter, "" when absent.
func (a Address) Tag() string {
	tag, _ := a.Params.Get("tag")
	return tag
}

// String writes the address anew, the URI in angle brackets; Raw is not used.
func (a Address) String() string {
	b := make([]byte, 0, 128)
	if a.Display != "" {
		b = append(append(b, Quote(a.Display)...), ' ')
	}
	b = append(b, '<')
	b = a.URI.append(b)
	b = append(b, '>')
	return string(append(b, a.Params...))
}
