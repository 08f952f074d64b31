package codec

import "encoding/binary"

// EventSize is the octets of one telephone event.
const EventSize = 4

// Event is the payload of telephone-event (RFC 4733 2.3).
type Event struct {
	Code     uint8  // 0-9, 10 = *, 11 = #, 12-15 = A-D, 16 = hook flash
	End      bool   // the event is over
	Volume   uint8  // -dBm0, 0 to 63
	Duration uint16 // so far, in timestamp units
}

const eventDigits = "0123456789*#ABCD"

// EventOf is the event of a digit; false when it is none.
func EventOf(digit byte) (code uint8, ok bool) {
	for i := range len(eventDigits) {
		if eventDigits[i] == digit || eventDigits[i] == digit&^0x20 && digit >= 'a' {
			return uint8(i), true
		}
	}
	return 0, false
}

// Digit is the event's key; 0 when it is not one.
func (e Event) Digit() byte {
	if int(e.Code) < len(eventDigits) {
		return eventDigits[e.Code]
	}
	return 0
}

// ParseEvent reads the payload. Of several (RFC 4733 2.4 allows redundant ones
// only in RFC 2198 packets) the first counts.
func ParseEvent(b []byte) (Event, error) {
	if len(b) < EventSize {
		return Event{}, ErrPayload
	}
	return Event{Code: b[0], End: b[1]&0x80 != 0, Volume: b[1] & 0x3f, Duration: binary.BigEndian.Uint16(b[2:])}, nil
}

// Append writes the payload.
func (e Event) Append(dst []byte) []byte {
	b := e.Volume & 0x3f
	if e.End {
		b |= 0x80
	}
	return binary.BigEndian.AppendUint16(append(dst, e.Code, b), e.Duration)
}
