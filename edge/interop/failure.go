package interop

import (
	"errors"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// Failure is how the caller's side is told that a call did not come about.
type Failure struct {
	Status  int
	Reasons []sip.Reason
}

// Fail translates the final response far, which leg from gave, for the other
// side.
//
// What the called user did (busy, no such number, declined) keeps its status.
// A side that is overloaded or lost is told as 503, the only code besides 408
// on which a core or the cloud tries another way, and never with the other
// side's Retry-After, which would stop all traffic to us. What concerns our
// own message there (a bad extension, a challenge, a loop of ours) is an error
// of ours. A redirection is never passed on: its Contact names the other
// side's hosts, and nobody promises to follow it.
func Fail(far *sip.Message, from Leg) Failure {
	cause := Q850(far.Status)
	for _, r := range Reasons(far) {
		if r.Protocol == "Q.850" {
			cause = r.Cause
			break
		}
	}
	if far.Status == 486 && cause == 34 && from.Profile.Declined34 {
		cause = 17
	}
	return failure(passed(far.Status), cause)
}

// Refuse is how an error of ours is told.
func Refuse(err error) Failure {
	if e, ok := errors.AsType[*sip.ParseError](err); ok && e.Status != 0 {
		return failure(e.Status, Q850(e.Status))
	}
	if e, ok := errors.AsType[*sdp.ParseError](err); ok && e != nil {
		return failure(400, 0)
	}
	for _, e := range []error{sdp.ErrNoAudio, sdp.ErrNoCodec, sdp.ErrNoKeys, sdp.ErrCleartext, sdp.ErrMismatch, sdp.ErrNoAddress} {
		if errors.Is(err, e) {
			return failure(488, 0)
		}
	}
	f, ok := refusals[fault.Of(err)]
	if !ok {
		f = refusals[fault.Internal]
	}
	return failure(f.status, f.cause)
}

// refusals translates the kinds of base/fault.
var refusals = map[fault.Kind]struct{ status, cause int }{
	fault.Internal:    {500, 41},
	fault.Invalid:     {400, 0},
	fault.Denied:      {403, 21},
	fault.NotFound:    {404, 1},
	fault.Conflict:    {491, 0},
	fault.Exhausted:   {503, 42}, // switching equipment congestion
	fault.Unavailable: {503, 27}, // destination out of order
}

// failure completes a status with its cause; 0 looks it up.
func failure(status, cause int) Failure {
	if cause == 0 {
		cause = Q850(status)
	}
	return Failure{status, []sip.Reason{{Protocol: "Q.850", Cause: cause}}}
}

// passed is the status by which the other side learns of a far status.
func passed(status int) int {
	switch status {
	case 401, 407: // challenged: we have no account there, the caller even less
		return 403
	case 415, 606:
		return 488 // what was refused is the media
	case 487: // nobody cancelled on this side
		return 480
	case 502, 504:
		return 503
	case 403, 404, 408, 410, 433, 480, 483, 484, 486, 488, 500, 503, 600, 603, 604, 607, 608:
		return status
	}
	switch status / 100 { // RFC 3261 8.1.3.2: an unknown code means its class
	case 3:
		return 480
	case 6:
		return 603
	}
	return 500
}

// Reasons is what may cross of the Reason headers of m (RFC 3326): protocol
// and number. The text is the other side's own words and may name its hosts.
func Reasons(m *sip.Message) []sip.Reason {
	var all []sip.Reason
	for _, r := range m.Reasons() {
		switch {
		case strings.EqualFold(r.Protocol, "Q.850") && r.Cause > 0 && r.Cause < 128:
			all = append(all, sip.Reason{Protocol: "Q.850", Cause: r.Cause})
		case strings.EqualFold(r.Protocol, "SIP") && r.Cause >= 200 && r.Cause < 700:
			all = append(all, sip.Reason{Protocol: "SIP", Cause: r.Cause})
		}
	}
	return all[:min(len(all), 2)]
}

func setReasons(m *sip.Message, list []sip.Reason) {
	m.Del("Reason")
	for _, r := range list {
		m.Add("Reason", r.String())
	}
}

// Q850 is the cause for a final status (RFC 4497 8.4.4, RFC 3398 8.2.6.1; for
// codes younger than these, that of the nearest old one).
func Q850(status int) int {
	if c, ok := causes[status]; ok {
		return c
	}
	switch {
	case status >= 300 && status < 400:
		return 23 // redirection to new destination
	case status == 200:
		return 16
	case status >= 400 && status < 500, status >= 600:
		return 31
	}
	return 41
}

var causes = map[int]int{
	400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22,
	413: 127, 414: 127, 415: 79, 416: 127, 420: 127, 421: 127, 423: 127, 480: 18, 481: 41, 482: 25,
	483: 25, 484: 28, 485: 1, 486: 17, 487: 127, 488: 31, 500: 41, 501: 79, 502: 38, 503: 41,
	504: 102, 505: 127, 513: 127, 580: 47, 600: 17, 603: 21, 604: 1, 606: 31, 607: 21, 608: 21,
}
