package rtp

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Network is an in-memory network: engines that share one reach each other
// and nothing else. Advertised addresses are the ones on it, as behind a 1:1
// NAT. It starts no goroutine but the engines' own, so it works in a synctest
// bubble.
type Network struct {
	mu      sync.RWMutex
	sockets map[netip.AddrPort]mailbox // mu
}

// mailbox is where a bound address gets its packets.
type mailbox struct {
	socket *socket
	lane   *memoryLane
}

// NewNetwork is an empty one.
func NewNetwork() *Network {
	return &Network{sockets: make(map[netip.AddrPort]mailbox)}
}

// memory is the tier on a Network.
type memory struct {
	network *Network
	lanes   []*memoryLane
	next    atomic.Uint32
	stop    chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

// memoryLane is one loop: a goroutine with a bounded queue.
type memoryLane struct {
	lane
	queue chan datagram
}

type datagram struct {
	to  *socket
	src netip.AddrPort
	pkt []byte
}

// memoryQueue is two seconds of 50 streams; more is lost, as on a real network.
const memoryQueue = 5000

func newMemory(threads int, n *Network) *memory {
	t := &memory{network: n, stop: make(chan struct{})}
	for range threads {
		l := &memoryLane{queue: make(chan datagram, memoryQueue)}
		t.lanes = append(t.lanes, l)
		t.running.Go(func() { l.run(t.stop) })
	}
	return t
}

func (l *memoryLane) run(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case d := <-l.queue:
			l.now = time.Now()
			copy(l.buf[:], d.pkt)
			d.to.port.receive(&l.lane, d.to, len(d.pkt), d.src)
		}
	}
}

// outside is the address of a socket as others see it.
func (s *socket) outside() netip.AddrPort { return s.port.advertised(s.kind) }

func (t *memory) bind(p *Port) error {
	t.network.mu.Lock()
	defer t.network.mu.Unlock()
	for _, s := range p.sockets {
		if _, taken := t.network.sockets[s.outside()]; taken {
			return syscall.EADDRINUSE
		}
	}
	lane := t.lanes[int(t.next.Add(1))%len(t.lanes)]
	for _, s := range p.sockets {
		t.network.sockets[s.outside()] = mailbox{s, lane}
	}
	return nil
}

func (t *memory) send(s *socket, pkt []byte, to netip.AddrPort) error {
	t.network.mu.RLock()
	defer t.network.mu.RUnlock()
	box, ok := t.network.sockets[to]
	if !ok {
		return nil // as UDP: nobody there, nobody told
	}
	select {
	case box.lane.queue <- datagram{box.socket, s.outside(), append([]byte(nil), pkt...)}:
	default:
	}
	return nil
}

func (t *memory) unbind(p *Port) {
	t.drop(p)
	p.engine.released(p)
}

func (t *memory) drop(p *Port) {
	t.network.mu.Lock()
	defer t.network.mu.Unlock()
	for _, s := range p.sockets {
		if t.network.sockets[s.outside()].socket == s {
			delete(t.network.sockets, s.outside())
		}
	}
}

func (t *memory) close() error {
	t.once.Do(func() { close(t.stop) })
	t.running.Wait()
	t.network.mu.Lock()
	defer t.network.mu.Unlock()
	for addr, box := range t.network.sockets {
		for _, l := range t.lanes {
			if box.lane == l {
				delete(t.network.sockets, addr)
			}
		}
	}
	return nil
}
