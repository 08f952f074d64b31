package call

import (
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sdp"
)

// fillAfter is how long a leg may send nothing until the other one hears
// comfort noise: longer than the pauses of those who suppress silence between
// words, and soon enough that nobody takes the line for dead.
const fillAfter = 2 * time.Second

// terms is what a leg and we agree on about media, with the payload numbers of
// what it sends.
func (s *state) terms(l *leg, side sdp.Side, pt [128]uint8) relay.Negotiated {
	n := relay.Of(s.within(l, side), pt)
	p := l.dress.Profile
	if n.DTLS != nil {
		n.DTLS.Suites = l.end.Suites
	}
	n.Digits = map[interop.DTMF]relay.Digits{
		interop.DTMFEvents: relay.Events, interop.DTMFInfo: relay.Signalled, interop.DTMFInband: relay.Tones,
	}[p.DTMF]
	n.Reports = map[interop.RTCP]relay.Reports{
		interop.RTCPRelayed: relay.Relayed, interop.RTCPOwn: relay.Own, interop.RTCPNone: relay.None,
	}[p.RTCP]
	if p.Fill {
		n.Fill = fillAfter
	}
	return n
}

// muted tells that a leg sends nothing, though it is to: one-way audio, or none.
type muted struct {
	leg   relay.Side
	lasts time.Duration
}

func (muted) event() {}

// muted notes it; what becomes of it is the other end's to say (see heard).
func (s *state) muted(ev muted) {
	if s.phase == talking {
		s.notef("no media has come from the %s for %v, though it is to speak", ev.leg, ev.lasts.Round(time.Second))
	}
}

// notice takes what the relay tells of the media. It runs on a loop of the
// relay.
func (c *call) notice(n relay.Notice) {
	switch n := n.(type) {
	case relay.Digit:
		c.post(digit{n.Side, n.Digit, n.Duration}, false)
	case relay.Muted:
		c.post(muted{n.Side, n.For}, false)
	case relay.Keyed:
		c.post(keyed{n.Side, n.Suite}, true)
	case relay.Unkeyed:
		c.post(unkeyed{n.Side, n.Err}, false)
	}
}

// play starts a source of ours.
func (c *call) play(e play) {
	if c.media == nil {
		return
	}
	if err := c.media.Play(e.leg, e.what); err != nil {
		c.todo = append(c.todo, unplayed{e.leg, err})
	}
}

// sendDigit sends a digit of ours.
func (c *call) sendDigit(e sendDigit) {
	if c.media == nil {
		return
	}
	if err := c.media.SendDigit(e.leg, e.digit, e.duration); err != nil {
		c.todo = append(c.todo, unplayed{e.leg, err})
	}
}
