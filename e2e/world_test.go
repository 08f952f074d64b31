// Package e2e calls strangers through a real node: programs whose authors never
// heard of us, so that a mistake that our code and our sandbox share shows.
//
// SIPp is the operator's core, or Kamailio is, a proxy that stays in the path,
// with baresip or Linphone behind it; baresip is a Teams proxy over TLS with SRTP
// or a core's telephone. Where only one of them is on trial, the sandbox plays
// the other side. A world is one node, in this process, made from a tandem.yaml
// like any other, and what stands around it, on loopback addresses of its own.
// Start reading at setup, then at sipp and baresip.
//
// A program that is not installed skips its tests, unless TANDEM_PEERS is
// "required".
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/template"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/app"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/link/record"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/sandbox/teams"
)

// The tests wait for far sides nearly all of their time, so that more of them
// may run at once than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0))) // a number is always taken
	}
	goleak.VerifyTestMain(m)
}

// Names of the world; nobody owns the domain (RFC 2606).
const (
	gatewayName = "1r1.e2e.example"
	teamsDomain = "pstnhub.e2e.example"
	proxyName   = "sip." + teamsDomain
	coreSide    = "r1.e2e.example" // the gateway's, towards the operator
	siteName    = "a.core.e2e.example"
	tenant      = "00000000-0000-4000-8000-00000000e2e0"
)

// Numbers from the ranges reserved for fiction.
const (
	subscriber = "+442079460001"
	user       = "+14255550101"
)

// optionsInterval is how often everybody asks everybody: the shortest that the
// configuration allows, since tests wait for it.
const optionsInterval = time.Second

// setup is what a world is made of. The zero value is a node between SIPp over
// UDP and the Teams of the sandbox.
type setup struct {
	transport  string        // of the operator's side, "udp" unless set; "tls" has SRTP too
	sites      int           // of the operator's core, 1 unless set
	codecs     string        // of the gateway, "PCMA, PCMU" unless set
	coreCodecs string        // of the core, those of the gateway unless set
	realCloud  bool          // the sandbox does not play Teams: a program will, at w.proxy(0)
	cloudV6    bool          // the cloud's side is on ::1
	operatorV6 bool          // the operator's side is on ::1
	operator   string        // keys of the configuration's operator section, in flow style
	handsets   bool          // telephones of the core send media, not its sites
	failover   time.Duration // FailoverTimeSeconds of Teams, 5 s unless set

	consultation func(*world) string // URL at which the Mobile Control Point asks; nil: there is none
}

// world is a node and what stands around it.
type world struct {
	setup
	t   *testing.T
	ctx context.Context // bounds the test
	dir string
	net [3]byte // first bytes of the world's IPv4 addresses

	programs int   // started so far
	log      *tail // of the node

	authority *authority.Authority
	dns       *dns.Server
	teams     *teams.System // nil with realCloud
	node      *ops.Client
}

// perTest bounds a test.
const perTest = 60 * time.Second

// build starts a world that ends with the test.
func build(t *testing.T, s setup) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("real peers are left out by -short")
	}
	if s.transport == "" {
		s.transport = "udp"
	}
	if s.codecs == "" {
		s.codecs = "PCMA, PCMU"
	}
	s.sites = max(s.sites, 1)
	if s.cloudV6 || s.operatorV6 {
		needIPv6(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), perTest)
	t.Cleanup(cancel)
	stalls.watch(t)
	w := &world{setup: s, t: t, ctx: ctx, log: &tail{}}
	w.dir = shortDir(t)
	w.findNet()
	var err error
	if w.authority, err = authority.New("Tandem e2e"); err != nil {
		t.Fatal(err)
	}
	if w.dns, err = dns.Start(netip.AddrPortFrom(w.v4(hostDNS), portDNS)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.dns.Close() })
	w.dns.SetHost(gatewayName, time.Minute, w.gatewayCloud().Addr())
	w.dns.SetHost(coreSide, time.Minute, w.gatewayCore().Addr())
	if s.realCloud {
		w.dns.SetHost(proxyName, time.Minute, w.proxy(0).Addr())
	} else {
		w.startTeams()
	}
	w.startNode()
	return w
}

// shortDir is a folder whose name leaves room for a unix socket's, as that of
// t.TempDir does not.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Where the parties are. On IPv4 each has an address of its own, so the usual
// ports serve all; ::1 is only one, so there each has ports of its own.
const (
	hostCloud, hostCore   = 11, 12
	hostProxy             = 32 // 32, 33, 34
	hostTeamsMedia        = 35
	hostSite              = 41 // 41, 42
	hostPhone             = 49 // 49, 50
	hostStranger, hostDNS = 66, 53

	portDNS = 5300
	spread6 = 10000 // between the usual port and that on ::1
)

// nets gives out the second byte of the worlds' networks.
var nets = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32())
	return &n
}()

// findNet takes a /24 of loopback: all of 127/8 is this machine's, so that
// worlds do not meet. The first ones are left to others.
func (w *world) findNet() {
	n := nets.Add(1)
	w.net = [3]byte{127, byte(128 + n>>8%100), byte(n)}
}

func (w *world) v4(host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{w.net[0], w.net[1], w.net[2], host})
}

// at is a party's place.
func (w *world) at(v6 bool, host byte, port uint16) netip.AddrPort {
	if v6 {
		return netip.AddrPortFrom(netip.IPv6Loopback(), spread6+port+100*uint16(host))
	}
	return netip.AddrPortFrom(w.v4(host), port)
}

func (w *world) gatewayCloud() netip.AddrPort { return w.at(w.cloudV6, hostCloud, 5063) }
func (w *world) gatewayCore() netip.AddrPort  { return w.at(w.operatorV6, hostCore, 5060) }
func (w *world) proxy(i int) netip.AddrPort   { return w.at(w.cloudV6, hostProxy+byte(i), 5061) }

// site is where a site of the operator's core is. All have the same port, for
// the configuration knows one; on ::1 there is one site. Over TLS it is the
// default one, which Kamailio and others leave out of a Record-Route.
func (w *world) site(i int) netip.AddrPort {
	port := uint16(5060)
	if w.srtp() {
		port = 5061
	}
	return w.at(w.operatorV6, hostSite+byte(i), port)
}

func (w *world) srtp() bool { return w.transport == "tls" }

func (w *world) startTeams() {
	w.t.Helper()
	cert := w.issue("sip."+teamsDomain, "sip2."+teamsDomain, "sip3."+teamsDomain)
	cfg := teams.Config{
		Domain: teamsDomain, DNS: w.dns,
		Certificate: func() (*tls.Certificate, error) { return cert, nil }, Roots: w.authority.Roots(),
		Media: w.at(w.cloudV6, hostTeamsMedia, 0).Addr(), Ports: [2]uint16{20000, 20999},
		Trunks:   []teams.Trunk{{FQDN: gatewayName, Port: w.gatewayCloud().Port()}},
		Tenants:  map[string]string{gatewayName: tenant},
		Failover: cmp.Or(w.failover, 5*time.Second), Options: optionsInterval,
	}
	for i := range cfg.Proxies {
		cfg.Proxies[i] = w.proxy(i)
	}
	var err error
	if w.teams, err = teams.Start(w.ctx, cfg); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.teams.Close() })
}

func (w *world) issue(names ...string) *tls.Certificate {
	w.t.Helper()
	cert, err := w.authority.Issue(authority.Terms{}, names...)
	if err != nil {
		w.t.Fatal(err)
	}
	return cert
}

// startNode writes the node's configuration and starts it in this process.
func (w *world) startNode() {
	w.t.Helper()
	// It is shown to those that call us, too, and Kamailio looks at what it is
	// for (RFC 5280 4.2.1.12).
	cert, err := w.authority.Issue(authority.Terms{ClientAuth: true}, gatewayName, "*."+gatewayName, coreSide)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.authority.Write(w.dir, "sip", cert); err != nil {
		w.t.Fatal(err)
	}
	var text strings.Builder
	if err := nodeConfig.Execute(&text, w.facts()); err != nil {
		w.t.Fatal(err)
	}
	file := filepath.Join(w.dir, "tandem.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	cfg, err := app.LoadConfig(file)
	if err != nil {
		w.t.Fatal(err)
	}
	node, err := app.New(cfg, slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), "e2e")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(node.Close)
	w.node = ops.Dial(cfg.Node.Socket())
	w.t.Cleanup(w.explain)
}

// explain tells, when the test has failed, what the node thought and the
// messages of a call.
func (w *world) explain() {
	if !w.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	w.t.Logf("the node's log:\n%s", w.log)
	past, err := w.node.Past(ctx, record.Filter{})
	if err != nil || len(past) == 0 {
		return
	}
	odd := max(0, slices.IndexFunc(past, func(r record.Call) bool { return r.Ended == nil || r.Failed() }))
	trace, err := w.node.Trace(ctx, past[odd].ID)
	if err != nil {
		return
	}
	var b strings.Builder
	for _, p := range trace.Packets {
		fmt.Fprintf(&b, "--- %s %s %s, out %v\n%s\n", p.At.Format("15:04:05.000"), p.Peer, p.Remote, p.Out, p.Raw)
	}
	w.t.Logf("the newest call that did not end well, or the newest, %+v:\n%s", past[odd], b.String())
}

// nodeFacts fill the template of the configuration.
type nodeFacts struct {
	Cloud, Core, DNS                      netip.AddrPort
	Domain, Transport, Codecs, CoreCodecs string
	CoreSide, SiteName                    string
	Operator                              string
	Protocol                              string // transport as the resource writes it
	SRTP                                  bool   // in the core
	Proxies, Names                        []string
	TeamsNet                              []string
	AlsoFrom                              []string // where signalling and media may come from besides
	Phones                                []string // where media may come from besides
	Sites                                 []string
	SitePort                              uint16
	Options                               time.Duration
	Metrics                               netip.AddrPort
	Consultation                          string
}

func (w *world) facts() nodeFacts {
	f := nodeFacts{
		Cloud: w.gatewayCloud(), Core: w.gatewayCore(), DNS: w.dns.Addr(), Domain: gatewayName,
		Operator: w.operator, CoreSide: coreSide, SiteName: siteName, Protocol: strings.ToUpper(w.transport), SRTP: w.srtp(),
		Transport: w.transport, Codecs: w.codecs, CoreCodecs: w.coreCodecs, SitePort: w.site(0).Port(), Options: optionsInterval,
		TeamsNet: []string{netip.PrefixFrom(w.v4(hostProxy), 29).Masked().String()},
		Metrics:  netip.AddrPortFrom(w.v4(hostCore), 9464),
	}
	if w.consultation != nil {
		f.Consultation = w.consultation(w)
	}
	if w.cloudV6 {
		f.TeamsNet = []string{"::1/128"}
	}
	names := []string{"sip", "sip2", "sip3"}
	if w.realCloud {
		names = names[:1]
	}
	if w.handsets {
		f.Phones = []string{netip.PrefixFrom(w.v4(hostPhone), 29).Masked().String()}
	}
	if w.realCloud || w.handsets {
		// baresip leaves it to the kernel from where it connects and sends
		// media, and on loopback that is always the same address.
		f.AlsoFrom = []string{"127.0.0.1/32"}
	}
	for i, n := range names {
		f.Names = append(f.Names, n+"."+teamsDomain)
		f.Proxies = append(f.Proxies, fmt.Sprintf("%s.%s:%d", n, teamsDomain, w.proxy(i).Port()))
	}
	for i := range w.sites {
		f.Sites = append(f.Sites, w.site(i).Addr().String())
	}
	return f
}

var nodeConfig = template.Must(template.New("tandem.yaml").Funcs(template.FuncMap{"list": func(lists ...[]string) string {
	return `["` + strings.Join(slices.Concat(lists...), `", "`) + `"]`
}}).Parse(`# Written by the tests.
node:
  name: e2e
  region: r1
  data: data
  drain: 1s
  metrics: "{{.Metrics}}"
sip:
  domain: {{.Domain}}
  listeners:
    - name: cloud
      side: cloud
      transport: tls
      bind: "{{.Cloud}}"
      advertise: {{.Domain}}:{{.Cloud.Port}}
      certificate: {chain: sip.pem, key: sip.key}
    - name: core
      side: operator
      transport: {{.Transport}}
      bind: "{{.Core}}"
{{- if .SRTP}}
      advertise: {{.CoreSide}}:{{.Core.Port}}
      certificate: {chain: sip.pem, key: sip.key}
{{- end}}
  roots: root.pem
  dns: ["{{.DNS}}"]
  options: {{.Options}}
media:
  interfaces:
    - {side: cloud, bind: "{{.Cloud.Addr}}", ports: 30000-30999}
    - {side: operator, bind: "{{.Core.Addr}}", ports: 31000-31999}
  quarantine: 2s
services:
  teams:
    proxies: {{list .Proxies}}
    sources: {{list .TeamsNet .AlsoFrom}}
    media: {{list .TeamsNet .AlsoFrom}}
    names: {{list .Names}}
{{- with .Consultation}}
  mobile: {consultation: "{{.}}", routingNumbers: ["+44808157"], names: [mcp.r1.e2e.example]}
{{- end}}
{{- if .SRTP}}
operator: {names: [{{.SiteName}}]{{with .Operator}}, {{.}}{{end}}}
{{- else if .Operator}}
operator: { {{- .Operator -}} }
{{- end}}
gateway:
  name: e2e
  location: r1
  sku: {name: lab}
  properties:
    connectivity: PublicAddress
    codecs: [{{.Codecs}}]
    e911Type: Standard
    platforms: [OperatorConnect{{if .Consultation}}, TeamsPhoneMobile{{end}}]
    integratedMcpEnabled: {{ne .Consultation ""}}
    operatorPeerGroupConfigScheme: UseOperatorPeerGroupConfig
    peerGroups:
      - peerGroupName: core
        signalingProtocol: {{.Protocol}}
        mediaProtocol: {{if .SRTP}}SRTP{{else}}RTP{{end}}
{{- if .CoreCodecs}}
        codecs: [{{.CoreCodecs}}]
{{- end}}
        peers:
{{- range $i, $site := .Sites}}
          - peerName: site-{{$i}}
            peerType: IP
            ipsAndPorts: [{ipAddress: "{{$site}}", port: {{$.SitePort}}}]
            allowedSignalingSourceAddressPrefixes: ["{{$site}}"{{range $.AlsoFrom}}, "{{.}}"{{end}}]
            allowedMediaSourceAddressPrefixes: ["{{$site}}"{{range $.AlsoFrom}}, "{{.}}"{{end}}{{range $.Phones}}, "{{.}}"{{end}}]
{{- end}}
    callPolicy:
      defaultMappings:
        peerGroupToService: [{peerGroup: core, defaultService: OperatorConnect}]
        serviceToPeerGroup: [{service: OperatorConnect, defaultPeerGroup: core}{{if .Consultation}}, {service: TeamsPhoneMobile, defaultPeerGroup: core}{{end}}]
      peerGroupRoutings:
        - peerGroupName: core
          routings:
{{- range $i, $site := .Sites}}
            - {peerName: site-{{$i}}, serviceLocation: r1, priority: {{$i}}}
{{- end}}
    serviceLocations:
      - name: r1
        primaryRegionProperties: {operatorAddresses: []}
`))

// until polls until nothing is missing, and fails the test when something
// still is after the time given.
func (w *world) until(within time.Duration, missing func() string) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(within)
	defer limit.Stop()
	var last string
	for {
		if last = missing(); last == "" {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			w.t.Fatalf("after %s: %s", within, last)
		case <-w.ctx.Done():
			w.t.Fatalf("the test took too long: %s", last)
		}
	}
}

// peerUp waits until the node holds a peer for alive.
func (w *world) peerUp(names ...string) {
	w.t.Helper()
	w.until(15*time.Second, func() string {
		peers, err := w.node.Peers(w.ctx)
		if err != nil {
			return err.Error()
		}
		for _, p := range peers {
			if slices.Contains(names, p.Peer) && p.State != "up" {
				return p.Peer + " is " + p.State + ": " + p.Why
			}
		}
		return ""
	})
}

// Names of peers in the snapshot.
const teamsPeer = "microsoft-teams-1"

// teamsReady waits until node and sandbox hold each other for alive.
func (w *world) teamsReady() {
	w.t.Helper()
	w.peerUp(teamsPeer)
	w.until(10*time.Second, func() string {
		for _, t := range w.teams.Trunks() {
			if !t.Active {
				return "Teams does not use " + t.FQDN + ": " + t.LastError
			}
		}
		return ""
	})
}

// behaved fails the test when the sandbox saw the gateway break a rule.
func (w *world) behaved() {
	w.t.Helper()
	for _, v := range w.teams.Violations() {
		w.t.Errorf("the gateway broke a rule of Teams: %s: %s (%s)", v.Rule, v.Message, v.CallID)
	}
}

// records waits until the node has closed n records of calls, and gives them,
// newest first.
func (w *world) records(n int) []record.Call {
	w.t.Helper()
	var past []record.Call
	w.until(10*time.Second, func() string {
		var err error
		if past, err = w.node.Past(w.ctx, record.Filter{Limit: n + 1}); err != nil {
			return err.Error()
		}
		open := 0
		for _, r := range past {
			if r.Ended == nil {
				open++
			}
		}
		if len(past) != n || open > 0 {
			return fmt.Sprintf("the node has %d records of %d calls, %d of them open", len(past), n, open)
		}
		return ""
	})
	return past
}

// received waits for the newest call that the sandbox's Teams received.
func (w *world) received() *phone.Call {
	w.t.Helper()
	var found *phone.Call
	w.until(10*time.Second, func() string {
		for _, c := range slices.Backward(w.teams.Calls()) {
			if !c.Facts().Outbound {
				found = c
				return ""
			}
		}
		return "Teams has received no call"
	})
	return found
}

// stalls notices when this machine does not let its processes run in time.
var stalls stallWatch

type stallWatch struct {
	mu     sync.Mutex
	tests  int           // mu; that want it to watch
	stop   chan struct{} // mu; ends the watching
	newest time.Time     // mu
}

// watch watches until the test has ended.
func (s *stallWatch) watch(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tests++; s.tests == 1 {
		s.stop = make(chan struct{})
		go s.run(s.stop)
	}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.tests--; s.tests == 0 {
			close(s.stop)
		}
	})
}

// A telephone buffers about five packets of 20 ms.
const telephoneBuffer = 100 * time.Millisecond

func (s *stallWatch) run(stop chan struct{}) {
	tick := time.NewTicker(telephoneBuffer / 5)
	defer tick.Stop()
	for last := time.Now(); ; last = time.Now() {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if time.Since(last) > telephoneBuffer {
			s.mu.Lock()
			s.newest = time.Now()
			s.mu.Unlock()
		}
	}
}

// lately reports a stall during what a test may have listened to.
func (s *stallWatch) lately() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.newest) < 15*time.Second
}

// tail keeps the end of what is written.
type tail struct {
	mu  sync.Mutex // the writer writes while the test reads
	buf bytes.Buffer
}

const tailBytes = 64 << 10

// Write keeps the last tailBytes.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	t.buf.Next(max(0, t.buf.Len()-tailBytes))
	return len(p), nil
}

// String is what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
