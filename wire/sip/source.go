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
	s.conn.mu.Lock()
	conn, ok := s.conn.conn.(*tls.Conn)
	s.conn.mu.Unlock()
	if !ok {
		return nil
	}
	if certs := conn.ConnectionState().PeerCertificates; len(certs) > 0 {
		return certs[0]
	}
	return nil
}
