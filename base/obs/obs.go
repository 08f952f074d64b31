// Package obs is how a node makes itself seen: the set-up of logs, the keys
// they use, the metrics registry.
//
// It holds what every plane shares and nothing that belongs to one of them;
// metrics themselves live in the packages that count. Start reading at
// NewLogger.
package obs

import (
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Keys of log attributes: one word per thing in every line.
const (
	KeyCall      = "call"      // ID of the call
	KeyPeer      = "peer"      // name of the peer
	KeyGroup     = "group"     // name of the peer group
	KeyRegion    = "region"    // service region
	KeySide      = "side"      // "operator" or "cloud"
	KeyLeg       = "leg"       // "caller" or "callee"
	KeyCause     = "cause"     // why it ended or failed, in words
	KeyStatus    = "status"    // SIP or HTTP status
	KeyError     = "error"     // the error
	KeyListener  = "listener"  // name of the listener
	KeyTransport = "transport" // UDP, TCP, TLS
	KeyRemote    = "remote"    // address of the far side
	KeyRevision  = "revision"  // of the snapshot
	KeyNode      = "node"      // name of the node
	KeyDuration  = "duration"
	KeyCount     = "count"
)

// Secret is a string that no log, error or JSON shows.
type Secret string

// NewLogger makes the logger of a process. level is "debug", "info", "warn"
// or "error", format "text" or "json"; empty means info and text.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) { panic("todo") }

// Limiter lets one log line per key and interval through and counts the rest.
type Limiter struct{}

// NewLimiter makes a Limiter.
func NewLimiter(every time.Duration) *Limiter { panic("todo") }

// Allow reports whether a line of this key may be written now, and how many
// of them were suppressed since the last one that was.
func (l *Limiter) Allow(key string) (ok bool, suppressed int) { panic("todo") }

// NewRegistry makes a metrics registry with the process's own figures.
func NewRegistry() *prometheus.Registry { panic("todo") }

// MetricsHandler serves a registry to Prometheus.
func MetricsHandler(r *prometheus.Registry) http.Handler { panic("todo") }
