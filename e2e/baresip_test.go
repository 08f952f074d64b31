package e2e

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/codec"
)

// baresip is a telephone that says a WAV file and writes down, as WAV files
// too, what it sent and what it heard.
type baresip struct {
	*program
	w   *world
	dir string
}

func needBaresip(t *testing.T) { t.Helper(); need(t, "baresip", "baresip-core") }

// modules of Debian's baresip-core.
const modules = "/usr/lib/baresip/modules"

// line is what a baresip is configured with.
type line struct {
	name     string
	at       netip.AddrPort // UDP and TCP; TLS is one port above, as baresip has it
	account  string         // "<sip:…>;options" without those that all have
	manual   bool           // rings until told to /accept or /hangup
	register bool           // with the outbound proxy of its account
	voice    []int16
	pair     string // file of its certificate and key; empty: no TLS
}

// baresip starts a telephone.
func (w *world) baresip(l line) *baresip {
	w.t.Helper()
	dir := l.name
	if err := os.MkdirAll(filepath.Join(w.dir, dir), 0o700); err != nil {
		w.t.Fatal(err)
	}
	answer := "auto"
	if l.manual {
		answer = "manual"
	}
	w.write(filepath.Join(dir, "voice.wav"), wav(l.voice, l.account))
	again := 0 // registers never
	if l.register {
		again = 60
	}
	w.write(filepath.Join(dir, "accounts"), fmt.Appendf(nil, "%s;regint=%d;answermode=%s\n", l.account, again, answer))
	w.write(filepath.Join(dir, "contacts"), nil)
	var c strings.Builder
	for _, s := range []string{
		"sip_listen " + l.at.String(),
		"net_interface " + l.at.Addr().String(),
		"dns_server " + w.dns.Addr().String(),
		"module_path " + modules,
		"module stdio.so", "module g711.so", "module g722.so", "module amr.so", "module opus.so", "module srtp.so", "module dtls_srtp.so", "module aufile.so", "module sndfile.so",
		"module_tmp account.so", "module_app menu.so",
		"audio_source aufile," + filepath.Join(w.dir, dir, "voice.wav"),
		"audio_alert nil", "rtp_stats yes",
		"snd_path " + filepath.Join(w.dir, dir),
	} {
		c.WriteString(s + "\n")
	}
	if l.pair != "" {
		c.WriteString("sip_certificate " + l.pair + "\nsip_cafile " + filepath.Join(w.dir, "root.pem") + "\n")
	}
	w.write(filepath.Join(dir, "config"), []byte(c.String()))
	b := &baresip{w: w, dir: filepath.Join(w.dir, dir)}
	b.program = w.start("baresip", "-f", b.dir, "-t", fmt.Sprint(int(perTest/time.Second)))
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("what baresip %s said:\n%s", l.name, b.out)
		}
	})
	b.said("baresip is ready", 10*time.Second)
	return b
}

// do gives a command, as if typed.
func (b *baresip) do(command string) {
	b.t.Helper()
	if _, err := b.stdin.Write([]byte(command + "\n")); err != nil {
		b.t.Fatalf("tell baresip: %v", err)
	}
}

func (b *baresip) dial(uri string) { b.t.Helper(); b.do("/dial " + uri) }

// press presses a key of the telephone.
func (b *baresip) press(key rune) {
	b.t.Helper()
	if _, err := b.stdin.Write([]byte(string(key))); err != nil {
		b.t.Fatalf("tell baresip: %v", err)
	}
}

// said waits until baresip has said a text.
func (b *baresip) said(text string, within time.Duration) { b.t.Helper(); b.saidTimes(text, 1, within) }

func (b *baresip) saidTimes(text string, n int, within time.Duration) {
	b.t.Helper()
	b.w.until(within, func() string {
		if strings.Count(b.out.String(), text) < n {
			return fmt.Sprintf("baresip has not said %q %d times", text, n)
		}
		return ""
	})
}

// packets are those that its call sent and received, by its own count. It
// counts what is left when SRTP has refused its share.
func (b *baresip) packets() (sent, received int) {
	b.t.Helper()
	b.said("packets:", 5*time.Second)
	_, counts, _ := strings.Cut(b.out.String(), "packets:")
	if _, err := fmt.Sscan(counts, &sent, &received); err != nil {
		b.t.Fatalf("statistics of baresip: %v", err)
	}
	return sent, received
}

// sent and heard are what its call, which has ended, sent and heard.
func (b *baresip) sent() []int16  { b.t.Helper(); return b.sound("enc") }
func (b *baresip) heard() []int16 { b.t.Helper(); return b.sound("dec") }

func (b *baresip) sound(kind string) (pcm []int16) {
	b.t.Helper()
	b.w.until(10*time.Second, func() string {
		files, err := filepath.Glob(filepath.Join(b.dir, "dump-*-"+kind+".wav"))
		if err != nil || len(files) != 1 {
			return fmt.Sprintf("baresip has written %d files of kind %s", len(files), kind)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			return err.Error()
		}
		var whole bool
		if pcm, whole = unwav(data); !whole {
			return "baresip has not ended its file " + files[0]
		}
		return ""
	})
	return pcm
}

// wav is a file of 16-bit samples, of the rate and the channels of the codec
// that an account has: baresip has no resampler.
func wav(pcm []int16, account string) []byte {
	rate, channels := audio.Rate, 1
	switch {
	case strings.Contains(account, "/16000"):
		rate = 16000
	case strings.Contains(account, "/48000/2"):
		rate, channels = 48000, 2
	}
	pcm = codec.NewResampler(audio.Rate, rate).Resample(nil, pcm)
	if channels == 2 {
		both := make([]int16, 0, 2*len(pcm))
		for _, s := range pcm {
			both = append(both, s, s)
		}
		pcm = both
	}
	b := []byte("RIFF")
	b = binary.LittleEndian.AppendUint32(b, uint32(36+2*len(pcm)))
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, 1) // PCM
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(2*channels*rate))
	b = binary.LittleEndian.AppendUint16(b, uint16(2*channels))
	b = binary.LittleEndian.AppendUint16(b, 16)
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(2*len(pcm)))
	for _, s := range pcm {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	return b
}

// unwav gives the samples of a file at our rate, and whether its head tells as
// many as there are, which is written last. The head may carry more chunks.
func unwav(data []byte) (pcm []int16, whole bool) {
	rate, channels := audio.Rate, 1
	for at := 12; at+8 <= len(data); {
		kind, size := string(data[at:at+4]), int(binary.LittleEndian.Uint32(data[at+4:]))
		at += 8
		whole = at+size == len(data)
		size = min(size, len(data)-at)
		switch kind {
		case "fmt ":
			channels = max(1, int(binary.LittleEndian.Uint16(data[at+2:])))
			rate = int(binary.LittleEndian.Uint32(data[at+4:]))
		case "data":
			for i := at; i+1 < at+size; i += 2 * channels {
				pcm = append(pcm, int16(binary.LittleEndian.Uint16(data[i:])))
			}
			return codec.NewResampler(rate, audio.Rate).Resample(nil, pcm), whole
		}
		at += size + size&1
	}
	return nil, false
}
