package sip

import (
	"slices"
	"strconv"
	"strings"
)

// Message is one request or response. The exported fields are plain: assign
// them. Headers are reached through methods. A Message must not be copied by
// assignment (Clone it), nor used by two goroutines while one writes.
type Message struct {
	Method     string // request method as on the wire, "" in a response
	RequestURI string // Request-URI as on the wire, "" in a response
	Status     int    // response status, 0 in a request
	Reason     string // response reason phrase
	Body       []byte

	headers []header
}

const sipVersion = "SIP/2.0"

// newMessage has room for the headers of an ordinary message in the same
// allocation, which with 28 of them fills a size class of 1024 bytes.
func newMessage() *Message {
	m := new(struct {
		Message
		room [28]header
	})
	m.headers = m.room[:0]
	return &m.Message
}

// NewRequest makes a request with Max-Forwards 70 and no other header.
func NewRequest(method, uri string) *Message {
	m := newMessage()
	m.Method, m.RequestURI = method, uri
	m.Set("Max-Forwards", "70")
	return m
}

// NewResponse answers req: Via, From, To, Call-ID and CSeq are copied as they
// came, Timestamp into a 100 (RFC 3261 8.2.6). The To tag is the caller's
// affair, see TagTo. An empty reason stands for the standard phrase.
func NewResponse(req *Message, status int, reason string) *Message {
	m := newMessage()
	m.Status, m.Reason = status, reason
	if reason == "" {
		m.Reason = StatusText(status)
	}
	for i := range req.headers {
		switch h := &req.headers[i]; h.id {
		case hdrVia, hdrFrom, hdrTo, hdrCallID, hdrCSeq:
			m.headers = append(m.headers, *h)
		case hdrOther:
			if status == 100 && sameFold(h.name(), "Timestamp") {
				m.headers = append(m.headers, *h)
			}
		}
	}
	return m
}

// IsRequest reports whether m is a request.
func (m *Message) IsRequest() bool { return m.Status == 0 }

// Clone copies m so that neither sees changes of the other.
func (m *Message) Clone() *Message {
	c := newMessage()
	c.Method, c.RequestURI, c.Status, c.Reason = m.Method, m.RequestURI, m.Status, m.Reason
	c.Body = slices.Clone(m.Body)
	c.headers = append(c.headers, m.headers...)
	return c
}

// SetBody sets the body and its Content-Type; an empty type removes the
// header.
func (m *Message) SetBody(contentType string, body []byte) {
	m.Body = body
	if contentType == "" {
		m.Del("Content-Type")
		return
	}
	m.Set("Content-Type", contentType)
}

// TagTo adds a tag to To unless it has one.
func (m *Message) TagTo(tag string) {
	if to, err := m.To(); err == nil && to.Tag() == "" {
		m.Set("To", to.Raw+";tag="+tag)
	}
}

// Append appends the wire form to dst: headers that were not modified byte for
// byte, Content-Length always right.
func (m *Message) Append(dst []byte) []byte {
	if m.IsRequest() {
		dst = append(appendWord(dst, m.Method), ' ')
		dst = append(appendWord(dst, m.RequestURI), " "+sipVersion+"\r\n"...)
	} else {
		dst = strconv.AppendInt(append(dst, sipVersion+" "...), int64(m.Status), 10)
		dst = append(append(append(dst, ' '), clean(m.Reason)...), "\r\n"...)
	}
	sized := false
	for i := range m.headers {
		h := &m.headers[i]
		if h.id == hdrContentLength {
			sized = true
			if n, ok := parseLength(h.wire()); !ok || n != len(m.Body) {
				dst = appendLength(append(dst, h.name()...), len(m.Body))
				continue
			}
		}
		dst = append(dst, h.raw...)
	}
	if !sized {
		dst = appendLength(append(dst, "Content-Length"...), len(m.Body))
	}
	dst = append(dst, "\r\n"...)
	return append(dst, m.Body...)
}

func appendLength(dst []byte, n int) []byte {
	return append(strconv.AppendInt(append(dst, ": "...), int64(n), 10), "\r\n"...)
}

// appendWord writes a word of the request line. Whatever would end the word or
// the line is escaped as in a URI: the fields of a Message are assigned from
// everywhere.
func appendWord(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	from := 0
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f {
			dst = append(append(dst, s[from:i]...), '%', digits[c>>4], digits[c&15])
			from = i + 1
		}
	}
	return append(dst, s[from:]...)
}

// size is about the length of the wire form.
func (m *Message) size() int {
	n := len(m.Method) + len(m.RequestURI) + len(m.Reason) + len(m.Body) + 16
	for i := range m.headers {
		n += len(m.headers[i].raw)
	}
	return n
}

// String is the wire form, for logs and tests.
func (m *Message) String() string { return string(m.Append(make([]byte, 0, m.size()+32))) }

// field gives a header's line and its value on one line; nil and a *ParseError
// when it is missing.
func (m *Message) field(k key) (*header, string, error) {
	h := m.find(k)
	if h == nil {
		return nil, "", &ParseError{Header: k.title(), Msg: "missing", Status: 400}
	}
	return h, h.text(), nil
}

// blame makes an error about a value one about the message.
func (h *header) blame(k key, e *ParseError) error {
	if e == nil {
		return nil
	}
	e.Header = k.title()
	e.Offset = h.locate(e.Offset)
	return e
}

func (m *Message) address(k key) (a Address, err error) {
	h, text, err := m.field(k)
	if err == nil {
		err = h.blame(k, a.parse(text))
	}
	return a, err
}

// firstAddress reads the first of a comma-separated list.
func (m *Message) firstAddress(k key) (a Address, err error) {
	h, text, err := m.field(k)
	if err == nil {
		err = h.blame(k, a.parse(text[:itemEnd(text)]))
	}
	return a, err
}

// From reads the From header. This and the other views are strict and made
// anew at each call; their errors are *ParseError.
func (m *Message) From() (Address, error) { return m.address(key{id: hdrFrom}) }

// To reads the To header.
func (m *Message) To() (Address, error) { return m.address(key{id: hdrTo}) }

// Contact reads the first Contact. The "*" of REGISTER is no address.
func (m *Message) Contact() (Address, error) { return m.firstAddress(key{id: hdrContact}) }

// Address reads the first address of any header: Refer-To, Referred-By.
func (m *Message) Address(name string) (Address, error) { return m.firstAddress(keyOf(name)) }

// Via reads the topmost Via.
func (m *Message) Via() (v Via, err error) {
	k := key{id: hdrVia}
	h, text, err := m.field(k)
	if err == nil {
		err = h.blame(k, v.parse(text[:itemEnd(text)]))
	}
	return v, err
}

// CSeq reads the CSeq header.
func (m *Message) CSeq() (c CSeq, err error) {
	k := key{id: hdrCSeq}
	h, text, err := m.field(k)
	if err == nil {
		err = h.blame(k, c.parse(text))
	}
	return c, err
}

// CallID reads the Call-ID header.
func (m *Message) CallID() (string, error) {
	k := key{id: hdrCallID}
	h, text, err := m.field(k)
	if err != nil {
		return "", err
	}
	if n := clsWord.span(text); n == 0 || n < len(text) {
		return "", h.blame(k, refuse("", n, "malformed"))
	}
	return text, nil
}

// MaxForwards reads Max-Forwards, 70 when absent.
func (m *Message) MaxForwards() (int, error) {
	k := key{id: hdrMaxForwards}
	h := m.find(k)
	if h == nil {
		return 70, nil
	}
	text := h.text()
	v, n, ok := parseDigits(text, 255)
	if !ok || n != len(text) {
		return 0, h.blame(k, refuse("", 0, "not a number from 0 to 255"))
	}
	return int(v), nil
}

// parseLength reads a Content-Length; one that no int holds is refused.
func parseLength(s string) (int, bool) {
	v, n, ok := parseDigits(s, 1<<31-1)
	return int(v), ok && n == len(s)
}

// Addresses reads a list of addresses over all lines: Route, Record-Route,
// P-Asserted-Identity, Contact.
func (m *Message) Addresses(name string) ([]Address, error) {
	var all []Address
	k := keyOf(name)
	for i := range m.headers {
		h := &m.headers[i]
		if !h.is(k) {
			continue
		}
		text := h.text()
		all = slices.Grow(all, min(1+strings.Count(text, ","), 8)) // a line of commas must not buy much
		for at := 0; at <= len(text); {
			n := itemEnd(text[at:])
			all = append(all, Address{})
			if e := all[len(all)-1].parse(text[at : at+n]); e != nil {
				return nil, h.blame(k, e.shift(at))
			}
			at += n + 1
		}
	}
	return all, nil
}

// Check verifies all that a transaction relies on: the headers of RFC 3261
// 8.1.1 present, once, well-formed and consistent. The error is a *ParseError.
func (m *Message) Check() error {
	e := m.check()
	if e != nil && !m.answerable() {
		e.Status = 0
	}
	return asError(e)
}

// answerable: no answer is made to a response, to an ACK (RFC 3261 17.1.1.2),
// or without a Via.
func (m *Message) answerable() bool {
	return m.IsRequest() && m.Method != "ACK" && m.find(key{id: hdrVia}) != nil
}

// once are the headers that say who we talk to and about what: two of them
// would let two elements understand two different messages.
const once = 1<<hdrFrom | 1<<hdrTo | 1<<hdrCallID | 1<<hdrCSeq | 1<<hdrMaxForwards | 1<<hdrContentType |
	1<<hdrEvent | 1<<hdrReferTo | 1<<hdrReferredBy | 1<<hdrSessionExpires

func (m *Message) check() *ParseError {
	var seen uint64
	for i := range m.headers {
		h := &m.headers[i]
		bit := uint64(1) << h.id
		if seen&bit&once != 0 {
			return &ParseError{Header: headerNames[h.id], Offset: int(h.off), Msg: "more than one", Status: 400}
		}
		seen |= bit
	}
	_, viaErr := m.Via()
	_, fromErr := m.From()
	_, toErr := m.To()
	_, idErr := m.CallID()
	cseq, seqErr := m.CSeq()
	_, hopsErr := m.MaxForwards()
	for _, err := range [...]error{viaErr, fromErr, toErr, idErr, seqErr, hopsErr} {
		if e, bad := err.(*ParseError); bad {
			return e
		}
	}
	if !m.IsRequest() {
		return nil
	}
	if cseq.Method != m.Method {
		e := &ParseError{Header: "CSeq", Offset: int(m.find(key{id: hdrCSeq}).off), Msg: "not the method of the request", Status: 400}
		if !knownMethod(m.Method) {
			e.Status = 501 // RFC 4475 3.1.2.18
		}
		return e
	}
	return m.checkURI()
}

// knownMethod knows the methods of the IANA registry.
func knownMethod(s string) bool {
	switch s {
	case "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY",
		"SUBSCRIBE", "MESSAGE", "PUBLISH":
		return true
	}
	return false
}

func (m *Message) checkURI() *ParseError {
	at := len(m.Method) + 1
	var u URI
	e := u.parse(m.RequestURI)
	switch {
	case e != nil:
		e.Header = "Request-URI"
		return e.shift(at)
	case u.Headers != "":
		// RFC 3261 19.1.1: not allowed there, and never to be obeyed.
		return refuse("Request-URI", at+strings.IndexByte(m.RequestURI, '?'), "headers not allowed")
	}
	switch u.Scheme {
	case "sip", "sips", "tel", "urn":
		return nil
	}
	return &ParseError{Header: "Request-URI", Offset: at, Msg: "scheme not served", Status: 416}
}
