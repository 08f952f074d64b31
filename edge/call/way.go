package call

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/wire/sip"
)

// way is where the requests of a leg's dialog go.
type way struct {
	fallback sip.Target // where its INVITE came from or went to
	hop      sip.URI
	target   sip.Target
	others   []sip.Target // further addresses of hop
	known    bool         // target stands for hop
	inner    bool         // it leads to another call of ours, for good
	asked    bool         // hop is being looked up
	waiting  []effect     // until it is known
}

// locate sets where a leg's requests go from now on.
func (c *call) locate(e locate) {
	w := c.ways[e.leg]
	if e.id != 0 {
		w.fallback = c.wentTo(e.id)
		w.inner = isInner(w.fallback)
	}
	if w.inner {
		w.target, w.known = w.fallback, true
	}
	if w.inner || w.known && w.hop == e.hop {
		return
	}
	w.hop, w.others, w.known, w.asked = e.hop, nil, false, false
	if !w.fallback.Addr.IsValid() || e.hop.Host == "" {
		w.target, w.known = w.fallback, true
	}
}

// located has the addresses of a leg's next hop.
type located struct {
	way  *way
	hop  sip.URI
	hops []sip.Target
}

func (located) event() {}

// inDialog sends a request by a leg's way, which is looked up when it is used
// first.
func (c *call) inDialog(w *way, e effect) {
	if w.known {
		c.sendBy(w, e)
		return
	}
	w.waiting = append(w.waiting, e)
	if w.asked {
		return
	}
	c.lookUpHop(w)
}

// lookUpHop finds the addresses of a leg's next hop; an address in figures
// needs nobody to be asked.
func (c *call) lookUpHop(w *way) {
	w.asked = true
	peers, name, hop := c.set.cfg.Peers, w.fallback.Remote.Name, w.hop
	find := func() located {
		ctx, cancel := context.WithTimeout(c.context, lookUp)
		defer cancel()
		hops, err := peers.ResolveHop(ctx, name, hop)
		if err != nil {
			c.set.cfg.Log.Debug("look up next hop", obs.KeyCall, c.id, obs.KeyPeer, name, obs.KeyError, err)
		}
		return located{w, hop, hops}
	}
	if _, err := netip.ParseAddr(hop.Host); err == nil {
		c.located(find())
		return
	}
	c.lookups.Go(func() { c.post(find(), true) })
}

func legOf(e effect) relay.Side {
	switch e := e.(type) {
	case send:
		return e.leg
	case ack:
		return e.leg
	}
	panic("call: not a request inside a dialog")
}

// located chooses the address of a next hop: that of the INVITE when it is
// among them, else the first. When there is none that the peer may have, the
// requests go back the way the dialog came: a route set must not make us speak
// to a third party.
func (c *call) located(ev located) {
	w := ev.way
	if w.known {
		return
	}
	if w.hop != ev.hop { // it has changed meanwhile
		c.lookUpHop(w)
		return
	}
	w.target, w.known = w.fallback, true
	if hops := slices.Clone(ev.hops); len(hops) > 0 {
		at := slices.IndexFunc(hops, func(t sip.Target) bool {
			return t.Addr.Addr().Unmap() == w.fallback.Addr.Addr().Unmap()
		})
		if at >= 0 {
			hops[at].Via = w.fallback.Via // RFC 5923: the connection it came on, while it stands
		}
		at = max(at, 0)
		w.target = hops[at]
		w.others = slices.Delete(hops, at, at+1)
	}
	waiting := w.waiting
	w.waiting = nil
	for _, e := range waiting {
		c.sendBy(w, e)
	}
}

func (c *call) sendBy(w *way, e effect) {
	if w.inner {
		c.tellBy(e)
		return
	}
	switch e := e.(type) {
	case send:
		c.reach(e.id, c.set.ruledOut(w.target.Remote.Name, e.msg), w.target, w.others)
	case ack:
		c.sendAck(e.msg, w.target)
	case sendAside:
		if e.id == 0 {
			c.sendAck(e.msg, w.target)
			return
		}
		c.reach(e.id, c.set.ruledOut(w.target.Remote.Name, e.msg), w.target, w.others)
	}
}

// reach sends a request inside a dialog to one address after the other, until
// one takes it (RFC 3263 4.3): the proxy that the call was set up through may
// be dead, and its twin know the call. A BYE or OPTIONS that is not answered at
// all moves on as the INVITE of an attempt does; a re-INVITE does not, its
// answer would be nobody's.
func (c *call) reach(id int, msg *sip.Message, to sip.Target, others []sip.Target) {
	if len(others) == 0 {
		c.transact(id, msg, to)
		return
	}
	req := msg.Clone()
	delete(c.shown, id) // what the address before was shown
	c.sign(id, req, to)
	const answered, moved = 1, 2
	var fate atomic.Int32
	move := func() { c.post(astray{id, msg, others}, true) }
	tx, err := c.set.stack.Load().Request(req, to, func(ev sip.Event) {
		first := fate.CompareAndSwap(0, answered)
		switch {
		case fate.Load() == moved: // too late
		case first && ev.Err != nil && !errors.Is(ev.Err, sip.ErrClosed):
			move()
		case ev.Err != nil:
			c.post(failed{id, ev.Err}, true)
		default:
			c.post(responded{id, c.set.ruledIn(to.Remote.Name, ev.Msg)}, ev.Msg.Status >= 200)
		}
	})
	switch {
	case err != nil:
		c.todo = append(c.todo, failed{id, err})
	case msg.Method == "INVITE":
		c.clients[id] = tx
	default:
		time.AfterFunc(c.set.cfg.Limits.FirstResponse, func() {
			if fate.CompareAndSwap(0, moved) {
				move()
			}
		})
	}
}

// astray is a request inside a dialog that one address did not take.
type astray struct {
	id     int
	msg    *sip.Message
	others []sip.Target // not empty
}

func (astray) event() {}

func (c *call) direct(e sendDirect) {
	to := c.wentTo(e.attempt)
	if isInner(to) {
		c.tell(e.id, e.msg)
		return
	}
	if e.id == 0 {
		c.sendAck(e.msg, to)
		return
	}
	c.request(e.id, e.msg, to)
}

// sent is where an attempt went.
type sent struct {
	id int
	to sip.Target
}

func (c *call) wentTo(id int) sip.Target {
	for _, s := range c.sentTo {
		if s.id == id {
			return s.to
		}
	}
	return c.ways[relay.Callee].fallback
}

func (c *call) sendAck(msg *sip.Message, to sip.Target) {
	c.signAck(msg)
	if err := c.set.stack.Load().Send(msg, to); err != nil {
		c.set.cfg.Log.Debug("send ACK", obs.KeyCall, c.id, obs.KeyError, err)
	}
}
