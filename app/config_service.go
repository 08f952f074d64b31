package app

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/link/snapshot"
)

// serves tells whether a service is among the gateway's.
func (k *configCheck) serves(s snapshot.Service) bool {
	return k.Control != nil || slices.Contains(k.Gateway.Properties.Platforms, string(s))
}

// zoom checks where Zoom is.
func (k *configCheck) zoom() {
	z, path := k.Services.Zoom, "services.zoom"
	if !k.serves(snapshot.Zoom) || k.Control != nil && !k.has(path) {
		if k.has(path) {
			k.bad(path, "means nothing unless Zoom is among gateway.properties.platforms: add it there or remove this")
		}
		return
	}
	if len(z.Peers) == 0 {
		k.bad(path+".peers", "missing: Zoom's addresses are not public; write those that Zoom gave you, as host:port")
	}
	if len(z.Sources) == 0 {
		k.bad(path+".sources", "missing: Zoom's addresses are not public; write the ranges that Zoom's signalling comes from, or nobody could call")
	}
	k.proxies(path+".peers", z.Peers)
	k.ranges(path+".sources", z.Sources)
	k.ranges(path+".media", z.Media)
	k.hosts(path+".names", z.Names)
	k.tls(publish.ZoomTLS, z.TLS)
	k.suites(path+".suites", z.Suites)
	k.limits(path+".limits", z.Limits)
}

// mobileCore checks what the Mobile Control Point wants to know.
func (k *configCheck) mobileCore() {
	m, path := k.Services.Mobile, "services.mobile"
	if k.Control == nil && !k.Gateway.Properties.IntegratedMCPEnabled && k.has(path) {
		k.bad(path, "means nothing unless gateway.properties.integratedMcpEnabled is true: set it or remove this")
		return
	}
	if k.Gateway.Properties.IntegratedMCPEnabled && m.Consultation == "" {
		k.unwise("gateway.properties.integratedMcpEnabled", "nobody can be asked whose calls are a subscriber's of Teams Phone Mobile, and all go on as they are: set services.mobile.consultation")
	}
	if m.Consultation != "" {
		if u, err := url.Parse(m.Consultation); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			k.bad(path+".consultation", "%q: write an https URL without a password", m.Consultation)
		}
		if len(m.RoutingNumbers) == 0 {
			k.bad(path+".routingNumbers", "missing: write how the numbers begin that Microsoft names for subscribers' calls, such as +448081570")
		}
	}
	if m.Timeout != 0 {
		k.within(path+".timeout", m.Timeout, 100*time.Millisecond, 10*time.Second)
	}
	for i, p := range m.RoutingNumbers {
		if !routingPrefix.MatchString(p) {
			k.bad(fmt.Sprintf("%s.routingNumbers[%d]", path, i), "%q: write the beginning of numbers in E.164, such as +448081570", p)
		}
	}
	k.hosts(path+".names", m.Names)
	k.tls(publish.MobileTLS, m.TLS)
}

// routingPrefix is the beginning of numbers: a country code at least.
var routingPrefix = regexp.MustCompile(`^\+[1-9][0-9]{3,14}$`)

// defaults warns of numbers that would go where nobody expects them.
func (k *configCheck) defaults() {
	p := k.Gateway.Properties
	mixed := k.serves(snapshot.OperatorConnect) && p.OperatorPeerGroupConfigScheme != gateway.PeerGroupScheme && !k.mobile
	if i := slices.Index(p.Platforms, string(snapshot.TeamsPhoneMobile)); i >= 0 && mixed {
		k.unwise(fmt.Sprintf("gateway.properties.platforms[%d]", i), "with operatorAddresses nothing tells mobile numbers from fixed ones, and what is not provisioned goes to OperatorConnect: provision the mobile numbers, or use peerGroups")
	}
	if p.CallPolicy == nil {
		return
	}
	for i, m := range p.CallPolicy.DefaultMappings.PeerGroupToService {
		if s := snapshot.Service(m.DefaultService); s == snapshot.TeamsDirectRouting || s == snapshot.Zoom {
			k.unwise(fmt.Sprintf("gateway.properties.callPolicy.defaultMappings.peerGroupToService[%d].defaultService", i),
				"%s takes provisioned numbers only: calls of %s to other numbers are refused", s, m.PeerGroup)
		}
	}
}

// directRouting checks that the customers' names can be ours: Teams takes a
// name in Contact only from a connection whose certificate bears it, and a
// wildcard is one label and no more (Microsoft Teams docs, "Configure a Session
// Border Controller for multiple tenants", "Plan Direct Routing").
func (k *configCheck) directRouting() {
	if !k.serves(snapshot.TeamsDirectRouting) || k.SIP.Domain == "" {
		return
	}
	own := k.Services.Teams.TLS.Certificate
	if own != nil {
		k.customers(publish.TeamsTLS+".certificate.chain", *own)
	}
	for i, l := range k.SIP.Listeners {
		if l.Side != snapshot.Cloud {
			continue
		}
		path := fmt.Sprintf("sip.listeners[%d]", i)
		if host, ok := advertised(l.Advertise); ok && host != k.SIP.Domain {
			k.bad(path+".advertise", "Direct Routing knows customers by names before sip.domain, and this listener goes by %s: write %s", host, k.SIP.Domain)
		}
		if l.Certificate != nil && own == nil {
			k.customers(path+".certificate.chain", *l.Certificate)
		}
	}
}

// customers checks that a certificate bears the name of every customer.
func (k *configCheck) customers(path string, c publish.Certificate) {
	chain, err := readPEM(c.Chain)
	if err != nil {
		return // said of the certificate itself
	}
	none := true
	for _, a := range k.accounts.All() {
		if a.Subdomain == "" {
			continue
		}
		none = false
		if name := a.Subdomain + "." + k.SIP.Domain; chain[0].VerifyHostname(name) != nil {
			k.bad(path, "the certificate does not bear %s, by which Teams knows account %s: order one for *.%s (it bears %s)", name, a.Name, k.SIP.Domain, bearing(chain[0]))
			return
		}
	}
	if none && chain[0].VerifyHostname("a."+k.SIP.Domain) != nil {
		k.unwise(path, "the certificate does not bear *.%s, by which Teams knows the customers of Direct Routing: order one that does (it bears %s)", k.SIP.Domain, bearing(chain[0]))
	}
}
