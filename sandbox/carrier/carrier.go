// Package carrier plays an operator's core towards the gateway: two sites,
// each next to a region of the gateway, subscribers with numbers, SIP over
// UDP, TCP or TLS, media in the clear or as SRTP.
//
// It finds the gateway by SRV and follows the redial rule: no answer, 408, 503
// and 504 lead to the next peer of the near region, then to the other region;
// nothing else does. It is written from the public rules and not from the
// gateway's code. Start reading at Core.
package carrier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"time"

	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
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
	National    string        // country code whose numbers are written in national format ("44"); empty writes +E.164
	Options     time.Duration // interval of OPTIONS to each peer, 60 s when zero
	Log         *slog.Logger  // nil discards
}

// Site is one of the core's sites.
type Site struct {
	Name      string // "a"
	Bind      netip.AddrPort
	Transport sip.Transport
	Near      string // the region of Regions that it tries first
}

// PeerState is what a site thinks of one peer of the gateway.
type PeerState struct {
	Site, Region string
	Addr         netip.AddrPort
	Up           bool
	LastAnswer   time.Time // newest final response to our OPTIONS
	LastError    string
}

// Core is the operator's core. Its numbers are its subscribers.
type Core struct{ *phone.Exchange }

// Start opens the sites and publishes their names.
func Start(ctx context.Context, cfg Config) (*Core, error) { panic("todo") }

// Close ends all calls and closes the sites.
func (c *Core) Close() error { panic("todo") }

// SiteAddr is the socket of a site.
func (c *Core) SiteAddr(site string) netip.AddrPort { panic("todo") }

// Dial places a call and returns when the first INVITE has been sent.
func (c *Core) Dial(ctx context.Context, spec phone.CallSpec) (*phone.Call, error) { panic("todo") }

// Call places a call, waits for its end, and returns it for its facts.
func (c *Core) Call(ctx context.Context, spec phone.CallSpec) (*phone.Call, error) { panic("todo") }

// Peers tells the state of each peer of the gateway, by site.
func (c *Core) Peers() []PeerState { panic("todo") }
