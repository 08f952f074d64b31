// Package codec turns audio between linear samples and what RTP carries, and
// makes and hears the signals of telephony: call progress tones, DTMF digits,
// comfort noise.
//
// Start at Lookup, which gives the Format of a codec as a session description
// names it; a Format makes the Decoder and the Encoder of one stream, Resampler
// and Framer stand between the two when a stream is recoded. Everything here is
// pure computation: no goroutine, no clock, no network. Nothing allocates per
// frame once a stream has settled, as long as the caller hands in slices with
// room.
//
// G.711, G.722 and comfort noise are written here. AMR, AMR-WB, Opus and G.729
// are done by shared libraries of the system, loaded when first asked for; a
// codec whose library is missing is not Available, and Missing says why. The
// build tag "static" leaves them out.
//
// Samples are 16-bit linear and mono. The G.711 decoder fills the 16 bits, so
// that full scale is the overload point of the code.
package codec

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Frame is linear samples, mono, at their codec's sample rate.
type Frame = []int16

// Packet is the length of a packet where nobody said otherwise (RFC 3551 4.5).
const Packet = 20 * time.Millisecond

// ErrPayload is a payload that is not of its codec.
var ErrPayload = errors.New("codec: malformed payload")

// errFrames is a caller's mistake.
var errFrames = errors.New("codec: not a whole number of frames")

// Decoder reads one stream. Not for several goroutines. A malformed payload is
// an error and leaves the stream usable.
type Decoder interface {
	// Decode appends the samples of one payload to dst.
	Decode(dst []int16, payload []byte) ([]int16, error)
	// Conceal appends what stands for a lost packet: as many samples as the last
	// payload gave, 20 ms before the first.
	Conceal(dst []int16) []int16
	// Idle appends what stands for a packet that was not sent because the far
	// side is silent: the noise that its last payload has described. It appends
	// nothing when that was speech.
	Idle(dst []int16) []int16
	// Close frees what garbage collection does not. Only Close may follow.
	Close()
}

// Encoder writes one stream. Not for several goroutines.
type Encoder interface {
	// Encode appends one payload to dst. pcm is a whole number of frames. A
	// payload of no length is one that need not be sent; in place of samples that
	// were silent it may have fewer frames at its beginning (see Lead).
	Encode(dst []byte, pcm []int16) ([]byte, error)
	Close()
}

// Format is one codec with its parameters.
type Format struct {
	Name  string        // as SDP has it
	Clock int           // RTP timestamp units in a second
	Rate  int           // samples in a second of what is decoded and encoded
	Frame time.Duration // the shortest that can be encoded; a packet is a multiple
	Fmtp  string        // parameters of the receiver
	// DTX: a codec that can, for a receiver that lets it, writes nothing in
	// pauses but a description of the noise now and then.
	DTX bool

	decoder func(Format) (Decoder, error)
	encoder func(Format) (Encoder, error)
}

// NewDecoder starts a stream that is read.
func (f Format) NewDecoder() (Decoder, error) { return f.decoder(f) }

// NewEncoder starts a stream that is written for a receiver with f's
// parameters.
func (f Format) NewEncoder() (Encoder, error) { return f.encoder(f) }

// Samples is how many samples last d.
func (f Format) Samples(d time.Duration) int { return int(d * time.Duration(f.Rate) / time.Second) }

// Ticks is how far the RTP timestamp moves over n samples.
func (f Format) Ticks(n int) uint32 { return uint32(int64(n) * int64(f.Clock) / int64(f.Rate)) }

// Whole is the packet time nearest to d that f can make: a multiple of its
// frame, 20 ms where nothing is said.
func (f Format) Whole(d time.Duration) time.Duration {
	const longest = 60 * time.Millisecond // Opus has no longer frames, and nobody wants the delay
	if d <= 0 {
		d = Packet
	}
	d = min(d, longest)
	return max(f.Frame, d/f.Frame*f.Frame)
}

// Lead is how many samples of the last packet went before what its payload
// begins with, since they were silent.
func Lead(e Encoder) int {
	if l, ok := e.(*g729Encoder); ok {
		return l.lead
	}
	return 0
}

// family is one line of the registry.
type family struct {
	Format
	missing func() error             // why it cannot be had on this machine; nil = it is here
	accepts func(p parameters) error // what the receiver asks for can be done; nil = anything
}

// here: always, since it is written in Go.
func here() error { return nil }

// registry is all codecs that can be turned into samples, the best sounding
// first.
var registry = []family{
	{Format: Format{Name: "opus", Clock: 48000, Rate: 16000, Frame: 20 * time.Millisecond, decoder: newOpusDecoder, encoder: newOpusEncoder}, missing: opusLib.missing},
	{Format: Format{Name: "AMR-WB", Clock: 16000, Rate: 16000, Frame: 20 * time.Millisecond, decoder: newAMRDecoder, encoder: newAMREncoder}, missing: amrWideMissing, accepts: amrAccepts},
	{Format: Format{Name: "G722", Clock: 8000, Rate: 16000, Frame: time.Millisecond, decoder: newG722Decoder, encoder: newG722Encoder}, missing: here},
	{Format: Format{Name: "PCMA", Clock: 8000, Rate: 8000, Frame: time.Millisecond, decoder: ALaw.decoder, encoder: ALaw.encoder}, missing: here},
	{Format: Format{Name: "PCMU", Clock: 8000, Rate: 8000, Frame: time.Millisecond, decoder: MuLaw.decoder, encoder: MuLaw.encoder}, missing: here},
	{Format: Format{Name: "AMR", Clock: 8000, Rate: 8000, Frame: 20 * time.Millisecond, decoder: newAMRDecoder, encoder: newAMREncoder}, missing: amrNarrow.lib.missing, accepts: amrAccepts},
	{Format: Format{Name: "G729", Clock: 8000, Rate: 8000, Frame: 10 * time.Millisecond, decoder: newG729Decoder, encoder: newG729Encoder}, missing: g729Lib.missing},
}

// Lookup finds the codec of an rtpmap and fmtp line; false when this machine
// cannot decode and encode it, or not with these parameters.
func Lookup(name string, clock int, fmtp string) (Format, bool) {
	i := slices.IndexFunc(registry, func(f family) bool {
		return strings.EqualFold(f.Name, name) && f.Clock == clock
	})
	if i < 0 {
		return Format{}, false
	}
	f := registry[i]
	if f.missing() != nil || f.accepts != nil && f.accepts(parameters(fmtp)) != nil {
		return Format{}, false
	}
	f.Fmtp = fmtp
	return f.Format, true
}

// Available is what can be transcoded on this machine, with default
// parameters.
func Available() []Format {
	var out []Format
	for _, f := range registry {
		if f.missing() == nil {
			out = append(out, f.Format)
		}
	}
	return out
}

// Missing says, one error a codec, what this machine cannot transcode and
// why.
func Missing() []error {
	var out []error
	for _, f := range registry {
		if err := f.missing(); err != nil {
			out = append(out, err)
		}
	}
	return out
}

// parameters is the text of an fmtp line: name=value, separated by semicolons.
type parameters string

// get is a parameter's value; names are compared without case.
func (p parameters) get(name string) (string, bool) {
	for part := range strings.SplitSeq(string(p), ";") {
		k, v, _ := strings.Cut(part, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// on reports a flag that is set.
func (p parameters) on(name string) bool {
	v, ok := p.get(name)
	return ok && v == "1"
}
