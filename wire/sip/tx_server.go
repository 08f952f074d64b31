package sip

import (
	"fmt"
	"strings"
	"time"
)

// provisionalAfter is when an INVITE is answered 100 if the user has said
// nothing by then (RFC 3261 section 17.2.1).
const provisionalAfter = 200 * time.Millisecond

// unanswered is how long a user may leave an INVITE without any word before it
// is answered 500 in his place: several times what a telephone may ring (timer
// C, three minutes and more, RFC 3261 section 16.6). Without it a user that
// forgot one would hold it for ever.
const unanswered = 15 * time.Minute

// ServerTx is a server transaction: a request of a peer and our answer. It is
// RFC 3261 sections 17.2.1 (INVITE, with RFC 6026) and 17.2.2 (with RFC 4320).
type ServerTx struct {
	core
	key   txKey   // RO
	merge uint64  // RO
	back  wayBack // RO

	req      *Message       // mu; until the final response
	cancel   *Message       // mu; the CANCEL that waits for OnCancel
	onCancel func(*Message) // mu
	onEnd    func(error)    // mu
	tag      string         // mu; To tag of our responses
	out      *stream        // mu; the last response went out on it; nil for UDP
	ended    bool           // mu; onEnd was called or is due
	err      error          // mu; what it is told
}

func newServerTx(s *Stack, m *Message, via Via, key txKey, src Source) *ServerTx {
	tx := &ServerTx{key: key.own(), back: s.wayBack(src, via), req: m}
	tx.s, tx.owner = s, src.Remote
	tx.timer = time.AfterFunc(never, tx.fire)
	return tx
}

func (tx *ServerTx) invite() bool { return tx.key.method == "INVITE" }
func (tx *ServerTx) t() Timers    { return tx.back.src.Remote.Timers.withDefaults() }

// start hands the request to the user.
func (tx *ServerTx) start(handle func(*ServerTx)) {
	tx.mu.Lock()
	defer tx.unlock()
	if tx.s.closing.Err() != nil {
		tx.terminate(ErrClosed)
		return
	}
	now, t := tx.s.now(), tx.t()
	if tx.invite() {
		tx.resend, tx.deadline = now+provisionalAfter, now+unanswered
	} else {
		tx.resend, tx.deadline = now+t.trying(), now+t.NonInvite
	}
	if handle != nil {
		tx.post(func() { tx.handle(handle) })
	}
}

// handle calls the user; a panic of his costs this request a 500.
func (tx *ServerTx) handle(f func(*ServerTx)) {
	req := tx.Request()
	if req == nil {
		return // closed meanwhile
	}
	defer func() {
		if r := recover(); r != nil {
			tx.s.count.drop(dropPanic)
			tx.s.panicked("handle", tx.back.src, r)
			_ = tx.Respond(NewResponse(req, 500, ""))
		}
	}()
	f(tx)
}

// Request is the request; its top Via carries received and rport already.
// Nil once the transaction has sent its final response.
func (tx *ServerTx) Request() *Message {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.req
}

// Source is where the request came from.
func (tx *ServerTx) Source() Source { return tx.back.src }

// Respond sends a response; a To tag it lacks is added, always the same. A
// final one moves the machine on; after a 2xx to INVITE further 2xx pass
// through for 64*T1, since its retransmission is the user's work (RFC 6026);
// everything else that comes too late is ErrState. A 408 to a request other
// than INVITE ends the transaction in silence, and only 100 is provisional to
// it (RFC 4320). A *TransportError says that the response did not leave; the
// machine has moved on all the same.
func (tx *ServerTx) Respond(m *Message) error {
	tx.mu.Lock()
	defer tx.unlock()
	if err := tx.allows(m.Status); err != nil {
		return err
	}
	if !tx.invite() && m.Status == 408 {
		tx.terminate(nil)
		return nil
	}
	if m.Status > 100 {
		tx.tagTo(m)
	}
	raw := wire(m)
	err := tx.send(m, raw)
	switch {
	case tx.state == txAccepted:
	case m.Status < 200:
		tx.state = txProceeding
		tx.resend = 0
		tx.keep(raw)
		if tx.invite() {
			tx.deadline = tx.s.now() + unanswered
		}
	default:
		tx.final(m.Status, raw)
	}
	return err
}

func (tx *ServerTx) send(m *Message, raw []byte) error {
	out, err := tx.back.send(m, raw)
	tx.out = out
	return err
}

func (tx *ServerTx) allows(status int) error {
	switch {
	case tx.state <= txProceeding && (tx.invite() || status == 100 || status >= 200):
		return nil
	case tx.state == txAccepted && status >= 200 && status < 300:
		return nil
	}
	return fmt.Errorf("%w: %d to %s", ErrState, status, tx.key.method)
}

func (tx *ServerTx) tagTo(m *Message) {
	to, err := m.To()
	switch {
	case err != nil:
		return
	case to.Tag() == "":
		m.TagTo(tx.makeTag())
	case tx.tag == "" && tx.invite():
		tx.tag = strings.Clone(to.Tag())
	}
}

func (tx *ServerTx) makeTag() string {
	if tx.tag == "" {
		tx.tag = NewTag()
	}
	return tx.tag
}

// localTag is the To tag of our responses, made if there was none yet.
func (tx *ServerTx) localTag() string {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.makeTag()
}

// final enters the state that a final response leads to.
func (tx *ServerTx) final(status int, raw []byte) {
	now, t, udp := tx.s.now(), tx.t(), tx.back.l.Transport == UDP
	tx.req, tx.cancel, tx.onCancel = nil, nil, nil
	if !tx.invite() || status >= 300 {
		tx.s.servers.forget(tx.merge)
	}
	switch {
	case tx.invite() && status < 300:
		tx.enter(txAccepted)
		tx.deadline = now + t.Linger // timer L
		tx.end(nil)
	case tx.invite():
		tx.enter(txCompleted)
		tx.keep(raw)
		tx.deadline = now + 64*t.T1 // timer H
		if udp {
			tx.interval, tx.resend = t.T1, now+t.T1 // timer G
		}
	case udp:
		tx.enter(txCompleted)
		tx.keep(raw)
		tx.deadline = now + t.Linger // timer J
		tx.end(nil)
	default:
		tx.terminate(nil)
	}
}

// repeat answers a retransmission of the request with what was last said.
func (tx *ServerTx) repeat() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.raw != nil && tx.state < txConfirmed {
		_ = tx.send(nil, tx.raw)
	}
}

// acknowledge takes an ACK; true when it is for the user: some peers
// acknowledge a 2xx with the branch of the INVITE.
func (tx *ServerTx) acknowledge() bool {
	tx.mu.Lock()
	defer tx.unlock()
	switch tx.state {
	case txAccepted:
		return true
	case txCompleted:
		if tx.back.l.Transport != UDP {
			tx.terminate(nil)
			break
		}
		tx.enter(txConfirmed)
		tx.deadline = tx.s.now() + tx.t().T4 // timer I
		tx.end(nil)
	}
	return false
}

// cancelled tells the user of a CANCEL, unless he has answered already.
func (tx *ServerTx) cancelled(m *Message) {
	tx.mu.Lock()
	defer tx.unlock()
	if tx.state > txProceeding || tx.cancel != nil {
		return
	}
	tx.cancel = m
	if f := tx.onCancel; f != nil {
		tx.post(func() { f(m) })
	}
}

// OnCancel sets what is called, at most once, when the peer cancels this
// INVITE before its final response; the CANCEL is already answered, the
// INVITE is the user's to answer (487). Set after the CANCEL came, it is
// called at once.
func (tx *ServerTx) OnCancel(f func(cancel *Message)) {
	tx.mu.Lock()
	defer tx.unlock()
	if tx.state > txProceeding {
		return
	}
	if m := tx.cancel; m != nil && tx.onCancel == nil {
		tx.post(func() { f(m) })
	}
	tx.onCancel = f
}

// OnEnd sets what is called once when nothing more can happen to the
// response: nil after a 2xx, a response to another request than INVITE, or
// the ACK to a non-2xx; ErrNoAck, ErrNoResponse, ErrClosed, or the
// *TransportError of a response that could not be brought back, otherwise. Set
// afterwards, it is called at once.
func (tx *ServerTx) OnEnd(f func(error)) {
	tx.mu.Lock()
	defer tx.unlock()
	if tx.ended {
		err := tx.err
		tx.post(func() { f(err) })
		return
	}
	tx.onEnd = f
}

func (tx *ServerTx) end(err error) {
	if tx.ended {
		return
	}
	tx.ended, tx.err = true, err
	if f := tx.onEnd; f != nil {
		tx.post(func() { f(err) })
	}
	tx.onEnd = nil
}

func (tx *ServerTx) terminate(err error) {
	tx.enter(txTerminated)
	tx.req, tx.cancel, tx.onCancel = nil, nil, nil
	tx.end(err)
	tx.s.servers.remove(tx)
}

// fire is the timer.
func (tx *ServerTx) fire() {
	tx.mu.Lock()
	defer tx.unlock()
	now := tx.s.now()
	switch {
	case tx.state == txTerminated:
	case tx.expired(now):
		switch {
		case tx.state <= txProceeding && tx.invite():
			tx.giveUp()
		case tx.state <= txProceeding:
			tx.terminate(ErrNoResponse)
		case tx.state == txCompleted && tx.invite():
			tx.terminate(ErrNoAck) // timer H
		default:
			tx.terminate(nil) // timers I, J, L
		}
	case tx.due(now) && tx.state == txTrying:
		m := NewResponse(tx.req, 100, "")
		raw := wire(m)
		_ = tx.send(m, raw)
		tx.state, tx.resend = txProceeding, 0
		tx.keep(raw)
	case tx.due(now):
		if tx.raw != nil { // else it was too much to be kept
			_ = tx.send(nil, tx.raw)
		}
		tx.interval = min(2*tx.interval, tx.t().T2)
		tx.resend = now + tx.interval
	}
}

// giveUp answers an INVITE in place of a user who does not.
func (tx *ServerTx) giveUp() {
	m := NewResponse(tx.req, 500, "")
	tx.tagTo(m)
	raw := wire(m)
	_ = tx.send(m, raw)
	tx.end(ErrNoResponse)
	tx.final(m.Status, raw)
}

// flowLost is told to every transaction when a connection of our own ends. If
// a response was on it, because the one of the request was gone, there is no
// way left to the peer (RFC 3261 section 17.2.4). After a 2xx it is for the
// user to notice that no ACK comes.
func (tx *ServerTx) flowLost(c *stream, err error) {
	tx.mu.Lock()
	defer tx.unlock()
	if tx.out == c && c != tx.back.src.conn && tx.state < txAccepted && tx.state != txConfirmed {
		tx.terminate(err)
	}
}

// abort ends the transaction when the stack closes.
func (tx *ServerTx) abort(err error) {
	tx.mu.Lock()
	defer tx.unlock()
	if tx.state != txTerminated {
		tx.terminate(err)
	}
}
