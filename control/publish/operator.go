package publish

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/link/snapshot"
)

// operator makes the groups of the operator's peers and what is routed to and
// from each by default.
func (c *compiler) operator() {
	c.out.Policy.GroupService = map[string]snapshot.Service{}
	c.out.Policy.ServiceGroup = map[snapshot.Service]string{}
	if c.p.OperatorPeerGroupConfigScheme == gateway.PeerGroupScheme {
		c.peerGroups()
	} else {
		c.addresses()
	}
}

// addresses makes the one group of the default scheme. Every region calls its
// own addresses first.
func (c *compiler) addresses() {
	g := snapshot.Group{Name: operatorGroup, Side: snapshot.Operator, Profile: "core", Codecs: c.p.Codecs, Suites: c.in.Operator.suites(), TLS: c.tls(OperatorTLS, c.in.Operator.TLS)}
	for _, l := range c.p.ServiceLocations {
		for i, address := range l.PrimaryRegionProperties.OperatorAddresses {
			p := c.address("operator-"+l.Name+"-"+strconv.Itoa(i+1), address, l)
			p.Regional = true
			g.Peers = append(g.Peers, p)
		}
	}
	c.out.Groups = append(c.out.Groups, g)
	services := c.platforms(snapshot.OperatorConnect, snapshot.TeamsPhoneMobile, snapshot.TeamsDirectRouting, snapshot.Zoom)
	for _, s := range services {
		c.out.Policy.ServiceGroup[s] = g.Name
	}
	// Azure Communications Gateway docs: numbers of Direct Routing and Zoom
	// must be provisioned; others may be left to the network they come from,
	// and with one group for all, fixed comes before mobile.
	if len(services) > 0 && (services[0] == snapshot.OperatorConnect || services[0] == snapshot.TeamsPhoneMobile) {
		c.out.Policy.GroupService[g.Name] = services[0]
	}
}

// address makes a peer out of an address of a service location.
func (c *compiler) address(name, host string, l gateway.ServiceLocation) snapshot.Peer {
	o := c.in.Operator
	p := c.peer(name)
	p.Transport, p.SRTP = o.transport(), o.srtp()
	p.Host, p.Port = host, o.port()
	p.Priority = map[string]int{l.Name: 0}
	return p
}

// peer is what all peers of the operator have in common.
func (c *compiler) peer(name string) snapshot.Peer {
	o := c.in.Operator
	return snapshot.Peer{
		Name: name, Names: o.Names, Options: c.in.Options, CountryCode: o.CountryCode, TrunkPrefix: o.TrunkPrefix,
		Limits: snapshot.Limits(o.Limits),
	}
}

// emergency makes the group that emergency calls go to directly.
func (c *compiler) emergency() {
	g := snapshot.Group{Name: emergencyGroup, Side: snapshot.Operator, Profile: "core", Codecs: c.p.Codecs, Suites: c.in.Operator.suites(), TLS: c.tls(OperatorTLS, c.in.Operator.TLS)}
	for _, l := range c.p.ServiceLocations {
		for i, address := range l.PrimaryRegionProperties.ESRPAddresses {
			p := c.address(emergencyGroup+"-"+l.Name+"-"+strconv.Itoa(i+1), address, l)
			// It is somebody else's machine: what comes from the core's own
			// ranges is not it, and its numbers are not national ones.
			p.CountryCode, p.TrunkPrefix, p.Names, p.Limits = "", "", nil, snapshot.Limits{}
			if a, err := netip.ParseAddr(address); err == nil {
				p.Sources = []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
				p.MediaSources = p.Sources
			}
			g.Peers = append(g.Peers, p)
		}
	}
	if len(g.Peers) > 0 {
		c.out.Groups = append(c.out.Groups, g)
		c.out.Policy.EmergencyGroup = g.Name
	}
}

// peerGroups makes the groups that the resource describes.
func (c *compiler) peerGroups() {
	for _, x := range c.p.PeerGroups {
		g := snapshot.Group{Name: x.PeerGroupName, Side: snapshot.Operator, Profile: "core", Codecs: x.Codecs, Suites: c.in.Operator.suites(), TLS: c.groupTLS(x.PeerGroupName)}
		if len(g.Codecs) == 0 {
			g.Codecs = c.p.Codecs
		}
		for _, p := range x.Peers {
			g.Peers = append(g.Peers, c.grouped(x, p)...)
		}
		c.out.Groups = append(c.out.Groups, g)
	}
	for _, m := range c.p.CallPolicy.DefaultMappings.ServiceToPeerGroup {
		c.out.Policy.ServiceGroup[snapshot.Service(m.Service)] = m.DefaultPeerGroup
	}
	c.defaults()
	for _, m := range c.p.CallPolicy.DefaultMappings.PeerGroupToService {
		c.out.Policy.GroupService[m.PeerGroup] = snapshot.Service(m.DefaultService)
	}
}

// defaults are the services of unprovisioned numbers where the call policy is
// silent: from the fixed network Operator Connect, from the mobile one Teams
// Phone Mobile (Azure Communications Gateway docs, "Overview"). Which network a
// group is of, is told by the service whose calls go to it; a group of both
// counts as fixed.
func (c *compiler) defaults() {
	for _, s := range []snapshot.Service{snapshot.TeamsPhoneMobile, snapshot.OperatorConnect} {
		if g := c.out.Policy.ServiceGroup[s]; g != "" {
			c.out.Policy.GroupService[g] = s
		}
	}
}

// grouped makes a peer of a group, once for each of its addresses.
func (c *compiler) grouped(g gateway.PeerGroup, x gateway.Peer) []snapshot.Peer {
	p := c.peer(c.unique(g, x))
	p.Transport, p.SRTP = g.SignalingProtocol, g.MediaProtocol == "SRTP"
	p.Priority = c.priorities(g, x)
	p.Sources = prefixes(x.AllowedSignalingSourceAddressPrefixes)
	p.MediaSources = prefixes(x.AllowedMediaSourceAddressPrefixes)
	var peers []snapshot.Peer
	add := func(host string, port int) {
		p.Host, p.Port = host, uint16(port)
		peers = append(peers, p)
	}
	for _, a := range x.IPsAndPorts {
		add(a.IPAddress, a.Port)
	}
	for _, a := range x.ARecordsAndPorts {
		add(a.ARecord, a.Port)
	}
	if x.SRVRecord != "" {
		add(gateway.SRVDomain(x.SRVRecord), 0)
	}
	if len(peers) > 1 {
		for i := range peers {
			peers[i].Name += "#" + strconv.Itoa(i+1)
		}
	}
	return peers
}

// unique is the name of a peer, with its group's when another group has a
// peer of that name too: health and records know peers by name alone.
func (c *compiler) unique(g gateway.PeerGroup, x gateway.Peer) string {
	for _, other := range c.p.PeerGroups {
		if other.PeerGroupName != g.PeerGroupName && slices.ContainsFunc(other.Peers, func(p gateway.Peer) bool { return p.PeerName == x.PeerName }) {
			return g.PeerGroupName + "/" + x.PeerName
		}
	}
	return x.PeerName
}

func (c *compiler) priorities(g gateway.PeerGroup, x gateway.Peer) map[string]int {
	m := map[string]int{}
	for _, r := range c.p.CallPolicy.PeerGroupRoutings {
		if r.PeerGroupName != g.PeerGroupName {
			continue
		}
		for _, routing := range r.Routings {
			if routing.PeerName == x.PeerName {
				m[routing.ServiceLocation] = routing.Priority
			}
		}
	}
	return m
}
