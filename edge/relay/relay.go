// Package relay is the media of a call: two ports, what each side negotiated,
// and the plans that follow from it.
//
// A Media belongs to the call's goroutine; the packets themselves never come
// here, they run in wire/rtp. Start reading at Media.Set. The package refuses
// to judge: it tells how long a side has been silent (Silent), the call decides
// what that means.
//
// A re-INVITE is a Set again. A key that stays goes on with its roll-over
// counter, a new one begins at 0 (RFC 4568 7.1.4), in both directions and for
// SRTCP too. Our own key towards a side is that of its leg and suite, so only a
// change of suite renews it. What is on its way under the far side's old key is
// heard until the first packet under its new one, or for two seconds, unless
// its address changes too: then it is another far side, and the old one is not
// heard any more. What comes under the new key before the answer has told us
// that key cannot be read and is dropped. Where the keys come from a handshake
// nothing passes until it is over, and it is not for Set to wait: whoever watches
// is told (Keyed, Unkeyed).
package relay

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/wire/codec"
	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sdp"
)

// Config is what New needs.
type Config struct {
	Engine *rtp.Engine  // stays the caller's to close
	Log    *slog.Logger // of defects; nil: discarded
}

// Relay opens the media of calls on one engine.
type Relay struct {
	engine  *rtp.Engine // RO
	library library
	crew    *crew // RO
	clerk   clerk
}

// New makes a relay.
func New(cfg Config) *Relay {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Relay{engine: cfg.Engine, crew: newCrew(cfg.Log), clerk: clerk{log: cfg.Log}}
}

// Close ends all work on media. What is open still passes packets on.
func (r *Relay) Close() {
	r.crew.close()
	r.clerk.close()
}

// Open takes one port on each of the two named interfaces. The error is a
// fault.Exhausted when an interface has none left.
func (r *Relay) Open(callerIface, calleeIface string) (*Media, error) {
	caller, err := r.engine.Open(callerIface)
	if err != nil {
		return nil, err
	}
	callee, err := r.engine.Open(calleeIface)
	if err != nil {
		caller.Close()
		return nil, err
	}
	m := &Media{relay: r, ifaces: [2]string{callerIface, calleeIface}, ports: [2]*rtp.Port{Caller: caller, Callee: callee}}
	for s, p := range m.ports {
		m.voices[s] = &voice{worker: r.crew.pick(), library: &r.library, port: p, wish: new(codec.Wish)}
		m.names[s] = canonicalName()
	}
	r.clerk.enter(m)
	return m, nil
}

// Capacity is how many calls there are ports for.
func (r *Relay) Capacity() int { return r.engine.Capacity() }

// Side names an end of the call.
type Side uint8

// The sides.
const (
	Caller Side = iota
	Callee
)

// Other is the opposite side.
func (s Side) Other() Side { return s ^ 1 }

// String is caller or callee.
func (s Side) String() string { return [...]string{"caller", "callee"}[s&1] }

// Negotiated is what one side and we agreed on.
type Negotiated struct {
	RTP, RTCP netip.AddrPort // where the side wants packets; RTCP zero = the port after RTP
	Fax       netip.AddrPort // and the datagrams of a fax (T.38); not valid: none
	ICE       *rtp.Lite      // the side checks the way; nil = it does not
	Mux       bool           // RTCP on the RTP port, both ways
	In, Out   *rtp.Keys      // the side's key for what it sends, ours for what it gets; nil = clear, or as DTLS says
	DTLS      *rtp.DTLS      // the handshake that the keys come from; nil = none
	PT        [128]uint8     // numbers in what the side sends to those the other side expects; rtp.Drop drops
	Direction sdp.Direction  // as that side sees it: a SendOnly side hears nothing

	inRTCP, outRTCP *rtp.Keys // where RTCP has a handshake of its own

	// What is needed to do more than to pass packets on.
	Codecs []sdp.Agreed  // voice, events and comfort noise agreed with the side
	Ptime  time.Duration // of the packets that it wants; 0 = 20 ms
	// Unbroken: it wants packets in pauses too.
	Unbroken bool
	// Metrics: it wants to be told how what it sends sounds here.
	Metrics bool
	Recode  bool // what it sends has to be recoded for the other side
	Digits  Digits
	Reports Reports
	// Fill: when the other side, which is to send, has sent nothing for so long,
	// this one hears comfort noise; 0 = it does not.
	Fill time.Duration
}

// Digits is how a side sends DTMF and wants to get it.
type Digits uint8

// The forms. From one to another is converted; towards Signalled the digits
// are told to whoever watches, which is to send them.
const (
	Events    Digits = iota // telephone-event (RFC 4733) where agreed, else tones
	Tones                   // in band
	Signalled               // by SIP INFO
)

// Reports is what RTCP a side gets.
type Reports uint8

// The kinds of reports.
const (
	Relayed Reports = iota // the other side's, and ours while that sends none
	Own                    // ours alone; the other side's is read and ended
	None                   // nothing
)

// Of takes one side of a negotiation, with the payload map from it to the
// other side.
func Of(side sdp.Side, pt [128]uint8) Negotiated {
	return Negotiated{
		ICE: liteOf(side.Checks),
		RTP: side.RTP, RTCP: side.RTCP, Fax: side.Fax, Mux: side.Mux,
		In: keysOf(side.In), Out: keysOf(side.Out), DTLS: dtlsOf(side.DTLS),
		PT: pt, Direction: side.Direction, Codecs: side.Codecs, Ptime: side.Ptime, Unbroken: side.Unbroken, Metrics: side.Metrics,
	}
}

func liteOf(c *sdp.Checks) *rtp.Lite {
	if c == nil {
		return nil
	}
	return &rtp.Lite{Ufrag: c.Own.Ufrag, Pwd: c.Own.Pwd, Remote: c.Remote.Ufrag}
}

func keysOf(k *sdp.Keys) *rtp.Keys {
	if k == nil {
		return nil
	}
	return &rtp.Keys{Suite: k.Suite, Master: k.Master, MKI: k.MKI}
}

// Media is the media of one call. Its methods are the call's goroutine's; the
// clerk only looks, and reports.
type Media struct {
	relay  *Relay       // RO
	ifaces [2]string    // RO
	ports  [2]*rtp.Port // RO
	voices [2]*voice    // RO; by the side that hears
	names  [2]string    // RO; what RTCP calls us towards each side
	watch  watcher
	file   file // the clerk's

	mu      sync.Mutex
	sides   [2]*Negotiated // mu; nil until Set
	keypads [2]*keypad     // mu; of the side that presses; nil = no events were agreed
	since   time.Time      // mu; of the last Set
	quality [2]quality     // mu; of what comes from and goes to a side
	faxes   *[2]*rtp.Port  // mu; nil = no side has asked for T.38
}

// Local is the RTP address to advertise to a side.
func (m *Media) Local(s Side) netip.AddrPort { return m.ports[s].Addr() }

// LocalRTCP is the RTCP address to advertise to a side.
func (m *Media) LocalRTCP(s Side) netip.AddrPort { return m.ports[s].RTCPAddr() }

// Set puts in force what a side negotiated; until both sides were Set nothing
// flows. Setting a side again, for a re-INVITE or for another fork, leaves the
// other side's address, latch and roll-over counters as they are; keys that
// come back go on where they stopped. On an error, a fault.Invalid, nothing has
// changed.
func (m *Media) Set(s Side, n Negotiated) error {
	if err := m.check(n); err != nil {
		return &fault.Error{Kind: fault.Invalid, Err: fmt.Errorf("set media of the %s: %w", s, err)}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sides[s], m.since = &n, time.Now()
	m.secure(s, &n)
	m.arrangeKeypad(Caller)
	m.arrangeKeypad(Callee)
	// The new keys before the new address: what leaves in between is noise to
	// the old far side rather than a stranger's key stream to the new one.
	err := errors.Join(m.publish(s), m.publish(s.Other()))
	rtcp := n.RTCP
	if n.Mux {
		rtcp = n.RTP
	}
	m.ports[s].Check(n.ICE)
	m.ports[s].Remote(n.RTP, rtcp)
	m.arrange(Caller)
	m.arrange(Callee)
	return errors.Join(err, m.arrangeFax())
}

func (m *Media) check(n Negotiated) error {
	if err := errors.Join(n.In.Check(), n.Out.Check()); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ports := m.ports[:]
	if m.faxes != nil {
		ports = slices.Concat(ports, m.faxes[:])
	}
	for _, p := range ports {
		for _, own := range [...]netip.AddrPort{p.Addr(), p.RTCPAddr()} {
			if n.RTP == own || n.RTCP == own || n.Fax == own {
				return fmt.Errorf("address %v is this call's own", own)
			}
		}
	}
	return nil
}

// publish makes the plan for what comes from a side. The caller holds mu.
func (m *Media) publish(from Side) error {
	n, to := m.sides[from], m.sides[from.Other()]
	if n == nil {
		return nil
	}
	plan := &rtp.Plan{PT: n.PT, In: n.In, InRTCP: n.inRTCP, Clock: n.clock(), Clocks: n.clocks()}
	if to != nil {
		plan.To, plan.Out, plan.OutRTCP = m.ports[from.Other()], to.Out, to.outRTCP
		plan.Hold = !n.Direction.Sends() || !to.Direction.Receives()
		plan.Ends = n.Recode || to.Reports != Relayed
		m.listen(plan, from)
	}
	return m.ports[from].Receive(plan)
}

// clocks are those of what the side may send beside that; nil when there are
// no others.
func (n *Negotiated) clocks() (m map[uint8]uint32) {
	usual := n.clock()
	for _, c := range n.Codecs {
		if rate := uint32(c.Rate); rate != usual {
			if m == nil {
				m = map[uint8]uint32{}
			}
			m[c.In&0x7f] = rate
		}
	}
	return m
}

// clock is that of the voice the side likes best.
func (n *Negotiated) clock() uint32 {
	for _, c := range n.Codecs {
		if !isEvents(c) && !isNoise(c) {
			return uint32(c.Rate)
		}
	}
	return 0
}

// Stats is what a side sent and was sent.
func (m *Media) Stats(s Side) rtp.Stats { return m.ports[s].Stats() }

// Silent tells which side has been silent longer, and for how long: nothing at
// all, neither RTP nor RTCP, has come from it, though by what was negotiated it
// is to send. 0 when neither has been, and when that cannot be told: on hold a
// side need not send, and who sends no RTCP then is as silent as one that is
// gone. A negotiation counts as a sign of life of both sides.
//
// Who is there sends speech, comfort noise, or at least RTCP every five seconds
// (RFC 3550 6.2). Silence of a minute and more is therefore reason to ask, by a
// request inside the dialog, whether the far side still knows the call: its BYE
// may have been lost. It is no proof: a muted phone that sends neither comfort
// noise nor RTCP is legal.
func (m *Media) Silent(now time.Time) (Side, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	caller, callee := m.silence(Caller, now), m.silence(Callee, now)
	if callee > caller {
		return Callee, callee
	}
	return Caller, caller
}

func (m *Media) silence(s Side, now time.Time) time.Duration {
	if m.sides[Caller] == nil || m.sides[Callee] == nil || !m.sides[s].Direction.Sends() {
		return 0
	}
	heard, stats := m.since, m.Stats(s)
	for _, at := range [...]time.Time{stats.Last, stats.LastRTCP} {
		if at.After(heard) {
			heard = at
		}
	}
	return max(0, now.Sub(heard))
}

// Close gives the ports back. Close twice is harmless.
func (m *Media) Close() {
	m.relay.clerk.leave(m)
	for _, v := range m.voices {
		v.close()
	}
	for _, p := range m.ports {
		p.Close()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.faxes != nil {
		for _, p := range m.faxes {
			p.Close()
		}
	}
}
