package link

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/tandemgw/tandem/base/fault"
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
	Nodes  map[string]string // control node -> host:port of its Listen, which its certificate bears beside its name; itself may be among them
}

// Server is a NATS server with streams that sync every message to the disk.
type Server struct {
	nats   *server.Server // RO
	front  *front         // RO: where other nodes connect; nil when they cannot
	secret string         // RO: known to this process alone
	dir    string         // RO: of the streams
	log    *slog.Logger   // RO

	streams server.JetStreamConfig // RO: as they were opened
	done    chan struct{}          // closed by stop
	stop    func()                 // RO: once
	tends   sync.WaitGroup         // who looks after the streams
}

// maxPayload bounds a message; what is larger goes in pieces.
const maxPayload = 1 << 20

// Serve starts it and returns when it takes connections. In a cluster, its
// streams answer when most of the nodes are there.
func Serve(c ServerConfig) (*Server, error) {
	s := &Server{secret: rand.Text(), dir: c.Dir, log: orDefault(c.Log), done: make(chan struct{})}
	s.stop = sync.OnceFunc(func() { close(s.done) })
	opts := &server.Options{
		ServerName: c.Node, DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: c.Dir, SyncAlways: true, DisableJetStreamBanner: true,
		JetStreamMaxMemory: 256 << 20, JetStreamMaxStore: 1 << 40, // the disk is the bound: a full one refuses, and senders keep
		MaxPayload: maxPayload, PingInterval: 10 * time.Second, MaxPingsOut: 2, WriteDeadline: 10 * time.Second,
		AuthTimeout: 5, TLSTimeout: 5,
		CustomClientAuthentication: doorkeeper{s},
	}
	if c.Listen.IsValid() {
		if c.TLS == nil {
			return nil, errors.New("link.listen needs a certificate and the authority of the nodes'")
		}
		if err := free(c.Listen); err != nil {
			return nil, err
		}
		opts.DontListen, opts.Host, opts.Port, opts.ProxyProtocol = false, "127.0.0.1", server.RANDOM_PORT, true
		opts.TLSConfig = mutual(c.TLS, func(*x509.Certificate) error { return nil })
		opts.TLS, opts.TLSVerify = true, true
	}
	if c.Cluster != nil {
		if err := c.Cluster.options(opts, c); err != nil {
			return nil, err
		}
	}
	nats, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("make the link's server: %w", err)
	}
	nats.SetLogger(serverLog{s.log}, false, false)
	s.nats = nats
	go nats.Start() // returns when it has started
	if !nats.ReadyForConnections(20*time.Second) || nats.JetStreamConfig() == nil {
		s.Close()
		return nil, &fault.Error{Kind: fault.Unavailable, Public: "the link's server does not start: see the log; its data is in " + c.Dir}
	}
	if c.Listen.IsValid() {
		if s.front, err = newFront(c.Listen, s.inner()); err != nil {
			s.Close()
			return nil, err
		}
	}
	s.streams = *nats.JetStreamConfig()
	s.streams.StoreDir = c.Dir // to which the server adds its own folder
	s.tends.Go(func() { s.reviveWhenThereIsRoom(s.done) })
	return s, nil
}

// listenPort is the port in NATS's way: -1 lets the system choose.
func listenPort(a netip.AddrPort) int {
	if a.Port() == 0 {
		return server.RANDOM_PORT
	}
	return int(a.Port())
}

// free tells at once what the server would only write into its log.
func free(a netip.AddrPort) error {
	l, err := net.Listen("tcp", a.String())
	if err != nil {
		return fmt.Errorf("listen for nodes on link.listen: %w", err)
	}
	return l.Close()
}

// mutual demands a certificate of who connects, by the authority of the nodes.
// What it says it is for does not matter: the authority is the operator's own,
// and many sign for servers only.
func mutual(c *tls.Config, also func(*x509.Certificate) error) *tls.Config {
	c = c.Clone()
	c.ClientAuth, c.MinVersion = tls.RequireAnyClientCert, tls.VersionTLS13
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("no certificate")
		}
		leaf, between := s.PeerCertificates[0], x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			between.AddCert(c)
		}
		_, err := leaf.Verify(x509.VerifyOptions{Roots: c.ClientCAs, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return cmp.Or(err, also(leaf))
	}
	return c
}

func (c *Cluster) options(opts *server.Options, from ServerConfig) error {
	if from.TLS == nil || !from.Listen.IsValid() {
		return errors.New("link.cluster needs link.listen, a certificate and the authority of the nodes'")
	}
	members := map[string]bool{}
	for node, at := range c.Nodes {
		members[node] = true
		if node != from.Node {
			opts.Routes = append(opts.Routes, &url.URL{Scheme: "tls", Host: at})
		}
	}
	// An edge's certificate is of the same authority. As a member of the
	// cluster it could do everything.
	t := mutual(from.TLS, func(leaf *x509.Certificate) error { return member(leaf, members) })
	t.RootCAs = cmp.Or(t.RootCAs, t.ClientCAs)
	opts.Cluster = server.ClusterOpts{
		Name: c.Name, Host: c.Listen.Addr().String(), Port: listenPort(c.Listen), NoAdvertise: true,
		TLSConfig: t, TLSTimeout: 5, PoolSize: -1,
	}
	return nil
}

// member checks that the other end of a route is one of the control nodes.
func member(leaf *x509.Certificate, members map[string]bool) error {
	for node := range members {
		if bears(leaf, node) {
			return nil
		}
	}
	return fmt.Errorf("the certificate of %s is none of a control node's", leaf.Subject.CommonName)
}

// bears tells whether a certificate is a node's. A pattern names nobody.
func bears(c *x509.Certificate, node string) bool {
	return c.Subject.CommonName == node || slices.Contains(c.DNSNames, node)
}

// doorkeeper lets nodes in and says what each may do.
type doorkeeper struct{ s *Server }

// Check knows this process by its secret, and others by their certificate: it
// must bear the name that they give.
func (d doorkeeper) Check(c server.ClientAuthentication) bool {
	if c.Kind() != server.CLIENT {
		return false
	}
	node, tls := c.GetOpts().Username, c.GetTLSConnectionState()
	if tls == nil {
		if c.GetOpts().Password != d.s.secret {
			return false
		}
		if node, edge := strings.CutPrefix(node, "edge:"); edge {
			c.RegisterUser(&server.User{Username: node, Permissions: ofEdge(node)})
			return true
		}
		c.RegisterUser(&server.User{Username: node})
		return true
	}
	node = strings.TrimPrefix(node, "edge:")
	if len(tls.PeerCertificates) == 0 || node == "" || !bears(tls.PeerCertificates[0], node) {
		d.s.log.Warn("a node may not connect: its certificate does not bear its name", "node", node, "remote", c.RemoteAddress())
		return false
	}
	c.RegisterUser(&server.User{Username: node, Permissions: ofEdge(node)})
	return true
}

// ofEdge are the permissions of one edge: it speaks for itself, reads what is
// for itself, and answers what it is asked.
func ofEdge(node string) *server.Permissions {
	t := token(node)
	return &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			statusSubject + t, aliveSubject + t, recordSubject + t,
			"$JS.API.DIRECT.GET." + snapshotStream + "." + snapshotSubject + t + ".>",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{
			toldSubject + t, askSubject + t + ".*", inbox(node) + ".>",
		}},
		Response: &server.ResponsePermission{MaxMsgs: maxAnswer/pieceSize + 1, Expires: time.Minute},
	}
}

// inbox is where a node gets answers; others cannot listen there.
func inbox(node string) string { return "_INBOX_" + hex.EncodeToString([]byte(node)) }

// Addr is where other nodes reach it, invalid when they cannot.
func (s *Server) Addr() netip.AddrPort {
	if s.front == nil {
		return netip.AddrPort{}
	}
	a, _ := netip.ParseAddrPort(s.front.listener.Addr().String())
	return a
}

// inner is where the server itself listens.
func (s *Server) inner() netip.AddrPort {
	u, err := url.Parse(s.nats.ClientURL())
	if err != nil {
		return netip.AddrPort{}
	}
	a, _ := netip.ParseAddrPort(u.Host)
	return a
}

// Close stops it. Connections to it go on trying.
func (s *Server) Close() {
	s.stop()
	s.tends.Wait()
	if s.front != nil {
		s.front.close()
	}
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
}

// serverLog brings the server's log into ours. What it notices of clients that
// come and go is for whoever looks closely.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(f string, a ...any) { l.log.Debug("link: " + fmt.Sprintf(f, a...)) }
func (l serverLog) Warnf(f string, a ...any)   { l.log.Warn("link: " + fmt.Sprintf(f, a...)) }
func (l serverLog) Fatalf(f string, a ...any)  { l.log.Error("link: " + fmt.Sprintf(f, a...)) }
func (l serverLog) Errorf(f string, a ...any)  { l.log.Warn("link: " + fmt.Sprintf(f, a...)) }
func (l serverLog) Debugf(string, ...any)      {}
func (l serverLog) Tracef(string, ...any)      {}
