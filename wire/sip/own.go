package sip

import "strings"

// Own puts strings, parts of messages most likely, into memory of their own:
// who keeps a few words of a message for long would keep it whole.
func Own(parts ...*string) {
	n := 0
	for _, p := range parts {
		n += len(*p)
	}
	var all strings.Builder
	all.Grow(n)
	for _, p := range parts {
		all.WriteString(*p)
	}
	rest := all.String()
	for _, p := range parts {
		size := len(*p)
		*p, rest = rest[:size], rest[size:]
	}
}

// Part is the request with these headers alone, the first value of each, in
// memory of its own: for who keeps it long.
func (m *Message) Part(names ...string) *Message {
	out := &Message{Method: m.Method, RequestURI: m.RequestURI, headers: make([]header, 0, len(names))}
	parts := []*string{&out.Method, &out.RequestURI}
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = m.Get(name)
		parts = append(parts, &values[i])
	}
	Own(parts...)
	for i, name := range names {
		if m.Has(name) {
			out.Add(name, values[i])
		}
	}
	return out
}
