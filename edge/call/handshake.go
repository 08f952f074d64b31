package call

import (
	"errors"
	"fmt"
	"time"

	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/rtp"
)

// shakeAfter is how long after its answer a leg may be without a handshake that
// succeeds: many a telephone begins it no sooner than it talks, and the first
// attempts may have been made before.
const shakeAfter = 10 * time.Second

// byHandshake is how the record says that the keys of SRTP came from a
// handshake.
const byHandshake = "DTLS"

type (
	// keyed tells that the handshake with a leg has come to keys.
	keyed struct {
		leg   relay.Side
		suite string
	}
	// unkeyed tells that an attempt has failed, and that there are no keys.
	unkeyed struct {
		leg relay.Side
		err error
	}
)

func (keyed) event()   {}
func (unkeyed) event() {}

// keyed writes the suite into the record.
func (s *state) keyed(ev keyed) {
	s.shaken[ev.leg] = ev.suite
	s.describeMedia()
	s.notef("the handshake with the %s (DTLS-SRTP) has come to %s", ev.leg, ev.suite)
}

// unkeyed ends an answered call: its leg hears nothing and is not heard. Before
// that, and while the answer is young, another attempt may succeed, but not with
// a certificate that is another one than was described. An emergency call goes
// on trying.
func (s *state) unkeyed(ev unkeyed) {
	what := fmt.Sprintf("the handshake with the %s (DTLS-SRTP) failed: %s", ev.leg, shakeError(ev.err))
	forged := errors.Is(ev.err, rtp.ErrFingerprint)
	if s.phase != talking || s.record.Emergency || !forged && s.record.Answered != nil && s.now.Sub(*s.record.Answered) < shakeAfter {
		s.notef("%s", what)
		return
	}
	s.finish(gatewayCause(0, 47, what))
}

func shakeError(err error) string {
	switch {
	case errors.Is(err, rtp.ErrSilent):
		return "none was made, or ours was not answered"
	case errors.Is(err, rtp.ErrFingerprint):
		return "its certificate is not the one that it has described"
	}
	return err.Error()
}
