package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/link"
)

// LinkConfig is how nodes of a deployment reach each other.
type LinkConfig struct {
	Listen      netip.AddrPort       `yaml:"listen"`      // control node: for edges on other machines; zero: there are none
	URLs        []string             `yaml:"urls"`        // edge: of its control nodes; control node: of servers that are not its own
	CA          string               `yaml:"ca"`          // PEM of the authority of the nodes' certificates
	Certificate *publish.Certificate `yaml:"certificate"` // the node's own; it bears node.name
	Cluster     *ClusterConfig       `yaml:"cluster"`     // of several control nodes
}

// ClusterConfig is the control nodes of a deployment that has several.
type ClusterConfig struct {
	Name   string         `yaml:"name"`
	Listen netip.AddrPort `yaml:"listen"` // for the others
	Nodes  []ControlNode  `yaml:"nodes"`
}

// ControlNode is one of several.
type ControlNode struct {
	Name string `yaml:"name"` // that its certificate bears
	At   string `yaml:"at"`   // host:port of its cluster.listen
}

// managed tells whether what the node's calls are routed by comes from control
// and not from its file.
func (c *Config) managed() bool { return c.edge() && (c.Control != nil || c.Link != nil) }

// linkFiles are the names of the link's files.
func (c *Config) linkFiles() (files []*string) {
	if c.Link == nil {
		return nil
	}
	files = append(files, &c.Link.CA)
	if p := c.Link.Certificate; p != nil {
		files = append(files, &p.Chain, &p.Key)
	}
	return files
}

// link checks how the node reaches the others.
func (k *configCheck) link() {
	l, path := k.Link, "link"
	if k.managed() && k.Node.Region == "" {
		k.bad("node.region", "missing: name the location that this node serves, as control.locations of the control nodes has it")
	}
	switch {
	case l == nil:
		return
	case k.Control == nil && len(l.URLs) == 0:
		k.bad(path+".urls", "missing: write where the control nodes listen, such as tls://control.telecom.example:4222")
	case k.Control == nil && l.Listen.IsValid():
		k.bad(path+".listen", "only a control node listens: remove it, or add the section control")
	case k.Control == nil && l.Cluster != nil:
		k.bad(path+".cluster", "only control nodes make a cluster: remove it, or add the section control")
	case len(l.URLs) > 0 && (l.Listen.IsValid() || l.Cluster != nil):
		k.bad(path+".urls", "a control node with servers elsewhere has none of its own: remove this, or listen and cluster")
	}
	for i, s := range l.URLs {
		if u, err := url.Parse(s); err != nil || u.Scheme != "tls" || u.Port() == "" || u.User != nil || u.Path != "" {
			k.bad(fmt.Sprintf("%s.urls[%d]", path, i), "%q: write tls://host:port", s)
		}
	}
	if !l.Listen.IsValid() && len(l.URLs) == 0 && l.Cluster == nil {
		return // all in one process
	}
	if l.CA == "" {
		k.bad(path+".ca", "missing: name the PEM file of the authority that signs the nodes' certificates")
	}
	k.roots(path+".ca", l.CA)
	if l.Certificate == nil {
		k.bad(path+".certificate", "missing: nodes know each other by certificates; write {chain: …, key: …}")
	} else if leaf := k.pair(path+".certificate", *l.Certificate); leaf != nil && leaf.Subject.CommonName != k.Node.Name && !slices.Contains(leaf.DNSNames, k.Node.Name) {
		k.bad(path+".certificate.chain", "the certificate does not bear node.name, %s, by which the other nodes know this one (it bears %s)", k.Node.Name, bearing(leaf))
	}
	k.cluster(path + ".cluster")
}

func (k *configCheck) cluster(path string) {
	c := k.Link.Cluster
	if c == nil {
		return
	}
	if !nodeName.MatchString(c.Name) {
		k.bad(path+".name", "%q: name the cluster with letters, digits, dots and hyphens, alike on all its nodes", c.Name)
	}
	if !c.Listen.IsValid() {
		k.bad(path+".listen", "missing: write an IP address and a port for the other control nodes, such as 10.0.0.1:6222")
	}
	if !k.Link.Listen.IsValid() {
		k.bad("link.listen", "missing: a cluster's nodes listen for edges, too")
	}
	own := false
	for i, n := range c.Nodes {
		here := fmt.Sprintf("%s.nodes[%d]", path, i)
		own = own || n.Name == k.Node.Name
		if !nodeName.MatchString(n.Name) {
			k.bad(here+".name", "%q: write the node.name of a control node", n.Name)
		}
		if u, err := url.Parse("tls://" + n.At); err != nil || u.Port() == "" || u.Host != n.At {
			k.bad(here+".at", "%q: write host:port of that node's link.cluster.listen", n.At)
		}
	}
	if len(c.Nodes) < 3 {
		k.bad(path+".nodes", "a cluster has three nodes at least, of which one may be away: list them all, this one among them")
	} else if !own {
		k.bad(path+".nodes", "%s, this node, is not among them: add it", k.Node.Name)
	}
}

// foreign complains of what control decides and an edge's file says
// nevertheless.
func (k *configCheck) foreign() {
	if k.Control != nil {
		return // says itself what the far sides are
	}
	for _, key := range []string{"services", "operator", "gateway", "accounts", "numbers", "numbersFile", "rules"} {
		if k.has(key) {
			k.bad(key, "comes from the control nodes that link.urls names: remove it here, or remove the section link")
		}
	}
}

// tls is the link's side of a handshake. The node's certificate is read at
// each one, so that a renewed one is taken without a word.
func (l *LinkConfig) tls() (*tls.Config, error) {
	if l.CA == "" || l.Certificate == nil {
		return nil, nil
	}
	own := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(l.Certificate.Chain, l.Certificate.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate of the link: %w", err)
		}
		return &pair, nil
	}
	if _, err := own(); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	authorities, err := readPEM(l.CA)
	if err != nil {
		return nil, fmt.Errorf("authority of the link: %w", err)
	}
	for _, c := range authorities {
		pool.AddCert(c)
	}
	return &tls.Config{
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own() },
		RootCAs:              pool, ClientCAs: pool, MinVersion: tls.VersionTLS13,
	}, nil
}

// linkServer is the configuration of a control node's own server, in a folder of
// its data.
func (c *Config) linkServer(dir string) (link.ServerConfig, error) {
	s := link.ServerConfig{Node: c.Node.Name, Dir: dir}
	if c.Link == nil {
		return s, nil
	}
	var err error
	if s.TLS, err = c.Link.tls(); err != nil {
		return s, err
	}
	s.Listen = c.Link.Listen
	if x := c.Link.Cluster; x != nil {
		s.Cluster = &link.Cluster{Name: x.Name, Listen: x.Listen, Nodes: map[string]string{}}
		for _, n := range x.Nodes {
			s.Cluster.Nodes[n.Name] = n.At
		}
	}
	return s, nil
}
