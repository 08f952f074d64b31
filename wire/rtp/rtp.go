// Package rtp moves media packets: ports, sockets, RTP and RTCP, SRTP with keys
// that are given (SDES) or come from a handshake (DTLS), the answering half of
// ICE, latching and statistics.
//
// An Engine owns the sockets of its interfaces and the few loops that serve
// them. A Port is one even/odd pair of them; what arrives there is treated as
// its Plan says. Start reading at Engine, then at Port.receive, which is the
// life of one packet.
//
// A plan is compiled where it is set, so that the loop only looks things up;
// the loop allocates nothing per packet outside the SRTP library. A packet
// that does not fit is dropped and counted by cause, never answered. Where
// datagrams come from and go to is behind one seam, tier.
//
// The package refuses to know calls, codecs and descriptions: it changes the
// payload number and the encryption of a packet and nothing else.
package rtp

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// Config is what New needs.
type Config struct {
	// Threads is the number of loops; 0 = one per two processors, at least one.
	// See Engine.Threads for what they ask of the program.
	Threads    int
	Quarantine time.Duration // how long a closed port stays bound and drops; 0 = not at all
	Interfaces []Interface
	// DSCP marks what leaves; EF is 46 (RFC 4594 §4.1), 0 no mark.
	DSCP    uint8
	Network *Network     // nil = the sockets of the operating system
	Log     *slog.Logger // of defects; nil = discarded
}

// Interface is one local address with the ports that may be used on it.
type Interface struct {
	Name      string
	Bind      netip.Addr
	Advertise netip.Addr // what Addr tells; zero = Bind. They differ behind 1:1 NAT
	PortMin   uint16
	PortMax   uint16
	// Allow lists the sources that may latch. A packet from anywhere else is
	// heard only when it comes from exactly the signalled address.
	Allow []netip.Prefix
}

// Counters are the sums of an engine.
type Counters struct {
	Received, Sent         Traffic
	ReceivedRTCP, SentRTCP Traffic
	Drops                  [Causes]uint64
	Open, Quarantined      int    // ports now
	Exhausted              uint64 // Opens refused for want of a port
	Handshakes             uint64 // that came to keys
	HandshakesFailed       uint64 // attempts
	Handshaking            int    // now
}

// tier moves datagrams between the network and ports. It calls Port.receive
// from one goroutine per port, and Engine.released once no packet of an
// unbound port can come any more.
type tier interface {
	// bind opens both sockets of a port, or neither.
	bind(p *Port) error
	// send writes one datagram; the port's tx lock is held.
	send(s *socket, pkt []byte, to netip.AddrPort) error
	// unbind closes both sockets of a port, sooner or later.
	unbind(p *Port)
	// close ends the loops and closes what is still bound.
	close() error
}

// Engine owns ports and the loops that serve them.
type Engine struct {
	log        *slog.Logger  // RO
	tier       tier          // RO
	threads    int           // RO
	quarantine time.Duration // RO
	started    time.Time     // RO, the zero of arrival times
	shakes     handshakes
	working    sync.WaitGroup // associations

	mu         sync.Mutex
	interfaces map[string]*pool      // mu
	ports      map[*Port]*time.Timer // mu, bound ports; the timer ends a quarantine
	past       Counters              // mu, sums of ports that are gone
	closed     bool                  // mu
}

// pool is the free ports of one interface.
type pool struct {
	Interface
	allow atomic.Pointer[[]netip.Prefix] // Interface.Allow, as it stands now
	free  []uint16                       // even ports
	total int
}

// New binds nothing yet; it checks the configuration and starts the loops.
func New(cfg Config) (*Engine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		log:        cfg.Log,
		quarantine: cfg.Quarantine,
		started:    time.Now(),
		interfaces: make(map[string]*pool, len(cfg.Interfaces)),
		ports:      make(map[*Port]*time.Timer),
	}
	for _, i := range cfg.Interfaces {
		if _, ok := e.interfaces[i.Name]; ok {
			return nil, fmt.Errorf("media interface %q: named twice", i.Name)
		}
		p, err := newPool(i)
		if err != nil {
			return nil, fmt.Errorf("media interface %q: %w", i.Name, err)
		}
		e.interfaces[i.Name] = p
	}
	threads := cfg.Threads
	if threads <= 0 {
		// The other half is for signalling and for the kernel's side of the packets.
		threads = max(1, runtime.NumCPU()/2)
	}
	var err error
	e.shakes.slots = make(chan struct{}, maxHandshakes)
	if e.shakes.identity, err = newIdentity(); err != nil {
		return nil, err
	}
	e.threads = threads
	if e.tier, err = newTier(threads, &cfg); err != nil {
		return nil, err
	}
	return e, nil
}

// Threads is the number of loops. By so many the program should raise
// GOMAXPROCS: a loop that comes back from its wait while all of them are taken
// by goroutines stands in line behind those for milliseconds, with its packets,
// though the kernel would give it a processor at once. With 100 calls of SRTP to
// RTP on two processors, and as many goroutines at work as keep both busy, the
// delay of packets was 2 to 10 times as long without in the median and 2 to 3
// times in the 99th percentile; with half of that work 1.05 and 1 to 3 times,
// and equal while there was none (BenchmarkDelay, runs taken in turns).
func (e *Engine) Threads() int { return e.threads }

func newTier(threads int, cfg *Config) (tier, error) {
	if cfg.Network != nil {
		return newMemory(threads, cfg.Network), nil
	}
	return newEpoll(threads, cfg.DSCP)
}

func newPool(i Interface) (*pool, error) {
	if !i.Bind.IsValid() {
		return nil, errors.New("no address to bind")
	}
	if !i.Advertise.IsValid() {
		i.Advertise = i.Bind
	}
	if i.Advertise.IsUnspecified() {
		return nil, fmt.Errorf("address %v cannot be advertised", i.Advertise)
	}
	p := &pool{Interface: i}
	for n := (int(i.PortMin) + 1) &^ 1; n > 0 && n+1 <= int(i.PortMax); n += 2 {
		p.free = append(p.free, uint16(n))
	}
	p.allow.Store(&i.Allow)
	p.total = len(p.free)
	if p.total == 0 {
		return nil, fmt.Errorf("no pair of ports in %d-%d", i.PortMin, i.PortMax)
	}
	return p, nil
}

// Allow replaces the sources that may latch on an interface, also for ports
// that are open: who has latched, or is signalled, goes on being heard.
func (e *Engine) Allow(iface string, sources []netip.Prefix) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.interfaces[iface]; p != nil {
		p.allow.Store(&sources)
	}
}

// bindTries bounds the search when other programs sit in our range.
const bindTries = 32

// Open takes a random free pair of ports of the named interface: RTP on the
// even one, RTCP on the next. The error is a fault.Exhausted when there is
// none, a fault.NotFound for an unknown interface.
func (e *Engine) Open(iface string) (*Port, error) { return e.open(iface, false) }

func (e *Engine) open(iface string, udptl bool) (*Port, error) {
	var err error
	for range bindTries {
		var p *Port
		if p, err = e.reserve(iface); err != nil {
			return nil, err
		}
		p.udptl = udptl
		err = e.tier.bind(p)
		if err == nil {
			return p, nil
		}
		e.forget(p)
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	kind := fault.Unavailable
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		kind = fault.Exhausted
		e.refused()
	}
	return nil, &fault.Error{Kind: kind, Public: "Media ports cannot be opened.", Err: fmt.Errorf("open port on %s: %w", iface, err)}
}

// reserve makes a port with a number of its own, not yet bound.
func (e *Engine) reserve(iface string) (*Port, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	pool, ok := e.interfaces[iface]
	switch {
	case !ok:
		return nil, &fault.Error{Kind: fault.NotFound, Err: fmt.Errorf("open port: no media interface %q", iface)}
	case e.closed:
		return nil, &fault.Error{Kind: fault.Unavailable, Err: ErrClosed}
	case len(pool.free) == 0:
		e.past.Exhausted++
		return nil, &fault.Error{
			Kind:   fault.Exhausted,
			Public: "No media port is free.",
			Err:    fmt.Errorf("open port on %s: all %d pairs of ports %d-%d are in use or in quarantine", iface, pool.total, pool.PortMin, pool.PortMax),
		}
	}
	// A random choice, so that nobody can foretell the port of the next call.
	n := rand.IntN(len(pool.free))
	port := pool.free[n]
	last := len(pool.free) - 1
	pool.free[n] = pool.free[last]
	pool.free = pool.free[:last]
	p := newPort(e, pool, port)
	e.ports[p] = nil
	return p, nil
}

// forget gives back the number of a port that could not be bound.
func (e *Engine) forget(p *Port) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.ports, p)
	p.pool.free = append(p.pool.free, p.sockets[media].addr.Port())
}

func (e *Engine) refused() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.past.Exhausted++
}

// Capacity is how many ports the smallest interface has.
func (e *Engine) Capacity() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	least := 0
	for _, p := range e.interfaces {
		if least == 0 || p.total < least {
			least = p.total
		}
	}
	return least
}

// unusedPart is how much shorter the quarantine of a port is that no packet
// has come to or gone from, as long as none comes late: calls that came to
// nothing must not use up the ports of those that will not.
const unusedPart = 10

// retire puts a closed port into quarantine.
func (e *Engine) retire(p *Port, unused bool) {
	rest := e.quarantine
	if unused {
		rest /= unusedPart
	}
	e.rest(p, rest, e.quarantine-rest)
}

// rest lets a port rest, and longer when packets come meanwhile.
func (e *Engine) rest(p *Port, least, more time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.ports[p] = time.AfterFunc(least, func() {
		if more > 0 && p.drops[Late].Load() > 0 {
			e.rest(p, more, 0)
			return
		}
		e.tier.unbind(p)
	})
}

// released is called by the tier when a port is no longer bound.
func (e *Engine) released(p *Port) {
	s := p.Stats()
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.ports[p]; !ok {
		return // Close was faster
	}
	delete(e.ports, p)
	e.past.add(&s)
	p.pool.free = append(p.pool.free, p.sockets[media].addr.Port())
}

// Counters are the sums over all ports that ever were.
func (e *Engine) Counters() Counters {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.past
	c.Handshakes, c.HandshakesFailed, c.Handshaking = e.shakes.done.Load(), e.shakes.failed.Load(), len(e.shakes.slots)
	for p, quarantined := range e.ports {
		s := p.Stats()
		c.add(&s)
		if quarantined != nil {
			c.Quarantined++
		} else {
			c.Open++
		}
	}
	return c
}

// Close closes every port, without quarantine, and waits for the loops. It
// must not be called from a Sink.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	ports := make([]*Port, 0, len(e.ports))
	for p, t := range e.ports {
		if t != nil {
			t.Stop()
		}
		ports = append(ports, p)
	}
	e.mu.Unlock()
	for _, p := range ports {
		p.Close()
	}
	e.working.Wait()
	err := e.tier.close()
	for _, p := range ports {
		e.released(p)
	}
	return err
}
