package codec

// Framer cuts a stream of samples into frames of one size: what arrives in
// packets of 30 ms leaves in packets of 20. Not for several goroutines.
type Framer struct {
	size int
	pcm  []int16 // waiting
	out  int     // of pcm, handed out already
}

// NewFramer makes frames of size samples.
func NewFramer(size int) *Framer { return &Framer{size: size} }

// Write takes samples in.
func (f *Framer) Write(pcm []int16) {
	if f.out > 0 {
		f.pcm = f.pcm[:copy(f.pcm, f.pcm[f.out:])]
		f.out = 0
	}
	f.pcm = append(f.pcm, pcm...)
}

// Next is the next whole frame, valid until the next Write; nil when there is
// none.
func (f *Framer) Next() []int16 {
	if len(f.pcm)-f.out < f.size {
		return nil
	}
	f.out += f.size
	return f.pcm[f.out-f.size : f.out]
}

// Waiting is how many samples have no whole frame yet.
func (f *Framer) Waiting() int { return len(f.pcm) - f.out }

// Reset forgets what waits.
func (f *Framer) Reset() { f.pcm, f.out = f.pcm[:0], 0 }
