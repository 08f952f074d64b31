// Package teams plays a Teams phone system towards the gateway: three SIP
// proxies over TLS, users with numbers, trunks that become active by the
// exchange of OPTIONS, and the habits and faults of the real one on demand.
//
// It is written from the public rules and not from the gateway's code, so
// that mistakes do not agree with each other. Start reading at System.
package teams

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"time"

	"github.com/tandemgw/tandem/sandbox/dns"
	"github.com/tandemgw/tandem/sandbox/phone"
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
	// Certificate is the proxies' own, for sip., sip2. and sip3.; Roots are
	// those it trusts the gateway's certificates to.
	Certificate func() (*tls.Certificate, error)
	Roots       *x509.CertPool
	Media       netip.Addr // media ends listen here
	Ports       [2]uint16  // first and last media port
	Trunks      []Trunk
	// Tenants maps a tenant's registered domain (a trunk's FQDN, or that
	// without its first label) to the tenant's id.
	Tenants map[string]string
	// Failover is FailoverTimeSeconds: an INVITE without a provisional other
	// than 100 for this long goes to the next trunk. 10 s when zero.
	Failover time.Duration
	// Options is the interval of OPTIONS to active trunks, 60 s when zero.
	Options time.Duration
	Log     *slog.Logger // nil discards
}

// Trunk is one SBC FQDN of the carrier, one per region.
type Trunk struct {
	FQDN     string // "1r1.lab.example"
	Port     uint16 // SipSignalingPort
	Priority int    // lower first; equal ones are shuffled
}

// TrunkState is what Teams thinks of a trunk.
type TrunkState struct {
	FQDN        string
	Active      bool      // OPTIONS came within three intervals, and ours was answered 200
	LastOptions time.Time // newest OPTIONS received from it
	LastAnswer  time.Time // newest 200 to ours
	LastError   string    // why ours was not answered, newest
}

// System is the phone system. Its numbers are its users.
type System struct{ *phone.Exchange }

// Start opens the proxies and publishes their names.
func Start(ctx context.Context, cfg Config) (*System, error) { panic("todo") }

// Close ends all calls and closes the proxies.
func (s *System) Close() error { panic("todo") }

// ProxyAddr is the socket of a proxy: "sip", "sip2", "sip3".
func (s *System) ProxyAddr(proxy string) netip.AddrPort { panic("todo") }

// Dial places a call and returns when the first INVITE has been sent.
func (s *System) Dial(ctx context.Context, spec phone.CallSpec) (*phone.Call, error) { panic("todo") }

// Call places a call, waits for its end, and returns it for its facts.
func (s *System) Call(ctx context.Context, spec phone.CallSpec) (*phone.Call, error) { panic("todo") }

// Trunks tells the state of each trunk.
func (s *System) Trunks() []TrunkState { panic("todo") }
