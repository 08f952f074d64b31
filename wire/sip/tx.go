package sip

import (
	"bytes"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// txState is a state of RFC 3261 section 17 or RFC 6026.
type txState uint8

const (
	txTrying     txState = iota // Calling, for an INVITE client
	txProceeding                // a provisional response was seen or sent
	txCompleted                 // final; for INVITE a non-2xx
	txConfirmed                 // INVITE server: the ACK came
	txAccepted                  // INVITE with a 2xx (RFC 6026)
	txTerminated
)

// core is what the four machines share: a lock, one timer for all their
// clocks, and the queue of callbacks. It is kept small, for tens of thousands
// of them linger for half a minute after their work is done.
type core struct {
	s     *Stack  // RO
	owner *Remote // RO; for whose sake raw is kept, nil for our own requests
	timer *time.Timer

	mu       sync.Mutex    // the one lock per transaction: timers, sockets and the user meet here
	state    txState       // mu
	running  bool          // mu; a goroutine is working through posted
	posted   []func()      // mu; callbacks to be run without mu
	deadline time.Duration // mu; end of the state, by Stack.now; 0: none
	resend   time.Duration // mu; next retransmission; 0: none
	interval time.Duration // mu; between the retransmissions
	raw      []byte        // mu; what is sent again
}

// never is a time that does not come: the timer is made before it is armed.
const never = time.Duration(math.MaxInt64)

// post queues a callback; unlock runs it.
func (c *core) post(f func()) { c.posted = append(c.posted, f) }

// unlock arms the timer, releases mu and runs what was posted: in order, one
// at a time, on whichever goroutine came first.
func (c *core) unlock() {
	c.arm()
	if c.running || len(c.posted) == 0 {
		c.mu.Unlock()
		return
	}
	c.running = true
	for len(c.posted) > 0 {
		f := c.posted[0]
		c.posted = c.posted[1:]
		c.mu.Unlock()
		c.run(f)
		c.mu.Lock()
	}
	c.running, c.posted = false, nil
	c.mu.Unlock()
}

func (c *core) run(f func()) {
	defer c.s.guard("transaction", Source{})
	f()
}

func (c *core) arm() {
	next := c.deadline
	if c.resend != 0 && (next == 0 || c.resend < next) {
		next = c.resend
	}
	if c.state == txTerminated || next == 0 {
		c.timer.Stop()
		return
	}
	c.timer.Reset(next - c.s.now())
}

// expired and due are asked by the timer, which may have fired for a moment
// that has been moved since.
func (c *core) expired(now time.Duration) bool { return c.deadline != 0 && now >= c.deadline }
func (c *core) due(now time.Duration) bool     { return c.resend != 0 && now >= c.resend }

// keep holds raw for retransmission, without the room it was grown in. What is
// kept for a peer is bounded, and more is not sent again.
func (c *core) keep(raw []byte) {
	c.drop()
	if c.owner != nil && c.owner.held.Add(int64(len(raw))) > mostHeld {
		c.owner.held.Add(-int64(len(raw)))
		return
	}
	if cap(raw)-len(raw) > 64 {
		raw = bytes.Clone(raw)
	}
	c.raw = raw
}

func (c *core) drop() {
	if c.owner != nil {
		c.owner.held.Add(-int64(len(c.raw)))
	}
	c.raw = nil
}

// mostHeld is how many bytes of responses are held for one peer: those of 1000
// calls/s for 32 s, at two transactions of a kilobyte each. A response repeats
// every Via of its request, so a peer could else make them 32 KB each.
const mostHeld = 64 << 20

// enter changes the state; its clocks are set afterwards.
func (c *core) enter(state txState) {
	c.drop()
	c.state, c.deadline, c.resend = state, 0, 0
}

// txKey tells transactions apart: RFC 3261 section 17.2.3 for a server, where
// the remote is added so that no peer can meddle with another's; branch and
// method for a client, whose branches are random.
type txKey struct {
	branch, host, method string
	port                 uint16
	remote               *Remote
}

// serverKey is the key of a request. ACK has that of its INVITE.
func serverKey(m *Message, via Via, remote *Remote) txKey {
	k := txKey{branch: via.Branch(), host: via.Host, method: m.Method, port: via.Port, remote: remote}
	if k.method == "ACK" {
		k.method = "INVITE"
	}
	if !strings.HasPrefix(k.branch, magicCookie) {
		k.branch = oldBranch(m, k.branch)
	}
	return k
}

const magicCookie = "z9hG4bK"

// oldBranch stands for the branch of a peer of RFC 2543: what is the same in
// the request, its retransmissions, its CANCEL and its ACK.
func oldBranch(m *Message, branch string) string {
	var tag, seq string
	if from, err := m.From(); err == nil {
		tag = from.Tag()
	}
	if c, err := m.CSeq(); err == nil {
		seq = strconv.FormatUint(uint64(c.Seq), 10)
	}
	return strings.Join([]string{branch, m.Get("Call-ID"), tag, seq}, "\x00")
}

// own copies the strings, which otherwise keep a whole message alive.
func (k txKey) own() txKey {
	both := k.branch + k.host
	k.branch, k.host = both[:len(k.branch)], both[len(k.branch):]
	if m, ok := methods[k.method]; ok {
		k.method = methodNames[m]
	} else {
		k.method = strings.Clone(k.method)
	}
	return k
}

// clientTable and serverTable find transactions. Each has one lock, never
// held together with another or while anything is called.
type clientTable struct {
	mu sync.Mutex
	m  map[txKey]*ClientTx // mu
}

func (t *clientTable) init() { t.m = map[txKey]*ClientTx{} }

func (t *clientTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.m)
}

func (t *clientTable) get(k txKey) *ClientTx {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[k]
}

func (t *clientTable) add(tx *ClientTx) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m[tx.key()] = tx
}

func (t *clientTable) remove(tx *ClientTx) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, tx.key())
}

func (t *clientTable) each(f func(*ClientTx)) {
	t.mu.Lock()
	all := slices.Collect(maps.Values(t.m))
	t.mu.Unlock()
	for _, tx := range all {
		f(tx)
	}
}

type serverTable struct {
	seed maphash.Seed // RO

	mu     sync.Mutex
	m      map[txKey]*ServerTx // mu
	merges map[uint64]struct{} // mu; requests outside a dialog that are being worked on
	per    map[*Remote]int     // mu; how many of m are each remote's
}

func (t *serverTable) init() {
	t.seed = maphash.MakeSeed()
	t.m = map[txKey]*ServerTx{}
	t.merges = map[uint64]struct{}{}
	t.per = map[*Remote]int{}
}

func (t *serverTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.m)
}

// load is how many there are, and how many of them are r's.
func (t *serverTable) load(r *Remote) (all, his int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.m), t.per[r]
}

func (t *serverTable) get(k txKey) *ServerTx {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[k]
}

// add takes tx in and gives true. It gives the transaction that already has
// the key, or nil if another one is working on the same request (merge).
func (t *serverTable) add(tx *ServerTx, merge uint64) (*ServerTx, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.m[tx.key]; old != nil {
		return old, false
	}
	if merge != 0 {
		if _, ok := t.merges[merge]; ok {
			return nil, false
		}
		t.merges[merge] = struct{}{}
		tx.merge = merge
	}
	t.m[tx.key] = tx
	t.per[tx.key.remote]++
	return tx, true
}

func (t *serverTable) remove(tx *ServerTx) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[tx.key] != tx {
		return
	}
	delete(t.m, tx.key)
	delete(t.merges, tx.merge)
	if r := tx.key.remote; t.per[r] > 1 {
		t.per[r]--
	} else {
		delete(t.per, r)
	}
}

// forget lets the same request come again by another path: a sender that was
// refused (503) tries again so, and keep-alives exist that never change
// their Call-ID and CSeq.
func (t *serverTable) forget(merge uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.merges, merge)
}

func (t *serverTable) each(f func(*ServerTx)) {
	t.mu.Lock()
	all := slices.Collect(maps.Values(t.m))
	t.mu.Unlock()
	for _, tx := range all {
		f(tx)
	}
}

// mergeKey tells whether two requests are one that came by two paths
// (RFC 3261 section 8.2.2.2). Eight bytes of a seeded hash stand for it.
func (s *Stack) mergeKey(m *Message) uint64 {
	from, err := m.From()
	if err != nil {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(s.servers.seed)
	for _, part := range [...]string{from.Tag(), m.Get("Call-ID"), m.Get("CSeq")} {
		_, _ = h.WriteString(part)
		_ = h.WriteByte(0)
	}
	return h.Sum64() | 1
}
