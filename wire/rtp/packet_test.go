package rtp

import (
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

func TestHostilePackets(t *testing.T) {
	whole := packet(7, 1)
	with := func(change func(b []byte) []byte) []byte { return change(append([]byte(nil), whole...)) }
	for _, c := range []struct {
		name string
		pkt  []byte
		want Cause
	}{
		{"nothing at all", nil, TooShort},
		{"one octet", []byte{0x80}, TooShort},
		{"eleven octets", whole[:11], TooShort},
		{"a header alone", whole[:12], passed},
		{"a whole packet", whole, passed},
		{"version 1", with(func(b []byte) []byte { b[0] = 0x40; return b }), BadVersion},
		{"STUN, which has version 0", with(func(b []byte) []byte { b[0] = 0; return b }), BadVersion},
		{"fifteen CSRCs in a header alone", with(func(b []byte) []byte { b[0] |= 15; return b[:12+59] }), TooShort},
		{"fifteen CSRCs that are there", with(func(b []byte) []byte { b[0] |= 15; return b[:12+60] }), passed},
		{"an extension without its header", with(func(b []byte) []byte { b[0] |= 0x10; return b[:15] }), TooShort},
		{"an extension past the end", with(func(b []byte) []byte { b[0] |= 0x10; b[14], b[15] = 0xff, 0xff; return b }), TooShort},
		{"an extension that fits", with(func(b []byte) []byte { b[0] |= 0x10; b[14], b[15] = 0, 39; return b }), passed},
		{"padding of the whole payload", with(func(b []byte) []byte { b[0] |= 0x20; b[171] = 160; return b }), passed},
		{"padding that eats the header", with(func(b []byte) []byte { b[0] |= 0x20; b[171] = 161; return b }), TooShort},
		{"padding of nothing", with(func(b []byte) []byte { b[0] |= 0x20; b[171] = 0; return b }), TooShort},
	} {
		h, got := parseRTP(c.pkt)
		if got == passed {
			got = h.checkPadding(c.pkt)
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestHostileControlPackets(t *testing.T) {
	rr := []byte{0x80, 201, 0, 1, 0, 0, 0, 7}
	for _, c := range []struct {
		name string
		pkt  []byte
		want Cause
	}{
		{"a receiver report", rr, passed},
		{"two of them", append(rr[:8:8], rr...), passed},
		{"four octets", rr[:4], TooShort},
		{"a length past the end", []byte{0x80, 201, 0, 2, 0, 0, 0, 7}, TooShort},
		{"a second part cut short", append(rr[:8:8], 0x80, 202, 0), TooShort},
		{"a second part of version 0", append(rr[:8:8], 0, 202, 0, 0), BadVersion},
		{"RTP", packet(7, 1), UnknownType},
	} {
		_, got := parseRTCP(c.pkt)
		if got == passed {
			got = checkCompound(c.pkt)
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// FuzzParse holds our reading of headers against another implementation's.
func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(packet(7, 65535))
	f.Add([]byte{0x9f, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0xb0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 1})
	f.Add([]byte{0x81, 200, 0, 6, 0, 0, 0, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, cause := parseRTP(b)
		if cause == passed {
			cause = h.checkPadding(b)
		}
		var oracle rtp.Packet
		if err := oracle.Unmarshal(b); err == nil && oracle.Version == 2 {
			if cause != passed {
				t.Fatalf("refused as %v: %v", cause, oracle)
			}
			if h.pt != oracle.PayloadType || h.seq != oracle.SequenceNumber || h.time != oracle.Timestamp || h.ssrc != oracle.SSRC {
				t.Fatalf("%+v, want %v", h, oracle)
			}
		}
		h, cause = parseRTCP(b)
		if cause == passed {
			cause = checkCompound(b)
		}
		if packets, err := rtcp.Unmarshal(b); err == nil && looksRTCP(b) && len(b) >= rtcpHeader {
			if cause != passed {
				t.Fatalf("refused as %v: %v", cause, packets)
			}
		}
	})
}
