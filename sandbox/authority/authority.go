// Package authority is a private certificate authority for the lab and the
// tests: it plays the public one that an operator and Microsoft would use.
//
// Keys are P-256, made in memory; files are written only where a process of
// its own must read them. Nothing here belongs in production.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority is a root and one intermediate; certificates are issued by the
// intermediate, as public authorities do, so that a peer that forgets to send
// the chain is noticed.
type Authority struct {
	root, inter *x509.Certificate // RO
	key         *ecdsa.PrivateKey // RO, of the intermediate
}

// New makes an authority of the given name.
func New(name string) (*Authority, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make root key: %w", err)
	}
	root, err := sign(ca(name+" Root"), nil, &rootKey.PublicKey, rootKey)
	if err != nil {
		return nil, fmt.Errorf("sign root: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make intermediate key: %w", err)
	}
	inter, err := sign(ca(name+" Issuing CA"), root, &key.PublicKey, rootKey)
	if err != nil {
		return nil, fmt.Errorf("sign intermediate: %w", err)
	}
	return &Authority{root: root, inter: inter, key: key}, nil
}

// Roots is a pool with the root alone.
func (a *Authority) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// RootPEM is the root in PEM.
func (a *Authority) RootPEM() []byte { return pemOf(a.root.Raw) }

// Terms are what may be wrong with a certificate on purpose. The zero value
// is a good one: valid for 90 days, for servers only, as public authorities
// issue them since 2026.
type Terms struct {
	NotBefore, NotAfter time.Time
	ClientAuth          bool // the extended key usage clientAuth too
	LeafOnly            bool // without the intermediate
}

// Issue makes a certificate for names (DNS names, wildcards, IP literals).
func (a *Authority) Issue(terms Terms, names ...string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	chain, err := a.issue(terms, key.Public(), names)
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert, nil
}

// Sign signs a certificate request in PEM, for the names that it asks for, and
// gives the chain in PEM.
func (a *Authority) Sign(terms Terms, request string) (string, error) {
	block, _ := pem.Decode([]byte(request))
	if block == nil {
		return "", errors.New("the request is not in PEM form")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = r.CheckSignature()
	}
	if err != nil {
		return "", fmt.Errorf("read request: %w", err)
	}
	list, err := a.issue(terms, r.PublicKey, r.DNSNames)
	if err != nil {
		return "", err
	}
	var chain []byte
	for _, c := range list {
		chain = append(chain, pemOf(c.Raw)...)
	}
	return string(chain), nil
}

// issue makes a chain for a key, leaf first.
func (a *Authority) issue(terms Terms, key crypto.PublicKey, names []string) ([]*x509.Certificate, error) {
	leaf := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		NotBefore:   terms.NotBefore,
		NotAfter:    terms.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if leaf.NotBefore.IsZero() {
		leaf.NotBefore = time.Now().Add(-time.Hour)
	}
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = time.Now().AddDate(0, 0, 90)
	}
	if terms.ClientAuth {
		leaf.ExtKeyUsage = append(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
			continue
		}
		leaf.DNSNames = append(leaf.DNSNames, name)
	}
	cert, err := sign(leaf, a.inter, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate for %s: %w", names[0], err)
	}
	chain := []*x509.Certificate{cert}
	if !terms.LeafOnly {
		chain = append(chain, a.inter)
	}
	return chain, nil
}

// Files are the paths of a certificate written for another process.
type Files struct{ Chain, Key, Root string }

// Write puts a certificate, its key (mode 0600) and the root into dir under
// the given stem.
func (a *Authority) Write(dir, stem string, cert *tls.Certificate) (Files, error) {
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return Files{}, fmt.Errorf("encode key: %w", err)
	}
	var chain []byte
	for _, der := range cert.Certificate {
		chain = append(chain, pemOf(der)...)
	}
	f := Files{
		Chain: filepath.Join(dir, stem+".pem"),
		Key:   filepath.Join(dir, stem+".key"),
		Root:  filepath.Join(dir, "root.pem"),
	}
	for _, w := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{
		{f.Chain, chain, 0o644},
		{f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600},
		{f.Root, a.RootPEM(), 0o644},
	} {
		if err := os.WriteFile(w.path, w.data, w.mode); err != nil {
			return Files{}, fmt.Errorf("write certificate: %w", err)
		}
	}
	return f, nil
}

func ca(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func sign(cert, parent *x509.Certificate, pub crypto.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	cert.SerialNumber = serial
	if parent == nil {
		parent = cert
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
