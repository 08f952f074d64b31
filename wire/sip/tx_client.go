package sip

import (
	"strings"
	"time"
)

// ClientTx is a client transaction: a request of ours and what comes back.
// It is RFC 3261 sections 17.1.1 (INVITE, with RFC 6026) and 17.1.2.
type ClientTx struct {
	core
	branch string // RO
	method string // RO

	flow      flow        // mu; but for its connection RO
	req       *Message    // mu; until the final response
	h         func(Event) // mu; nil when nothing more is to be told
	reason    string      // mu; of the CANCEL
	cancel    bool        // mu; CANCEL is wanted
	cancelled bool        // mu; CANCEL is sent
	moved     bool        // mu; sent again on another connection
}

func (tx *ClientTx) key() txKey   { return txKey{branch: tx.branch, method: tx.method} }
func (tx *ClientTx) invite() bool { return tx.method == "INVITE" }
func (tx *ClientTx) t() Timers    { return tx.flow.remote.Timers.withDefaults() }

// patience is timer B or F.
func (tx *ClientTx) patience() time.Duration {
	if tx.invite() {
		return tx.t().Invite
	}
	return tx.t().NonInvite
}

func (s *Stack) startClient(req *Message, branch string, f flow, h func(Event)) *ClientTx {
	tx := &ClientTx{flow: f, branch: branch, method: internMethod(req.Method), req: req, h: h}
	tx.s = s
	tx.timer = time.AfterFunc(never, tx.fire)
	s.clients.add(tx)
	tx.mu.Lock()
	defer tx.unlock()
	if s.closing.Err() != nil {
		// Close may have gone through the table already.
		tx.failLater(ErrClosed)
		return tx
	}
	raw := wire(req)
	now, t := s.now(), tx.t()
	tx.deadline = now + tx.patience()
	if tx.flow.l.Transport == UDP {
		tx.interval, tx.resend = t.T1, now+t.T1 // timers A, E
		tx.raw = raw
	}
	if err := tx.flow.send(req, raw); err != nil {
		tx.failLater(err)
	}
	return tx
}

// isMe tells whether a Via with our branch is ours altogether.
func (tx *ClientTx) isMe(via Via) bool {
	return via.Port == tx.flow.l.port && strings.EqualFold(via.Host, tx.flow.l.host)
}

// asksFor tells whether the request still waits and is for the user of uri.
func (tx *ClientTx) asksFor(uri string) bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.req == nil {
		return false
	}
	mine, err := ParseURI(tx.req.RequestURI)
	theirs, err2 := ParseURI(uri)
	return err == nil && err2 == nil && mine.User == theirs.User
}

// failLater reports a failure from another goroutine, so that h does not run
// before Request has returned.
func (tx *ClientTx) failLater(err error) {
	time.AfterFunc(0, func() { tx.abort(err) })
}

// Cancel gives the INVITE up: a CANCEL is sent as soon as a provisional
// response allows it (RFC 3261 section 9.1), with reason as its Reason header
// unless empty. The transaction goes on until its final response (commonly
// 487, or a 2xx that crossed), for 64*T1 at most.
func (tx *ClientTx) Cancel(reason string) {
	tx.mu.Lock()
	defer tx.unlock()
	if !tx.invite() || tx.state > txProceeding || tx.cancel {
		return
	}
	tx.cancel, tx.reason = true, reason
	if tx.state == txProceeding {
		tx.sendCancel()
	}
}

func (tx *ClientTx) sendCancel() {
	tx.cancelled = true
	tx.deadline = tx.s.now() + 64*tx.t().T1
	m := tx.follow("CANCEL")
	m.Set("To", tx.req.Get("To"))
	if tx.reason != "" {
		m.Set("Reason", tx.reason)
	}
	tx.s.startClient(m, tx.branch, tx.flow, func(Event) {})
}

// follow makes a request that belongs to the INVITE hop by hop: its CANCEL
// (RFC 3261 section 9.1) and its ACK (section 17.1.1.3), but for To.
func (tx *ClientTx) follow(method string) *Message {
	m := NewRequest(method, tx.req.RequestURI)
	for via := range tx.req.List("Via") {
		m.Prepend("Via", via)
		break
	}
	for route := range tx.req.Values("Route") {
		m.Add("Route", route)
	}
	m.Set("From", tx.req.Get("From"))
	m.Set("Call-ID", tx.req.Get("Call-ID"))
	if c, err := tx.req.CSeq(); err == nil {
		m.Set("CSeq", CSeq{c.Seq, method}.String())
	}
	return m
}

// receive takes a response; false when it is none of this transaction's
// business, though it matches.
func (tx *ClientTx) receive(m *Message) bool {
	tx.mu.Lock()
	defer tx.unlock()
	switch tx.state {
	case txTrying, txProceeding:
		tx.tell(Event{Msg: m})
		switch {
		case m.Status < 200:
			tx.provisional()
		case !tx.invite():
			tx.linger(txCompleted, tx.t().T4) // timer K
		case m.Status < 300:
			tx.enter(txAccepted) // RFC 6026: other forks' 2xx come through for timer M
			tx.deadline = tx.s.now() + tx.t().Linger
			tx.req = nil
		default:
			tx.refused(m)
		}
	case txAccepted:
		if m.Status >= 200 && m.Status < 300 {
			tx.tell(Event{Msg: m})
		}
	case txCompleted:
		switch {
		case tx.invite() && m.Status >= 300:
			_ = tx.flow.send(nil, tx.raw) // the ACK again
		case tx.invite() && m.Status >= 200:
			return false // a proxy let another fork's 2xx follow: somebody must release it
		}
		tx.s.count.drop(dropRetransmission)
	case txTerminated:
		return false
	}
	return true
}

func (tx *ClientTx) provisional() {
	if tx.state == txTrying {
		tx.state = txProceeding
		if tx.invite() {
			tx.deadline, tx.resend, tx.raw = 0, 0, nil // the user's own clock runs from here
		}
	}
	switch {
	case tx.invite() && tx.cancel && !tx.cancelled:
		tx.sendCancel()
	case !tx.invite() && tx.resend != 0:
		tx.interval = tx.t().T2 // RFC 3261 section 17.1.2.2: timer E goes on, slowly
	}
}

// refused acknowledges a non-2xx and stays for its retransmissions.
func (tx *ClientTx) refused(m *Message) {
	ack := tx.follow("ACK")
	ack.Set("To", m.Get("To"))
	raw := wire(ack)
	_ = tx.flow.send(ack, raw)
	tx.linger(txCompleted, tx.t().Linger) // timer D
	if tx.state == txCompleted {
		tx.keep(raw)
	}
}

// linger ends the work of the transaction. Over UDP it stays to absorb
// retransmissions, over a stream there are none.
func (tx *ClientTx) linger(state txState, d time.Duration) {
	tx.req, tx.h = nil, nil
	if tx.flow.l.Transport != UDP {
		tx.terminate()
		return
	}
	tx.enter(state)
	tx.deadline = tx.s.now() + d
}

func (tx *ClientTx) terminate() {
	tx.enter(txTerminated)
	tx.req, tx.h = nil, nil
	tx.s.clients.remove(tx)
}

func (tx *ClientTx) tell(e Event) {
	if h := tx.h; h != nil {
		tx.post(func() { h(e) })
	}
}

// fire is the timer.
func (tx *ClientTx) fire() {
	tx.mu.Lock()
	defer tx.unlock()
	now := tx.s.now()
	switch {
	case tx.state == txTerminated:
	case tx.expired(now):
		if tx.state <= txProceeding {
			tx.tell(Event{Err: ErrTimeout}) // timers B, F, and 64*T1 after CANCEL
		}
		if tx.state == txTrying && tx.flow.conn != nil {
			tx.flow.conn.suspect(tx.deadline - tx.patience())
		}
		tx.terminate() // timers D, K, M
	case tx.due(now):
		_ = tx.flow.send(nil, tx.raw)
		tx.interval *= 2
		if !tx.invite() {
			tx.interval = min(tx.interval, tx.t().T2)
		}
		tx.resend = now + tx.interval
	}
}

// abort ends the transaction without a response.
func (tx *ClientTx) abort(err error) {
	tx.mu.Lock()
	defer tx.unlock()
	if tx.state == txTerminated {
		return
	}
	if tx.state <= txProceeding {
		tx.tell(Event{Err: err})
	}
	tx.terminate()
}

// flowLost is told to every transaction when a connection ends. One in
// Proceeding waits, for the peer may open a connection of its own for its
// response (RFC 3261 section 18.2.2). One that has heard nothing yet fails, so
// that the user tries elsewhere at once; but where the peer has spoken on that
// connection before, the end may have crossed the request, as it does with
// peers that close what is idle: then it is sent again, once, on a new one. A
// peer that had it all the same takes it for a retransmission.
func (tx *ClientTx) flowLost(c *stream, err error) {
	tx.mu.Lock()
	defer tx.unlock()
	if tx.state != txTrying || tx.flow.conn != c {
		return
	}
	if !tx.moved && c.heard.Load() != silent {
		tx.moved = true
		if err = tx.flow.send(tx.req, wire(tx.req)); err == nil {
			return
		}
	}
	tx.tell(Event{Err: err})
	tx.terminate()
}
