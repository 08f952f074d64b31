package sip

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
)

// suites are those for TLS 1.2, where Go lets us choose, unless a policy names
// others: forward secret and with GCM, which Microsoft Teams and every current
// SBC speak.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
}

func (p *TLSPolicy) suites() []uint16 {
	if len(p.Suites) > 0 {
		return p.Suites
	}
	return suites
}

// Suites are the names of the suites for TLS 1.2 that a policy may name.
func Suites() []string {
	var names []string
	for _, s := range tls.CipherSuites() {
		if slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			names = append(names, s.Name)
		}
	}
	return names
}

// ParseSuite gives the number of one of Suites.
func ParseSuite(name string) (uint16, bool) {
	for _, s := range tls.CipherSuites() {
		if s.Name == name && slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			return s.ID, true
		}
	}
	return 0, false
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

// serverTLS asks the peer for its certificate and verifies it ourselves: the
// stock verifier insists on the clientAuth usage, which public CAs no longer
// put into certificates (Go, crypto/tls handshake_server.go). Who shares an
// address with others is offered what any of them may speak, and held to what
// he may when it is known who he is.
func (c *stream) serverTLS(remotes []*Remote) *tls.Config {
	cfg := &tls.Config{
		SessionTicketsDisabled: true, // a resumed session would skip the peer's certificate
		ClientAuth:             tls.RequireAnyClientCert,
		VerifyConnection: func(cs tls.ConnectionState) error {
			r, chain, err := identify(cs, remotes, "")
			if err != nil {
				return err
			}
			c.remote = r
			if len(chain) > 0 {
				c.s.facts.note(r, c, cs, chain)
			}
			return nil
		},
	}
	own, newest, named := c.l.Certificate, uint16(0), false
	for i, r := range remotes {
		p := r.policy()
		if least := max(tls.VersionTLS12, p.MinVersion); i == 0 || least < cfg.MinVersion {
			cfg.MinVersion = least
		}
		newest = max(newest, cmp.Or(p.MaxVersion, math.MaxUint16))
		cfg.CipherSuites = append(cfg.CipherSuites, p.suites()...)
		if named = named || !p.Anonymous; p.Anonymous {
			cfg.ClientAuth = tls.RequestClientCert
		}
		if i == 0 && p.Certificate != nil {
			own = p.Certificate
		}
	}
	if newest != math.MaxUint16 {
		cfg.MaxVersion = newest
	}
	if !named {
		cfg.ClientAuth = tls.NoClientCert
	}
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own() }
	return cfg
}

func (c *stream) clientTLS() *tls.Config {
	p := c.remote.policy()
	own := c.l.Certificate
	if p.Certificate != nil {
		own = p.Certificate
	}
	return &tls.Config{
		MinVersion:             max(tls.VersionTLS12, p.MinVersion),
		MaxVersion:             p.MaxVersion,
		CipherSuites:           p.suites(),
		SessionTicketsDisabled: true,
		ServerName:             c.key.host,
		InsecureSkipVerify:     true, // VerifyConnection does it, by the peer's own roots and names
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own() },
		VerifyConnection: func(cs tls.ConnectionState) error {
			chain, err := p.verify(cs, c.key.host)
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
