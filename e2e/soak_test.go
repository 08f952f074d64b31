package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/carrier"
	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

// soakFor is how long TestSoak lasts without TANDEM_SOAK. make soak says 10m.
const soakFor = 20 * time.Second

// TestSoak lets a node of its own process carry calls of every kind, both ways,
// in bad weather, and looks for what grows: memory, goroutines, files, ports,
// transactions, dialogs, records that nobody closes.
func TestSoak(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the soak is left out by -short")
	}
	lasts := soakFor
	if v := os.Getenv("TANDEM_SOAK"); v != "" {
		var err error
		if lasts, err = time.ParseDuration(v); err != nil {
			t.Fatalf("TANDEM_SOAK: %v", err)
		}
	}
	s := newSoak(t, lasts)
	warm := max(4*time.Second, min(lasts/5, time.Minute))
	s.run(warm)
	// In a short one the transactions of the warm-up may linger.
	before := s.settle("after the first "+warm.String(), lasts >= time.Minute)
	s.run(lasts)
	after := s.settle("after another "+lasts.String(), true)
	s.compare(before, after)
	s.judge()
}

// soak is a node in a process of its own between a Teams and a core of two
// sites.
type soak struct {
	*world
	core *carrier.Core
	node *program

	mu     sync.Mutex
	placed int            // mu; calls
	byKind map[string]int // mu
	odd    []string       // mu; calls that did not go as their kind does
	heard  int            // mu; calls whose audio was compared, both ways
	deaf   []string       // mu; those of them that failed
}

const (
	soakEvery   = 200 * time.Millisecond // between two calls
	soakOptions = 10 * time.Second       // their transactions over UDP linger for 32 s
	soakTalk    = 3 * time.Second
)

func newSoak(t *testing.T, lasts time.Duration) *soak {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*lasts+5*time.Minute)
	t.Cleanup(cancel)
	s := &soak{
		world:  &world{setup: setup{transport: "udp", codecs: "PCMA, PCMU", sites: 2}, t: t, ctx: ctx, log: &tail{}},
		byKind: map[string]int{},
	}
	stalls.watch(t)
	s.surround()
	s.core = s.startCarrier(soakOptions)
	for i, k := range soakKinds {
		s.teams.Answer(userOf(i), k.does)
		s.core.Answer(subscriberOf(i), k.does)
	}
	s.startChild()
	return s
}

// surround starts what stands around a node whose core is the sandbox's too.
func (w *world) surround() {
	w.t.Helper()
	w.dir = shortDir(w.t)
	w.findNet()
	var err error
	if w.authority, err = authority.New("Tandem e2e"); err != nil {
		w.t.Fatal(err)
	}
	if w.dns, err = dns.Start(netip.AddrPortFrom(w.v4(hostDNS), portDNS)); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.dns.Close() })
	w.dns.SetHost(gatewayName, time.Minute, w.gatewayCloud().Addr())
	w.dns.SetHost(coreSide, time.Minute, w.gatewayCore().Addr())
	w.dns.SetSRV("_sip._udp."+coreSide, time.Minute, dns.SRV{Priority: 1, Weight: 1, Port: w.gatewayCore().Port(), Target: coreSide})
	w.startTeams()
}

// startCarrier starts the sandbox's core of two sites.
func (w *world) startCarrier(options time.Duration) *carrier.Core {
	w.t.Helper()
	core, err := carrier.Start(w.ctx, carrier.Config{
		Domain: "core.e2e.example", DNS: w.dns, Regions: []string{coreSide},
		Sites: []carrier.Site{
			{Name: "a", Bind: w.site(0), Transport: sip.UDP, Near: coreSide},
			{Name: "b", Bind: w.site(1), Transport: sip.UDP, Near: coreSide},
		},
		Media: w.site(0).Addr(), Ports: [2]uint16{40000, 41999}, Options: options,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = core.Close() })
	return core
}

// startChild builds the program and runs it as an operator would.
func (s *soak) startChild() {
	s.t.Helper()
	bin := filepath.Join(s.dir, "tandem")
	if out, err := exec.CommandContext(s.ctx, "go", "build", "-o", bin, "../cmd/tandem").CombinedOutput(); err != nil {
		s.t.Fatalf("build the program: %v\n%s", err, out)
	}
	if _, err := s.authority.Write(s.dir, "sip", s.issue(gatewayName, "*."+gatewayName, coreSide)); err != nil {
		s.t.Fatal(err)
	}
	facts := s.facts()
	facts.Options = soakOptions
	var text strings.Builder
	if err := nodeConfig.Execute(&text, facts); err != nil {
		s.t.Fatal(err)
	}
	s.write("tandem.yaml", []byte(text.String()))
	s.node = s.start(bin, "serve", "-c", filepath.Join(s.dir, "tandem.yaml"))
	s.log = s.node.out
	s.world.node = ops.Dial(filepath.Join(s.dir, "data", "control.sock"))
	s.t.Cleanup(s.explain)
	s.until(20*time.Second, func() string {
		if h, err := s.world.node.Health(s.ctx); err != nil || h.State != ops.Ready {
			return fmt.Sprintf("the node is %s: %v", h.State, err)
		}
		return ""
	})
	s.teamsReady()
	s.peerUp("site-0", "site-1")
}

// kind is one kind of call.
type kind struct {
	name     string
	does     phone.Behaviour // of who is called
	spec     phone.CallSpec  // of who calls
	coreOnly bool            // Teams does not do this
	unknown  bool            // the number called is nobody's
	status   int             // final status; 0: answered
	listen   bool            // nothing but talk: the audio can be compared
}

var soakKinds = []kind{
	{name: "talk", spec: phone.CallSpec{Duration: soakTalk}, listen: true},
	{name: "hung up by the called", does: phone.Behaviour{Ring: 300 * time.Millisecond, HangUp: soakTalk}, listen: true},
	{name: "early media", does: phone.Behaviour{EarlyMedia: true, Ring: time.Second}, spec: phone.CallSpec{Duration: 2 * time.Second}},
	{name: "busy", does: phone.Behaviour{Ring: 200 * time.Millisecond, Status: 486}, status: 486},
	{name: "cancelled while ringing", does: phone.Behaviour{NoAnswer: true}, spec: phone.CallSpec{Patience: 700 * time.Millisecond}, status: 487},
	{name: "cancelled at once", does: phone.Behaviour{NoAnswer: true}, spec: phone.CallSpec{Patience: time.Millisecond}, status: 487},
	{name: "not answered", does: phone.Behaviour{NoAnswer: true, EarlyMedia: true}, spec: phone.CallSpec{Patience: 5 * time.Second}, status: 487},
	{name: "hold and resume", does: phone.Behaviour{Hold: time.Second, Resume: time.Second}, spec: phone.CallSpec{Duration: 4 * time.Second}},
	{name: "refreshed by the caller", spec: phone.CallSpec{Duration: soakTalk, Refresh: time.Second}},
	{name: "refreshed by the called", does: phone.Behaviour{Refresh: time.Second}, spec: phone.CallSpec{Duration: soakTalk}},
	{name: "refreshed by both", does: phone.Behaviour{Refresh: time.Second}, spec: phone.CallSpec{Duration: soakTalk, Refresh: time.Second}},
	{name: "digits", does: phone.Behaviour{Digits: "42#"}, spec: phone.CallSpec{Duration: soakTalk, Digits: "12"}},
	{name: "late offer", spec: phone.CallSpec{Duration: 2 * time.Second, LateSDP: true}, coreOnly: true},
	{name: "forks, two of which answer", does: phone.Behaviour{Forks: 3, Winner: 1, LateOK: true, Ring: 200 * time.Millisecond}, spec: phone.CallSpec{Duration: 2 * time.Second}, coreOnly: true},
	{name: "wrong number", unknown: true, status: 404},
	{name: "hung up by the called at once", does: phone.Behaviour{HangUp: time.Millisecond}},
}

func userOf(kind int) string       { return fmt.Sprintf("+1425555%04d", 200+kind) }
func subscriberOf(kind int) string { return fmt.Sprintf("+44207946%04d", 200+kind) }

// run places calls for a while, in bad weather, and waits for their ends.
func (s *soak) run(lasts time.Duration) {
	s.t.Helper()
	end := time.After(lasts)
	storm, calm := context.WithCancel(s.ctx)
	var calls sync.WaitGroup
	calls.Go(func() { s.weather(storm) })
	tick := time.NewTicker(soakEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n := s.next()
			calls.Go(func() { s.call(n) })
			continue
		case <-end:
		case <-s.node.exited:
			s.t.Error("the node has ended")
		}
		calm()
		calls.Wait()
		return
	}
}

func (s *soak) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.placed++
	return s.placed
}

// weather breaks something each second and repairs it a second later.
func (s *soak) weather(ctx context.Context) {
	away := phone.Faults{Status: 503, RetryAfter: time.Second}
	storms := []func(on bool){
		func(on bool) {
			if on {
				_ = s.teams.Drop("sip")
			}
		},
		func(on bool) { _ = s.teams.SetFaults("sip", map[bool]phone.Faults{true: away}[on]) },
		func(on bool) { _ = s.core.SetFaults("a", map[bool]phone.Faults{true: away}[on]) },
		func(on bool) {
			if on {
				_ = s.teams.Drop("sip2")
				_ = s.teams.Drop("sip3")
			}
		},
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; i++ {
		storm := storms[i%len(storms)]
		storm(true)
		select {
		case <-tick.C:
			storm(false)
		case <-ctx.Done():
			storm(false)
			return
		}
	}
}

// call places the n-th call, waits for its end and judges it.
func (s *soak) call(n int) {
	i := n / 2 % len(soakKinds)
	k := soakKinds[i]
	fromTeams := n%2 == 0 && !k.coreOnly
	spec := k.spec
	spec.From, spec.To = fmt.Sprintf("+4420794%05d", n%100_000), userOf(i)
	to, dial := s.teams.Exchange, s.core.Dial
	if fromTeams {
		spec.From, spec.To = fmt.Sprintf("+142555%05d", n%100_000), subscriberOf(i)
		to, dial = s.core.Exchange, s.teams.Dial
	}
	if k.unknown {
		spec.To += "99"
	}
	c, err := dial(s.ctx, spec)
	if err != nil {
		s.note(k, "not placed: "+err.Error())
		return
	}
	select {
	case <-c.Done():
	case <-time.After(time.Minute):
		s.note(k, "has not ended in a minute")
		c.HangUp()
		return
	}
	f := c.Brief()
	s.note(k, k.differs(f))
	if k.listen && !f.Answered.IsZero() {
		s.listen(c.Facts(), to)
	}
}

// differs tells how a call went otherwise than its kind does, "" when it did
// not.
func (k kind) differs(f phone.Facts) string {
	switch {
	case k.status == 0 && f.Answered.IsZero():
		return fmt.Sprintf("%s to %s was not answered: %d %s %s", f.From, f.To, f.Status, f.Reason, f.Error)
	case k.status != 0 && f.Status != k.status:
		return fmt.Sprintf("%s to %s ended with %d, not %d: %s %s", f.From, f.To, f.Status, k.status, f.Reason, f.Error)
	}
	return ""
}

func (s *soak) note(k kind, odd string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKind[k.name]++
	if odd != "" {
		s.odd = append(s.odd, k.name+": "+odd)
	}
}

// listen compares what the two sides of a call said with what they heard.
func (s *soak) listen(caller phone.Facts, at *phone.Exchange) {
	var callee *phone.Call
	for _, c := range at.Calls() {
		if f := c.Brief(); !f.Outbound && !f.Answered.IsZero() && strings.HasSuffix(f.From, caller.From[len(caller.From)-5:]) {
			callee = c
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard++
	if callee == nil {
		s.deaf = append(s.deaf, caller.From+": the called side knows nothing of it")
		return
	}
	far := callee.Facts()
	for _, way := range []struct {
		name        string
		mouth, ears audio.Track
	}{{"the caller", caller.Sent, far.Heard}, {"the called", far.Sent, caller.Heard}} {
		if r := audio.Compare(way.mouth, way.ears); !r.Same || r.Loss > 2*lossAllowed() {
			s.deaf = append(s.deaf, fmt.Sprintf("%s: %s was not heard: %+v", caller.From, way.name, r))
		}
	}
}

// figures are what a node holds.
type figures map[string]float64

// settle waits until nothing of the calls is left, and reads what the node
// holds then.
func (s *soak) settle(when string, transactions bool) figures {
	s.t.Helper()
	var f figures
	// INVITE transactions over UDP stay for 64*T1 = 32 s (RFC 6026).
	s.until(50*time.Second, func() string {
		f = s.figures()
		left := ""
		for _, name := range []string{`tandem_calls_live`, `tandem_call_dialogs`, `tandem_media_ports{state="open"}`, `tandem_media_ports{state="quarantined"}`, "tandem_records_waiting"} {
			if f[name] != 0 {
				left += fmt.Sprintf("%s is %g; ", name, f[name])
			}
		}
		for name, v := range f {
			if strings.HasPrefix(name, "tandem_peer_calls_live") && v != 0 {
				left += fmt.Sprintf("%s is %g; ", name, v)
			}
		}
		// Those of OPTIONS are always there: both sites' within 32 s, and ours.
		if tx := f[`tandem_sip_transactions{role="server"}`] + f[`tandem_sip_transactions{role="client"}`]; transactions && tx > 16 {
			left += fmt.Sprintf("%g transactions; ", tx)
		}
		return left
	})
	f = s.collected()
	s.t.Logf("%s: %d calls, %.1f MB heap of which traces %.1f MB, %g goroutines, %g files, %g connections, %g transactions, %.1f MB resident", when, s.placed,
		f["go_memstats_heap_alloc_bytes"]/1e6, f["tandem_call_traces_bytes"]/1e6, f["go_goroutines"], f["process_open_fds"], f["tandem_sip_connections"],
		f[`tandem_sip_transactions{role="server"}`]+f[`tandem_sip_transactions{role="client"}`], f["process_resident_memory_bytes"]/1e6)
	return f
}

// collected reads the figures just after a collection of garbage; reading them
// makes enough of it.
func (s *soak) collected() figures {
	s.t.Helper()
	first := s.figures()
	least := first
	for range 2000 {
		f := s.figures()
		if f["go_memstats_heap_alloc_bytes"] < least["go_memstats_heap_alloc_bytes"] {
			least = f
		}
		if f["go_gc_duration_seconds_count"] >= first["go_gc_duration_seconds_count"]+4 {
			break
		}
	}
	return least
}

func (s *soak) figures() figures {
	s.t.Helper()
	resp, err := http.Get("http://" + s.facts().Metrics.String() + "/metrics")
	if err != nil {
		s.t.Fatalf("the node's metrics: %v\n%s", err, s.log)
	}
	defer resp.Body.Close()
	f := figures{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if at := strings.LastIndexByte(lines.Text(), ' '); at > 0 {
			if v, err := strconv.ParseFloat(lines.Text()[at+1:], 64); err == nil {
				f[lines.Text()[:at]] = v
			}
		}
	}
	return f
}

// compare fails the test when something has grown.
func (s *soak) compare(before, after figures) {
	s.t.Helper()
	grown := func(name string) float64 { return after[name] - before[name] }
	conns := max(0, grown("tandem_sip_connections"))
	for _, c := range []struct {
		name, why  string
		may, grown float64
	}{
		{"heap", "beyond what the traces hold", 4e6, grown("go_memstats_heap_alloc_bytes") - 1.3*grown("tandem_call_traces_bytes")},
		{"goroutines", "beyond those of connections", 8, grown("go_goroutines") - 3*conns},
		{"files", "beyond those of connections", 2, grown("process_open_fds") - conns},
		{"connections", "", 6, conns},
		{"panics", "", 0, after["tandem_call_panics_total"]},
		{"refused records", "", 0, after["tandem_records_refused_total"]},
	} {
		if c.grown > c.may {
			s.t.Errorf("%s: grew by %g %s, may by %g", c.name, c.grown, c.why, c.may)
		}
	}
}

// count counts the node's records, page by page, and those that are open.
func (s *soak) count() (all, open int) {
	s.t.Helper()
	seen := map[string]bool{}
	filter := record.Filter{Limit: 5000}
	for {
		past, err := s.world.node.Past(s.ctx, filter)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, r := range past {
			if !seen[r.ID] && r.Ended == nil {
				open++
			}
			seen[r.ID] = true
		}
		if len(past) < filter.Limit {
			return len(seen), open
		}
		filter.Until = past[len(past)-1].Began.Add(time.Millisecond) // not to miss those of the same moment
	}
}

// judge looks at the calls themselves.
func (s *soak) judge() {
	s.t.Helper()
	records, open := s.count()
	s.t.Logf("%d calls, %d records; audio of %d compared both ways; by kind: %v", s.placed, records, s.heard, s.byKind)
	if open > 0 || records < s.placed-s.byKind["cancelled at once"] {
		s.t.Errorf("%d records of %d calls, %d of them open", records, s.placed, open)
	}
	s.rules()
	// A connection that is dropped takes with it what was on the way.
	if len(s.odd) > s.placed/100+1 {
		s.t.Errorf("%d of %d calls did not go as they should:\n%s", len(s.odd), s.placed, strings.Join(s.odd, "\n"))
	} else if len(s.odd) > 0 {
		s.t.Logf("odd: %s", strings.Join(s.odd, "\n"))
	}
	if s.heard == 0 || len(s.deaf) > s.heard/20 {
		s.t.Errorf("of %d calls that were listened to, %d failed:\n%s", s.heard, len(s.deaf), strings.Join(s.deaf, "\n"))
	}
}

// crossed are rules that a far side finds broken when the end of a call crosses
// its wish; when a dropped connection takes a BYE with it, or a request comes
// again by another proxy since it has had no answer by the first; and when the
// stack is too busy to make a transaction of an INVITE: what refuses it knows
// nothing of Teams. They count as calls that went otherwise, which may be few.
var crossed = map[string]string{"hold": "487 481 500", "resume": "487 481 500", "refresh": "487 481 500", "cseq": "BYE:", "late-2xx": "on:", "x-ms-sbc": "503"}

// rules looks for rules of Teams that the node broke.
func (s *soak) rules() {
	s.t.Helper()
	for _, v := range s.teams.Violations() {
		what := fmt.Sprintf("%s: %s (%s)", v.Rule, v.Message, v.CallID)
		if slices.ContainsFunc(strings.Fields(crossed[v.Rule]), func(sign string) bool { return strings.Contains(v.Message, sign) }) {
			s.odd = append(s.odd, what)
			continue
		}
		s.t.Errorf("the gateway broke a rule of Teams: %s", what)
	}
}
