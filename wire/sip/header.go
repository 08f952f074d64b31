package sip

import (
	"iter"
	"strings"
)

// header is one header line, folds included. The whole of it is text; the
// rest are offsets into that text, so that writing is copying.
type header struct {
	raw      string // "Name: value\r\n"
	value    uint32 // where the value begins and ends, white space trimmed
	valueEnd uint32
	off      uint32 // of raw in the message it came in
	nameEnd  uint8
	id       headerID
	folded   bool
}

// maxName bounds a name so that a header fits 32 bytes.
const maxName = 255

func (h *header) name() string { return h.raw[:h.nameEnd] }

// wire is the value as it came, with its folds.
func (h *header) wire() string { return h.raw[h.value:h.valueEnd] }

// text is the value on one line (RFC 3261 7.3.1: a fold means one blank).
func (h *header) text() string {
	if !h.folded {
		return h.wire()
	}
	return unfold(h.wire())
}

func (h *header) is(k key) bool {
	return h.id == k.id && (k.id != hdrOther || sameFold(h.name(), k.name))
}

func unfold(s string) string {
	var b strings.Builder
	for {
		line, rest, more := strings.Cut(s, "\r\n")
		b.WriteString(trimRight(line))
		if !more {
			return b.String()
		}
		b.WriteByte(' ')
		s = trimLeft(rest)
	}
}

// newHeader makes a line of our own. The name keeps only what a token may
// hold, the value loses its control characters: no caller can inject a line.
func newHeader(name, value string) header {
	name, value = cleanToken(name[:min(len(name), maxName)]), trim(clean(value))
	h := header{raw: name + ": " + value + "\r\n", id: headerIDOf(name)}
	h.nameEnd = uint8(len(name))
	h.value = uint32(len(name)) + 2
	h.valueEnd = h.value + uint32(len(value))
	return h
}

// cleanToken makes a token of s by hyphens in place of what none may hold.
func cleanToken(s string) string {
	switch {
	case clsToken.all(s):
		return s
	case s == "":
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if r < 0x80 && clsToken.has(byte(r)) {
			return r
		}
		return '-'
	}, s)
}

// locate turns an offset into text() into one into the message.
func (h *header) locate(off int) int {
	s, base := h.wire(), int(h.off+h.value)
	for h.folded {
		line, rest, more := strings.Cut(s, "\r\n")
		kept := len(trimRight(line))
		if off <= kept || !more {
			break
		}
		s = trimLeft(rest)
		off -= kept + 1
		base += len(line) + 2 + len(rest) - len(s)
	}
	return base + off
}

// headerID numbers the headers that have a compact form or that we read
// ourselves. Others are hdrOther and compared by name.
type headerID uint8

const (
	hdrOther headerID = iota
	hdrVia
	hdrFrom
	hdrTo
	hdrCallID
	hdrCSeq
	hdrContact
	hdrMaxForwards
	hdrRoute
	hdrRecordRoute
	hdrContentLength
	hdrContentType
	hdrContentEncoding
	hdrSupported
	hdrRequire
	hdrProxyRequire
	hdrPAssertedIdentity
	hdrReason
	hdrSubject
	hdrEvent
	hdrAllowEvents
	hdrReferTo
	hdrReferredBy
	hdrSessionExpires
	hdrAcceptContact
	hdrRejectContact
	hdrRequestDisposition
	hdrIdentity
	hdrIdentityInfo
	hdrCount
)

var headerNames = [hdrCount]string{
	hdrVia: "Via", hdrFrom: "From", hdrTo: "To", hdrCallID: "Call-ID", hdrCSeq: "CSeq", hdrContact: "Contact",
	hdrMaxForwards: "Max-Forwards", hdrRoute: "Route", hdrRecordRoute: "Record-Route",
	hdrContentLength: "Content-Length", hdrContentType: "Content-Type", hdrContentEncoding: "Content-Encoding",
	hdrSupported: "Supported", hdrRequire: "Require", hdrProxyRequire: "Proxy-Require",
	hdrPAssertedIdentity: "P-Asserted-Identity", hdrReason: "Reason", hdrSubject: "Subject", hdrEvent: "Event",
	hdrAllowEvents: "Allow-Events", hdrReferTo: "Refer-To", hdrReferredBy: "Referred-By",
	hdrSessionExpires: "Session-Expires", hdrAcceptContact: "Accept-Contact", hdrRejectContact: "Reject-Contact",
	hdrRequestDisposition: "Request-Disposition", hdrIdentity: "Identity", hdrIdentityInfo: "Identity-Info",
}

// compactIDs are the one-letter names of the IANA registry (RFC 3261 7.3.3,
// 3515, 3841, 3892, 4028, 6665, 8224).
var compactIDs = [26]headerID{
	0: hdrAcceptContact, 'b' - 'a': hdrReferredBy, 'c' - 'a': hdrContentType,
	'd' - 'a': hdrRequestDisposition, 'e' - 'a': hdrContentEncoding, 'f' - 'a': hdrFrom, 'i' - 'a': hdrCallID,
	'j' - 'a': hdrRejectContact, 'k' - 'a': hdrSupported, 'l' - 'a': hdrContentLength, 'm' - 'a': hdrContact,
	'n' - 'a': hdrIdentityInfo, 'o' - 'a': hdrEvent, 'r' - 'a': hdrReferTo, 's' - 'a': hdrSubject,
	't' - 'a': hdrTo, 'u' - 'a': hdrAllowEvents, 'v' - 'a': hdrVia, 'x' - 'a': hdrSessionExpires,
	'y' - 'a': hdrIdentity,
}

// byShape finds the few candidates for a name, in lower case, by its length
// and first letter.
var byShape = func() (t [20][26][]candidate) {
	for id := hdrVia; id < hdrCount; id++ {
		n := strings.ToLower(headerNames[id])
		slot := &t[len(n)][n[0]-'a']
		*slot = append(*slot, candidate{n, id})
	}
	return t
}()

type candidate struct {
	name string
	id   headerID
}

// matches compares names of letters and hyphens, of the same length: among
// the characters of a token, setting bit 5 is folding case and nothing else.
func (c candidate) matches(name string) bool {
	for i := range len(c.name) {
		if name[i]|0x20 != c.name[i] {
			return false
		}
	}
	return true
}

func headerIDOf(name string) headerID {
	if name == "" || len(name) >= len(byShape) {
		return hdrOther
	}
	first := lower(name[0]) - 'a'
	if first >= 26 {
		return hdrOther
	}
	if len(name) == 1 {
		return compactIDs[first]
	}
	for _, c := range byShape[len(name)][first] {
		if c.matches(name) {
			return c.id
		}
	}
	return hdrOther
}

// key is a header name made ready for comparison.
type key struct {
	id   headerID
	name string
}

func keyOf(name string) key { return key{headerIDOf(name), name} }

// title is the name as the RFCs write it.
func (k key) title() string {
	if k.id != hdrOther {
		return headerNames[k.id]
	}
	return k.name
}

// index is where the first line of that name stands, -1 when there is none.
func (m *Message) index(k key) int {
	for i := range m.headers {
		h := &m.headers[i]
		if h.id == k.id && (k.id != hdrOther || sameFold(h.name(), k.name)) {
			return i
		}
	}
	return -1
}

func (m *Message) find(k key) *header {
	if i := m.index(k); i >= 0 {
		return &m.headers[i]
	}
	return nil
}

// Get gives the first value of a header, unfolded; "" when absent.
func (m *Message) Get(name string) string {
	if h := m.find(keyOf(name)); h != nil {
		return h.text()
	}
	return ""
}

// Has reports whether the header is there.
func (m *Message) Has(name string) bool { return m.find(keyOf(name)) != nil }

// Values gives the value of every line of that name, unfolded, in order. For
// comma-separated items use List.
func (m *Message) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) { m.eachValue(keyOf(name), yield) }
}

func (m *Message) eachValue(k key, yield func(string) bool) {
	for i := range m.headers {
		if h := &m.headers[i]; h.is(k) && !yield(h.text()) {
			return
		}
	}
}

// List gives the comma-separated items over all lines of that name, in order;
// commas in quotes and in angle brackets do not separate.
func (m *Message) List(name string) iter.Seq[string] {
	return func(yield func(string) bool) { m.eachItem(keyOf(name), yield) }
}

func (m *Message) eachItem(k key, yield func(string) bool) {
	for i := range m.headers {
		if h := &m.headers[i]; h.is(k) && !eachItem(h.text(), yield) {
			return
		}
	}
}

// List gives the comma-separated items of one value, white space trimmed.
func List(value string) iter.Seq[string] {
	return func(yield func(string) bool) { eachItem(value, yield) }
}

func eachItem(s string, yield func(string) bool) bool {
	for {
		n := itemEnd(s)
		if !yield(trim(s[:n])) {
			return false
		}
		if n == len(s) {
			return true
		}
		s = s[n+1:]
	}
}

// itemEnd is where the first item of a comma-separated value ends.
func itemEnd(s string) int {
	if strings.IndexByte(s, ',') < 0 {
		return len(s)
	}
	quoted, angle := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && !angle:
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && !angle:
			return i
		}
	}
	return len(s)
}

// HasToken reports whether the comma-separated header lists the token, case
// aside: option tags of Supported and Require, methods of Allow.
func (m *Message) HasToken(name, token string) bool {
	for item := range m.List(name) {
		if sameFold(item, token) {
			return true
		}
	}
	return false
}

// Headers gives all headers in order: name as on the wire, value unfolded.
func (m *Message) Headers() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) { m.eachHeader(yield) }
}

func (m *Message) eachHeader(yield func(string, string) bool) {
	for i := range m.headers {
		if h := &m.headers[i]; !yield(h.name(), h.text()) {
			return
		}
	}
}

// Set replaces all lines of that name by one at the place of the first, or
// adds it at the end. Control characters in value, CR and LF among them,
// become blanks: no value can smuggle a line in.
func (m *Message) Set(name, value string) {
	k := keyOf(name)
	i := m.index(k)
	if i < 0 {
		m.headers = append(m.headers, newHeader(name, value))
		return
	}
	m.headers[i] = newHeader(name, value)
	m.drop(i+1, k)
}

// Add puts a line below the last one of that name, or at the end.
func (m *Message) Add(name, value string) {
	at, k := len(m.headers), keyOf(name)
	for i := range m.headers {
		if m.headers[i].is(k) {
			at = i + 1
		}
	}
	m.insert(at, newHeader(name, value))
}

// Prepend puts a line above the first one of that name, or on top.
func (m *Message) Prepend(name, value string) {
	m.insert(max(m.index(keyOf(name)), 0), newHeader(name, value))
}

// Del removes all lines of that name.
func (m *Message) Del(name string) { m.drop(0, keyOf(name)) }

func (m *Message) insert(at int, h header) {
	m.headers = append(m.headers, header{})
	copy(m.headers[at+1:], m.headers[at:])
	m.headers[at] = h
}

// drop removes the lines of that name from index on.
func (m *Message) drop(from int, k key) {
	kept := m.headers[:from]
	for i := from; i < len(m.headers); i++ {
		if !m.headers[i].is(k) {
			kept = append(kept, m.headers[i])
		}
	}
	clear(m.headers[len(kept):])
	m.headers = kept
}

// SetFirst replaces the first item of a comma-separated header (top Via, top
// Route) and leaves the items after it. Without such a header it is Prepend.
func (m *Message) SetFirst(name, value string) {
	i := m.index(keyOf(name))
	if i < 0 {
		m.Prepend(name, value)
		return
	}
	h := &m.headers[i]
	text := h.text()
	m.headers[i] = newHeader(h.name(), value+text[itemEnd(text):])
}

// DelFirst removes the first item of a comma-separated header, and the line
// with it when it was the only one there.
func (m *Message) DelFirst(name string) {
	i := m.index(keyOf(name))
	if i < 0 {
		return
	}
	h := &m.headers[i]
	text := h.text()
	if n := itemEnd(text); n < len(text) {
		m.headers[i] = newHeader(h.name(), text[n+1:])
		return
	}
	m.headers = append(m.headers[:i], m.headers[i+1:]...)
}
