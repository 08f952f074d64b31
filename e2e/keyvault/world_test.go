package keyvault

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
	"log/slog"
	"math/big"
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

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/front/arm"
	"github.com/tandemgw/tandem/front/keyvault"
	"github.com/tandemgw/tandem/front/login"
)

const (
	tenantID       = "11111111-1111-4111-8111-111111111111"
	subscriptionID = "22222222-2222-4222-8222-222222222222"
	ownerID        = "33333333-3333-4333-8333-333333333333"
	readerID       = "44444444-4444-4444-8444-444444444444"
	clientSecret   = "canary~sign.in~1234567890"
	canary         = "canary~of-the-vault~0987654321" // looked for in all that is logged

	domain = "vault.lab.example"
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

// world is a deployment on loopback, and a transport that finds it whatever
// host is asked for.
type world struct {
	*testing.T
	vaults   *vault.Set
	client   *http.Client
	root     []byte // certificate of the authority, PEM
	data     string // folder of the database and the key
	loginURL string
	vaultURL string
}

// It is reached on the usual port, by a dialler that knows better, or on the
// one that it has.
func newWorld(t *testing.T, port bool) *world {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	out := &lines{}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w := &world{T: t, data: t.TempDir()}
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(w.data, "control.db"), Log: log})
	must(err)
	t.Cleanup(func() { db.Close() })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	at := ""
	if port {
		at = fmt.Sprintf(":%d", listener.Addr().(*net.TCPAddr).Port)
	}
	w.loginURL, w.vaultURL = "https://login.lab.example"+at, "https://billing."+domain+at
	people, err := directory.Open(t.Context(), directory.Config{Store: db, Tenant: directory.Tenant{ID: tenantID, Name: "lab"}, Log: log, Clients: []directory.Client{
		{ID: ownerID, Name: "onboarding", Secret: clientSecret}, {ID: readerID, Name: "Billing Service", Secret: clientSecret},
	}})
	must(err)
	subs := subscription.New(subscription.Config{
		Store: db, Tenant: subscription.Tenant{ID: tenantID}, Subscriptions: []subscription.Subscription{{ID: subscriptionID}}, Log: log,
		Locations: []subscription.Location{{Name: "westeurope", Management: true}},
	})
	w.vaults, err = vault.Open(t.Context(), vault.Config{Store: db, Keeper: vault.NewKeyFile(filepath.Join(w.data, "vault.key")), Tenant: tenantID, Audit: subs.Audit, Log: log})
	must(err)
	resource := "https://" + domain + at
	tokens := arm.NewTokens(people, login.Issuers(w.loginURL, tenantID), []string{resource}, tenantID)
	secrets := keyvault.Handler(keyvault.Config{Vaults: w.vaults, Tokens: tokens, Tenant: tenantID, URL: resource, LoginURL: w.loginURL, Log: log})
	signIn := login.Handler(login.Config{Directory: people, URL: w.loginURL, Resources: []string{resource}, Log: log})
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if keyvault.Serves(resource, r.Host) {
			secrets.ServeHTTP(rw, r)
			return
		}
		signIn.ServeHTTP(rw, r)
	})
	w.client = w.serve(listener, handler, log)
	t.Cleanup(func() {
		for _, secret := range []string{clientSecret, canary, "eyJ"} { // every token begins so
			if strings.Contains(out.b.String(), secret) {
				t.Errorf("the log shows %q", secret)
			}
		}
		if t.Failed() {
			t.Log(out.b.String())
		}
	})
	_, _, err = w.vaults.Put(t.Context(), subscription.Principal{Object: "test"}, vault.ID{Subscription: subscriptionID, Group: "voice", Name: "billing"}, vault.Vault{
		Location: "westeurope", RetentionDays: 90, Policies: []vault.Policy{
			{Tenant: tenantID, Object: directory.ObjectID(tenantID, ownerID), Secrets: []vault.Permission{vault.All}},
			{Tenant: tenantID, Object: directory.ObjectID(tenantID, readerID), Secrets: []vault.Permission{vault.Get}},
		},
	})
	must(err)
	return w
}

// serve serves HTTPS with a certificate of a private authority, and gives the
// client that trusts it and comes here for every host.
func (w *world) serve(listener net.Listener, h http.Handler, log *slog.Logger) *http.Client {
	w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		DNSNames: []string{"*." + domain, "login.lab.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		w.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		w.Fatal(err)
	}
	w.root = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	server := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}))
	}()
	w.Cleanup(func() {
		server.Close()
		<-done
	})
	roots := x509.NewCertPool()
	roots.AddCert(root)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
		},
	}
	w.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// options are those of any client of Azure.
func (w *world) options() policy.ClientOptions {
	return policy.ClientOptions{Transport: w.client, Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: w.loginURL}, Retry: policy.RetryOptions{MaxRetries: -1}}
}

func (w *world) credential(id string) azcore.TokenCredential {
	w.Helper()
	c, err := azidentity.NewClientSecretCredential(tenantID, id, clientSecret, &azidentity.ClientSecretCredentialOptions{ClientOptions: w.options(), DisableInstanceDiscovery: true})
	if err != nil {
		w.Fatal(err)
	}
	return c
}
