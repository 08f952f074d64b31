package app

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/carrier"
	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/sandbox/teams"
	"github.com/tandemgw/tandem/wire/sip"
)

// world is a node between the sandbox's Teams and core, both over TLS, on
// loopback.
type world struct {
	t     *testing.T
	dir   string
	text  string // of the configuration
	ca    *authority.Authority
	dns   *dns.Server
	teams *teams.System
	core  *carrier.Core
	node  *Node
	ops   *ops.Client
}

const worldConfig = `node: {name: r1-a, region: r1, data: data}
sip:
  domain: 1r1.lab.example
  listeners:
    - {name: cloud, side: cloud, transport: tls, bind: "127.78.1.1:5063", advertise: "1r1.lab.example:5063", certificate: {chain: cloud.pem, key: cloud.key}}
    - {name: core, side: operator, transport: tls, bind: "127.78.1.2:5061", advertise: "r1.lab.example:5061", certificate: {chain: core.pem, key: core.key}}
  roots: root.pem
  dns: ["127.78.0.53:5300"]
  options: 1s
media:
  interfaces:
    - {side: operator, bind: 127.78.1.2, ports: 20000-20999}
    - {side: cloud, bind: 127.78.1.1, ports: 20000-20999}
  threads: 1
services:
  teams:
    proxies: ["sip.pstn.lab.example:5061", "sip2.pstn.lab.example:5061", "sip3.pstn.lab.example:5061"]
    sources: [127.78.2.0/24]
operator:
  names: [a.core.lab.example]
gateway:
  name: lab
  location: r1
  sku: {name: lab}
  properties:
    serviceLocations:
      - name: r1
        primaryRegionProperties:
          operatorAddresses: [127.78.3.1]
          allowedSignalingSourceAddressPrefixes: [127.78.3.0/24]
          allowedMediaSourceAddressPrefixes: [127.78.3.0/24]
    connectivity: PublicAddress
    codecs: [PCMA]
    e911Type: Standard
    platforms: [OperatorConnect]
`

// build starts a world, after what is to be changed in its folder and its
// configuration.
func build(t *testing.T, changes ...func(*world)) *world {
	t.Helper()
	return buildOf(t, func(*teams.Config) {}, changes...)
}

// buildOf starts a world with another Teams.
func buildOf(t *testing.T, other func(*teams.Config), changes ...func(*world)) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("the world is left out by -short")
	}
	w := &world{t: t, dir: t.TempDir(), text: worldConfig}
	at := func(s string) netip.Addr { return netip.MustParseAddr("127.78." + s) }
	var err error
	w.ca, err = authority.New("Test")
	w.must(err)
	w.dns, err = dns.Start(netip.MustParseAddrPort("127.78.0.53:5300"))
	w.must(err)
	t.Cleanup(func() { _ = w.dns.Close() })
	w.dns.SetHost("1r1.lab.example", time.Minute, at("1.1"))
	w.dns.SetHost("*.1r1.lab.example", time.Minute, at("1.1"))
	w.dns.SetHost("r1.lab.example", time.Minute, at("1.2"))
	w.dns.SetSRV("_sips._tcp.r1.lab.example", time.Minute, dns.SRV{Priority: 1, Weight: 1, Port: 5061, Target: "r1.lab.example"})
	w.renew()
	cfg := teams.Config{
		Domain: "pstn.lab.example", DNS: w.dns, Roots: w.ca.Roots(), Certificate: w.own("*.pstn.lab.example"),
		Media: at("2.9"), Ports: [2]uint16{20000, 20999},
		Trunks: []teams.Trunk{{FQDN: "1r1.lab.example", Port: 5063}},
		Tenants: map[string]string{
			"1r1.lab.example":         "00000000-0000-4000-8000-000000000001",
			"contoso.1r1.lab.example": "00000000-0000-4000-8000-00000000c042",
		},
		Options: time.Second,
	}
	for i, a := range []string{"2.1", "2.2", "2.3"} {
		cfg.Proxies[i] = netip.AddrPortFrom(at(a), 5061)
	}
	other(&cfg)
	w.teams, err = teams.Start(t.Context(), cfg)
	w.must(err)
	t.Cleanup(func() { _ = w.teams.Close() })
	w.core, err = carrier.Start(t.Context(), carrier.Config{
		Domain: "core.lab.example", DNS: w.dns, Roots: w.ca.Roots(), Certificate: w.own("a.core.lab.example"),
		Sites:   []carrier.Site{{Name: "a", Bind: netip.AddrPortFrom(at("3.1"), 5061), Transport: sip.TLS, Near: "r1.lab.example"}},
		Regions: []string{"r1.lab.example"}, Media: at("3.9"), Ports: [2]uint16{20000, 20999}, SRTP: true, Options: time.Second,
		Methods: []string{"NOTIFY", "PRACK", "UPDATE", "INFO"}, // beside those that every phone has
	})
	w.must(err)
	t.Cleanup(func() { _ = w.core.Close() })
	w.write()
	for _, change := range changes {
		change(w)
	}
	loaded, err := LoadConfig(filepath.Join(w.dir, "tandem.yaml"))
	w.must(err)
	w.node, err = New(loaded, slog.New(slog.NewTextHandler(shown{t}, nil)), "test")
	w.must(err)
	t.Cleanup(w.node.Close)
	w.core.Answer("+442079460001", phone.Behaviour{})
	w.teams.Answer("+14255550101", phone.Behaviour{})
	w.ops = ops.Dial(loaded.Node.Socket())
	w.ready()
	return w
}

// shown writes the node's log to the test's.
type shown struct{ t *testing.T }

func (s shown) Write(p []byte) (int, error) {
	s.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) own(names ...string) func() (*tls.Certificate, error) {
	w.t.Helper()
	cert, err := w.ca.Issue(authority.Terms{}, names...)
	w.must(err)
	return func() (*tls.Certificate, error) { return cert, nil }
}

// renew writes new certificates for both listeners.
func (w *world) renew() {
	w.t.Helper()
	for stem, names := range map[string][]string{"cloud": {"1r1.lab.example", "*.1r1.lab.example"}, "core": {"r1.lab.example"}} {
		cert, err := w.ca.Issue(authority.Terms{NotAfter: time.Now().AddDate(0, 3, 0)}, names...)
		w.must(err)
		_, err = w.ca.Write(w.dir, stem, cert)
		w.must(err)
	}
}

// write puts the configuration into its file, with replacements made in it.
func (w *world) write(changes ...string) {
	w.t.Helper()
	w.text = strings.NewReplacer(changes...).Replace(w.text)
	write(w.t, w.dir, "tandem.yaml", w.text)
}

// until polls until nothing is missing.
func (w *world) until(missing func() string) { w.t.Helper(); until(w.t, missing) }

func until(t *testing.T, missing func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(time.Minute) // of what must come; a busy machine may take its time
	defer limit.Stop()
	for last := missing(); last != ""; last = missing() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatal(last)
		}
	}
}

// ready waits until everybody reaches everybody.
func (w *world) ready() {
	w.t.Helper()
	w.until(func() string {
		for _, p := range w.node.peers.Health() {
			if p.State != "up" {
				return p.Peer + " is " + p.State + " " + p.Why
			}
		}
		for _, t := range w.teams.Trunks() {
			if !t.Active {
				return "Teams does not use the trunk: " + t.LastError
			}
		}
		for _, p := range w.core.Peers() {
			if !p.Up {
				return "the core does not use the gateway: " + p.LastError
			}
		}
		return ""
	})
}

// talk places a call from Teams, or from the core, and waits for its answer.
func (w *world) talk(fromTeams bool) *phone.Call {
	w.t.Helper()
	var call *phone.Call
	var err error
	if fromTeams {
		call, err = w.teams.Dial(w.t.Context(), phone.CallSpec{From: "+14255550101", To: "+442079460001", Region: "1r1.lab.example"})
	} else {
		call, err = w.core.Dial(w.t.Context(), phone.CallSpec{From: "+442079460001", To: "+14255550101", Site: "a"})
	}
	w.must(err)
	w.must(call.Wait(w.t.Context()))
	if f := call.Facts(); f.Answered.IsZero() {
		w.t.Fatalf("not answered: %d %s %s", f.Status, f.Reason, f.Error)
	}
	return call
}
