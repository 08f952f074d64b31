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
	"strconv"
	"strings"
	"sync/atomic"
	"text/template"
	"time"

	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/carrier"
	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/operatorconnect"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/sandbox/teams"
	"github.com/tandemgw/tandem/wire/sip"
)

// Names of the lab's world. Its domains are ones nobody owns (RFC 2606).
const (
	suffix      = "gw.lab.example" // under which gateways have their names
	teamsDomain = "pstnhub.lab.example"
	coreDomain  = "core.lab.example"
	tenant      = "00000000-0000-4000-8000-00000000c042" // of the enterprise
)

// Ports; every party has an address of its own, so the usual ones serve.
const (
	portDNS     = 5300
	portCloud   = 5063 // where Teams reaches a region
	portCore    = 5060
	portProxy   = 5061
	portControl = 8080
	portAPI     = 8443
	portLink    = 4222
	portCluster = 6222
)

// The parties' last byte within the lab's own /24 of loopback.
const (
	hostR1Cloud, hostR1Core = 11, 12
	hostR2Cloud, hostR2Core = 21, 22
	hostProxy               = 32 // 32, 33, 34
	hostTeamsMedia          = 35
	hostClients             = 66 // of users with media bypass
	hostSiteA, hostSiteB    = 41, 42
	hostCoreMedia           = 43
	hostDNS, hostLabControl = 53, 80
	hostControl             = 81 // and, of three control nodes, 82 and 83
	hostOperators           = 90
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
	cloudName string // FQDN on the Teams side, "1r1.<label>.gw.lab.example"
	coreName  string // FQDN on the operator's side, "r1.<label>.gw.lab.example"
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

	authority   *authority.Authority
	dns         *dns.Server
	teams       *teams.System
	core        *carrier.Core
	operators   *operatorconnect.Environment
	domains     *domains
	stopLooking context.CancelFunc // ends watching them
	control     *http.Server       // of the far sides
	planes      []*node            // the control nodes
	api         *api
	base        string // domain of the gateway
	operation   string // that makes it complete
	steps       string // of which it consisted
	settled     string // how onboarding went
	raw         bool   // it was left out
	r1, r2      *region

	dialled [2]atomic.Int32 // numbers given out so far: [0] subscribers, [1] users
}

// build starts everything and waits until every OPTIONS is answered.
func build(ctx context.Context, opt Options, s *show) (*world, error) {
	w := &world{dir: opt.Dir, options: opt.Options, log: opt.Log}
	if err := w.prepare(opt); err != nil {
		w.close()
		return nil, err
	}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
		came func() string
	}{
		{"a control node", func(wait context.Context) error { return w.startPlane(wait, opt) }, func() string { return "resource API, DNS zone, link" + manyNodes(opt.Controls) }},
		{"a gateway is created", w.createGateway, func() string { return w.base }},
		{"Teams", func(context.Context) error { return w.startTeams(ctx) }, func() string { return "3 proxies" }},
		{"two service regions", func(context.Context) error { return w.startNodes(opt) }, func() string { return "r1 and r2" }},
		{complete, func(wait context.Context) error { return w.complete(wait, s) }, func() string { return "" }},
		{"onboarded to Operator Connect", func(wait context.Context) error { return w.settle(wait, opt, s) }, func() string { return w.settled }},
		// Not before the names are there: who has asked for one in vain remembers it.
		{"the operator's core", func(context.Context) error { return w.startCore(ctx) }, func() string { return "2 sites" }},
		{"everybody answers OPTIONS", func(wait context.Context) error { return w.ready(wait, func(p string) { s.progress("%s", p) }) }, func() string { return "" }},
	} {
		s.begin(step.name)
		wait, cancel := context.WithTimeout(ctx, stepTime)
		err := step.run(wait)
		cancel()
		if err != nil {
			s.end(false, "")
			w.close()
			return nil, err
		}
		s.end(true, "%s", step.came())
		if step.name == complete {
			s.line("      %s", w.steps)
		}
	}
	return w, nil
}

const complete = "the gateway is Complete"

// stepTime is how long a step of building the world may take.
const stepTime = 30 * time.Second

// prepare makes what everything else needs: a folder, addresses, an authority, DNS.
func (w *world) prepare(opt Options) (err error) {
	if err := w.makeDir(opt); err != nil {
		return err
	}
	if err := w.findAddresses(); err != nil {
		return err
	}
	if w.authority, err = authority.New("Tandem Lab"); err != nil {
		return err
	}
	if w.dns, err = dns.Start(netip.AddrPortFrom(w.addr(hostDNS), portDNS)); err != nil {
		return fmt.Errorf("start DNS: %w", err)
	}
	w.dns.SetHost(apiName, time.Minute, w.addr(hostControl))
	w.dns.Forward(suffix, netip.AddrPortFrom(w.addr(hostControl), portDNS))
	return w.startOperators()
}

func (w *world) makeDir(opt Options) error {
	if opt.Dir != "" {
		return w.clear()
	}
	dir, err := os.MkdirTemp("", "tandem-lab-")
	if err != nil {
		return fmt.Errorf("make a folder for the lab: %w", err)
	}
	w.dir, w.ownDir = dir, true
	return nil
}

// clear takes away the nodes of an earlier lab in the same folder: they knew
// themselves by other addresses. What the lab did not write stays.
func (w *world) clear() error {
	for _, name := range []string{controlName(0), controlName(1), controlName(2), "r1", "r2"} {
		dir := filepath.Join(w.dir, name)
		text, err := os.ReadFile(filepath.Join(dir, "tandem.yaml"))
		if err != nil || !strings.HasPrefix(string(text), written) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clear the folder of an earlier lab: %w", err)
		}
	}
	return os.MkdirAll(w.dir, 0o700)
}

// written is the first line of a configuration that the lab wrote.
const written = "# Written by \"tandem lab\".\n"

// findAddresses picks a /24 of loopback that nobody uses: all of 127/8 is this
// machine's, so two labs do not meet.
func (w *world) findAddresses() error {
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

// startPlane starts the control nodes and waits until they answer.
func (w *world) startPlane(ctx context.Context, opt Options) error {
	for i := range opt.Controls {
		name := controlName(i)
		dir, err := w.nodeDir(name, name, w.addr(hostControl+byte(i)), apiName, "*."+vaultDomain)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "client.secret"), []byte(clientSecret+"\n"), 0o600); err != nil {
			return fmt.Errorf("write the secret of a client: %w", err)
		}
		plane, err := w.newNode(name, dir, controlConfig, w.controlFacts(i, opt), opt)
		if err != nil {
			return err
		}
		w.planes = append(w.planes, plane)
		if err := plane.start(); err != nil {
			return err
		}
	}
	w.api = w.newAPI()
	for _, plane := range w.planes {
		if err := plane.up(ctx); err != nil {
			return err
		}
	}
	return nil
}

// controlName is the node.name of a control node, and the name of its folder.
func controlName(i int) string {
	if i == 0 {
		return "control"
	}
	return "control-" + strconv.Itoa(i+1)
}

func manyNodes(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" on %d of them", n)
}

// createGateway makes the resource, whose label the names of all that follows
// are made of.
func (w *world) createGateway(ctx context.Context) error {
	label, operation, err := w.api.createGateway(ctx, w.resource())
	if err != nil {
		return err
	}
	w.base, w.operation = label+"."+suffix, operation
	w.r1 = &region{name: "r1", site: "a", cloud: w.addr(hostR1Cloud), core: w.addr(hostR1Core)}
	w.r2 = &region{name: "r2", site: "b", cloud: w.addr(hostR2Cloud), core: w.addr(hostR2Core)}
	for _, r := range w.regions() {
		r.cloudName, r.coreName = "1"+r.name+"."+w.base, r.name+"."+w.base
	}
	return nil
}

// complete waits until the gateway is what its resource says.
func (w *world) complete(ctx context.Context, s *show) error {
	steps, err := w.api.complete(ctx, w.operation, func(p string) { s.progress("%s", p) })
	w.steps = strings.Join(steps, ", ")
	return err
}

func (w *world) startTeams(ctx context.Context) error {
	cert, err := w.authority.Issue(authority.Terms{}, "*."+teamsDomain)
	if err != nil {
		return err
	}
	cfg := teams.Config{
		Domain: teamsDomain, DNS: w.dns, RecordRoute: recordRoute,
		Certificate: func() (*tls.Certificate, error) { return cert, nil }, Roots: w.authority.Roots(),
		Media: w.addr(hostTeamsMedia), Ports: [2]uint16{firstMedia, lastMedia}, Clients: w.addr(hostClients),
		Tenants:  map[string]string{w.r1.cloudName: tenant, w.r2.cloudName: tenant},
		Verified: w.usable,
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
		Methods: []string{"INFO"}, // it has keys by that
		// The gateway hides Teams from the core; it does not hide itself.
		Hidden: []string{teamsDomain, w.addr(hostProxy).String(), w.addr(hostTeamsMedia).String()},
	})
	if err != nil {
		return fmt.Errorf("start the operator's core: %w", err)
	}
	return w.startControl()
}

// startControl serves the far sides' control ports, with which calls are
// placed and faults made by hand.
func (w *world) startControl() error {
	mux := http.NewServeMux()
	mux.Handle("/teams/", http.StripPrefix("/teams", w.teams.Handler()))
	mux.Handle("/core/", http.StripPrefix("/core", w.core.Handler()))
	mux.Handle("/operatorconnect/", http.StripPrefix("/operatorconnect", w.operators.Control()))
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

// nodeDir makes a node's folder with its certificates: one for others of its
// kind, which bears the node's name, and one for everybody else.
func (w *world) nodeDir(name, node string, at netip.Addr, names ...string) (string, error) {
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for %s: %w", name, err)
	}
	for stem, names := range map[string][]string{"node": {node, at.String()}, "own": names} {
		cert, err := w.authority.Issue(authority.Terms{ClientAuth: true}, names...)
		if err != nil {
			return "", err
		}
		if _, err := w.authority.Write(dir, stem, cert); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// newNode writes a node's configuration.
func (w *world) newNode(name, dir string, config *template.Template, facts any, opt Options) (*node, error) {
	var text strings.Builder
	if err := config.Execute(&text, facts); err != nil {
		return nil, fmt.Errorf("write the configuration of %s: %w", name, err)
	}
	file := filepath.Join(dir, "tandem.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of %s: %w", name, err)
	}
	return &node{name: name, command: opt.Node, file: file, socket: filepath.Join(dir, "data", "control.sock")}, nil
}

// startNodes starts the edges.
func (w *world) startNodes(opt Options) error {
	for _, r := range w.regions() {
		dir, err := w.nodeDir(r.name, r.edge(), r.core, r.cloudName, "*."+r.cloudName, r.coreName, "mcp."+r.coreName)
		if err != nil {
			return err
		}
		if r.node, err = w.newNode(r.name, dir, edgeConfig, w.facts(r), opt); err != nil {
			return err
		}
		if err := r.node.start(); err != nil {
			return err
		}
	}
	return nil
}

// edge is the node.name of a region's edge.
func (r *region) edge() string { return r.name + "-lab" }

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
		if !t.Active && (t.Verified || !w.raw) {
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
	s.line("    tandem onboard plan --socket %s", w.planes[0].socket)
	s.line("    tandem user reset %s --socket %s", setupUser, w.planes[0].socket)
	s.line("    curl -s -d '{\"from\":\"+14255550199\",\"to\":\"+442079460199\"}' http://%s/teams/calls", w.control.Addr)
	s.line("    curl -s -d '{\"from\":\"+442079460199\",\"to\":\"+14255550199\"}' http://%s/core/calls", w.control.Addr)
	s.line("")
	for _, r := range w.regions() {
		s.line("  %s  Teams side %-21s operator side %s", r.name, netip.AddrPortFrom(r.cloud, portCloud), netip.AddrPortFrom(r.core, portCore))
	}
	s.line("  Teams %s, core %s and %s", w.teams.ProxyAddr("sip"), w.core.SiteAddr("a"), w.core.SiteAddr("b"))
	s.line("  DNS %s", w.dns.Addr())
	s.line("  Operator Connect %s, for %s", w.operators.URL(), setupUser)
	s.line("  a browser needs \"%s %s\" in /etc/hosts to sign in", w.addr(hostControl), apiName)
	s.line("  files %s", w.dir)
}

// close ends everything, nodes first.
func (w *world) close() {
	for _, r := range w.regions() {
		if r != nil && r.node != nil {
			r.node.terminate(3 * time.Second)
		}
	}
	for _, plane := range w.planes {
		plane.terminate(3 * time.Second)
	}
	if w.control != nil {
		_ = w.control.Close() // nobody is served any more
	}
	if w.stopLooking != nil {
		w.stopLooking()
		<-w.domains.done
	}
	if w.teams != nil {
		_ = w.teams.Close()
	}
	if w.core != nil {
		_ = w.core.Close()
	}
	if w.operators != nil {
		_ = w.operators.Close()
	}
	if w.dns != nil {
		_ = w.dns.Close()
	}
	if w.ownDir {
		_ = os.RemoveAll(w.dir)
	}
}

// nodeFacts is what the templates of nodes' configurations are filled with.
type nodeFacts struct {
	Node, Region         string
	Cloud, Core, DNS     netip.AddrPort
	API, Zone, Link      netip.AddrPort
	Links                []string       // of all control nodes
	Cluster              []clusterFacts // of several control nodes
	ClusterAt            netip.AddrPort
	Store                string
	Suffix, APIName      string
	Vaults               string
	Domain, Operators    string
	Tenant, Subscription string
	Client               string
	Proxies, Names       []string
	TeamsNet             netip.Prefix
	CorePort             int
	Options              time.Duration
}

// clusterFacts are one control node of several.
type clusterFacts struct {
	Name string
	At   netip.AddrPort
}

// controlFacts are those of a control node.
func (w *world) controlFacts(i int, opt Options) nodeFacts {
	f, at := w.facts(nil), w.addr(hostControl+byte(i))
	f.Node, f.Store = controlName(i), opt.Store
	f.API, f.Zone, f.Link = netip.AddrPortFrom(at, portAPI), netip.AddrPortFrom(at, portDNS), netip.AddrPortFrom(at, portLink)
	for k := range opt.Controls {
		if opt.Controls > 1 {
			f.Cluster = append(f.Cluster, clusterFacts{controlName(k), netip.AddrPortFrom(w.addr(hostControl+byte(k)), portCluster)})
		}
	}
	if opt.Controls > 1 {
		f.ClusterAt = netip.AddrPortFrom(at, portCluster)
	}
	return f
}

// facts are those of a region's edge, or what control nodes have in common.
func (w *world) facts(r *region) nodeFacts {
	f := nodeFacts{
		DNS: w.dns.Addr(), Options: w.options, CorePort: portCore,
		TeamsNet: netip.PrefixFrom(w.addr(hostProxy-hostProxy%8), 29), // the proxies and their media
		Suffix:   suffix, APIName: apiName, Domain: operatorDomain, Vaults: vaultDomain, Operators: w.operators.URL(), Tenant: tenantID, Subscription: subscription, Client: clientID,
		Names: []string{"sip." + teamsDomain, recordRoute + "." + teamsDomain},
	}
	for _, proxy := range []string{"sip.", "sip2.", "sip3."} {
		f.Proxies = append(f.Proxies, fmt.Sprintf("%s%s:%d", proxy, teamsDomain, portProxy))
	}
	for i := range w.planes {
		f.Links = append(f.Links, fmt.Sprintf("\"tls://%s\"", netip.AddrPortFrom(w.addr(hostControl+byte(i)), portLink)))
	}
	if r != nil {
		f.Node, f.Region = r.edge(), r.name
		f.Cloud, f.Core = netip.AddrPortFrom(r.cloud, portCloud), netip.AddrPortFrom(r.core, portCore)
	}
	return f
}

// resource is the gateway, as a customer of the withdrawn service writes it.
func (w *world) resource() map[string]any {
	sites := []string{w.addr(hostSiteA).String(), w.addr(hostSiteB).String()}
	location := func(region, calls string) any {
		return map[string]any{"name": region, "primaryRegionProperties": map[string]any{
			"operatorAddresses": []string{calls}, "allowedSignalingSourceAddressPrefixes": sites,
			"allowedMediaSourceAddressPrefixes": []string{w.addr(hostCoreMedia).String()},
		}}
	}
	return map[string]any{"location": "r1", "sku": map[string]any{"name": "standard"}, "properties": map[string]any{
		"connectivity": "PublicAddress", "codecs": []string{"PCMA", "PCMU", "G722"}, "e911Type": "Standard", "platforms": []string{"OperatorConnect"},
		"serviceLocations": []any{location("r1", sites[0]), location("r2", sites[1])},
	}}
}

func yamlTemplate(text string) *template.Template {
	return template.Must(template.New("tandem.yaml").Funcs(template.FuncMap{"list": func(items []string) string {
		return "[" + strings.Join(items, ", ") + "]"
	}}).Parse(written + text))
}

// controlConfig is the tandem.yaml of the lab's control node.
var controlConfig = yamlTemplate(`node: {name: {{.Node}}, data: data, drain: 2s}
control:
  api: {listen: "{{.API}}", name: {{.APIName}}, certificate: {chain: own.pem, key: own.key}}
  suffix: {{.Suffix}}
{{- if .Store}}
  store: "{{.Store}}"
{{- end}}
  dns: {listen: "{{.Zone}}", nameServers: [ns1.lab.example], contact: hostmaster@lab.example}
  tenant: {id: {{.Tenant}}, name: Lab}
  directory: {domain: {{.Domain}}}
{{- if not .Cluster}}
  vaults: {domain: {{.Vaults}}}
{{- end}}
  onboard: {operatorConnect: {url: "{{.Operators}}", roots: root.pem}}
  subscriptions: [{id: {{.Subscription}}, name: lab}]
  login:
    clients:
      - {id: {{.Client}}, name: the lab itself, secretFile: client.secret, roles: [{role: Owner, scope: /subscriptions/{{.Subscription}}}], directoryRoles: [Global Administrator]}
  locations:
    - {name: r1, displayName: Region 1, uses: [management, service], edges: [r1-lab]}
    - {name: r2, displayName: Region 2, uses: [service], edges: [r2-lab]}
link:
  listen: "{{.Link}}"
  ca: root.pem
  certificate: {chain: node.pem, key: node.key}
{{- if .Cluster}}
  cluster:
    name: lab
    listen: "{{.ClusterAt}}"
    nodes:
{{- range .Cluster}}
      - {name: {{.Name}}, at: "{{.At}}"}
{{- end}}
{{- end}}
sip: {dns: ["{{.DNS}}"], options: {{.Options}}}
services:
  teams:
    proxies: {{list .Proxies}}
    sources: [{{.TeamsNet}}]
    media: [{{.TeamsNet}}]
    names: {{list .Names}}
    interworking: {bypass: true}
operator:
  transport: udp
  port: {{.CorePort}}
  srtp: false
  interworking: {dtmf: info}
`)

// edgeConfig is that of a region's edge.
var edgeConfig = yamlTemplate(`node: {name: {{.Node}}, region: {{.Region}}, data: data, drain: 2s}
link: {urls: {{list .Links}}, ca: root.pem, certificate: {chain: node.pem, key: node.key}}
sip:
  listeners:
    - name: cloud
      side: cloud
      transport: tls
      bind: {{.Cloud}}
      certificate: {chain: own.pem, key: own.key}
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
`)
