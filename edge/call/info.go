package call

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sip"
)

// Digits by INFO (RFC 6086 section 1 calls it legacy usage): what a leg whose
// profile says so is sent, and sends, in place of telephone-event.

const (
	relayed = "application/dtmf-relay" // Signal=5, Duration=160
	bare    = "application/dtmf"       // 5
)

// aDigit is how long a digit lasts that does not say so, and lastingDigit the
// longest one.
const (
	aDigit       = 160 * time.Millisecond
	lastingDigit = 6 * time.Second
)

// maxDigits is how many digits a second a leg is sent by INFO: twice as many as
// can be told apart (ITU-T Q.24 table A-1). Events of a far side, which cost it
// nothing, shall not become a flood of requests to another.
const maxDigits = 24

// info is an INFO inside a leg's dialog.
func (s *state) info(ev requested) {
	profile := s.legs[ev.leg].dress.Profile
	kind, _, _ := strings.Cut(ev.msg.Get("Content-Type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	switch {
	case profile.DTMF != interop.DTMFInfo:
		s.notAllowed(ev)
	case ev.msg.Has("Info-Package"): // RFC 6086 4.2.2: we have announced none
		s.refuse(ev.leg, ev.tx, ev.msg, &refusal{status: 469, headers: [][2]string{{"Recv-Info", ""}}})
	case len(ev.msg.Body) == 0: // RFC 2976 2.2
		s.do(respond{ev.tx, respondOn(&s.legs[ev.leg], ev.msg, 200)})
	case kind == relayed || kind == bare:
		s.infoDigit(ev, kind)
	default: // RFC 2976 2.2
		s.refuse(ev.leg, ev.tx, ev.msg, &refusal{status: 415, headers: [][2]string{{"Accept", relayed + ", " + bare}}})
	}
}

// infoDigit passes a digit on.
func (s *state) infoDigit(ev requested, kind string) {
	d, lasts, ok := digitOf(kind, ev.msg.Body)
	if !ok {
		s.refuse(ev.leg, ev.tx, ev.msg, &refusal{status: 400, text: "its body names no digit"})
		return
	}
	s.do(respond{ev.tx, respondOn(&s.legs[ev.leg], ev.msg, 200)})
	s.giveDigit(ev.leg.Other(), d, lasts)
}

// giveDigit gives a leg a digit of the other one in the form it takes.
func (s *state) giveDigit(to relay.Side, d byte, lasts time.Duration) {
	l := &s.legs[to]
	switch {
	case s.phase > talking || l.end.Received == nil:
		s.notef("a digit is lost: the %s has no media yet", to)
	case l.dress.Profile.DTMF != interop.DTMFInfo:
		s.do(sendDigit{to, d, lasts})
	case !l.confirmed || l.gone || l.accepted != nil:
	case !s.digits[to].take(s.now, time.Second, maxDigits): // nobody presses them so fast
	default:
		req := l.dialog.NewRequest("INFO")
		s.finishRequest(req, nil, l)
		req.SetBody(relayed, fmt.Appendf(nil, "Signal=%c\r\nDuration=%d\r\n", d, lasts.Milliseconds()))
		r := s.newRequest(informing, to)
		r.dialog = l.dialog
		s.do(send{r.id, to, req})
	}
}

// digit is a DTMF digit that a leg has sent in its media. Between events and
// tones the relay converts by itself.
func (s *state) digit(ev digit) {
	if to := ev.leg.Other(); s.legs[to].dress.Profile != nil && s.legs[to].dress.Profile.DTMF == interop.DTMFInfo {
		s.giveDigit(to, ev.digit, ev.duration)
	}
}

// digitOf reads the digit in the body of an INFO.
func digitOf(kind string, body []byte) (d byte, lasts time.Duration, ok bool) {
	lasts = aDigit
	if kind == bare {
		d, ok = digitIn(strings.TrimSpace(string(body)))
		return d, lasts, ok
	}
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(line, "=")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "signal":
			d, ok = digitIn(value)
		case "duration":
			if ms, err := strconv.ParseUint(value, 10, 16); err == nil && ms > 0 {
				lasts = min(time.Duration(ms)*time.Millisecond, lastingDigit)
			}
		}
	}
	return d, lasts, ok
}

// digitIn reads a digit, by its sign or, as some write, by its event number
// (RFC 4733 section 3.2).
func digitIn(s string) (byte, bool) {
	const digits = "0123456789*#ABCD"
	if len(s) == 1 {
		at := strings.IndexByte(digits, strings.ToUpper(s)[0])
		return digits[max(at, 0)], at >= 0
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n < 10 || n >= uint64(len(digits)) {
		return 0, false
	}
	return digits[n], true
}

// informed is the final response to an INFO of ours.
func (s *state) informed(side relay.Side, msg *sip.Message) {
	if msg.Status >= 300 {
		s.notef("the %s refused a digit with %d", side, msg.Status)
	}
}
