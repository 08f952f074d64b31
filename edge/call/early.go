package call

import (
	"time"

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
	received *sdp.Session // its answer, nil while there is none
}

// provisional is a 1xx to the attempt under way. Towards the caller all forks
// are one early dialog, since many cores refuse a second tag: its tag is ours,
// and once a description was sent it stays as it is until the 200
// (RFC 3261 13.2.1).
func (s *state) provisional(r *request, msg *sip.Message) {
	if msg.Status == 100 || msg.Status == 199 { // 199 (RFC 6228): a fork is gone, the others ring on
		return
	}
	s.tell(msg.Status, s.hearFork(r, msg))
}

// tell sends the caller a provisional response, with the description it was
// answered with when media can be heard.
func (s *state) tell(status int, media bool) {
	s.told = status
	resp := respondOn(s.caller(), s.invite, status)
	if media && s.caller().end.Sent != nil {
		resp.SetBody("application/sdp", s.caller().end.Sent.Bytes())
	}
	s.do(respond{s.inviteTx, resp})
	// RFC 3261 13.3.1.1: a proxy may give an INVITE up that rings for three
	// minutes without a word; one is due each minute.
	s.do(arm{patience, time.Minute})
}

// reassure tells a caller who has heard nothing for long that we go on.
func (s *state) reassure() {
	if s.phase != hunting {
		return
	}
	if s.told == 0 {
		s.told = 183
	}
	s.tell(s.told, true)
}

// hearFork opens the way for the early media of a fork. The last fork that
// described itself is the one that is heard.
func (s *state) hearFork(r *request, msg *sip.Message) bool {
	f := s.fork(r, msg)
	desc, no := describe(msg)
	if f == nil || desc == nil || no != nil {
		return false
	}
	if f.received == nil { // an answer is final: what differs later is no answer
		f.received = desc
	}
	if err := s.join(f.received); err != nil {
		s.notef("early media cannot be used: %v", err)
		return false
	}
	return true
}

// fork finds or makes the early dialog of a response.
func (s *state) fork(r *request, msg *sip.Message) *fork {
	tag := ua.IDOf(msg).RemoteTag
	for _, f := range r.attempt.forks {
		if f.tag == tag {
			return f
		}
	}
	if tag == "" || len(r.attempt.forks) == maxForks {
		return nil
	}
	f := &fork{tag: tag}
	r.attempt.forks = append(r.attempt.forks, f)
	return f
}
