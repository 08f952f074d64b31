package call

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sip"
)

// guarded runs one event. A panic ends this call and nothing else.
func (c *call) guarded(ev event) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked(p)
		}
	}()
	if ev = c.prepare(ev); ev != nil {
		c.advance(ev)
	}
}

// advance lets step decide, and carries out what it wants.
func (c *call) advance(ev event) {
	c.rest = c.st.step(time.Now(), ev)
	c.st.out = nil // carried out from here on
	for len(c.rest) > 0 {
		e := c.rest[0]
		c.rest = c.rest[1:]
		c.do(e)
	}
}

// defect is how a call ends that met a defect of ours.
var defect = gatewayCause(500, 41, "a defect of the gateway ended the call")

// panicked ends the call in the ordinary way, and should that panic as well,
// with its bare hands. What was decided before the panic is carried out first:
// an ACK may be among it.
func (c *call) panicked(p any) {
	c.set.count.panics.Add(1)
	c.set.cfg.Log.Error("panic in a call, which ends", obs.KeyCall, c.id, obs.KeyError, fmt.Sprint(p), "stack", string(debug.Stack()))
	c.carryRest()
	if !survives(func() { c.advance(hangup{defect}) }) {
		c.carryRest()
		c.salvage()
	}
}

// carryRest carries out what a panic has left, each on its own.
func (c *call) carryRest() {
	rest := append(c.st.out, c.rest...) // of the step that panicked, or behind the effect that did
	c.st.out, c.rest = nil, nil
	for _, e := range rest {
		survives(func() { c.do(e) })
	}
}

func survives(f func()) (ok bool) {
	defer func() { ok = recover() == nil }()
	f()
	return
}

// salvage releases what stands without asking the state, which is broken: the
// legs get a BYE, INVITEs of ours are cancelled (what answers them all the same
// is released by releaseLate), the record is closed. The rest is leave's.
func (c *call) salvage() {
	for side := range c.st.legs {
		survives(func() { c.dismiss(&c.st.legs[side], c.ways[side]) })
		survives(func() { c.dismiss(c.st.aside[side], c.asides[side]) })
	}
	for _, tx := range c.clients {
		tx.Cancel("")
	}
	if c.st.recorded && !c.told {
		survives(func() { c.ended(c.st.spoilt()) })
	}
	c.st.phase = over
}

// spoilt is the record of a call that a defect has ended.
func (s *state) spoilt() record.Call {
	r, at := s.record, s.now
	r.Ended, r.Cause = &at, defect.Cause
	if r.Answered != nil {
		r.Cause.Status = 0
	}
	return r
}

// dismiss sends a BYE to a leg that stands, or stood: whether its BYE has left
// is not to be relied on, and a second one is answered 481.
func (c *call) dismiss(l *leg, w *way) {
	if l == nil || w == nil || !l.confirmed {
		return
	}
	to := w.fallback
	if w.known {
		to = w.target
	}
	_, _ = c.set.stack.Load().Request(l.dialog.NewRequest("BYE"), to, func(sip.Event) {}) // there is nobody left to tell
}
