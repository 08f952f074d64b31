package app

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	Accounts []AccountConfig  `yaml:"accounts"`
	Numbers  []NumberConfig   `yaml:"numbers"`

	Rules []RuleConfig `yaml:"rules"` // on messages, in this order

	STIR StirConfig `yaml:"stir"`

	NumbersFile string `yaml:"numbersFile"` // CSV with more of them

	Control *ControlConfig `yaml:"control"` // nil: not a control node
	Link    *LinkConfig    `yaml:"link"`    // nil: this file says all, or all of it is in this process

	File     string         `yaml:"-"` // where it was read, absolute
	Warnings Problems       `yaml:"-"` // what is allowed but unwise
	LogLevel *slog.LevelVar `yaml:"-"` // turned when node.log.level changes; nil: it is not

	provisioned snapshot.Numbers // of the list and of the file
	accounts    snapshot.Accounts
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
	Roots     string           `yaml:"roots"`    // PEM of trusted authorities; empty: the system's
	DNS       []netip.AddrPort `yaml:"dns"`      // resolvers; none: the system's
	Options   time.Duration    `yaml:"options"`  // interval of OPTIONS towards each peer
	Progress  time.Duration    `yaml:"progress"` // until a caller who has heard nothing is told that we go on
	Rate      int              `yaml:"rate"`     // requests a second that each peer may begin
	DSCP      int              `yaml:"dscp"`     // mark of its packets; 0: none
}

// ListenerConfig is one address the gateway listens on.
type ListenerConfig struct {
	Name        string               `yaml:"name"`
	Side        snapshot.Side        `yaml:"side"`
	Transport   string               `yaml:"transport"` // "tls", "tcp", "udp"
	Bind        netip.AddrPort       `yaml:"bind"`
	Advertise   string               `yaml:"advertise"`   // host[:port] in Via and Contact; empty: sip.domain towards the cloud, else bind
	Certificate *publish.Certificate `yaml:"certificate"` // TLS only
}

// MediaConfig is the relay of media.
type MediaConfig struct {
	Interfaces []InterfaceConfig `yaml:"interfaces"`
	Quarantine time.Duration     `yaml:"quarantine"` // how long a port rests between two calls
	Threads    int               `yaml:"threads"`    // packet loops; 0: one for two processors
	Silence    time.Duration     `yaml:"silence"`    // without media until a side is asked whether it is still there
	Timeout    time.Duration     `yaml:"timeout"`    // without media nor RTCP until the call ends; 0: never
	Music      string            `yaml:"music"`      // file that a side on hold hears; empty: none
	Ringback   time.Duration     `yaml:"ringback"`   // from the target's ringing until a party that is transferred to it hears that
	DSCP       int               `yaml:"dscp"`       // mark of its packets; 0: none
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

// LoadConfig reads the configuration for a node. The error is Problems with
// every mistake of the file; mere warnings are left in Config.Warnings.
func LoadConfig(path string) (*Config, error) {
	c, problems := Check(path)
	if errs := problems.Errors(); errs != nil {
		return nil, errs
	}
	return c, nil
}

// Check reads a configuration and tells everything about it that is wrong or
// unwise, in the order of the file. The configuration is as far as it could
// be read, never nil.
func Check(path string) (*Config, Problems) { return check(path, filepath.Dir(path)) }

// check is Check with names of files taken from a folder.
func check(path, dir string) (*Config, Problems) {
	c, k := defaultConfig(), &configCheck{reader: newReader(), now: time.Now()}
	k.Config = c
	data, err := os.ReadFile(path)
	if err != nil {
		return c, Problems{{File: path, Text: "cannot be read: " + err.Error()}}
	}
	if c.File, err = filepath.Abs(path); err != nil {
		c.File = path
	}
	k.read(data, c)
	if c.Control != nil {
		c.Control.fill(k.has)
	}
	c.locate(dir)
	c.advertise()
	k.all()
	problems := k.problems.in(path)
	c.Warnings = problems.warnings()
	return c, problems
}

func defaultConfig() *Config {
	return &Config{
		Node:  NodeConfig{Data: "data", Drain: 30 * time.Second, Log: LogConfig{Level: "info", Format: "text"}},
		SIP:   SIPConfig{Options: time.Minute, Progress: 8 * time.Second, Rate: 1000},
		Media: MediaConfig{Quarantine: 5 * time.Second, Silence: time.Minute, Ringback: time.Second, DSCP: expedited},
	}
}

// locate makes the names of files absolute.
func (c *Config) locate(dir string) {
	if d, err := filepath.Abs(dir); err == nil {
		dir = d
	}
	files := append(c.secretFiles(), &c.Node.Data, &c.SIP.Roots, &c.Media.Music, &c.NumbersFile)
	for _, l := range c.SIP.Listeners {
		if l.Certificate != nil {
			files = append(files, &l.Certificate.Chain, &l.Certificate.Key)
		}
	}
	for _, t := range c.eachTLS() {
		files = append(files, &t.Roots)
		if t.Certificate != nil {
			files = append(files, &t.Certificate.Chain, &t.Certificate.Key)
		}
	}
	files = append(files, c.stirFiles()...)
	files = append(files, c.controlFiles()...)
	files = append(files, c.linkFiles()...)
	for _, f := range files {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(dir, *f)
		}
	}
}

// advertise gives cloud listeners the name of the node, for the cloud refuses
// an address in Contact.
func (c *Config) advertise() {
	for i := range c.SIP.Listeners {
		if l := &c.SIP.Listeners[i]; l.Side == snapshot.Cloud && l.Advertise == "" && c.SIP.Domain != "" {
			l.Advertise = net.JoinHostPort(c.SIP.Domain, strconv.Itoa(int(l.Bind.Port())))
		}
	}
}

// Snapshot compiles the configuration into what the edge routes by.
func (c *Config) Snapshot(revision uint64) (*snapshot.Snapshot, error) {
	authorities, err := c.authorities()
	if err != nil {
		return nil, err
	}
	in := publish.Input{
		Authorities: authorities,
		Revision:    revision,
		Gateway:     c.Gateway,
		Services:    c.Services,
		Operator:    c.Operator,
		Domains:     map[string]string{c.Node.Region: c.SIP.Domain},
		Options:     c.SIP.Options,
		Numbers:     c.provisioned,
		Accounts:    c.accounts,
		Rules:       c.rules(),
	}
	return publish.Compile(in)
}

// Problem is something wrong in a configuration file.
type Problem struct {
	File         string
	Line, Column int    // from 1; 0 when the file as a whole is meant
	Path         string // "sip.listeners[0].bind"
	Warning      bool   // allowed but unwise
	Text         string // what to do
}

// String is the problem in the form that editors jump to.
func (p Problem) String() string {
	where := p.File
	if p.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
	text := p.Text
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.Warning {
		text = "warning: " + text
	}
	return where + ": " + text
}

// Problems are all that is wrong, in the order of the file.
type Problems []Problem

// Error is every problem, a line each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Errors are those that keep a node from starting; nil when there are none.
func (ps Problems) Errors() error {
	if errs := ps.only(false); len(errs) > 0 {
		return errs
	}
	return nil
}

func (ps Problems) warnings() Problems { return ps.only(true) }

func (ps Problems) only(warning bool) (out Problems) {
	for _, p := range ps {
		if p.Warning == warning {
			out = append(out, p)
		}
	}
	return out
}

// in names the file, where it is not another one, and sorts by place, with the
// other one behind.
func (ps Problems) in(file string) Problems {
	other := func(p Problem) int {
		if p.File == file {
			return 0
		}
		return 1
	}
	for i := range ps {
		ps[i].File = cmp.Or(ps[i].File, file)
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(other(a), other(b)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ps
}
