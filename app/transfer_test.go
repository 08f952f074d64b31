package app

import (
	"bytes"
	"encoding/binary"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/phone"
)

// colleague is another user of Teams, third a number outside.
const (
	colleague = "+14255550102"
	third     = "+442079460777"
	slow      = "+14255550103" // a user who does not answer at once
)

// TestTransfers: whoever Teams, or the core, transfers a call to, the party that
// stays and the new one hear each other, by TLS and SRTP; and Teams finds nothing
// to complain about in how it came about.
func TestTransfers(t *testing.T) {
	w := build(t, func(w *world) {
		wav := filepath.Join(w.dir, "hold.wav")
		w.must(os.WriteFile(wav, wave(audio.Tones(7, 4*time.Second)), 0o600))
		w.write("threads: 1", "threads: 1\n  music: "+wav)
	})
	w.teams.Answer(slow, phone.Behaviour{Ring: 5 * time.Second})
	w.teams.Answer(colleague, phone.Behaviour{Ring: 300 * time.Millisecond})
	w.core.Answer(third, phone.Behaviour{})
	t.Run("to a user", func(t *testing.T) {
		w.t = t
		staying, user := w.meet(false)
		moved, err := w.teams.TransferToUser(t.Context(), user, colleague)
		w.must(err)
		w.must(moved.Wait(t.Context()))
		w.hear(staying, moved.Call())
		if n := moved.Notified(); !slices.Equal(n, []int{100, 180, 200}) {
			t.Errorf("notified %v", n)
		}
		w.part(staying, moved.Call())
	})
	t.Run("a call that Teams placed", func(t *testing.T) {
		w.t = t
		user, staying := w.meet(true)
		moved, err := w.teams.TransferToUser(t.Context(), user, colleague)
		w.must(err)
		w.must(moved.Wait(t.Context()))
		w.hear(staying, moved.Call())
		w.part(staying, moved.Call())
	})
	t.Run("a party that was held", func(t *testing.T) {
		w.t = t
		staying, user := w.meet(false)
		w.must(user.Hold(t.Context()))
		moved, err := w.teams.TransferToUser(t.Context(), user, colleague)
		w.must(err)
		w.must(moved.Wait(t.Context()))
		w.hear(staying, moved.Call())
		w.part(staying, moved.Call())
	})
	t.Run("who is held hears music, and that the target rings", func(t *testing.T) {
		w.t = t
		staying, user := w.meet(false)
		w.must(user.Hold(t.Context()))
		w.notSilent(staying, "on hold")
		moved, err := w.teams.TransferToUser(t.Context(), user, slow)
		w.must(err)
		w.until(func() string {
			if n := moved.Notified(); len(n) < 2 {
				return "it does not ring"
			}
			return ""
		})
		w.notSilent(staying, "while the target rings")
		w.must(moved.Wait(t.Context()))
		w.hear(staying, moved.Call())
		w.part(staying, moved.Call())
	})
	t.Run("to a number, which Teams calls by us", func(t *testing.T) {
		w.t = t
		staying, user := w.meet(false)
		moved, err := w.teams.TransferToNumber(t.Context(), user, third)
		w.must(err)
		w.must(moved.Wait(t.Context()))
		far := w.lastCall(w.core.Calls(), third)
		w.hear(staying, far)
		w.part(staying, far)
	})
	t.Run("hold with music, and back", func(t *testing.T) {
		w.t = t
		staying, user := w.meet(false)
		parked, err := w.teams.Park(t.Context(), user, audio.Tones(0x28, 8*audio.MaxDelay))
		w.must(err)
		w.must(parked.Wait(t.Context()))
		w.hears(staying, parked.Call())
		back, err := w.teams.Unpark(t.Context(), parked)
		w.must(err)
		w.must(back.Wait(t.Context()))
		w.hear(staying, back)
		w.part(staying, back)
	})
	t.Run("by the core", func(t *testing.T) {
		w.t = t
		asking, user := w.meet(false)
		moved, err := asking.Refer(t.Context(), phone.Referral{To: "<sip:" + third + "@r1.lab.example;user=phone>"})
		w.must(err)
		w.must(moved.Wait(t.Context()))
		far := w.lastCall(w.core.Calls(), third)
		w.hear(user, far)
		w.part(user, far)
	})
	t.Run("by the core, from one call to another", func(t *testing.T) {
		w.t = t
		asking, user := w.meet(false)
		second, err := w.core.Dial(t.Context(), phone.CallSpec{From: "+442079460001", To: colleague, Site: "a"})
		w.must(err)
		w.must(second.Wait(t.Context()))
		other := w.lastCall(w.teams.Calls(), colleague)
		id, theirs, ours, err := second.Peers(t.Context())
		w.must(err)
		moved, err := asking.Refer(t.Context(), phone.Referral{To: "<sip:" + colleague + "@r1.lab.example?Replaces=" +
			url.QueryEscape(id+";to-tag="+theirs+";from-tag="+ours) + ">"})
		w.must(err)
		w.must(moved.Wait(t.Context()))
		<-second.Done()
		w.hear(user, other)
		w.part(user, other)
	})
	t.Run("a redirection", func(t *testing.T) {
		w.t = t
		w.core.Answer("+442079460888", phone.Behaviour{Status: 302, Redirect: "sip:" + third + "@a.core.lab.example"})
		call, err := w.teams.Dial(t.Context(), phone.CallSpec{From: "+14255550101", To: "+442079460888", Region: "1r1.lab.example"})
		w.must(err)
		w.must(call.Wait(t.Context()))
		far := w.lastCall(w.core.Calls(), third)
		w.hear(call, far)
		w.part(call, far)
	})
	w.t = t
	for _, v := range w.teams.Violations() {
		t.Errorf("Teams complains: %+v", v)
	}
	for _, v := range w.core.Violations() {
		t.Errorf("the core complains: %+v", v)
	}
}

// meet makes a call: who placed it, and who answered.
func (w *world) meet(fromTeams bool) (caller, callee *phone.Call) {
	w.t.Helper()
	caller = w.talk(fromTeams)
	calls, number := w.teams.Calls(), "+14255550101"
	if fromTeams {
		calls, number = w.core.Calls(), "+442079460001"
	}
	callee = w.lastCall(calls, number)
	w.hear(caller, callee)
	return caller, callee
}

// lastCall is the newest call to a number.
func (w *world) lastCall(calls []*phone.Call, number string) (last *phone.Call) {
	w.t.Helper()
	for _, c := range calls {
		if f := c.Brief(); !f.Outbound && f.To == number && (last == nil || f.Began.After(last.Brief().Began)) {
			last = c
		}
	}
	if last == nil {
		w.t.Fatalf("nobody has called %s", number)
	}
	return last
}

// hear waits until two telephones hear each other.
func (w *world) hear(a, b *phone.Call) {
	w.t.Helper()
	w.hears(a, b)
	w.hears(b, a)
}

// hears waits until one telephone hears another: a second and a half of it, from
// now on.
func (w *world) hears(ear, mouth *phone.Call) {
	w.t.Helper()
	from := time.Now()
	w.until(func() string {
		sent, heard := since(mouth.Facts().Sent, from), since(ear.Facts().Heard, from)
		if sent.Duration() < 1500*time.Millisecond {
			return "nothing was said for long"
		}
		if r := audio.Compare(sent, heard); !r.Same {
			return ear.Brief().From + " does not hear " + mouth.Brief().To + ": " + r.Reason
		}
		return ""
	})
}

// notSilent waits until a telephone hears something for a while.
func (w *world) notSilent(ear *phone.Call, when string) {
	w.t.Helper()
	from := time.Now()
	w.until(func() string {
		heard := since(ear.Facts().Heard, from)
		if heard.Duration() < time.Second || audio.Listen(heard.PCM, heard.PCM).Level < -45 {
			return "it hears nothing " + when
		}
		return ""
	})
}

// wave is a WAV file of 8 kHz.
func wave(pcm []int16) []byte {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // into memory
	size := uint32(2 * len(pcm))
	b.WriteString("RIFF")
	put(36 + size)
	b.WriteString("WAVEfmt ")
	put(uint32(16))
	put([]uint16{1, 1})
	put([]uint32{audio.Rate, 2 * audio.Rate})
	put([]uint16{2, 16})
	b.WriteString("data")
	put(size)
	put(pcm)
	return b.Bytes()
}

// since is what of a track is younger than a moment, for two seconds.
func since(t audio.Track, at time.Time) audio.Track {
	if skip := int(at.Sub(t.At) * audio.Rate / time.Second); skip > 0 {
		skip = min(skip, len(t.PCM))
		t.At, t.PCM = t.At.Add(time.Duration(skip)*time.Second/audio.Rate), t.PCM[skip:]
	}
	t.PCM = t.PCM[:min(len(t.PCM), 2*audio.Rate)]
	return t
}

// part ends a call, and sees it end on both sides.
func (w *world) part(a, b *phone.Call) {
	w.t.Helper()
	a.HangUp()
	for _, c := range []*phone.Call{a, b} {
		select {
		case <-c.Done():
		case <-time.After(10 * time.Second):
			w.t.Fatalf("the call of %s does not end", c.Brief().To)
		}
	}
	w.until(func() string {
		if n := w.node.calls.Counters().Live; n != 0 {
			return "calls are left"
		}
		return ""
	})
}
