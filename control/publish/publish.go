// Package publish compiles the gateway resource, the addresses of the cloud
// services and the provisioned numbers into the snapshot that edges route by.
//
// Compile is pure and deterministic: the same input gives the same bytes. It
// wants input that passed gateway.Validate. Start reading at Compile.
package publish

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/link/snapshot"
)

// Input is all a snapshot is made of.
type Input struct {
	Revision uint64
	Gateway  gateway.Gateway
	Services Services
	Operator Operator
	Domains  map[string]string // service region -> FQDN in Contact towards the cloud
	// Delegated are such FQDNs in domains of the operator's.
	Delegated map[string][]string
	Options   time.Duration // interval of OPTIONS towards every peer
	Numbers   snapshot.Numbers
	Accounts  snapshot.Accounts
	Rules     []Rule
	Lines     map[string]string // number by which a service verifies the way, in E.164 -> service

	Authorities map[string]string // the PEM in the files that TLS.Roots name
}

// Compile makes the snapshot. The error is gateway.Problems when the resource
// is not fit to be published.
func Compile(in Input) (*snapshot.Snapshot, error) {
	if problems := gateway.Validate(in.Gateway); problems != nil {
		return nil, problems
	}
	g := gateway.Default(in.Gateway)
	s := &snapshot.Snapshot{
		Revision:  in.Revision,
		Gateway:   g.Name,
		Emergency: g.Properties.EmergencyDialStrings,
		Numbers:   in.Numbers,
		Accounts:  in.Accounts,
	}
	if h := g.Properties.CustomSIPHeaders; h != nil && len(h.Headers) > 0 {
		s.Header = h.Headers[0].Name
	}
	c := compiler{in: in, p: g.Properties, out: s}
	c.regions()
	c.operator()
	c.emergency()
	c.logins()
	if err := c.teams(); err != nil {
		return nil, err
	}
	if err := c.zoom(); err != nil {
		return nil, err
	}
	c.emergencyOfZoom()
	c.lines()
	c.mobile()
	c.rules()
	c.interworking()
	return s, nil
}

// lines are routed to their service and from it whatever is provisioned.
func (c *compiler) lines() {
	for number, service := range c.in.Lines {
		c.line(number, snapshot.Service(service))
	}
}

func (c *compiler) line(number string, service snapshot.Service) {
	if c.out.Policy.TestLines == nil {
		c.out.Policy.TestLines = map[string]snapshot.Service{}
	}
	c.out.Policy.TestLines[number] = service
}

// compiler is one snapshot in the making.
type compiler struct {
	in  Input
	p   gateway.Properties // with defaults
	out *snapshot.Snapshot
}

// regions makes the service regions. With peer groups each peer has lists of
// its own, and those of the region are left to the emergency service.
func (c *compiler) regions() {
	groups := c.p.OperatorPeerGroupConfigScheme == gateway.PeerGroupScheme
	for _, l := range c.p.ServiceLocations {
		r, x := snapshot.Region{Name: l.Name, Domain: c.in.Domains[l.Name], Delegated: c.in.Delegated[l.Name]}, l.PrimaryRegionProperties
		if !groups {
			r.Sources = prefixes(x.AllowedSignalingSourceAddressPrefixes)
		}
		if !groups || len(x.ESRPAddresses) > 0 {
			r.MediaSources = prefixes(x.AllowedMediaSourceAddressPrefixes)
		}
		c.out.Regions = append(c.out.Regions, r)
	}
}

// The names of groups that the resource does not name are longer than the ten
// characters that it allows, so that they never meet one that it does.
const (
	operatorGroup  = "operator-core"
	emergencyGroup = "emergency-service"
	teamsGroup     = "microsoft-teams"
	zoomGroup      = "zoom-phone-cloud-peering"
)

// teams makes the group of Microsoft's proxies, one peer each, tried in turn
// from every region.
func (c *compiler) teams() error {
	services := c.platforms(snapshot.OperatorConnect, snapshot.TeamsPhoneMobile, snapshot.TeamsDirectRouting)
	if len(services) == 0 {
		return nil
	}
	t := c.in.Services.Teams.Default()
	g := snapshot.Group{
		Name: teamsGroup, Side: snapshot.Cloud, Services: services, Profile: "teams", Codecs: c.p.Codecs,
		// The only one that Microsoft promises (Microsoft Teams docs, "Plan Direct
		// Routing"); more would only lengthen every INVITE.
		Suites: []string{"AES_CM_128_HMAC_SHA1_80"},
		TLS:    c.tls(TeamsTLS, t.TLS),
	}
	for i, proxy := range t.Proxies {
		host, port, err := SplitProxy(proxy)
		if err != nil {
			return err
		}
		g.Peers = append(g.Peers, snapshot.Peer{
			Name:         teamsGroup + "-" + strconv.Itoa(i+1),
			Transport:    strings.ToUpper(t.Transport),
			SRTP:         !t.Plain(),
			Host:         host,
			Port:         port,
			Priority:     c.everywhere(i),
			Sources:      t.Sources,
			MediaSources: t.Media,
			Names:        t.Names,
			Options:      c.in.Options,
			Limits:       snapshot.Limits(t.Limits),
		})
	}
	c.out.Groups = append(c.out.Groups, g)
	return nil
}

// Where in a node's configuration a TLS is, which is also the name of its
// certificate.
const (
	TeamsTLS    = "services.teams.tls"
	ZoomTLS     = "services.zoom.tls"
	MobileTLS   = "services.mobile.tls"
	OperatorTLS = "operator.tls"
	GroupTLS    = "operator.tlsByGroup." // and the name of the group
)

func (c *compiler) tls(where string, t TLS) snapshot.TLS {
	out := snapshot.TLS{Min: t.Min, Max: t.Max, Suites: t.Suites, Roots: c.in.Authorities[t.Roots]}
	out.Anonymous = t.ClientCertificate != nil && !*t.ClientCertificate
	if t.Certificate != nil {
		out.Certificate = where
	}
	return out
}

// groupTLS is for a peer group of the resource.
func (c *compiler) groupTLS(group string) snapshot.TLS {
	if t := c.in.Operator.TLSByGroup[group]; t != nil {
		return c.tls(GroupTLS+group, *t)
	}
	return c.tls(OperatorTLS, c.in.Operator.TLS)
}

// platforms are those of the services that the gateway is for.
func (c *compiler) platforms(services ...snapshot.Service) []snapshot.Service {
	return slices.DeleteFunc(services, func(s snapshot.Service) bool {
		return !slices.Contains(c.p.Platforms, string(s))
	})
}

// everywhere gives a peer the same priority from every region.
func (c *compiler) everywhere(priority int) map[string]int {
	m := map[string]int{}
	for _, r := range c.out.Regions {
		m[r.Name] = priority
	}
	return m
}

// prefixes reads ranges that gateway.Validate has seen to be good.
func prefixes(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		if p, err := gateway.ParsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}
