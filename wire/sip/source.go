package sip

import (
	"crypto/tls"
	"crypto/x509"
)

// Certificate is the leaf the peer showed on the TLS connection a message came
// on; nil elsewhere.
func (s Source) Certificate() *x509.Certificate {
	if s.conn == nil {
		return nil
	}
	return s.conn.certificate()
}

func (c *stream) certificate() *x509.Certificate {
	c.mu.Lock()
	conn, ok := c.conn.(*tls.Conn)
	c.mu.Unlock()
	if !ok {
		return nil
	}
	if certs := conn.ConnectionState().PeerCertificates; len(certs) > 0 {
		return certs[0]
	}
	return nil
}
