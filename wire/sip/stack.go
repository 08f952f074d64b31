package sip

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxTransactions is the number of live transactions of each role
// (client and server) when StackConfig says none: 32 s of 1000 calls/s, three
// transactions each, at half a kilobyte, are 50 MB.
const DefaultMaxTransactions = 100_000

// Listener is one place where the stack receives, and from which it sends.
type Listener struct {
	Name      string
	Side      string // opaque label of the user's: "operator", "cloud"
	Transport Transport
	Bind      netip.AddrPort // port 0 picks one
	// Advertise is host[:port] for Via and Contact where it differs from the
	// bound address: 1:1 NAT, or an FQDN. Empty means the bound address.
	Advertise string
	// Certificate is asked at every TLS handshake, so a renewed one is used
	// at once; it is also what we present when dialling from this listener.
	Certificate func() (*tls.Certificate, error)
}

// Remote is who is at the far end: one per peer, long-lived, compared by
// pointer.
type Remote struct {
	Name   string
	Timers Timers
	TLS    TLSPolicy // until SetTLS replaces it
	Rate   Rate      // until SetRate replaces it

	limiter limiter
	held    atomic.Int64 // bytes of responses kept for it
	rate    atomic.Pointer[Rate]
	tls     atomic.Pointer[TLSPolicy]
}

// SetTLS replaces the policy for all handshakes to come. Connections that
// stand are left alone; Reconnect replaces them.
func (r *Remote) SetTLS(p TLSPolicy) { r.tls.Store(&p) }

func (r *Remote) policy() *TLSPolicy {
	if p := r.tls.Load(); p != nil {
		return p
	}
	return &r.TLS
}

// TLSPolicy is how connections with a peer are protected and what its
// certificate must show, on connections it opens and on those we open.
type TLSPolicy struct {
	// Names are the names one of which the certificate must carry. Empty
	// means Target.Host outbound, and any name under Roots inbound.
	Names      []string
	Roots      *x509.CertPool // nil: the system's
	MinVersion uint16         // tls.VersionTLS12 when less
	MaxVersion uint16         // 0: the newest
	Suites     []uint16       // of TLS 1.2; none: forward secret with GCM
	// Anonymous lets the peer open connections without a certificate: its
	// address alone tells who it is. On those we open it always shows one.
	Anonymous bool
	// Certificate is asked before that of the listener; nil: that one.
	Certificate func() (*tls.Certificate, error)
}

// Source is where a message came from.
type Source struct {
	Listener *Listener
	Addr     netip.AddrPort
	Remote   *Remote

	conn *stream // nil for UDP
}

// Target is where a request goes.
type Target struct {
	Listener  string // name of the listener it leaves from
	Transport Transport
	Addr      netip.AddrPort
	Host      string // TLS name and SNI; may be empty when Remote.TLS.Names is not
	Remote    *Remote
	// Via reuses the connection a message came on while it stands (RFC 5923);
	// the zero Source means our own connection to Addr.
	Via Source
}

// StackConfig is what a Stack is made of. Only Listeners and Admit are
// required.
type StackConfig struct {
	Listeners []Listener
	Network   Network // nil: OS
	// Admit is the allow-list: the remotes that may talk from src to l. None
	// means a stranger, who gets nothing at all: a datagram is dropped, a
	// connection closed before TLS. Among several, the certificate decides on
	// TLS; elsewhere the first one is meant. It is called for every datagram
	// and every message on a connection a peer has opened, and must be quick:
	// who is on the list no more is cut off at his next message.
	Admit func(l *Listener, src netip.Addr) []*Remote
	// Handle gets each new request (nil: all are answered 501); CANCEL and the ACK to a non-2xx are
	// handled inside. Like all callbacks it must not block: it runs on the
	// goroutine that reads the socket.
	Handle func(*ServerTx)
	// Passing tells requests that somebody here passes on by Forward (nil: none).
	// Loops and merged requests are then not ours to find.
	Passing func(*Message, Source) bool
	// Urgent tells requests that are let in whatever the rate of their peer:
	// emergency calls. Those to urn:service:sos are known without it (nil).
	Urgent func(*Message) bool
	// HandleAck gets each ACK to a 2xx, and those that fit no transaction.
	HandleAck func(*Message, Source)
	// HandleStray gets each response that matches no transaction: the 2xx of
	// a late fork, or of a call we no longer know.
	HandleStray func(*Message, Source)
	// Tap sees every message that goes in or out.
	Tap func(Tap)
	// Limits bound one message, Conns the connections.
	Limits Limits
	Conns  ConnLimits
	// MaxTransactions bounds the live transactions of either role; 0 means
	// DefaultMaxTransactions. Beyond it a new request is answered 503 without
	// state, and Request returns ErrTooMany. No peer may take more than three
	// quarters of those of the server.
	MaxTransactions int
	// Overloaded is asked about each request that begins something: whether
	// there is no time for it. Unless it is urgent it is then answered 503
	// without state, which costs a fraction of a transaction.
	Overloaded func(*Message) bool // nil: never
	Log        *slog.Logger        // nil: discarded
}

func (c ConnLimits) withDefaults() ConnLimits {
	c.Idle = cmp.Or(c.Idle, 15*time.Minute)
	c.Message = cmp.Or(c.Message, 10*time.Second)
	c.Handshake = cmp.Or(c.Handshake, 5*time.Second)
	c.Dial = cmp.Or(c.Dial, 3*time.Second)
	c.Handshakes = cmp.Or(c.Handshakes, 256)
	c.PerSource = cmp.Or(c.PerSource, 64)
	c.Queue = cmp.Or(c.Queue, 1<<20)
	c.Unacked = cmp.Or(c.Unacked, 10*time.Second)
	c.KeepAlive = cmp.Or(c.KeepAlive, 2*time.Minute)
	c.Pong = cmp.Or(c.Pong, 10*time.Second)
	return c
}

// ConnLimits bound what stream peers may hold and how long a dead connection
// goes unnoticed; zero fields mean the defaults named beside them.
type ConnLimits struct {
	Idle       time.Duration // a connection without traffic is closed: 15 min
	Message    time.Duration // from a message's first byte to its last: 10 s
	Handshake  time.Duration // TLS handshake, either direction: 5 s
	Dial       time.Duration // TCP connect: 3 s
	Handshakes int           // TLS handshakes under way at once, inbound: 256
	PerSource  int           // open inbound connections of one address: 64
	Queue      int           // bytes waiting to be written to one peer: 1 MiB
	Unacked    time.Duration // written bytes the peer's kernel leaves unacknowledged: 10 s; negative: the system's quarter of an hour
	KeepAlive  time.Duration // quiet on a connection of ours before we ping (RFC 5626 section 4.4.1): 2 min, less up to a fifth; negative: never
	Pong       time.Duration // a peer that answers pings owes this one's answer within: 10 s
}

// Tap is one message seen on the wire.
type Tap struct {
	Time          time.Time
	In            bool // received, else sent
	Listener      *Listener
	Local, Remote netip.AddrPort
	Peer          *Remote  // who; nil never
	Msg           *Message // not to be modified; nil when it could not be understood
	Raw           []byte   // not to be modified
}

// Event is what a client transaction has to tell: a response, or its end
// without one.
type Event struct {
	Msg *Message
	Err error // ErrTimeout, ErrClosed or *TransportError; nothing follows it
}

// The errors of transactions.
var (
	// ErrTimeout: no final response came in time (RFC 3261 timers B and F, or
	// 64*T1 after CANCEL).
	ErrTimeout = errors.New("no final response in time")
	// ErrNoAck: the ACK to our non-2xx response never came (timer H).
	ErrNoAck = errors.New("no ACK to the final response")
	// ErrNoResponse: the handler left a non-INVITE request unanswered until
	// its sender had given up (RFC 4320 section 4.1 forbids a 408 then), or an
	// INVITE, without a word, for longer than any telephone rings.
	ErrNoResponse = errors.New("request was left unanswered")
	// ErrClosed: the stack is closed.
	ErrClosed = errors.New("stack is closed")
	// ErrTooMany: the limit of live transactions is reached.
	ErrTooMany = errors.New("too many transactions")
	// ErrState: the transaction cannot send this response any more.
	ErrState = errors.New("response does not fit the state of the transaction")
)

// TransportError says that a message could not be brought to its target.
type TransportError struct {
	Op   string // "dial", "handshake", "write", "read"
	Addr netip.AddrPort
	Peer string // name of the remote
	Err  error
}

// Error is one sentence.
func (e *TransportError) Error() string {
	return e.Op + " " + e.Peer + " at " + e.Addr.String() + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// Stack is a SIP endpoint: listeners, connections and transactions.
//
// Each datagram socket has one reader (so that the order of messages is that
// of their arrival), each stream connection a reader and a writer;
// transactions have no goroutine, only timers. All callbacks of one
// transaction are serial and outside its lock.
type Stack struct {
	cfg       StackConfig          // RO
	limit     int                  // RO; live transactions of each role
	listeners map[string]*listener // RO
	start     time.Time            // RO; clock of the transactions
	slots     chan struct{}        // RO; inbound TLS handshakes under way
	closing   context.Context      // RO; ends with Close
	cancel    context.CancelFunc   // RO
	wg        sync.WaitGroup       // readers, writers, acceptors

	clients clientTable
	servers serverTable
	conns   connTable
	shares  shares
	facts   facts
	count   counts
	gripes  gripes
}

// NewStack opens the listeners and starts receiving.
func NewStack(cfg StackConfig) (*Stack, error) {
	s := &Stack{cfg: cfg, listeners: map[string]*listener{}, start: time.Now()}
	s.cfg.Conns = cfg.Conns.withDefaults()
	if s.cfg.Network == nil {
		s.cfg.Network = OS
	}
	if s.cfg.Log == nil {
		s.cfg.Log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.Admit == nil {
		return nil, errors.New("a stack without Admit would take in nobody")
	}
	if s.cfg.Handle == nil {
		s.cfg.Handle = func(tx *ServerTx) { _ = tx.Respond(NewResponse(tx.Request(), 501, "")) }
	}
	if s.limit = cfg.MaxTransactions; s.limit <= 0 {
		s.limit = DefaultMaxTransactions
	}
	s.slots = make(chan struct{}, s.cfg.Conns.Handshakes)
	s.closing, s.cancel = context.WithCancel(context.Background())
	s.clients.init()
	s.servers.init()
	s.conns.init()
	for i := range cfg.Listeners {
		if err := s.open(cfg.Listeners[i]); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	for _, l := range s.listeners {
		s.wg.Go(l.receive)
	}
	return s, nil
}

// Close ends all transactions with ErrClosed, lets the connections write for
// a second what they still hold, and waits for its goroutines: it must not be
// called from a callback.
func (s *Stack) Close() error {
	if s.closing.Err() != nil {
		s.wg.Wait()
		return nil
	}
	s.cancel()
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.close())
	}
	s.conns.shut()
	s.clients.each(func(tx *ClientTx) { tx.abort(ErrClosed) })
	s.servers.each(func(tx *ServerTx) { tx.abort(ErrClosed) })
	s.wg.Wait()
	return errors.Join(errs...)
}

// now is the clock of the transactions: 8 bytes where a time.Time has 24.
func (s *Stack) now() time.Duration { return time.Since(s.start) }

// Lag is how long datagrams lie in our sockets at present before they are
// read, as far as the kernel tells; those of the listener where it is longest.
func (s *Stack) Lag() (longest time.Duration) {
	now := s.now()
	for _, l := range s.listeners {
		if now-time.Duration(l.read.Load()) < lagStands {
			longest = max(longest, time.Duration(l.lag.Load()))
		}
	}
	return longest
}

// lagStands is how long what a datagram has shown holds when no other comes.
const lagStands = time.Second

// Request starts a client transaction: it adds the top Via and sends. req
// belongs to the stack from here on; Clone it to try another target. h is
// called serially and must not block; it gets every response (for INVITE also
// the 2xx of other forks and retransmitted 2xx, for 64*T1 after the first)
// or, once, an error. What fails on the way to the target comes as an Event;
// the error returned is about the arguments, ErrClosed or ErrTooMany.
func (s *Stack) Request(req *Message, to Target, h func(Event)) (*ClientTx, error) {
	return s.send(req, to, false, h)
}

// Forward is Request for who passes a request of another on (RFC 3261 section
// 16) and is not in its call: it may well come back, to somebody here who is.
func (s *Stack) Forward(req *Message, to Target, h func(Event)) (*ClientTx, error) {
	return s.send(req, to, true, h)
}

func (s *Stack) send(req *Message, to Target, passing bool, h func(Event)) (*ClientTx, error) {
	l, err := s.check(to)
	if err != nil {
		return nil, err
	}
	if s.clients.len() >= s.limit {
		s.count.drop(dropOverload)
		return nil, ErrTooMany
	}
	branch := NewBranch()
	req.Prepend("Via", l.via(branch))
	if err := req.Check(); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	f := s.flowTo(l, to)
	f.passing = passing
	return s.startClient(req, branch, f, h), nil
}

// Send sends m outside any transaction, as the ACK to a 2xx is; it adds the
// top Via to a request. Failures on the way are only counted and logged.
func (s *Stack) Send(m *Message, to Target) error {
	l, err := s.check(to)
	if err != nil {
		return err
	}
	if m.IsRequest() {
		m.Prepend("Via", l.via(NewBranch()))
	}
	f := s.flowTo(l, to)
	return f.send(m, wire(m))
}

func (s *Stack) check(to Target) (*listener, error) {
	l := s.listeners[to.Listener]
	switch {
	case s.closing.Err() != nil:
		return nil, ErrClosed
	case l == nil:
		return nil, fmt.Errorf("target names listener %q, which does not exist", to.Listener)
	case to.Transport != l.Transport:
		return nil, fmt.Errorf("target wants %v from listener %q, which speaks %v", to.Transport, to.Listener, l.Transport)
	case to.Remote == nil:
		return nil, fmt.Errorf("target %v names no remote", to.Addr)
	case !to.Addr.IsValid() || to.Addr.Port() == 0:
		return nil, fmt.Errorf("target of %s has no address", to.Remote.Name)
	case to.Addr.Addr().Unmap().Is4() != l.local.Addr().Is4():
		return nil, fmt.Errorf("target %v of %s is of another address family than listener %q at %v", to.Addr, to.Remote.Name, to.Listener, l.local)
	}
	return l, nil
}

// ContactHost is the host:port the listener advertises; "" when there is no
// such listener.
func (s *Stack) ContactHost(listener string) string {
	if l := s.listeners[listener]; l != nil {
		return l.sentBy
	}
	return ""
}

// Addr is the address the listener is bound to; the zero AddrPort when there
// is no such listener.
func (s *Stack) Addr(listener string) netip.AddrPort {
	if l := s.listeners[listener]; l != nil {
		return l.local
	}
	return netip.AddrPort{}
}
