package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/tandemgw/tandem/app"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/sandbox/audio"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/carrier"
	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sip"
)

// Who stands around a besieged node, beside those of world.
const (
	hostWild   = 43 // a peer of the core's side, admitted over UDP and TCP, gone wild
	hostA      = 44 // an admitted TLS peer
	hostB      = 45 // another one
	hostThird  = 77 // somebody who must never hear from us
	coreName   = "r1.e2e.example"
	wildNumber = "+442079460666"
	busy       = "+14255550199"
)

// siege is a node with calls in progress, between the sandbox's Teams and its
// carrier, and room for attackers.
type siege struct {
	*world
	core  *carrier.Core
	app   *app.Node
	lines *lineCount
	pid   int // of the node when it is a process of its own
}

// besiege starts the node and the far sides that behave.
func besiege(t *testing.T) *siege {
	t.Helper()
	if testing.Short() {
		t.Skip("sieges are left out by -short")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	w := &world{setup: setup{transport: "udp", codecs: "PCMA, PCMU", sites: 1}, t: t, ctx: ctx, log: &tail{}}
	w.dir = shortDir(t)
	w.findNet()
	var err error
	if w.authority, err = authority.New("Tandem siege"); err != nil {
		t.Fatal(err)
	}
	if w.dns, err = dns.Start(netip.AddrPortFrom(w.v4(hostDNS), portDNS)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.dns.Close() })
	w.dns.SetHost(gatewayName, time.Minute, w.gatewayCloud().Addr())
	w.dns.SetHost(coreName, time.Minute, w.gatewayCore().Addr())
	w.dns.SetSRV("_sip._udp."+coreName, time.Minute, dns.SRV{Priority: 1, Weight: 1, Port: w.gatewayCore().Port(), Target: coreName})
	w.startTeams()
	s := &siege{world: w, lines: &lineCount{}}
	s.startCore()
	s.writeConfig()
	return s
}

func (s *siege) startCore() {
	var err error
	s.core, err = carrier.Start(s.ctx, carrier.Config{
		Domain: "core.example", DNS: s.dns, Regions: []string{coreName},
		Sites: []carrier.Site{{Name: "a", Bind: s.site(0), Transport: sip.UDP, Near: coreName}},
		Media: s.site(0).Addr(), Ports: [2]uint16{40000, 40999}, Options: optionsInterval,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.core.Close() })
	s.core.Answer(subscriber, phone.Behaviour{})
	s.teams.Answer(user, phone.Behaviour{})
	// Who is flooded with calls need not compose a melody for each.
	hush := make([]int16, audio.Frame)
	s.teams.Answer("", phone.Behaviour{Status: 404, NoRinging: true, Send: hush})
	s.teams.Answer(busy, phone.Behaviour{Status: 486, NoRinging: true, Send: hush})
}

// writeConfig writes the node's configuration.
func (s *siege) writeConfig() {
	s.t.Helper()
	for stem, names := range map[string][]string{"sip": {gatewayName, "*." + gatewayName}, "core": {coreName}} {
		if _, err := s.authority.Write(s.dir, stem, s.issue(names...)); err != nil {
			s.t.Fatal(err)
		}
	}
	var names, proxies []string
	for i, n := range []string{"sip", "sip2", "sip3"} {
		names = append(names, n+"."+teamsDomain)
		proxies = append(proxies, fmt.Sprintf("%s.%s:%d", n, teamsDomain, s.proxy(i).Port()))
	}
	var text strings.Builder
	err := siegeConfig.Execute(&text, map[string]any{
		"Domain": gatewayName, "CoreName": coreName, "Site": s.site(0),
		"Cloud": s.gatewayCloud(), "Core": s.gatewayCore(), "DNS": s.dns.Addr(),
		"TeamsNet": netip.PrefixFrom(s.v4(hostProxy), 29).Masked(),
		"Wild":     s.v4(hostWild), "A": s.v4(hostA), "B": s.v4(hostB),
		"Proxies": strings.Join(proxies, `", "`), "Names": strings.Join(names, `", "`),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.file(), []byte(text.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *siege) file() string { return filepath.Join(s.dir, "tandem.yaml") }

// inProcess runs the node in this process.
func (s *siege) inProcess() {
	s.t.Helper()
	cfg, err := app.LoadConfig(s.file())
	if err != nil {
		s.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(s.lines, &slog.HandlerOptions{Level: slog.LevelInfo}))
	if s.app, err = app.New(cfg, log, "e2e"); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.app.Close)
	s.node = ops.Dial(cfg.Node.Socket())
	s.ready()
}

// ready waits until calls can go both ways.
func (s *siege) ready() {
	s.t.Helper()
	s.teamsReady()
	s.peerUp("site-0")
}

var siegeConfig = template.Must(template.New("siege.yaml").Parse(`# Written by the tests.
node:
  name: siege
  region: r1
  data: data
  drain: 1s
sip:
  domain: {{.Domain}}
  listeners:
    - {name: cloud, side: cloud, transport: tls, bind: "{{.Cloud}}", advertise: "{{.Domain}}:{{.Cloud.Port}}", certificate: {chain: sip.pem, key: sip.key}}
    - {name: core, side: operator, transport: udp, bind: "{{.Core}}"}
    - {name: coretcp, side: operator, transport: tcp, bind: "{{.Core}}"}
    - {name: coretls, side: operator, transport: tls, bind: "{{.Core.Addr}}:5061", advertise: "{{.CoreName}}:5061", certificate: {chain: core.pem, key: core.key}}
  roots: root.pem
  dns: ["{{.DNS}}"]
  options: 1s
media:
  interfaces:
    - {side: cloud, bind: "{{.Cloud.Addr}}", ports: 30000-30999}
    - {side: operator, bind: "{{.Core.Addr}}", ports: 31000-31999}
  quarantine: 100ms
services:
  teams:
    proxies: ["{{.Proxies}}"]
    sources: ["{{.TeamsNet}}"]
    media: ["{{.TeamsNet}}"]
    names: ["{{.Names}}"]
gateway:
  name: siege
  location: r1
  sku: {name: lab}
  properties:
    connectivity: PublicAddress
    codecs: [PCMA, PCMU]
    e911Type: Standard
    platforms: [OperatorConnect]
    operatorPeerGroupConfigScheme: UseOperatorPeerGroupConfig
    peerGroups:
      - peerGroupName: core
        signalingProtocol: UDP
        mediaProtocol: RTP
        peers:
          - peerName: site-0
            peerType: IP
            ipsAndPorts: [{ipAddress: "{{.Site.Addr}}", port: {{.Site.Port}}}]
            allowedSignalingSourceAddressPrefixes: ["{{.Site.Addr}}"]
            allowedMediaSourceAddressPrefixes: ["{{.Site.Addr}}"]
      - peerGroupName: wild
        signalingProtocol: UDP
        mediaProtocol: RTP
        peers:
          - peerName: wild
            peerType: IP
            ipsAndPorts: [{ipAddress: "{{.Wild}}", port: 5060}]
            allowedSignalingSourceAddressPrefixes: ["{{.Wild}}"]
            allowedMediaSourceAddressPrefixes: ["{{.Wild}}"]
      - peerGroupName: secure
        signalingProtocol: TLS
        mediaProtocol: SRTP
        peers:
          - peerName: a
            peerType: IP
            ipsAndPorts: [{ipAddress: "{{.A}}", port: 5061}]
            allowedSignalingSourceAddressPrefixes: ["{{.A}}"]
            allowedMediaSourceAddressPrefixes: ["{{.A}}"]
          - peerName: b
            peerType: IP
            ipsAndPorts: [{ipAddress: "{{.B}}", port: 5061}]
            allowedSignalingSourceAddressPrefixes: ["{{.B}}"]
            allowedMediaSourceAddressPrefixes: ["{{.B}}"]
    callPolicy:
      defaultMappings:
        peerGroupToService:
          - {peerGroup: core, defaultService: OperatorConnect}
          - {peerGroup: wild, defaultService: OperatorConnect}
          - {peerGroup: secure, defaultService: OperatorConnect}
        serviceToPeerGroup: [{service: OperatorConnect, defaultPeerGroup: core}]
      peerGroupRoutings:
        - peerGroupName: core
          routings: [{peerName: site-0, serviceLocation: r1, priority: 0}]
        - peerGroupName: wild
          routings: [{peerName: wild, serviceLocation: r1, priority: 0}]
        - peerGroupName: secure
          routings: [{peerName: a, serviceLocation: r1, priority: 0}, {peerName: b, serviceLocation: r1, priority: 0}]
    serviceLocations:
      - name: r1
        primaryRegionProperties: {operatorAddresses: []}
`))

// lineCount counts lines of the log and keeps the last ones.
type lineCount struct {
	mu   sync.Mutex
	n    int
	last tail
}

func (l *lineCount) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += bytes.Count(p, []byte("\n"))
	return l.last.Write(p)
}

func (l *lineCount) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// pair is one call as its two ends see it.
type pair struct {
	what           string
	placed         *phone.Call
	caller, callee *phone.Exchange
}

// callsInProgress is how many calls each way stand while the attack runs.
const callsInProgress = 3

// talk places calls both ways and waits until they are answered.
func (s *siege) talk(n int) []pair {
	s.t.Helper()
	var calls []pair
	for range n {
		for _, p := range []pair{
			{"from the core to Teams", nil, s.core.Exchange, s.teams.Exchange},
			{"from Teams to the core", nil, s.teams.Exchange, s.core.Exchange},
		} {
			var err error
			if p.caller == s.core.Exchange {
				p.placed, err = s.core.Dial(s.ctx, phone.CallSpec{From: subscriber, To: user, Patience: 10 * time.Second})
			} else {
				p.placed, err = s.teams.Dial(s.ctx, phone.CallSpec{From: user, To: subscriber, Patience: 10 * time.Second})
			}
			if err != nil {
				s.t.Fatal(err)
			}
			calls = append(calls, p)
		}
	}
	for _, p := range calls {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		if err := p.placed.Wait(ctx); err != nil {
			s.t.Errorf("call %s: %v", p.what, err)
		}
		cancel()
	}
	return calls
}

// far finds the other end of a call: who heard what this one said. The callers
// are all one number, so the signals decide.
func (s *siege) far(p pair) (r audio.Report, back audio.Report) {
	mine := p.placed.Facts()
	r.Reason, back.Reason = "nobody has it at the far end", "nobody has it at the far end"
	r.Loss, back.Loss = 1, 1
	for _, c := range p.callee.Calls() {
		f := c.Brief()
		if f.Outbound || f.Began.Before(mine.Began) || f.Began.After(mine.Began.Add(5*time.Second)) {
			continue
		}
		f = c.Facts()
		if there := audio.Compare(mine.Sent, f.Heard); there.Same {
			return there, audio.Compare(f.Sent, mine.Heard)
		}
	}
	return r, back
}

// hangUp ends the calls and tells the worst loss of audio, 1 when a call was
// not heard at all.
func (s *siege) hangUp(calls []pair) (loss float64) {
	s.t.Helper()
	for _, p := range calls {
		select {
		case <-p.placed.Done():
			f := p.placed.Brief()
			s.t.Errorf("call %s ended by itself, by %q, %d %s %s", p.what, f.HungUpBy, f.Status, f.Reason, f.Error)
		default:
		}
	}
	for _, p := range calls {
		for _, r := range reports(s.far(p)) {
			if !r.Same {
				s.t.Errorf("call %s: %+v", p.what, r)
				loss = 1
			}
			if loss = max(loss, r.Loss); r.Loss > mostLoss {
				s.t.Logf("call %s: %+v, %+v", p.what, r, p.placed.Brief().Packets)
			}
		}
		if got := p.placed.Brief().Packets; float64(got.Lost) > mostLoss*float64(got.Received) {
			s.t.Errorf("call %s lost %d packets of %d", p.what, got.Lost, got.Received)
		}
		p.placed.HangUp()
	}
	for _, p := range calls {
		select {
		case <-p.placed.Done():
		case <-s.ctx.Done():
			s.t.Fatal("a call cannot be ended")
		}
	}
	return loss
}

func reports(a, b audio.Report) []audio.Report { return []audio.Report{a, b} }

// setUp places a call each way while an attack runs, and tells how long the
// slower one took to be answered.
func (s *siege) setUp() (worst time.Duration, err error) {
	for _, dial := range []func(context.Context, phone.CallSpec) (*phone.Call, error){s.core.Dial, s.teams.Dial} {
		spec := phone.CallSpec{From: subscriber, To: user, Patience: 10 * time.Second}
		if worst > 0 {
			spec.From, spec.To = spec.To, spec.From
		}
		c, err := dial(s.ctx, spec)
		if err != nil {
			return 0, err
		}
		if err := c.Wait(s.ctx); err != nil {
			return 0, err
		}
		f := c.Brief()
		worst = max(worst, f.Answered.Sub(f.Began))
		c.HangUp()
	}
	return worst, nil
}

// toll is what an attack costs.
type toll struct {
	took      time.Duration
	processor float64       // share of one processor: node, attacker and sandbox together, or a node of its own alone
	lines     int           // of the log
	loss      float64       // of audio
	setUp     time.Duration // of a call placed meanwhile
}

// stock is what can be used up.
type stock struct {
	at         time.Time
	cpu        time.Duration
	heap       int64 // bytes
	goroutines int
	files      int
	lines      int
}

func (s *siege) stock() stock {
	s.t.Helper()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		s.t.Fatal(err)
	}
	return stock{time.Now(), s.processor(), int64(m.HeapAlloc), runtime.NumGoroutine(), len(fds), s.lines.count()}
}

// processor is the time that this process has computed, or the node's own.
func (s *siege) processor() time.Duration {
	s.t.Helper()
	if s.pid == 0 {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		s.t.Fatal(err)
	}
	// Behind the name, proc(5) fields 14 and 15, in hundredths of a second.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory is what a node of its own holds of the machine's, in MB.
func (s *siege) memory() int {
	if s.pid == 0 {
		return 0
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid)) // a figure to read, not to judge
	var kb int
	if _, rest, ok := strings.Cut(string(status), "VmRSS:"); ok {
		_, _ = fmt.Sscan(rest, &kb)
	}
	return kb >> 10
}

// attack runs an attack upon calls in progress and tells what it cost; the
// test fails when a call loses audio, or the node does not take new ones.
func (s *siege) attack(f func()) toll {
	s.t.Helper()
	calls := s.talk(callsInProgress)
	began := s.stock()
	type placed struct {
		took time.Duration
		err  error
	}
	meanwhile := make(chan placed, 1)
	time.AfterFunc(200*time.Millisecond, func() {
		took, err := s.setUp()
		meanwhile <- placed{took, err}
	})
	f()
	p := <-meanwhile
	if p.err != nil {
		s.t.Errorf("a call placed meanwhile: %v", p.err)
	}
	least := 1200 * time.Millisecond // for the audio to be judged
	if d := time.Since(began.at); d < least {
		<-time.After(least - d)
	}
	ended := s.stock()
	loss := s.hangUp(calls)
	s.settled()
	took := ended.at.Sub(began.at)
	return toll{took, float64(ended.cpu-began.cpu) / float64(took), ended.lines - began.lines, loss, p.took}
}

// settled waits until the node carries no call and no port, and the sandbox is
// through with its stragglers.
func (s *siege) settled() {
	s.t.Helper()
	s.until(20*time.Second, func() string {
		live, err := s.node.Live(s.ctx)
		if err != nil {
			return err.Error()
		}
		if len(live) > 0 {
			return fmt.Sprintf("%d calls are left: %s %+v", len(live), live[0].State, live[0].Cause)
		}
		return ""
	})
}

// What no attack may exceed.
const (
	mostLines = 60
	mostLoss  = 0.08 // of packets: an attack that works takes whole calls, and a shared machine loses some by itself
	mostGap   = 0.06 // of audio; a machine that stands still for a moment costs some by itself
	mostSetUp = 2 * time.Second
)

// endured fails the test when an attack cost more than it may.
func (s *siege) endured(l toll) {
	s.t.Helper()
	s.t.Logf("%.1f s, %.0f %% of a processor, %d lines, audio loss %.1f %%, a new call took %d ms, memory %d MB",
		l.took.Seconds(), 100*l.processor, l.lines, 100*l.loss, l.setUp.Milliseconds(), s.memory())
	if l.loss > mostGap {
		s.t.Errorf("calls in progress lost %.1f %% of their audio", 100*l.loss)
	}
	if l.lines > mostLines {
		s.t.Errorf("%d lines of log; the last:\n%.1500s", l.lines, s.lines.last.String())
	}
	if l.setUp > mostSetUp {
		s.t.Errorf("a new call took %v", l.setUp)
	}
}

// What may be left when all is over, in the process that is also the sandbox's:
// the ring of traces holds 64 MB, and the sandbox keeps what was said in the
// 150 calls that were placed, some 90 MB of the rest.
const (
	leftHeap       = 256 << 20
	leftGoroutines = 10
	leftFiles      = 10
)

// restored waits until everything is given back but what lingers by design,
// for 32 s (RFC 3261 64*T1) and some.
func (s *siege) restored(before stock) {
	s.t.Helper()
	s.settled()
	var after stock
	defer func() {
		s.t.Logf("left when all is over: heap %+.1f MB, goroutines %+d, files %+d",
			float64(after.heap-before.heap)/(1<<20), after.goroutines-before.goroutines, after.files-before.files)
	}()
	s.until(40*time.Second, func() string {
		after = s.stock()
		switch {
		case after.heap-before.heap > leftHeap:
			return fmt.Sprintf("%d MB are left behind", (after.heap-before.heap)>>20)
		case after.goroutines-before.goroutines > leftGoroutines:
			return fmt.Sprintf("%d goroutines are left behind", after.goroutines-before.goroutines)
		case after.files-before.files > leftFiles:
			return fmt.Sprintf("%d files are left open", after.files-before.files)
		}
		return ""
	})
}
