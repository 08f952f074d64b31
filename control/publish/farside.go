package publish

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Services is where the cloud services are.
type Services struct {
	Teams  Teams  `yaml:"teams"`
	Zoom   Zoom   `yaml:"zoom"`
	Mobile Mobile `yaml:"mobile"`
}

// Teams is the phone system of Microsoft Teams. What is left out is
// Microsoft's (see Default).
type Teams struct {
	Proxies []string       `yaml:"proxies"` // host:port, in the order to try
	Sources []netip.Prefix `yaml:"sources"` // of its signalling
	Media   []netip.Prefix `yaml:"media"`   // of its media
	Names   []string       `yaml:"names"`   // one of which its certificate must bear
	TLS     TLS            `yaml:"tls"`
	// Transport is "tls" (default) or, for measurements on one machine, "udp":
	// without keys, and so without SRTP. Loopback only (app).
	Transport string `yaml:"transport"`
	Limits    Limits `yaml:"limits"`

	Interworking Interworking `yaml:"interworking"`
}

// Limits bound the calls through each peer of a side, emergency calls aside. 0:
// no bound.
type Limits struct {
	Calls          int           `yaml:"calls"`          // at once
	CallsPerSecond int           `yaml:"callsPerSecond"` // that begin
	Duration       time.Duration `yaml:"duration"`       // of a call
}

// MicrosoftRoots are the common names of the authorities that the proxies of
// Teams may prove themselves by (Microsoft's list of 2026; it changed in 2023
// and cut off those who had not added the new one).
var MicrosoftRoots = []string{
	"DigiCert Global Root CA", "DigiCert Global Root G2", "DigiCert Global Root G3",
	"DigiCert TLS ECC P384 Root G5", "DigiCert TLS RSA4096 Root G5",
	"Microsoft ECC Root Certificate Authority 2017", "Microsoft RSA Root Certificate Authority 2017",
}

// TLS is how TLS connections with peers are made.
type TLS struct {
	Min               string       `yaml:"min"`               // oldest version: "1.2" (default), "1.3"
	Max               string       `yaml:"max"`               // newest version: "1.2", "1.3" (default)
	Suites            []string     `yaml:"suites"`            // of TLS 1.2; none: forward secret with GCM
	Roots             string       `yaml:"roots"`             // PEM file of trusted authorities; empty: sip.roots
	ClientCertificate *bool        `yaml:"clientCertificate"` // demanded of peers that call us; nil: true
	Certificate       *Certificate `yaml:"certificate"`       // that we show them; nil: the listener's
}

// Certificate names the files of a certificate.
type Certificate struct {
	Chain   string `yaml:"chain"`   // PEM, leaf first, then intermediates
	Key     string `yaml:"key"`     // PEM
	Managed bool   `yaml:"managed"` // of a listener: no files, control sees to it and the key is made here
}

// Plain tells that Teams is one of a measurement, without TLS.
func (t Teams) Plain() bool { return t.Transport == "udp" }

// Default fills in what Microsoft publishes (Microsoft Teams docs, "Plan
// Direct Routing"). The names follow the proxies, and media the signalling,
// so that whoever says where Teams is need not say it twice.
func (t Teams) Default() Teams {
	if t.Transport == "" {
		t.Transport = "tls"
	}
	if len(t.Proxies) == 0 {
		t.Proxies = []string{"sip.pstnhub.microsoft.com:5061", "sip2.pstnhub.microsoft.com:5061", "sip3.pstnhub.microsoft.com:5061"}
	}
	if len(t.Sources) == 0 {
		t.Sources = []netip.Prefix{netip.MustParsePrefix("52.112.0.0/14"), netip.MustParsePrefix("52.120.0.0/14")}
	}
	if len(t.Media) == 0 {
		t.Media = t.Sources
	}
	if len(t.Names) == 0 {
		for _, p := range t.Proxies {
			if host, _, err := SplitProxy(p); err == nil {
				t.Names = append(t.Names, host)
			}
		}
	}
	return t
}

// SplitProxy reads host:port of a cloud service; the port may be left out.
func SplitProxy(s string) (host string, port uint16, err error) {
	if s != "" && !strings.Contains(s, ":") {
		return s, 5061, nil
	}
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("proxy %q: write host:port", s)
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("proxy %q: write host:port with a port from 1 to 65535", s)
	}
	return host, uint16(n), nil
}

// Operator is what the resource cannot say of the operator's peers. The
// resource API is silent on the first four for operatorAddresses; peer groups
// say them themselves.
type Operator struct {
	Transport   string   `yaml:"transport"`   // "tls" (default), "tcp", "udp"
	Port        uint16   `yaml:"port"`        // of every operator address; 0: 5061 for TLS, else 5060
	SRTP        *bool    `yaml:"srtp"`        // nil: over TLS only, since its keys travel in the signalling
	SRV         bool     `yaml:"srv"`         // operator addresses are names to look up by SRV (RFC 3263)
	Names       []string `yaml:"names"`       // one of which a peer's certificate must bear; none: its own
	Suites      []string `yaml:"suites"`      // of SRTP, the best liked first; none: see suites
	CountryCode string   `yaml:"countryCode"` // of national numbers from the core, "44"
	TrunkPrefix string   `yaml:"trunkPrefix"` // national prefix before them, "0"

	Auth     *Auth       `yaml:"auth"`     // who we are when a peer asks
	Demand   *Demand     `yaml:"demand"`   // what we ask of peers
	Register *Register   `yaml:"register"` // we register with them
	Peers    []PeerLogin `yaml:"peers"`    // those whose three of these are their own
	TLS      TLS         `yaml:"tls"`
	Limits   Limits      `yaml:"limits"`

	TLSByGroup map[string]*TLS `yaml:"tlsByGroup"` // instead of TLS, by peer group of the resource

	Interworking        Interworking             `yaml:"interworking"`
	InterworkingByGroup map[string]*Interworking `yaml:"interworkingByGroup"` // instead of Interworking
}

// transport is the protocol in the words of the snapshot.
func (o Operator) transport() string {
	if o.Transport == "" {
		return "TLS"
	}
	return strings.ToUpper(o.Transport)
}

// suites are those offered to the core and accepted from it. Every core has the
// first one; the others follow by strength, with the short authentication tags
// last (RFC 3711 5.2, RFC 6188, RFC 7714).
func (o Operator) suites() []string {
	if len(o.Suites) > 0 {
		return o.Suites
	}
	return []string{
		"AES_CM_128_HMAC_SHA1_80",
		"AES_256_CM_HMAC_SHA1_80", "AEAD_AES_256_GCM", "AEAD_AES_128_GCM",
		"AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_32",
	}
}

func (o Operator) srtp() bool {
	if o.SRTP != nil {
		return *o.SRTP
	}
	return o.transport() == "TLS"
}

// port is where an operator address listens, 0 to ask the SRV records.
func (o Operator) port() uint16 {
	switch {
	case o.SRV:
		return 0
	case o.Port != 0:
		return o.Port
	case o.transport() == "TLS":
		return 5061
	}
	return 5060
}
