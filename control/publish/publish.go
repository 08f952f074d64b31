// Package publish compiles the gateway resource, the addresses of the cloud
// services and the provisioned numbers into the snapshot that edges route by.
//
// Compile is pure and deterministic: the same input gives the same bytes. It
// wants input that passed gateway.Validate. Start reading at Compile.
package publish

import (
	"net/netip"
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
	Options  time.Duration     // interval of OPTIONS towards every peer
	Numbers  []snapshot.Number
}

// Services is where the cloud services are.
type Services struct {
	Teams Teams `yaml:"teams"`
}

// Teams is the phone system of Microsoft Teams.
type Teams struct {
	Proxies []string       `yaml:"proxies"` // host:port, in the order to try
	Sources []netip.Prefix `yaml:"sources"` // of its signalling
	Media   []netip.Prefix `yaml:"media"`   // of its media
	Names   []string       `yaml:"names"`   // one of which its certificate must bear
}

// Operator is what the resource cannot say of the operator's peers.
type Operator struct {
	Transport   string   `yaml:"transport"`   // "TLS", "TCP", "UDP"
	Port        uint16   `yaml:"port"`        // of every operator address
	SRTP        *bool    `yaml:"srtp"`        // default true
	Names       []string `yaml:"names"`       // names one of which a peer's certificate must bear; none: its address
	SRV         bool     `yaml:"srv"`         // operator addresses are names to look up by SRV (RFC 3263)
	CountryCode string   `yaml:"countryCode"` // of national numbers from the core, "44"
	TrunkPrefix string   `yaml:"trunkPrefix"` // national prefix before them, "0"
}

// Compile makes the snapshot.
func Compile(in Input) (*snapshot.Snapshot, error) { panic("todo") }
