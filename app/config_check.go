package app

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sdp"
)

// configCheck holds a configuration against the rules. A part that could not
// be read has been complained of already and is not judged again.
type configCheck struct {
	*reader
	*Config
	now    time.Time
	mobile bool // a number of Teams Phone Mobile is provisioned
}

func (k *configCheck) all() {
	k.node()
	k.control()
	k.link()
	if k.edge() {
		k.signalling()
		k.media()
	}
	if k.managed() {
		k.foreign()
		k.stir()
	}
	if k.managed() && k.Control == nil {
		return // control says what the far sides are
	}
	k.services()
	k.zoom()
	k.operator()
	k.gateway()
	k.provision()
	if k.Control != nil {
		k.ruleList()
		return // what depends on a gateway is judged when there is one
	}
	k.defaults()
	k.directRouting()
	k.reach()
	k.stir()
	k.rules()
}

func (k *configCheck) bad(path, format string, args ...any) {
	k.report(path, false, fmt.Sprintf(format, args...))
}

func (k *configCheck) unwise(path, format string, args ...any) {
	k.report(path, true, fmt.Sprintf(format, args...))
}

// report adds a problem. What could not be read has had its line already.
func (k *configCheck) report(path string, warning bool, text string) {
	if k.unread(path) {
		return
	}
	at := k.at(path)
	k.problems = append(k.problems, Problem{Line: at.line, Column: at.column, Path: path, Warning: warning, Text: text})
}

// oneOf checks a word of a list.
func (k *configCheck) oneOf(path, word string, words ...string) bool {
	if slices.Contains(words, word) {
		return true
	}
	switch s := gateway.Suggest(word, words); {
	case word == "":
		k.bad(path, "missing: write %s", strings.Join(words, " or "))
	case s != "":
		k.bad(path, "%q is unknown: did you mean %s?", word, s)
	default:
		k.bad(path, "%q is unknown: write %s", word, strings.Join(words, " or "))
	}
	return false
}

// within checks the bounds of a duration.
func (k *configCheck) within(path string, d, low, high time.Duration) {
	if d < low || d > high {
		k.bad(path, "%s: write a duration from %s to %s", d, low, high)
	}
}

// maxRate is more than any machine answers.
const maxRate = 1_000_000

var (
	nodeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]{0,62}$`)
	hostName = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)
	digits   = regexp.MustCompile(`^[0-9]{1,4}$`)
	country  = regexp.MustCompile(`^[1-9][0-9]{0,2}$`)
)

func (k *configCheck) node() {
	n := k.Node
	if !nodeName.MatchString(n.Name) {
		k.bad("node.name", "%q: name the node with letters, digits, dots and hyphens", n.Name)
	}
	var regions []string
	for _, l := range k.Gateway.Properties.ServiceLocations {
		regions = append(regions, l.Name)
	}
	if len(regions) > 0 && k.edge() {
		k.oneOf("node.region", n.Region, regions...)
	}
	k.within("node.drain", n.Drain, 0, time.Hour)
	k.oneOf("node.log.level", n.Log.Level, "debug", "info", "warn", "error")
	k.oneOf("node.log.format", n.Log.Format, "text", "json")
	// sun_path holds 108 bytes with the closing zero (unix(7)).
	if s := n.Socket(); len(s) > 107 {
		k.bad("node.data", "the control socket would be %s, %d bytes long: choose a folder whose name is shorter by %d", s, len(s), len(s)-107)
	}
	if info, err := os.Stat(n.Data); err == nil && !info.IsDir() {
		k.bad("node.data", "%s is a file: name a folder", n.Data)
	}
	if a := n.Metrics.Addr(); a.IsValid() && !a.IsLoopback() && !a.IsPrivate() {
		k.unwise("node.metrics", "%s can be reached from outside and asks for no password: bind a private address", n.Metrics)
	}
}

// sides are the networks the gateway stands between.
var sides = []snapshot.Side{snapshot.Operator, snapshot.Cloud}

func (k *configCheck) side(path string, s snapshot.Side) bool {
	return k.oneOf(path, string(s), string(snapshot.Operator), string(snapshot.Cloud))
}

func (k *configCheck) signalling() {
	s := k.SIP
	switch {
	case s.Domain == "" && k.managed(): // the gateway's name, of which control tells
	case s.Domain == "":
		k.bad("sip.domain", "missing: name the node's FQDN, which Contact carries towards the cloud")
	case !hostName.MatchString(s.Domain) || !strings.Contains(s.Domain, "."):
		k.bad("sip.domain", "%q: write a full host name; the cloud refuses an address in Contact", s.Domain)
	case len(s.Domain) > 63:
		k.bad("sip.domain", "%d characters: Teams takes names of at most 63", len(s.Domain))
	}
	k.within("sip.options", s.Options, time.Second, 10*time.Minute)
	k.within("sip.progress", s.Progress, time.Second, time.Minute)
	if s.Rate < 1 || s.Rate > maxRate {
		k.bad("sip.rate", "%d: write a number of requests a second from 1 to %d", s.Rate, maxRate)
	}
	for i, d := range s.DNS {
		if d.Port() == 0 && d.IsValid() {
			k.bad(fmt.Sprintf("sip.dns[%d]", i), "%s: write the port of the resolver, usually 53", d)
		}
	}
	k.roots("sip.roots", s.Roots)
	k.listeners()
}

func (k *configCheck) listeners() {
	for i := range k.SIP.Listeners {
		path := fmt.Sprintf("sip.listeners[%d]", i)
		l := &k.SIP.Listeners[i]
		l.Transport = strings.ToLower(l.Transport)
		k.side(path+".side", l.Side)
		known := k.oneOf(path+".transport", l.Transport, "tls", "tcp", "udp")
		if !nodeName.MatchString(l.Name) {
			k.bad(path+".name", "%q: name the listener with letters, digits, dots and hyphens", l.Name)
		}
		k.bind(path, *l)
		k.distinct(path, i)
		switch {
		case !known:
		case l.Side == snapshot.Cloud && k.Services.Teams.Plain() && l.Transport == "udp":
			if !l.Bind.Addr().IsLoopback() {
				k.bad(path+".transport", "a cloud listener without TLS is for measurements on loopback only: write tls")
			}
		case l.Side == snapshot.Cloud && l.Transport != "tls":
			k.bad(path+".transport", "the cloud services speak TLS only: write tls")
		default:
			k.certificate(path, *l)
		}
	}
	for _, side := range sides {
		if !slices.ContainsFunc(k.SIP.Listeners, func(l ListenerConfig) bool { return l.Side == side || !slices.Contains(sides, l.Side) }) {
			k.bad("sip.listeners", "no listener has side %s: the gateway stands between two networks and needs one on each", side)
		}
	}
}

func (k *configCheck) bind(path string, l ListenerConfig) {
	switch {
	case !l.Bind.IsValid():
		k.bad(path+".bind", "missing: write an IP address and a port, such as 192.0.2.1:5061")
	case l.Bind.Port() == 0:
		k.unwise(path+".bind", "port 0 lets the system choose one, which no far side can know: write the port")
	}
	if l.Advertise == "" {
		if l.Bind.Addr().IsUnspecified() {
			k.bad(path+".advertise", "missing: %s is every address of this machine; write the one, or the name, that the far side is to use", l.Bind.Addr())
		}
		return
	}
	host, ok := advertised(l.Advertise)
	switch {
	case !k.has(path + ".advertise"): // made of sip.domain, and judged there
	case !ok:
		k.bad(path+".advertise", "%q: write a host name or an IP address, and a port where it differs from bind", l.Advertise)
	case l.Side == snapshot.Cloud && !hostName.MatchString(host):
		k.bad(path+".advertise", "%q: write a host name; the cloud refuses an address in Contact", l.Advertise)
	case l.Side == snapshot.Cloud && host != k.SIP.Domain && k.SIP.Domain != "":
		k.unwise(path+".advertise", "the cloud will know this listener as %s, and the node as sip.domain %s: write the same name", host, k.SIP.Domain)
	}
}

// advertised is the host of host[:port].
func advertised(s string) (host string, ok bool) {
	host = s
	if h, port, err := net.SplitHostPort(s); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", false
		}
		host = h
	}
	host = strings.Trim(host, "[]")
	if a, err := netip.ParseAddr(host); err == nil {
		return host, !a.IsUnspecified()
	}
	return host, hostName.MatchString(host)
}

// distinct checks a listener against those before it.
func (k *configCheck) distinct(path string, i int) {
	l := k.SIP.Listeners[i]
	for j, other := range k.SIP.Listeners[:i] {
		line := k.at(fmt.Sprintf("sip.listeners[%d]", j)).line
		if l.Name == other.Name && l.Name != "" {
			k.bad(path+".name", "%s is the name of the listener in line %d already", l.Name, line)
		}
		stream := (l.Transport == "udp") == (other.Transport == "udp") // TCP and TLS share their ports
		if stream && l.Bind.IsValid() && l.Bind.Port() != 0 && l.Bind.Port() == other.Bind.Port() && sameHost(l.Bind.Addr(), other.Bind.Addr()) {
			k.bad(path+".bind", "%s is taken by the listener in line %d", l.Bind, line)
		}
	}
}

// sameHost tells whether two bound addresses meet.
func sameHost(a, b netip.Addr) bool { return a == b || a.IsUnspecified() || b.IsUnspecified() }

// callPorts is what one leg takes: RTP and RTCP.
const callPorts = 2

func (k *configCheck) media() {
	k.within("media.quarantine", k.Media.Quarantine, 0, time.Minute)
	k.within("media.silence", k.Media.Silence, 10*time.Second, time.Hour)
	k.sound()
	if k.Media.Threads < 0 || k.Media.Threads > 256 {
		k.bad("media.threads", "%d: write 0, for one to two processors, to 256", k.Media.Threads)
	}
	lines := map[snapshot.Side]int{}
	for i, m := range k.Media.Interfaces {
		path := fmt.Sprintf("media.interfaces[%d]", i)
		if k.side(path+".side", m.Side) && lines[m.Side] != 0 {
			k.bad(path+".side", "side %s has an interface already, in line %d: one is used", m.Side, lines[m.Side])
		}
		lines[m.Side] = k.at(path).line
		switch {
		case !m.Bind.IsValid():
			k.bad(path+".bind", "missing: write an IP address")
		case m.Bind.IsUnspecified() && !m.Advertise.IsValid():
			k.bad(path+".advertise", "missing: %s is every address of this machine; write the one that the far side is to send to", m.Bind)
		}
		if m.Advertise.IsValid() && m.Advertise.IsUnspecified() {
			k.bad(path+".advertise", "%s is nobody's address: write the one that the far side is to send to", m.Advertise)
		}
		k.ports(path, m)
		k.portsFree(path, i)
	}
	for _, side := range sides {
		if lines[side] == 0 && !slices.ContainsFunc(k.Media.Interfaces, func(m InterfaceConfig) bool { return !slices.Contains(sides, m.Side) }) {
			k.bad("media.interfaces", "no interface has side %s: media needs one on each side", side)
		}
	}
}

func (k *configCheck) ports(path string, m InterfaceConfig) {
	low, high := int(m.Ports.Min), int(m.Ports.Max)
	calls := (high - low + 1) / callPorts
	switch {
	case m.Ports == PortRange{}:
		k.bad(path+".ports", "missing: write a range of ports such as 20000-24999")
	case high < low:
		k.bad(path+".ports", "%d-%d runs backwards: write the lower port first", low, high)
	case low < 1024:
		k.bad(path+".ports", "%d-%d: ports below 1024 belong to the system; begin at 1024 or above", low, high)
	case low%2 != 0 || high%2 != 1:
		k.bad(path+".ports", "%d-%d: begin with an even port and end with an odd one, since RTP takes the even and RTCP the next (RFC 3550 §11)", low, high)
	case calls < 10:
		k.unwise(path+".ports", "%d ports carry %d calls at once: widen the range", high-low+1, calls)
	}
}

// portsFree checks that nothing else of ours takes the ports of an interface.
func (k *configCheck) portsFree(path string, i int) {
	m := k.Media.Interfaces[i]
	for j, other := range k.Media.Interfaces[:i] {
		if sameHost(m.Bind, other.Bind) && m.Ports.Min <= other.Ports.Max && other.Ports.Min <= m.Ports.Max {
			k.bad(path+".ports", "meets the ports of the interface in line %d on the same address: keep them apart", k.at(fmt.Sprintf("media.interfaces[%d]", j)).line)
		}
	}
	for j, l := range k.SIP.Listeners {
		if l.Transport == "udp" && l.Bind.IsValid() && sameHost(m.Bind, l.Bind.Addr()) && l.Bind.Port() >= m.Ports.Min && l.Bind.Port() <= m.Ports.Max {
			k.bad(path+".ports", "holds port %d of the listener in line %d: keep them apart", l.Bind.Port(), k.at(fmt.Sprintf("sip.listeners[%d]", j)).line)
		}
	}
}

func (k *configCheck) services() {
	t, path := k.Services.Teams, "services.teams"
	k.proxies(path+".proxies", t.Proxies)
	k.ranges(path+".sources", t.Sources)
	k.ranges(path+".media", t.Media)
	k.hosts(path+".names", t.Names)
	k.tls(publish.TeamsTLS, t.TLS)
	k.limits(path+".limits", t.Limits)
	k.mobileCore()
	if t.Transport != "" && k.oneOf(path+".transport", t.Transport, "tls", "udp") && t.Plain() &&
		(len(t.Sources) == 0 || slices.ContainsFunc(t.Sources, func(p netip.Prefix) bool { return !p.Addr().IsLoopback() })) {
		k.bad(path+".transport", "Teams without TLS is for measurements, with sources on loopback only: write tls")
	}
}

// proxies checks addresses of a cloud service.
func (k *configCheck) proxies(path string, list []string) {
	for i, p := range list {
		here := fmt.Sprintf("%s[%d]", path, i)
		if host, _, err := publish.SplitProxy(p); err != nil {
			k.bad(here, "%q: write host:port", p)
		} else if _, err := netip.ParseAddr(host); err != nil && !hostName.MatchString(host) {
			k.bad(here, "%q: write a host name or an address, and the port", p)
		}
	}
}

// limits checks what bounds the calls through each peer of a side.
func (k *configCheck) limits(path string, l publish.Limits) {
	for key, n := range map[string]int{"calls": l.Calls, "callsPerSecond": l.CallsPerSecond} {
		if n < 0 {
			k.bad(path+"."+key, "%d: write how many there may be, or 0 for any number", n)
		}
	}
	if l.Duration != 0 {
		k.within(path+".duration", l.Duration, time.Minute, 7*24*time.Hour)
	}
}

// ranges checks the sources that a far side may come from.
func (k *configCheck) ranges(path string, list []netip.Prefix) {
	if k.has(path) && len(list) == 0 {
		k.bad(path, "an empty list lets in nobody, so that no call could come: write the ranges or remove the key")
	}
	for i, p := range list {
		here := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !p.IsValid():
		case p != p.Masked():
			k.bad(here, "%s has bits outside its range: write %s", p, p.Masked())
		case p.Bits() == 0:
			k.bad(here, "%s lets in everybody: write the ranges of the far side", p)
		}
	}
}

// hosts checks the names that a certificate may bear.
func (k *configCheck) hosts(path string, list []string) {
	for i, n := range list {
		if _, err := netip.ParseAddr(n); err != nil && !hostName.MatchString(strings.TrimPrefix(n, "*.")) {
			k.bad(fmt.Sprintf("%s[%d]", path, i), "%q: write a host name", n)
		}
	}
}

func (k *configCheck) operator() {
	o := &k.Operator
	o.Transport = strings.ToLower(o.Transport)
	if o.Transport != "" {
		k.oneOf("operator.transport", o.Transport, "tls", "tcp", "udp")
	}
	k.hosts("operator.names", o.Names)
	k.suites("operator.suites", o.Suites)
	k.logins()
	k.tls(publish.OperatorTLS, o.TLS)
	k.limits("operator.limits", o.Limits)
	k.tlsByGroup()
	k.interworkings()
	if o.CountryCode != "" && !country.MatchString(o.CountryCode) {
		k.bad("operator.countryCode", "%q: write the country code without plus, such as 44", o.CountryCode)
	}
	if o.TrunkPrefix != "" && !digits.MatchString(o.TrunkPrefix) {
		k.bad("operator.trunkPrefix", "%q: write the digits before a national number, such as 0", o.TrunkPrefix)
	}
	if o.TrunkPrefix != "" && o.CountryCode == "" {
		k.bad("operator.trunkPrefix", "means nothing without countryCode: write both or none")
	}
	if k.Gateway.Properties.OperatorPeerGroupConfigScheme == gateway.PeerGroupScheme {
		for _, key := range []string{"transport", "port", "srtp", "srv"} {
			if k.has("operator." + key) {
				k.bad("operator."+key, "the peer groups of the gateway say this themselves: remove it")
			}
		}
		return
	}
	k.addresses()
}

// suites checks the SRTP suites of a side.
func (k *configCheck) suites(path string, list []string) {
	if k.has(path) && len(list) == 0 {
		k.bad(path, "an empty list leaves nothing to encrypt with: write the suites or remove the key")
	}
	for i, s := range list {
		here := fmt.Sprintf("%s[%d]", path, i)
		if k.oneOf(here, s, sdp.Suites()...) && slices.Contains(list[:i], s) {
			k.bad(here, "%s is there already: remove it", s)
		}
	}
}

// addresses checks operator against the addresses it is about.
func (k *configCheck) addresses() {
	o := k.Operator
	if o.SRV && o.Port != 0 {
		k.bad("operator.port", "SRV records tell the port: remove port or srv")
	}
	if o.SRTP != nil && *o.SRTP && o.Transport != "" && o.Transport != "tls" && o.Interworking.Keying != "dtls" {
		k.unwise("operator.srtp", "over %s the keys of SRTP can be read by whoever can read the signalling: use tls", o.Transport)
	}
	for i, l := range k.Gateway.Properties.ServiceLocations {
		for j, a := range l.PrimaryRegionProperties.OperatorAddresses {
			here := fmt.Sprintf("gateway.properties.serviceLocations[%d].primaryRegionProperties.operatorAddresses[%d]", i, j)
			_, err := netip.ParseAddr(a)
			if o.SRV && err == nil {
				k.bad(here, "%s has no SRV records: write a domain name, or remove operator.srv", a)
			}
			if err == nil && len(o.Names) == 0 && (o.Transport == "" || o.Transport == "tls") {
				k.unwise(here, "the certificate of this peer must bear the address %s: if it bears a name, write it in operator.names", a)
			}
		}
	}
}

// gateway lays the resource's own problems on the lines of the file.
func (k *configCheck) gateway() {
	if k.Control != nil {
		if k.has("gateway") {
			k.bad("gateway", "the gateways of a control node come by its API: remove this, and give it to `tandem apply`")
		}
		return
	}
	if !k.has("gateway") {
		k.bad("gateway", "missing: describe the gateway resource")
		return
	}
	for _, p := range gateway.Validate(k.Gateway) {
		k.bad("gateway."+p.Path, "%s", p.Message)
	}
	if k.Gateway.Properties.OperatorPeerGroupConfigScheme == gateway.PeerGroupScheme {
		k.groupSources()
		return
	}
	for i, l := range k.Gateway.Properties.ServiceLocations {
		path := fmt.Sprintf("gateway.properties.serviceLocations[%d].primaryRegionProperties", i)
		list := l.PrimaryRegionProperties.AllowedSignalingSourceAddressPrefixes
		k.sources(path, list, l.PrimaryRegionProperties.AllowedMediaSourceAddressPrefixes)
		for _, other := range k.Gateway.Properties.ServiceLocations {
			for _, a := range other.PrimaryRegionProperties.OperatorAddresses {
				k.lockedOut(path, list, a, "the operator's own address in "+other.Name+", is locked out of "+l.Name)
			}
		}
	}
}

// lockedOut warns of a list that leaves out an address of the operator's. Each
// service region has a list of its own, and a core that fails over calls from
// its other site.
func (k *configCheck) lockedOut(path string, list []string, address, what string) {
	a, err := netip.ParseAddr(address)
	if err != nil || len(list) == 0 {
		return // a name is looked up when it is called; an empty list is an error of its own
	}
	for _, s := range list {
		if p, err := gateway.ParsePrefix(s); err != nil || p.Contains(a.Unmap()) {
			return // an unreadable range is complained of elsewhere
		}
	}
	k.unwise(path+".allowedSignalingSourceAddressPrefixes", "%s, %s: add a range that holds it", a, what)
}

func (k *configCheck) groupSources() {
	for i, g := range k.Gateway.Properties.PeerGroups {
		path := fmt.Sprintf("gateway.properties.peerGroups[%d]", i)
		for j, p := range g.Peers {
			if !k.routed(g.PeerGroupName, p.PeerName) {
				k.unwise(fmt.Sprintf("%s.peers[%d].peerName", path, j), "%s may call but is never called: add it to callPolicy.peerGroupRoutings if that is not meant", p.PeerName)
			}
			here := fmt.Sprintf("%s.peers[%d]", path, j)
			k.sources(here, p.AllowedSignalingSourceAddressPrefixes, p.AllowedMediaSourceAddressPrefixes)
			for _, a := range p.IPsAndPorts {
				k.lockedOut(here, p.AllowedSignalingSourceAddressPrefixes, a.IPAddress, "the peer's own address, is locked out")
			}
		}
		if g.MediaProtocol == "SRTP" && g.SignalingProtocol != "TLS" && g.SignalingProtocol != "" && k.keying(g.PeerGroupName) != "dtls" {
			k.unwise(path+".mediaProtocol", "over %s the keys of SRTP can be read by whoever can read the signalling: use TLS", g.SignalingProtocol)
		}
	}
}

// routed tells whether a peer has a priority from anywhere.
func (k *configCheck) routed(group, peer string) bool {
	policy := k.Gateway.Properties.CallPolicy
	return policy == nil || slices.ContainsFunc(policy.PeerGroupRoutings, func(r gateway.PeerGroupRouting) bool {
		return r.PeerGroupName == group && slices.ContainsFunc(r.Routings, func(x gateway.Routing) bool { return x.PeerName == peer })
	})
}

// sources: the resource API lets these lists be empty, and then nothing of
// the operator's is let in.
func (k *configCheck) sources(path string, signalling, media []string) {
	if len(signalling) == 0 {
		k.bad(path+".allowedSignalingSourceAddressPrefixes", "missing: nobody could call, since only listed sources are let in; write the ranges that the operator's signalling comes from")
	}
	if len(media) == 0 {
		k.bad(path+".allowedMediaSourceAddressPrefixes", "missing: nobody could be heard, since only listed sources are let in; write the ranges that the operator's media comes from")
	}
}

// reach checks, once all else is good, that each peer can be called: that
// there is a listener to call it from.
func (k *configCheck) reach() {
	if k.problems.Errors() != nil {
		return
	}
	s, err := k.Snapshot(0)
	if err != nil {
		k.bad("gateway", "%s", err)
		return
	}
	k.loginPeers(s)
	if lacks := k.lacksListener(s); lacks != "" {
		k.bad("sip.listeners", "%s", lacks)
	}
}

// lacksListener tells of the first peer that no listener could reach; the
// others miss the same.
func (c *Config) lacksListener(s *snapshot.Snapshot) string {
	for g, p := range s.Peers() {
		transport := strings.ToLower(p.Transport)
		if !slices.ContainsFunc(c.SIP.Listeners, func(l ListenerConfig) bool { return l.Side == g.Side && l.Transport == transport }) {
			return fmt.Sprintf("peer %s of group %s speaks %s, and no listener with side %s has transport %s: add one", p.Name, g.Name, p.Transport, g.Side, transport)
		}
	}
	return ""
}
