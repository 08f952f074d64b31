// Package ice plays the ICE of a client that sends its media itself: a whole
// agent (RFC 8445), always controlling, with one stream and one component, as a
// Teams client is to a gateway with media bypass.
//
// It is written from Microsoft's "Plan for media bypass" and the RFCs, and its
// messages are pion's, so that no mistake of the gateway's is made here too. An
// Agent has one goroutine, which owns all of it; start reading at Agent.run, and
// at Read for what is asked of a gateway's description.
package ice

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v3"
)

// Config is what New needs.
type Config struct {
	Socket netip.AddrPort                              // where the client is
	Relay  netip.AddrPort                              // its default candidate; nobody listens there
	Send   func(pkt []byte, to netip.AddrPort) error   // from the socket
	Broken func(rule, format string, arguments ...any) // a rule was broken by the far side
	// Changed is told that there is a valid pair now, or that it is lost. Neither
	// Broken nor Changed may call the agent.
	Changed func()
}

// State is how far an agent has come.
type State struct {
	Valid     bool `json:"valid"`     // a check was answered, and since then often enough
	Nominated bool `json:"nominated"` // and the pair was nominated
	Lost      bool `json:"lost"`      // it was valid, and is not any more
	Checks    int  `json:"checks"`    // sent
	Answers   int  `json:"answers"`   // of them answered
	Restarts  int  `json:"restarts"`
}

const (
	pace    = 50 * time.Millisecond // between checks until one is answered
	consent = 2 * time.Second       // between them afterwards (RFC 7675 would have 5 s)
	late    = 5 * time.Second       // without an answer: the far side does not do it
	// patience is how long a valid pair may go without: Teams was seen to end calls
	// after 25 s.
	patience = 20 * time.Second
)

// Agent is a client's.
type Agent struct {
	cfg    Config // RO
	orders chan func()
	mail   chan letter
	done   chan struct{}
	ended  chan struct{}
	once   sync.Once

	own, before Credentials // run; before: until the restart
	remote      Remote      // run
	sent        map[[stun.TransactionIDSize]byte]sentCheck
	nominate    bool      // run; it is to be
	since       time.Time // run; of the far side's description, or the last answer
	next        time.Time // run; when a check is due
	complained  bool      // run; that nothing is answered
	tie         [8]byte   // RO

	mu    sync.Mutex
	state State       // mu
	shown Credentials // mu; what descriptions tell
	peer  netip.AddrPort
}

type letter struct {
	pkt []byte
	src netip.AddrPort
}

type sentCheck struct {
	to        netip.AddrPort
	pwd       string
	own       Credentials
	nominates bool
	at        time.Time
}

// New makes an agent, which does nothing until Meet.
func New(cfg Config) *Agent {
	a := &Agent{
		cfg: cfg, orders: make(chan func(), 16), mail: make(chan letter, 64), done: make(chan struct{}), ended: make(chan struct{}),
		sent: map[[stun.TransactionIDSize]byte]sentCheck{}, shown: newCredentials(),
	}
	a.own = a.shown
	_, _ = rand.Read(a.tie[:]) // never fails
	go a.run()
	return a
}

func newCredentials() Credentials {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	text := base64.RawStdEncoding.EncodeToString(b[:])
	return Credentials{text[:4], text[4:28]}
}

// Close ends it.
func (a *Agent) Close() {
	a.once.Do(func() { close(a.done) })
	<-a.ended
}

// State is how far it has come.
func (a *Agent) State() State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// Attributes are its lines in a description, without "a=". The host candidate of
// a private network and the relayed one lead nowhere; the one that the far side
// hears of first is not among them when its checks come from behind a NAT. Once a
// pair is nominated offers name the far side's too (RFC 8839 4.2.2).
func (a *Agent) Attributes(offer bool) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	lines := []string{
		"rtcp-mux",
		"ice-ufrag:" + a.shown.Ufrag,
		"ice-pwd:" + a.shown.Pwd,
		"candidate:1 1 UDP 2130706431 10.62.7.4 50018 typ host",
		fmt.Sprintf("candidate:2 1 UDP 1694498815 %s %d typ srflx raddr 10.62.7.4 rport 50018", a.cfg.Socket.Addr(), a.cfg.Socket.Port()),
		fmt.Sprintf("candidate:3 1 UDP 16777215 %s %d typ relay raddr %s rport %d", a.cfg.Relay.Addr(), a.cfg.Relay.Port(), a.cfg.Socket.Addr(), a.cfg.Socket.Port()),
		"candidate:4 1 TCP-ACT 1684798463 10.62.7.4 50018 typ srflx raddr 10.62.7.4 rport 50018",
	}
	if offer && a.state.Nominated {
		lines = append(lines, fmt.Sprintf("remote-candidates:1 %s %d", a.peer.Addr(), a.peer.Port()))
	}
	return lines
}

// Restart changes what descriptions tell, for an ICE restart (RFC 8445 9). The
// pair there is goes on until the far side has answered.
func (a *Agent) Restart() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shown = newCredentials()
	a.state.Restarts++
}

// Meet takes what the far side says of itself, and checks it. The same again
// changes nothing.
func (a *Agent) Meet(r Remote) {
	a.order(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if r == a.remote && a.own == a.shown {
			return
		}
		a.remote, a.before, a.own = r, a.own, a.shown
		a.since, a.next, a.complained = time.Now(), time.Time{}, false
		a.state.Valid = a.state.Valid && a.peer == r.Candidate
		a.state.Nominated, a.peer = false, r.Candidate
	})
}

// Nominate has the agent nominate the pair, as soon as it is valid.
func (a *Agent) Nominate() { a.order(func() { a.nominate, a.next = true, time.Time{} }) }

func (a *Agent) order(f func()) {
	select {
	case a.orders <- f:
	case <-a.done:
	}
}

// Receive takes a packet that looks like STUN. It does not wait.
func (a *Agent) Receive(pkt []byte, src netip.AddrPort) {
	select {
	case a.mail <- letter{append([]byte(nil), pkt...), src}:
	default:
	}
}

func (a *Agent) run() {
	defer close(a.ended)
	tick := time.NewTicker(pace / 2)
	defer tick.Stop()
	for {
		select {
		case <-a.done:
			return
		case f := <-a.orders:
			f()
		case l := <-a.mail:
			a.receive(l)
		case now := <-tick.C:
			a.work(now)
		}
	}
}

// work sends the check that is due, and looks whether they are answered.
func (a *Agent) work(now time.Time) {
	if !a.remote.Candidate.IsValid() {
		return
	}
	state := a.State()
	switch quiet := now.Sub(a.since); {
	case !state.Valid && quiet > late && !a.complained:
		a.complained = true
		a.cfg.Broken("ice-check", "no check of the candidate %v was answered for %v", a.remote.Candidate, quiet.Round(time.Second))
	case state.Valid && quiet > patience && !a.complained:
		a.complained = true
		a.set(func(s *State) { s.Valid, s.Nominated, s.Lost = false, false, true })
		a.cfg.Broken("ice-check", "checks of the nominated candidate are not answered any more")
		a.cfg.Changed()
	}
	if now.Before(a.next) {
		return
	}
	nominates := a.nominate && state.Valid && !state.Nominated
	a.next = now.Add(pace)
	if state.Valid && !nominates && a.proven() {
		a.next = now.Add(consent)
	}
	a.check(now, nominates)
}

// proven: the far side's newest credentials have been answered to.
func (a *Agent) proven() bool { return a.before == Credentials{} }

func (a *Agent) set(f func(*State)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.state)
}

// check sends a Binding request (RFC 8445 7.2.2).
func (a *Agent) check(now time.Time, nominates bool) {
	var priority [4]byte
	binary.BigEndian.PutUint32(priority[:], 1862270975) // of a peer-reflexive candidate
	setters := []stun.Setter{
		stun.TransactionID, stun.BindingRequest,
		stun.NewUsername(a.remote.Ufrag + ":" + a.own.Ufrag),
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: a.tie[:]},
		stun.RawAttribute{Type: stun.AttrPriority, Value: priority[:]},
		// Attributes that only Microsoft's agents know; others are to ignore them.
		stun.RawAttribute{Type: 0x8070, Value: []byte{0, 0, 0, 2}},
		stun.RawAttribute{Type: 0x8054, Value: []byte("1\x00\x00\x00")},
	}
	if nominates {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(a.remote.Pwd), stun.Fingerprint)...)
	if err != nil {
		a.cfg.Broken("ice-check", "a check cannot be written: %v", err)
		return
	}
	for id, c := range a.sent {
		if now.Sub(c.at) > late {
			delete(a.sent, id)
		}
	}
	a.sent[m.TransactionID] = sentCheck{a.remote.Candidate, a.remote.Pwd, a.own, nominates, now}
	a.set(func(s *State) { s.Checks++ })
	_ = a.cfg.Send(m.Raw, a.remote.Candidate) // what is lost is sent again
}

// receive takes an answer; a check from a lite agent is a mistake.
func (a *Agent) receive(l letter) {
	m := &stun.Message{Raw: l.pkt}
	if err := m.Decode(); err != nil {
		a.cfg.Broken("ice-stun", "what looks like STUN cannot be read: %v", err)
		return
	}
	c, ours := a.sent[m.TransactionID]
	switch {
	case m.Type.Class == stun.ClassRequest:
		a.cfg.Broken("ice-lite", "a lite agent makes checks")
	case !ours:
		return // answered twice, or too late
	case m.Type != stun.BindingSuccess:
		a.cfg.Broken("ice-check", "a check is answered by %v", m.Type)
	default:
		delete(a.sent, m.TransactionID)
		if err := a.judge(m, c, l.src); err != nil {
			a.cfg.Broken("ice-stun", "%v", err)
			return
		}
		a.answered(c)
	}
}

// judge holds an answer against RFC 8445 7.2.5.2 and RFC 8489 9.1.4.
func (a *Agent) judge(m *stun.Message, c sentCheck, src netip.AddrPort) error {
	if err := stun.NewShortTermIntegrity(c.pwd).Check(m); err != nil {
		return fmt.Errorf("an answer that does not know the password: %w", err)
	}
	if err := stun.Fingerprint.Check(m); err != nil {
		return fmt.Errorf("an answer without a FINGERPRINT that fits: %w", err)
	}
	var mapped stun.XORMappedAddress
	if err := mapped.GetFrom(m); err != nil {
		return fmt.Errorf("an answer without XOR-MAPPED-ADDRESS: %w", err)
	}
	ip, _ := netip.AddrFromSlice(mapped.IP)
	switch at := netip.AddrPortFrom(ip.Unmap(), uint16(mapped.Port)); {
	case at != a.cfg.Socket:
		return fmt.Errorf("an answer that has seen us at %v", at)
	case src != c.to:
		return errors.New("an answer from another address than was checked")
	}
	return nil
}

// answered makes the pair valid, and nominated where the check has asked for it.
func (a *Agent) answered(c sentCheck) {
	if c.own != a.own || c.to != a.remote.Candidate {
		return // of before a restart
	}
	a.since, a.before = time.Now(), Credentials{}
	state := a.State()
	fresh := !state.Valid
	a.set(func(s *State) {
		s.Answers++
		s.Valid = true
		s.Nominated = s.Nominated || c.nominates
	})
	if fresh {
		a.next = time.Time{}
	}
	if fresh || c.nominates && !state.Nominated {
		a.cfg.Changed()
	}
}
