package link

import "time"

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
