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
	"net/netip"
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
	Revision  uint64   // grows with every publication
	Gateway   string   // name of the gateway resource
	Regions   []Region // service regions in the order of the resource
	Groups    []Group  // peer groups of both sides
	Emergency []string // dial strings that name the emergency service, "911"
	Numbers   Numbers  // provisioned numbers
	Policy    Policy   // what to do with numbers that are not provisioned
}

// Region is one service region.
type Region struct {
	Name   string // as in the resource: "westeurope"
	Domain string // regional FQDN that Contact carries towards the cloud: "1r1.<base>"
}

// Group is a set of peers that serve the same purpose and are tried in turn.
type Group struct {
	Name     string
	Side     Side
	Services []Service // cloud: the services reached through it; operator: empty
	Profile  string    // interworking profile: "teams", "core"
	Codecs   []string  // allowed, in order of preference, resource names: "PCMA"
	Peers    []Peer
}

// Peer is one far side that is addressed, watched and admitted on its own.
type Peer struct {
	Name         string
	Transport    string         // "UDP", "TCP", "TLS"
	SRTP         bool           // media towards it is SRTP with SDES
	Host         string         // FQDN or IP literal
	Port         uint16         // 0: look up by SRV (RFC 3263)
	Priority     map[string]int // service region -> 0 (first) to 100; absent: not used from there
	Sources      []netip.Prefix // where its signalling may come from
	MediaSources []netip.Prefix // where its media may come from
	Names        []string       // names one of which its certificate must bear; empty: Host
	Options      time.Duration  // interval of OPTIONS towards it
	CountryCode  string         // for national numbers from it, "44"; empty: numbers must be E.164
	TrunkPrefix  string         // national prefix cut before CountryCode is put in front, "0"
}

// Policy routes what no provisioned number decides.
type Policy struct {
	GroupService map[string]Service // operator peer group -> service of unprovisioned called numbers
	ServiceGroup map[Service]string // service -> operator peer group of calls from it
}
