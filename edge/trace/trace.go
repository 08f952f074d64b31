// Package trace remembers the SIP messages of each call and our decisions
// between them, in bounded memory: the calls heard of last win. When room is
// wanted, the peer whose calls take most gives it, so that one that goes wild
// pushes out its own traces and not the others'.
//
// Adding a message stores a reference and formats nothing; the work is done
// when somebody looks. SRTP master keys (RFC 4568, "inline:") never leave the
// package: they are blanked in everything shown or exported. Start reading at
// Ring.
package trace

import (
	"cmp"
	"container/list"
	"net/netip"
	"slices"
	"sync"
	"time"

	link "github.com/tandemgw/tandem/link/record"
)

// Config bounds the memory of a Ring. Zero fields take the defaults.
type Config struct {
	Bytes    int           // of all calls together; 64 MiB
	PerCall  int           // bytes of one call; 256 KiB
	Messages int           // messages of one call, and notes; 128
	Keep     time.Duration // how long a call is remembered after its end; 1 h
}

// Packet is one message as seen on the wire. Raw is kept, not copied: it must
// not be changed afterwards, and its whole capacity is held.
type Packet struct {
	At            time.Time
	Out           bool   // sent by us
	Peer          string // the far side
	Side          link.Side
	Leg           string // "caller" or "callee"
	Transport     string
	Local, Remote netip.AddrPort
	Raw           []byte
}

// The first messages of a call tell how it was set up and are never pushed
// out by later ones; a long call's refreshes push out each other.
const head = 32

// What the bookkeeping of a call, a message and a note costs beside its text.
const (
	callCost   = 512
	packetCost = 192
	noteCost   = 64
)

// Ring holds the traces. Its methods may be called from any goroutine.
type Ring struct {
	conf Config // RO

	mu    sync.Mutex
	calls map[string]*call  // mu
	peers map[string]*share // mu: by the peer that the calls' first message was from or to
	ended *list.List        // mu: of *call, in the order of their ends
	bytes int               // mu: of all calls
}

// share is the calls of one peer; guarded by Ring.mu.
type share struct {
	order *list.List // of *call, heard of last in front
	bytes int
}

// call is what is remembered of one call; guarded by Ring.mu.
type call struct {
	id      string
	peer    string        // "" until there is a message
	place   *list.Element // in the order of its peer
	packets []Packet
	notes   []link.Note
	missing int
	bytes   int
	ended   time.Time     // zero while the call lasts
	grave   *list.Element // in Ring.ended
}

// New makes an empty Ring.
func New(c Config) *Ring {
	c.Bytes = cmp.Or(c.Bytes, 64<<20)
	c.PerCall = cmp.Or(c.PerCall, 256<<10)
	c.Messages = cmp.Or(c.Messages, 128)
	c.Keep = cmp.Or(c.Keep, time.Hour)
	return &Ring{conf: c, calls: map[string]*call{}, peers: map[string]*share{}, ended: list.New()}
}

// Add remembers one message of a call.
func (r *Ring) Add(callID string, p Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.touch(callID)
	if c.peer == "" && p.Peer != "" {
		r.assign(c, p.Peer)
	}
	c.packets = append(c.packets, p)
	r.grow(c, packetCost+cap(p.Raw))
	for len(c.packets) > 0 && (c.bytes > r.conf.PerCall || len(c.packets) > r.conf.Messages) {
		i := min(head, len(c.packets)-1)
		r.grow(c, -packetCost-cap(c.packets[i].Raw))
		c.packets = slices.Delete(c.packets, i, i+1)
		c.missing++
	}
	r.evict()
}

// Note remembers a decision of ours: a route chosen, a retry and its reason.
func (r *Ring) Note(callID, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.touch(callID)
	if len(c.notes) >= r.conf.Messages || c.bytes+noteCost+len(text) > r.conf.PerCall {
		return // the decisions worth reading are taken early
	}
	c.notes = append(c.notes, link.Note{At: time.Now(), Text: text})
	r.grow(c, noteCost+len(text))
	r.evict()
}

// End says that the call is over: its trace is kept for Config.Keep more.
// What still comes for it is added all the same.
func (r *Ring) End(callID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.calls[callID]
	if c == nil || !c.ended.IsZero() {
		return
	}
	c.ended = time.Now()
	c.grave = r.ended.PushBack(c)
	r.expire(c.ended)
}

// Get gives what is remembered of a call, keys blanked. Trace.Call holds only
// the ID: the ring does not know the record.
func (r *Ring) Get(callID string) (link.Trace, bool) {
	packets, t, ok := r.snapshot(callID)
	if !ok {
		return link.Trace{}, false
	}
	for _, p := range packets {
		t.Packets = append(t.Packets, link.Packet{
			At: p.At, Out: p.Out, Peer: p.Peer, Side: p.Side, Leg: p.Leg, Transport: p.Transport,
			Local: address(p.Local), Remote: address(p.Remote), Raw: string(blank(p.Raw)),
		})
	}
	return t, true
}

// Bytes is what all remembered calls take.
func (r *Ring) Bytes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// snapshot copies the references, so that rendering holds up nobody.
func (r *Ring) snapshot(callID string) ([]Packet, link.Trace, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(time.Now())
	c := r.calls[callID]
	if c == nil {
		return nil, link.Trace{}, false
	}
	t := link.Trace{Call: link.Call{ID: callID}, Notes: slices.Clone(c.notes), Missing: c.missing}
	packets := slices.Clone(c.packets)
	// An answer read by one goroutine may be added before the question that
	// another one has just written.
	slices.SortStableFunc(packets, func(a, b Packet) int { return a.At.Compare(b.At) })
	return packets, t, true
}

func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// touch finds or makes a call and moves it to the front. Called with mu held,
// as all below.
func (r *Ring) touch(id string) *call {
	if c := r.calls[id]; c != nil {
		r.peers[c.peer].order.MoveToFront(c.place)
		return c
	}
	c := &call{id: id}
	r.join(c)
	r.calls[id] = c
	r.grow(c, callCost+len(id))
	return c
}

// assign gives a call to a peer.
func (r *Ring) assign(c *call, peer string) {
	r.part(c)
	c.peer = peer
	r.join(c)
}

// join puts a call in front of its peer's.
func (r *Ring) join(c *call) {
	s := r.peers[c.peer]
	if s == nil {
		s = &share{order: list.New()}
		r.peers[c.peer] = s
	}
	c.place = s.order.PushFront(c)
	s.bytes += c.bytes
}

// part takes a call from its peer's.
func (r *Ring) part(c *call) {
	s := r.peers[c.peer]
	s.order.Remove(c.place)
	s.bytes -= c.bytes
	if s.order.Len() == 0 {
		delete(r.peers, c.peer)
	}
}

func (r *Ring) grow(c *call, by int) {
	c.bytes += by
	r.peers[c.peer].bytes += by
	r.bytes += by
}

// evict drops whole calls of the peer whose calls take most, silent for
// longest first, until the rest fits. There are dozens of peers.
func (r *Ring) evict() {
	for r.bytes > r.conf.Bytes {
		var most *share
		for _, s := range r.peers {
			if most == nil || s.bytes > most.bytes {
				most = s
			}
		}
		r.drop(most.order.Back().Value.(*call))
	}
}

// expire drops the calls that ended long ago.
func (r *Ring) expire(now time.Time) {
	for e := r.ended.Front(); e != nil; e = r.ended.Front() {
		c := e.Value.(*call)
		if now.Sub(c.ended) < r.conf.Keep {
			return
		}
		r.drop(c)
	}
}

func (r *Ring) drop(c *call) {
	r.part(c)
	if c.grave != nil {
		r.ended.Remove(c.grave)
	}
	delete(r.calls, c.id)
	r.bytes -= c.bytes
}
