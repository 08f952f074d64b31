package sdp

import (
	"strconv"
	"strings"
	"time"
)

// bandwidth is the b= lines of a section: what its most demanding voice codec
// takes, with the headers of IP, UDP and RTP in kbit/s (AS, RFC 8866 5.8; for
// AMR the values of 3GPP TS 26.114 annex K come out) and without them in bit/s
// (TIAS, RFC 3890). None where a codec has a rate that we do not know.
func bandwidth(m *Media) []Line {
	ptime := m.Ptime
	if ptime <= 0 {
		ptime = 20 * time.Millisecond // RFC 3551 4.5
	}
	headers := 20 + 8 + 12
	if m.Conn.Type == "IP6" {
		headers += 20
	}
	most := 0
	for _, c := range m.Codecs {
		if !c.voice() {
			continue
		}
		n := c.octets(ptime)
		if n == 0 {
			return nil
		}
		most = max(most, n)
	}
	if most == 0 {
		return nil
	}
	ms := int(ptime / time.Millisecond)
	return []Line{
		{Type: 'b', Value: "AS:" + strconv.Itoa(((most+headers)*8+ms-1)/ms)},
		{Type: 'b', Value: "TIAS:" + strconv.Itoa(most*8*1000/ms)},
	}
}

// Bits of a frame of 20 ms by mode (3GPP TS 26.101 table 1, TS 26.201 table 1).
var (
	amrBits     = []int{95, 103, 118, 134, 148, 159, 204, 244}
	amrWideBits = []int{132, 177, 253, 285, 317, 365, 397, 461, 477}
)

// octets is the largest payload of a packet; 0 = unknown.
func (c Codec) octets(ptime time.Duration) int {
	rate := func(bits int) int { return int(time.Duration(bits) * ptime / time.Second / 8) }
	switch strings.ToUpper(c.Name) {
	case "PCMA", "PCMU", "G722":
		return rate(64000)
	case "G729":
		return rate(8000)
	case "OPUS":
		return rate(40000) // wideband speech at its best (RFC 7587 3.1.1)
	case "AMR":
		return c.frames(amrBits, ptime)
	case "AMR-WB":
		return c.frames(amrWideBits, ptime)
	}
	return 0
}

// frames is the payload of AMR: a request, a table of contents and the frames
// (RFC 4867 4.3, 4.4).
func (c Codec) frames(bits []int, ptime time.Duration) int {
	mode := len(bits) - 1
	for p := range strings.SplitSeq(c.Fmtp, ";") {
		if set, ok := strings.CutPrefix(strings.TrimSpace(p), "mode-set="); ok {
			mode = 0
			for m := range strings.SplitSeq(set, ",") {
				if n, err := strconv.Atoi(strings.TrimSpace(m)); err == nil && n < len(bits) {
					mode = max(mode, n)
				}
			}
		}
	}
	n := max(1, int(ptime/(20*time.Millisecond)))
	if octetAlign(c) {
		return 1 + n*(1+(bits[mode]+7)/8)
	}
	return (4 + n*(6+bits[mode]) + 7) / 8
}
