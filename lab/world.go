package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"text/template"
	"time"

	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/carrier"
	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/sandbox/teams"
	"github.com/tandemgw/tandem/wire/sip"
)

// Names of the lab's world. The base domain is one nobody owns (RFC 2606).
const (
	baseDomain  = "lab.example"
	teamsDomain = "pstnhub.lab.example"
	coreDomain  = "core.lab.example"
	tenant      = "00000000-0000-4000-8000-00000000c042"
)

// Ports; every party has an address of its own, so the usual ones serve.
const (
	portDNS     = 5300
	portCloud   = 5063 // where Teams reaches a region
	portCore    = 5060
	portProxy   = 5061
	portControl = 8080
)

// The parties' last byte within the lab's own /24 of loopback.
const (
	hostR1Cloud, hostR1Core = 11, 12
	hostR2Cloud, hostR2Core = 21, 22
	hostProxy               = 32 // 32, 33, 34
	hostTeamsMedia          = 35
	hostSiteA, hostSiteB    = 41, 42
	hostCoreMedia           = 43
	hostDNS, hostLabControl = 53, 80
	firstMedia, lastMedia   = 20000, 20999
)

// recordRoute is the host that Teams writes into Record-Route: another name than
// the proxies', as the real one does.
const recordRoute = "sip-du-a-eu"

// coreResponse is how long the core waits for any answer to an INVITE before
// it redials through the next peer; on a network of milliseconds a second is
// silence.
const coreResponse = time.Second

// region is one service region with its node and its names.
type region struct {
	name      string // "r1", as the gateway's service location
	cloudName string // FQDN on the Teams side, "1r1.lab.example"
	coreName  string // FQDN on the operator's side, "r1.lab.example"
	site      string // the core's site next to it
	cloud     netip.Addr
	core      netip.Addr
	node      *node
}

// world is everything that runs.
type world struct {
	dir     string
	ownDir  bool
	net     [3]byte // first three bytes of the lab's addresses
	options time.Duration
	log     *slog.Logger

	authority *authority.Authority
	dns       *dns.Server
	teams     *teams.System
	core      *carrier.Core
	control   *http.Server
	r1, r2    *region

	dialled [2]atomic.Int32 // numbers given out so far: [0] subscribers, [1] users
}

// build starts everything and waits until every OPTIONS is answered.
func build(ctx context.Context, opt Options, s *show) (*world, error) {
	w := &world{dir: opt.Dir, options: opt.Options, log: opt.Log}
	s.begin("a world on loopback")
	for _, step := range []func(context.Context, Options) error{
		w.makeDir, w.findAddresses, w.startFarSides, w.writeNodes, w.startNodes,
	} {
		if err := step(ctx, opt); err != nil {
			s.end(false, "")
			w.close()
			return nil, err
		}
	}
	s.end(true, "2 regions, 3 proxies, 2 core sites")

	s.begin("everybody answers OPTIONS")
	wait, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := w.ready(wait, func(p string) { s.progress("%s", p) }); err != nil {
		s.end(false, "")
		w.close()
		return nil, err
	}
	s.end(true, "")
	return w, nil
}

func (w *world) makeDir(_ context.Context, opt Options) error {
	if opt.Dir != "" {
		return os.MkdirAll(opt.Dir, 0o700)
	}
	dir, err := os.MkdirTemp("", "tandem-lab-")
	if err != nil {
		return fmt.Errorf("make a folder for the lab: %w", err)
	}
	w.dir, w.ownDir = dir, true
	return nil
}

// findAddresses picks a /24 of loopback that nobody uses: all of 127/8 is this
// machine's, so two labs do not meet.
func (w *world) findAddresses(context.Context, Options) error {
	var last error
	for range 20 {
		w.net = [3]byte{127, byte(1 + rand.IntN(250)), byte(1 + rand.IntN(250))}
		if last = free(netip.AddrPortFrom(w.addr(hostDNS), portDNS)); last == nil {
			return nil
		}
	}
	return fmt.Errorf("no free loopback addresses: %w", last)
}

func free(at netip.AddrPort) error {
	c, err := net.ListenPacket("udp", at.String())
	if err != nil {
		return err
	}
	return c.Close()
}

func (w *world) addr(host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{w.net[0], w.net[1], w.net[2], host})
}

// startFarSides makes the certificate authority, DNS, Teams and the core.
func (w *world) startFarSides(ctx context.Context, _ Options) error {
	var err error
	if w.authority, err = authority.New("Tandem Lab"); err != nil {
		return err
	}
	if w.dns, err = dns.Start(netip.AddrPortFrom(w.addr(hostDNS), portDNS)); err != nil {
		return fmt.Errorf("start DNS: %w", err)
	}
	w.r1 = &region{name: "r1", cloudName: "1r1." + baseDomain, coreName: "r1." + baseDomain, site: "a", cloud: w.addr(hostR1Cloud), core: w.addr(hostR1Core)}
	w.r2 = &region{name: "r2", cloudName: "1r2." + baseDomain, coreName: "r2." + baseDomain, site: "b", cloud: w.addr(hostR2Cloud), core: w.addr(hostR2Core)}
	for _, r := range w.regions() {
		w.dns.SetHost(r.cloudName, time.Minute, r.cloud)
		w.dns.SetHost(r.coreName, time.Minute, r.core)
		w.dns.SetSRV("_sip._udp."+r.coreName, time.Minute, dns.SRV{Priority: 1, Weight: 1, Port: portCore, Target: r.coreName})
	}
	if err := w.startTeams(ctx); err != nil {
		return err
	}
	if err := w.startCore(ctx); err != nil {
		return err
	}
	return w.startControl()
}

func (w *world) startTeams(ctx context.Context) error {
	cert, err := w.authority.Issue(authority.Terms{}, "*."+teamsDomain)
	if err != nil {
		return err
	}
	cfg := teams.Config{
		Domain: teamsDomain, DNS: w.dns, RecordRoute: recordRoute,
		Certificate: func() (*tls.Certificate, error) { return cert, nil }, Roots: w.authority.Roots(),
		Media: w.addr(hostTeamsMedia), Ports: [2]uint16{firstMedia, lastMedia},
		Tenants:  map[string]string{w.r1.cloudName: tenant, w.r2.cloudName: tenant},
		Failover: 2 * time.Second, Options: w.options, Log: w.log,
	}
	for i := range cfg.Proxies {
		cfg.Proxies[i] = netip.AddrPortFrom(w.addr(hostProxy+byte(i)), portProxy)
	}
	for _, r := range w.regions() {
		cfg.Trunks = append(cfg.Trunks, teams.Trunk{FQDN: r.cloudName, Port: portCloud})
	}
	if w.teams, err = teams.Start(ctx, cfg); err != nil {
		return fmt.Errorf("start Teams: %w", err)
	}
	return nil
}

func (w *world) startCore(ctx context.Context) error {
	var err error
	w.core, err = carrier.Start(ctx, carrier.Config{
		Domain: coreDomain, DNS: w.dns,
		Sites: []carrier.Site{
			{Name: "a", Bind: netip.AddrPortFrom(w.addr(hostSiteA), portCore), Transport: sip.UDP, Near: w.r1.coreName},
			{Name: "b", Bind: netip.AddrPortFrom(w.addr(hostSiteB), portCore), Transport: sip.UDP, Near: w.r2.coreName},
		},
		Regions: []string{w.r1.coreName, w.r2.coreName},
		Media:   w.addr(hostCoreMedia), Ports: [2]uint16{firstMedia, lastMedia},
		Options: w.options, Response: coreResponse, Log: w.log,
		Methods: []string{"INFO"}, // with region 2 it has keys by that
		// The gateway hides Teams from the core; it does not hide itself.
		Hidden: []string{teamsDomain, w.addr(hostProxy).String(), w.addr(hostTeamsMedia).String()},
	})
	if err != nil {
		return fmt.Errorf("start the operator's core: %w", err)
	}
	return nil
}

// startControl serves the far sides' control ports, with which calls are
// placed and faults made by hand.
func (w *world) startControl() error {
	mux := http.NewServeMux()
	mux.Handle("/teams/", http.StripPrefix("/teams", w.teams.Handler()))
	mux.Handle("/core/", http.StripPrefix("/core", w.core.Handler()))
	at := netip.AddrPortFrom(w.addr(hostLabControl), portControl)
	listener, err := net.Listen("tcp", at.String())
	if err != nil {
		return fmt.Errorf("open the far sides' control port: %w", err)
	}
	w.control = &http.Server{Addr: at.String(), Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = w.control.Serve(listener) }() // ends with Close
	return nil
}

func (w *world) regions() []*region { return []*region{w.r1, w.r2} }

// writeNodes writes each region's certificate and configuration.
func (w *world) writeNodes(_ context.Context, opt Options) error {
	for _, r := range w.regions() {
		dir := filepath.Join(w.dir, r.name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make a folder for %s: %w", r.name, err)
		}
		cert, err := w.authority.Issue(authority.Terms{ClientAuth: true}, r.cloudName, "*."+r.cloudName, r.coreName)
		if err != nil {
			return err
		}
		if _, err := w.authority.Write(dir, "sip", cert); err != nil {
			return err
		}
		var text strings.Builder
		if err := nodeConfig.Execute(&text, w.facts(r)); err != nil {
			return fmt.Errorf("write the configuration of %s: %w", r.name, err)
		}
		file := filepath.Join(dir, "tandem.yaml")
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			return fmt.Errorf("write the configuration of %s: %w", r.name, err)
		}
		r.node = &node{name: r.name, command: opt.Node, file: file, socket: filepath.Join(dir, "data", "control.sock")}
	}
	return nil
}

func (w *world) startNodes(context.Context, Options) error {
	for _, r := range w.regions() {
		if err := r.node.start(); err != nil {
			return err
		}
	}
	return nil
}

// ready waits until every node reaches every peer and every far side reaches
// every region.
func (w *world) ready(ctx context.Context, progress func(string)) error {
	for _, r := range w.regions() {
		if err := r.node.ready(ctx, progress); err != nil {
			return err
		}
	}
	for {
		missing := w.unseen()
		if missing == "" {
			return nil
		}
		progress(missing)
		select {
		case <-ctx.Done():
			return fmt.Errorf("the world is not ready: %s", missing)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// unseen names a region that a far side does not use yet, "" when all are.
func (w *world) unseen() string {
	for _, t := range w.teams.Trunks() {
		if !t.Active {
			return "Teams does not use " + t.FQDN + " yet " + t.LastError
		}
	}
	for _, p := range w.core.Peers() {
		if !p.Up {
			return "site " + p.Site + " does not use " + p.Region + " yet " + p.LastError
		}
	}
	return ""
}

// numbers gives a caller and a called number that no call has used, so that
// calls, records and audio are never mistaken for each other's. They are from
// the ranges reserved for fiction in the United Kingdom and North America.
func (w *world) numbers(teamsCalls bool) (from, to string) {
	subscriber := fmt.Sprintf("+44207946%04d", w.dialled[0].Add(1))
	user := fmt.Sprintf("+1425555%04d", 100+w.dialled[1].Add(1))
	if teamsCalls {
		return user, subscriber
	}
	return subscriber, user
}

// openNumbers lets every number of both far sides answer, for calls by hand.
func (w *world) openNumbers() {
	for _, x := range []*phone.Exchange{w.teams.Exchange, w.core.Exchange} {
		x.Answer("", phone.Behaviour{Ring: 500 * time.Millisecond})
	}
}

// guide tells how to go on by hand while the world stays up.
func (w *world) guide(s *show) {
	s.line("")
	s.line("  The world stays up until Ctrl-C. In another terminal:")
	s.line("")
	s.line("    tandem call list --past --socket %s", w.r2.node.socket)
	s.line("    tandem peer list --socket %s", w.r1.node.socket)
	s.line("    curl -s -d '{\"from\":\"+14255550199\",\"to\":\"+442079460199\"}' http://%s/teams/calls", w.control.Addr)
	s.line("    curl -s -d '{\"from\":\"+442079460199\",\"to\":\"+14255550199\"}' http://%s/core/calls", w.control.Addr)
	s.line("")
	for _, r := range w.regions() {
		s.line("  %s  Teams side %-21s operator side %s", r.name, netip.AddrPortFrom(r.cloud, portCloud), netip.AddrPortFrom(r.core, portCore))
	}
	s.line("  Teams %s, core %s and %s", w.teams.ProxyAddr("sip"), w.core.SiteAddr("a"), w.core.SiteAddr("b"))
	s.line("  DNS %s", w.dns.Addr())
	s.line("  files %s", w.dir)
}

// close ends everything, nodes first.
func (w *world) close() {
	for _, r := range w.regions() {
		if r != nil && r.node != nil {
			r.node.terminate(3 * time.Second)
		}
	}
	if w.control != nil {
		_ = w.control.Close() // nobody is served any more
	}
	if w.teams != nil {
		_ = w.teams.Close()
	}
	if w.core != nil {
		_ = w.core.Close()
	}
	if w.dns != nil {
		_ = w.dns.Close()
	}
	if w.ownDir {
		_ = os.RemoveAll(w.dir)
	}
}

// nodeFacts is what the template of a node's configuration is filled with.
type nodeFacts struct {
	Region, Domain          string
	Cloud, Core, DNS        netip.AddrPort
	Proxies, Names          []string
	TeamsNet                netip.Prefix
	SiteA, SiteB, CoreMedia netip.Addr
	Options                 time.Duration
	Digits                  string // how the core has keys; empty: telephone events
}

func (w *world) facts(r *region) nodeFacts {
	f := nodeFacts{
		Region: r.name, Domain: r.cloudName,
		Cloud: netip.AddrPortFrom(r.cloud, portCloud), Core: netip.AddrPortFrom(r.core, portCore),
		DNS:      w.dns.Addr(),
		TeamsNet: netip.PrefixFrom(w.addr(hostProxy-hostProxy%8), 29), // the proxies and their media
		SiteA:    w.addr(hostSiteA), SiteB: w.addr(hostSiteB), CoreMedia: w.addr(hostCoreMedia),
		Options: w.options,
		Names:   []string{"sip." + teamsDomain, recordRoute + "." + teamsDomain},
	}
	if r == w.r2 {
		f.Digits = "info"
	}
	for _, proxy := range []string{"sip.", "sip2.", "sip3."} {
		f.Proxies = append(f.Proxies, fmt.Sprintf("%s%s:%d", proxy, teamsDomain, portProxy))
	}
	return f
}

// nodeConfig is the tandem.yaml of a lab's node.
var nodeConfig = template.Must(template.New("tandem.yaml").Funcs(template.FuncMap{"list": func(items []string) string {
	return "[" + strings.Join(items, ", ") + "]"
}}).Parse(`# Written by "tandem lab".
node:
  name: {{.Region}}-lab
  region: {{.Region}}
  data: data
  drain: 2s
sip:
  domain: {{.Domain}}
  listeners:
    - name: cloud
      side: cloud
      transport: tls
      bind: {{.Cloud}}
      advertise: {{.Domain}}:{{.Cloud.Port}}
      certificate: {chain: sip.pem, key: sip.key}
    - name: core
      side: operator
      transport: udp
      bind: {{.Core}}
  roots: root.pem
  dns: ["{{.DNS}}"]
  options: {{.Options}}
media:
  interfaces:
    - {side: cloud, bind: {{.Cloud.Addr}}, ports: 30000-31999}
    - {side: operator, bind: {{.Core.Addr}}, ports: 30000-31999}
  quarantine: 2s
services:
  teams:
    proxies: {{list .Proxies}}
    sources: [{{.TeamsNet}}]
    media: [{{.TeamsNet}}]
    names: {{list .Names}}
operator:
  transport: udp
  port: {{.Core.Port}}
  srtp: false
{{- if .Digits}}
  interworking: {dtmf: {{.Digits}}}
{{- end}}
gateway:
  name: lab
  location: r1
  properties:
    connectivity: PublicAddress
    codecs: [PCMA, PCMU, G722]
    e911Type: Standard
    platforms: [OperatorConnect]
    serviceLocations:
      - name: r1
        primaryRegionProperties:
          operatorAddresses: [{{.SiteA}}]
          allowedSignalingSourceAddressPrefixes: [{{.SiteA}}, {{.SiteB}}]
          allowedMediaSourceAddressPrefixes: [{{.CoreMedia}}]
      - name: r2
        primaryRegionProperties:
          operatorAddresses: [{{.SiteB}}]
          allowedSignalingSourceAddressPrefixes: [{{.SiteA}}, {{.SiteB}}]
          allowedMediaSourceAddressPrefixes: [{{.CoreMedia}}]
`))
