package call

import "github.com/tandemgw/tandem/edge/relay"

// notice takes what the relay tells of the media. It runs on a loop of the
// relay.
func (c *call) notice(n relay.Notice) {
	if n, ok := n.(relay.Digit); ok {
		c.post(digit{n.Side, n.Digit, n.Duration}, false)
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
