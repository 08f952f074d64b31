package app

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/tandemgw/tandem/edge/attest"
	"github.com/tandemgw/tandem/edge/call"
	"github.com/tandemgw/tandem/link/snapshot"
)

// StirConfig is whether callers are vouched for, and verified (STIR/SHAKEN).
type StirConfig struct {
	Sign   *SignConfig   `yaml:"sign"`
	Verify *VerifyConfig `yaml:"verify"`
}

// SignConfig is how we vouch for callers.
type SignConfig struct {
	Key         string          `yaml:"key"`         // PEM file of a private key, ECDSA over P-256
	Certificate string          `yaml:"certificate"` // https URL where everybody finds its certificate
	OrigID      string          `yaml:"origid"`      // UUID for the calls that come in at this node
	To          []snapshot.Side `yaml:"to"`          // sides; none: operator
}

// VerifyConfig is how we verify those who vouch for callers.
type VerifyConfig struct {
	Roots    string          `yaml:"roots"`    // PEM file of the authorities of such certificates
	From     []snapshot.Side `yaml:"from"`     // sides; none: operator and cloud
	Refuse   bool            `yaml:"refuse"`   // calls whose Identity is not believed
	Require  bool            `yaml:"require"`  // and those without one
	Allow    []netip.Prefix  `yaml:"allow"`    // where certificates may be fetched from beside public addresses
	Web      string          `yaml:"web"`      // PEM file of the authorities of the servers they are fetched from; empty: the system's
	Patience time.Duration   `yaml:"patience"` // for a certificate that is not at hand; 0: 1 s
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// stirFiles are the names of files in it.
func (c *Config) stirFiles() (files []*string) {
	if s := c.STIR.Sign; s != nil {
		files = append(files, &s.Key)
	}
	if v := c.STIR.Verify; v != nil {
		files = append(files, &v.Roots, &v.Web)
	}
	return files
}

func (k *configCheck) stir() {
	if s := k.STIR.Sign; s != nil {
		if s.Key == "" {
			k.bad("stir.sign.key", "missing: name the PEM file of the private key")
		} else if _, err := signingKey(s.Key); err != nil {
			k.bad("stir.sign.key", "%s: %v", s.Key, err)
		}
		if u, err := url.Parse(s.Certificate); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			k.bad("stir.sign.certificate", "%q: write the https URL where everybody finds the key's certificate", s.Certificate)
		}
		if !uuid.MatchString(s.OrigID) {
			k.bad("stir.sign.origid", "%q: write a UUID, which stands for the calls that come in at this node", s.OrigID)
		}
		k.sidesOf("stir.sign.to", s.To)
	}
	if v := k.STIR.Verify; v != nil {
		if v.Roots == "" {
			k.bad("stir.verify.roots", "missing: name the PEM file of the authorities whose certificates vouch for callers")
		}
		k.roots("stir.verify.roots", v.Roots)
		k.roots("stir.verify.web", v.Web)
		k.sidesOf("stir.verify.from", v.From)
		if v.Patience != 0 {
			k.within("stir.verify.patience", v.Patience, 100*time.Millisecond, 5*time.Second)
		}
	}
}

func (k *configCheck) sidesOf(path string, list []snapshot.Side) {
	for i, s := range list {
		k.side(fmt.Sprintf("%s[%d]", path, i), s)
	}
}

func signingKey(file string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return attest.ReadKey(text)
}

// openVouching makes what signs and verifies, where either is wanted.
func (n *Node) openVouching() (call.Vouching, error) {
	var out call.Vouching
	cfg := attest.Config{Log: n.log}
	if s := n.cfg.STIR.Sign; s != nil {
		key, err := signingKey(s.Key)
		if err != nil {
			return out, fmt.Errorf("read stir.sign.key: %w", err)
		}
		cfg.Key, cfg.Info, cfg.OrigID = key, s.Certificate, s.OrigID
		if out.Sign = s.To; len(out.Sign) == 0 {
			out.Sign = []snapshot.Side{snapshot.Operator}
		}
	}
	if v := n.cfg.STIR.Verify; v != nil {
		var err error
		if cfg.Roots, err = readPool(v.Roots); err != nil {
			return out, fmt.Errorf("read stir.verify.roots: %w", err)
		}
		if v.Web != "" {
			if cfg.Web, err = readPool(v.Web); err != nil {
				return out, fmt.Errorf("read stir.verify.web: %w", err)
			}
		}
		cfg.Allow, cfg.Patience = v.Allow, v.Patience
		out.Refuse, out.Require = v.Refuse, v.Require
		if out.Verify = slices.Clone(v.From); len(out.Verify) == 0 {
			out.Verify = slices.Clone(sides)
		}
	}
	if cfg.Key == nil && cfg.Roots == nil {
		return out, nil
	}
	set, err := attest.New(cfg)
	if err != nil {
		return out, err
	}
	out.Set, n.vouching = set, set
	n.onStop(set.Close)
	return out, nil
}

func readPool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}
