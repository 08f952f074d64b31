package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/interop"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
	"github.com/tandemgw/tandem/wire/ua"
)

const (
	// retryMin and retryMax bound the pause after a registrar that could not be
	// reached, refusedMin and refusedMax that after one that said no: some bar
	// an account for wrong passwords in a row.
	retryMin, retryMax     = 5 * time.Second, 5 * time.Minute
	refusedMin, refusedMax = time.Minute, 30 * time.Minute
	// refreshMin and refreshMax bound what half of a granted time may be.
	refreshMin, refreshMax = 5 * time.Second, 12 * time.Hour
	// expiresMax is the longest a registrar may make us ask for (RFC 3261
	// 20.23 lets it say 136 years).
	expiresMax = 7 * 24 * time.Hour
	// farewell is how long the end waits for a registrar.
	farewell = 2 * time.Second
	// maxRoutes bounds a Service-Route.
	maxRoutes = 8
)

var errRegistrarSilent = errors.New("no answer to REGISTER in " + patience.String())

// binding is a registration with one peer (RFC 3261 section 10): one goroutine
// keeps it up, and takes it back at the end.
type binding struct {
	name   string            // RO; of the peer
	config snapshot.Register // RO
	callID string            // RO; one for all its requests (10.2.4)
	prover *ua.Prover        // RO; nil: we have nothing to prove by

	leg  interop.Leg        // RO after start
	stop context.CancelFunc // RO after start
	done chan struct{}      // closed by run

	seq      uint32        // run
	asked    time.Duration // run; what we ask for, longer than configured after a 423
	last     sip.Target    // run; which address took us
	failures int           // run; in a row

	mu     sync.Mutex
	until  time.Time // mu; zero: never registered, or taken back
	why    string    // mu; the last failure in one sentence, "" after a success
	routes []string  // mu; Service-Route
}

func newBinding(m *member, prover *ua.Prover) *binding {
	return &binding{
		name: m.Name, config: *m.Login.Register, callID: sip.NewCallID(), prover: prover,
		asked: m.Login.Register.Expires, done: make(chan struct{}),
	}
}

// registerAll begins the registrations of a table, and ends those that are not
// in it. The caller holds s.mu.
func (s *Set) registerAll(t *table) {
	if s.stack.Load() == nil || s.ctx.Err() != nil || s.draining.Load() {
		return
	}
	var kept []*binding
	for _, m := range t.order {
		b := m.login.binding
		if b == nil {
			continue
		}
		kept = append(kept, b)
		if !slices.Contains(s.bindings, b) {
			ctx, stop := context.WithCancel(s.ctx)
			b.leg, b.stop = s.Leg(&m.Known), stop
			s.watch.Go(func() { s.keep(ctx, b) })
		}
	}
	for _, b := range s.bindings {
		if !slices.Contains(kept, b) {
			b.stop()
		}
	}
	s.bindings = kept
}

// linger lets a peer that goes answer while our registration with it is taken
// back.
func (st *standing) linger(now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.quiet = now
}

// unregisterAll takes all registrations back, and waits for it: not long, and
// for all at once.
func (s *Set) unregisterAll() {
	s.mu.Lock()
	bindings := s.bindings
	s.bindings = nil
	s.mu.Unlock()
	for _, b := range bindings {
		b.stop()
	}
	for _, b := range bindings {
		<-b.done
	}
}

// keep registers, and again before it ends, until ctx is done; then it takes
// the registration back.
func (s *Set) keep(ctx context.Context, b *binding) {
	defer close(b.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.withdraw(b)
			return
		case <-timer.C:
		}
		timer.Reset(s.refresh(ctx, b))
	}
}

// refresh registers with the first address that takes it, and tells when to
// come again.
func (s *Set) refresh(ctx context.Context, b *binding) time.Duration {
	targets, err := s.Resolve(ctx, b.name)
	if i := slices.IndexFunc(targets, b.took); i > 0 { // who has the binding is asked first
		targets[0], targets[i] = targets[i], targets[0]
	}
	if err == nil && len(targets) == 0 {
		err = errors.New("it has no address")
	}
	no := &refusal{why: fmt.Sprint(err)}
	for _, t := range targets {
		var granted time.Duration
		if granted, no = s.register(ctx, b, t); no == nil {
			return s.registered(b, t, granted)
		}
		if ctx.Err() != nil {
			return 0
		}
		if no.final {
			break
		}
	}
	if ctx.Err() != nil {
		return 0
	}
	return s.unregistered(b, no)
}

// refusal is why an address did not take a registration.
type refusal struct {
	why   string
	final bool          // another address of the same peer would say the same
	after time.Duration // as it asked
}

func (b *binding) took(t sip.Target) bool {
	return t.Addr == b.last.Addr && t.Transport == b.last.Transport
}

// register asks one address.
func (s *Set) register(ctx context.Context, b *binding, t sip.Target) (granted time.Duration, no *refusal) {
	known, _ := s.Find(b.name)
	for range 2 { // a 423 is obeyed once
		resp, unproven, err := s.send(ctx, b, b.asked, t)
		switch {
		case err != nil:
			return 0, &refusal{why: Explain(err, known)}
		case unproven != nil:
			return 0, &refusal{why: fmt.Sprintf("it answers REGISTER with %s: %s", phrase(resp), unproven), final: true}
		case resp.Status == 423 && b.lengthen(resp): // RFC 3261 10.2.8
			continue
		case resp.Status >= 300:
			return 0, refused(resp)
		}
		b.adopt(resp)
		b.last = t
		return b.granted(resp), nil
	}
	return 0, &refusal{why: "it refuses the very time of registration that it asked for itself (423)", final: true}
}

// send sends the next REGISTER; expires 0 takes the binding back.
func (s *Set) send(ctx context.Context, b *binding, expires time.Duration, to sip.Target) (resp *sip.Message, unproven, err error) {
	req := b.request(expires)
	resp, unproven, err = s.exchange(ctx, b.prover, req, to, errRegistrarSilent)
	if seq, bad := req.CSeq(); bad == nil {
		b.seq = seq.Seq // each proof took one more
	}
	return resp, unproven, err
}

// refused is a final response that is not a 2xx. Those that speak of the
// server and not of us leave hope for another one.
func refused(resp *sip.Message) *refusal {
	no := &refusal{why: "it answers REGISTER with " + phrase(resp), after: retryAfter(resp)}
	switch {
	case resp.Status == 408 || resp.Status == 480 || resp.Status >= 500 && resp.Status < 600:
		return no
	case resp.Status < 400:
		no.why += ": it wants us elsewhere; set the peer's address to that"
	case resp.Status == 403:
		no.why += ": check the name, the secret and the address of record"
	case resp.Status == 404:
		no.why += ": it does not know the address of record"
	}
	no.final = true
	return no
}

// retryAfter reads the header (RFC 3261 20.33), up to its comment or
// parameters.
func retryAfter(resp *sip.Message) time.Duration {
	digits, _, _ := strings.Cut(strings.NewReplacer("(", " ", ";", " ").Replace(resp.Get("Retry-After")), " ")
	return seconds(digits)
}

// seconds reads a delta-seconds, 0 when it is none.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// request writes the next REGISTER. Only our own contact is named: other nodes register the same address of record.
func (b *binding) request(expires time.Duration) *sip.Message {
	aor, _ := sip.ParseURI(b.config.AOR) // the configuration was checked
	registrar := sip.URI{Scheme: aor.Scheme, Host: aor.Host, Port: aor.Port}
	b.seq++
	m := sip.NewRequest("REGISTER", registrar.String())
	m.Add("From", "<"+b.config.AOR+">;tag="+sip.NewTag())
	m.Add("To", "<"+b.config.AOR+">")
	m.Add("Call-ID", b.callID)
	m.Add("CSeq", strconv.FormatUint(uint64(b.seq), 10)+" REGISTER")
	secs := strconv.FormatInt(int64(expires/time.Second), 10)
	m.Add("Contact", "<"+b.contact()+">;expires="+secs)
	m.Add("Expires", secs)
	m.Add("Allow", b.leg.Profile.Allow)
	m.Add("Supported", "path") // RFC 3327 5.1
	if b.leg.Product != "" {
		m.Add("User-Agent", b.leg.Product)
	}
	return m
}

// contact is where calls shall come to.
func (b *binding) contact() string {
	if b.config.Contact != "" {
		return b.config.Contact
	}
	aor, _ := sip.ParseURI(b.config.AOR)
	return "sip:" + aor.User + "@" + b.leg.Local + transportOf(b.leg.Transport)
}

// transportOf is the URI parameter; UDP is the default and goes unsaid.
func transportOf(t sip.Transport) string {
	if t == sip.UDP {
		return ""
	}
	return ";transport=" + strings.ToLower(t.String())
}

// lengthen takes the time that a 423 demands; false when it makes no sense.
func (b *binding) lengthen(resp *sip.Message) bool {
	least := seconds(resp.Get("Min-Expires"))
	if least <= b.asked || least > expiresMax {
		return false
	}
	b.asked = least
	return true
}

// granted is how long the registrar keeps us: what stands at our contact among
// those it lists, else in Expires, else what we asked for (RFC 3261 10.2.4).
func (b *binding) granted(resp *sip.Message) time.Duration {
	granted := b.asked
	if resp.Has("Expires") {
		granted = seconds(resp.Get("Expires"))
	}
	ours, _ := sip.ParseURI(b.contact())
	all, _ := resp.Addresses("Contact")
	for _, c := range all {
		if c.URI.User == ours.User && c.URI.Port == ours.Port && strings.EqualFold(c.URI.Host, ours.Host) {
			if e, ok := c.Params.Get("expires"); ok {
				granted = seconds(e)
			}
		}
	}
	return granted
}

// adopt takes the way that requests shall go from now on (RFC 3608 6.1). One
// through strict routers would need another Request-URI, and is left.
func (b *binding) adopt(resp *sip.Message) {
	var routes []string
	all, err := resp.Addresses("Service-Route")
	for _, r := range all {
		if _, loose := r.URI.Params.Get("lr"); !loose || len(all) > maxRoutes || err != nil {
			routes = nil
			break
		}
		routes = append(routes, r.Raw)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.routes = routes
}

func (b *binding) route() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.routes
}

// registered notes a success; the next one is due at half of what was granted,
// spread by a tenth so that not all of many nodes come at once.
func (s *Set) registered(b *binding, t sip.Target, granted time.Duration) time.Duration {
	if granted <= 0 {
		return s.unregistered(b, &refusal{why: "it accepts REGISTER and keeps it for no time at all: it does not take our Contact", final: true})
	}
	now := time.Now()
	b.failures = 0
	b.mu.Lock()
	news := b.why != "" || !now.Before(b.until)
	b.until, b.why = now.Add(granted), ""
	b.mu.Unlock()
	if news {
		s.cfg.Log.Info("registered", obs.KeyPeer, b.name, "aor", b.config.AOR, obs.KeyRemote, t.Addr, obs.KeyDuration, granted)
	}
	half := min(max(granted/2, refreshMin), refreshMax)
	return half - half/20 + rand.N(half/10+1)
}

// unregistered notes a failure, after which each pause is twice as long.
func (s *Set) unregistered(b *binding, no *refusal) time.Duration {
	b.failures++
	b.mu.Lock()
	news := b.why != no.why
	b.why = no.why
	b.mu.Unlock()
	if news {
		s.cfg.Log.Warn("not registered", obs.KeyPeer, b.name, "aor", b.config.AOR, obs.KeyCause, no.why)
	}
	low, high := retryMin, retryMax
	if no.final {
		low, high = refusedMin, refusedMax
	}
	pause := min(low<<min(b.failures-1, 10), high)
	pause = max(pause, min(no.after, refusedMax))
	return pause + rand.N(pause/4+1) // later, never earlier than it asked
}

// withdraw takes the registration back, so that no more calls come. Nobody
// waits long for the answer: it ends by itself in time.
func (s *Set) withdraw(b *binding) {
	b.mu.Lock()
	until := b.until
	b.until, b.routes = time.Time{}, nil
	b.why = "taken back"
	b.mu.Unlock()
	if !time.Now().Before(until) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	resp, unproven, err := s.send(ctx, b, 0, b.last)
	switch {
	case errors.Is(err, sip.ErrClosed):
	case err == nil && unproven == nil && resp.Status < 300:
		s.cfg.Log.Info("registration taken back", obs.KeyPeer, b.name, "aor", b.config.AOR)
	default:
		s.cfg.Log.Warn("registration was not taken back: it ends by itself", obs.KeyPeer, b.name, "aor", b.config.AOR, "until", until.UTC())
	}
}

// health is how the registration stands.
func (b *binding) health(now time.Time) *record.Registration {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &record.Registration{AOR: b.config.AOR, Why: b.why}
	if now.Before(b.until) {
		until := b.until
		r.Until = &until
	}
	return r
}
