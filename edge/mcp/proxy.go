package mcp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// timerC ends an INVITE that rings for ever: at least three minutes after the
// last provisional response (RFC 3261 16.6 item 11).
const timerC = 4 * time.Minute

// refusal is an answer of our own.
type refusal struct {
	status  int
	text    string
	headers [][2]string
}

// forward is one request on its way through us: RFC 3261 section 16, with one
// target at a time. The goroutine that begins it looks up and asks; from then
// on it lives in the callbacks of its two transactions.
type forward struct {
	set   *Set
	tx    *sip.ServerTx
	req   *sip.Message // RO; as it came
	snap  *snapshot.Snapshot
	known *peer.Known
	top   *sip.Address // RO after check; the Route value that led to us
	next  sip.Address  // RO after check; the one behind it

	mu        sync.Mutex
	out       *sip.ClientTx // mu; nil before the first target is tried
	targets   []sip.Target  // mu; not tried yet
	cancelled bool          // mu
	done      bool          // mu; a final response has gone back
	ringing   *time.Timer   // mu; timer C
	on        *sip.Message  // mu; the request that goes on, to be cloned for each target
}

// check looks at a request before anything is done (RFC 3261 16.3, 16.4).
func (f *forward) check() *refusal {
	hops, err := f.req.MaxForwards()
	switch {
	case f.snap.MCP == nil:
		return &refusal{status: 503, text: "the Mobile Control Point is off: set integratedMcpEnabled, or take it out of the iFC"}
	case err != nil:
		return &refusal{status: 400, text: err.Error()}
	case hops == 0:
		return &refusal{status: 483, text: "it has made too many hops"}
	case f.req.Has("Proxy-Require"):
		return &refusal{status: 420, text: "nothing that Proxy-Require may ask for is known here", headers: [][2]string{{"Unsupported", f.req.Get("Proxy-Require")}}}
	case f.req.Method == "REGISTER":
		return &refusal{status: 405, text: "registrations are not for the Mobile Control Point: take them out of its iFC", headers: [][2]string{{"Allow", "INVITE, ACK, CANCEL, OPTIONS"}}}
	}
	routes, err := f.req.Addresses("Route")
	if err != nil {
		return &refusal{status: 400, text: err.Error()}
	}
	if f.top = &routes[0]; len(routes) < 2 { // leadsHere has seen it
		return &refusal{status: 400, text: "the Route names nobody after the Mobile Control Point: the S-CSCF writes its own name there (3GPP TS 24.229 5.4.3.2)"}
	}
	f.next = routes[1]
	return nil
}

// run asks if need be, finds the next hop, and sends.
func (f *forward) run(ctx context.Context) {
	on := f.req.Clone()
	on.DelFirst("Route")
	hops, _ := on.MaxForwards()
	on.Set("Max-Forwards", strconv.Itoa(hops-1))
	if f.req.Method == "INVITE" {
		f.consult(ctx, on)
	}
	ctx, stop := context.WithTimeout(ctx, hopTime)
	defer stop()
	targets, err := f.set.Peers.ResolveHop(ctx, f.known.Name, f.next.URI)
	if err == nil && len(targets) == 0 {
		err = fmt.Errorf("%s is not an address that peer %s may be met at", f.next.URI.Host, f.known.Name)
	}
	if err != nil {
		f.refuse(&refusal{status: 503, text: "the next hop: " + err.Error()})
		return
	}
	f.mu.Lock()
	f.on, f.targets = on, targets
	f.mu.Unlock()
	f.try(nil) // there is a target
}

// consult asks Microsoft about an INVITE and lets the answer change it. An
// error leaves it as it is.
func (f *forward) consult(ctx context.Context, on *sip.Message) {
	r := read(f.req, f.top, f.snap)
	if r.silent != "" {
		f.set.log(f, "call goes on: "+r.silent)
		return
	}
	select {
	case f.set.asks <- struct{}{}:
		defer func() { <-f.set.asks }()
	default:
		f.set.count.failed.Add(1)
		f.set.log(f, "call goes on: too many are asked about at once")
		return
	}
	f.set.count.asked.Add(1)
	began := time.Now()
	routing, err := f.set.ask(ctx, f.snap.MCP, r.question)
	took := time.Since(began)
	switch {
	case err != nil:
		f.set.count.failed.Add(1)
		f.set.Log.Warn("Microsoft cannot be asked whether a call is a subscriber's: it goes on without Teams",
			obs.KeyCall, f.req.Get("Call-ID"), obs.KeyPeer, f.known.Name, obs.KeyDuration, took, obs.KeyError, err)
	case routing == "":
		f.set.count.strangers.Add(1)
		f.set.log(f, "call goes on: its user is no subscriber", obs.KeyDuration, took)
	default:
		if err := anchor(on, r.Direction, routing); err != nil {
			return // the Request-URI was read before
		}
		f.set.count.subscribers.Add(1)
		f.set.log(f, "call goes to Teams: its user is a subscriber", "direction", string(r.Direction), obs.KeyDuration, took)
	}
}

// try sends to the next target; why is the answer when there is none left.
func (f *forward) try(why *sip.Message) {
	f.mu.Lock()
	answer := f.sendNext(why)
	f.mu.Unlock()
	f.respond(answer)
}

// sendNext is try under mu: it gives the answer that is due, if one is.
func (f *forward) sendNext(why *sip.Message) *sip.Message {
	for !f.done {
		if f.cancelled {
			return f.final(f.own(487, ""))
		}
		if len(f.targets) == 0 {
			return f.final(why)
		}
		to := f.targets[0]
		f.targets = f.targets[1:]
		tx, err := f.set.stack.Forward(f.on.Clone(), to, f.heard)
		if err == nil {
			f.out = tx
			if f.req.Method == "INVITE" && f.ringing == nil {
				f.ringing = time.AfterFunc(timerC, f.giveUp)
			}
			return nil
		}
		why = f.own(500, "the next hop: "+err.Error())
	}
	return nil
}

// heard takes what the next hop answers.
func (f *forward) heard(ev sip.Event) {
	if ev.Err != nil {
		f.failed(ev.Err)
		return
	}
	if ev.Msg.Status == 100 {
		return // ours goes by itself (RFC 3261 16.7 item 5)
	}
	if ev.Msg.Status == 503 { // of that address alone (RFC 3261 16.7 item 6, RFC 3263 4.3)
		f.try(f.own(500, "the next hop is overloaded"))
		return
	}
	resp := ev.Msg.Clone()
	resp.DelFirst("Via") // ours
	f.mu.Lock()
	switch {
	case resp.Status < 200:
		if f.ringing != nil {
			f.ringing.Reset(timerC)
		}
	case resp.Status < 300: // of another fork too, and again until its ACK comes
		f.final(resp)
	default:
		resp = f.final(resp)
	}
	f.mu.Unlock()
	f.respond(resp)
}

// failed takes silence, and a hop that cannot be reached: the next one's turn
// (RFC 3263 4.3).
func (f *forward) failed(err error) {
	status := 408
	if _, ok := errors.AsType[*sip.TransportError](err); ok {
		status = 500 // RFC 3261 16.9: as if it had said 503, which goes back as 500 (16.7 item 6)
	}
	f.try(f.own(status, "the next hop: "+err.Error()))
}

// over takes the end of the request's transaction: nothing more is tried.
func (f *forward) over(error) {
	f.mu.Lock()
	f.final(nil)
	f.mu.Unlock()
}

// final remembers that a final response goes back; nil when one has gone.
func (f *forward) final(resp *sip.Message) *sip.Message {
	if f.done {
		return nil
	}
	f.done = true
	if f.ringing != nil {
		f.ringing.Stop()
	}
	return resp
}

// respond gives a response back; nil is none. Nothing is held, for the stack
// calls back.
func (f *forward) respond(resp *sip.Message) {
	if resp == nil {
		return
	}
	if err := f.tx.Respond(resp); err != nil {
		f.set.Log.Debug("give a response back", obs.KeyCall, f.req.Get("Call-ID"), obs.KeyStatus, resp.Status, obs.KeyError, err)
	}
}

// cancel takes the CANCEL of the request: what was sent on is cancelled too,
// what was not is answered.
func (f *forward) cancel(m *sip.Message) {
	f.mu.Lock()
	f.cancelled = true
	out := f.out
	var answer *sip.Message
	if out == nil {
		answer = f.final(f.own(487, ""))
	}
	f.mu.Unlock()
	if out != nil {
		out.Cancel(m.Get("Reason"))
	}
	f.respond(answer)
}

// giveUp is timer C.
func (f *forward) giveUp() {
	f.mu.Lock()
	out := f.out
	if f.done {
		out = nil
	}
	f.targets = nil
	f.mu.Unlock()
	if out == nil {
		return
	}
	f.set.Log.Warn("a call has rung for longer than any telephone does", obs.KeyCall, f.req.Get("Call-ID"), obs.KeyDuration, timerC)
	out.Cancel("")
}

// refuse answers a request by ourselves.
func (f *forward) refuse(no *refusal) {
	f.set.count.refused.Add(1)
	f.set.Log.Warn("refuse a request to the Mobile Control Point", obs.KeyCall, f.req.Get("Call-ID"), obs.KeyPeer, f.known.Name, obs.KeyStatus, no.status, obs.KeyCause, no.text)
	resp := f.own(no.status, no.text)
	for _, h := range no.headers {
		resp.Set(h[0], h[1])
	}
	f.mu.Lock()
	resp = f.final(resp)
	f.mu.Unlock()
	f.respond(resp)
}

// own is a response of ours. What is wrong stands in Warning (RFC 3261 20.43).
func (f *forward) own(status int, text string) *sip.Message {
	resp := sip.NewResponse(f.req, status, "")
	if text != "" {
		resp.Set("Warning", "399 tandem "+strconv.QuoteToASCII(text))
	}
	return resp
}
