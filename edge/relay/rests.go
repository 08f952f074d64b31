package relay

import (
	"time"

	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/sdp"
)

// rests is how the pauses of recoded speech reach a side whose codec has no way
// of its own to be silent: as comfort noise of RFC 3389, where that was agreed.
//
// What comes as G.711 leaves whole all the same: it may be a fax or a modem,
// which other codecs do not carry anyway.
type rests struct {
	noise  *sdp.Agreed // nil: pauses are sent like speech
	listen *codec.Silence
	rate   int

	told         uint8     // level, last
	at           time.Time // when; zero = not in this pause
	coefficients [12]uint8
}

const (
	// retold is how often a pause is described that does not change, for
	// receivers that lose a packet, and that take long silence for a fault.
	retold = time.Second
	// louder is the change of level, in dB, that is told at once.
	louder = 3
)

// adapt takes what was agreed, with the codec that is spoken.
func (r *rests) adapt(t terms, f codec.Format) {
	r.noise = nil
	switch f.Name {
	case "PCMA", "PCMU", "G722":
	default:
		return
	}
	for i, a := range t.codecs {
		if isNoise(a) && a.Rate == f.Clock && !t.unbroken {
			r.noise = &t.codecs[i]
		}
	}
	if r.noise != nil && (r.listen == nil || r.rate != f.Rate) {
		r.listen, r.rate = codec.NewSilence(f.Rate), f.Rate
	}
}

// take listens to a frame, and reports whether it need not be sent.
func (r *rests) take(pcm []int16, e *ear) bool {
	if r.noise == nil || e.whole() || !r.listen.Write(pcm) {
		r.at = time.Time{}
		return false
	}
	return true
}

// whole: what is heard must not be cut.
func (e *ear) whole() bool {
	return e.playing == nil || e.playing.format.Name == "PCMA" || e.playing.format.Name == "PCMU"
}

// describe gives the payload when the pause is to be told.
func (r *rests) describe(now time.Time) (codec.Noise, bool) {
	coefficients := r.coefficients[:]
	if r.rate > 8000 { // the spectrum of another rate than the clock's is not described
		coefficients = nil
	}
	n := r.listen.Noise(coefficients)
	change := max(n.Level, r.told) - min(n.Level, r.told)
	if !r.at.IsZero() && now.Sub(r.at) < retold && change < louder {
		return n, false
	}
	r.told, r.at = n.Level, now
	return n, true
}

// sayRest describes a pause. The packet after it is the first of a talk spurt,
// this one is none (RFC 3389 section 4).
func (v *voice) sayRest(now time.Time) {
	n, ok := v.rests.describe(now)
	if !ok {
		return
	}
	v.begin()
	v.mark = false
	v.packet = n.Append(v.header(v.rests.noise.Out, v.stamp))
	v.send()
}
