package relay

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/wire/codec"
)

// bomb is a decoder with a defect.
type bomb struct{ closed bool }

func (b *bomb) Decode([]int16, []byte) ([]int16, error) { panic("a bomb went off") }
func (b *bomb) Conceal([]int16) []int16                 { panic("a bomb went off") }
func (b *bomb) Idle([]int16) []int16                    { panic("a bomb went off") }
func (b *bomb) Close()                                  { b.closed = true }

// logged is what the relay of a media logs from now on.
func logged(m *Media) *strings.Builder {
	var lines strings.Builder
	log := slog.New(slog.NewTextHandler(&lines, nil))
	m.relay.crew.log, m.relay.clerk.log = log, log
	return &lines
}

// A panic in what is decoded makes one voice silent, and nothing else.
func TestAPanicInADecoderSilencesOneVoice(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		lines := logged(m)
		m.relay.crew.workers = m.relay.crew.workers[:1]
		for s := range m.voices {
			m.voices[s].worker = m.relay.crew.workers[0] // both on one
		}
		recode := func(n *Negotiated) { n.Recode = true }
		set(t, m, Caller, caller.agreed(recode))
		set(t, m, Callee, callee.agreed(recode))
		bad := m.voices[Callee]
		bad.mu.Lock()
		armed := &bomb{}
		bad.ear.inputs[0].decoder = armed
		bad.mu.Unlock()
		caller.quiet(time.Second)
		if n := len(callee.got); n != 0 {
			t.Errorf("%d packets of a decoder that panics", n)
		}
		if n := strings.Count(lines.String(), "\n"); n != 1 || !strings.Contains(lines.String(), "a bomb went off") {
			t.Errorf("logged %d times:\n%s", n, lines)
		}
		if bad.ear != nil || bad.encoder != nil || bad.working || armed.closed {
			t.Errorf("it was not let go of as it is: %+v", bad)
		}
		// The other one goes on.
		speech := audio.Speech(1)[:16000]
		callee.talk(speech)
		pass(200 * time.Millisecond)
		if r := audio.Listen(speech, caller.pcm(codec.ALaw)); !r.Same || r.Loss > 0.1 {
			t.Errorf("the other voice: %+v", r)
		}
		// Whatever is wanted of it now is refused, or done without it.
		if err := m.Play(Callee, Source{Sound: Busy}); err == nil {
			t.Error("it plays")
		}
		if err := m.SendDigit(Callee, '1', time.Second); err == nil {
			t.Error("it sends digits")
		}
		set(t, m, Caller, caller.agreed())
		set(t, m, Callee, callee.agreed())
		caller.talk(speech[:1600])
		if n := len(callee.got); n != 10 {
			t.Errorf("%d of 10 packets pass when nothing needs to be decoded", n)
		}
	})
}

// Nor does one where the clerk looks in end anything but its visits there.
func TestAPanicInAVisitEndsTheVisitsToOneMedia(t *testing.T) {
	conversation(t, voiceAndEvents, voiceAndEvents, func(m *Media, caller, callee *talker) {
		lines := logged(m)
		join(t, m, caller, callee)
		m.Answered()
		visited := &Media{relay: m.relay, ports: m.ports, voices: m.voices} // another one, on the same ports
		visited.sides[Caller] = &Negotiated{Reports: None}
		m.relay.clerk.enter(visited)
		defer m.relay.clerk.leave(visited)
		pad := m.keypads[Caller]
		pad.mu.Lock()
		pad.up = func(byte, time.Duration) { panic("a bomb went off") }
		pad.mu.Unlock()
		caller.raw(events.Out, true, 7, codec.Event{Code: 1, Duration: 160}.Append(nil)) // and no end
		pass(30 * time.Second)
		if n := strings.Count(lines.String(), "\n"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, lines)
		}
		if c := &m.relay.clerk; c.count != 1 || !c.alive {
			t.Errorf("the clerk has %d media, alive %v", c.count, c.alive)
		}
		if late := time.Since(visited.file.next[Caller]); late > time.Second { // it is looked at once in that time
			t.Errorf("the other media was due %v ago", late)
		}
		caller.talk(make([]int16, 1600))
		if n := len(callee.got); n < 10 {
			t.Errorf("%d packets pass", n)
		}
	})
}
