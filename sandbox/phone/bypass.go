package phone

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/tandemgw/tandem/sandbox/ice"
	"github.com/tandemgw/tandem/wire/rtp"
)

// A call with media bypass has its media at the client, which is anywhere and
// checks the way to the gateway by ICE. Its descriptions name a relay in c= and
// m=, at which nobody listens here: what is heard has come by a checked pair.

// clientName is the interface of clients.
const clientName = "clients"

// firstRelay is where the ports of the relay begin (Microsoft Teams docs, "Plan
// for media bypass").
const firstRelay = 50000

// ErrNoICE: the other side offers no candidates.
var ErrNoICE = errors.New("no ICE candidates")

// client is one device of a call with media bypass.
type client struct {
	agent *ice.Agent
	port  *rtp.Port
	relay netip.AddrPort
}

func (c *Call) bypasses() bool { return c.spec.Bypass || c.does.Bypass }

// newClient makes the agent of a media end.
func (c *Call) newClient(port *rtp.Port) *client {
	k := &client{port: port, relay: netip.AddrPortFrom(c.x.cfg.Media, firstRelay+port.Addr().Port()%10000)}
	k.agent = ice.New(ice.Config{
		Socket: port.Addr(), Relay: k.relay, Send: port.Emit, Broken: c.violate,
		// Not on the agent's goroutine: the call may be waiting for its end.
		Changed: func() { go c.post(c.checked) },
	})
	port.Divert(k.agent.Receive)
	return k
}

// close ends a device; the port of the call's voice is closed with that.
func (k *client) close() {
	if k == nil {
		return
	}
	k.port.Divert(nil)
	k.agent.Close()
}

// checked goes on when a pair has become valid or is lost.
func (c *Call) checked() {
	switch {
	case c.phase == over || c.session == nil || c.session.client == nil:
	case c.session.client.agent.State().Lost:
		c.note(func(f *Facts) { f.Error = "IceConnectivityChecksFailed" })
		c.hangUp()
	case c.talk || c.out != nil && c.session.remote != nil:
		c.media()
	}
}

// compete has each device of a number show its description and check the way,
// all at once; who does not answer has checked in vain.
func (c *Call) compete() error {
	for _, f := range c.in.forks {
		body := c.in.answer
		if f != c.winner() {
			port, err := c.x.engine.Open(clientName)
			if err != nil {
				return err
			}
			k := c.newClient(port)
			c.rivals = append(c.rivals, k)
			s := c.newSessionAt(k, c.does.Codec, c.does.Ptime)
			if body, err = s.reply(c.in.invite.Body); err != nil {
				return err
			}
			k.agent.Meet(s.far)
		}
		c.progressOf(f, 183, body)
	}
	c.session.client.agent.Meet(c.session.far)
	return nil
}

// concede ends the devices that have not answered.
func (c *Call) concede() {
	for _, k := range c.rivals {
		state := k.agent.State()
		c.note(func(f *Facts) { f.Rivals = append(f.Rivals[:len(f.Rivals):len(f.Rivals)], state) })
		k.close()
		k.port.Close()
	}
	c.rivals = nil
}

// judgeICE holds the far side's newest description against the rules, and
// against the one before: what it says stays until there is an ICE restart, and
// does not survive one.
func (s *session) judgeICE(answer bool) error {
	if s.client == nil {
		return nil
	}
	far, has, faults := ice.Read(s.raw)
	s.faults = append(s.faults, faults...)
	before, restarted := s.far, s.restarting
	switch {
	case !has && !answer:
		return ErrNoICE
	case !has:
		s.faults = append(s.faults, ice.Fault{Rule: "ice-answer", Message: "our offer had candidates, the answer has none"})
		return nil
	case !before.Candidate.IsValid():
	case far.Candidate != before.Candidate:
		s.faults = append(s.faults, ice.Fault{Rule: "ice-changed", Message: fmt.Sprintf("the candidate was %v and is %v", before.Candidate, far.Candidate)})
	case restarted && answer && (far.Ufrag == before.Ufrag || far.Pwd == before.Pwd):
		s.faults = append(s.faults, ice.Fault{Rule: "ice-restart", Message: "an ICE restart is answered with the credentials there were"})
	case !restarted && far != before:
		s.faults = append(s.faults, ice.Fault{Rule: "ice-changed", Message: "other credentials without an ICE restart"})
	}
	s.far = far
	if answer {
		s.restarting = false
	}
	return nil
}

// candidates are the lines of ICE in a description.
func (s *session) candidates(offer bool) []string {
	if s.client == nil {
		return nil
	}
	return s.client.agent.Attributes(offer)
}

// RestartICE restarts ICE by a re-INVITE, as when the call moves to another
// device or server.
func (c *Call) RestartICE(ctx context.Context) error {
	return c.await1(ctx, func(done func(error)) {
		if c.session == nil || c.session.client == nil {
			done(errors.New("a call without ICE"))
			return
		}
		c.session.client.agent.Restart()
		c.session.restarting = true
		c.change(c.session.holding, false, 3, done)
	})
}
