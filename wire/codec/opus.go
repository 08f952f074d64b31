package codec

import (
	"fmt"
	"strconv"
)

// Opus (RFC 6716, payload RFC 7587) through libopus, at 16000 samples a
// second: whatever meets it here is telephone audio of at most that width, and
// the library changes the rate itself.
var opusLib = &library{codec: "opus", file: "libopus.so.0", names: []string{
	"opus_decoder_create", "opus_decode", "opus_decoder_destroy",
	"opus_encoder_create", "opus_encode", "opus_encoder_destroy", "opus_encoder_ctl",
}}

const (
	opusDecoderCreate = iota
	opusDecode
	opusDecoderDestroy
	opusEncoderCreate
	opusEncode
	opusEncoderDestroy
	opusEncoderCtl
)

// Of opus_defines.h.
const (
	opusVoIP         = 2048
	opusSetBitrate   = 4002
	opusSetBandwidth = 4004 // the widest it may choose
	opusSetVBR       = 4006
	opusComplexity   = 4010 // of 0 to 10
	opusSetFEC       = 4012
	opusSetLoss      = 4014
	opusSetDTX       = 4016
	opusNarrow       = 1101
	opusMedium       = 1102
	opusWide         = 1103
)

const (
	opusRate     = 16000
	opusLongest  = opusRate * 120 / 1000 // samples in the longest packet (RFC 6716 2.1.4)
	opusPayload  = 1275 * 3              // octets; beyond this no packet of 60 ms is
	opusBitrate  = 24000                 // wideband speech (RFC 7587 3.1.1: 16-20, a little more for what was coded before)
	opusSilent   = 2                     // octets; a packet of so few need not be sent (opus.h, opus_encode)
	opusExpected = 5                     // per cent of loss the redundancy is made for
)

type opusDecoder struct {
	state   uintptr
	args    scratch
	pcm     [opusLongest]int16
	payload [opusPayload]byte
	status  int32
	last    int
	dtx     bool // it may be silent without a word
	resting bool
}

func newOpusDecoder(f Format) (Decoder, error) {
	d := &opusDecoder{last: opusRate / 50, dtx: parameters(f.Fmtp).on("usedtx")}
	d.state = opusLib.call(opusDecoderCreate, &d.args, opusRate, 1, at(&d.status))
	if d.state == 0 {
		return nil, fmt.Errorf("codec: opus decoder: error %d", d.status)
	}
	return d, nil
}

func (d *opusDecoder) Decode(dst []int16, payload []byte) ([]int16, error) {
	if len(payload) == 0 || len(payload) > len(d.payload) {
		return dst, ErrPayload
	}
	n := copy(d.payload[:], payload)
	got := int32(opusLib.call(opusDecode, &d.args, d.state, at(&d.payload[0]), uintptr(n), at(&d.pcm[0]), opusLongest, 0))
	if got <= 0 || got > opusLongest {
		return dst, ErrPayload
	}
	d.last, d.resting = int(got), d.dtx || n <= opusSilent
	return append(dst, d.pcm[:got]...), nil
}

// Idle: nothing marks the last packet before a pause, so that whoever was
// asked to be silent (RFC 7587 6.1) is taken to be. The library goes over to the
// noise that it has heard.
func (d *opusDecoder) Idle(dst []int16) []int16 {
	if !d.resting {
		return dst
	}
	return d.Conceal(dst)
}

// Conceal lets the library guess; it knows the codec's own state.
func (d *opusDecoder) Conceal(dst []int16) []int16 {
	got := int32(opusLib.call(opusDecode, &d.args, d.state, 0, 0, at(&d.pcm[0]), uintptr(d.last), 0))
	if got <= 0 || got > opusLongest {
		return append(dst, make([]int16, d.last)...)
	}
	return append(dst, d.pcm[:got]...)
}

func (d *opusDecoder) Close() {
	if d.state != 0 {
		opusLib.call(opusDecoderDestroy, &d.args, d.state)
		d.state = 0
	}
}

type opusEncoder struct {
	state   uintptr
	args    scratch
	pcm     [opusRate * 60 / 1000]int16
	payload [opusPayload]byte
	status  int32
}

func newOpusEncoder(f Format) (Encoder, error) {
	e := &opusEncoder{}
	e.state = opusLib.call(opusEncoderCreate, &e.args, opusRate, 1, opusVoIP, at(&e.status))
	if e.state == 0 {
		return nil, fmt.Errorf("codec: opus encoder: error %d", e.status)
	}
	for _, set := range opusSettings(f) {
		opusLib.call(opusEncoderCtl, &e.args, e.state, set[0], set[1])
	}
	return e, nil
}

// opusSettings is what the receiver's parameters (RFC 7587 6.1) ask of the
// encoder. sprop- parameters speak of what it sends and stereo is a
// permission, so neither binds us.
func opusSettings(f Format) [][2]uintptr {
	p := parameters(f.Fmtp)
	number := func(name string, otherwise int) int {
		v, _ := p.get(name)
		if n, err := strconv.Atoi(v); err == nil {
			return n
		}
		return otherwise
	}
	// Half the complexity takes two thirds of the time, and the speech of the tests
	// comes through as like itself as with all of it (0.96).
	set := [][2]uintptr{{opusComplexity, 5}, {opusSetBitrate, uintptr(max(6000, min(opusBitrate, number("maxaveragebitrate", opusBitrate))))}}
	switch width := number("maxplaybackrate", 48000); {
	case width < 12000:
		set = append(set, [2]uintptr{opusSetBandwidth, opusNarrow})
	case width < 16000:
		set = append(set, [2]uintptr{opusSetBandwidth, opusMedium})
	default:
		set = append(set, [2]uintptr{opusSetBandwidth, opusWide})
	}
	if p.on("useinbandfec") {
		set = append(set, [2]uintptr{opusSetFEC, 1}, [2]uintptr{opusSetLoss, opusExpected})
	}
	if p.on("cbr") {
		set = append(set, [2]uintptr{opusSetVBR, 0})
	}
	if p.on("usedtx") && f.DTX {
		set = append(set, [2]uintptr{opusSetDTX, 1})
	}
	return set
}

func (e *opusEncoder) Encode(dst []byte, pcm []int16) ([]byte, error) {
	switch len(pcm) {
	case 320, 640, 960: // 20, 40, 60 ms
	default:
		return dst, errFrames
	}
	copy(e.pcm[:], pcm)
	n := int32(opusLib.call(opusEncode, &e.args, e.state, at(&e.pcm[0]), uintptr(len(pcm)), at(&e.payload[0]), opusPayload))
	switch {
	case n < 0 || n > opusPayload:
		return dst, fmt.Errorf("codec: opus encoder: error %d", n)
	case n <= opusSilent:
		return dst, nil
	}
	return append(dst, e.payload[:n]...), nil
}

func (e *opusEncoder) Close() {
	if e.state != 0 {
		opusLib.call(opusEncoderDestroy, &e.args, e.state)
		e.state = 0
	}
}
