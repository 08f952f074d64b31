package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

// checkRequest checks what an edge wants to have signed: it is signed by its
// own key, and asks for what was wanted and nothing else.
func checkRequest(text string, names []string) error {
	r, err := parseRequest(text)
	if err != nil {
		return err
	}
	if err := r.CheckSignature(); err != nil {
		return errors.New("it is not signed by the key that it is for")
	}
	if err := checkKey(r.PublicKey); err != nil {
		return err
	}
	asked := slices.Sorted(slices.Values(r.DNSNames))
	if !slices.EqualFunc(asked, names, strings.EqualFold) || len(r.IPAddresses)+len(r.EmailAddresses)+len(r.URIs) > 0 {
		return fmt.Errorf("it asks for %s, and %s is wanted", strings.Join(asked, ", "), strings.Join(names, ", "))
	}
	if cn := r.Subject.CommonName; cn != "" && !slices.Contains(names, cn) {
		return fmt.Errorf("its common name is %s, which is none of the names wanted", cn)
	}
	return nil
}

func parseRequest(text string) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("it is no certificate request in PEM form")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	return r, nil
}

// checkKey refuses keys that authorities refuse (CA/Browser Forum Baseline
// Requirements §6.1.5).
func checkKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return fmt.Errorf("its RSA key has %d bits: 2048 at least", key.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			return errors.New("its key is for a curve that is too small")
		}
	default:
		return errors.New("its key is neither RSA nor ECDSA")
	}
	return nil
}

// judge reads a chain that was signed for a request. The error is a sentence:
// what is wrong with it, and what to do.
func judge(chain string, c Certificate, roots *x509.CertPool, now time.Time) ([]*x509.Certificate, error) {
	list, err := parseChain(chain)
	if err != nil {
		return nil, err
	}
	request, err := parseRequest(c.Request)
	if err != nil {
		return nil, fmt.Errorf("the request of edge %s cannot be read: %w", c.Node, err)
	}
	leaf := list[0]
	if !sameKey(leaf.PublicKey, request.PublicKey) {
		return nil, fmt.Errorf("the certificate is for another key than the request of edge %s: have that request signed, and put its certificate first in the chain", c.Node)
	}
	for _, name := range c.Names {
		if !slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) }) {
			return nil, fmt.Errorf("the certificate lacks the name %s (it bears %s): have the request signed with all its names", name, strings.Join(leaf.DNSNames, ", "))
		}
	}
	switch {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("the certificate ended on %s: have the request signed again", leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("the certificate begins at %s UTC: see to the clocks", leaf.NotBefore.UTC().Format(time.DateTime))
	case len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return nil, errors.New("the certificate is not for servers (no serverAuth among its extended key usages): have it signed for servers")
	}
	return list, followed(list, roots, now)
}

// followed checks that each certificate is signed by the next, and that the
// last leads to a root, where they are known.
func followed(list []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	between := x509.NewCertPool()
	for i, issuer := range list[1:] {
		if err := list[i].CheckSignatureFrom(issuer); err != nil {
			return fmt.Errorf("certificate %d of the chain, %s, has not signed the one before it: order them leaf first, then each issuer", i+2, issuer.Subject.CommonName)
		}
		between.AddCert(issuer)
	}
	if roots == nil {
		return nil
	}
	if _, err := list[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fmt.Errorf("the chain leads to no authority that is trusted here (it ends with %s): append the missing issuers, or add the root", list[len(list)-1].Issuer.CommonName)
	}
	return nil
}

func sameKey(a, b crypto.PublicKey) bool {
	pub, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(b)
}

// maxChain bounds what is read: ten certificates are many.
const maxChain = 1 << 16

func parseChain(text string) (list []*x509.Certificate, err error) {
	if len(text) > maxChain {
		return nil, errors.New("the chain is too long to be one")
	}
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("the chain holds a damaged certificate: %w", err)
			}
			list = append(list, c)
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			return nil, errors.New("the file holds a private key, which nobody here wants to have: send the certificates alone, and take the key for known to others")
		}
	}
	switch {
	case len(list) == 0:
		return nil, errors.New("the chain holds no certificate in PEM form")
	case bytes.ContainsFunc(bytes.TrimSpace(rest), func(rune) bool { return true }):
		return nil, errors.New("after the certificates comes something else: send the certificates alone")
	}
	return list, nil
}

// sentence is an error for people.
func sentence(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Public != "" {
		return f.Public
	}
	return err.Error()
}
