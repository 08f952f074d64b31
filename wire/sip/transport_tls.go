package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
)

// suites are those for TLS 1.2, where Go lets us choose: forward secret and
// with GCM, which Microsoft Teams and every current SBC speak.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
}

// shake does the handshake over the raw connection, in bounded time.
func (c *stream) shake(wrap func(net.Conn) *tls.Conn) error {
	ctx, cancel := context.WithTimeout(c.s.closing, c.s.cfg.Conns.Handshake)
	defer cancel()
	conn := wrap(c.raw)
	err := conn.HandshakeContext(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no TLS handshake within %v: is the port one that speaks TLS?", c.s.cfg.Conns.Handshake)
	case err != nil:
		return explainAlert(err, c.remote)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	return nil
}

// serverTLS asks every peer for its certificate and verifies it ourselves:
// the stock verifier insists on the clientAuth usage, which public CAs no
// longer put into certificates (Go, crypto/tls handshake_server.go).
func (c *stream) serverTLS(remotes []*Remote) *tls.Config {
	own := c.l.Certificate
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		CipherSuites:           suites,
		SessionTicketsDisabled: true, // a resumed session would skip the peer's certificate
		ClientAuth:             tls.RequireAnyClientCert,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own() },
		VerifyConnection: func(cs tls.ConnectionState) error {
			r, chain, err := identify(cs, remotes, "")
			if err != nil {
				return err
			}
			c.remote = r
			c.s.facts.note(r, c, cs, chain)
			return nil
		},
	}
}

func (c *stream) clientTLS() *tls.Config {
	own := c.l.Certificate
	return &tls.Config{
		MinVersion:             max(tls.VersionTLS12, c.remote.TLS.MinVersion),
		CipherSuites:           suites,
		SessionTicketsDisabled: true,
		ServerName:             c.key.host,
		InsecureSkipVerify:     true, // VerifyConnection does it, by the peer's own roots and names
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own() },
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, chain, err := identify(cs, []*Remote{c.remote}, c.key.host)
			if err != nil {
				return err
			}
			c.s.facts.note(c.remote, c, cs, chain)
			return nil
		},
	}
}

// explainAlert adds to an alert of the peer what it commonly means; with TLS
// 1.3 a refused client certificate shows only at the first read.
func explainAlert(err error, peer *Remote) error {
	if !strings.Contains(err.Error(), "remote error: tls:") {
		return err
	}
	return fmt.Errorf("%s ended the TLS handshake (%w): see that it trusts the root of our certificate and expects the name in it", peer.Name, err)
}
