package phone

import (
	"cmp"
	"context"
	"sync"

	"github.com/tandemgw/tandem/sandbox/audio"
)

// pipe carries the sound of one call into another, as a media processor does:
// a little of it waits, against packets that come late.
type pipe struct {
	mu   sync.Mutex
	pcm  []int16 // mu
	flow bool    // mu; enough has come to begin
	owed int     // mu; samples that came too late to be said, or will
}

const (
	cushion  = 10 * audio.Frame // samples that wait before the first one leaves: a pause of one process among many is no hole
	overflow = audio.Rate / 2   // beyond, the oldest are thrown away; after so much silence it begins anew
)

func (p *pipe) write(pcm []int16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := min(p.owed, len(pcm))
	p.owed -= late
	p.pcm = append(p.pcm, pcm[late:]...)
	if n := len(p.pcm) - overflow; n > 0 {
		p.pcm = append(p.pcm[:0], p.pcm[n:]...)
	}
	p.flow = p.flow || len(p.pcm) >= cushion
}

// read appends n samples to dst, silence when there are none.
func (p *pipe) read(dst []int16, n int) []int16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.flow {
		return append(dst, make([]int16, n)...)
	}
	k := min(n, len(p.pcm))
	dst = append(dst, p.pcm[:k]...)
	p.pcm = append(p.pcm[:0], p.pcm[k:]...)
	if k < n {
		if p.owed += n - k; p.owed > overflow {
			p.flow, p.owed = false, 0
		}
		dst = append(dst, make([]int16, n-k)...)
	}
	return dst
}

// connect makes two voices hear each other instead of what each has to say.
func connect(a, b *voice) {
	there, back := &pipe{}, &pipe{}
	a.tell(there)
	b.change(nil, there)
	b.tell(back)
	a.change(nil, back)
}

// Progress is what a call that was placed for another one tells.
type Progress uint8

// The steps of such a call.
const (
	Rings    Progress = iota // 180
	Speaks                   // early media
	Answers                  // 200
	Finishes                 // its end
)

// Join lets two calls that are up hear each other, and the end of one be the end
// of the other.
func Join(a, b *Call) {
	connect(a.mouth(), b.mouth())
	a.x.Go(func(ctx context.Context) {
		select {
		case <-a.done:
			b.HangUp()
		case <-b.done:
			a.HangUp()
		case <-ctx.Done():
		}
	})
}

func (c *Call) mouth() *voice {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.voice
}

// goOn places the call that a forwarding or a second telephone wants.
func (c *Call) goOn(number string, forwarded bool) {
	next, err := c.x.cfg.Manner.Onward(c, number, forwarded, func(next *Call, p Progress) {
		c.post(func() { c.onward(next, p, forwarded) })
	})
	if err != nil {
		c.note(func(f *Facts) { f.Error = err.Error() })
		if forwarded {
			c.refuse(Refusal{Status: 480, Reason: c.x.cfg.Manner.Reason(480, nil)})
		}
		return
	}
	c.beyond = next
}

// onward takes what the other call tells.
func (c *Call) onward(next *Call, p Progress, forwarded bool) {
	switch {
	case c.phase == over:
		next.HangUp()
	case c.phase != setup:
	case p == Rings && forwarded:
		c.progressOf(c.winner(), 180, nil)
	case p == Speaks && forwarded:
		connect(c.voice, next.mouth())
		c.speakEarly()
	case p == Answers:
		c.beyond = nil
		c.answer()
		Join(c, next)
	case p == Finishes && forwarded:
		f := next.Brief()
		c.refuse(Refusal{Status: cmp.Or(f.Status, 480), Reason: f.Reason})
	}
}

// leave hangs up on a second telephone that is not needed any more.
func (c *Call) leave() {
	if c.beyond != nil {
		c.beyond.HangUp()
		c.beyond = nil
	}
}
