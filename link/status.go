package link

import (
	"fmt"
	"net/netip"
	"time"
)

// EdgeStatus is what an edge says of itself.
type EdgeStatus struct {
	Node    string    `json:"node"`
	Region  string    `json:"region"`
	Version string    `json:"version,omitempty"`
	Started time.Time `json:"started"`
	State   string    `json:"state"` // "waiting", "ready", "draining"

	Gateway  string    `json:"gateway,omitempty"` // whose snapshot is in force; empty: none
	Revision uint64    `json:"revision"`          // of the snapshot in force; of the withdrawal when there is none
	Applied  time.Time `json:"applied,omitzero"`  // since when
	Refused  uint64    `json:"refused,omitempty"` // newer revision that could not be put in force
	Error    string    `json:"error,omitempty"`   // why, in one sentence

	Listeners []Listener       `json:"listeners,omitempty"`
	Media     []MediaRange     `json:"media,omitempty"`
	Requests  []SigningRequest `json:"requests,omitempty"` // certificates that it wants to have signed

	// Of the newest sign of life.
	Calls int `json:"calls"`

	// As control sees it, empty in what the edge sends.
	Live bool      `json:"live"`          // heard of lately
	Seen time.Time `json:"seen,omitzero"` // last
}

// States of an edge.
const (
	Waiting  = "waiting" // for a snapshot
	Ready    = "ready"
	Draining = "draining"
)

// Listener is one SIP listener of an edge.
type Listener struct {
	Name        string       `json:"name"`
	Side        string       `json:"side"`      // "operator", "cloud"
	Transport   string       `json:"transport"` // "tls", "tcp", "udp"
	Address     string       `json:"address"`   // bound
	Advertise   string       `json:"advertise,omitempty"`
	Certificate *Certificate `json:"certificate,omitempty"` // shown on it; nil: none yet, or none needed
}

// Certificate is one that an edge shows.
type Certificate struct {
	Name   string    `json:"name"`  // under which the edge keeps it
	Bears  []string  `json:"bears"` // names and addresses
	Issuer string    `json:"issuer"`
	Serial string    `json:"serial"` // hexadecimal
	Begins time.Time `json:"begins"`
	Ends   time.Time `json:"ends"`
}

// MediaRange is an address with ports for media.
type MediaRange struct {
	Side    string `json:"side"`
	Address string `json:"address"` // as in SDP
	Min     uint16 `json:"min"`
	Max     uint16 `json:"max"`
}

// SigningRequest is a certificate that an edge wants: it made the key, which
// it keeps to itself, and asks for a signature.
type SigningRequest struct {
	Name  string   `json:"name"`  // under which the edge will keep the certificate
	Names []string `json:"names"` // that it is to bear
	CSR   string   `json:"csr"`   // PEM
}

// Bounds of what an edge says of itself: a control node keeps it in memory and
// shows it to people. Tandem's own edges are far below.
const (
	maxStatus = 128 << 10 // bytes
	maxPlaces = 64        // listeners, ranges of media, requests
	maxNames  = 200       // in a certificate
	maxText   = 1024      // bytes of a name, an address or a sentence
)

// sound tells what is wrong with a report.
func (s *EdgeStatus) sound() error {
	if len(s.Listeners) > maxPlaces || len(s.Media) > maxPlaces || len(s.Requests) > maxPlaces {
		return fmt.Errorf("it has more than %d listeners, ranges of media or requests", maxPlaces)
	}
	texts := []string{s.Region, s.Version, s.State, s.Gateway, s.Error}
	for _, l := range s.Listeners {
		texts = append(texts, l.Name, l.Side, l.Transport, l.Address, l.Advertise)
		if a, err := netip.ParseAddrPort(l.Address); l.Address != "" && (err != nil || !unicast(a.Addr())) {
			return fmt.Errorf("listener %.64q is at %.64q, which is no address of a machine", l.Name, l.Address)
		}
		if c := l.Certificate; c != nil {
			if len(c.Bears) > maxNames {
				return fmt.Errorf("a certificate bears more than %d names", maxNames)
			}
			texts = append(append(texts, c.Name, c.Issuer, c.Serial), c.Bears...)
		}
	}
	for _, m := range s.Media {
		texts = append(texts, m.Side)
		if a, err := netip.ParseAddr(m.Address); err != nil || !unicast(a) {
			return fmt.Errorf("media is at %.64q, which is no address of a machine", m.Address)
		}
	}
	for _, t := range texts {
		if len(t) > maxText {
			return fmt.Errorf("a text of it has more than %d bytes", maxText)
		}
	}
	return nil
}

// unicast tells whether one machine can have an address; 0.0.0.0 stands for all
// that it has.
func unicast(a netip.Addr) bool {
	return !a.Unmap().IsMulticast() && a.Unmap() != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
