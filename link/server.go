package link

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
)

// ServerConfig is the server inside a control node.
type ServerConfig struct {
	Node    string
	Dir     string         // of its streams
	Listen  netip.AddrPort // for other nodes; invalid: there are none
	TLS     *tls.Config    // with Certificates and ClientCAs; needed with Listen and with Cluster
	Cluster *Cluster       // nil: alone
	Log     *slog.Logger
}

// Cluster is the servers of several control nodes together.
type Cluster struct {
	Name   string
	Listen netip.AddrPort
	Nodes  map[string]string // control node -> host:port of its Listen; itself may be among them
}

// Server is a NATS server with streams that sync every message to the disk.
type Server struct{}

// Serve starts it and returns when it is ready; in a cluster that is when most
// of its nodes are there.
func Serve(c ServerConfig) (*Server, error) { return nil, errTodo }

// Close stops it. Connections to it go on trying.
func (s *Server) Close() {}

// Conn connects in-process. A connection of a control node may do everything,
// an edge's what any edge may.
func (s *Server) Conn(c DialConfig) (*Conn, error) { return nil, errTodo }

// DialConfig is a connection to servers.
type DialConfig struct {
	Node    string
	Control bool        // of a control node, else of an edge
	URLs    []string    // "tls://host:port"; of other machines
	TLS     *tls.Config // with Certificates and RootCAs
	Log     *slog.Logger
}

// Conn is a connection, which is made again for ever when it is lost.
type Conn struct{}

// Dial makes a connection, whether or not anybody answers yet.
func Dial(c DialConfig) (*Conn, error) { return nil, errTodo }

// Connected tells whether it stands at present.
func (c *Conn) Connected() bool { return false }

// Close ends it for good.
func (c *Conn) Close() {}

var errTodo = errors.New("not there yet")
