package sip

import (
	"bytes"
	"strings"
)

// Parse reads one datagram. What follows the body is ignored (RFC 3261 18.3).
//
// A refusal is a *ParseError. When an answer can be made of what was read (the
// error's Status is not 0) the message comes with the error, good enough for
// NewResponse and nothing else.
func Parse(b []byte, lim Limits) (*Message, error) {
	lim = lim.withDefaults()
	start := leadingBreaks(b)
	b = b[start:]
	end := headEnd(b, 0)
	p := parser{lim: lim, base: start}
	if end < 0 {
		end = len(b)
		p.refuse("", end, "no empty line after the headers")
	}
	m := p.head(b[:end])
	if m == nil {
		return nil, p.err
	}
	p.checkSize(len(b))
	p.datagramBody(m, b[end:], end)
	return p.result(m)
}

// headEnd is where the body begins, -1 when the empty line is not there yet.
// The first from bytes are known to hold none. Line by line is twice as fast
// as a search for the four bytes.
func headEnd(b []byte, from int) int {
	for i := max(from-3, 0); ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		if i > 1 && b[i-2] == '\r' && len(b)-i > 1 && b[i] == '\r' && b[i+1] == '\n' {
			return i + 2
		}
	}
}

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

func (p *parser) checkSize(n int) {
	if n > p.lim.Message {
		p.refuseWith(513, "", p.lim.Message, "message too large")
	}
}

// head reads start line and headers; nil when b does not begin a SIP message.
func (p *parser) head(b []byte) *Message {
	p.length = -1
	s := string(b)
	m := newMessage()
	line, n, _ := p.line(s, b, 0)
	if !p.startLine(m, line) {
		p.err = &ParseError{Offset: p.base, Msg: "not a SIP message"}
		return nil
	}
	for n < len(s) && s[n] != '\r' {
		if len(m.headers) == p.lim.Headers {
			p.refuseWith(513, "", n, "too many headers")
			break
		}
		from, sound := n, false
		if line, n, sound = p.line(s, b, n); sound {
			p.header(m, line, from)
		}
	}
	return m
}

// line gives the line that begins at from, with its folds and its line break,
// and where the next one begins. Of an unsound line nothing may be kept: an
// answer would carry it back.
func (p *parser) line(s string, b []byte, from int) (line string, next int, sound bool) {
	next = from
	for {
		i := strings.IndexByte(s[next:], '\n')
		if i < 0 {
			p.refuse("", from, "line without end")
			return s[from:], len(s), false
		}
		next += i + 1
		if from == 0 || next == len(s) || !isBlank(s[next]) {
			break
		}
	}
	line = s[from:next]
	switch end := next - 2; {
	case len(line) > p.lim.Line && from == 0:
		p.refuseWith(414, "", from, "request line too long")
	case len(line) > p.lim.Line:
		p.refuseWith(513, "", from, "header line too long")
	case end < from || s[end] != '\r':
		p.refuse("", next-1, "LF without CR")
	case hasControl(b[from:end]) && !p.controlsAllowed(s[from:end], from):
	default:
		return line, next, true
	}
	return line, next, false
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
	if first < 0 || last <= first || !clsToken.all(line[:first]) || !p.version(trimmed[last+1:], last+1) {
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
func (p *parser) header(m *Message, line string, from int) {
	h := header{raw: line, off: uint32(p.base + from)}
	n := clsToken.span(line)
	h.nameEnd = uint32(n)
	for n < len(line) && isBlank(line[n]) {
		n++
	}
	if h.nameEnd == 0 || n == len(line) || line[n] != ':' {
		p.refuse("", from+n, "malformed header name")
		return
	}
	end := len(line)
	for end > n+1 && line[end-1] <= ' ' {
		end--
	}
	for n++; n < end && line[n] <= ' '; n++ {
	}
	h.value, h.valueEnd = uint32(n), uint32(end)
	h.folded = strings.IndexByte(line[n:end], '\n') >= 0
	if h.id = headerIDOf(line[:h.nameEnd]); h.id == hdrContentLength {
		p.contentLength(&h, from)
	}
	m.headers = append(m.headers, h)
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

func (p *parser) datagramBody(m *Message, rest []byte, off int) {
	switch n := p.length; {
	case n > len(rest):
		p.refuse("Content-Length", off, "beyond the end of the datagram")
	case n >= 0:
		rest = rest[:n]
	}
	p.body(m, rest, off)
}

func (p *parser) body(m *Message, b []byte, off int) {
	if len(b) > p.lim.Body {
		p.refuseWith(413, "", off, "body too large")
	}
	if p.err == nil && len(b) > 0 {
		m.Body = bytes.Clone(b)
	}
}
