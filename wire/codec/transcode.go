package codec

import (
	"fmt"
	"time"
)

// Transcoder is one direction of one stream: payloads of one codec in,
// payloads of another out, each of the packet time of its receiver. Not for
// several goroutines.
type Transcoder struct {
	to      Format
	dec     Decoder
	enc     Encoder
	rate    *Resampler
	frames  *Framer
	pcm     []int16
	resized []int16
	payload []byte
}

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

// NewTranscoder makes packets of ptime, as far as the format can.
func NewTranscoder(from, to Format, ptime time.Duration) (*Transcoder, error) {
	dec, err := from.NewDecoder()
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", from.Name, err)
	}
	enc, err := to.NewEncoder()
	if err != nil {
		dec.Close()
		return nil, fmt.Errorf("encode %s: %w", to.Name, err)
	}
	return &Transcoder{
		to: to, dec: dec, enc: enc,
		rate:   NewResampler(from.Rate, to.Rate),
		frames: NewFramer(to.Samples(to.Whole(ptime))),
	}, nil
}

// Write takes one payload in and calls emit for each packet that is whole.
// The payload is valid until emit returns; ticks is how far the RTP timestamp
// moves over it. A payload of no length need not be sent.
func (t *Transcoder) Write(payload []byte, emit func(payload []byte, ticks uint32)) error {
	var err error
	if t.pcm, err = t.dec.Decode(t.pcm[:0], payload); err != nil {
		return err
	}
	return t.forward(emit)
}

// Lose stands for a packet that did not come.
func (t *Transcoder) Lose(emit func(payload []byte, ticks uint32)) error {
	t.pcm = t.dec.Conceal(t.pcm[:0])
	return t.forward(emit)
}

func (t *Transcoder) forward(emit func([]byte, uint32)) error {
	t.resized = t.rate.Resample(t.resized[:0], t.pcm)
	t.frames.Write(t.resized)
	for {
		frame := t.frames.Next()
		if frame == nil {
			return nil
		}
		var err error
		if t.payload, err = t.enc.Encode(t.payload[:0], frame); err != nil {
			return err
		}
		emit(t.payload, t.to.Ticks(len(frame)))
	}
}

// Follow lets this direction encode as the far side of it asks for in what the
// other direction, back, reads (see the function Follow).
func (t *Transcoder) Follow(back *Transcoder) { Follow(t.enc, back.dec) }

// Close frees both codecs.
func (t *Transcoder) Close() {
	t.dec.Close()
	t.enc.Close()
}
