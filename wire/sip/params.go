package sip

import (
	"iter"
	"strings"
)

// Params are the parameters of a header or URI as on the wire: ";a=b;c".
type Params string

// param is one parameter; value keeps its quotes.
type param struct {
	name, value string
	given       bool // there was a "="
}

// cut splits off the first parameter of p, which begins with ";" or is empty.
func (p Params) cut() (first param, rest Params) {
	s := string(p)
	if s != "" && s[0] == ';' {
		s = s[1:]
	}
	i := 0
	for i < len(s) && s[i] != ';' && s[i] != '=' {
		i++
	}
	first.name = trim(s[:i])
	if i == len(s) || s[i] == ';' {
		return first, Params(s[i:])
	}
	first.given = true
	s = trimLeft(s[i+1:])
	i = 0
	if s != "" && s[0] == '"' {
		i, _ = quotedEnd(s)
	}
	for i < len(s) && s[i] != ';' {
		i++
	}
	first.value = trimRight(s[:i])
	return first, Params(s[i:])
}

// quotedEnd is the length of the quoted string that s begins with; when it is
// not closed or no quoted string of RFC 3261 25.1, that of s.
func quotedEnd(s string) (n int, closed bool) {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1, true
		case c == '\\' && i+1 < len(s) && s[i+1] != '\r' && s[i+1] != '\n':
			i++
		case isControl(c):
			return len(s), false
		}
	}
	return len(s), false
}

// unquote gives the text of a quoted string; what is not quoted, as it stands.
// Control characters, legal in a quoted pair, are left out: the text is for
// people, for logs and for terminals.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		if !isControl(s[i]) {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// Quote makes a quoted string of s; control characters become blanks.
func Quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		c := s[i]
		if isControl(c) {
			c = ' '
		}
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String()
}

// Get gives the value of a parameter, quotes removed; names match in any case.
// A parameter without "=" has the value "".
func (p Params) Get(name string) (value string, ok bool) {
	for p != "" {
		var first param
		if first, p = p.cut(); sameFold(first.name, name) {
			return unquote(first.value), true
		}
	}
	return "", false
}

// All gives name and value, quotes removed, of each parameter in order.
func (p Params) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := p; rest != ""; {
			var first param
			if first, rest = rest.cut(); !yield(first.name, unquote(first.value)) {
				return
			}
		}
	}
}

// With sets a parameter, in its place or at the end. The value is written as
// it stands (Quote it if it is text); an empty one writes the bare name.
func (p Params) With(name, value string) Params {
	set := ";" + name
	if value != "" {
		set += "=" + value
	}
	for rest := p; rest != ""; {
		before := len(p) - len(rest)
		var first param
		if first, rest = rest.cut(); sameFold(first.name, name) {
			return p[:before] + Params(set) + rest.Without(name)
		}
	}
	return p + Params(set)
}

// Without removes a parameter wherever it stands.
func (p Params) Without(name string) Params {
	for rest := p; rest != ""; {
		before := len(p) - len(rest)
		var first param
		if first, rest = rest.cut(); sameFold(first.name, name) {
			return p[:before] + rest.Without(name)
		}
	}
	return p
}

// parseParams reads the parameters of a header: blanks, then ";" and so on to
// the end of s.
func parseParams(s string) (Params, *ParseError) {
	t := trim(s)
	if t == "" {
		return "", nil
	}
	if t[0] != ';' {
		return "", refuse("", len(s)-len(trimLeft(s)), "unexpected text after the address")
	}
	for rest := Params(t); rest != ""; {
		at := len(s) - len(trimLeft(s)) + len(t) - len(rest)
		var p param
		p, rest = rest.cut()
		switch {
		case p.name == "":
			return "", refuse("", at, "empty parameter")
		case !clsToken.all(p.name):
			return "", refuse("", at, "malformed parameter name")
		case p.value == "":
		case p.value[0] == '"':
			if n, closed := quotedEnd(p.value); !closed || n < len(p.value) {
				return "", refuse("", at, "malformed quoted parameter value")
			}
		case !clsValue.all(p.value):
			return "", refuse("", at, "malformed parameter value")
		}
	}
	return Params(t), nil
}
