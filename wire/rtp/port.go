package rtp

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/obs"
)

// media and control index the two sockets of a port and what is kept of each.
const (
	media   = 0 // RTP
	control = 1 // RTCP
)

// maxRate bounds the packets a second of one port: ten times the most a voice
// stream has (10 ms packets). It also ends the circle that two far sides make
// when each is told that the other's port of ours is its address.
const maxRate = 1000

// Port is one end of a media stream. All methods may be called from any
// goroutine.
//
// It has two halves with a lock each, held for the handling of one packet:
// rx is taken by the loop that serves the port, tx by whichever loop forwards
// to it. Whoever holds a tx takes no other lock; nobody holds two rx.
type Port struct {
	engine  *Engine    // RO
	pool    *pool      // RO
	sockets [2]*socket // RO
	udptl   bool       // RO; it carries datagrams of a fax instead of RTP

	drops  [Causes]atomic.Uint64
	defect atomic.Bool // one was logged

	rx       sync.Mutex
	route    *route                       // rx, nil = no plan
	contexts contexts                     // rx, the far side's keys
	former   former                       // rx
	latches  [2]latch                     // rx
	mux      bool                         // rx, RTCP comes on the RTP socket
	source   source                       // rx
	reports  reports                      // rx
	pt       uint8                        // rx, of the last packet
	clock    uint32                       // rx, that pt means by route; 0 = to be looked up
	received [2]Traffic                   // rx
	last     [2]time.Time                 // rx
	meter    meter                        // rx, of what is the far side's
	hellos   meter                        // rx, of handshakes, whoever sends them
	ice      *lite                        // rx, nil = connectivity checks are not answered
	dtls     [2]*association              // rx, nil = keys do not come from a handshake
	early    [2]letter                    // rx, a ClientHello that came before its association
	diverted func([]byte, netip.AddrPort) // rx, gets the checks; nil = nobody
	closed   bool                         // rx

	tx sender
}

// former is the key that the far side had before, while packets under it may be
// on their way: who offers a new key goes on with the old one until the answer
// has come (RFC 3264 8.3). The first packet under the new key ends it.
type former struct {
	in    *context // nil = none
	until time.Time
}

// overlap is how long at most: four round trips of the slowest signalling.
const overlap = 2 * time.Second

// sender is the half of a port that packets leave by.
type sender struct {
	sync.Mutex
	contexts contexts          // our keys
	to       [2]netip.AddrPort // where the far side is now
	mux      bool              // RTCP leaves by the RTP socket
	sent     [2]Traffic
	out      outgoing
	scratch  []byte // for Send, Insert and Report
	closed   bool
}

// socket is one UDP address of a port. The first three are fixed, the others
// belong to the epoll tier.
type socket struct {
	port *Port
	kind int // media or control
	addr netip.AddrPort

	fd   int
	slot int // in the loop's table
	loop int
}

// lane is what one loop reuses from packet to packet.
type lane struct {
	now   time.Time // coarse: when the loop last woke up
	buf   [maxPacket + 1 + overhead]byte
	spare [maxPacket + 1 + overhead]byte // a packet as it came, to be read again with another key
}

func newPort(e *Engine, pool *pool, number uint16) *Port {
	p := &Port{engine: e, pool: pool}
	for kind := range p.sockets {
		p.sockets[kind] = &socket{port: p, kind: kind, addr: netip.AddrPortFrom(pool.Bind, number+uint16(kind)), fd: -1}
	}
	return p
}

// Addr is the RTP address to advertise.
func (p *Port) Addr() netip.AddrPort { return p.advertised(media) }

// RTCPAddr is the RTCP address to advertise when RTCP is not multiplexed.
func (p *Port) RTCPAddr() netip.AddrPort { return p.advertised(control) }

func (p *Port) advertised(kind int) netip.AddrPort {
	return netip.AddrPortFrom(p.pool.Advertise, p.sockets[kind].addr.Port())
}

// Receive sets what happens to packets that arrive here from now on; nil
// drops them, still counted and latched. SRTP contexts of keys seen before on
// this port live on with their roll-over counters. The plan must not be changed
// afterwards. The error says which keys are unusable; the old plan then stays.
func (p *Port) Receive(plan *Plan) error {
	p.rx.Lock()
	defer p.rx.Unlock()
	if p.closed || plan == nil {
		p.route, p.clock, p.former = nil, 0, former{}
		return nil
	}
	r, err := p.compile(plan)
	if err != nil {
		return err
	}
	if p.route != nil && p.route.in != r.in && p.route.in != pending {
		p.former = former{p.route.in, time.Now().Add(overlap)}
	}
	p.route, p.clock = r, 0
	return nil
}

// Remote sets where the far side wants its packets, as signalled. An rtcp
// equal to rtp means that RTCP is multiplexed on the RTP port (RFC 5761); a
// zero rtcp means the port after rtp. A latched address survives while rtp
// stays the same; no address at all, or an unspecified one, stops sending. With
// another rtp it is another far side (RFC 4568 7.1.4), and packets under the
// key before are not heard any more.
func (p *Port) Remote(rtp, rtcp netip.AddrPort) {
	rtp, rtcp = usable(rtp), usable(rtcp)
	if !rtcp.IsValid() && rtp.IsValid() && rtp.Port() < 65535 {
		rtcp = netip.AddrPortFrom(rtp.Addr(), rtp.Port()+1)
	}
	p.rx.Lock()
	defer p.rx.Unlock()
	p.mux = rtp.IsValid() && rtp == rtcp
	if rtp != p.latches[media].signalled {
		p.former = former{}
	}
	for kind, addr := range [2]netip.AddrPort{rtp, rtcp} {
		if l := &p.latches[kind]; l.signalled != addr || !addr.IsValid() {
			elsewhere := l.signalled.IsValid() && addr.IsValid()
			l.signal(addr)
			if elsewhere {
				p.moved(kind)
			}
			if x, ok := p.ice.best(kind); ok { // which counts before what is signalled
				l.move(x.addr)
			}
		}
	}
	p.publish()
}

// usable normalises an address and blanks one that nobody can be reached at.
func usable(a netip.AddrPort) netip.AddrPort {
	if !a.IsValid() || a.Addr().IsUnspecified() || a.Port() == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// publish tells the sending half where the far side is. The caller holds rx.
func (p *Port) publish() {
	p.located()
	rtp, rtcp := p.latches[media].current, p.latches[control].current
	if p.mux {
		rtcp = rtp
	}
	p.tx.Lock()
	defer p.tx.Unlock()
	p.tx.to = [2]netip.AddrPort{rtp, rtcp}
	p.tx.mux = p.mux
}

// receive is the life of a packet: who sent it, is it whole and authentic,
// what does the plan say, off it goes. n is the datagram's length, more than
// fits in l.buf when it was cut.
func (p *Port) receive(l *lane, s *socket, n int, src netip.AddrPort) {
	defer p.survive()
	if n > maxPacket {
		p.drops[TooLong].Add(1)
		return
	}
	if p.udptl {
		if cause := p.pass(s.kind, l.buf[:n], src, l.now); cause != passed {
			p.drops[cause].Add(1)
		}
		return
	}
	if n > 0 && l.buf[0] < notRTP && p.beside(s, l.buf[:n], src, l.now) {
		return
	}
	r, pkt, h, cause := p.accept(l, s.kind, l.buf[:n], src)
	if cause == passed {
		cause = p.dispatch(r, pkt, h, l.now)
	}
	if cause != passed {
		p.drops[cause].Add(1)
	}
}

// survive sees to it that a packet which meets a defect of ours is lost, and not
// the process with all its calls. What is locked on a packet's way is unlocked
// by defer for that reason.
func (p *Port) survive() {
	defect := recover()
	if defect == nil {
		return
	}
	p.drops[Defect].Add(1)
	if p.defect.CompareAndSwap(false, true) {
		p.engine.log.Error("panic over a packet, which is dropped; others at its port are only counted",
			"port", p.Addr().String(), obs.KeyError, fmt.Sprint(defect), "stack", string(debug.Stack()))
	}
}

// notRTP: first octets below are of another protocol on the same port
// (RFC 7983).
const notRTP = 64

// beside takes a packet of connectivity checks or of a handshake; false when it
// is neither.
func (p *Port) beside(s *socket, pkt []byte, src netip.AddrPort, now time.Time) bool {
	cause := passed
	switch {
	case looksSTUN(pkt):
		cause = p.checkFrom(s, pkt, src, now)
	case looksDTLS(pkt):
		cause = p.handshakeFrom(s, pkt, src, now)
	default:
		return false
	}
	if cause != passed {
		p.drops[cause].Add(1)
	}
	return true
}

// accept checks a packet and takes it into the books. It returns the packet
// in the clear with the route it takes.
func (p *Port) accept(l *lane, kind int, pkt []byte, src netip.AddrPort) (*route, []byte, header, Cause) {
	p.rx.Lock()
	defer p.rx.Unlock()
	if p.closed {
		return nil, nil, header{}, Late
	}
	h, cause := p.parse(kind, pkt)
	if cause != passed {
		return nil, nil, h, cause
	}
	if !p.mayHear(src, kind) {
		return nil, nil, h, Stranger
	}
	r := p.route
	pkt, proof, cause := p.open(l, r, h, pkt)
	if cause != passed {
		return nil, nil, h, cause
	}
	if cause = p.admit(src, kind, h, proof, l.now); cause != passed {
		return nil, nil, h, cause
	}
	if p.flooded(l.now) {
		return nil, nil, h, Flood
	}
	p.record(r, &h, pkt, l.now)
	if r == nil {
		return nil, nil, h, NoDestination
	}
	if !h.rtcp {
		if r.Hold {
			return nil, nil, h, NoDestination
		}
		switch out := r.PT[h.pt]; out {
		case Drop:
			return nil, nil, h, UnknownType
		case Keep:
			h.kept = true
		default:
			pkt[1] = pkt[1]&0x80 | out&0x7f
		}
	}
	return r, pkt, h, passed
}

// flooded counts only packets that are the far side's: whoever forges others
// must not use up its share.
func (p *Port) flooded(now time.Time) bool { return p.meter.over(now) }

// meter counts what comes in a second.
type meter struct {
	second int64
	rate   int
}

func (m *meter) over(now time.Time) bool {
	if second := now.Unix(); second != m.second {
		m.second, m.rate = second, 0
	}
	m.rate++
	return m.rate > maxRate
}

func (p *Port) parse(kind int, pkt []byte) (header, Cause) {
	if kind == control || p.mux && looksRTCP(pkt) {
		return parseRTCP(pkt)
	}
	return parseRTP(pkt)
}

// mayHear tells strangers apart before they cost any cryptography.
func (p *Port) mayHear(src netip.AddrPort, kind int) bool {
	l := &p.latches[kind]
	if src == l.current || src == l.signalled {
		return true
	}
	if p.ice.checked(src, kind) {
		return true
	}
	for _, prefix := range *p.pool.allow.Load() {
		if prefix.Contains(src.Addr()) {
			return true
		}
	}
	return false
}

// open decrypts a packet and checks what encryption hid.
func (p *Port) open(l *lane, r *route, h header, pkt []byte) ([]byte, proof, Cause) {
	proof := unproven
	if r != nil && r.in != nil {
		var cause Cause
		in := r.in
		if h.rtcp && r.inRTCP != nil {
			in = r.inRTCP
		}
		if pkt, proof, cause = p.unprotect(l, in, h, pkt); cause != passed {
			return nil, proof, cause
		}
	}
	if h.rtcp {
		return pkt, proof, checkCompound(pkt)
	}
	return pkt, proof, h.checkPadding(pkt)
}

// unprotect decrypts with the key of the plan, or else with the one before.
func (p *Port) unprotect(l *lane, in *context, h header, pkt []byte) ([]byte, proof, Cause) {
	if p.former.in != nil {
		if l.now.After(p.former.until) {
			p.former = former{}
		}
		copy(l.spare[:], pkt) // GCM wipes what it refuses
	}
	clear, cause := in.unprotect(pkt, h)
	if cause != passed && p.former.in != nil {
		clear, cause = p.former.in.unprotect(l.spare[:len(pkt)], h)
		return clear, authenticLate, cause
	}
	if cause == passed {
		p.former = former{}
	}
	if !h.rtcp && !p.source.newer(h) {
		return clear, authenticLate, cause
	}
	return clear, authentic, cause
}

// admit lets the latch judge a packet that is whole.
func (p *Port) admit(src netip.AddrPort, kind int, h header, proof proof, now time.Time) Cause {
	l := &p.latches[kind]
	if !l.own(src) {
		if !p.claim(src, kind, h, proof, now) {
			return Stranger
		}
		p.publish()
	}
	if l.own(src) {
		l.hear(now)
	}
	return passed
}

func (p *Port) claim(src netip.AddrPort, kind int, h header, proof proof, now time.Time) bool {
	l := &p.latches[kind]
	if p.ice != nil {
		// Where to send is for the checks to say. Whoever has checked may be heard
		// before he is nominated, and anybody whose packets are authentic.
		return p.ice.checked(src, kind) || proof != unproven
	}
	if h.rtcp {
		return l.claimRTCP(src, proof, &p.latches[media], now)
	}
	if p.route != nil && p.route.PT[h.pt] == Drop {
		return false
	}
	return l.claim(src, h, proof, now)
}

// record takes a heard packet into the books.
func (p *Port) record(r *route, h *header, pkt []byte, now time.Time) {
	if h.rtcp {
		p.received[control].count(len(pkt))
		p.last[control] = now
		p.note(pkt, now)
		return
	}
	if h.pt != p.pt || p.clock == 0 {
		p.pt, p.clock = h.pt, r.clockOf(h.pt)
	}
	h.clock = p.clock
	p.source.update(*h, now.Sub(p.engine.started), h.clock)
	p.received[media].count(len(pkt))
	p.last[media] = now
}

// dispatch hands an accepted packet on.
func (p *Port) dispatch(r *route, pkt []byte, h header, now time.Time) Cause {
	if r.Sink != nil {
		r.Sink(pkt, h.rtcp)
	}
	switch {
	case h.kept && r.To != nil:
		r.To.withhold(h)
		return passed
	case h.kept, h.rtcp && r.Ends:
		return passed
	case r.To != nil:
		return r.To.forward(pkt, h, r, now)
	}
	if r.Sink == nil {
		return NoDestination
	}
	return passed
}

// forward protects a packet in place and sends it to this port's far side.
func (p *Port) forward(pkt []byte, h header, r *route, now time.Time) Cause {
	p.tx.Lock()
	defer p.tx.Unlock()
	if h.rtcp {
		out := r.out
		if r.outRTCP != nil {
			out = r.outRTCP
		}
		return p.transmit(pkt, h, out)
	}
	if !p.tx.out.admit(pkt, &h, now) {
		return passed // ours is sent instead
	}
	p.tx.out.forwarded(h, h.clock, now)
	return p.transmit(pkt, h, r.out)
}

// transmit is forward under p.tx.
func (p *Port) transmit(pkt []byte, h header, keys *context) Cause {
	kind := media
	if h.rtcp {
		kind = control
	}
	to := p.tx.to[kind]
	if p.tx.closed || !to.IsValid() {
		return NoRemote
	}
	if keys == pending {
		return Unkeyed
	}
	// Before it is encrypted. What the network refuses counts as sent: its
	// receiver will miss it.
	clear := len(pkt)
	if h.rtcp {
		p.tx.out.passing(pkt)
	} else {
		p.tx.out.count(h, clear)
	}
	if keys != nil {
		var cause Cause
		if pkt, cause = keys.protect(pkt, h); cause != passed {
			return cause
		}
	}
	s := p.sockets[kind]
	if p.tx.mux {
		s = p.sockets[media]
	}
	if err := p.engine.tier.send(s, pkt, to); err != nil {
		return SendFailed
	}
	p.tx.sent[kind].count(clear)
	return passed
}

// Reasons why Send sends nothing.
var (
	ErrNoRemote = errors.New("rtp: far side's address is not known")
	ErrClosed   = errors.New("rtp: port is closed")
	ErrPacket   = errors.New("rtp: not an RTP or RTCP packet")
	ErrSend     = errors.New("rtp: sending refused")
)

// Send protects a packet of our own making with keys (nil = clear) and sends
// it to the far side: RTCP when its second octet says so (RFC 5761 §4), else
// RTP. A port of a fax sends it as it is. The packet is not kept or changed.
func (p *Port) Send(pkt []byte, keys *Keys) error {
	if p.udptl {
		return p.sendUDPTL(pkt)
	}
	h, cause := parseRTP(pkt)
	if looksRTCP(pkt) {
		h, cause = parseRTCP(pkt)
	}
	if cause != passed || len(pkt) > maxPacket {
		return ErrPacket
	}
	p.tx.Lock()
	defer p.tx.Unlock()
	c, err := p.ready(keys)
	if err != nil {
		return err
	}
	p.tx.keep(pkt)
	switch p.transmit(p.tx.scratch, h, c) {
	case passed:
		return nil
	case NoRemote:
		return ErrNoRemote
	}
	return ErrSend
}

// Stats is a snapshot.
func (p *Port) Stats() Stats {
	var s Stats
	p.countReceived(&s)
	p.countSent(&s)
	for i := range p.drops {
		s.Drops[i] = p.drops[i].Load()
	}
	return s
}

func (p *Port) countReceived(s *Stats) {
	p.rx.Lock()
	defer p.rx.Unlock()
	s.Received, s.ReceivedRTCP = p.received[media], p.received[control]
	s.SSRC, s.PayloadType = p.source.ssrc, p.pt
	s.Lost, s.OutOfOrder, s.Jitter = p.source.lost(), p.source.outOfOrder, p.source.jitterTime()
	s.Last, s.LastRTCP = p.last[media], p.last[control]
	s.Latched = p.latches[media].moved()
	s.Gaps, s.GapLost, s.Clock = p.source.gaps, p.source.gapLost, p.source.clock
	s.Heard, s.VoIP, s.RoundTrip, s.Bye = p.reports.heard, p.reports.judgement(), p.reports.roundTrip, p.reports.bye
}

func (p *Port) countSent(s *Stats) {
	p.tx.Lock()
	defer p.tx.Unlock()
	s.Sent, s.SentRTCP = p.tx.sent[media], p.tx.sent[control]
	s.Remote, s.RemoteRTCP = p.tx.to[media], p.tx.to[control]
}

// Close gives the ports back, into quarantine: bound, and deaf. Close twice is
// harmless.
func (p *Port) Close() {
	p.rx.Lock()
	was := p.closed
	p.closed, p.route, p.contexts, p.former = true, nil, nil, former{}
	for _, a := range p.dtls {
		if a != nil {
			a.stop()
		}
	}
	p.dtls, p.early = [2]*association{}, [2]letter{}
	unused := p.received == [2]Traffic{}
	p.rx.Unlock()
	if was {
		return
	}
	p.tx.Lock()
	p.tx.closed, p.tx.contexts, p.tx.scratch = true, nil, nil
	unused = unused && p.tx.sent == [2]Traffic{}
	p.tx.Unlock()
	for i := range p.drops {
		unused = unused && p.drops[i].Load() == 0
	}
	p.engine.retire(p, unused)
}
