package call

import (
	"github.com/tandemgw/tandem/wire/sip"
)

// Some far sides want to know who we are (RFC 3261 22): they answer a request
// with 401 or 407, and it goes again, with a proof and the next number. What is
// proven, and whether there is any sense in it, is edge/peer's affair; whether
// the request is still wanted, and what number is next, is the call's.

type (
	// challenged tells that a request of ours may go again with a proof.
	challenged struct {
		id  int
		msg *sip.Message
	}
	// resend sends a request of ours again.
	resend struct {
		id  int
		seq uint32
	}
)

func (challenged) event() {}
func (resend) effect()    {}

// challenged sends a request again, unless the call has gone on meanwhile:
// then the challenge is a refusal like any other.
func (s *state) challenged(ev challenged) {
	r := s.find(ev.id)
	if r == nil {
		return
	}
	if !s.wants(r) {
		s.responded(responded(ev))
		return
	}
	cseq, _ := ev.msg.CSeq() // the stack has matched it to ours
	// The INVITE that would have made a dialog has no other request behind it
	// that took the next number.
	seq := cseq.Seq + 1
	if r.dialog != nil {
		seq = r.dialog.Next()
	}
	if r.stub != nil {
		r.stub.Set("CSeq", sip.CSeq{Seq: seq, Method: "INVITE"}.String())
	}
	s.do(resend{r.id, seq})
}

// wants tells whether a request of ours is still worth an answer.
func (s *state) wants(r *request) bool {
	switch r.kind {
	case inviting:
		return s.seeking() && s.attempt == r.attempt
	case reinviting:
		return s.round != nil && s.round.id == r.id
	case releasing:
		return true
	}
	return s.phase == talking
}

// shown is a request to a far side that we can prove to who we are.
type shown struct {
	plain *sip.Message // as the rules left it, without proofs; nil once it has its final response
	proof *sip.Message // what names it, and its proofs
	to    sip.Target
	tries int // after the first
}

// sign puts our proofs on a request and remembers it: it may have to go again,
// and the ACK to its 2xx bears the same (RFC 3261 22.1).
func (c *call) sign(id int, msg *sip.Message, to sip.Target) {
	peers := c.set.cfg.Peers
	if !peers.Proves(to) {
		peers.Sign(msg, to)
		return
	}
	s := c.shown[id]
	if s == nil {
		if c.shown == nil {
			c.shown = map[int]*shown{}
		}
		s = &shown{plain: msg.Clone(), to: to}
		c.shown[id] = s
	}
	peers.Sign(msg, to)
	s.proof = stub(msg)
	copyProofs(s.proof, msg)
}

func copyProofs(to, from *sip.Message) {
	for _, name := range [...]string{"Authorization", "Proxy-Authorization"} {
		for v := range from.Values(name) {
			to.Add(name, v)
		}
	}
}

// judge turns a response that asks for a proof that we have into that event.
func (c *call) judge(ev responded) event {
	s, peers := c.shown[ev.id], c.set.cfg.Peers
	if s == nil || s.plain == nil || ev.msg.Status < 200 {
		return ev
	}
	if ev.msg.Status == 401 || ev.msg.Status == 407 {
		err := peers.Challenged(s.proof, ev.msg, s.to, s.tries)
		if err == nil {
			return challenged(ev)
		}
		c.do(note{s.to.Remote.Name + " asks for a proof of who we are, in vain: " + err.Error()})
	} else {
		peers.Heard(ev.msg, s.to)
	}
	s.plain = nil
	if ev.msg.Status >= 300 {
		delete(c.shown, ev.id)
	}
	return ev
}

// resend sends a request again.
func (c *call) resend(e resend) {
	s := c.shown[e.id]
	if s == nil || s.plain == nil {
		return // challenged came of it, so it is there
	}
	s.tries++
	s.plain.Set("CSeq", sip.CSeq{Seq: e.seq, Method: s.plain.Method}.String())
	c.transact(e.id, s.plain.Clone(), s.to)
}

// signAck puts the proofs of its INVITE on an ACK.
func (c *call) signAck(ack *sip.Message) {
	number, _ := ack.CSeq()
	for _, s := range c.shown {
		if invite, err := s.proof.CSeq(); err == nil && invite.Seq == number.Seq && invite.Method == "INVITE" && s.proof.Get("Call-ID") == ack.Get("Call-ID") {
			copyProofs(ack, s.proof)
			return
		}
	}
}
