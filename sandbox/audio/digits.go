package audio

import "math"

// Keys are the keys of a telephone, each at its number of RFC 4733 section 3.2.
const Keys = "0123456789*#ABCD"

// The pairs of ITU-T Q.23.
var (
	rows    = [4]float64{697, 770, 852, 941}
	columns = [4]float64{1209, 1336, 1477, 1633}
	pad     = [4]string{"123A", "456B", "789C", "*0#D"}
)

const (
	keyLength = Rate / 10      // 100 ms of tone,
	keyPause  = Rate * 8 / 100 // 80 ms of silence
	keyBlock  = 102            // the customary length of a filter: 78 Hz wide
)

// KeyTones is the sound of keys being pressed one after the other.
func KeyTones(keys string) (pcm []int16) {
	for _, k := range []byte(keys) {
		for r, row := range pad {
			for c := range row {
				if row[c] != k {
					continue
				}
				for i := range keyLength {
					const amplitude = 0.25 * 32767 // -12 dBov a tone
					t := 2 * math.Pi * float64(i) / Rate
					pcm = append(pcm, int16(amplitude*(math.Sin(t*rows[r])+math.Sin(t*columns[c]))))
				}
			}
		}
		pcm = append(pcm, make([]int16, keyPause)...)
	}
	return pcm
}

// Pressed hears the keys in a sound. It is made for a quiet line: a block
// counts when nearly all of its energy is in one row and one column.
func Pressed(pcm []int16) string {
	var keys []byte
	last, blocks := byte(0), 0
	for ; len(pcm) >= keyBlock; pcm = pcm[keyBlock:] {
		k := blockKey(pcm[:keyBlock])
		if k != last {
			last, blocks = k, 0
		}
		if blocks++; k != 0 && blocks == 3 { // 38 ms
			keys = append(keys, k)
		}
	}
	return string(keys)
}

func blockKey(pcm []int16) byte {
	total := 0.0
	for _, v := range pcm {
		total += float64(v) * float64(v)
	}
	if total/float64(len(pcm)) < 100*100 { // -50 dBov
		return 0
	}
	row, inRow := strongest(pcm, rows)
	column, inColumn := strongest(pcm, columns)
	if inRow+inColumn < 0.8*total || inRow < inColumn/6 || inColumn < inRow/6 {
		return 0
	}
	return pad[row][column]
}

// strongest gives the strongest of four frequencies and its energy (Goertzel).
func strongest(pcm []int16, of [4]float64) (which int, energy float64) {
	for i, f := range of {
		k := 2 * math.Cos(2*math.Pi*f/Rate)
		var s1, s2 float64
		for _, v := range pcm {
			s1, s2 = float64(v)+k*s1-s2, s1
		}
		if e := 2 * (s1*s1 + s2*s2 - k*s1*s2) / float64(len(pcm)); e > energy {
			which, energy = i, e
		}
	}
	return which, energy
}
