package codec

// Resampler changes the sample rate of one stream, without a jump between
// calls. Not for several goroutines.
type Resampler struct{ from, to int }

// NewResampler converts between 8000, 16000 and 48000 samples a second.
func NewResampler(from, to int) *Resampler { return &Resampler{from: from, to: to} }

// Resample appends src at the new rate to dst.
func (r *Resampler) Resample(dst, src []int16) []int16 { panic("todo") }
