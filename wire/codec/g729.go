package codec

import (
	"errors"
	"strings"
)

// G.729 (payload RFC 3551 4.5.6) through libbcg729, whose licence is the GPL:
// nothing here needs it, and who installs it decides.
var g729Lib = &library{codec: "G729", file: "libbcg729.so.0", names: []string{
	"initBcg729DecoderChannel", "bcg729Decoder", "closeBcg729DecoderChannel",
	"initBcg729EncoderChannel", "bcg729Encoder", "closeBcg729EncoderChannel",
}}

const (
	g729DecoderInit = iota
	g729Decode
	g729DecoderExit
	g729EncoderInit
	g729Encode
	g729EncoderExit
)

const (
	g729Samples = 80
	g729Octets  = 10
	g729SID     = 2
	g729Frames  = 24 // in one payload, 240 ms
)

type g729Decoder struct {
	state uintptr
	args  scratch
	frame [g729Octets]byte
	pcm   [g729Samples]int16
	last  int
	rests bool // the last frame has described noise
}

func newG729Decoder(Format) (Decoder, error) {
	d := &g729Decoder{last: 2}
	if d.state = g729Lib.call(g729DecoderInit, &d.args); d.state == 0 {
		return nil, errors.New("codec: no memory for a G.729 decoder")
	}
	return d, nil
}

// Decode reads frames of 10 octets, and at the end perhaps one of two, which
// describes noise (annex B).
func (d *g729Decoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	voice, rest := len(payload)/g729Octets, len(payload)%g729Octets
	if len(payload) == 0 || voice > g729Frames || rest != 0 && rest != g729SID {
		return dst, ErrPayload
	}
	d.last = 0
	for len(payload) > 0 {
		n := copy(d.frame[:], payload)
		payload = payload[n:]
		dst = d.run(dst, n, 0)
	}
	return dst, nil
}

func (d *g729Decoder) run(dst []int16, n int, erased uintptr) []int16 {
	var sid uintptr
	if n == g729SID {
		sid = 1
	}
	if n > 0 {
		d.rests = n == g729SID
	}
	g729Lib.call(g729Decode, &d.args, d.state, at(&d.frame[0]), uintptr(n), erased, sid, 0, at(&d.pcm[0]))
	d.last++
	return append(dst, d.pcm[:]...)
}

// Conceal lets the library guess; it knows the codec's own state.
func (d *g729Decoder) Conceal(dst []int16) []int16 {
	n := d.last
	d.last = 0
	for range n {
		dst = d.run(dst, 0, 1)
	}
	return dst
}

// Idle goes on with the noise of the last SID frame (annex B): to the library a
// frame after one that does not come is one that was not sent.
func (d *g729Decoder) Idle(dst []int16) []int16 {
	if !d.rests {
		return dst
	}
	return d.run(d.run(dst, 0, 1), 0, 1) // 20 ms
}

func (d *g729Decoder) Close() {
	if d.state != 0 {
		g729Lib.call(g729DecoderExit, &d.args, d.state)
		d.state = 0
	}
}

type g729Encoder struct {
	state uintptr
	args  scratch
	pcm   [g729Samples]int16
	frame [g729Octets]byte
	size  uint8
	lead  int
}

func newG729Encoder(f Format) (Encoder, error) {
	e := &g729Encoder{}
	var annexB uintptr
	// RFC 4856 2.1.9: it is used unless it is said that it is not.
	if v, _ := parameters(f.Fmtp).get("annexb"); f.DTX && !strings.EqualFold(v, "no") {
		annexB = 1
	}
	if e.state = g729Lib.call(g729EncoderInit, &e.args, annexB); e.state == 0 {
		return nil, errors.New("codec: no memory for a G.729 encoder")
	}
	return e, nil
}

// Encode writes frames of 10 octets, and at the end perhaps one of two (RFC
// 3551 4.5.6). Where speech follows a pause within one packet, that begins with
// the speech.
func (e *g729Encoder) Encode(dst []byte, pcm []int16) ([]byte, error) {
	n := len(pcm) / g729Samples
	if n == 0 || n > g729Frames || len(pcm)%g729Samples != 0 {
		return dst, errFrames
	}
	begin, pausing := len(dst), true
	e.lead = 0
	for i := range n {
		copy(e.pcm[:], pcm[i*g729Samples:])
		g729Lib.call(g729Encode, &e.args, e.state, at(&e.pcm[0]), at(&e.frame[0]), at(&e.size))
		switch e.size {
		case g729Octets, g729SID:
		case 0:
			pausing = true
			continue
		default:
			return dst, errors.New("codec: G729 coder gave no frame")
		}
		if pausing {
			dst, e.lead = dst[:begin], i*g729Samples
		}
		dst = append(dst, e.frame[:e.size]...)
		pausing = e.size == g729SID
	}
	return dst, nil
}

func (e *g729Encoder) Close() {
	if e.state != 0 {
		g729Lib.call(g729EncoderExit, &e.args, e.state)
		e.state = 0
	}
}
