package codec

import (
	"testing"
	"time"
)

// BenchmarkFrame is the work of 20 ms.
func BenchmarkFrame(b *testing.B) {
	for _, f := range Available() {
		pcm := speech(b, f.Rate)[f.Rate : 2*f.Rate]
		n := f.Samples(Packet)
		d, e := open(b, f)
		var payloads [][]byte
		for at := 0; at+n <= len(pcm); at += n {
			p, err := e.Encode(nil, pcm[at:at+n])
			if err != nil {
				b.Fatal(err)
			}
			payloads = append(payloads, p)
		}
		b.Run(f.Name+"/encode", func(b *testing.B) {
			dst := make([]byte, 0, 4000)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				at := i % (len(pcm) / n) * n
				_, _ = e.Encode(dst, pcm[at:at+n])
			}
		})
		b.Run(f.Name+"/decode", func(b *testing.B) {
			dst := make([]int16, 0, 6000)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, _ = d.Decode(dst, payloads[i%len(payloads)])
			}
		})
	}
}

func BenchmarkResample(b *testing.B) {
	for _, c := range [][2]int{{8000, 16000}, {16000, 8000}, {16000, 48000}, {48000, 16000}, {8000, 48000}} {
		b.Run(time.Duration(c[0]).String()+time.Duration(c[1]).String(), func(b *testing.B) {
			r := NewResampler(c[0], c[1])
			src, dst := make([]int16, c[0]/50), make([]int16, 0, 2000)
			b.ReportAllocs()
			for b.Loop() {
				r.Resample(dst, src)
			}
		})
	}
}
