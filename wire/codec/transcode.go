package codec

import "time"

// Transcoder is one direction of one stream: payloads of one codec in,
// payloads of another out, each of the packet time of the receiver. Not for
// several goroutines.
type Transcoder struct{}

// NewTranscoder makes packets of ptime.
func NewTranscoder(from, to Format, ptime time.Duration) (*Transcoder, error) { panic("todo") }

// Write takes one payload in and calls emit for each packet that is whole.
// The payload is valid until emit returns; ticks is how far the RTP timestamp
// moves over it. A payload of no length need not be sent.
func (t *Transcoder) Write(payload []byte, emit func(payload []byte, ticks uint32)) error { return nil }

// Lose stands for a packet that did not come.
func (t *Transcoder) Lose(emit func(payload []byte, ticks uint32)) {}

// Close frees both codecs.
func (t *Transcoder) Close() {}
