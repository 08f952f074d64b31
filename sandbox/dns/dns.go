// Package dns is a small authoritative name server on loopback whose records
// are set from Go. The sandbox's far sides publish themselves in it, and the
// lab's nodes resolve through it.
//
// It answers over UDP and TCP, for the names it was given and NXDOMAIN for
// all others; it never asks anybody else.
package dns

import (
	"net/netip"
	"time"
)

// Server is the name server.
type Server struct{}

// SRV is the right-hand side of an SRV record.
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string
}

// NAPTR is the right-hand side of a NAPTR record.
type NAPTR struct {
	Order, Preference    uint16
	Flags, Service, Next string
}

// Start listens on addr (port 0 picks one, the same for UDP and TCP).
func Start(addr netip.AddrPort) (*Server, error) { panic("todo") }

// Close stops the server.
func (s *Server) Close() error { panic("todo") }

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { panic("todo") }

// SetHost replaces the A and AAAA records of name; none removes them.
func (s *Server) SetHost(name string, ttl time.Duration, addrs ...netip.Addr) { panic("todo") }

// SetSRV replaces the SRV records of name ("_sips._tcp.example"); none
// removes them.
func (s *Server) SetSRV(name string, ttl time.Duration, records ...SRV) { panic("todo") }

// SetNAPTR replaces the NAPTR records of name; none removes them.
func (s *Server) SetNAPTR(name string, ttl time.Duration, records ...NAPTR) { panic("todo") }

// SetTXT replaces the TXT records of name; none removes them.
func (s *Server) SetTXT(name string, ttl time.Duration, texts ...string) { panic("todo") }

// Queries counts the questions seen for name and type ("SRV").
func (s *Server) Queries(name, kind string) int { panic("todo") }
