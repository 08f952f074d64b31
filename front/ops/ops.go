// Package ops is our own API of a running node: calls, traces, peers, health,
// over HTTP and JSON, and its client.
//
// On a node it is served on a unix socket of mode 0600, so that who may open
// the socket may use it; it does no authentication of its own. It asks the
// running edge through the small interfaces of Config and opens no file of
// the node. Start reading at Handler in handler.go; the client
// is in client.go.
package ops

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/link/record"
)

// Calls are the live calls of the node.
type Calls interface {
	Live() []record.LiveCall
	Hangup(id string) error // fault.NotFound when there is no such live call
}

// Explainer tells what would become of an INVITE.
type Explainer interface {
	Explain(from string, invite []byte) (record.Explanation, error) // fault.NotFound: no such peer; fault.Invalid: no INVITE
}

// Records are the calls the node has on disk.
type Records interface {
	List(ctx context.Context, f record.Filter) ([]record.Call, error)
}

// Traces are the messages the node remembers.
type Traces interface {
	Get(id string) (record.Trace, bool)
	Pcap(w io.Writer, id string) (bool, error)
}

// Peers are the far sides as the node sees them.
type Peers interface {
	Health() []record.PeerHealth
	Certificates() []Certificate // ours
	Warnings() []Warning
	// Reconnect makes the TLS connections of the peers named anew, of all when
	// none is; fault.NotFound when there is no such peer.
	Reconnect(ctx context.Context, names ...string) ([]record.Reconnection, error)
}

// Certificate is one that the node shows to peers.
type Certificate struct {
	Name   string    `json:"name"` // where it is configured: "sip.listeners[cloud]"
	Bears  []string  `json:"bears"`
	Issuer string    `json:"issuer"`
	Root   string    `json:"root,omitempty"` // that its chain ends in, where one is known
	Ends   time.Time `json:"ends"`
}

// Warning is of something that will break, or is about to.
type Warning struct {
	About string `json:"about"` // the peer, or the name of our certificate
	Cause string `json:"cause"` // a word that stays the same while the cause does: "ends", "chain"
	Text  string `json:"text"`  // what is the matter and what to do
}

// Health is how a node stands.
type Health struct {
	State     string      `json:"state"` // "ready", "starting", "waiting", "draining"
	Why       string      `json:"why,omitempty"`
	Node      string      `json:"node"`
	Region    string      `json:"region"`
	Version   string      `json:"version,omitempty"`
	Started   time.Time   `json:"started"`
	Revision  uint64      `json:"revision"`       // of the configuration in force
	Since     time.Time   `json:"since,omitzero"` // when it was put in force
	Reload    *LastReload `json:"lastReload,omitempty"`
	Calls     int         `json:"calls"`
	Listeners []Listener  `json:"listeners"`
	Link      *Link       `json:"link,omitempty"` // to control; nil: the node's file says all
}

// Link is how a node stands to its control nodes.
type Link struct {
	Connected bool   `json:"connected"`
	Gateway   string `json:"gateway,omitempty"` // whose calls it carries
	Backlog   int    `json:"backlog"`           // calls whose records control has not got as they stand
	Refused   uint64 `json:"refused,omitempty"` // newer revision that could not be put in force
	Why       string `json:"why,omitempty"`     // and why not
}

// LastReload is how the newest attempt to change the configuration went.
type LastReload struct {
	At   time.Time `json:"at"`
	Good bool      `json:"good"`
	Why  string    `json:"why,omitempty"` // the first problem, when it was refused
}

// States of a node.
const (
	Ready    = "ready"
	Starting = "starting"
	Draining = "draining"
	Waiting  = "waiting" // for a snapshot from control
)

// Listener is one SIP listener of a node.
type Listener struct {
	Name      string `json:"name"`
	Side      string `json:"side"`
	Transport string `json:"transport"`
	Address   string `json:"address"`
	Advertise string `json:"advertise,omitempty"`
}

// Config injects what the API shows.
type Config struct {
	Calls        Calls
	Records      Records
	Traces       Traces
	Peers        Peers
	Explain      Explainer                                               // nil: no /explain
	Reload       func(context.Context, ReloadRequest) (Reload, error)    // the error may be *Rejected; nil: no /reload
	Backup       func(context.Context) (Copy, error)                     // nil: no /backup
	Certificates EdgeCertificates                                        // nil: no control node
	Texts        Texts                                                   // nil: no control node
	Edges        Edges                                                   // nil: no /edges
	Onboard      func() (*onboard.Set, error)                            // nil: no control node
	Operations   func() (Operations, error)                              // nil: no control node
	Users        func() (Users, error)                                   // nil: no control node, or people sign in elsewhere
	Audit        func(context.Context, AuditFilter) ([]AuditLine, error) // nil: no control node
	Secrets      func() (Secrets, error)                                 // nil: no control node
	RotateKey    func(context.Context, KeyStep) (int, error)             // of the vaults; nil: no control node
	// Connect is Operator Connect, asked as a gateway, "" being the only one; nil:
	// no control node.
	Connect func(ctx context.Context, gateway string) (*operatorconnect.Client, error)
	Tenant  func() (Tenant, error) // nil: no control node
	Health  func() Health
	Metrics http.Handler // nil: no /metrics
	Log     *slog.Logger
}
