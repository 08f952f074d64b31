// Package carrier plays an operator's core towards the gateway: two sites,
// each next to a region of the gateway, subscribers with numbers, SIP over
// UDP, TCP or TLS, media in the clear or as SRTP.
//
// It finds the gateway by SRV and follows the redial rule: no answer, 408, 503
// and 504 lead to the next peer of the near region, then to the other region;
// nothing else does. It is written from the public rules and not from the
// gateway's code. Start reading at Core, then at targets in peers.go.
package carrier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
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

// Config is what a Core is made of.
type Config struct {
	Domain string // "core.example"; site A is a.<Domain>, with SRV records there
	DNS    *dns.Server
	Sites  []Site
	// Regions are the gateway's names on the operator side ("r1.lab.example"),
	// looked up by SRV for the transport of the site.
	Regions     []string
	Certificate func() (*tls.Certificate, error) // for TLS sites: a.<Domain>, b.<Domain>
	Roots       *x509.CertPool
	Media       netip.Addr    // media ends listen here
	Ports       [2]uint16     // first and last media port
	SRTP        bool          // offer and demand SRTP
	National    string        // country code whose callers are written in national format ("44"); empty writes +E.164
	Hold        sdp.Direction // how subscribers hold: SendOnly unless set to Inactive
	HoldNull    bool          // and by the address 0.0.0.0, as of old
	// Codecs are the formats its telephones have, in order, by their names in SDP:
	// PCMA and PCMU unless set. AMR-WB can be said and not listened to.
	Codecs []string
	// Methods are those in Allow beyond the ones of RFC 3261: PRACK, UPDATE, INFO,
	// REFER and NOTIFY, as far as the core has them.
	Methods []string
	// IMS gives its messages the marks of 3GPP TS 24.229: charging, access, gates
	// for early media.
	IMS bool
	// Demands are what the gateway is configured to write for this core. What is
	// missing is noted.
	Demands Demands
	// Session is the Session-Expires of its INVITEs, and LeastSession the shortest
	// it accepts; no timer and 90 s when zero.
	Session, LeastSession time.Duration
	Response              time.Duration // an INVITE without any response for this long goes on to the next peer; 4 s when zero
	Options               time.Duration // interval of OPTIONS to each peer, 60 s when zero
	// Hidden are texts that must never arrive here: names and addresses of
	// the cloud side (topology hiding).
	Hidden []string
	Log    *slog.Logger // nil discards
}

// Demands are headers that the gateway is to write.
type Demands struct {
	Charging   bool   // P-Charging-Vector with an icid-value in INVITE (RFC 7315 section 4.6)
	Identity   bool   // P-Asserted-Identity in INVITE (RFC 3325)
	EarlyMedia bool   // P-Early-Media in an 18x with a description, when we said we know it (RFC 5009)
	History    string // "history-info" or "diversion" on forwarded calls, and never the other one
}

// Site is one of the core's sites.
type Site struct {
	Name      string // "a"
	Bind      netip.AddrPort
	Transport sip.Transport
	Near      string // the region of Regions that it tries first
}

// Core is the operator's core. Its numbers are its subscribers. Beyond what every
// exchange can do (see package phone) a scenario has:
//
//	Transfer, TransferTo        blind and attended transfer by REFER
//	Holds                       the forms of hold, for Call.HoldAs
//	Diversion, History          headers of a forwarded call, for CallSpec.Headers
//	Behaviour.Redirect          302
//	CallSpec.Reliable, .Preconditions, .LateSDP, Behaviour.Reliable
//	Config.IMS, .Codecs, .Demands
type Core struct {
	*phone.Exchange

	cfg Config // RO

	mu    sync.Mutex
	peers map[peerKey]*PeerState // mu
}

// Start opens the sites and publishes their names.
func Start(_ context.Context, cfg Config) (*Core, error) {
	if cfg.Options == 0 {
		cfg.Options = time.Minute
	}
	if cfg.Response == 0 {
		cfg.Response = 4 * time.Second
	}
	if cfg.Hold == sdp.SendRecv {
		cfg.Hold = sdp.SendOnly
	}
	c := &Core{cfg: cfg, peers: map[peerKey]*PeerState{}}
	var listeners []sip.Listener
	for _, s := range cfg.Sites {
		l := sip.Listener{Name: s.Name, Side: "gateway", Transport: s.Transport, Bind: s.Bind, Certificate: cfg.Certificate}
		if s.Transport == sip.TLS {
			l.Advertise = s.Name + "." + cfg.Domain // what the certificate is for
		}
		listeners = append(listeners, l)
	}
	c.Exchange = phone.New(phone.Config{
		Name: "core", Gates: listeners, DNS: cfg.DNS.Addr(), Media: cfg.Media, Ports: cfg.Ports, Log: cfg.Log,
		Remote: &sip.Remote{
			Name: "gateway", TLS: sip.TLSPolicy{Roots: cfg.Roots},
			// A peer that does not answer OPTIONS is to be known as down
			// before the second one leaves.
			Timers: sip.Timers{NonInvite: max(2*time.Second, min(4*time.Second, cfg.Options))},
		},
		Manner: phone.Manner{
			Dialect: c.dialect(), Allow: c.allow(), Sources: Sources, OneDialog: true, LeastSession: cfg.LeastSession,
			Finish: c.finish, Judge: c.judge, Options: c.options, Reason: reason, Leave: leave, Response: c.response, Dial: c.Dial, Transfer: c.Transfer,
		},
	})
	if err := c.Open(); err != nil {
		return nil, fmt.Errorf("start the core: %w", err)
	}
	for _, g := range c.Gates() {
		name := g.Name + "." + cfg.Domain
		cfg.DNS.SetHost(name, time.Minute, g.Addr().Addr())
		cfg.DNS.SetSRV(service(g.Transport)+name, time.Minute, dns.SRV{Priority: 1, Weight: 1, Port: g.Addr().Port(), Target: name})
		for _, region := range cfg.Regions {
			c.Go(func(ctx context.Context) { c.watch(ctx, g, region) })
		}
	}
	return c, nil
}

// service is the SRV prefix of a transport (RFC 3263 section 4.1).
func service(t sip.Transport) string {
	switch t {
	case sip.UDP:
		return "_sip._udp."
	case sip.TCP:
		return "_sip._tcp."
	}
	return "_sips._tcp."
}

// formats are the payload formats a core may have.
var formats = map[string]phone.Format{
	"PCMA":   {PT: 8, Map: "PCMA/8000"},
	"PCMU":   {PT: 0, Map: "PCMU/8000"},
	"G722":   {PT: 9, Map: "G722/8000"},
	"AMR-WB": {PT: 98, Map: "AMR-WB/16000", Fmtp: "octet-align=1;mode-change-capability=2"},
}

func (c *Core) codecs() []string {
	if c.cfg.Codecs != nil {
		return c.cfg.Codecs
	}
	return []string{"PCMA", "PCMU"}
}

// dialect is that of a plain G.711 softswitch.
func (c *Core) dialect() phone.Dialect {
	d := phone.Dialect{
		Name: "-", HoldAs: c.cfg.Hold, HoldNull: c.cfg.HoldNull,
	}
	for _, name := range c.codecs() {
		d.Formats = append(d.Formats, formats[name])
	}
	d.Formats = append(d.Formats, phone.Format{PT: 13, Map: "CN/8000"}, phone.Format{PT: 101, Map: "telephone-event/8000", Fmtp: "0-16"})
	if c.cfg.SRTP {
		d.Crypto = []phone.CryptoOffer{{Tag: "1", Suite: "AES_CM_128_HMAC_SHA1_80"}}
	}
	return d
}

// SiteAddr is the socket of a site.
func (c *Core) SiteAddr(site string) netip.AddrPort { return c.Gate(site).Addr() }

// Dial places a call and returns when it is under way.
func (c *Core) Dial(ctx context.Context, spec phone.CallSpec) (*phone.Call, error) {
	targets, err := c.targets(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("place a call from the core: %w", err)
	}
	return c.Place(phone.Outgoing{Spec: spec, Targets: targets, Invite: c.invite, Response: c.cfg.Response, Trying: true})
}

// Call places a call, waits for its end, and returns it for its facts.
func (c *Core) Call(ctx context.Context, spec phone.CallSpec) (*phone.Call, error) {
	call, err := c.Dial(ctx, spec)
	if err != nil {
		return nil, err
	}
	return call, call.Run(ctx)
}

func (c *Core) allow() string {
	return strings.Join(append([]string{"INVITE, ACK, CANCEL, BYE, OPTIONS"}, c.cfg.Methods...), ", ")
}

// invite writes the INVITE of a subscriber.
func (c *Core) invite(call *phone.Call, t phone.Target) *sip.Message {
	spec := call.Spec()
	self := "sip:" + c.national(spec.From) + "@" + t.Gate.Name + "." + c.cfg.Domain + ";user=phone"
	m := sip.NewRequest("INVITE", "sip:"+spec.To+"@"+t.Host+";user=phone")
	m.Set("From", `"Subscriber" <`+self+">;tag="+call.Tag())
	m.Set("To", "<sip:"+spec.To+"@"+t.Host+";user=phone>")
	m.Set("Call-ID", sip.NewCallID())
	m.Set("CSeq", "1 INVITE")
	m.Set("P-Asserted-Identity", "<"+self+">")
	if c.cfg.Session > 0 {
		m.Set("Supported", "timer")
		m.Set("Session-Expires", strconv.Itoa(int(c.cfg.Session/time.Second)))
	}
	if c.cfg.IMS {
		m.Set("P-Early-Media", "supported")
		m.Set("P-Charging-Vector", "icid-value="+sip.NewTag()+";icid-generated-at="+t.Gate.Name+"."+c.cfg.Domain+";orig-ioi="+c.cfg.Domain)
		m.Set("P-Access-Network-Info", "IEEE-802.3;eth-location=lab")
	}
	return m
}

// national writes a number of our country as its people do.
func (c *Core) national(number string) string {
	if c.cfg.National == "" {
		return number
	}
	if rest, ours := strings.CutPrefix(number, "+"+c.cfg.National); ours {
		return "0" + rest
	}
	return number
}

// finish adds what every message of the core carries.
func (c *Core) finish(call *phone.Call, g *phone.Gate, m *sip.Message) *sip.Message {
	cseq, _ := m.CSeq()
	m.Set("User-Agent", "Core/1")
	switch {
	case cseq.Method == "INVITE" && (m.IsRequest() || m.Status > 100 && m.Status < 300):
		m.Set("Allow", c.allow())
		m.Set("Contact", fmt.Sprintf("<sip:%s@%s;transport=%s>", call.Number(), g.Host(), strings.ToLower(g.Transport.String())))
	case cseq.Method == "OPTIONS":
		m.Set("Allow", c.allow())
		m.Set("Contact", fmt.Sprintf("<sip:%s;transport=%s>", g.Host(), strings.ToLower(g.Transport.String())))
	}
	return m
}

func leave(g *phone.Gate) *phone.Gate { return g }

func (c *Core) options(g *phone.Gate, tx *sip.ServerTx) {
	resp := sip.NewResponse(tx.Request(), 200, "")
	resp.TagTo(sip.NewTag())
	_ = tx.Respond(c.finish(nil, g, resp)) // who is gone needs no answer
}

// judge notes what must not arrive at an operator's core. It refuses nothing
// but methods it does not know.
func (c *Core) judge(_ *phone.Gate, req *sip.Message, _ sip.Source) *phone.Refusal {
	c.hide(req, req.Method+" "+req.RequestURI)
	if !slices.Contains(strings.Split(c.allow(), ", "), req.Method) {
		id, _ := req.CallID()
		c.Violate("method", id, "%s, which our Allow does not list", req.Method)
		return &phone.Refusal{Status: 405}
	}
	c.clear(req)
	c.demand(req)
	return nil
}

// demand notes what the gateway is to write and did not.
func (c *Core) demand(req *sip.Message) {
	to, err := req.To()
	if err != nil || req.Method != "INVITE" || to.Tag() != "" {
		return
	}
	id, _ := req.CallID()
	want := c.cfg.Demands
	if want.Charging && !strings.Contains(req.Get("P-Charging-Vector"), "icid-value=") {
		c.Violate("charging", id, "no P-Charging-Vector with an icid-value in INVITE (RFC 7315 section 4.6)")
	}
	if want.Identity && !req.Has("P-Asserted-Identity") {
		c.Violate("identity", id, "no P-Asserted-Identity in INVITE (RFC 3325 section 9.1)")
	}
	if other := map[string]string{"diversion": "History-Info", "history-info": "Diversion"}[want.History]; other != "" && req.Has(other) {
		c.Violate("history", id, "%s to a core that wants %s (RFC 7544)", other, want.History)
	}
	if want.History != "" && strings.Contains(req.RequestURI, "cause=") && !req.Has(want.History) {
		c.Violate("history", id, "a forwarded call without %s (RFC 7544)", want.History)
	}
}

// hide notes each text of the other side that shows.
func (c *Core) hide(m *sip.Message, what string) {
	id, _ := m.CallID()
	text := strings.ToLower(string(m.Append(nil)))
	for _, h := range c.cfg.Hidden {
		if strings.Contains(text, strings.ToLower(h)) {
			c.Violate("topology", id, "%s shows %q", what, h)
		}
	}
}

// clear notes keys in a description whose profile has no use for them (RFC
// 4568 section 3).
func (c *Core) clear(m *sip.Message) {
	d, err := sdp.Parse(m.Body)
	if len(m.Body) == 0 || err != nil {
		return // who reads it will say so
	}
	id, _ := m.CallID()
	for _, section := range d.Media {
		if !section.Secure() && len(section.Crypto) > 0 {
			c.Violate("crypto-in-clear", id, "a=crypto in a section %s", section.Proto)
		}
	}
}

// response notes what is wrong with the gateway's response.
func (c *Core) response(_ *phone.Call, resp *sip.Message) *sip.Message {
	c.hide(resp, fmt.Sprintf("%d %s", resp.Status, resp.Reason))
	c.clear(resp)
	id, _ := resp.CallID()
	if c.cfg.Demands.EarlyMedia && c.cfg.IMS && resp.Status > 100 && resp.Status < 200 && len(resp.Body) > 0 && !resp.Has("P-Early-Media") {
		c.Violate("early-media", id, "%d with a description and without P-Early-Media, which our INVITE supports (RFC 5009)", resp.Status)
	}
	for _, r := range resp.Reasons() {
		if resp.Status == 486 && r.Protocol == "Q.850" && r.Cause == 34 {
			c.Violate("cause-34", id, "486 with Q.850 cause 34 makes a core dial again; RFC 4497 says 17")
		}
	}
	return resp
}

func reason(_ int, err error) string {
	switch {
	case errors.Is(err, phone.ErrCrypto), errors.Is(err, phone.ErrNoCrypto), errors.Is(err, phone.ErrNoCodec):
		return sip.Reason{Protocol: "Q.850", Cause: 88, Text: "Incompatible destination"}.String()
	}
	return ""
}

// Sources says where the rules of a core stand; those of every far side are in
// package phone.
var Sources = map[string]string{
	"cause-34":        "RFC 4497 section 8.4.4: busy is 17",
	"charging":        "RFC 7315 section 4.6; 3GPP TS 24.229",
	"crypto-in-clear": "RFC 4568 section 3",
	"early-media":     "RFC 5009 section 5",
	"history":         "RFC 7544",
	"identity":        "RFC 3325 section 9.1",
	"method":          "RFC 3261 section 8.2.1",
	"replaces-left":   "RFC 3891 section 3",
	"topology":        "RFC 5853 section 3.1",
}
