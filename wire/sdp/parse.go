package sdp

import (
	"fmt"
	"strings"
	"time"
)

// Limits of one description. They are far above anything a telephone sends
// and low enough that a hostile body costs nothing.
const (
	MaxBytes  = 128 << 10 // whole body
	MaxLines  = 1024      // lines of the whole body
	MaxMedia  = 32        // media sections
	MaxCodecs = 64        // formats of one media section
	MaxLine   = 8 << 10   // bytes of one line
)

// ParseError says where a description is wrong.
type ParseError struct {
	Line   int // counted from 1
	Offset int // first byte of that line in the body, counted from 0
	Msg    string
}

// Error names line, byte and reason.
func (e *ParseError) Error() string {
	return fmt.Sprintf("sdp: line %d, byte %d: %s", e.Line, e.Offset, e.Msg)
}

// Parse reads a description. The result holds no reference to b.
//
// What decides where media goes must be right (v=, o=, c=, m=); a malformed
// attribute is kept as an unknown line, since refusing a call for an attribute
// nobody reads helps nobody.
func Parse(b []byte) (*Session, error) {
	if len(b) > MaxBytes {
		return nil, &ParseError{1, 0, "description too long"}
	}
	p := parser{text: string(b)}
	if msg := p.run(); msg != "" {
		return nil, &ParseError{p.line, p.start, msg}
	}
	return p.s, nil
}

// parser walks the text once; all strings of the result are parts of text.
type parser struct {
	text      string
	line      int // number of the current line
	start     int // its first byte
	s         *Session
	m         *Media // current section, nil at session level
	lines     []Line // one array behind every Lines of the result
	cut       int    // where the current section's part of lines begins
	seen      uint16 // fields already met in the current section
	direction Direction
	origin    bool // o= was met
	zero      bool // there is a zero byte somewhere
}

func (p *parser) run() string {
	p.s = &Session{}
	p.zero = strings.IndexByte(p.text, 0) >= 0
	n := strings.Count(p.text, "\n") + 1
	if n > MaxLines {
		p.line = MaxLines
		return "too many lines"
	}
	p.lines = make([]Line, 0, min(n, 16)) // most lines become fields
	sections := strings.Count(p.text, "\nm=")
	if sections > MaxMedia {
		return "too many media sections"
	}
	p.s.Media = make([]Media, 0, sections)
	for next := 0; next < len(p.text); {
		p.line, p.start = p.line+1, next
		end := strings.IndexByte(p.text[next:], '\n')
		if end < 0 {
			end, next = len(p.text), len(p.text)
		} else {
			end, next = next+end, next+end+1
		}
		if end > p.start && p.text[end-1] == '\r' {
			end--
		}
		if end == p.start {
			continue // blank lines, mostly at the end, mean nothing
		}
		if msg := p.readLine(p.text[p.start:end]); msg != "" {
			return msg
		}
	}
	if !p.origin {
		return "no o= line"
	}
	p.closeSection()
	return ""
}

func (p *parser) readLine(l string) string {
	switch {
	case len(l) > MaxLine:
		return "line too long"
	case len(l) < 2 || l[1] != '=' || l[0] < 'a' || l[0] > 'z':
		return "not a line of the form x=value"
	case strings.IndexByte(l, '\r') >= 0 || (p.zero && strings.IndexByte(l, 0) >= 0):
		return "control character"
	}
	typ, v := l[0], l[2:]
	if (typ == 'v') != (p.line == 1) {
		return "v= must be the first line and only that"
	}
	switch typ {
	case 'v':
		if v != "0" {
			return "version is not 0"
		}
	case 'o', 's', 't':
		return p.head(typ, v)
	case 'c':
		return p.conn(v)
	case 'm':
		return p.media(v)
	case 'a':
		p.attribute(v)
	default:
		p.keep(typ, v)
	}
	return ""
}

func (p *parser) head(typ byte, v string) string {
	if p.m != nil {
		return "session line after the first m="
	}
	switch {
	case typ == 'o' && !p.origin:
		p.origin = true
		return p.readOrigin(v)
	case typ == 'o':
		return "second o= line"
	case typ == 's':
		p.s.Name = v
	case p.first(fieldTiming):
		p.s.Timing = v
	default:
		p.keep(typ, v)
	}
	return ""
}

func (p *parser) readOrigin(v string) string {
	var f [6]string
	if fields(v, f[:]) != 6 || f[3] != "IN" {
		return "o= needs: user id version IN type address"
	}
	p.s.Origin = Origin{User: f[0], ID: f[1], Version: f[2], Conn: Conn{f[4], f[5]}}
	return ""
}

func (p *parser) conn(v string) string {
	var f [3]string
	if fields(v, f[:]) != 3 || f[0] != "IN" || (f[1] != "IP4" && f[1] != "IP6") {
		return "c= needs: IN IP4 or IP6 and an address"
	}
	host, _, _ := cut(f[2], '/') // a TTL speaks of multicast only
	if host == "" {
		return "c= without an address"
	}
	if !p.first(fieldConn) {
		p.keep('c', v) // several c= lines are legal for layered media; the first counts
		return ""
	}
	if p.m != nil {
		p.m.Conn = Conn{f[1], host}
	} else {
		p.s.Conn = Conn{f[1], host}
	}
	return ""
}

func (p *parser) media(v string) string {
	kind, rest, ok1 := cut(v, ' ')
	port, rest, ok2 := cut(rest, ' ')
	proto, formats, ok3 := cut(rest, ' ')
	if !ok1 || !ok2 || !ok3 || kind == "" || proto == "" {
		return "m= needs: kind port protocol formats"
	}
	port, _, _ = cut(port, '/') // a count of ports belongs to layered media
	n, ok := number(port, 65535)
	if !ok {
		return "m= with a bad port"
	}
	p.closeSection()
	p.s.Media = append(p.s.Media, Media{
		Kind: kind, Port: uint16(n), Proto: proto,
		Conn: p.s.Conn, Direction: p.direction,
	})
	p.m = &p.s.Media[len(p.s.Media)-1]
	return p.formats(formats)
}

func (p *parser) formats(v string) string {
	v = strings.Trim(v, " ")
	n := strings.Count(v, " ") + 1
	switch {
	case v == "":
		return "m= without a format"
	case n > MaxCodecs:
		return "too many formats"
	case p.m.RTP():
		p.m.Codecs = make([]Codec, 0, n)
	}
	for v != "" {
		var f string
		f, v, _ = cut(v, ' ')
		if f == "" {
			continue
		}
		if !p.m.RTP() {
			p.m.Formats = append(p.m.Formats, f)
			continue
		}
		pt, ok := number(f, 127)
		if !ok {
			return "RTP payload type is not a number up to 127"
		}
		// Written twice, the number would stand for two formats once a rtpmap
		// follows; the first place is the preference.
		if p.m.codec(uint8(pt)) == nil {
			p.m.Codecs = append(p.m.Codecs, staticCodec(uint8(pt)))
		}
	}
	return ""
}

// closeSection hands the current section its part of the lines.
func (p *parser) closeSection() {
	mine := p.lines[p.cut:len(p.lines):len(p.lines)]
	if p.m != nil {
		p.m.Lines = mine
	} else {
		p.s.Lines = mine
	}
	p.cut, p.seen = len(p.lines), 0
}

// first notes the place of a field and reports whether it is new here.
func (p *parser) first(f field) bool {
	if p.seen&(1<<f) != 0 {
		return false
	}
	p.seen |= 1 << f
	p.lines = append(p.lines, Line{field: f})
	return true
}

func (p *parser) keep(typ byte, v string) {
	p.lines = append(p.lines, Line{Type: typ, Value: v})
}

// attribute reads one a= line into its field, or keeps it.
func (p *parser) attribute(a string) {
	name, v, _ := cut(a, ':')
	if p.m == nil {
		if d, ok := directionOf(name); ok {
			p.direction = d // inherited by each section, where it is written again
			return
		}
	} else if p.mediaAttribute(name, v) {
		return
	}
	p.keep('a', a)
}

func (p *parser) mediaAttribute(name, v string) bool {
	m := p.m
	switch name {
	case "rtpmap":
		return m.readRtpmap(v) && p.place(fieldCodecs)
	case "fmtp":
		return m.readFmtp(v) && p.place(fieldCodecs)
	case "crypto":
		c, ok := parseCrypto(v)
		if ok {
			if m.Crypto == nil {
				m.Crypto = make([]Crypto, 0, 2)
			}
			m.Crypto = append(m.Crypto, c)
		}
		return ok && p.place(fieldCrypto)
	case "rtcp":
		r, ok := parseRTCP(v)
		if !ok || !p.first(fieldRTCP) {
			return false
		}
		m.RTCP = r
	case "rtcp-mux":
		m.Mux = true
		p.place(fieldMux)
	case "ptime":
		return p.readPtime(&m.Ptime, v, fieldPtime)
	case "maxptime":
		return p.readPtime(&m.MaxPtime, v, fieldMaxPtime)
	case "mid":
		return p.readText(&m.Mid, v, fieldMid)
	case "label":
		return p.readText(&m.Label, v, fieldLabel)
	default:
		d, ok := directionOf(name)
		if !ok {
			return false
		}
		m.Direction = d
		p.place(fieldDirection)
	}
	return true
}

// place notes a field that may come in several lines; they are written
// together where the first one stood.
func (p *parser) place(f field) bool {
	p.first(f)
	return true
}

func (p *parser) readPtime(to *time.Duration, v string, f field) bool {
	// Ten seconds is far beyond any packet; more is nonsense or hostile.
	ms, ok := number(strings.Trim(v, " "), 10_000)
	if !ok || ms == 0 || !p.first(f) {
		return false
	}
	*to = time.Duration(ms) * time.Millisecond
	return true
}

func (p *parser) readText(to *string, v string, f field) bool {
	if v == "" || !p.first(f) {
		return false
	}
	*to = v
	return true
}

// readRtpmap fills in the codec of the number; false when the m= line does
// not list it or the line is malformed.
func (m *Media) readRtpmap(v string) bool {
	c, enc := m.codecLine(v)
	if c == nil {
		return false
	}
	name, rate, ok := cut(enc, '/')
	rate, channels, more := cut(rate, '/')
	hz, isRate := number(rate, 1<<30)
	if !ok || name == "" || !isRate || hz == 0 {
		return false
	}
	n := 0
	if more {
		if n, ok = number(channels, 255); !ok || n == 0 {
			return false
		}
	}
	c.Name, c.Rate, c.Channels = name, hz, n
	return true
}

func (m *Media) readFmtp(v string) bool {
	c, params := m.codecLine(v)
	if c == nil || c.Fmtp != "" || params == "" {
		return false
	}
	c.Fmtp = params
	return true
}

// codecLine splits "<payload type> <value>" and finds the codec.
func (m *Media) codecLine(v string) (*Codec, string) {
	num, value, _ := cut(v, ' ')
	pt, ok := number(num, 127)
	if !ok {
		return nil, ""
	}
	return m.codec(uint8(pt)), strings.Trim(value, " ")
}

// codec is the format of that payload type, nil when the section has none.
func (m *Media) codec(pt uint8) *Codec {
	for i := range m.Codecs {
		if m.Codecs[i].PT == pt {
			return &m.Codecs[i]
		}
	}
	return nil
}

// parseCrypto reads "tag suite inline:key|lifetime|mki params". RFC 4568 9.1:
// lifetime and MKI are both optional; only the MKI holds a colon.
func parseCrypto(v string) (Crypto, bool) {
	tag, rest, ok1 := cut(v, ' ')
	suite, rest, ok2 := cut(strings.TrimLeft(rest, " "), ' ')
	rest, ok3 := strings.CutPrefix(strings.TrimLeft(rest, " "), "inline:")
	if !ok1 || !ok2 || !ok3 || tag == "" || suite == "" {
		return Crypto{}, false
	}
	c := Crypto{Tag: tag, Suite: suite}
	end := strings.IndexAny(rest, " ;")
	if end < 0 {
		end = len(rest)
	}
	c.Params = rest[end:]
	key, rest, _ := cut(rest[:end], '|')
	c.Inline = key
	for rest != "" {
		var part string
		part, rest, _ = cut(rest, '|')
		switch {
		case strings.Contains(part, ":") && c.MKI == "":
			c.MKI = part
		case c.Lifetime == "" && c.MKI == "":
			c.Lifetime = part
		default:
			return Crypto{}, false
		}
	}
	return c, c.Inline != ""
}

// parseRTCP reads "port" or "port IN IP4 address" (RFC 3605 2.1).
func parseRTCP(v string) (RTCP, bool) {
	var f [4]string
	n := fields(v, f[:])
	port, ok := number(f[0], 65535)
	if !ok || port == 0 || (n != 1 && (n != 4 || f[1] != "IN")) {
		return RTCP{}, false
	}
	return RTCP{Port: uint16(port), Conn: Conn{f[2], f[3]}}, true
}

func directionOf(name string) (Direction, bool) {
	switch name {
	case "sendrecv":
		return SendRecv, true
	case "sendonly":
		return SendOnly, true
	case "recvonly":
		return RecvOnly, true
	case "inactive":
		return Inactive, true
	}
	return 0, false
}

func isRTP(proto string) bool {
	i := strings.LastIndex(proto, "RTP/")
	if i < 0 || (i > 0 && proto[i-1] != '/') {
		return false
	}
	switch proto[i+4:] {
	case "AVP", "AVPF", "SAVP", "SAVPF":
		return true
	}
	return false
}

// staticCodec is the codec RFC 3551 table 4 gives a number, for the ones
// telephones still leave without rtpmap.
func staticCodec(pt uint8) Codec {
	switch pt {
	case 0:
		return Codec{PT: pt, Name: "PCMU", Rate: 8000}
	case 3:
		return Codec{PT: pt, Name: "GSM", Rate: 8000}
	case 4:
		return Codec{PT: pt, Name: "G723", Rate: 8000}
	case 8:
		return Codec{PT: pt, Name: "PCMA", Rate: 8000}
	case 9:
		return Codec{PT: pt, Name: "G722", Rate: 8000} // 8000 by an old mistake: RFC 3551 4.5.2
	case 13:
		return Codec{PT: pt, Name: "CN", Rate: 8000}
	case 18:
		return Codec{PT: pt, Name: "G729", Rate: 8000}
	}
	return Codec{PT: pt}
}

// cut is strings.Cut at a byte; together with number it is a third of the time.
func cut(s string, at byte) (before, after string, found bool) {
	if i := strings.IndexByte(s, at); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// number reads decimal digits up to limit, which is below 2^31.
func number(s string, limit int) (int, bool) {
	n := 0
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		if n = 10*n + int(c); n > limit {
			return 0, false
		}
	}
	return n, s != ""
}

// fields splits v at blanks into f and returns how many parts there are,
// len(f)+1 when more than fit.
func fields(v string, f []string) int {
	n := 0
	for {
		v = strings.TrimLeft(v, " ")
		if v == "" {
			return n
		}
		if n == len(f) {
			return n + 1
		}
		f[n], v, _ = cut(v, ' ')
		n++
	}
}
