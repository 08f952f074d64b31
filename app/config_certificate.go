package app

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/publish"
	"github.com/tandemgw/tandem/link/snapshot"
)

// soon is when a certificate that ends is worth a word; Microsoft warns its
// customers of theirs as early.
const soon = 30 * 24 * time.Hour

// roots checks trusted authorities.
func (k *configCheck) roots(path, file string) {
	if file == "" {
		return
	}
	for _, c := range k.pem(path, file) {
		if c.NotAfter.Before(k.now) {
			k.unwise(path, "the authority %s ended on %s: remove it", c.Subject.CommonName, day(c.NotAfter))
		}
	}
}

// pem reads the certificates of a file.
func (k *configCheck) pem(path, file string) []*x509.Certificate {
	list, err := readPEM(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("cannot be read: %w", err)
	}
	if err != nil {
		k.bad(path, "%s", err)
	}
	return list
}

// certificate checks the certificate of a listener.
func (k *configCheck) certificate(path string, l ListenerConfig) {
	here := path + ".certificate"
	switch {
	case l.Transport == "tls" && l.Certificate == nil:
		k.bad(here, "missing: transport tls needs {chain: …, key: …}")
		return
	case l.Transport != "tls" && l.Certificate != nil:
		k.bad(here, "means nothing with transport %s: remove it", l.Transport)
		return
	case l.Certificate == nil:
		return
	case l.Certificate.Managed:
		k.managedListener(here, *l.Certificate)
		return
	}
	if leaf := k.pair(here, *l.Certificate); leaf != nil {
		k.bears(here+".chain", leaf, l)
	}
}

// pair checks a certificate with its chain and key, and gives the leaf; nil
// when it could not be read.
func (k *configCheck) pair(path string, c publish.Certificate) *x509.Certificate {
	if c.Managed {
		k.bad(path+".managed", "control sees to the certificates of SIP listeners and to no others: write {chain: …, key: …}")
		return nil
	}
	if !k.files(path, c) {
		return nil
	}
	chain := k.pem(path+".chain", c.Chain)
	if len(chain) == 0 {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(c.Chain, c.Key); err != nil {
		k.bad(path+".key", "does not belong to the first certificate of the chain: %s", err)
	}
	k.leaf(path+".chain", chain[0])
	k.chain(path+".chain", chain)
	return chain[0]
}

// files checks that both names are given and that the key is kept close.
func (k *configCheck) files(path string, c publish.Certificate) bool {
	if c.Chain == "" {
		k.bad(path+".chain", "missing: name the PEM file of the certificate and its intermediates")
	}
	if c.Key == "" {
		k.bad(path+".key", "missing: name the PEM file of the private key")
	}
	if c.Chain == "" || c.Key == "" {
		return false
	}
	info, err := os.Stat(c.Key)
	if err != nil {
		k.bad(path+".key", "cannot be read: %s", err)
		return false
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		k.unwise(path+".key", "others may read the private key (mode %04o): chmod 600 %s", mode, c.Key)
	}
	return true
}

func (k *configCheck) leaf(path string, c *x509.Certificate) {
	switch {
	case k.now.After(c.NotAfter):
		k.bad(path, "the certificate ended on %s: renew it", day(c.NotAfter))
	case k.now.Before(c.NotBefore):
		k.bad(path, "the certificate begins on %s: check the clock, or wait", day(c.NotBefore))
	case k.now.Add(soon).After(c.NotAfter):
		k.unwise(path, "the certificate ends on %s: renew it soon", day(c.NotAfter))
	}
	if len(c.ExtKeyUsage) > 0 && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
		k.bad(path, "the certificate is not for servers (no serverAuth among its extended key usages): order one that is")
	}
}

// chain checks that what stands after the leaf leads upwards. Far sides do not
// fetch what is missing, and see it as a trunk that comes and goes.
func (k *configCheck) chain(path string, chain []*x509.Certificate) {
	for i, c := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(c); err != nil {
			k.bad(path, "certificate %d, %s, did not sign the one before it: order them leaf first, then each issuer", i+2, c.Subject.CommonName)
			return
		}
	}
	last := chain[len(chain)-1]
	if len(chain) > 1 {
		return
	}
	if bytes.Equal(last.RawIssuer, last.RawSubject) {
		k.unwise(path, "the certificate is self-signed: far sides that check will refuse it")
		return
	}
	if k.SIP.Roots == "" {
		k.unwise(path, "holds one certificate and no intermediate: append those of %s unless it is a root", last.Issuer.CommonName)
		return
	}
	roots, err := os.ReadFile(k.SIP.Roots)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(roots) {
		return // said of sip.roots
	}
	if _, err := last.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: k.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		k.unwise(path, "holds one certificate and no intermediate, and its issuer %s is not among sip.roots: append the intermediates", last.Issuer.CommonName)
	}
}

// bears checks that a certificate is for the names under which the far side
// knows the listener.
func (k *configCheck) bears(path string, c *x509.Certificate, l ListenerConfig) {
	var names []string
	if host, ok := advertised(l.Advertise); ok {
		names = append(names, host)
	}
	if l.Side == snapshot.Cloud && k.SIP.Domain != "" {
		names = append(names, k.SIP.Domain)
	}
	for _, name := range names {
		if l.Side == snapshot.Cloud && !hostName.MatchString(name) {
			continue // said where the name stands
		}
		if err := c.VerifyHostname(name); err != nil {
			k.bad(path, "the certificate does not bear %s, by which the far side knows this listener: order one for it (it bears %s)", name, bearing(c))
			return
		}
	}
}

func bearing(c *x509.Certificate) string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name"
	}
	return strings.Join(names, ", ")
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
