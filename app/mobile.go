package app

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
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

// consulting is the client by which Microsoft is asked about subscribers.
func (n *Node) consulting(t snapshot.TLS) (*http.Client, error) {
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return n.certificate(cmp.Or(t.Certificate, n.cloudCertificate()))
		},
	}
	switch {
	case t.Roots != "":
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(t.Roots)) {
			return nil, errors.New("services.mobile.tls.roots has no certificate")
		}
	case len(n.running.Load().trusted[sipRoots]) > 0:
		conf.RootCAs = x509.NewCertPool()
		for _, c := range n.running.Load().trusted[sipRoots] {
			conf.RootCAs.AddCert(c)
		}
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: conf, MaxIdleConnsPerHost: 32, IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true},
		// Who is asked was configured; nobody else is told who calls whom.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// cloudCertificate is the name of the certificate that the cloud side shows.
func (n *Node) cloudCertificate() string {
	i := slices.IndexFunc(n.cfg.SIP.Listeners, func(l ListenerConfig) bool { return l.Side == snapshot.Cloud })
	if i < 0 {
		return ""
	}
	return ofListener(n.cfg.SIP.Listeners[i].Name)
}
