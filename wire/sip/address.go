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
func ParseAddress(s string) (a Address, err error) {
	err = asError(a.parse(s))
	return a, err
}

func (a *Address) parse(s string) *ParseError {
	t := trimLeft(s)
	at := len(s) - len(t)
	a.Raw = trimRight(t)
	open, e := a.parseDisplay(t)
	switch {
	case e != nil:
		return e.shift(at)
	case open < 0:
		return a.parseBare(t).shift(at)
	}
	return a.parseAngle(t[open+1:]).shift(at + open + 1)
}

// parseDisplay reads the display name and tells where "<" stands; -1 when the
// address has neither.
func (a *Address) parseDisplay(s string) (open int, e *ParseError) {
	if s != "" && s[0] == '"' {
		n, closed := quotedEnd(s)
		if !closed {
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
	if e = a.URI.parse(s[:end]); e != nil {
		return e
	}
	a.Params, e = parseParams(s[end+1:])
	return e.shift(end + 1)
}

// parseBare reads an addr-spec: parameters belong to the header, and a URI
// with a comma or a question mark would have needed brackets (RFC 3261 20).
func (a *Address) parseBare(s string) (e *ParseError) {
	end := 0
	for end < len(s) && s[end] != ';' && !isBlank(s[end]) {
		if s[end] == '?' || s[end] == ',' {
			return refuse("", end, "URI needs angle brackets")
		}
		end++
	}
	if e = a.URI.parse(s[:end]); e != nil {
		return e
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
