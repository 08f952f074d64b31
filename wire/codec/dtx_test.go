package codec

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// spoken is a sentence between pauses with the noise of a room in them.
func spoken(t testing.TB, rate int) (pcm []int16, begin, end int) {
	words := speech(t, rate)
	begin = 2 * rate
	end = begin + len(words)
	pcm = make([]int16, end+2*rate)
	noise := NewNoiseGenerator()
	noise.Set(Noise{Level: 58})
	noise.Fill(pcm)
	for i, v := range words {
		pcm[begin+i] += v
	}
	return pcm, begin, end
}

// In pauses nothing is sent but now and then a description of the noise, and
// the receiver goes on with that (TS 26.093, TS 26.193, G.729 annex B, RFC 7587
// 3.1.3).
func TestPausesAreDescribedByTheCodec(t *testing.T) {
	for _, f := range Available() {
		if slices.Contains([]string{"PCMA", "PCMU", "G722"}, f.Name) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			f.DTX, f.Fmtp = true, "usedtx=1"
			enc, err := f.NewEncoder()
			if err != nil {
				t.Fatal(err)
			}
			defer enc.Close()
			dec, err := f.NewDecoder()
			if err != nil {
				t.Fatal(err)
			}
			defer dec.Close()
			pcm, begin, end := spoken(t, f.Rate)
			n := f.Samples(Packet)
			var heard []int16
			quiet, sent, cut := 0, 0, 0
			for at := 0; at+n <= len(pcm); at += n {
				b, err := enc.Encode(nil, pcm[at:at+n])
				if err != nil {
					t.Fatal(err)
				}
				pause := at > f.Rate && at < begin-n || at > end+f.Rate
				if pause {
					quiet++
					if len(b) > 0 {
						sent++
					}
				}
				if len(b) == 0 {
					if DBov(pcm[at:at+n]) > -35 {
						cut++
					}
					was := len(heard)
					if heard = dec.Idle(heard); len(heard) == was {
						heard = append(heard, make([]int16, n)...)
					}
					continue
				}
				for range Lead(enc) {
					heard = append(heard, 0)
				}
				if heard, err = dec.Decode(heard, b); err != nil {
					t.Fatalf("% x: %v", b, err)
				}
			}
			level := DBov(heard[begin-f.Rate/2 : begin-n])
			t.Logf("of %d packets of pauses %d are sent; noise of -58 dBov is heard with %.1f; %d loud packets are cut", quiet, sent, level, cut)
			// The G.729 library plays its noise up to 8 dB too loud.
			if sent > quiet/3 || cut > 0 || math.Abs(level+58) > 8 {
				t.Error("see above")
			}
		})
	}
}

// Who did not agree to be left without packets gets one for each frame.
func TestPausesAreWrittenWhereTheyMustBe(t *testing.T) {
	for _, f := range Available() {
		for _, how := range []struct {
			dtx  bool
			fmtp string
		}{{false, "usedtx=1; annexb=yes"}, {true, "usedtx=0; annexb=no"}} {
			if strings.HasPrefix(f.Name, "AMR") && how.dtx {
				continue // its receivers take it always
			}
			f.DTX, f.Fmtp = how.dtx, how.fmtp
			enc, err := f.NewEncoder()
			if err != nil {
				t.Fatal(err)
			}
			for range 100 {
				if b, err := enc.Encode(nil, make([]int16, f.Samples(Packet))); err != nil || len(b) < 3 {
					t.Fatalf("%s with %v: % x, %v", f.Name, how, b, err)
				}
			}
			enc.Close()
		}
	}
}

// A pause of G.729 may begin and end within a packet: what is sent is legal, and
// begins as late as Lead tells.
func TestPausesOfG729WithinAPacket(t *testing.T) {
	f, ok := Lookup("G729", 8000, "")
	if !ok {
		t.Skip("its library is not here")
	}
	f.DTX = true
	enc, _ := f.NewEncoder()
	defer enc.Close()
	pcm, _, _ := spoken(t, 8000)
	led := 0
	for at := 0; at+160 <= len(pcm); at += 160 {
		b, err := enc.Encode(nil, pcm[at:at+160])
		if err != nil {
			t.Fatal(err)
		}
		lead := Lead(enc)
		if rest := len(b) % 10; rest != 0 && rest != 2 || len(b) > 0 && lead/80+len(b)/10 > 2 {
			t.Errorf("%d octets after %d samples", len(b), lead)
		}
		if lead > 0 && len(b) == 10 {
			led++
		}
	}
	t.Logf("%d packets begin in their middle", led)
}
