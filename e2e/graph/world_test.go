package graph

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/microsoft/kiota-abstractions-go/serialization"
	azure "github.com/microsoft/kiota-authentication-azure-go"
	json "github.com/microsoft/kiota-serialization-json-go"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/front/graph"
	"github.com/tandemgw/tandem/front/login"
	"github.com/tandemgw/tandem/sandbox/authority"
)

const (
	tenantID     = "11111111-1111-4111-8111-111111111111"
	onboardingID = "33333333-3333-4333-8333-333333333333"
	clientSecret = "canary~sign.in~1234567890"
)

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

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is a deployment's directory on loopback, and a client that finds it.
type world struct {
	*testing.T
	url       string
	directory *directory.Set
	ours      directory.Caller
	client    *http.Client
	root      []byte // certificate of the authority, PEM
	log       *lines
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, ours: directory.Ourselves(tenantID, "test"), log: &lines{}}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "control.db"), Log: log})
	w.must(err)
	t.Cleanup(func() { db.Close() })
	ca, err := authority.New("Tandem test")
	w.must(err)
	w.root = ca.RootPEM()
	certificate, err := ca.Issue(authority.Terms{}, "localhost")
	w.must(err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*certificate}})
	w.must(err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	w.must(err)
	w.url = "https://localhost:" + port
	w.directory, err = directory.Open(t.Context(), directory.Config{
		Store: db, Tenant: directory.Tenant{ID: tenantID, Name: "Lab", Domain: "lab.example"}, Graph: []string{w.url}, Log: log, Resolver: nothing{},
		Clients: []directory.Client{{ID: onboardingID, Name: "onboarding", Secret: clientSecret}},
	})
	w.must(err)
	w.must(w.directory.AssignDirectoryRole(t.Context(), w.ours, directory.GlobalAdministrator, directory.ObjectID(tenantID, onboardingID)))
	signIn := login.Handler(login.Config{Directory: w.directory, URL: w.url, Log: log})
	api := graph.Handler(graph.Config{Directory: w.directory, URL: w.url, LoginURL: w.url, Issuers: login.Issuers(w.url, tenantID), Log: log})
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1.0/") {
			api.ServeHTTP(rw, r)
			return
		}
		signIn.ServeHTTP(rw, r)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Roots()}}
	w.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		<-done
		for _, secret := range []string{clientSecret, "eyJ"} { // every token begins so
			if strings.Contains(w.log.text(), secret) {
				t.Errorf("the log shows %q", secret)
			}
		}
		if t.Failed() {
			t.Log(w.log.text())
		}
	})
	return w
}

// nothing is a DNS without records.
type nothing struct{}

func (nothing) LookupTXT(_ context.Context, name string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (nothing) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// credential signs an application in, with the library that everybody uses.
func (w *world) credential(client, secret string) azcore.TokenCredential {
	w.Helper()
	c, err := azidentity.NewClientSecretCredential(tenantID, client, secret, &azidentity.ClientSecretCredentialOptions{
		DisableInstanceDiscovery: true, // it would ask Microsoft whether we exist
		ClientOptions:            policy.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: w.url}, Transport: w.client},
	})
	w.must(err)
	return c
}

// adapter is what the request builders of Graph's library send by.
func (w *world) adapter(c azcore.TokenCredential) *core.GraphRequestAdapterBase {
	w.Helper()
	host := strings.TrimPrefix(w.url, "https://")
	auth, err := azure.NewAzureIdentityAuthenticationProviderWithScopesAndValidHosts(c, []string{w.url + "/.default"}, []string{"localhost", host})
	w.must(err)
	parsers := serialization.NewParseNodeFactoryRegistry()
	reader := json.NewJsonParseNodeFactory()
	parsers.ContentTypeAssociatedFactories["application/json"] = reader
	writers := serialization.NewSerializationWriterFactoryRegistry()
	writers.ContentTypeAssociatedFactories["application/json"] = json.NewJsonSerializationWriterFactory()
	a, err := core.NewGraphRequestAdapterBaseWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(auth, core.GraphClientOptions{GraphServiceLibraryVersion: "1.89.0"}, parsers, writers, w.client)
	w.must(err)
	a.SetBaseUrl(w.url + "/v1.0")
	return a
}

// base is what the builders of Graph's own client start from. (The other way
// to make one, by URL, leaves queries out.)
func (w *world) base() map[string]string { return map[string]string{"baseurl": w.url + "/v1.0"} }
