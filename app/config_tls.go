package app

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/wire/sip"
)

// eachTLS is every TLS section by its path.
func (c *Config) eachTLS() map[string]*publish.TLS {
	all := map[string]*publish.TLS{publish.TeamsTLS: &c.Services.Teams.TLS, publish.ZoomTLS: &c.Services.Zoom.TLS, publish.MobileTLS: &c.Services.Mobile.TLS, publish.OperatorTLS: &c.Operator.TLS}
	for group, t := range c.Operator.TLSByGroup {
		if t != nil {
			all[publish.GroupTLS+group] = t
		}
	}
	return all
}

// pairs are the files of all certificates, by the name under which the node
// keeps them: that of a listener's, or where in the configuration it stands.
func (c *Config) pairs() map[string]publish.Certificate {
	all := map[string]publish.Certificate{}
	for _, l := range c.SIP.Listeners {
		if l.Certificate != nil && !l.Certificate.Managed {
			all[ofListener(l.Name)] = *l.Certificate
		}
	}
	for where, t := range c.eachTLS() {
		if t.Certificate != nil {
			all[where] = *t.Certificate
		}
	}
	if c.Control != nil {
		all[ofAPI] = c.Control.API.Certificate
		if v := c.Control.Vaults; v != nil && v.Certificate != nil {
			all[ofVaults] = *v.Certificate
		}
	}
	return all
}

// ofListener is the name of a listener's certificate.
func ofListener(name string) string { return "sip.listeners[" + name + "]" }

// sipRoots is where the authorities stand that hold where no others do.
const sipRoots = "sip.roots"

// roots are the files of trusted authorities, by where they are named.
func (c *Config) roots() map[string]string {
	all := map[string]string{}
	if c.SIP.Roots != "" {
		all[sipRoots] = c.SIP.Roots
	}
	for where, t := range c.eachTLS() {
		if t.Roots != "" {
			all[where+".roots"] = t.Roots
		}
	}
	return all
}

// authorities reads the files that TLS sections name for their roots.
func (c *Config) authorities() (map[string]string, error) {
	all := map[string]string{}
	for _, file := range c.roots() {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read trusted authorities: %w", err)
		}
		all[file] = string(pem)
	}
	return all, nil
}

var versions = []string{"1.2", "1.3"}

// tls checks one section.
func (k *configCheck) tls(path string, t publish.TLS) {
	if t.Min != "" {
		k.oneOf(path+".min", t.Min, versions...)
	}
	if t.Max != "" && k.oneOf(path+".max", t.Max, versions...) && t.Max < t.Min {
		k.bad(path+".max", "%s is older than min, which is %s: no connection could be made", t.Max, t.Min)
	}
	if k.has(path+".suites") && len(t.Suites) == 0 {
		k.bad(path+".suites", "an empty list leaves nothing to encrypt with: write the suites or remove the key")
	}
	for i, s := range t.Suites {
		here := fmt.Sprintf("%s.suites[%d]", path, i)
		if k.oneOf(here, s, sip.Suites()...) && slices.Contains(t.Suites[:i], s) {
			k.bad(here, "%s is there already: remove it", s)
		}
	}
	if len(t.Suites) > 0 && t.Min == "1.3" {
		k.bad(path+".suites", "they are those of TLS 1.2, which min rules out: remove them")
	}
	k.roots(path+".roots", t.Roots)
	if t.ClientCertificate != nil && !*t.ClientCertificate {
		k.unwise(path+".clientCertificate", "whoever can send from an address on the allow-list is taken for the peer: demand a certificate unless the peer has none")
	}
	if t.Certificate != nil {
		k.pair(path+".certificate", *t.Certificate)
	}
}

// tlsByGroup checks the sections of peer groups.
func (k *configCheck) tlsByGroup() {
	p := k.Gateway.Properties
	var groups []string
	for _, g := range p.PeerGroups {
		groups = append(groups, g.PeerGroupName)
	}
	for _, name := range slices.Sorted(maps.Keys(k.Operator.TLSByGroup)) {
		path := publish.GroupTLS + name
		if t := k.Operator.TLSByGroup[name]; t != nil {
			k.tls(path, *t)
		}
		i := slices.Index(groups, name)
		switch meant := gateway.Suggest(name, groups); {
		case k.Control != nil: // gateways come and go
		case p.OperatorPeerGroupConfigScheme != gateway.PeerGroupScheme:
			k.bad(path, "the gateway has no peer groups: write this in %s", publish.OperatorTLS)
		case i < 0 && meant != "":
			k.bad(path, "%s is no peer group of the gateway: did you mean %s?", name, meant)
		case i < 0:
			k.bad(path, "%s is no peer group of the gateway: name one of them", name)
		case p.PeerGroups[i].SignalingProtocol != "" && p.PeerGroups[i].SignalingProtocol != "TLS":
			k.bad(path, "peer group %s speaks %s: remove this", name, p.PeerGroups[i].SignalingProtocol)
		}
	}
}
