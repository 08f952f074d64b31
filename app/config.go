package app

import (
	"net/netip"
	"path/filepath"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/link/snapshot"
)

// Config is the node's configuration, tandem.yaml. Names of files in it are
// taken from the folder of the file itself; after loading they are absolute.
// Every key stands with its meaning in tandem.example.yaml.
type Config struct {
	Node     NodeConfig       `yaml:"node"`
	SIP      SIPConfig        `yaml:"sip"`
	Media    MediaConfig      `yaml:"media"`
	Services publish.Services `yaml:"services"`
	Operator publish.Operator `yaml:"operator"`
	Gateway  gateway.Gateway  `yaml:"gateway"`
	Numbers  []NumberConfig   `yaml:"numbers"`

	Warnings Problems `yaml:"-"` // what is allowed but unwise
}

// NodeConfig is the process.
type NodeConfig struct {
	Name    string         `yaml:"name"`
	Region  string         `yaml:"region"` // one of the gateway's service locations
	Data    string         `yaml:"data"`   // folder of the spool and the control socket
	Drain   time.Duration  `yaml:"drain"`  // how long live calls may go on after SIGTERM
	Log     LogConfig      `yaml:"log"`
	Metrics netip.AddrPort `yaml:"metrics"` // of the Prometheus endpoint; zero: none
}

// Socket is the path of the control socket.
func (n NodeConfig) Socket() string { return filepath.Join(n.Data, "control.sock") }

// LogConfig is what is logged and how.
type LogConfig struct {
	Level  string `yaml:"level"`  // "debug", "info", "warn", "error"
	Format string `yaml:"format"` // "text", "json"
}

// SIPConfig is the signalling.
type SIPConfig struct {
	Domain    string           `yaml:"domain"` // FQDN in Contact towards the cloud
	Listeners []ListenerConfig `yaml:"listeners"`
	Roots     string           `yaml:"roots"`   // PEM of trusted authorities; empty: the system's
	DNS       []netip.AddrPort `yaml:"dns"`     // resolvers; none: the system's
	Options   time.Duration    `yaml:"options"` // interval of OPTIONS towards each peer
}

// ListenerConfig is one address the gateway listens on.
type ListenerConfig struct {
	Name        string             `yaml:"name"`
	Side        snapshot.Side      `yaml:"side"`
	Transport   string             `yaml:"transport"` // "tls", "tcp", "udp"
	Bind        netip.AddrPort     `yaml:"bind"`
	Advertise   string             `yaml:"advertise"`   // host[:port] in Via and Contact; empty: bind
	Certificate *CertificateConfig `yaml:"certificate"` // TLS only
}

// CertificateConfig names the files of a certificate.
type CertificateConfig struct {
	Chain string `yaml:"chain"` // PEM, leaf first, then intermediates
	Key   string `yaml:"key"`   // PEM
}

// MediaConfig is the relay of media.
type MediaConfig struct {
	Interfaces []InterfaceConfig `yaml:"interfaces"`
	Quarantine time.Duration     `yaml:"quarantine"` // how long a port rests between two calls
	Threads    int               `yaml:"threads"`    // packet loops; 0: one for each processor
}

// InterfaceConfig is one address with ports for media.
type InterfaceConfig struct {
	Side      snapshot.Side `yaml:"side"`
	Bind      netip.Addr    `yaml:"bind"`
	Advertise netip.Addr    `yaml:"advertise"` // in SDP; zero: bind
	Ports     PortRange     `yaml:"ports"`
}

// PortRange is an inclusive range of ports, "20000-24999".
type PortRange struct{ Min, Max uint16 }

// NumberConfig is one provisioned number.
type NumberConfig struct {
	Number  string           `yaml:"number"` // E.164 with leading "+"
	Service snapshot.Service `yaml:"service"`
	Account string           `yaml:"account"`
}

// Problem is something wrong in a configuration file.
type Problem struct {
	File         string
	Line, Column int
	Path         string // "sip.listeners[0].bind"
	Warning      bool   // allowed but unwise
	Text         string // what to do
}

// Problems are all that is wrong, in the order of the file.
type Problems []Problem

// Error is every problem, a line each.
func (ps Problems) Error() string { panic("todo") }

// LoadConfig reads the configuration for a node. The error is Problems with
// every mistake of the file; mere warnings are left in Config.Warnings.
func LoadConfig(path string) (*Config, error) { panic("todo") }

// Check reads a configuration and tells everything about it that is wrong or
// unwise.
func Check(path string) (*Config, Problems) { panic("todo") }

// Snapshot compiles the configuration into what the edge routes by.
func (c *Config) Snapshot(revision uint64) (*snapshot.Snapshot, error) { panic("todo") }
