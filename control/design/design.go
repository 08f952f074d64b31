// Package design holds a gateway's network design: the operator's sites, the
// connections between them and the service regions, and the requirements that
// such a network has to meet. Check is pure; Draw makes a picture of a design
// and of what Check found.
//
// The requirements are those published for the service that Tandem takes the
// place of (Microsoft Learn, "Prepare to connect Azure Communications Gateway
// to your own virtual network", "Connectivity for Azure Communications
// Gateway", "Reliability in Azure Communications Gateway"): each finding says
// which. Start reading at Check.
package design

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
)

// Design is the operator's side of a network.
type Design struct {
	Sites       []Site       `yaml:"sites" json:"sites"`
	Connections []Connection `yaml:"connections" json:"connections"`
}

// Site is one place where the operator's core stands.
type Site struct {
	Name         string   `yaml:"name" json:"name"`
	Region       string   `yaml:"region" json:"region"`             // service region that it tries first
	Signalling   []string `yaml:"signalling" json:"signalling"`     // ranges that its signalling comes from
	Media        []string `yaml:"media" json:"media"`               // ranges that its media comes from
	Allows       []string `yaml:"allows" json:"allows"`             // ranges that its firewalls let in from the gateway
	CrossConnect []string `yaml:"crossConnect" json:"crossConnect"` // sites that it is connected with directly
}

// Connection joins a site to a service region.
type Connection struct {
	Name      string `yaml:"name" json:"name"`
	Site      string `yaml:"site" json:"site"`
	Region    string `yaml:"region" json:"region"`
	Type      string `yaml:"type" json:"type"`           // one of Types
	Redundant bool   `yaml:"redundant" json:"redundant"` // of two links that share nothing locally
	BFD       *BFD   `yaml:"bfd" json:"bfd"`             // nil: none
}

// BFD is bidirectional forwarding detection (RFC 5880), which tells within
// half a second that a link is dead.
type BFD struct {
	Interval   int  `yaml:"interval" json:"interval"` // milliseconds between packets
	Multiplier int  `yaml:"multiplier" json:"multiplier"`
	BGP        bool `yaml:"bgp" json:"bgp"` // the BGP session hangs on it
}

// The types of connections.
const (
	Peering  = "peering"  // with the cloud's network for voice, at an exchange
	Private  = "private"  // a circuit of the operator's own
	VPN      = "vpn"      // over the internet
	Internet = "internet" // in the open
)

// Types are all types of connections.
var Types = []string{Peering, Private, VPN, Internet}

// Verdict is what becomes of a requirement.
type Verdict string

// The verdicts.
const (
	Pass    Verdict = "pass"
	Warning Verdict = "warning" // allowed, and unwise
	Fail    Verdict = "fail"
	Unknown Verdict = "unknown" // could not be tried
)

// Finding is one requirement held against the design.
type Finding struct {
	Requirement string   `json:"requirement"` // in one sentence
	Verdict     Verdict  `json:"verdict"`
	Detail      string   `json:"detail,omitempty"` // what was found, and what to do
	About       []string `json:"about,omitempty"`  // "site a", "region westeurope", "connection pni-1", "cross-connect a b"
}

// Problems tells what a document itself gets wrong: names that do not fit
// together, ranges that cannot be read.
func (d Design) Problems(g gateway.Gateway) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	regions, sites := Regions(g), d.names()
	for i, s := range d.Sites {
		at := fmt.Sprintf("sites[%d]", i)
		if s.Name == "" || slices.Contains(sites[:i], s.Name) {
			bad("%s.name %q: give each site a name of its own", at, s.Name)
		}
		if !slices.Contains(regions, s.Region) {
			bad("%s.region %q: write one of the gateway's service regions, %s", at, s.Region, strings.Join(regions, " or "))
		}
		for key, list := range map[string][]string{"signalling": s.Signalling, "media": s.Media, "allows": s.Allows} {
			for j, r := range list {
				if _, err := gateway.ParsePrefix(r); err != nil {
					bad("%s.%s[%d] %q: write an address or a range such as 192.0.2.0/28", at, key, j, r)
				}
			}
		}
		for j, other := range s.CrossConnect {
			if other == s.Name || !slices.Contains(sites, other) {
				bad("%s.crossConnect[%d] %q: write the name of another site", at, j, other)
			}
		}
	}
	for i, c := range d.Connections {
		at := fmt.Sprintf("connections[%d]", i)
		if c.Name == "" || slices.ContainsFunc(d.Connections[:i], func(x Connection) bool { return x.Name == c.Name }) {
			bad("%s.name %q: give each connection a name of its own", at, c.Name)
		}
		if !slices.Contains(sites, c.Site) {
			bad("%s.site %q: write the name of a site", at, c.Site)
		}
		if !slices.Contains(regions, c.Region) {
			bad("%s.region %q: write one of the gateway's service regions, %s", at, c.Region, strings.Join(regions, " or "))
		}
		if !slices.Contains(Types, c.Type) {
			bad("%s.type %q: write %s", at, c.Type, strings.Join(Types, ", "))
		}
	}
	slices.Sort(problems)
	return problems
}

// Regions are the names of a gateway's service regions.
func Regions(g gateway.Gateway) (names []string) {
	for _, l := range g.Properties.ServiceLocations {
		names = append(names, l.Name)
	}
	return names
}

func (d Design) names() (names []string) {
	for _, s := range d.Sites {
		names = append(names, s.Name)
	}
	return names
}

// checker collects findings.
type checker struct {
	d    Design
	g    gateway.Gateway
	lab  bool
	list []Finding
}

// Check holds a design, whose Problems are none, against the requirements.
func Check(d Design, g gateway.Gateway) []Finding {
	c := checker{d: d, g: g, lab: g.SKU != nil && g.SKU.Name == "lab" || len(g.Properties.ServiceLocations) == 1}
	c.counts()
	c.crossConnects()
	c.reach()
	c.pairing()
	c.allowLists()
	c.firewalls()
	c.addresses()
	c.types()
	c.circuits()
	c.bfd()
	return c.list
}

// judge adds a finding: wrong says what is not as it should be, none when all
// is well.
func (c *checker) judge(requirement string, verdict Verdict, wrong []string, about ...string) {
	f := Finding{Requirement: requirement, Verdict: Pass, Detail: strings.Join(wrong, "; ")}
	if wrong != nil {
		f.Verdict, f.About = verdict, about
	}
	c.list = append(c.list, f)
}

func (c *checker) counts() {
	regions, sites := Regions(c.g), c.d.names()
	if c.lab {
		c.judge("a lab has one service region", Fail, unless(len(regions) == 1, "the gateway has %d", len(regions)))
		c.judge("a lab has one site at least", Fail, unless(len(sites) >= 1, "the design has none: describe it under sites"))
		return
	}
	c.judge("production has two service regions", Fail, unless(len(regions) == 2, "the gateway has %d: add one to serviceLocations", len(regions)))
	c.judge("the core stands at two sites at least, apart from each other", Fail, unless(len(sites) >= 2, "the design has %d: one fault would end all calls", len(sites)))
}

func unless(good bool, format string, args ...any) []string {
	if good {
		return nil
	}
	return []string{fmt.Sprintf(format, args...)}
}

// crossConnects: "geographically redundant sites with cross-connects".
func (c *checker) crossConnects() {
	if len(c.d.Sites) < 2 {
		return
	}
	var wrong, about []string
	for i, a := range c.d.Sites {
		for _, b := range c.d.Sites[i+1:] {
			if !crossed(a, b) {
				wrong = append(wrong, fmt.Sprintf("%s and %s have none: connect them, so that a call reaches either site from either region", a.Name, b.Name))
				about = append(about, "cross-connect "+a.Name+" "+b.Name)
			}
		}
	}
	c.judge("the sites have cross-connects", Fail, wrong, about...)
}

func crossed(a, b Site) bool {
	return slices.Contains(a.CrossConnect, b.Name) || slices.Contains(b.CrossConnect, a.Name)
}

// reach: each region reaches each site by a connection of its own.
func (c *checker) reach() {
	var wrong, about []string
	for _, s := range c.d.Sites {
		for _, r := range Regions(c.g) {
			if !slices.ContainsFunc(c.d.Connections, func(x Connection) bool { return x.Site == s.Name && x.Region == r }) {
				wrong = append(wrong, fmt.Sprintf("nothing joins %s and %s: when the other region is lost, %s is cut off", s.Name, r, s.Name))
				about = append(about, "site "+s.Name, "region "+r)
			}
		}
	}
	c.judge("each site reaches each service region", Fail, wrong, about...)
}

// pairing: site A has region 1 first and region 2 second, B the mirror.
func (c *checker) pairing() {
	if c.lab {
		return
	}
	var wrong, about []string
	for _, r := range Regions(c.g) {
		if !slices.ContainsFunc(c.d.Sites, func(s Site) bool { return s.Region == r }) {
			wrong = append(wrong, fmt.Sprintf("no site tries %s first: pair sites and regions, one each", r))
			about = append(about, "region "+r)
		}
	}
	c.judge("each service region is the first of a site", Warning, wrong, about...)
}

// allowLists: what a site sends is let in by every region.
func (c *checker) allowLists() {
	var wrong, about, wide []string
	for _, l := range c.g.Properties.ServiceLocations {
		p := l.PrimaryRegionProperties
		for _, s := range c.d.Sites {
			for _, x := range []struct {
				what string
				list []string
				in   []string
			}{{"signalling", s.Signalling, p.AllowedSignalingSourceAddressPrefixes}, {"media", s.Media, p.AllowedMediaSourceAddressPrefixes}} {
				if out := outside(x.list, x.in); out != nil {
					wrong = append(wrong, fmt.Sprintf("%s does not let in the %s of site %s: add %s", l.Name, x.what, s.Name, strings.Join(out, ", ")))
					about = append(about, "site "+s.Name, "region "+l.Name)
				}
			}
		}
		var all []string
		for _, s := range c.d.Sites {
			all = append(append(all, s.Signalling...), s.Media...)
		}
		for _, r := range slices.Concat(p.AllowedSignalingSourceAddressPrefixes, p.AllowedMediaSourceAddressPrefixes) {
			if !meets(r, all) && !slices.Contains(wide, r+" in "+l.Name) {
				wide = append(wide, r+" in "+l.Name)
			}
		}
	}
	if c.g.Properties.OperatorPeerGroupConfigScheme == gateway.PeerGroupScheme {
		c.list = append(c.list, Finding{
			Requirement: "the gateway lets in what the sites send", Verdict: Unknown,
			Detail: "peers have lists of their own: `tandem config check` and the resource itself judge them",
		})
		return
	}
	c.judge("the gateway lets in what the sites send", Fail, wrong, about...)
	var stray []string
	if wide != nil {
		stray = []string{"no site is in " + strings.Join(wide, ", ") + ": remove what nobody uses"}
	}
	c.judge("the gateway lets in nothing else", Warning, stray)
}

// firewalls: "two ranges must be allowed entirely, since actual addresses move".
func (c *checker) firewalls() {
	var wrong, about []string
	known := false
	for _, l := range c.g.Properties.ServiceLocations {
		if l.ACGAddressRanges == nil {
			continue
		}
		known = true
		ours := slices.Concat(l.ACGAddressRanges.SignalingForOperator, l.ACGAddressRanges.MediaForOperator)
		slices.Sort(ours)
		ours = slices.Compact(ours) // often both are one address
		for _, s := range c.d.Sites {
			if out := outside(ours, s.Allows); out != nil {
				wrong = append(wrong, fmt.Sprintf("site %s keeps %s out: let in %s", s.Name, l.Name, strings.Join(out, ", ")))
				about = append(about, "site "+s.Name, "region "+l.Name)
			}
		}
	}
	const requirement = "the sites let in the addresses that the edges use"
	if !known {
		c.list = append(c.list, Finding{Requirement: requirement, Verdict: Unknown, Detail: "no edge has told its addresses yet: try again when the gateway is Complete"})
		return
	}
	c.judge(requirement, Fail, wrong, about...)
}

// addresses: a region calls the site next to it.
func (c *checker) addresses() {
	if c.g.Properties.OperatorPeerGroupConfigScheme == gateway.PeerGroupScheme {
		return
	}
	var wrong, about []string
	for _, l := range c.g.Properties.ServiceLocations {
		for _, a := range l.PrimaryRegionProperties.OperatorAddresses {
			ip, err := netip.ParseAddr(a)
			if err != nil {
				continue // a name; where it leads is DNS's
			}
			at := slices.IndexFunc(c.d.Sites, func(s Site) bool { return outside([]string{ip.String()}, s.Signalling) == nil })
			switch {
			case at < 0:
				wrong = append(wrong, fmt.Sprintf("%s calls %s, which is in no site", l.Name, a))
				about = append(about, "region "+l.Name)
			case c.d.Sites[at].Region != l.Name && !c.lab:
				wrong = append(wrong, fmt.Sprintf("%s calls %s, in site %s, which itself tries %s first: pair them", l.Name, a, c.d.Sites[at].Name, c.d.Sites[at].Region))
				about = append(about, "region "+l.Name, "site "+c.d.Sites[at].Name)
			}
		}
	}
	c.judge("each region calls the site that is paired with it", Warning, wrong, about...)
}

// types: what may carry calls of Operator Connect and Teams Phone Mobile.
func (c *checker) types() {
	var wrong, about []string
	carrier := slices.ContainsFunc(c.g.Properties.Platforms, func(p string) bool { return p == "OperatorConnect" || p == "TeamsPhoneMobile" })
	for _, x := range c.d.Connections {
		if x.Type == Internet || x.Type == VPN && carrier {
			wrong = append(wrong, fmt.Sprintf("%s is %s: nobody vouches for its delay and loss", x.Name, x.Type))
			about = append(about, "connection "+x.Name)
		}
	}
	if c.lab {
		return // anything will do
	}
	c.judge("calls go over peering or private circuits", Warning, wrong, about...)
}

// circuits: with private circuits two at least, each locally redundant.
func (c *checker) circuits() {
	var wrong, about []string
	perRegion := map[string]int{}
	private := 0
	for _, x := range c.d.Connections {
		if x.Type != Private {
			continue
		}
		private++
		perRegion[x.Region]++
		if !x.Redundant {
			wrong = append(wrong, x.Name+" is a single link: make it redundant at its end")
			about = append(about, "connection "+x.Name)
		}
	}
	if private == 0 || c.lab {
		return
	}
	for _, r := range Regions(c.g) {
		if perRegion[r] == 1 {
			wrong = append(wrong, r+" hangs on one circuit: join it by two")
			about = append(about, "region "+r)
		}
	}
	c.judge("private circuits come in twos, each locally redundant", Fail, wrong, about...)
}

// Timers of BFD in milliseconds: what is asked for, and what is suffered.
const (
	bfdInterval = 150
	bfdMost     = 300
	bfdTimes    = 3
)

func (c *checker) bfd() {
	var wrong, slow, about, aboutSlow []string
	for _, x := range c.d.Connections {
		here := "connection " + x.Name
		switch {
		case x.Type != Peering && x.Type != Private:
		case x.BFD == nil:
			wrong, about = append(wrong, x.Name+" has none: a dead link would be noticed by its calls first"), append(about, here)
		case x.BFD.Interval > bfdMost || x.BFD.Interval <= 0 || x.BFD.Multiplier != bfdTimes:
			wrong = append(wrong, fmt.Sprintf("%s has %d ms × %d: set %d ms × %d", x.Name, x.BFD.Interval, x.BFD.Multiplier, bfdInterval, bfdTimes))
			about = append(about, here)
		case x.Type == Peering && !x.BFD.BGP:
			wrong, about = append(wrong, x.Name+" keeps BGP up while BFD is down: let BGP hang on it"), append(about, here)
		case x.BFD.Interval > bfdInterval:
			slow = append(slow, fmt.Sprintf("%s has %s: %d ms is better, where the routers can", x.Name, time.Duration(x.BFD.Interval)*time.Millisecond, bfdInterval))
			aboutSlow = append(aboutSlow, here)
		}
	}
	c.judge("BFD watches every link, 150 ms (300 ms where that cannot be) times 3", Fail, wrong, about...)
	if wrong == nil && slow != nil {
		c.list[len(c.list)-1] = Finding{Requirement: c.list[len(c.list)-1].Requirement, Verdict: Warning, Detail: strings.Join(slow, "; "), About: aboutSlow}
	}
}

// outside are those of list that no range of in holds whole.
func outside(list, in []string) (out []string) {
	for _, s := range list {
		p, err := gateway.ParsePrefix(s)
		if err == nil && !slices.ContainsFunc(in, func(r string) bool {
			q, err := gateway.ParsePrefix(r)
			return err == nil && q.Bits() <= p.Bits() && q.Contains(p.Addr())
		}) {
			out = append(out, s)
		}
	}
	return out
}

// meets tells whether a range and any of a list have an address in common.
func meets(s string, list []string) bool {
	p, err := gateway.ParsePrefix(s)
	return err != nil || slices.ContainsFunc(list, func(r string) bool {
		q, err := gateway.ParsePrefix(r)
		return err == nil && q.Overlaps(p)
	})
}

// Worst is the worst verdict of findings.
func Worst(list []Finding) Verdict {
	worst := Pass
	for _, f := range list {
		if rank(f.Verdict) > rank(worst) {
			worst = f.Verdict
		}
	}
	return worst
}

func rank(v Verdict) int { return slices.Index([]Verdict{Pass, Unknown, Warning, Fail}, v) }
