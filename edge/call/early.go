package call

import (
	"slices"
	"time"

	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// maxForks is how many early dialogs of one INVITE are told apart. The cloud
// rings a handful of clients; more is not a telephone.
const maxForks = 16

// fork is one early dialog of an attempt: the far side rings several phones,
// each with its own tag, description and keys (RFC 3261 12.1.2, 13.2.2.4).
type fork struct {
	tag      string
	sent     *sdp.Session // what it was told last in its own dialog; nil: the offer of the INVITE
	received *sdp.Session // its answer, nil while there is none
	closed   bool         // it may not be heard yet (RFC 5009)

	dialog *ua.Dialog // nil until one of us has sent a request in it
	order  ua.Order   // of its reliable responses
	shown  *early     // the caller's dialog that stands for it; nil while there is none
}

// early is one early dialog of the caller's INVITE. There is one, whatever
// rings behind us, since many cores refuse a second tag; a caller that may see
// forks has one for each.
type early struct {
	tag    string
	dialog *ua.Dialog
	taken  bool // a fork has it
	opened bool // it was sent a description

	seq       uint32    // of the last reliable response
	sent      *reliable // a reliable response that is not acknowledged yet
	next      telling   // what is to be told after that
	described bool      // it has acknowledged a description, and gets no other in a response (RFC 3261 13.2.1)
}

// telling is what a caller is told of the ringing; its status is 0 for nothing.
type telling struct {
	status int
	media  bool         // it can be heard
	far    *sip.Message // the response it is made of, nil when it is our own
}

// provisional is a 1xx to the attempt under way. Once a description was sent
// to the caller it stays as it is until the 200 (RFC 3261 13.2.1).
func (s *state) provisional(r *request, msg *sip.Message) {
	if msg.Status == 100 || msg.Status == 199 { // 199 (RFC 6228): a fork is gone, the others ring on
		return
	}
	f := s.fork(r, msg)
	t := telling{msg.Status, s.hearFork(f, msg), msg}
	s.rang = s.rang || msg.Status == 180
	if t = s.policy(t); t.status != 0 {
		s.tell(s.dialogShown(f), t)
	}
}

// policy is what the caller's profile makes of a provisional response.
func (s *state) policy(t telling) telling {
	p := s.caller().dress.Profile
	switch p.Early {
	case interop.EarlyFirst:
		if s.told != 0 {
			return telling{}
		}
	case interop.EarlyRinging:
		if t.media = false; t.status == 183 {
			t.status = 180
		}
	case interop.EarlyKeep, interop.EarlyRingback:
	}
	if p.BareRinging {
		if t.status = 180; t.media {
			t.status = 183
		}
	}
	return t
}

// tell sends the caller a provisional response, or puts it off until the
// reliable one before it is acknowledged.
func (s *state) tell(e *early, t telling) {
	s.told = t.status
	switch {
	case !s.reliable():
		s.do(respond{s.inviteTx, s.provisionalFor(e, t, s.caller().end.Sent)})
	case e.sent != nil:
		e.next = telling{t.status, t.media || e.next.media, t.far}
	case !s.owesOffer():
		s.tellReliably(e, t, nil)
	default:
		s.tellWithOffer(e, t)
	}
	// RFC 3261 13.3.1.1: a proxy may give an INVITE up that rings for three
	// minutes without a word; one is due each minute.
	s.do(arm{patience, time.Minute})
	s.ringFor(t)
}

// tellWithOffer tells a caller whose INVITE has no offer: the first reliable
// response brings ours (RFC 3261 13.2.1), and what comes before there is one is
// not reliable, or not told at all to a caller that takes nothing else.
func (s *state) tellWithOffer(e *early, t telling) {
	var offer *sdp.Session
	if t.media {
		offer = s.lateOffer()
	}
	switch {
	case offer != nil:
		s.tellReliably(e, t, offer)
	case !s.invite.HasToken("Require", "100rel"):
		s.do(respond{s.inviteTx, s.provisionalFor(e, telling{status: t.status, far: t.far}, nil)})
	}
}

// provisionalFor writes the response, with a description when media can be
// heard.
func (s *state) provisionalFor(e *early, t telling, desc *sdp.Session) *sip.Message {
	l := s.caller()
	resp := interop.Response(s.invite, t.status, l.dress)
	resp.TagTo(e.tag)
	interop.Relay(resp, t.far, s.callee().dress, l.dress)
	if t.media && desc != nil {
		resp.SetBody("application/sdp", desc.Bytes())
		e.opened = true
	}
	interop.Authorise(resp, s.invite, e.opened && l.media.Direction.Receives(), l.dress)
	return resp
}

// reassure tells a caller who has heard nothing for long that we go on: that it
// rings, when it does.
func (s *state) reassure() {
	if s.phase != hunting {
		return
	}
	e, t := s.early[0], telling{status: 183, media: true}
	switch {
	case s.told != 0:
		t.status = s.told
	case s.rang:
		t.status = 180
	}
	if p := s.caller().dress.Profile; p.Early == interop.EarlyRinging || p.BareRinging && s.caller().end.Sent == nil {
		t = telling{status: 180}
	}
	s.tell(e, t)
}

// hearFork opens the way for the early media of a fork. The last fork that
// described itself is the one that is heard.
func (s *state) hearFork(f *fork, msg *sip.Message) bool {
	desc, no := describe(msg)
	if f == nil || no != nil {
		return false
	}
	if f.received == nil { // an answer is final: what differs later is no answer
		f.received = desc
	}
	if told := f.allow(msg); f.received == nil || desc == nil && !told || f.closed {
		return false
	}
	if err := s.join(f, f.received); err != nil {
		s.notef("early media cannot be used: %v", err)
		return false
	}
	return true
}

// allow reads whether the fork may be heard before it answers; false when the
// message says nothing of it (RFC 5009).
func (f *fork) allow(msg *sip.Message) bool {
	allowed := interop.EarlyMediaOf(msg)
	if allowed != "" {
		f.closed = allowed == "inactive" || allowed == "recvonly"
	}
	return allowed != ""
}

// fork finds or makes the early dialog of a response.
func (s *state) fork(r *request, msg *sip.Message) *fork {
	tag := ua.IDOf(msg).RemoteTag
	if f := r.attempt.fork(tag); f != nil {
		return f
	}
	if tag == "" || len(r.attempt.forks) == maxForks {
		return nil
	}
	f := &fork{tag: tag}
	r.attempt.forks = append(r.attempt.forks, f)
	return f
}

// fork finds the early dialog of a tag.
func (a *attempt) fork(tag string) *fork {
	for _, f := range a.forks {
		if f.tag == tag {
			return f
		}
	}
	return nil
}

// confirmed is the dialog of a 2xx: the early one of its fork when requests
// were sent in that, since their numbers count (RFC 3261 12.2.1.1).
func (a *attempt) confirmed(stub, msg *sip.Message) (*ua.Dialog, error) {
	if f := a.fork(ua.IDOf(msg).RemoteTag); f != nil && f.dialog != nil {
		f.dialog.Refresh(msg)
		return f.dialog, nil
	}
	return ua.ClientDialog(stub, msg)
}

// leave forgets the early dialogs of an attempt that was answered, but for
// those in which requests were sent: should one of them answer too, the BYE that
// it gets needs a higher number.
func (a *attempt) leave() {
	a.offer = nil
	a.forks = slices.DeleteFunc(a.forks, func(f *fork) bool { return f.dialog == nil || f.dialog == a.won })
	for _, f := range a.forks {
		f.sent, f.received = nil, nil
	}
	if len(a.forks) == 0 {
		a.forks = nil
	}
}

// dialogShown is the caller's dialog that stands for a fork.
func (s *state) dialogShown(f *fork) *early {
	if f == nil || !s.showsForks() {
		return s.early[0]
	}
	if f.shown == nil {
		f.shown = s.anotherEarly()
	}
	return f.shown
}

// showsForks tells whether the caller gets an early dialog for each fork. One
// that asked for no forking does not (RFC 3841 9.1), nor one that waits for an
// offer: there is one answer to it.
func (s *state) showsForks() bool {
	return s.caller().dress.Profile.Forks && s.offer != nil && !s.invite.HasToken("Request-Disposition", "no-fork")
}

// anotherEarly is a dialog of the caller's that no fork has yet.
func (s *state) anotherEarly() *early {
	first := s.early[0]
	if !first.taken {
		first.taken = true
		return first
	}
	if len(s.early) == maxForks {
		return first
	}
	tag := s.token(8)
	d, err := ua.ServerDialog(s.invite, tag)
	if err != nil {
		return first // it was read before
	}
	e := &early{tag: tag, dialog: d, taken: true}
	s.early = append(s.early, e)
	s.do(also{dialogKey{d.ID().CallID, tag}})
	return e
}

// earlyDialog finds the dialog of the caller's that a request names.
func (s *state) earlyDialog(id ua.ID) *early {
	for _, e := range s.early {
		if e.dialog.ID() == id {
			return e
		}
	}
	return nil
}
