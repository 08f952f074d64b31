// Package snapshot holds what the control plane publishes to the edges: an
// immutable picture of the gateway, with a revision.
//
// A snapshot is made by control/publish and never changed afterwards; an edge
// keeps a pointer to the newest one and every call keeps the pointer it began
// with. All types are plain and survive a trip through JSON, so that an edge
// can start from the copy on its disk while control is away. Look-ups are pure
// functions. Start reading at Snapshot.
package snapshot

import (
	"iter"
	"net/netip"
	"slices"
	"time"
)

// Side tells which network a peer or a listener belongs to.
type Side string

// The two sides of the gateway.
const (
	Operator Side = "operator" // the operator's fixed and mobile core
	Cloud    Side = "cloud"    // the communications services
)

// Service is a communications service, in the words of the resource API.
type Service string

// The communications services.
const (
	OperatorConnect    Service = "OperatorConnect"
	TeamsPhoneMobile   Service = "TeamsPhoneMobile"
	TeamsDirectRouting Service = "TeamsDirectRouting"
	Zoom               Service = "Zoom"
)

// Snapshot is everything an edge needs to carry calls, without asking anybody.
type Snapshot struct {
	Revision  uint64   `json:"revision"`            // grows with every publication
	Gateway   string   `json:"gateway"`             // name of the gateway resource
	Regions   []Region `json:"regions"`             // service regions in the order of the resource
	Groups    []Group  `json:"groups"`              // peer groups of both sides
	Emergency []string `json:"emergency,omitempty"` // dial strings that name the emergency service, "911"
	Numbers   Numbers  `json:"numbers,omitzero"`    // provisioned numbers
	Policy    Policy   `json:"policy"`              // what to do with numbers that are not provisioned
}

// Region is one service region.
type Region struct {
	Name   string `json:"name"`             // as in the resource: "westeurope"
	Domain string `json:"domain,omitempty"` // regional FQDN that Contact carries towards the cloud: "1r1.<base>"
}

// Group is a set of peers that serve the same purpose and are tried in turn.
type Group struct {
	Name     string    `json:"name"`
	Side     Side      `json:"side"`
	Services []Service `json:"services,omitempty"` // cloud: the services reached through it; operator: empty
	Profile  string    `json:"profile"`            // interworking profile: "teams", "core"
	Codecs   []string  `json:"codecs"`             // allowed, in order of preference, resource names: "PCMA"
	Suites   []string  `json:"suites,omitempty"`   // of SRTP, offered in this order, accepted in theirs; empty: AES_CM_128_HMAC_SHA1_80
	Peers    []Peer    `json:"peers"`
}

// Peer is one far side that is addressed, watched and admitted on its own.
// Its name is unique in the snapshot.
type Peer struct {
	Name         string         `json:"name"`
	Transport    string         `json:"transport"`              // "UDP", "TCP", "TLS"
	SRTP         bool           `json:"srtp"`                   // media towards it is SRTP with SDES
	Host         string         `json:"host"`                   // FQDN or IP literal
	Port         uint16         `json:"port,omitempty"`         // 0: look up by SRV (RFC 3263)
	Priority     map[string]int `json:"priority,omitempty"`     // service region -> 0 (first) to 100; a region absent: tried from there after all that have one; empty: never tried
	Sources      []netip.Prefix `json:"sources,omitempty"`      // where its signalling may come from
	MediaSources []netip.Prefix `json:"mediaSources,omitempty"` // where its media may come from
	Names        []string       `json:"names,omitempty"`        // names one of which its certificate must bear; empty: Host
	Options      time.Duration  `json:"options,omitempty"`      // interval of OPTIONS towards it, in nanoseconds
	CountryCode  string         `json:"countryCode,omitempty"`  // for national numbers from it, "44"; empty: numbers must be E.164
	TrunkPrefix  string         `json:"trunkPrefix,omitempty"`  // national prefix cut before CountryCode is put in front, "0"
}

// Policy routes what no provisioned number decides.
type Policy struct {
	GroupService   map[string]Service `json:"groupService,omitempty"`   // operator peer group -> service of unprovisioned called numbers
	ServiceGroup   map[Service]string `json:"serviceGroup,omitempty"`   // service -> operator peer group of calls from it; absent: the first operator group
	EmergencyGroup string             `json:"emergencyGroup,omitempty"` // operator group tried first for emergency calls; empty: the service's own
}

// Group finds a group by name, nil when there is none.
func (s *Snapshot) Group(name string) *Group {
	for i := range s.Groups {
		if s.Groups[i].Name == name {
			return &s.Groups[i]
		}
	}
	return nil
}

// Peers gives every peer with its group, in order.
func (s *Snapshot) Peers() iter.Seq2[*Group, *Peer] {
	return func(yield func(*Group, *Peer) bool) {
		for i := range s.Groups {
			g := &s.Groups[i]
			for k := range g.Peers {
				if !yield(g, &g.Peers[k]) {
					return
				}
			}
		}
	}
}

// IsEmergency tells whether a number as dialled is one of the emergency dial
// strings. A leading "+", visual separators (RFC 3966 §5.1.1) and parameters
// do not matter: older Teams clients dial "+911", and phones punctuate.
func (s *Snapshot) IsEmergency(dialled string) bool {
	for _, e := range s.Emergency {
		if sameDial(dialled, e) {
			return true
		}
	}
	return false
}

// sameDial compares the symbols of two dial strings. It allocates nothing,
// for it runs on every call.
func sameDial(a, b string) bool {
	for {
		var x, y byte
		x, a = nextSymbol(a)
		y, b = nextSymbol(b)
		if x != y {
			return false
		}
		if x == 0 {
			return true
		}
	}
}

// nextSymbol cuts the first symbol that means something off s; 0 at the end.
func nextSymbol(s string) (symbol byte, rest string) {
	for i := range len(s) {
		switch c := s[i]; c {
		case '+', '-', '.', '(', ')', ' ':
		case ';':
			return 0, ""
		default:
			return c, s[i+1:]
		}
	}
	return 0, ""
}

// Admits tells whether signalling from an address may be this peer's.
func (p *Peer) Admits(a netip.Addr) bool { return anyContains(p.Sources, a) }

// AdmitsMedia tells whether media from an address may be this peer's.
func (p *Peer) AdmitsMedia(a netip.Addr) bool { return anyContains(p.MediaSources, a) }

func anyContains(prefixes []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap() // a socket that takes both families gives ::ffff:192.0.2.1
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// MediaSources are the ranges that media of a side may come from, each once,
// in the order of its peers.
func (s *Snapshot) MediaSources(side Side) []netip.Prefix {
	var all []netip.Prefix
	for g, p := range s.Peers() {
		if g.Side != side {
			continue
		}
		for _, r := range p.MediaSources {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return all
}
