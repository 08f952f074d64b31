//go:build !static && linux && amd64

package codec

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Other people's codecs, where the machine has them.

// The tests of codecs, here and in the rooms above, skip what the machine has
// no library for. Where all are required, this one does not.
func TestTheLibrariesAreHere(t *testing.T) {
	absent := Missing()
	for _, file := range []string{"libspandsp.so.2", "libavcodec.so.59", "libavutil.so.57"} {
		if _, err := load(file, nil); err != nil {
			absent = append(absent, fmt.Errorf("%s, which judges ours: %w", file, err))
		}
	}
	if absent == nil {
		return
	}
	if os.Getenv("TANDEM_PEERS") == "required" {
		t.Fatalf("run make peers: %v", errors.Join(absent...))
	}
	t.Skip(errors.Join(absent...))
}

// others loads a library or skips.
func others(t *testing.T, file string, names ...string) func(i int, args ...uintptr) uintptr {
	t.Helper()
	fn, err := load(file, names)
	if err != nil {
		t.Skip(file, err)
	}
	return func(i int, args ...uintptr) uintptr {
		r, _, _ := purego.SyscallN(fn[i], args...)
		return r
	}
}

// spandsp's G.722 is tested by its authors against the sequences of ITU-T
// G.722 Appendix II.
func TestG722IsBitExact(t *testing.T) {
	call := others(t, "libspandsp.so.2", "g722_encode_init", "g722_encode", "g722_decode_init", "g722_decode", "g722_encode_free", "g722_decode_free")
	enc, dec := call(0, 0, 64000, 0), call(2, 0, 64000, 0)
	defer call(4, enc)
	defer call(5, dec)

	pcm := speech(t, 16000)
	// Tones, clipping and noise reach the limits that speech does not.
	loud := make([]int16, 16000)
	NewSine(997, 3.14, 16000).Fill(loud[:8000])
	NewSine(6100, 3, 16000).Add(loud[4000:])
	seed := uint32(1)
	for i := range loud[12000:] {
		seed = seed*1664525 + 1013904223
		loud[12000+i] = int16(seed >> 16)
	}
	pcm = append(pcm, loud...)
	pcm = pcm[:len(pcm)/2*2]

	ours, theirs := newG722(), make([]byte, len(pcm)/2)
	n := call(1, enc, at(&theirs[0]), at(&pcm[0]), uintptr(len(pcm)))
	if int(n) != len(theirs) {
		t.Fatalf("%d octets", n)
	}
	for i := range theirs {
		if c := ours.encode(pcm[2*i], pcm[2*i+1]); c != theirs[i] {
			t.Fatalf("octet %d of %d: %#x, want %#x", i, len(theirs), c, theirs[i])
		}
	}

	// Codes as no encoder makes them, too.
	for range 32000 {
		seed = seed*1664525 + 1013904223
		theirs = append(theirs, byte(seed>>24))
	}
	want := make([]int16, 2*len(theirs))
	call(3, dec, at(&want[0]), at(&theirs[0]), uintptr(len(theirs)))
	ours = newG722()
	for i, c := range theirs {
		a, b := ours.decode(c)
		for k, got := range []int16{a, b} {
			// It wraps around where clause 6.2.2.2 limits.
			if limited := got == 32767 || got == -32768; got != want[2*i+k] && !limited {
				t.Fatalf("sample %d: %d, want %d", 2*i+k, got, want[2*i+k])
			}
		}
	}
	runtime.KeepAlive(want)
}

// lavc is a decoder of ffmpeg's library.
type lavc struct {
	call            func(i int, args ...uintptr) uintptr
	ctx, pkt, frame uintptr
}

func newLavc(t *testing.T, name string) *lavc {
	call := others(t, "libavcodec.so.59", "avcodec_find_decoder_by_name", "avcodec_alloc_context3", "avcodec_open2",
		"av_packet_alloc", "av_new_packet", "avcodec_send_packet", "avcodec_receive_frame", "av_packet_unref")
	util := others(t, "libavutil.so.57", "av_frame_alloc", "av_opt_set")
	c := append([]byte(name), 0)
	codec := call(0, at(&c[0]))
	if codec == 0 {
		t.Skip("libavcodec has no ", name)
	}
	l := &lavc{call: call, ctx: call(1, codec), pkt: call(3), frame: util(0)}
	option, mono := []byte("ch_layout\x00"), []byte("mono\x00")
	if r := int32(util(1, l.ctx, at(&option[0]), at(&mono[0]), 0)); r < 0 {
		t.Fatalf("av_opt_set: %d", r)
	}
	if r := int32(call(2, l.ctx, codec, 0)); r < 0 {
		t.Fatalf("avcodec_open2: %d", r)
	}
	return l
}

// decode gives the samples of the first plane.
func (l *lavc) decode(t *testing.T, b []byte) (pcm []int16) {
	t.Helper()
	l.call(4, l.pkt, uintptr(len(b)))
	data := *(*uintptr)(pointer(l.pkt + 24)) // AVPacket.data
	copy(unsafe.Slice((*byte)(pointer(data)), len(b)), b)
	r := int32(l.call(5, l.ctx, l.pkt))
	l.call(7, l.pkt)
	if r < 0 {
		t.Fatalf("avcodec_send_packet: %d", r)
	}
	if r := int32(l.call(6, l.ctx, l.frame)); r < 0 {
		t.Fatalf("avcodec_receive_frame: %d", r)
	}
	n := *(*int32)(pointer(l.frame + 112))                                       // AVFrame.nb_samples
	plane := *(*uintptr)(pointer(l.frame + 0))                                   // AVFrame.data[0]
	if format := *(*int32)(pointer(l.frame + 116)); format == 1 || format == 6 { // AV_SAMPLE_FMT_S16, S16P
		return append(pcm, unsafe.Slice((*int16)(pointer(plane)), n)...)
	}
	for _, v := range unsafe.Slice((*float32)(pointer(plane)), n) {
		pcm = append(pcm, int16(max(-32768, min(32767, v*32768))))
	}
	return pcm
}

// pointer is C memory; vet cannot know that nothing moves it.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// Of AMR ffmpeg reads the storage format (RFC 4867 section 5), which one frame
// of octet-aligned payload is behind its CMR octet.
func TestAnotherDecoderUnderstandsWhatWeEncode(t *testing.T) {
	for _, c := range []struct {
		name, theirs string
		clock        int
		rate, head   int
	}{
		{"AMR", "amrnb", 8000, 8000, 1},
		{"AMR-WB", "amrwb", 16000, 16000, 1},
		{"opus", "opus", 48000, 48000, 0},
		{"G729", "g729", 8000, 8000, 0},
		{"G722", "g722", 8000, 16000, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := lookup(t, c.name, c.clock, "octet-align=1")
			l := newLavc(t, c.theirs)
			_, e := open(t, f)
			pcm := speech(t, f.Rate)[:3*f.Rate]
			ours, _ := through(t, f, pcm)
			var theirs []int16
			n := f.Samples(Packet)
			for in := pcm; len(in) >= n; in = in[n:] {
				b, err := e.Encode(nil, in[:n])
				if err != nil {
					t.Fatal(err)
				}
				for b = b[c.head:]; len(b) > 0; {
					k := len(b)
					if c.name == "G729" { // it wants each frame alone
						k = g729Octets
					}
					theirs = append(theirs, l.decode(t, b[:k])...)
					b = b[k:]
				}
			}
			if c.rate != f.Rate {
				theirs = NewResampler(c.rate, f.Rate).Resample(nil, theirs)
			}
			like, delay := likeness(ours, theirs, 2*n)
			other, _ := likeness(pcm, theirs, 2*n)
			t.Logf("likeness to our decoder's %.4f at %d samples, to the original %.4f", like, delay, other)
			if like < 0.98 {
				t.Errorf("likeness %.3f", like)
			}
		})
	}
}
