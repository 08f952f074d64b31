package sdp

import (
	"strconv"
	"time"
)

// Append writes the description, CRLF after each line.
func (s *Session) Append(dst []byte) []byte {
	dst = append(dst, "v=0\r\no="...)
	dst = append(dst, s.Origin.User...)
	dst = append(dst, ' ')
	dst = append(dst, s.Origin.ID...)
	dst = append(dst, ' ')
	dst = append(dst, s.Origin.Version...)
	dst = append(dst, ' ')
	dst = s.Origin.Conn.append(dst)
	dst = append(dst, "\r\ns="...)
	if s.Name == "" {
		dst = append(dst, '-') // RFC 8866 5.3: s= must not be empty
	}
	dst = append(dst, s.Name...)
	dst = append(dst, "\r\n"...)
	dst = appendLines(dst, s.Lines, s.appendField)
	for i := range s.Media {
		dst = s.appendMedia(dst, &s.Media[i])
	}
	return dst
}

// Bytes is the written description.
func (s *Session) Bytes() []byte { return s.Append(make([]byte, 0, 512)) }

func (s *Session) appendMedia(dst []byte, m *Media) []byte {
	dst = append(dst, "m="...)
	dst = append(dst, m.Kind...)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, uint64(m.Port), 10)
	dst = append(dst, ' ')
	dst = append(dst, m.Proto...)
	for _, f := range m.Formats {
		dst = append(dst, ' ')
		dst = append(dst, f...)
	}
	for i := range m.Codecs {
		dst = append(dst, ' ')
		dst = strconv.AppendUint(dst, uint64(m.Codecs[i].PT), 10)
	}
	dst = append(dst, "\r\n"...)
	return appendLines(dst, m.Lines, func(dst []byte, f field, placed bool) []byte {
		return m.appendField(dst, f, placed, s.Conn)
	})
}

// appendLines writes kept lines in their order, fields where they stood, and
// then the fields that stood nowhere.
func appendLines(dst []byte, lines []Line, write func([]byte, field, bool) []byte) []byte {
	var done uint16
	for i := range lines {
		if f := lines[i].field; f != unknown {
			dst = write(dst, f, true)
			done |= 1 << f
			continue
		}
		dst = append(dst, lines[i].Type, '=')
		dst = append(dst, lines[i].Value...)
		dst = append(dst, "\r\n"...)
	}
	for f := unknown + 1; f < fieldEnd; f++ {
		if done&(1<<f) == 0 {
			dst = write(dst, f, false)
		}
	}
	return dst
}

func (s *Session) appendField(dst []byte, f field, _ bool) []byte {
	switch {
	case f == fieldConn && s.Conn != Conn{}:
		dst = append(dst, "c="...)
		dst = s.Conn.append(dst)
	case f == fieldTiming:
		dst = append(dst, "t="...)
		if s.Timing == "" {
			dst = append(dst, "0 0"...)
		}
		dst = append(dst, s.Timing...)
	default:
		return dst
	}
	return append(dst, "\r\n"...)
}

func (m *Media) appendField(dst []byte, f field, placed bool, session Conn) []byte {
	switch f {
	case fieldConn:
		if m.Conn == (Conn{}) || (m.Conn == session && !placed) {
			return dst
		}
		dst = append(dst, "c="...)
		dst = m.Conn.append(dst)
	case fieldCodecs:
		return m.appendCodecs(dst)
	case fieldCrypto:
		for i := range m.Crypto {
			dst = m.Crypto[i].append(dst)
		}
		return dst
	case fieldRTCP:
		return m.RTCP.append(dst)
	case fieldMux:
		if !m.Mux {
			return dst
		}
		dst = append(dst, "a=rtcp-mux"...)
	case fieldPtime:
		return appendTime(dst, "a=ptime:", m.Ptime)
	case fieldMaxPtime:
		return appendTime(dst, "a=maxptime:", m.MaxPtime)
	case fieldMid:
		return appendText(dst, "a=mid:", m.Mid)
	case fieldLabel:
		return appendText(dst, "a=label:", m.Label)
	case fieldDirection:
		// Silence means sendrecv, but equipment that misses the word exists. A
		// section that is refused or carries no RTP needs none.
		if m.Port == 0 || !m.RTP() {
			if !placed {
				return dst
			}
		}
		dst = append(dst, "a="...)
		dst = append(dst, m.Direction.String()...)
	default:
		return dst
	}
	return append(dst, "\r\n"...)
}

func (m *Media) appendCodecs(dst []byte) []byte {
	for i := range m.Codecs {
		c := &m.Codecs[i]
		if c.Name != "" {
			dst = append(dst, "a=rtpmap:"...)
			dst = strconv.AppendUint(dst, uint64(c.PT), 10)
			dst = append(dst, ' ')
			dst = append(dst, c.Name...)
			dst = append(dst, '/')
			dst = strconv.AppendInt(dst, int64(c.Rate), 10)
			if c.Channels > 0 {
				dst = append(dst, '/')
				dst = strconv.AppendInt(dst, int64(c.Channels), 10)
			}
			dst = append(dst, "\r\n"...)
		}
		if c.Fmtp != "" {
			dst = append(dst, "a=fmtp:"...)
			dst = strconv.AppendUint(dst, uint64(c.PT), 10)
			dst = append(dst, ' ')
			dst = append(dst, c.Fmtp...)
			dst = append(dst, "\r\n"...)
		}
	}
	return dst
}

func (c *Crypto) append(dst []byte) []byte {
	dst = append(dst, "a=crypto:"...)
	dst = append(dst, c.Tag...)
	dst = append(dst, ' ')
	dst = append(dst, c.Suite...)
	dst = append(dst, " inline:"...)
	dst = append(dst, c.Inline...)
	if c.Lifetime != "" {
		dst = append(dst, '|')
		dst = append(dst, c.Lifetime...)
	}
	if c.MKI != "" {
		dst = append(dst, '|')
		dst = append(dst, c.MKI...)
	}
	dst = append(dst, c.Params...)
	return append(dst, "\r\n"...)
}

func (r RTCP) append(dst []byte) []byte {
	if r.Port == 0 {
		return dst
	}
	dst = append(dst, "a=rtcp:"...)
	dst = strconv.AppendUint(dst, uint64(r.Port), 10)
	if r.Conn != (Conn{}) {
		dst = append(dst, ' ')
		dst = r.Conn.append(dst)
	}
	return append(dst, "\r\n"...)
}

func (c Conn) append(dst []byte) []byte {
	dst = append(dst, "IN "...)
	dst = append(dst, c.Type...)
	dst = append(dst, ' ')
	return append(dst, c.Host...)
}

func appendTime(dst []byte, name string, d time.Duration) []byte {
	if d <= 0 {
		return dst
	}
	dst = append(dst, name...)
	dst = strconv.AppendInt(dst, d.Milliseconds(), 10)
	return append(dst, "\r\n"...)
}

func appendText(dst []byte, name, v string) []byte {
	if v == "" {
		return dst
	}
	dst = append(dst, name...)
	dst = append(dst, v...)
	return append(dst, "\r\n"...)
}
