package peer

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

// login is how a peer and we show each other who we are. It outlives the
// snapshots that do not change it.
type login struct {
	config  snapshot.Login // RO
	prover  *ua.Prover     // RO; nil: we have nothing to prove by
	gate    *ua.Gate       // RO; nil: nothing is demanded
	demand  secret         // what the gate opens to
	binding *binding       // RO; nil: we do not register
}

// newLogin makes the login of a peer, or gives that of its predecessor, whose
// standing it then has, when nothing of it changed.
func newLogin(m *member, old *member) *login {
	if old != nil && old.standing == m.standing && reflect.DeepEqual(old.login.config, m.Login) {
		return old.login
	}
	l := &login{config: m.Login}
	if p := m.Login.Prove; p != nil {
		l.prover = ua.NewProver(func() (ua.Credentials, error) {
			s, err := ReadSecret(p.Secret)
			return ua.Credentials{Username: p.Username, Realm: p.Realm, Secret: s}, err
		})
	}
	if d := m.Login.Demand; d != nil {
		l.gate, l.demand.at = ua.NewGate(d.Realm, d.Algorithms...), d.Secret
	}
	if m.Login.Register != nil && m.listener != "" {
		l.binding = newBinding(m, l.prover)
	}
	return l
}

// secretAge is how old what we know of a secret may be: requests come faster
// than it is worth to read a file for.
const secretAge = 10 * time.Second

// secret is a secret that is used often and may be replaced meanwhile.
type secret struct {
	at    string // RO
	mu    sync.Mutex
	value obs.Secret // mu
	read  time.Time  // mu
}

// get gives the secret; one that was good stays so while it cannot be read.
func (s *secret) get(now time.Time) (obs.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value != "" && now.Sub(s.read) < secretAge {
		return s.value, nil
	}
	v, err := ReadSecret(s.at)
	if err == nil {
		s.value, s.read = v, now
	}
	if s.value != "" {
		err = nil
	}
	return s.value, err
}

// loginOf finds the login of whoever a message goes to or came from, those
// among them who only have calls to end.
func (s *Set) loginOf(r *sip.Remote) *login {
	t := s.table.Load()
	if m := t.byRemote[r]; m != nil {
		return m.login
	}
	if i := slices.IndexFunc(t.leaving, func(m *member) bool { return m.remote == r }); i >= 0 {
		return t.leaving[i].login
	}
	return nil
}

// Proves tells whether we have something to prove who we are by there.
func (s *Set) Proves(to sip.Target) bool {
	l := s.loginOf(to.Remote)
	return l != nil && l.prover != nil
}

// Sign puts on a request of ours what a peer wants to see: proofs, as far as
// its challenges are known, and outside of a dialog the way that its registrar
// named (RFC 3608 6.1).
func (s *Set) Sign(req *sip.Message, to sip.Target) {
	l := s.loginOf(to.Remote)
	if l == nil {
		return
	}
	if l.binding != nil && req.Method != "REGISTER" && outside(req) {
		for _, route := range l.binding.route() {
			req.Add("Route", route)
		}
	}
	if l.prover != nil {
		l.prover.Sign(req)
	}
}

// outside tells whether a request stands outside of any dialog.
func outside(req *sip.Message) bool {
	to, err := req.To()
	return err == nil && to.Tag() == ""
}

// ErrNoProof means that a peer asks who we are, and we were not told how to
// answer.
var ErrNoProof = errors.New("it asks who we are (RFC 3261 22), and there is no auth for it under operator in tandem.yaml")

// Challenged takes a 401 or 407 to req, a request as it was sent, and tells
// whether it should be sent again: nil, else why not in one sentence. tries is
// how often it was sent again before.
func (s *Set) Challenged(req, resp *sip.Message, to sip.Target, tries int) error {
	l := s.loginOf(to.Remote)
	if l == nil || l.prover == nil {
		return ErrNoProof
	}
	return l.prover.Learn(req, resp, tries)
}

// Heard reads what a response says about proofs to come.
func (s *Set) Heard(resp *sip.Message, to sip.Target) {
	if l := s.loginOf(to.Remote); l != nil && l.prover != nil {
		l.prover.Heard(resp)
	}
}

func asksWho(resp *sip.Message) bool { return resp.Status == 401 || resp.Status == 407 }

// exchange sends a request outside of dialogs, again when it is challenged, and
// gives the final response; unproven is why that is still a challenge. req is
// left as it was sent last, proofs aside. by may be nil. silence is the error
// when nothing comes in patience.
func (s *Set) exchange(ctx context.Context, by *ua.Prover, req *sip.Message, to sip.Target, silence error) (resp *sip.Message, unproven, err error) {
	if by == nil {
		if resp, err = s.transact(ctx, req.Clone(), to, silence); err == nil && asksWho(resp) {
			unproven = ErrNoProof
		}
		return resp, unproven, err
	}
	for tries := 0; ; tries++ {
		msg := req.Clone()
		by.Sign(msg)
		shown := msg.Clone() // msg is the stack's when it is sent
		if resp, err = s.transact(ctx, msg, to, silence); err != nil {
			return nil, nil, err
		}
		if !asksWho(resp) {
			by.Heard(resp)
			return resp, nil, nil
		}
		if unproven = by.Learn(shown, resp, tries); unproven != nil {
			return resp, unproven, nil
		}
		ua.Again(req)
	}
}

// transact sends one request and waits for its final response. The transaction
// may outlive the wait; what it still brings is ignored.
func (s *Set) transact(ctx context.Context, req *sip.Message, to sip.Target, silence error) (*sip.Message, error) {
	final := make(chan sip.Event, 1)
	_, err := s.stack.Load().Request(req, to, func(ev sip.Event) {
		if ev.Err == nil && ev.Msg.Status < 200 {
			return
		}
		select {
		case final <- ev:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case ev := <-final:
		return ev.Msg, ev.Err
	case <-timer.C:
		return nil, silence
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Proven tells whether a new request may go on: nothing is demanded of its
// peer, or it has proven who it is. If not, it has been answered.
//
// Only requests outside of dialogs are asked: who is inside one has been, or
// was called by us, and knows its tags. Many a carrier's switch cannot prove
// itself in a call that it did not begin.
func (s *Set) Proven(tx *sip.ServerTx) bool {
	src := tx.Source()
	l := s.loginOf(src.Remote)
	if l == nil || l.gate == nil {
		return true
	}
	req := tx.Request()
	if !outside(req) {
		return true
	}
	now := time.Now()
	value, err := l.demand.get(now)
	if err != nil {
		s.cfg.Log.Error("cannot check a peer's proof", obs.KeyPeer, src.Remote.Name, obs.KeyError, err)
		resp := sip.NewResponse(req, 503, "")
		resp.TagTo(sip.NewTag())
		resp.Set("Retry-After", "30")
		_ = tx.Respond(resp) // nobody waits for it; the sender repeats its request
		return false
	}
	v := l.gate.Judge(req, ua.Credentials{Username: l.config.Demand.Username, Secret: value}, now)
	if v == ua.Proven {
		return true
	}
	if v == ua.Refused {
		if ok, more := s.refusals.Allow(src.Remote.Name); ok {
			s.cfg.Log.Warn("a peer's proof is wrong: name, realm or secret differ, or its algorithm is not allowed",
				obs.KeyPeer, src.Remote.Name, obs.KeyRemote, src.Addr, "suppressed", more)
		}
	}
	resp := l.gate.Challenge(req, v, now)
	resp.TagTo(sip.NewTag())
	_ = tx.Respond(resp) // as above
	return false
}
