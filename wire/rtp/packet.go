package rtp

import "encoding/binary"

const (
	rtpHeader  = 12
	rtcpHeader = 8 // with the SSRC, which every type we let through has
	maxPacket  = 2048
)

// header is what the loop needs of an RTP header, or of the first header of
// an RTCP packet, where only ssrc is set.
type header struct {
	rtcp   bool
	pt     uint8
	padded bool
	kept   bool   // for the Sink alone
	clock  uint32 // of the stream; set when the packet is heard
	seq    uint16
	time   uint32
	ssrc   uint32
	size   int // with CSRCs and extension
}

// parseRTP reads what SRTP leaves in the clear (RFC 3550 §5.1, RFC 3711 §3.1).
func parseRTP(b []byte) (header, Cause) {
	if len(b) < rtpHeader {
		return header{}, TooShort
	}
	if b[0]>>6 != 2 {
		return header{}, BadVersion
	}
	h := header{
		pt:     b[1] & 0x7f,
		padded: b[0]&0x20 != 0,
		seq:    binary.BigEndian.Uint16(b[2:]),
		time:   binary.BigEndian.Uint32(b[4:]),
		ssrc:   binary.BigEndian.Uint32(b[8:]),
		size:   rtpHeader + 4*int(b[0]&0x0f),
	}
	if b[0]&0x10 != 0 {
		if len(b) < h.size+4 {
			return header{}, TooShort
		}
		h.size += 4 + 4*int(binary.BigEndian.Uint16(b[h.size+2:]))
	}
	if len(b) < h.size {
		return header{}, TooShort
	}
	return h, passed
}

// checkPadding looks at the last octet, which SRTP encrypts.
func (h header) checkPadding(b []byte) Cause {
	if !h.padded {
		return passed
	}
	if pad := int(b[len(b)-1]); pad == 0 || h.size+pad > len(b) {
		return TooShort
	}
	return passed
}

// parseRTCP reads what SRTCP leaves in the clear (RFC 3550 §6.4.1).
func parseRTCP(b []byte) (header, Cause) {
	switch {
	case len(b) < rtcpHeader:
		return header{}, TooShort
	case b[0]>>6 != 2:
		return header{}, BadVersion
	case !looksRTCP(b):
		return header{}, UnknownType
	}
	return header{rtcp: true, ssrc: binary.BigEndian.Uint32(b[4:])}, passed
}

// checkCompound walks a whole RTCP packet: every part of version 2, their
// lengths adding up (RFC 3550 A.2). Which types come in which order is the
// receiver's to judge; RFC 5506 lets single ones stand alone.
func checkCompound(b []byte) Cause {
	for len(b) > 0 {
		if len(b) < 4 {
			return TooShort
		}
		if b[0]>>6 != 2 {
			return BadVersion
		}
		size := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if size > len(b) {
			return TooShort
		}
		b = b[size:]
	}
	return passed
}

// looksRTCP tells RTCP from RTP on one port by the packet types 192 to 223,
// which are the payload numbers 64 to 95 with the marker set (RFC 5761 §4).
func looksRTCP(b []byte) bool { return len(b) > 1 && b[1] >= 192 && b[1] <= 223 }

// Packet is what a Sink may want to know of an RTP packet.
type Packet struct {
	PT      uint8
	Marker  bool
	Seq     uint16
	Stamp   uint32
	SSRC    uint32
	Payload []byte // of the packet, not copied; without padding
}

// Read takes an RTP packet apart; false when it is none.
func Read(pkt []byte) (Packet, bool) {
	h, cause := parseRTP(pkt)
	if cause != passed || h.checkPadding(pkt) != passed {
		return Packet{}, false
	}
	end := len(pkt)
	if h.padded {
		end -= int(pkt[end-1])
	}
	return Packet{h.pt, pkt[1]&0x80 != 0, h.seq, h.time, h.ssrc, pkt[h.size:end]}, true
}
