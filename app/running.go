package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"time"

	keys "github.com/tandemgw/tandem/edge/identity"
	"github.com/tandemgw/tandem/edge/peer"
	"github.com/tandemgw/tandem/edge/tester"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// running is a configuration in force with all that was made of it. Immutable;
// a reload makes another one.
type running struct {
	cfg          *Config
	since        time.Time
	snapshot     *snapshot.Snapshot
	certificates map[string]*tls.Certificate    // by the names of Config.pairs
	identities   []identity                     // the same, as others see them
	trusted      map[string][]*x509.Certificate // authorities, by where their file is named
	keeper       *keys.Keeper                   // of the certificate that control sees to; nil: no listener has it
	resolver     *sip.Resolver
}

// make reads all that a configuration names and compiles it. Nothing of it is
// in force yet. What old has and stays the same is taken over: a resolver has
// a cache.
func (c *Config) make(revision uint64, old *running) (*running, error) {
	r := &running{cfg: c, since: time.Now(), certificates: map[string]*tls.Certificate{}, trusted: map[string][]*x509.Certificate{}}
	for name, files := range c.pairs() {
		pair, err := tls.LoadX509KeyPair(files.Chain, files.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate of %s: %w; %s and %s must be a PEM chain, leaf first, and its key", name, err, files.Chain, files.Key)
		}
		r.certificates[name] = &pair
	}
	if err := r.openKeeper(old); err != nil {
		return nil, err
	}
	for where, file := range c.roots() {
		list, err := readPEM(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", where, err)
		}
		r.trusted[where] = list
	}
	r.identify()
	var err error
	if old != nil && slices.Equal(old.cfg.SIP.DNS, c.SIP.DNS) {
		r.resolver = old.resolver
	} else if r.resolver, err = c.newResolver(); err != nil {
		return nil, err
	}
	if c.Control != nil || c.managed() {
		r.snapshot = &snapshot.Snapshot{} // until control says more
		if old != nil {
			r.snapshot = old.snapshot
		}
		return r, nil
	}
	if r.snapshot, err = c.Snapshot(revision); err != nil {
		return nil, fmt.Errorf("compile the gateway: %w", err)
	}
	r.snapshot = tester.Extend(r.snapshot)
	return r, nil
}

// with is the same with another snapshot, put in force now.
func (r *running) with(s *snapshot.Snapshot) *running {
	next := *r
	next.snapshot, next.since = tester.Extend(s), time.Now()
	return &next
}

func (c *Config) newResolver() (*sip.Resolver, error) {
	var servers []string
	for _, s := range c.SIP.DNS {
		servers = append(servers, s.String())
	}
	resolver, err := sip.NewResolver(sip.ResolverConfig{Servers: servers})
	if err != nil {
		return nil, fmt.Errorf("set up DNS: %w", err)
	}
	return resolver, nil
}

// settings is what the set of peers takes of it beside the snapshot.
func (r *running) settings() peer.Settings {
	s := peer.Settings{Resolver: r.resolver, Interval: r.cfg.SIP.Options, Rate: r.cfg.SIP.Rate}
	if list := r.trusted[sipRoots]; list != nil { // nil: the system's
		s.Roots = x509.NewCertPool()
		for _, c := range list {
			s.Roots.AddCert(c)
		}
	}
	return s
}

// certificate is asked at every handshake for the certificate of that name.
func (n *Node) certificate(name string) (*tls.Certificate, error) {
	if c := n.running.Load().certificates[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("there is no certificate %s", name)
}

// readPEM reads the certificates of a file, one at least.
func readPEM(file string) (list []*x509.Certificate, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s holds a damaged certificate: %w", file, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return list, nil
}
