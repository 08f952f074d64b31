// Package teams plays a Teams phone system towards the gateway: three SIP
// proxies over TLS, users with numbers, trunks that become active by the
// exchange of OPTIONS, and the habits and faults of the real one on demand.
//
// It is written from Microsoft's public documents and published traces, not
// from the gateway's code, so that mistakes do not agree with each other. Start reading at
// System, then at judge in rules.go.
package teams

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// Config is what a System is made of.
type Config struct {
	// Domain is where the proxies live: sip.<Domain>, sip2., sip3. Teams
	// publishes these names in DNS and looks the trunks up there.
	Domain string
	DNS    *dns.Server
	// Proxies are the sockets of the three proxies; port 0 picks one, but the
	// names then only help who knows the port.
	Proxies [3]netip.AddrPort
	// RecordRoute is the first label of the name in Record-Route
	// ("sip-du-a-eu"), published as well; empty means that of the proxy
	// itself.
	RecordRoute string
	// Certificate is the proxies' own, for sip., sip2. and sip3., and for
	// RecordRoute; Roots are those it trusts the gateway's certificates to.
	Certificate func() (*tls.Certificate, error)
	Roots       *x509.CertPool
	Media       netip.Addr // media ends listen here
	Ports       [2]uint16  // first and last media port
	Clients     netip.Addr // clients of calls with media bypass are here; zero: there are none
	Trunks      []Trunk
	// Tenants maps a tenant's registered domain (a trunk's FQDN, or that
	// without its first label) to the tenant's id.
	Tenants map[string]string
	// Verified tells whether a trunk's name is of a domain that is verified in
	// the tenant's directory: calls neither go to others nor come from them.
	// It must not block. nil: every domain is.
	Verified func(fqdn string) bool
	// Failover is FailoverTimeSeconds: an INVITE without a provisional other
	// than 100 for this long goes to the next trunk. 10 s when zero.
	Failover time.Duration
	// Options is the interval of OPTIONS to active trunks, 60 s when zero.
	Options time.Duration
	// Gap is the longest time without RTP that a user may be left in; 0 for any.
	// Microsoft wants comfort noise on every call.
	Gap time.Duration
	// Patience is how long each step of a transfer, or the end of a call that was
	// replaced, may take; 10 s when zero.
	Patience time.Duration
	Log      *slog.Logger // nil discards
}

// Trunk is one SBC FQDN of the carrier, one per region.
type Trunk struct {
	FQDN     string // "1r1.lab.example"
	Port     uint16 // SipSignalingPort
	Priority int    // lower first; equal ones are shuffled
}

// TrunkState is what Teams thinks of a trunk.
type TrunkState struct {
	FQDN        string    `json:"fqdn"`
	Verified    bool      `json:"verified"`            // its domain is; else it is ignored
	Active      bool      `json:"active"`              // OPTIONS came within three intervals, and ours was answered 200
	LastOptions time.Time `json:"lastOptions"`         // newest OPTIONS received from it
	LastAnswer  time.Time `json:"lastAnswer"`          // newest 200 to ours
	LastError   string    `json:"lastError,omitempty"` // why ours was not answered, newest
}

// System is the phone system. Its numbers are its users. Beyond what every
// exchange can do (see package phone) a scenario has:
//
//	TransferToUser, TransferToNumber   blind transfer by REFER
//	TransferTo                         attended transfer
//	Park, Unpark                       hold by REFER to a bot with music, and back by Replaces
//	Replace                            call queue pickup: INVITE with Replaces, early or confirmed
//	Behaviour.Forward, .AlsoRing       forwarding and simultaneous ring, with history
//	Emergency                          the specification of an emergency call with a location
//	CallSpec.Bypass, Behaviour.Bypass  media bypass: media from the client, which checks the way by ICE
//	Faults, Violations                 the rules that the gateway broke
type System struct {
	*phone.Exchange

	cfg Config // RO

	mu        sync.Mutex
	trunks    map[string]*TrunkState // mu; its keys RO
	kick      map[string]chan place  // RO; asks for an OPTIONS at once
	referrals []*referral            // mu; those that are open, and some older ones
}

// place is where an SBC's OPTIONS asks to be answered.
type place struct {
	gate *phone.Gate
	port uint16
}

var proxies = [3]string{"sip", "sip2", "sip3"}

// Start opens the proxies and publishes their names.
func Start(_ context.Context, cfg Config) (*System, error) {
	if cfg.Failover == 0 {
		cfg.Failover = 10 * time.Second
	}
	if cfg.Options == 0 {
		cfg.Options = time.Minute
	}
	if cfg.Patience == 0 {
		cfg.Patience = 10 * time.Second
	}
	s := &System{cfg: cfg, trunks: map[string]*TrunkState{}, kick: map[string]chan place{}}
	for _, t := range cfg.Trunks {
		s.trunks[t.FQDN] = &TrunkState{FQDN: t.FQDN}
		s.kick[t.FQDN] = make(chan place, 1)
	}
	s.Exchange = phone.New(phone.Config{
		Name: "teams", Gates: s.listeners(), DNS: cfg.DNS.Addr(), Media: cfg.Media, Ports: cfg.Ports, Clients: cfg.Clients, Log: cfg.Log,
		Remote: &sip.Remote{Name: "SBC", TLS: sip.TLSPolicy{Roots: cfg.Roots}},
		Manner: phone.Manner{
			Dialect: dialect, Allow: allow, Sources: Sources, Strict: true, Gap: cfg.Gap, LeastSession: leastSession, Behave: s.behave, Onward: s.onward, Transfer: s.transfer,
			Finish: s.finish, Judge: s.judge, Options: s.options, Reason: reason, Leave: s.leave, Response: s.response, Dial: s.Dial,
		},
	})
	if err := s.Open(); err != nil {
		return nil, fmt.Errorf("start Teams: %w", err)
	}
	for i, g := range s.Gates() {
		cfg.DNS.SetHost(proxies[i]+"."+cfg.Domain, time.Minute, g.Addr().Addr())
	}
	if cfg.RecordRoute != "" {
		cfg.DNS.SetHost(cfg.RecordRoute+"."+cfg.Domain, time.Minute, s.Gates()[0].Addr().Addr())
	}
	for _, t := range cfg.Trunks {
		s.Go(func(ctx context.Context) { s.watch(ctx, t) })
	}
	return s, nil
}

func (s *System) listeners() []sip.Listener {
	var all []sip.Listener
	for i, p := range proxies {
		all = append(all, sip.Listener{
			Name: p, Side: "sbc", Transport: sip.TLS, Bind: s.cfg.Proxies[i],
			Advertise: p + "." + s.cfg.Domain, Certificate: s.cfg.Certificate,
		})
	}
	return all
}

// ProxyAddr is the socket of a proxy: "sip", "sip2", "sip3".
func (s *System) ProxyAddr(proxy string) netip.AddrPort { return s.Gate(proxy).Addr() }

// allow is what Teams says in Allow: no PRACK, UPDATE, INFO, REFER towards it.
const allow = "INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY"

// leastSession is Min-SE.
const leastSession = 5 * time.Minute

const product = "Microsoft.PSTNHub.SIPProxy v.2026.1.1.1 i.EUWE.3"

// dialect is that of the published offers: SILK first, a key for each of two
// suites from tag 0 on, an origin that says nothing.
var dialect = phone.Dialect{
	Origin: "127.0.0.1", Name: "session", HoldAs: sdp.Inactive,
	Attributes: []string{"label:main-audio", "mid:1"},
	Crypto:     []phone.CryptoOffer{{Tag: "0", Suite: "AES_CM_128_HMAC_SHA1_32"}, {Tag: "1", Suite: "AES_CM_128_HMAC_SHA1_80"}},
	Formats: []phone.Format{
		{PT: 104, Map: "SILK/16000"},
		{PT: 9, Map: "G722/8000"},
		{PT: 103, Map: "SILK/8000"},
		{PT: 0, Map: "PCMU/8000"},
		{PT: 8, Map: "PCMA/8000"},
		{PT: 18, Map: "G729/8000", Fmtp: "annexb=no"},
		{PT: 97, Map: "RED/8000"},
		{PT: 13, Map: "CN/8000"},
		{PT: 118, Map: "CN/16000"},
		{PT: 101, Map: "telephone-event/8000", Fmtp: "0-16"},
	},
}

// Dial places a call and returns when it is under way.
func (s *System) Dial(_ context.Context, spec phone.CallSpec) (*phone.Call, error) {
	if spec.LateSDP {
		return nil, errors.New("place a call from Teams: Teams always makes an offer")
	}
	c, err := s.dial(spec, nil)
	if err != nil {
		return nil, fmt.Errorf("place a call from Teams: %w", err)
	}
	return c, nil
}

func (s *System) dial(spec phone.CallSpec, watch func(*phone.Call, phone.Progress)) (*phone.Call, error) {
	targets, err := s.targets(spec)
	if err != nil {
		return nil, err
	}
	return s.Place(phone.Outgoing{Spec: spec, Targets: targets, Invite: s.invite, Response: s.cfg.Failover, Watch: watch})
}

// Call places a call, waits for its end, and returns it for its facts.
func (s *System) Call(ctx context.Context, spec phone.CallSpec) (*phone.Call, error) {
	c, err := s.Dial(ctx, spec)
	if err != nil {
		return nil, err
	}
	return c, c.Run(ctx)
}

// targets orders the trunks: the one asked for, then active ones by priority,
// equals shuffled, demoted ones last. Each is tried a second time from the
// next proxy when the network or TLS fails.
func (s *System) targets(spec phone.CallSpec) ([]phone.Target, error) {
	k := 0
	if spec.Site != "" {
		if k = slices.Index(proxies[:], spec.Site); k < 0 {
			return nil, fmt.Errorf("no proxy %q", spec.Site)
		}
	}
	trunks := slices.DeleteFunc(slices.Clone(s.cfg.Trunks), func(t Trunk) bool { return !s.verified(t.FQDN) })
	if len(trunks) == 0 {
		return nil, errors.New("no trunk can be used: " + unverified)
	}
	if spec.Region != "" && !slices.ContainsFunc(s.cfg.Trunks, func(t Trunk) bool { return t.FQDN == spec.Region }) {
		return nil, fmt.Errorf("no trunk %q", spec.Region)
	}
	rand.Shuffle(len(trunks), func(i, j int) { trunks[i], trunks[j] = trunks[j], trunks[i] })
	rank := func(t Trunk) int {
		switch {
		case t.FQDN == spec.Region:
			return -1 << 30
		case !s.state(t.FQDN).Active:
			return 1 << 30
		}
		return t.Priority
	}
	slices.SortStableFunc(trunks, func(a, b Trunk) int { return rank(a) - rank(b) })
	var all []phone.Target
	for _, t := range trunks {
		name := t.FQDN
		if spec.Trunk != "" {
			name = spec.Trunk + "." + name
		}
		for i := range 2 {
			all = append(all, phone.Target{
				Name: name, Gate: s.Gates()[(k+i)%len(proxies)], Nth: i, Again: i > 0,
				Hop:  sip.Hop{Host: name, Port: t.Port, Transport: sip.TLS},
				Host: net.JoinHostPort(name, strconv.Itoa(int(t.Port))),
			})
		}
	}
	return all, nil
}

// invite writes the INVITE of a user, with all the marks of the real one.
func (s *System) invite(c *phone.Call, t phone.Target) *sip.Message {
	spec, self := c.Spec(), "sip."+s.cfg.Domain
	port := strconv.Itoa(int(t.Gate.Addr().Port()))
	m := sip.NewRequest("INVITE", "sip:"+spec.To+"@"+t.Host+";user=phone;transport=tls")
	m.Set("From", "John Doe<sip:"+spec.From+"@"+self+":"+port+";user=phone>;tag="+c.Tag())
	m.Set("To", "<sip:"+spec.To+"@"+t.Host+";user=phone>")
	m.Set("CSeq", "1 INVITE")
	m.Set("Call-ID", sip.NewCallID())
	m.Set("Min-SE", strconv.Itoa(int(leastSession/time.Second)))
	m.Set("Supported", "timer")
	m.Set("P-Asserted-Identity", "<tel:"+spec.From+">,<sip:john@contoso.example>")
	m.Set("Privacy", "id")
	m.Set("Session-Expires", "3600")
	if id := s.tenant(t.Hop.Host); id != "" {
		m.Set("X-MS-TenantID", id)
	}
	return m
}

// tenant is found by the whole name, else by that without its first label.
func (s *System) tenant(host string) string {
	if id := s.cfg.Tenants[host]; id != "" {
		return id
	}
	_, parent, _ := strings.Cut(host, ".")
	return s.cfg.Tenants[parent]
}

// leave sends in-dialog requests by another proxy than the INVITE took, as
// the real one may: on a new connection, from another address.
func (s *System) leave(g *phone.Gate) *phone.Gate {
	k := slices.Index(s.Gates(), g)
	for i := 1; i <= len(proxies); i++ {
		next := s.Gates()[(k+i)%len(proxies)]
		if f := next.Faults(); !f.Silent && !f.Refuse {
			return next
		}
	}
	return g
}

// finish adds what every message of Teams carries, and shouts.
func (s *System) finish(c *phone.Call, g *phone.Gate, m *sip.Message) *sip.Message {
	cseq, _ := m.CSeq()
	invites := cseq.Method == "INVITE" && (m.IsRequest() || m.Status > 100 && m.Status < 300)
	if m.IsRequest() {
		m.Set("User-Agent", product)
	} else {
		m.Set("Server", product)
	}
	if invites || cseq.Method == "OPTIONS" {
		m.Set("Allow", allow)
	}
	if m.Method == "REFER" {
		m.Set("Allow", allow)
		m.Set("Contact", "<"+s.elsewhere(c)+">")
	}
	if c != nil && invites {
		m.Set("Contact", "<"+s.contact(c)+">")
		if to, err := m.To(); err == nil && (to.Tag() == "" || !m.IsRequest()) {
			m.Prepend("Record-Route", "<"+s.route(g)+">")
		}
	}
	if m.Method == "BYE" {
		m.Set("Reason", quoted(16, "Call ended by the Teams user"))
	}
	return shout(m)
}

// contact is an API host nobody can reach: requests must follow Record-Route.
func (s *System) contact(c *phone.Call) string {
	return "sip:api-du-a-euno." + s.cfg.Domain + ":443;x-i=" + guid(c.Tag()) + ";x-c=" + c.Tag() + "/d/8/" + guid(c.Tag() + "c")[:8]
}

// elsewhere is the Contact of a REFER, which comes from a server of another
// region.
func (s *System) elsewhere(c *phone.Call) string {
	return "sip:api-du-a-usea." + s.cfg.Domain + ":443;x-i=" + guid(c.Tag()+"r") + ";x-c=" + c.Tag() + "/s/1/" + guid(c.Tag() + "r")[:8]
}

func (s *System) route(g *phone.Gate) string {
	host := g.Name
	if s.cfg.RecordRoute != "" {
		host = s.cfg.RecordRoute
	}
	return "sip:" + host + "." + s.cfg.Domain + ":" + strconv.Itoa(int(g.Addr().Port())) + ";transport=tls;lr"
}

// isRoute reports whether an address names one of the proxies.
func (s *System) isRoute(a sip.Address) bool {
	host, in := strings.CutSuffix(strings.ToLower(a.URI.Host), "."+s.cfg.Domain)
	return in && (slices.Contains(proxies[:], host) || host == s.cfg.RecordRoute)
}

// shout writes every header name in upper case.
func shout(m *sip.Message) *sip.Message {
	out := &sip.Message{Method: m.Method, RequestURI: m.RequestURI, Status: m.Status, Reason: m.Reason, Body: m.Body}
	for name, value := range m.Headers() {
		out.Add(strings.ToUpper(name), value)
	}
	return out
}
