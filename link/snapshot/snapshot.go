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
	Accounts  Accounts `json:"accounts,omitzero"`   // whose they are
	Header    string   `json:"header,omitempty"`    // name of the custom header into the operator's network; empty: there is none
	Policy    Policy   `json:"policy"`              // what to do with numbers that are not provisioned
	MCP       *MCP     `json:"mcp,omitempty"`       // the Mobile Control Point; nil: it is off
}

// Region is one service region. Its lists are its own: what may come to one
// region may not therefore come to another.
type Region struct {
	Name         string         `json:"name"`                   // as in the resource: "westeurope"
	Domain       string         `json:"domain,omitempty"`       // regional FQDN that Contact carries towards the cloud: "1r1.<base>"
	Delegated    []string       `json:"delegated,omitempty"`    // the same in domains of the operator's: customers of Direct Routing go by the first, and are known by each
	Sources      []netip.Prefix `json:"sources,omitempty"`      // where the signalling of regional peers may come from
	MediaSources []netip.Prefix `json:"mediaSources,omitempty"` // where the operator's media may come from, beside what its peers say
}

// Group is a set of peers that serve the same purpose and are tried in turn.
type Group struct {
	Name     string    `json:"name"`
	Side     Side      `json:"side"`
	Services []Service `json:"services,omitempty"` // cloud: the services reached through it; operator: empty
	Profile  string    `json:"profile"`            // interworking profile: "teams", "core"
	Codecs   []string  `json:"codecs"`             // allowed, in order of preference, resource names: "PCMA"
	Suites   []string  `json:"suites,omitempty"`   // of SRTP, offered in this order, accepted in theirs; empty: AES_CM_128_HMAC_SHA1_80
	TLS      TLS       `json:"tls,omitzero"`
	Peers    []Peer    `json:"peers"`

	Interworking Interworking `json:"interworking,omitzero"`
	Rules        []Rule       `json:"rules,omitempty"` // in this order

	// Tester: no far side, but the node itself, which calls to test the way. An
	// edge adds it to what is published; it is the target of no call.
	Tester bool `json:"-"`
}

// TLS is how TLS connections with the peers of a group are made. The zero
// value is TLS 1.2 or newer, both sides showing certificates.
type TLS struct {
	Min         string   `json:"min,omitempty"`         // oldest version, "1.2" unless set
	Max         string   `json:"max,omitempty"`         // newest version, "1.3" unless set
	Suites      []string `json:"suites,omitempty"`      // of TLS 1.2, by their IANA names; empty: forward secret with GCM
	Roots       string   `json:"roots,omitempty"`       // PEM of the authorities trusted for the peers; empty: the node's
	Anonymous   bool     `json:"anonymous,omitempty"`   // a peer that calls us need not show a certificate
	Certificate string   `json:"certificate,omitempty"` // which of the node's certificates we show; empty: the listener's
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
	Regional     bool           `json:"regional,omitempty"`     // its signalling may also come from where the region says that it is met in
	Sources      []netip.Prefix `json:"sources,omitempty"`      // where its signalling may come from, in every region
	MediaSources []netip.Prefix `json:"mediaSources,omitempty"` // where its media may come from, in every region
	Names        []string       `json:"names,omitempty"`        // names one of which its certificate must bear; empty: Host
	Options      time.Duration  `json:"options,omitempty"`      // interval of OPTIONS towards it, in nanoseconds
	CountryCode  string         `json:"countryCode,omitempty"`  // for national numbers from it, "44"; empty: numbers must be E.164
	TrunkPrefix  string         `json:"trunkPrefix,omitempty"`  // national prefix cut before CountryCode is put in front, "0"
	Login        Login          `json:"login,omitzero"`         // how it and we show each other who we are
	Limits       Limits         `json:"limits,omitzero"`        // of the calls through it, whoever calls
}

// Limits bound the calls through a peer; emergency calls aside. Zero fields
// bound nothing.
type Limits struct {
	Calls          int           `json:"calls,omitempty"`          // at once
	CallsPerSecond int           `json:"callsPerSecond,omitempty"` // that begin
	Duration       time.Duration `json:"duration,omitempty"`       // of a call, in nanoseconds
}

// Policy routes what no provisioned number decides.
type Policy struct {
	GroupService   map[string]Service `json:"groupService,omitempty"`   // operator peer group -> service of unprovisioned called numbers
	ServiceGroup   map[Service]string `json:"serviceGroup,omitempty"`   // service -> operator peer group of calls from it; absent: the first operator group
	EmergencyGroup string             `json:"emergencyGroup,omitempty"` // operator group tried first for emergency calls; empty: the service's own
	TestLines      map[string]Service `json:"testLines,omitempty"`      // E.164 number by which a service verifies the way -> service, whatever is provisioned
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

// Region finds a service region by name, nil when there is none.
func (s *Snapshot) Region(name string) *Region {
	for i := range s.Regions {
		if s.Regions[i].Name == name {
			return &s.Regions[i]
		}
	}
	return nil
}

// Sources are the ranges that a peer's signalling may come from in a region.
func (s *Snapshot) Sources(p *Peer, region string) []netip.Prefix {
	r := s.Region(region)
	if !p.Regional || r == nil {
		return p.Sources
	}
	return distinct(p.Sources, r.Sources)
}

// MediaFrom are the ranges that a peer's media may come from in a region; none
// means that its descriptions are believed.
func (s *Snapshot) MediaFrom(p *Peer, region string) []netip.Prefix {
	r := s.Region(region)
	if !p.Regional || r == nil {
		return p.MediaSources
	}
	return distinct(p.MediaSources, r.MediaSources)
}

// MediaSources are the ranges that media of a side may come from in a region,
// each once.
func (s *Snapshot) MediaSources(side Side, region string) []netip.Prefix {
	var lists [][]netip.Prefix
	if r := s.Region(region); r != nil && side == Operator {
		lists = append(lists, r.MediaSources)
	}
	for g, p := range s.Peers() {
		if g.Side == side {
			lists = append(lists, p.MediaSources)
		}
	}
	return distinct(lists...)
}

// distinct joins lists, with each range once.
func distinct(lists ...[]netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	for _, list := range lists {
		for _, p := range list {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}
