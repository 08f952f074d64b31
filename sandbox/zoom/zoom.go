// Package zoom plays Zoom Phone towards the gateway as an operator meets it by
// Cloud Peering: SIP over TLS, SRTP always, Opus, G.722 and G.711 in packets of
// 20 ms, P-Asserted-Identity for who calls, 180 without and 183 with a
// description, users that answer and no others.
//
// It is written from the public documents: Azure Communications Gateway docs,
// "Interoperability with Zoom Phone Cloud Peering", and for the looks of its
// messages Zoom's article KB0073073 on premises peering. Zoom's own reference
// guide for operators is not public: what only the premises article shows, such
// as addresses in place of names in URIs and the larger SRTP suites, is an
// option, Config.Inferred. Opus is not coded here: a telephone that agrees on it
// sends back what it hears. Start reading at System, then at judge in rules.go.
package zoom

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
	"sync"
	"time"

	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
	"github.com/tandemgw/tandem/wire/sdp"
	"github.com/tandemgw/tandem/wire/sip"
)

// Config is what a System is made of.
type Config struct {
	Domain string // its zones are <name>.<Domain>, published in DNS
	DNS    *dns.Server
	Zones  []Zone
	// Certificate is that of all zones; Roots are those it trusts the gateway's
	// certificates to.
	Certificate func() (*tls.Certificate, error)
	Roots       *x509.CertPool
	Media       netip.Addr // media ends listen here
	Ports       [2]uint16  // first and last media port
	Gateways    []Gateway
	// Backup uses the gateway's regions in order instead of all alike.
	Backup bool
	// Codecs are those of its telephones, in order, by their names in SDP: opus,
	// G722, PCMU and PCMA unless set.
	Codecs []string
	// Inferred shows what only the premises article shows: addresses in URIs, G.729,
	// AES-256 and GCM before AES-128.
	Inferred bool
	Response time.Duration // an INVITE without a provisional but 100 for this long goes on to the next region; 5 s when zero
	Options  time.Duration // interval of OPTIONS to each region, 60 s when zero
	// Hidden are texts that must never arrive here: names and addresses of the
	// operator's core, and of other services.
	Hidden []string
	Log    *slog.Logger // nil discards
}

// Zone is one of its data centres.
type Zone struct {
	Name string // "sip-a"
	Bind netip.AddrPort
}

// Gateway is a region of the gateway.
type Gateway struct {
	FQDN string
	Port uint16
}

// State is what Zoom thinks of a region.
type State struct {
	FQDN       string    `json:"fqdn"`
	Up         bool      `json:"up"`         // it answered the newest OPTIONS
	LastAnswer time.Time `json:"lastAnswer"` // newest 2xx to OPTIONS
	LastError  string    `json:"lastError,omitempty"`
}

// System is Zoom. Its numbers are its users.
type System struct {
	*phone.Exchange

	cfg Config // RO

	mu     sync.Mutex
	states map[string]*State // mu; keys RO
}

// allow is what Zoom says in Allow.
const allow = "INVITE, ACK, CANCEL, BYE, REGISTER, REFER, INFO, SUBSCRIBE, NOTIFY, UPDATE, OPTIONS, MESSAGE, PUBLISH"

// Start opens the zones and publishes their names.
func Start(_ context.Context, cfg Config) (*System, error) {
	if cfg.Options == 0 {
		cfg.Options = time.Minute
	}
	if cfg.Response == 0 {
		cfg.Response = 5 * time.Second
	}
	if len(cfg.Zones) == 0 {
		return nil, errors.New("start Zoom: no zone")
	}
	s := &System{cfg: cfg, states: map[string]*State{}}
	for _, g := range cfg.Gateways {
		s.states[g.FQDN] = &State{FQDN: g.FQDN}
	}
	var listeners []sip.Listener
	for _, z := range cfg.Zones {
		l := sip.Listener{Name: z.Name, Side: "gateway", Transport: sip.TLS, Bind: z.Bind, Certificate: cfg.Certificate}
		if !cfg.Inferred {
			l.Advertise = z.Name + "." + cfg.Domain
		}
		listeners = append(listeners, l)
	}
	s.Exchange = phone.New(phone.Config{
		Name: "zoom", Gates: listeners, DNS: cfg.DNS.Addr(), Media: cfg.Media, Ports: cfg.Ports, Log: cfg.Log,
		Remote: &sip.Remote{
			Name: "gateway", TLS: sip.TLSPolicy{Roots: cfg.Roots},
			Timers: sip.Timers{NonInvite: max(2*time.Second, min(4*time.Second, cfg.Options))},
		},
		Manner: phone.Manner{
			Dialect: s.dialect(), Allow: allow, Sources: Sources, OneDialog: true,
			Finish: s.finish, Judge: s.judge, Options: s.options, Reason: reason, Response: s.response, Dial: s.Dial, Referred: s.referred,
			Leave: func(g *phone.Gate) *phone.Gate { return g },
		},
	})
	if err := s.Open(); err != nil {
		return nil, fmt.Errorf("start Zoom: %w", err)
	}
	for _, g := range s.Gates() {
		cfg.DNS.SetHost(g.Name+"."+cfg.Domain, time.Minute, g.Addr().Addr())
	}
	for _, g := range cfg.Gateways {
		s.Go(func(ctx context.Context) { s.watch(ctx, g) })
	}
	return s, nil
}

var formats = map[string]phone.Format{
	"opus": {PT: 102, Map: "opus/48000/2", Fmtp: "useinbandfec=1;maxaveragebitrate=40000"},
	"G722": {PT: 9, Map: "G722/8000"},
	"PCMU": {PT: 0, Map: "PCMU/8000"},
	"PCMA": {PT: 8, Map: "PCMA/8000"},
}

func (s *System) dialect() phone.Dialect {
	d := phone.Dialect{Name: "-", HoldAs: sdp.SendOnly, Crypto: []phone.CryptoOffer{{Tag: "1", Suite: "AES_CM_128_HMAC_SHA1_80"}}}
	names := s.cfg.Codecs
	if names == nil {
		names = []string{"opus", "G722", "PCMU", "PCMA"}
	}
	for _, n := range names {
		d.Formats = append(d.Formats, formats[n])
	}
	if s.cfg.Inferred {
		d.Formats = append(d.Formats, phone.Format{PT: 18, Map: "G729/8000", Fmtp: "annexb=no"})
		d.Crypto = []phone.CryptoOffer{
			{Tag: "1", Suite: "AEAD_AES_256_GCM"},
			{Tag: "2", Suite: "AES_256_CM_HMAC_SHA1_80"},
			{Tag: "3", Suite: "AES_CM_128_HMAC_SHA1_80"},
			{Tag: "4", Suite: "AES_CM_128_HMAC_SHA1_32"},
		}
	}
	d.Formats = append(d.Formats, phone.Format{PT: 101, Map: "telephone-event/8000", Fmtp: "0-15"})
	return d
}

// Dial places a call and returns when it is under way. Region asks for one of
// the gateway's regions, Site for a zone.
func (s *System) Dial(_ context.Context, spec phone.CallSpec) (*phone.Call, error) {
	c, err := s.dial(spec, nil)
	if err != nil {
		return nil, fmt.Errorf("place a call from Zoom: %w", err)
	}
	return c, nil
}

// Call places a call, waits for its end, and returns it for its facts.
func (s *System) Call(ctx context.Context, spec phone.CallSpec) (*phone.Call, error) {
	c, err := s.Dial(ctx, spec)
	if err != nil {
		return nil, err
	}
	return c, c.Run(ctx)
}

func (s *System) dial(spec phone.CallSpec, watch func(*phone.Call, phone.Progress)) (*phone.Call, error) {
	if spec.LateSDP {
		return nil, errors.New("an offer is always made")
	}
	targets, err := s.targets(spec)
	if err != nil {
		return nil, err
	}
	return s.Place(phone.Outgoing{Spec: spec, Targets: targets, Invite: s.invite, Response: s.cfg.Response, Watch: watch})
}

// targets orders the regions: the one asked for, those that are up, the others.
func (s *System) targets(spec phone.CallSpec) ([]phone.Target, error) {
	zone := s.Gates()[0]
	if spec.Site != "" {
		if zone = s.Gate(spec.Site); zone == nil {
			return nil, fmt.Errorf("no zone %q", spec.Site)
		}
	}
	regions := slices.Clone(s.cfg.Gateways)
	if !s.cfg.Backup {
		rand.Shuffle(len(regions), func(i, j int) { regions[i], regions[j] = regions[j], regions[i] })
	}
	rank := func(g Gateway) int {
		switch {
		case g.FQDN == spec.Region:
			return 0
		case s.state(g.FQDN).Up:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(regions, func(a, b Gateway) int { return rank(a) - rank(b) })
	var all []phone.Target
	for _, g := range regions {
		all = append(all, phone.Target{
			Name: g.FQDN, Gate: zone, Hop: sip.Hop{Host: g.FQDN, Port: g.Port, Transport: sip.TLS},
			Host: net.JoinHostPort(g.FQDN, strconv.Itoa(int(g.Port))),
		})
	}
	return all, nil
}

// invite writes the INVITE of a user.
func (s *System) invite(c *phone.Call, t phone.Target) *sip.Message {
	spec, self := c.Spec(), t.Gate.Host()
	m := sip.NewRequest("INVITE", "sip:"+spec.To+"@"+t.Host+";transport=tls")
	m.Set("From", `"Zoom User" <sip:`+spec.From+"@"+self+">;tag="+c.Tag())
	m.Set("To", "<sip:"+spec.To+"@"+t.Host+">")
	m.Set("Call-ID", sip.NewCallID())
	m.Set("CSeq", "1 INVITE")
	m.Set("Supported", "timer,replaces")
	m.Set("Session-Expires", "1800")
	m.Set("Min-SE", "90")
	m.Set("Privacy", "none")
	m.Set("P-Asserted-Identity", `"Zoom User" <sip:`+spec.From+"@"+self+">")
	m.Set("X-Trace-ID", sip.NewTag())
	m.Set("Allow-Events", "talk,hold,conference,refer,check-sync,vq-rtcpxr")
	m.Set("Content-Disposition", "session;handling=required")
	return m
}

// finish adds what every message of Zoom carries.
func (s *System) finish(c *phone.Call, g *phone.Gate, m *sip.Message) *sip.Message {
	cseq, _ := m.CSeq()
	m.Set("User-Agent", "Zoom SBC")
	if cseq.Method != "INVITE" && cseq.Method != "OPTIONS" && cseq.Method != "UPDATE" && cseq.Method != "REFER" {
		return m
	}
	m.Set("Allow", allow)
	switch {
	case m.Status >= 300 || m.Status == 100:
	case c != nil:
		m.Set("Contact", "<sip:"+c.Number()+"@"+g.Host()+";transport=tls>")
	default:
		m.Set("Contact", "<sip:"+g.Host()+";transport=tls>")
	}
	return m
}

// referred places the call that a REFER asks for.
func (s *System) referred(c *phone.Call, refer *sip.Message, watch func(*phone.Call, phone.Progress)) (*phone.Call, error) {
	to, err := refer.Address("Refer-To")
	if err != nil {
		return nil, err
	}
	return s.dial(phone.CallSpec{From: c.Number(), To: to.URI.User, Region: c.Brief().Peer}, watch)
}

func (s *System) options(g *phone.Gate, tx *sip.ServerTx) {
	resp := sip.NewResponse(tx.Request(), 200, "")
	resp.TagTo(sip.NewTag())
	_ = tx.Respond(s.finish(nil, g, resp)) // who is gone needs no answer
}

// watch sends OPTIONS to a region, each interval.
func (s *System) watch(ctx context.Context, gw Gateway) {
	tick := time.NewTicker(s.cfg.Options)
	defer tick.Stop()
	for {
		if g := s.Gates()[0]; !g.Faults().NoOptions {
			s.ping(ctx, g, gw)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *System) ping(ctx context.Context, g *phone.Gate, gw Gateway) {
	places, err := s.Resolve(ctx, sip.Hop{Host: gw.FQDN, Port: gw.Port, Transport: sip.TLS})
	if err != nil {
		s.pinged(gw, err)
		return
	}
	m := sip.NewRequest("OPTIONS", "sip:"+net.JoinHostPort(gw.FQDN, strconv.Itoa(int(gw.Port)))+";transport=tls")
	m.Set("From", "<sip:"+g.Host()+">;tag="+sip.NewTag())
	m.Set("To", "<sip:"+gw.FQDN+">")
	m.Set("Call-ID", sip.NewCallID())
	m.Set("CSeq", "1 OPTIONS")
	_, err = g.Request(s.finish(nil, g, m), places[0], func(ev sip.Event) {
		switch {
		case ev.Err != nil:
			s.pinged(gw, ev.Err)
		case ev.Msg.Status >= 300:
			s.pinged(gw, fmt.Errorf("%d %s", ev.Msg.Status, ev.Msg.Reason))
		case ev.Msg.Status >= 200:
			s.pinged(gw, nil)
		}
	})
	if err != nil {
		s.pinged(gw, err)
	}
}

func (s *System) pinged(gw Gateway, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.states[gw.FQDN]
	if state.Up, state.LastError = err == nil, ""; err != nil {
		state.LastError = err.Error()
		return
	}
	state.LastAnswer = time.Now()
}

func (s *System) state(fqdn string) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.states[fqdn]
}

// Regions tells the state of each region of the gateway.
func (s *System) Regions() (all []State) {
	for _, g := range s.cfg.Gateways {
		all = append(all, s.state(g.FQDN))
	}
	return all
}
