package call

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sip"
)

// words says what an effect is, for reading.
func words(e effect) string {
	switch e := e.(type) {
	case respond:
		return fmt.Sprintf("respond %d", e.msg.Status)
	case send:
		return fmt.Sprintf("%s to %s", e.msg.Method, e.leg)
	case sendDirect:
		return e.msg.Method
	case ack:
		return "ACK to " + e.leg.String()
	case arm:
		if e.after == 0 {
			return ""
		}
		return fmt.Sprintf("timer %v", e.after)
	case note, report, locate, settled:
		return ""
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", e), "call.")
}

// told runs one event and gives what it led to.
func (m *machine) told(ev event) string {
	var out []string
	for _, e := range m.s.step(m.now, ev) {
		if w := words(e); w != "" {
			out = append(out, w)
		}
		m.do(e)
	}
	return strings.Join(out, ", ")
}

// ring brings a call to where the callee rings.
func ring(t *testing.T) *machine {
	m := newMachine(t, []byte{1})
	m.start()
	for len(m.script) > 0 {
		ev := m.script[0]
		m.script = m.script[1:]
		m.feed(ev)
	}
	m.answer(0, 180, "a", "")
	return m
}

// answered is a response to the INVITE of the attempt.
func (m *machine) answered(status int, body string) responded {
	resp := sip.NewResponse(m.inviteOut, status, "")
	resp.TagTo("a")
	resp.Set("Contact", "<sip:far.example>")
	if body != "" {
		resp.SetBody("application/sdp", []byte(body))
	}
	return responded{m.s.attempt.id, resp}
}

// TestStep is the heart of a call in words: what happens, and what is done.
func TestStep(t *testing.T) {
	for _, tc := range []struct {
		name  string
		event func(m *machine) event
		want  string
	}{
		{"answered", func(m *machine) event { return m.answered(200, teamsSDP) }, "ACK, plug, plug, timer 15m0s, respond 200, timer 500ms, answered, timer 30s, timer 1h0m0s, timer 1m0s"},
		{"answered without media", func(m *machine) event { return m.answered(200, "") }, "ACK, respond 488, BYE to callee, ended, unplug, timer 40s"},
		{"early media", func(m *machine) event { return m.answered(183, teamsSDP) }, "plug, plug, respond 183, timer 1m0s"},
		{"busy", func(m *machine) event { return m.answered(486, "") }, "respond 486, ended, unplug, timer 40s"},
		{"overloaded", func(m *machine) event { return m.answered(503, "") }, "resolve"},
		{"cancelled by the caller", func(m *machine) event { return cancelled{1, sip.NewRequest("CANCEL", "sip:x")} }, "cancel, respond 487, ended, unplug, timer 40s"},
		{"the caller cannot be reached", func(m *machine) event { return unreachable{1, errors.New("reset")} }, "cancel, respond 500, ended, unplug, timer 40s"},
		{"hung up by command", func(m *machine) event { return hangup{commandCause} }, "cancel, respond 480, ended, unplug, timer 40s"},
		{"nobody answers", func(m *machine) event { return expired{ringingTooLong} }, "cancel, respond 480, ended, unplug, timer 40s"},
		{"silence is over", func(m *machine) event { return expired{silence} }, "cancel, resolve"},
		{"an answer to nothing", func(m *machine) event { return responded{99, sip.NewResponse(m.inviteOut, 200, "")} }, ""},
		{"an ACK to nothing", func(m *machine) event { return acked{relay.Caller, sip.NewRequest("ACK", "sip:x")} }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := ring(t)
			if got := m.told(tc.event(m)); got != tc.want {
				t.Errorf("\n got: %s\nwant: %s", got, tc.want)
			}
		})
	}
}
