// Package obs is how a node makes itself seen: the set-up of logs, the keys
// they use, the metrics registry.
//
// It holds what every plane shares and nothing that belongs to one of them;
// metrics themselves live in the packages that count. Start reading at
// NewLogger.
package obs

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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

// Secret is a string that no log, error or JSON shows. Convert it to string
// where it is used and nowhere else.
type Secret string

const blanked = "***"

// String hides the secret from fmt and slog's text form.
func (Secret) String() string { return blanked }

// GoString hides it from %#v.
func (Secret) GoString() string { return blanked }

// LogValue hides it from slog, also inside groups.
func (Secret) LogValue() slog.Value { return slog.StringValue(blanked) }

// MarshalText hides it from JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte(blanked), nil }

// ParseLevel reads "debug", "info", "warn" or "error"; empty means info.
func ParseLevel(name string) (slog.Level, error) {
	switch name {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q: use debug, info, warn or error", name)
}

// NewLogger makes the logger of a process. level is asked for each line, so
// that a *slog.LevelVar can be turned while it logs. format is "text" or
// "json"; empty means text.
func NewLogger(w io.Writer, level slog.Leveler, format string) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: level}
	switch format {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log format %q: use text or json", format)
}

// NewRegistry makes a metrics registry with the figures of the process and of
// the Go runtime.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// MetricsHandler serves a registry to Prometheus.
func MetricsHandler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r})
}
