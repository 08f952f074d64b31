package rtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// identity is the certificate that an engine shows in handshakes. It is one for
// all calls: what it would tell of them, that they go through the same gateway,
// the signalling tells anyway, and a call costs no signature more. The key is
// never written anywhere and lives as long as the engine, and since each
// handshake has keys of its own (ECDHE), it opens no call of the past.
type identity struct {
	certificate tls.Certificate
	print       Fingerprint
}

// newIdentity makes one: P-256, as every DTLS-SRTP stack has it (RFC 8827 6.5),
// without a name, and for longer than any process runs.
func newIdentity() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("make a key for handshakes: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return identity{}, fmt.Errorf("make a certificate for handshakes: %w", err)
	}
	now := time.Now()
	terms := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "media"},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, terms, terms, key.Public(), key)
	if err != nil {
		return identity{}, fmt.Errorf("make a certificate for handshakes: %w", err)
	}
	sum := sha256.Sum256(raw)
	return identity{tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, Fingerprint{"sha-256", colons(sum[:])}}, nil
}

// Fingerprint is that of the certificate which all ports of the engine show.
func (e *Engine) Fingerprint() Fingerprint { return e.shakes.identity.print }
