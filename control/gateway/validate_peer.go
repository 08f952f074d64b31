package gateway

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

var peerName = regexp.MustCompile(`^[a-zA-Z0-9-]{1,10}$`)

// peerGroups checks who the operator's peers are.
func (c *checker) peerGroups() {
	p, path := c.Properties, props+"peerGroups"
	if !c.oneOf(props+"operatorPeerGroupConfigScheme", p.OperatorPeerGroupConfigScheme, Schemes) {
		return
	}
	if p.OperatorPeerGroupConfigScheme == StaticScheme {
		if len(p.PeerGroups) > 0 {
			c.add(path, Contradiction, "used only with operatorPeerGroupConfigScheme UseOperatorPeerGroupConfig: set it or remove them")
		}
		return
	}
	if len(p.PeerGroups) == 0 {
		c.add(path, Required, "missing: operatorPeerGroupConfigScheme UseOperatorPeerGroupConfig needs at least one peer group")
	}
	var names []string
	for i, g := range p.PeerGroups {
		c.name(at(path, i)+".peerGroupName", g.PeerGroupName, names)
		names = append(names, g.PeerGroupName)
		c.group(at(path, i), g)
	}
}

// name checks the name of a peer or a peer group among those before it.
func (c *checker) name(path, name string, before []string) {
	if !peerName.MatchString(name) {
		c.add(path, InvalidFormat, "%q: write 1 to 10 letters, digits and hyphens", name)
	}
	c.first(path, name, before)
}

func (c *checker) group(path string, g PeerGroup) {
	c.oneOf(path+".signalingProtocol", g.SignalingProtocol, SignalProtocols)
	c.oneOf(path+".mediaProtocol", g.MediaProtocol, MediaProtocols)
	for i, codec := range g.Codecs {
		here := at(path+".codecs", i)
		if !c.oneOf(here, codec, GroupCodecs) {
			continue
		}
		c.first(here, codec, g.Codecs[:i])
		// A codec that the gateway has not is transcoded, but nobody can do that to
		// SILK.
		if strings.HasPrefix(codec, "SILK") && !slices.Contains(c.Properties.Codecs, codec) {
			c.add(here, Contradiction, "%s is not among the gateway's codecs, and cannot be transcoded: add it to properties.codecs or remove it here", codec)
		}
	}
	if len(g.Peers) == 0 {
		c.add(path+".peers", Required, "missing: give the group at least one peer")
	}
	var names []string
	for i, p := range g.Peers {
		here := at(path+".peers", i)
		c.name(here+".peerName", p.PeerName, names)
		names = append(names, p.PeerName)
		c.peer(here, p, g.SignalingProtocol)
	}
}

func (c *checker) peer(path string, p Peer, protocol string) {
	if c.oneOf(path+".peerType", p.PeerType, PeerTypes) {
		c.targets(path, p)
	}
	for i, x := range p.IPsAndPorts {
		here := at(path+".ipsAndPorts", i)
		if a, err := netip.ParseAddr(x.IPAddress); err != nil {
			c.add(here+".ipAddress", InvalidFormat, "%q: write an IP address; for a host name use peerType ARecord", x.IPAddress)
		} else {
			c.unicast(here+".ipAddress", a)
		}
		c.port(here+".port", x.Port)
	}
	for i, x := range p.ARecordsAndPorts {
		here := at(path+".aRecordsAndPorts", i)
		if !isHostname(x.ARecord) {
			c.add(here+".aRecord", InvalidFormat, "%q: write a host name", x.ARecord)
		}
		c.port(here+".port", x.Port)
	}
	if p.SRVRecord != "" {
		c.srv(path+".srvRecord", p.SRVRecord, protocol)
	}
	c.prefixes(path+".allowedSignalingSourceAddressPrefixes", p.AllowedSignalingSourceAddressPrefixes)
	c.prefixes(path+".allowedMediaSourceAddressPrefixes", p.AllowedMediaSourceAddressPrefixes)
}

// targets checks that a peer says where it is in the way its type has.
func (c *checker) targets(path string, p Peer) {
	for _, x := range []struct {
		kind, name string
		set        bool
	}{
		{"IP", "ipsAndPorts", len(p.IPsAndPorts) > 0},
		{"ARecord", "aRecordsAndPorts", len(p.ARecordsAndPorts) > 0},
		{"SRV", "srvRecord", p.SRVRecord != ""},
	} {
		switch wanted := x.kind == p.PeerType; {
		case wanted && !x.set:
			c.add(path+"."+x.name, Required, "missing: peerType %s needs it", x.kind)
		case !wanted && x.set:
			c.add(path+"."+x.name, Contradiction, "belongs to peerType %s: change peerType or remove it", x.kind)
		}
	}
}

func (c *checker) port(path string, n int) {
	if n < 1 || n > 65535 {
		c.add(path, OutOfRange, "%d: write a port from 1 to 65535", n)
	}
}

// prefixOfSRV is what an SRV record's name begins with (RFC 3263 §4.1).
var prefixOfSRV = map[string][]string{
	"TLS": {"_sips._tcp.", "_sip._tls."}, // the second is what operators have been told to publish
	"TCP": {"_sip._tcp."},
	"UDP": {"_sip._udp."},
}

func (c *checker) srv(path, record, protocol string) {
	switch {
	case !isHostname(record):
		c.add(path, InvalidFormat, "%q: write a domain name, for example _sips._tcp.core.example", record)
	case record[0] != '_': // the prefix follows from the protocol
	case !slices.ContainsFunc(prefixOfSRV[protocol], func(p string) bool { return strings.HasPrefix(record, p) }):
		c.add(path, Contradiction, "%s is not the name of a record for %s: begin it with %s, or leave the prefix out", record, protocol, either(prefixOfSRV[protocol]))
	}
}

// SRVDomain is the domain of an SRV record's name, without service and
// protocol.
func SRVDomain(record string) string {
	for _, prefixes := range prefixOfSRV {
		for _, p := range prefixes {
			record = strings.TrimPrefix(record, p)
		}
	}
	return strings.TrimSuffix(record, ".")
}
