package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/certificate"
	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/edge/peer"
)

// CertificatesConfig is how the certificates of edges come about that control
// sees to.
type CertificatesConfig struct {
	Roots string      `yaml:"roots"` // PEM of authorities that signed chains must lead to; empty: any
	ACME  *ACMEConfig `yaml:"acme"`  // nil: requests wait for the operator
}

// ACMEConfig is an authority that signs by ACME.
type ACMEConfig struct {
	Directory  string `yaml:"directory"`  // URL
	Staging    string `yaml:"staging"`    // URL of its place for tries; empty: none
	Agreed     bool   `yaml:"agreed"`     // the operator agrees to its terms of service
	Contact    string `yaml:"contact"`    // mail address; empty: none
	KeyID      string `yaml:"keyId"`      // of an account at the authority; empty: it wants none
	SecretFile string `yaml:"secretFile"` // with the MAC key of that account, base64url
	Roots      string `yaml:"roots"`      // PEM of authorities of its server; empty: the system's
}

func (c *CertificatesConfig) files() []*string {
	if c.ACME == nil {
		return []*string{&c.Roots}
	}
	return []*string{&c.Roots, &c.ACME.SecretFile, &c.ACME.Roots}
}

// certificates checks the section.
func (k *configCheck) certificates(path string, c CertificatesConfig) {
	k.roots(path+".roots", c.Roots)
	a := c.ACME
	if a == nil {
		return
	}
	path += ".acme"
	for key, url := range map[string]string{"directory": a.Directory, "staging": a.Staging} {
		if (url != "" || key == "directory") && !strings.HasPrefix(url, "https://") {
			k.bad(path+"."+key, "%q: write the https URL of the authority's directory", url)
		}
	}
	if !a.Agreed {
		k.bad(path+".agreed", "read the authority's terms of service, and write true if you agree")
	}
	if a.Contact != "" && !strings.Contains(a.Contact, "@") {
		k.bad(path+".contact", "%q: write a mail address, or remove the key", a.Contact)
	}
	switch {
	case a.KeyID != "":
		k.secret(path, a.KeyID, a.SecretFile, "")
	case a.SecretFile != "":
		k.bad(path+".secretFile", "means nothing without keyId: remove it, or write both")
	}
	k.roots(path+".roots", a.Roots)
	if k.Control.DNS == nil {
		k.bad(path, "the authority looks for a token in the zone, which this node does not serve: add control.dns, or remove acme")
	}
}

// deployment is the section as its room wants it. What ACME keeps goes into a
// folder.
func (c *CertificatesConfig) deployment(dir string) (out certificate.Config, err error) {
	if out.Roots, err = pool(c.Roots); err != nil || c.ACME == nil {
		return out, err
	}
	a := &certificate.ACME{Directory: c.ACME.Directory, Staging: c.ACME.Staging, Agreed: c.ACME.Agreed, Contact: c.ACME.Contact, KeyID: c.ACME.KeyID, Dir: dir}
	if c.ACME.KeyID != "" {
		secret, err := peer.ReadSecret(publish.SecretAt(c.ACME.SecretFile, ""))
		if err != nil {
			return out, fmt.Errorf("key of the account at the authority: %w", err)
		}
		a.MACKey = string(secret)
	}
	roots, err := pool(c.ACME.Roots)
	if err != nil {
		return out, err
	}
	a.Client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots}, IdleConnTimeout: time.Minute,
	}}
	out.ACME = a
	return out, nil
}

// pool reads a file of authorities; nil when there is none.
func pool(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	list, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	p := x509.NewCertPool()
	for _, c := range list {
		p.AddCert(c)
	}
	return p, nil
}
