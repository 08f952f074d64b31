package azure

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/arm"
	"github.com/tandemgw/tandem/front/login"
	"github.com/tandemgw/tandem/link"
)

const (
	tenantID       = "11111111-1111-4111-8111-111111111111"
	subscriptionID = "22222222-2222-4222-8222-222222222222"
	clientID       = "33333333-3333-4333-8333-333333333333"
	clientSecret   = "canary~do.not.show.me-8Q~1234567890" // looked for in all that is logged
)

// authority is the private authority that all clients trust, as a PEM file.
var authority string

// TestMain makes the authority before anything asks for the trusted roots:
// Go reads SSL_CERT_FILE once.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tandem-azure-")
	if err != nil {
		log.Fatal(err)
	}
	authority = filepath.Join(dir, "ca.pem")
	if err := makeAuthority(); err != nil {
		log.Fatal(err)
	}
	os.Setenv("SSL_CERT_FILE", authority)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var (
	caKey  *ecdsa.PrivateKey
	caCert *x509.Certificate
)

func makeAuthority() (err error) {
	if caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Tandem test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	if caCert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	return os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, caCert, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// edges do what they are told, at once: what is tested here is the API.
type edges struct {
	mu       sync.Mutex
	nodes    []link.EdgeStatus // mu
	revision uint64            // mu
}

func (e *edges) Edges() []link.EdgeStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.nodes)
}

func (e *edges) Ask(context.Context, string, string, any, any) error { return nil }

func (e *edges) Publish(_ context.Context, p gateway.Publication) (uint64, error) {
	return e.order(p.ID.String(), link.Ready, p.Nodes), nil
}

func (e *edges) Withdraw(_ context.Context, _ gateway.ID, nodes []string) error {
	e.order("", link.Waiting, nodes)
	return nil
}

func (e *edges) order(id, state string, nodes []string) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revision++
	for i := range e.nodes {
		if n := &e.nodes[i]; slices.Contains(nodes, n.Node) {
			n.Gateway, n.Revision, n.State = id, e.revision, state
		}
	}
	return e.revision
}

// lines is a log that is searched for what must not be in it.
type lines struct {
	mu sync.Mutex
	b  strings.Builder // mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve starts a control plane on HTTPS and gives its URL. When the test ends,
// what was logged is searched for secrets and tokens.
func serve(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("https://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	out := &lines{}
	logger := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := &http.Server{Handler: plane(t, url, logger), ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"http/1.1"}}))
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
		logged := out.String()
		for _, canary := range []string{clientSecret, "eyJ"} { // every token begins so
			if strings.Contains(logged, canary) {
				t.Errorf("the log shows %q", canary)
			}
		}
		if t.Failed() {
			t.Log(logged)
		}
	})
	return url
}

// plane is a control plane whose edges are always there.
func plane(t *testing.T, url string, log *slog.Logger) http.Handler {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "control.db"), Log: log})
	must(err)
	t.Cleanup(func() { db.Close() })
	net := &edges{}
	places := []subscription.Location{{Name: "westeurope", DisplayName: "West Europe", Management: true, Service: true}, {Name: "northeurope", DisplayName: "North Europe", Service: true}}
	for i := range places {
		for n := range 2 {
			node := fmt.Sprintf("%s-%d", places[i].Name, n)
			places[i].Edges = append(places[i].Edges, node)
			net.nodes = append(net.nodes, link.EdgeStatus{Node: node, Region: places[i].Name, State: link.Waiting, Live: true, Seen: time.Now()})
		}
	}
	roots, err := directory.Open(t.Context(), directory.Config{
		Store: db, Tenant: directory.Tenant{ID: tenantID, Name: "lab.telecom.example"}, Log: log,
		Clients: []directory.Client{{ID: clientID, Name: "onboarding", Secret: obs.Secret(clientSecret)}},
	})
	must(err)
	subs := subscription.New(subscription.Config{
		Store: db, Tenant: subscription.Tenant{ID: tenantID, Name: "Lab Telecom"}, Subscriptions: []subscription.Subscription{{ID: subscriptionID, Name: "lab"}},
		Locations: places, Log: log,
		Assignments: []subscription.Assignment{{Scope: "/subscriptions/" + subscriptionID, Principal: clientID, Role: subscription.Owner}},
	})
	ops, err := operation.New(operation.Config{Store: db, Log: log})
	must(err)
	gateways, err := gateway.New(gateway.Config{
		Store: db, Operations: ops, Log: log, Locations: subs.Locations, Suffix: "gw.example", Tenant: tenantID,
		Edges: net, Publish: net, Place: arm.Place(subs), Audit: arm.Audit(subs),
	})
	must(err)
	subs.Register(ops, arm.Contents{Gateways: gateways})
	must(ops.Start(t.Context()))
	t.Cleanup(func() { ops.Close() })
	audiences := append([]string{url + "/"}, arm.AzureAudiences...)
	api := arm.Handler(arm.Config{
		Gateways: gateways, Operations: ops, Subscriptions: subs, URL: url, Audiences: audiences, Log: log,
		Tokens: arm.NewTokens(roots, login.Issuers(url, tenantID), audiences, tenantID),
	})
	signIn := login.Handler(login.Config{Directory: roots, URL: url, Resources: audiences, Log: log})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/")
		if slices.Contains([]string{"subscriptions", "providers", "tenants", "metadata"}, strings.ToLower(first)) {
			api.ServeHTTP(w, r)
			return
		}
		signIn.ServeHTTP(w, r)
	})
}
