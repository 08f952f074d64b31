// Package acmetest runs an ACME authority in a test's process: pebble, which
// Let's Encrypt keeps for the tests of clients. It looks for tokens by a
// resolver that the test names, as a real one does.
package acmetest

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// Long is how long public authorities' certificates hold, in seconds.
const Long = 90 * 24 * 3600

// Authority is one. Its directory is at URL + "/dir"; Client trusts its server.
type Authority struct {
	*httptest.Server
	Trusted *x509.CertPool                                                // roots of what it signs
	Orders  atomic.Int32                                                  // that it was asked for
	Instead atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // answers in its place, or says false
}

// Start starts one that signs for life seconds. It ends with the test, but for
// one goroutine, va.VAImpl.processTasks, which pebble never ends.
func Start(t testing.TB, resolver netip.AddrPort, life uint64) *Authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	silent := log.New(io.Discard, "", 0)
	memory := db.NewMemoryStore()
	authority := ca.New(silent, memory, "", "ecdsa", 1, 1, map[string]ca.Profile{"default": {Description: "x", ValidityPeriod: life}})
	validation := va.New(silent, 1, 1, false, resolver.String(), memory)
	front := wfe.New(silent, memory, validation, authority, []string{"pebble"}, false, false, 1, 1)
	a := &Authority{Trusted: x509.NewCertPool()}
	handler := front.Handler()
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "order-plz") {
			a.Orders.Add(1)
		}
		if f := a.Instead.Load(); f != nil && (*f)(w, r) {
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		a.Client().CloseIdleConnections()
		a.Close()
	})
	for i := range authority.GetNumberOfRootCerts() {
		block, _ := pem.Decode(authority.GetRootCert(i).PEM())
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		a.Trusted.AddCert(root)
	}
	return a
}
