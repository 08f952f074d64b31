package sip

import (
	"context"
	"net/netip"
	"time"
)

const (
	// retireLook is how often a replaced connection is looked at for what is
	// under way on it.
	retireLook = 250 * time.Millisecond
	// retireMax is how long it is kept for that: longer than a telephone rings
	// (RFC 3261 timer C is three minutes).
	retireMax = 4 * time.Minute
	// verdictWait is how long a new TLS connection has to prove itself before
	// it is preferred: with TLS 1.3 a peer refuses our certificate when the
	// handshake is over for us (RFC 8446 4.4.2.4), a round trip later.
	verdictWait = 500 * time.Millisecond
)

// Reconnection is what became of one connection.
type Reconnection struct {
	Remote  *Remote
	Addr    netip.AddrPort
	Inbound bool  // the peer had opened it, and will open another when it has something to say
	Err     error // why no new one could be opened; the old one is kept then
}

// Reconnect replaces the connections that which chooses. Peers see a renewed
// certificate of ours, and are held to a new policy, only on new connections.
//
// Those we opened are opened anew first, and what is sent from then on takes
// the new one; what is under way ends on the old one, which is closed when it
// is quiet. Those that peers have opened are closed when they are quiet.
// Reconnect returns when every new connection stands or has failed; ctx bounds
// that, besides the limits of dialling and shaking hands.
func (s *Stack) Reconnect(ctx context.Context, which func(*Listener, *Remote) bool) []Reconnection {
	var done []Reconnection
	fresh := map[*stream]*stream{}
	old := s.conns.standing(func(c *stream) bool { return which(c.l.Listener, c.remote) })
	for _, c := range old {
		if c.key.l != nil {
			fresh[c] = s.replace(c.key)
		}
	}
	judged := false
	for _, c := range old {
		if next := fresh[c]; next != nil && next.stands(ctx) == nil && next.l.Transport == TLS {
			judged = true
		}
	}
	if judged {
		sleep(ctx, verdictWait)
	}
	for _, c := range old {
		r := Reconnection{Remote: c.remote, Addr: c.addr, Inbound: c.key.l == nil}
		if next := fresh[c]; next != nil && !s.conns.prefer(next) {
			r.Err = next.stands(ctx)
		}
		if r.Err == nil {
			s.conns.retire(c)
		}
		done = append(done, r)
	}
	return done
}

// standing are the open streams that which chooses.
func (t *connTable) standing(which func(*stream) bool) []*stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*stream
	for c := range t.all {
		if c.isUp() && which(c) && (c.key.l == nil || t.pool[c.key] == c) {
			found = append(found, c)
		}
	}
	return found
}

// isUp tells whether messages may be read from the stream; its remote is known
// then.
func (c *stream) isUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writing && !c.closed
}

// replace begins another connection to where one of ours leads, not in its
// place yet.
func (s *Stack) replace(key connKey) *stream {
	c := s.newStream(key.l, key.addr)
	c.key, c.remote = key, key.remote
	t := &s.conns
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		c.close(ErrClosed, true)
		return c
	}
	t.all[c] = struct{}{}
	s.wg.Go(c.runOut)
	return c
}

// stands waits until the stream can be used, or tells why it cannot.
func (c *stream) stands(ctx context.Context) error {
	select {
	case <-c.up:
	case <-c.done:
	case <-ctx.Done():
		c.close(ctx.Err(), true)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// prefer makes a stream the one that is used from now on, if it still stands.
func (t *connTable) prefer(c *stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !c.alive() {
		return false
	}
	t.pool[c.key] = c
	return true
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (t *connTable) retire(c *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unalias(c)
	c.retired = true
	if !t.closed {
		c.s.wg.Go(c.retire)
	}
}

// retire closes a stream as soon as nothing is under way on it.
func (c *stream) retire() {
	look := time.NewTicker(retireLook)
	defer look.Stop()
	limit := time.NewTimer(retireMax)
	defer limit.Stop()
	for c.busy() {
		select {
		case <-look.C:
			continue
		case <-limit.C:
		case <-c.done:
		}
		break
	}
	c.close(errRetired, false)
}

// busy tells whether a transaction waits for something on the stream.
func (c *stream) busy() bool {
	busy := false
	c.s.clients.each(func(tx *ClientTx) {
		tx.mu.Lock()
		defer tx.mu.Unlock()
		busy = busy || tx.flow.conn == c && tx.state <= txProceeding
	})
	c.s.servers.each(func(tx *ServerTx) {
		tx.mu.Lock()
		defer tx.mu.Unlock()
		busy = busy || tx.back.src.conn == c && tx.state <= txCompleted
	})
	return busy
}
