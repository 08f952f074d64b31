package call

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/relay"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// do carries out one effect.
func (c *call) do(e effect) {
	switch e := e.(type) {
	case respond:
		c.respond(e)
	case settled:
		delete(c.servers, e.tx)
		delete(c.askers, e.tx)
	case open:
		c.open(e)
	case begin:
		c.set.count.begun.Add(1)
		c.set.cfg.Records.Begin(e.record, func(err error) { c.durable(e.record.Began, err) })
	case answered:
		c.set.count.answered.Add(1)
		c.set.cfg.Records.Answer(e.record, nil)
		if c.media != nil {
			c.media.Answered()
		}
	case ended:
		c.ended(e.record)
	case scored:
		c.score(e.record)
	case resolve:
		c.resolve(e)
	case examine:
		c.examine(e)
	case invite:
		c.invite(e)
	case cancel:
		if tx := c.clients[e.id]; tx != nil {
			tx.Cancel(e.reason)
		}
	case locate:
		c.locate(e)
	case send, ack:
		c.inDialog(c.ways[legOf(e)], e)
	case sendAside:
		if w := c.asides[e.leg]; w != nil {
			c.inDialog(w, e)
		}
	case part:
		c.part(e)
	case farewell:
		c.farewell(e)
	case forgo:
		c.forgo()
	case sendDirect:
		c.direct(e)
	case resend:
		c.resend(e)
	case openFax:
		ev := faxOpened{asked: e, err: errors.New("the call has ended")}
		if c.media != nil {
			ev.at, ev.err = c.media.OpenFax()
		}
		c.todo = append(c.todo, ev)
	case plug:
		if err := c.media.Set(e.leg, e.what); err != nil {
			c.todo = append(c.todo, unplugged{err})
		}
	case play:
		c.play(e)
	case count:
		if c.media != nil {
			c.todo = append(c.todo, counted{e.leg, c.media.Stats(e.leg).Received.Packets})
		}
	case also:
		c.know(e.key, relay.Caller, c.st.caller().peer.Group.Name)
	case stop:
		if c.media != nil {
			c.media.Stop(e.leg)
		}
	case sendDigit:
		c.sendDigit(e)
	case listen:
		if c.media != nil {
			side, silent := c.media.Silent(time.Now())
			c.todo = append(c.todo, heard{side, silent})
		}
	case unplug:
		if c.media != nil {
			c.media.Close()
			c.media = nil
		}
	case arm:
		c.due[e.timer] = time.Time{}
		if e.after > 0 {
			c.due[e.timer] = time.Now().Add(e.after)
		}
	case report:
		c.set.cfg.Peers.Report(e.peer, e.outcome)
	case limited:
		c.set.cfg.Peers.Limited(e.peer, e.full)
	case remember:
		c.set.recalls.put(e.elin, e.caller, time.Now())
	case note:
		if c.set.cfg.Traces != nil {
			c.set.cfg.Traces.Note(c.id, e.text)
		}
	}
}

// respond answers a request. A transaction is kept until its final response,
// and an accepted INVITE until the 2xx is acknowledged.
func (c *call) respond(e respond) {
	tx := c.servers[e.tx]
	if c.answerInner(e) || tx == nil {
		return
	}
	// The stack reports what matters (OnEnd); the rest is repeated or was too
	// late.
	if err := tx.Respond(c.set.ruledOut(tx.Source().Remote.Name, e.msg)); err != nil {
		c.set.cfg.Log.Debug("respond", obs.KeyCall, c.id, obs.KeyStatus, e.msg.Status, obs.KeyError, err)
	}
	cseq, _ := e.msg.CSeq()
	if e.msg.Status >= 300 || e.msg.Status >= 200 && cseq.Method != "INVITE" {
		delete(c.servers, e.tx)
	}
}

// open takes the ports, and makes the caller's leg known under its tag.
func (c *call) open(e open) {
	s := c.set
	callee := s.cfg.Interfaces[e.callee]
	media, err := s.cfg.Relay.Open(s.cfg.Interfaces[e.caller], callee)
	ev := opened{err: err}
	if err == nil {
		c.media, ev.print = media, s.cfg.Relay.Fingerprint()
		media.Watch(c.notice)
		for i := range ev.rtp {
			ev.rtp[i], ev.rtcp[i] = media.Local(relay.Side(i)), media.LocalRTCP(relay.Side(i))
		}
	}
	if c.held[relay.Caller] == nil { // an emergency call, which no limit refuses
		c.held[relay.Caller] = s.cfg.Peers.Hold(c.source.Remote.Name)
	}
	c.ways[relay.Caller].fallback = targetOf(c.source)
	c.know(dialogKey{c.st.record.Caller.CallID, c.st.caller().tag}, relay.Caller, c.st.caller().peer.Group.Name)
	c.todo = append(c.todo, ev)
}

// targetOf is the way back to where a message came from.
func targetOf(src sip.Source) sip.Target {
	return sip.Target{
		Listener: src.Listener.Name, Transport: src.Listener.Transport,
		Addr: src.Addr, Remote: src.Remote, Via: src,
	}
}

// ended closes the record and says so in the log, once per call; of calls that
// come to nothing only as many as the log has room for.
func (c *call) ended(r record.Call) {
	c.told = true
	c.measure(&r)
	c.set.cfg.Records.End(r, nil)
	if r.Answered == nil {
		c.set.count.failed.Add(1)
	} else {
		c.set.counted(&r)
	}
	log := c.set.cfg.Log
	var talked time.Duration
	if r.Answered != nil {
		talked = r.Ended.Sub(*r.Answered).Round(time.Millisecond)
	} else if !r.Emergency {
		missing, ok := c.set.lines.take(r.Caller.Peer, time.Now())
		if !ok {
			return
		}
		if missing > 0 {
			log = log.With("unlogged", missing)
		}
	}
	if silent := mute(r); silent != nil {
		log = log.With("mute", silent)
	}
	if code := r.Cause.MicrosoftCode; code != 0 {
		log = log.With("microsoft", code)
	}
	log.Info("call ended",
		obs.KeyCall, c.id, "from", r.From, "to", r.To, "service", r.Service,
		"caller", r.Caller.Peer, "callee", r.Callee.Peer,
		"codecs", r.Caller.Codec+"/"+r.Callee.Codec,
		"packets", fmt.Sprintf("%d/%d", r.Caller.Media.Packets, r.Callee.Media.Packets), "mos", mos(r),
		obs.KeyDuration, talked, obs.KeyStatus, r.Cause.Status, "q850", r.Cause.Q850,
		"by", r.Cause.By, obs.KeyCause, r.Cause.Text)
}

// resolve counts the call at a target and looks up its addresses.
func (c *call) resolve(e resolve) {
	peers := c.set.cfg.Peers
	held := &c.held[relay.Callee]
	if e.beside {
		held = &c.coming
	}
	if *held != nil { // the target before
		(*held)()
	}
	var full *peer.Full
	if e.must {
		*held = peers.Hold(e.peer)
	} else if *held, full = peers.Enter(e.peer); full != nil {
		c.todo = append(c.todo, resolved{full: full})
		return
	}
	c.lookups.Go(func() {
		ctx, cancel := context.WithTimeout(c.context, lookUp)
		defer cancel()
		known, _ := peers.Find(e.peer)
		hops, err := peers.Resolve(ctx, e.peer)
		if err == nil && len(hops) == 0 {
			err = errors.New("it has no address")
		}
		c.post(resolved{peer: known, dress: peers.Leg(known), hops: hops, down: peers.Down(e.peer), err: err}, true)
	})
}

// invite sends the INVITE of an attempt.
func (c *call) invite(e invite) {
	s := c.set
	c.know(e.key, e.leg, c.st.sought().peer.Group.Name)
	if len(c.sentTo) > 0 && c.st.transfer == nil {
		s.count.retried.Add(1)
	}
	c.sentTo = append(c.sentTo, sent{e.id, e.to})
	if isInner(e.to) {
		c.tell(e.id, e.msg)
		return
	}
	c.vouch(e.who, e.msg)
	c.request(e.id, e.msg, e.to)
}

// request sends a request of step's.
func (c *call) request(id int, msg *sip.Message, to sip.Target) {
	c.transact(id, c.set.ruledOut(to.Remote.Name, msg), to)
}

// transact starts a client transaction for a request that the rules have seen;
// what it brings comes as events.
func (c *call) transact(id int, msg *sip.Message, to sip.Target) {
	stack := c.set.stack.Load()
	invite := msg.Method == "INVITE"
	c.sign(id, msg, to)
	tx, err := stack.Request(msg, to, func(ev sip.Event) {
		switch {
		case ev.Err != nil:
			c.post(failed{id, ev.Err}, true)
		case !c.post(responded{id, c.set.ruledIn(to.Remote.Name, ev.Msg)}, ev.Msg.Status >= 200) && invite:
			releaseLate(stack, ev.Msg, to)
		}
	})
	switch {
	case err != nil:
		c.todo = append(c.todo, failed{id, err})
	case invite:
		c.clients[id] = tx
	}
}

// releaseLate acknowledges and releases a 2xx that came when its call was over
// already.
func releaseLate(stack *sip.Stack, resp *sip.Message, to sip.Target) {
	if resp.Status < 200 || resp.Status > 299 {
		return
	}
	from := sip.NewRequest("INVITE", "sip:late")
	for _, name := range []string{"From", "To", "Call-ID", "CSeq"} {
		from.Set(name, resp.Get(name))
	}
	d, err := ua.ClientDialog(from, resp)
	if err != nil {
		return
	}
	_ = stack.Send(d.NewAck(from), to) // who lost the call before is not helped by a log line
	bye := d.NewRequest("BYE")
	_, _ = stack.Request(bye, to, func(sip.Event) {})
}
