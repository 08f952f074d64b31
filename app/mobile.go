package app

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/edge/mcp"
	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

// openMobile makes the Mobile Control Point. It is there always, since a
// gateway's may be turned on while the node runs.
func (n *Node) openMobile() {
	n.mcp = mcp.New(mcp.Config{
		Region: n.cfg.Node.Region, Peers: n.peers, Client: n.consulting, Log: n.log,
		Snapshot: func() *snapshot.Snapshot { return n.running.Load().snapshot },
	})
	n.onStop(n.mcp.Close)
}

// toMobile hands a request to the Mobile Control Point, unless the node is
// about to end: 503 sends the core to the next one.
func (n *Node) toMobile(tx *sip.ServerTx) {
	if !n.draining.Load() {
		n.mcp.Handle(tx)
		return
	}
	if req := tx.Request(); req != nil && req.Method != "OPTIONS" {
		if err := tx.Respond(sip.NewResponse(req, 503, "")); err != nil {
			n.log.Debug("send the mobile core elsewhere", obs.KeyError, err)
		}
	}
}

// consulting is the client by which Microsoft is asked about subscribers. What
// it may take of this process is bounded: a server that hangs in a handshake
// outlives the question that began it.
func (n *Node) consulting(t snapshot.TLS) (*http.Client, error) {
	conf := &tls.Config{
		MinVersion: max(tlsVersions[t.Min], tls.VersionTLS12), MaxVersion: tlsVersions[t.Max],
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return n.certificate(cmp.Or(t.Certificate, n.cloudCertificate()))
		},
	}
	for _, name := range t.Suites {
		if id, ok := sip.ParseSuite(name); ok {
			conf.CipherSuites = append(conf.CipherSuites, id)
		}
	}
	conf.RootCAs = n.running.Load().settings().Roots
	if t.Roots != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(t.Roots)) {
			return nil, errors.New("services.mobile.tls.roots has no certificate")
		}
	}
	const slow = 2 * time.Second
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: conf, DialContext: (&net.Dialer{Timeout: slow}).DialContext, TLSHandshakeTimeout: slow, ResponseHeaderTimeout: 10 * time.Second,
			MaxResponseHeaderBytes: 16 << 10, MaxConnsPerHost: 64, MaxIdleConnsPerHost: 32, IdleConnTimeout: 90 * time.Second,
			ForceAttemptHTTP2: true, HTTP2: &http.HTTP2Config{SendPingTimeout: slow, PingTimeout: slow},
		},
		// Who is asked was configured; nobody else is told who calls whom.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// cloudCertificate is the name of the certificate that the cloud side shows.
func (n *Node) cloudCertificate() string {
	i := slices.IndexFunc(n.cfg.SIP.Listeners, func(l ListenerConfig) bool { return l.Side == snapshot.Cloud })
	if i < 0 {
		return ""
	}
	return ofListener(n.cfg.SIP.Listeners[i].Name)
}
