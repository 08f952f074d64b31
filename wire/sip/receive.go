package sip

import (
	"bytes"
	"errors"
	"hash/maphash"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// received takes in what a socket read: a message, or why it is none. raw is
// nil where nobody taps.
func (s *Stack) received(m *Message, raw []byte, err error, src Source) {
	defer s.guard("receive", src)
	s.tap(seen{s.listeners[src.Listener.Name], src.Addr, src.Remote, true, time.Now()}, m, raw)
	if err == nil {
		s.count.got(m)
		err = m.Check()
	}
	if err != nil {
		s.refuse(m, err, src)
		return
	}
	if limit := m.Oversize(); limit != "" {
		s.gripes.once("oversize "+src.Remote.Name, func() {
			s.cfg.Log.Warn("messages of this peer exceed a size published by Microsoft; they are carried", "peer", src.Remote.Name, "limit", limit)
		})
	}
	if m.IsRequest() {
		s.request(m, src)
		return
	}
	s.response(m, src)
}

// refuse answers a malformed request with what the parser says, without
// state, and lets everything else drop.
func (s *Stack) refuse(m *Message, err error, src Source) {
	s.count.drop(dropMalformed)
	s.gripe("malformed", src.Addr.Addr(), "malformed message", "peer", src.Remote.Name, "err", err)
	perr, ok := errors.AsType[*ParseError](err)
	if !ok || perr.Status == 0 || m == nil || !m.IsRequest() || m.Method == "ACK" {
		return
	}
	via, err := m.Via()
	switch {
	case err == nil:
		via = stamp(m, via, src)
	case m.Has("Via"):
		// RFC 4475 section 3.1.2.1: who sent it wants to know. It is a peer,
		// so the answer may go to where the request came from.
		via = Via{Port: src.Addr.Port()}
	default:
		return // RFC 3261 section 8.2.6.2: no sender would know the answer as its own
	}
	s.answer(m, via, src, perr.Status, perr.Reason())
}

// answer responds without a transaction.
func (s *Stack) answer(req *Message, via Via, src Source, status int, reason string) {
	resp := NewResponse(req, status, reason)
	resp.TagTo(s.statelessTag(via))
	if status == 503 {
		resp.Set("Retry-After", overloadRetry)
	}
	_, _ = s.wayBack(src, via).send(resp, wire(resp)) // who has no transaction waits for nothing
}

// overloadRetry is how many seconds an overloaded stack asks to be spared.
const overloadRetry = "5"

// statelessTag is the same for every retransmission (RFC 3261 section 8.2.7).
func (s *Stack) statelessTag(via Via) string {
	return strconv.FormatUint(maphash.String(s.servers.seed, via.Branch()), 36)
}

// stamp writes into the top Via where the request really came from
// (RFC 3261 section 18.2.1, RFC 3581 section 4).
func stamp(m *Message, via Via, src Source) Via {
	addr := src.Addr.Addr().WithZone("")
	_, asked := via.Params.Get("rport")
	foreign := via.Host != addr.String()
	if !foreign && !asked {
		return via
	}
	via.Params = via.Params.With("received", addr.String())
	if asked {
		via.Params = via.Params.With("rport", strconv.Itoa(int(src.Addr.Port())))
	}
	m.SetFirst("Via", via.String())
	return via
}

// request brings a request to its transaction, or makes one.
func (s *Stack) request(m *Message, src Source) {
	via, err := m.Via()
	if err != nil {
		return // Check has seen it
	}
	via = stamp(m, via, src)
	s.alias(src.conn, via)
	key := serverKey(m, via, src.Remote)
	tx := s.servers.get(key)
	switch {
	case m.Method == "ACK":
		if tx == nil || tx.acknowledge() {
			s.ack(m, src)
		}
	case tx != nil:
		s.count.drop(dropRetransmission)
		tx.repeat()
	case !s.room(m, src.Remote):
		s.count.drop(dropOverload)
		s.answer(m, via, src, 503, "")
	case m.Method == "CANCEL":
		s.cancelled(m, via, key, src)
	case inDialog(m):
		s.begin(m, via, key, src)
	case !s.passing(m, src) && s.looped(m):
		s.count.drop(dropLooped)
		s.answer(m, via, src, 482, "")
	default:
		s.beginPaced(m, via, key, src)
	}
}

// beginPaced holds a request that begins something against the rate of its
// peer.
func (s *Stack) beginPaced(m *Message, via Via, key txKey, src Source) {
	ok, refuse := s.mayBegin(m, src.Remote)
	if ok && s.overloaded(m, src.Remote) {
		s.count.drop(dropOverload)
		s.answer(m, via, src, 503, "")
		return
	}
	if ok {
		s.begin(m, via, key, src)
		return
	}
	s.count.drop(dropThrottled)
	s.gripe("throttled", src.Addr.Addr(), "peer asks for more than it may; its requests are refused", "peer", src.Remote.Name)
	if refuse {
		s.answer(m, via, src, 503, "")
	}
}

// room says whether there is any for another transaction of a peer. What
// belongs to a call is let in a little longer: a BYE lightens the load.
func (s *Stack) room(m *Message, r *Remote) bool {
	all, his := s.servers.load(r)
	limit := s.limit
	if inDialog(m) {
		limit += limit / 8
	}
	return all < limit && his < limit-limit/4
}

// looped tells whether a request is one of our own come back: further down it
// has the Via of a transaction that waits, and it asks for the same user. For
// another user it spirals, as a call does that the core forwards (RFC 3261
// section 16.3).
func (s *Stack) looped(m *Message) bool {
	first := true
	for text := range m.List("Via") {
		if first {
			first = false
			continue
		}
		via, err := ParseVia(text)
		if err != nil {
			continue
		}
		if tx := s.clients.get(txKey{branch: via.Branch(), method: m.Method}); tx != nil && !tx.flow.passing && tx.isMe(via) && tx.asksFor(m.RequestURI) {
			return true
		}
	}
	return false
}

func (s *Stack) passing(m *Message, src Source) bool {
	return s.cfg.Passing != nil && s.cfg.Passing(m, src)
}

func (s *Stack) ack(m *Message, src Source) {
	if s.cfg.HandleAck != nil {
		s.cfg.HandleAck(m, src)
	}
}

func inDialog(m *Message) bool {
	to, err := m.To()
	return err == nil && to.Tag() != ""
}

// begin makes a server transaction and hands it to the user.
func (s *Stack) begin(m *Message, via Via, key txKey, src Source) {
	var merge uint64
	if !inDialog(m) && !s.passing(m, src) {
		merge = s.mergeKey(m)
	}
	mine := newServerTx(s, m, via, key, src)
	tx, fresh := s.servers.add(mine, merge)
	if !fresh {
		mine.timer.Stop()
	}
	switch {
	case !fresh && tx == nil:
		// RFC 3261 section 8.2.2.2: the same request came by another path.
		s.count.drop(dropMerged)
		s.answer(m, via, src, 482, "")
	case !fresh:
		tx.repeat()
	default:
		tx.start(s.cfg.Handle)
	}
}

// cancelled answers a CANCEL and tells the INVITE it is meant for (RFC 3261
// section 9.2).
func (s *Stack) cancelled(m *Message, via Via, key txKey, src Source) {
	target := key
	target.method = "INVITE"
	invite := s.servers.get(target)
	tx := newServerTx(s, m, via, key, src)
	if _, fresh := s.servers.add(tx, 0); !fresh {
		tx.timer.Stop()
		return
	}
	tx.start(nil)
	resp := NewResponse(m, 200, "")
	if invite == nil {
		resp = NewResponse(m, 481, "")
		resp.TagTo(NewTag())
	} else {
		resp.TagTo(invite.localTag())
	}
	_ = tx.Respond(resp)
	if invite != nil {
		invite.cancelled(m)
	}
}

// response brings a response to its transaction.
func (s *Stack) response(m *Message, src Source) {
	via, err := m.Via()
	if err != nil {
		return
	}
	cseq, err := m.CSeq()
	if err != nil {
		return
	}
	tx := s.clients.get(txKey{branch: via.Branch(), method: cseq.Method})
	if tx != nil && tx.isMe(via) && s.mayAnswer(src, tx) && tx.receive(m) {
		return
	}
	if s.cfg.HandleStray != nil {
		s.cfg.HandleStray(m, src)
	}
	s.count.drop(dropUnmatched)
}

// mayAnswer tells whether a response comes from whom the request went to, or
// from an address that he may use as well: a peer must not answer for another,
// should it ever learn a branch.
func (s *Stack) mayAnswer(src Source, tx *ClientTx) bool {
	remote := tx.flow.remote
	return src.Remote == remote || slices.Contains(s.cfg.Admit(src.Listener, src.Addr.Addr()), remote)
}

// guard ends a panic of whatever was called by a socket's reader: one message
// is lost, not the process.
func (s *Stack) guard(what string, src Source) {
	if r := recover(); r != nil {
		s.count.drop(dropPanic)
		s.panicked(what, src, r)
	}
}

// tapped is the socket's own bytes, for the tap to keep.
func (s *Stack) tapped(b []byte) []byte {
	if s.cfg.Tap == nil {
		return nil
	}
	return bytes.Clone(b)
}

// seen is a message that passes by.
type seen struct {
	l      *listener
	addr   netip.AddrPort
	remote *Remote
	in     bool
	at     time.Time // taken before a write: the answer must not look older than the question
}

func (s *Stack) tap(t seen, m *Message, raw []byte) {
	if s.cfg.Tap == nil {
		return
	}
	if m == nil && !t.in {
		m, _ = Parse(raw, s.cfg.Limits) // sent again: what it was made of is gone
	}
	s.cfg.Tap(Tap{t.at, t.in, t.l.Listener, t.l.local, t.addr, t.remote, m, raw})
}
