package sip

import (
	"bytes"
	"strings"
	"unsafe"
)

// Parse reads one datagram. What follows the body is ignored (RFC 3261 18.3).
//
// A refusal is a *ParseError. When an answer can be made of what was read (the
// error's Status is not 0) the message comes with the error, good enough for
// NewResponse and nothing else.
func Parse(b []byte, lim Limits) (*Message, error) {
	p := parser{lim: lim.withDefaults(), base: leadingBreaks(b)}
	b = bytes.Clone(b[p.base:])
	m := p.head(asString(b))
	if m == nil {
		return nil, p.err
	}
	if len(b) > p.lim.Message {
		p.refuseWith(513, "", p.lim.Message, "message too large")
	}
	rest := b[p.end:]
	switch n := p.length; {
	case n > len(rest):
		p.refuse("Content-Length", p.end, "beyond the end of the datagram")
	case n >= 0:
		rest = rest[:n]
	}
	p.body(m, rest)
	return p.result(m)
}

// asString views b without a copy. The headers keep the part before the body,
// which nobody writes to; the body, which is its own slice with nothing behind
// it, is not part of any string kept.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// leadingBreaks counts the CR and LF before a start line (RFC 3261 7.5).
func leadingBreaks(b []byte) int {
	i := 0
	for i < len(b) && (b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// parser reads one head. It goes on behind the first mistake, which it keeps,
// so that an answer finds its Via, From, To, Call-ID and CSeq.
type parser struct {
	lim    Limits
	base   int  // of the start line in the datagram
	end    int  // of the head: where the body begins
	length int  // stated by Content-Length, -1 when absent
	broken bool // Content-Length cannot be trusted
	err    *ParseError
}

func (p *parser) refuse(header string, off int, msg string) { p.refuseWith(400, header, off, msg) }

func (p *parser) refuseWith(status int, header string, off int, msg string) {
	if p.err == nil {
		p.err = &ParseError{Header: header, Offset: p.base + off, Msg: msg, Status: status}
	}
}

// result gives the message alone, with its error, or the error alone when no
// answer can be made.
func (p *parser) result(m *Message) (*Message, error) {
	if p.err == nil {
		return m, nil
	}
	if !m.answerable() {
		p.err.Status = 0
		return nil, p.err
	}
	return m, p.err
}

// head reads start line, headers and the empty line; nil when s does not
// begin a SIP message.
func (p *parser) head(s string) *Message {
	p.length = -1
	m := newMessage()
	line, _, _ := p.line(s, 0)
	if !p.startLine(m, line) {
		p.err = &ParseError{Offset: p.base, Msg: "not a SIP message"}
		return nil
	}
	at := len(line)
	for at < len(s) && s[at] != '\r' {
		line, folded, sound := p.line(s, at)
		switch {
		case len(m.headers) == p.lim.Headers:
			p.refuseWith(513, "", at, "too many headers")
		case sound:
			p.header(m, line, at, folded)
		}
		at += len(line)
	}
	p.end = min(at+2, len(s))
	if s[at:p.end] != "\r\n" {
		p.refuse("", at, "no empty line after the headers")
	}
	return m
}

// line gives the line that begins at from, with its folds and its line break.
// Of an unsound line nothing may be kept: an answer would carry it back.
func (p *parser) line(s string, from int) (line string, folded, sound bool) {
	next := from
	for {
		i := strings.IndexByte(s[next:], '\n')
		if i < 0 {
			p.refuse("", from, "line without end")
			return s[from:], folded, false
		}
		next += i + 1
		if from == 0 || next == len(s) || !isBlank(s[next]) {
			break
		}
		folded = true
	}
	line = s[from:next]
	switch text := len(line) - 2; {
	case len(line) > p.lim.Line && from == 0:
		p.refuseWith(414, "", from, "request line too long")
	case len(line) > p.lim.Line:
		p.refuseWith(513, "", from, "header line too long")
	case text < 0 || line[text] != '\r':
		p.refuse("", next-1, "LF without CR")
	case hasControl(line[:text]) && !p.controlsAllowed(line[:text], from):
	default:
		return line, folded, true
	}
	return line, folded, false
}

// controlsAllowed lets pass the line break of a fold, the tab, and what RFC
// 3261 25.1 allows behind a backslash in quotes. All others end strings, move
// cursors or split messages somewhere further on.
func (p *parser) controlsAllowed(s string, from int) bool {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\r' && i+2 < len(s) && s[i+1] == '\n' && isBlank(s[i+2]):
			i += 2
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && i+1 < len(s) && s[i+1] != '\r' && s[i+1] != '\n':
			i++
		case isControl(c):
			p.refuse("", from+i, "control character")
			return false
		}
	}
	return true
}

// startLine reads the first line; false when it is not one of SIP at all.
func (p *parser) startLine(m *Message, line string) bool {
	line = strings.TrimRight(line, "\r\n")
	if len(line) > 4 && sameFold(line[:4], "SIP/") {
		return p.statusLine(m, line)
	}
	first := strings.IndexByte(line, ' ')
	trimmed := trimRight(line)
	last := strings.LastIndexByte(trimmed, ' ')
	if last <= first || !clsToken.all(line[:first]) || !p.version(trimmed[last+1:], last+1) {
		return false
	}
	m.Method, m.RequestURI = line[:first], line[first+1:last]
	switch {
	case len(trimmed) < len(line):
		p.refuse("", len(trimmed), "blank after the version")
	case strings.ContainsAny(m.RequestURI, " \t"):
		// RFC 4475 3.1.2.8 to 10: repairing it would change what others read.
		p.refuse("Request-URI", first+1+strings.IndexAny(m.RequestURI, " \t"), "blank in the request line")
	}
	return true
}

// version reports whether s names a version of SIP; another than 2.0 is
// refused (RFC 3261 21.5.7).
func (p *parser) version(s string, off int) bool {
	if sameFold(s, sipVersion) {
		return true
	}
	if len(s) < 5 || !sameFold(s[:4], "SIP/") {
		return false
	}
	p.refuseWith(505, "", off, "version not supported")
	return true
}

// statusLine reads "SIP/2.0 200 OK". The blank before an empty reason may be
// missing: some endpoints forget it and nothing hangs on it.
func (p *parser) statusLine(m *Message, line string) bool {
	version, rest, _ := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(rest, " ")
	status, n, ok := parseDigits(code, 699)
	if !p.version(version, 0) || n != 3 || n != len(code) || !ok || status < 100 {
		return false
	}
	m.Status, m.Reason = int(status), reason
	return true
}

// header reads one line, folds included, and keeps it.
func (p *parser) header(m *Message, line string, from int, folded bool) {
	name := clsToken.span(line)
	n := name
	for isBlank(line[n]) {
		n++
	}
	if name == 0 || name > maxName || line[n] != ':' {
		p.refuse("", from+n, "malformed header name")
		return
	}
	end := len(line)
	for end > n+1 && line[end-1] <= ' ' {
		end--
	}
	for n++; n < end && line[n] <= ' '; n++ {
	}
	m.headers = append(m.headers, header{
		raw: line, value: uint32(n), valueEnd: uint32(end), off: uint32(p.base + from),
		nameEnd: uint8(name), id: headerIDOf(line[:name]), folded: folded,
	})
	if h := &m.headers[len(m.headers)-1]; h.id == hdrContentLength {
		p.contentLength(h, from)
	}
}

// contentLength refuses what could make two elements cut a stream at two
// places: a length that is no number, and two that differ.
func (p *parser) contentLength(h *header, from int) {
	n, ok := parseLength(h.wire())
	switch {
	case !ok:
		p.refuse("Content-Length", from+int(h.value), "not a number in range")
		p.broken = true
	case p.length >= 0 && p.length != n:
		p.refuse("Content-Length", from+int(h.value), "two that differ")
		p.broken = true
	default:
		p.length = n
	}
}

func (p *parser) body(m *Message, b []byte) {
	if len(b) > p.lim.Body {
		p.refuseWith(413, "", p.end, "body too large")
	}
	if p.err == nil && len(b) > 0 {
		m.Body = b[:len(b):len(b)]
	}
}
