package audio

// Coder turns sound into the payload of a packet and back. A Coder has the
// memory of one stream in one direction.
type Coder interface {
	Encode(dst []byte, pcm []int16) []byte
	Decode(dst []int16, payload []byte) []int16
}

// Codec is a payload format that the sandbox's telephones have.
type Codec struct {
	Name  string // of the encoding in SDP
	Clock int    // of RTP timestamps, in Hz

	coder    func() Coder
	precoded func(fmtp string) [][]byte
}

// The codecs. Those without a coder cannot be listened to: a telephone that
// agrees on one says Precoded frames if there are any, and else sends back
// what it hears, payload for payload.
var (
	PCMA  = &Codec{Name: "PCMA", Clock: Rate, coder: func() Coder { return ALaw }}
	PCMU  = &Codec{Name: "PCMU", Clock: Rate, coder: func() Coder { return MuLaw }}
	G722  = &Codec{Name: "G722", Clock: Rate, coder: func() Coder { return NewG722() }} // a clock of 8000 by RFC 3551 section 4.5.2
	AMRWB = &Codec{Name: "AMR-WB", Clock: 16000, precoded: amrwbFrames}
	Opus  = &Codec{Name: "opus", Clock: 48000}
)

// Codecs are all of them.
var Codecs = []*Codec{PCMA, PCMU, G722, AMRWB, Opus}

// Opaque reports whether the codec cannot be listened to.
func (c *Codec) Opaque() bool { return c.coder == nil }

// NewCoder makes the coder of one stream and direction; nil for an opaque
// codec.
func (c *Codec) NewCoder() Coder {
	if c.coder == nil {
		return nil
	}
	return c.coder()
}

// Precoded are payloads of 20 ms that say PrecodedSpeech; nil
// when there are none.
func (c *Codec) Precoded(fmtp string) [][]byte {
	if c.precoded == nil {
		return nil
	}
	return c.precoded(fmtp)
}
