package audio

import (
	_ "embed"
	"strings"
	"sync"
)

// speech.amrwb is Speech(PrecodedVoice) at 16 kHz, coded by vo-amrwbenc at
// 23.85 kbit/s: frames of 20 ms, each the table-of-contents octet of RFC 4867
// section 5 and 60 octets of speech.
//
//go:embed speech.amrwb
var speechAMRWB []byte

// PrecodedVoice is the voice that precoded frames have.
const PrecodedVoice = Voices / 2

const amrwbFrame = 61

var amrwbCoded = sync.OnceValue(func() (frames [][]byte) {
	for b := speechAMRWB; len(b) >= amrwbFrame; b = b[amrwbFrame:] {
		frames = append(frames, b[:amrwbFrame])
	}
	return frames
})

// PrecodedSpeech is what the precoded frames say, as sound.
func PrecodedSpeech() []int16 {
	return Speech(PrecodedVoice)[:len(amrwbCoded())*Frame]
}

// amrwbFrames packs the frames as the format parameters say (RFC 4867 sections
// 4.3 and 4.4).
func amrwbFrames(fmtp string) (payloads [][]byte) {
	aligned := strings.Contains(fmtp, "octet-align=1")
	for _, f := range amrwbCoded() {
		const noRequest = 15 // the far side may send in the mode it likes
		if aligned {
			payloads = append(payloads, append([]byte{noRequest << 4}, f...))
			continue
		}
		// Bandwidth-efficient: four bits of request, six of contents, and
		// the speech right behind.
		bits := uint(noRequest)<<6 | uint(f[0]>>2)&0x1f | uint(f[0]&0x80)>>2
		have := 10
		var p []byte
		for _, b := range f[1:] {
			bits, have = bits<<8|uint(b), have+8
			for ; have >= 8; have -= 8 {
				p = append(p, byte(bits>>(have-8)))
			}
		}
		if have > 0 {
			p = append(p, byte(bits<<(8-have)))
		}
		const speechBits = 477 // of the mode; the last octet of a frame has three bits of padding
		payloads = append(payloads, p[:(10+speechBits+7)/8])
	}
	return payloads
}
