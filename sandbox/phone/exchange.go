package phone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/wire/rtp"
	"github.com/tandemgw/tandem/wire/sip"
)

// Manner is what one kind of exchange does in its own way.
type Manner struct {
	Dialect Dialect
	Allow   string // methods answered, for Allow and for 405
	// OneDialog says that this side cannot cope with forks: one To tag per
	// INVITE.
	OneDialog bool
	// Finish makes a message of ours complete before it leaves by g: Contact
	// and the side's own headers. What it returns is sent. c is nil outside
	// of calls.
	Finish func(c *Call, g *Gate, m *sip.Message) *sip.Message
	// Judge sees every request first. A refusal is sent instead of handling
	// it; one without Status means that the request never arrived.
	Judge func(g *Gate, req *sip.Message, src sip.Source) *Refusal
	// Options answers an OPTIONS outside of calls.
	Options func(g *Gate, tx *sip.ServerTx)
	// Reason is the Reason header of a refusal for cause err, "" for none.
	Reason func(status int, err error) string
	// Leave chooses the gate by which in-dialog requests of a call leave that
	// came or went by g.
	Leave func(g *Gate) *Gate
	// Dial places a call as this side routes it.
	Dial func(ctx context.Context, spec CallSpec) (*Call, error)
	// LeastSession is the shortest session timer accepted; 90 s when zero.
	LeastSession time.Duration
	// Gap is the longest time without RTP in a call that is not on hold; a longer
	// one is noted. 0 notes none.
	Gap time.Duration
	// Sources says where this side's own rules stand; see Faults.
	Sources map[string]string
	// Strict says that this side drops a call whose description changed on the
	// way, as Microsoft does.
	Strict bool
	// Behave, when there is one, says how to take an INVITE that is not simply for
	// a number; false leaves it to the numbers.
	Behave func(invite *sip.Message) (Behaviour, bool)
	// Onward places the call that a forwarding (forwarded) or a second telephone
	// of a number wants. Only sides that have numbers with Forward or AlsoRing
	// need it.
	Onward func(c *Call, number string, forwarded bool, watch func(*Call, Progress)) (*Call, error)
	// Transfer refers the far side of a call to a number, as this side does it.
	Transfer func(ctx context.Context, c *Call, number string) (*Transfer, error)
	// Referred places the call that a REFER asks for; sides that do not list REFER
	// in Allow need none.
	Referred func(c *Call, refer *sip.Message, watch func(*Call, Progress)) (*Call, error)
	// Response sees the responses to our requests in calls, and gives what the
	// call is to see of them.
	Response func(c *Call, resp *sip.Message) *sip.Message
}

// Refusal is how a request is refused.
type Refusal struct {
	Status     int
	Reason     string        // Reason header, "" for none
	Phrase     string        // reason phrase, "" for the standard one
	RetryAfter time.Duration // Retry-After header, 0 for none
	Contact    string        // URI in Contact, "" for none
	Headers    []Header      // further ones
}

func (r Refusal) response(req *sip.Message) *sip.Message {
	resp := sip.NewResponse(req, r.Status, r.Phrase)
	if r.Reason != "" {
		resp.Set("Reason", r.Reason)
	}
	if r.RetryAfter > 0 {
		resp.Set("Retry-After", fmt.Sprint(int(r.RetryAfter.Seconds())))
	}
	if r.Contact != "" {
		resp.Set("Contact", "<"+r.Contact+">")
	}
	for _, h := range r.Headers {
		resp.Add(h.Name, h.Value)
	}
	return resp
}

// Config is what an Exchange is made of.
type Config struct {
	Name   string
	Gates  []sip.Listener // their names are those of the proxies or sites
	Remote *sip.Remote    // the gateway: trust and timers
	DNS    netip.AddrPort
	Media  netip.Addr // media ends listen here
	Ports  [2]uint16  // first and last media port
	// Clients is where devices with media bypass are; zero: there are none.
	Clients netip.Addr
	Manner  Manner
	Log     *slog.Logger // nil discards
}

// Exchange is a far side: numbers, calls, gates with faults, violations.
type Exchange struct {
	cfg      Config        // RO
	log      *slog.Logger  // RO
	resolver *sip.Resolver // RO
	engine   *rtp.Engine   // RO
	pacer    pacer
	lose     atomic.Uint64 // share of packets to lose, as bits of a float64
	gates    []*Gate       // RO after Open

	closing context.Context // RO
	cancel  context.CancelFunc
	wait    sync.WaitGroup

	mu         sync.Mutex
	numbers    map[string]Behaviour // mu
	dialogs    map[dialogKey]*Call  // mu
	calls      []*Call              // mu; the oldest first
	violations []Violation          // mu
	melody     uint64               // mu; seed of the next one
}

// dialogKey finds the call a request belongs to.
type dialogKey struct{ callID, tag string }

const (
	maxCalls      = 256  // kept for their facts, 1 MB each at the very most
	maxViolations = 1000 // beyond, the world is broken enough
)

// New makes an exchange without opening anything.
func New(cfg Config) *Exchange {
	x := &Exchange{
		cfg: cfg, log: cfg.Log, pacer: pacer{voices: map[*voice]struct{}{}},
		numbers: map[string]Behaviour{}, dialogs: map[dialogKey]*Call{},
	}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	x.closing, x.cancel = context.WithCancel(context.Background())
	return x
}

// Open opens the gates and the media engine.
func (x *Exchange) Open() (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open exchange %s: %w", x.cfg.Name, err), x.Close())
		}
	}()
	x.resolver, err = sip.NewResolver(sip.ResolverConfig{Servers: []string{x.cfg.DNS.String()}})
	if err != nil {
		return err
	}
	interfaces := []rtp.Interface{{Name: mediaName, Bind: x.cfg.Media, PortMin: x.cfg.Ports[0], PortMax: x.cfg.Ports[1]}}
	if x.cfg.Clients.IsValid() {
		interfaces = append(interfaces, rtp.Interface{Name: clientName, Bind: x.cfg.Clients, PortMin: x.cfg.Ports[0], PortMax: x.cfg.Ports[1]})
	}
	x.engine, err = rtp.New(rtp.Config{Threads: 1, Interfaces: interfaces})
	if err != nil {
		return err
	}
	x.wait.Go(func() { x.pacer.run(x.closing.Done()) })
	for _, l := range x.cfg.Gates {
		g, err := openGate(x, l, x.cfg.Remote, x.log)
		if err != nil {
			return err
		}
		x.gates = append(x.gates, g)
	}
	for _, g := range x.gates {
		close(g.ready)
	}
	return nil
}

const mediaName = "media"

// Close hangs up, and closes everything.
func (x *Exchange) Close() error {
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	calls := x.Calls()
	for _, c := range calls {
		c.HangUp()
	}
	for _, c := range calls {
		select {
		case <-c.Done():
		case <-patience.C:
			patience.Reset(0)
		}
	}
	x.mu.Lock()
	x.cancel() // under the lock: see start
	x.mu.Unlock()
	var errs []error
	for _, g := range x.gates {
		errs = append(errs, g.stack.Close())
	}
	x.wait.Wait()
	if x.engine != nil {
		errs = append(errs, x.engine.Close())
	}
	return errors.Join(errs...)
}

// Go runs f on a goroutine; ctx ends with the exchange, and f must end with it.
func (x *Exchange) Go(f func(ctx context.Context)) {
	x.mu.Lock() // no goroutine may begin once Close waits for all
	defer x.mu.Unlock()
	if x.closing.Err() == nil {
		x.wait.Go(func() { f(x.closing) })
	}
}

// Gates are the gates in the order of Config.
func (x *Exchange) Gates() []*Gate { return x.gates }

// Gate finds a gate by name; nil when there is none.
func (x *Exchange) Gate(name string) *Gate {
	if k := slices.IndexFunc(x.gates, func(g *Gate) bool { return g.Name == name }); k >= 0 {
		return x.gates[k]
	}
	return nil
}

// Resolve finds the places of a name.
func (x *Exchange) Resolve(ctx context.Context, h sip.Hop) ([]sip.Endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return x.resolver.Resolve(ctx, h)
}

// Answer sets how a number behaves; "" stands for every number that was not
// set. A number that nothing was said about answers 404.
func (x *Exchange) Answer(number string, b Behaviour) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.numbers[number] = b
}

// Behaviour is how a number was told to behave; false when nothing was said.
func (x *Exchange) Behaviour(number string) (Behaviour, bool) { return x.behaviour(number) }

func (x *Exchange) behaviour(number string) (Behaviour, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if b, ok := x.numbers[number]; ok {
		return b, true
	}
	b, ok := x.numbers[""]
	return b, ok
}

// Lose makes the share of the packets that this side sends get lost on the
// way, 0 to 1, in calls there are and calls to come.
func (x *Exchange) Lose(share float64) { x.lose.Store(math.Float64bits(share)) }

// Calls lists the calls, the oldest first; ended ones are kept for a while.
func (x *Exchange) Calls() []*Call {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.calls)
}

// SetFaults makes a site or proxy misbehave from now on.
func (x *Exchange) SetFaults(gate string, f Faults) error {
	g := x.Gate(gate)
	if g == nil {
		return fmt.Errorf("no proxy or site %q", gate)
	}
	g.misbehave(f)
	return nil
}

// Drop closes all connections of a site or proxy; new ones are accepted.
func (x *Exchange) Drop(gate string) error {
	g := x.Gate(gate)
	if g == nil {
		return fmt.Errorf("no proxy or site %q", gate)
	}
	g.net.drop()
	return nil
}

// Violations lists the rules the gateway broke, the oldest first.
func (x *Exchange) Violations() []Violation {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.violations)
}

// Violate notes a broken rule.
func (x *Exchange) Violate(rule, callID, format string, a ...any) {
	v := Violation{Time: time.Now(), Rule: rule, Message: fmt.Sprintf(format, a...), CallID: callID}
	x.log.Warn("rule broken by the gateway", "rule", rule, "message", v.Message, "call", callID)
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.violations) < maxViolations {
		x.violations = append(x.violations, v)
	}
}

// handle gives a request to whom it is for.
func (x *Exchange) handle(g *Gate, tx *sip.ServerTx) {
	req := tx.Request()
	if req == nil {
		return // it ended while we were slow
	}
	if r := x.cfg.Manner.Judge(g, req, tx.Source()); r != nil {
		if r.Status != 0 {
			x.refuse(g, tx, *r)
		}
		return
	}
	to, err := req.To()
	switch {
	case err != nil: // Check has seen to it that this cannot be
	case to.Tag() != "":
		if c := x.find(req, to.Tag()); c != nil {
			c.post(func() { c.request(g, tx) })
			return
		}
		x.refuse(g, tx, Refusal{Status: 481})
	case req.Method == "OPTIONS":
		if !g.Faults().NoOptions {
			x.cfg.Manner.Options(g, tx)
		}
	case req.Method == "INVITE":
		x.ring(g, tx)
	default:
		x.refuse(g, tx, Refusal{Status: 405})
	}
}

// ring begins the call that came in by g.
func (x *Exchange) ring(g *Gate, tx *sip.ServerTx) {
	if f := g.Faults(); f.Status != 0 {
		x.refuse(g, tx, Refusal{Status: f.Status, RetryAfter: f.RetryAfter})
		return
	}
	if x.cfg.Manner.Behave != nil {
		if b, ok := x.cfg.Manner.Behave(tx.Request()); ok {
			x.admit(g, tx, b)
			return
		}
	}
	uri, err := sip.ParseURI(tx.Request().RequestURI)
	if err != nil {
		x.refuse(g, tx, Refusal{Status: 416})
		return
	}
	b, ok := x.behaviour(uri.User)
	if !ok {
		x.refuse(g, tx, Refusal{Status: 404, Reason: x.cfg.Manner.Reason(404, nil)})
		return
	}
	x.admit(g, tx, b)
}

func (x *Exchange) admit(g *Gate, tx *sip.ServerTx, b Behaviour) {
	c := x.newCall(g)
	c.post(func() { c.incoming(tx, b) })
	c.start()
}

func (x *Exchange) refuse(g *Gate, tx *sip.ServerTx, r Refusal) {
	resp := r.response(tx.Request())
	resp.TagTo(sip.NewTag())
	if r.Status == 405 {
		resp.Set("Allow", x.cfg.Manner.Allow)
	}
	_ = tx.Respond(x.cfg.Manner.Finish(nil, g, resp)) // who is gone needs no answer
}

// ack gives an ACK to its call.
func (x *Exchange) ack(g *Gate, m *sip.Message, src sip.Source) {
	if !g.isReady() {
		return
	}
	to, err := m.To()
	if err != nil {
		return
	}
	if x.cfg.Manner.Judge(g, m, src) != nil {
		return // an ACK has no answer, but can get lost
	}
	if c := x.find(m, to.Tag()); c != nil {
		c.post(func() { c.acknowledged(m, to.Tag()) })
	}
}

// allows reports whether this side has a method.
func (x *Exchange) allows(method string) bool {
	return slices.Contains(slices.Collect(sip.List(x.cfg.Manner.Allow)), method)
}

func (x *Exchange) find(m *sip.Message, tag string) *Call {
	id, _ := m.CallID()
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.dialogs[dialogKey{id, tag}]
}

func (x *Exchange) register(c *Call, callID, tag string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	k := dialogKey{callID, tag}
	x.dialogs[k] = c
	c.keys = append(c.keys, k)
}

func (x *Exchange) forget(c *Call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, k := range c.keys {
		delete(x.dialogs, k)
	}
}

// keepCall lists the call and lets the oldest ended one go.
func (x *Exchange) keepCall(c *Call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.calls = append(x.calls, c)
	if len(x.calls) > maxCalls {
		if k := slices.IndexFunc(x.calls, (*Call).ended); k >= 0 {
			x.calls = slices.Delete(x.calls, k, k+1)
		}
	}
}

// seed is that of a new melody, another one for every call of every exchange.
func (x *Exchange) seed() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.melody++
	h := uint64(14695981039346656037) // FNV-1a of the name
	for _, b := range []byte(x.cfg.Name) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h + x.melody
}
