package ops

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/operatorconnect"
)

// seen is a transport that writes down where requests go, and with which token.
type seen struct {
	t    *testing.T
	all  []string
	fail bool
}

func (s *seen) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.fail {
		return nil, io.ErrUnexpectedEOF
	}
	s.all = append(s.all, r.Method+" "+r.URL.String()+" "+r.Host+" "+r.Header.Get("Authorization"))
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"value":[]}`)), Request: r}, nil
}

func theTenant(t *testing.T, to *seen) Config {
	t.Helper()
	token := func(s obs.Secret) entra.Token {
		return func(context.Context) (obs.Secret, error) { return s, nil }
	}
	d, err := entra.New(entra.Config{URL: "https://graph.telecom.example:8443", Tenant: "t-1", Token: token("graph-token"), HTTP: to})
	if err != nil {
		t.Fatal(err)
	}
	v, err := entra.NewVaults(entra.VaultsConfig{Manager: "https://api.telecom.example", Domain: "vault.telecom.example", Tenant: "t-1", Manage: token("manage-token"), Open: token("vault-token"), HTTP: to})
	if err != nil {
		t.Fatal(err)
	}
	oc, err := operatorconnect.New(operatorconnect.Config{
		URL: "https://oc.example:1", HTTP: to, Suffixes: []string{"gw.telecom.example"},
		Token: func(_ context.Context, anew bool) (obs.Secret, error) {
			if !anew {
				t.Error("an old token is used")
			}
			return "oc-token", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Log: slog.New(slog.DiscardHandler), Tenant: func() (Tenant, error) { return Tenant{d, v}, nil },
		Connect: func(_ context.Context, gateway string) (*operatorconnect.Client, error) {
			if gateway != "" && gateway != "lab" {
				return nil, fault.New(fault.NotFound, "there is no gateway "+gateway)
			}
			return oc, nil
		},
	}
}

// TestATokenOfTheNodeGoesWhereItBelongs: to the directory, to vaults, and to
// Operator Connect, each its own, and nowhere else.
func TestATokenOfTheNodeGoesWhereItBelongs(t *testing.T) {
	to := &seen{t: t}
	h := Handler(theTenant(t, to))
	for path, want := range map[string]string{
		"/tenant/graph.telecom.example:8443/v1.0/users?$top=1":               "https://graph.telecom.example:8443/v1.0/users?$top=1 graph.telecom.example:8443 Bearer graph-token",
		"/tenant/billing.vault.telecom.example/secrets/a%2Fb/?api-version=7": "https://billing.vault.telecom.example/secrets/a%2Fb/?api-version=7 billing.vault.telecom.example Bearer vault-token",
		"/operatorconnect/lab/api/v1/operator/trunks":                        "https://oc.example:1/api/v1/operator/trunks oc.example:1 Bearer oc-token",
		"/operatorconnect/-/api":                                             "https://oc.example:1/api oc.example:1 Bearer oc-token",
		"/operatorconnect/other/api":                                         "",
		"/tenant/graph.telecom.example/v1.0/users":                           "", // another port
		"/tenant/graph.telecom.example:8443.evil.example/x":                  "",
		"/tenant/evil.example/x":                                             "",
		"/tenant/vault.telecom.example/x":                                    "",
		"/tenant/evilvault.telecom.example/x":                                "",
		"/tenant/x.vault.telecom.example.evil.example/x":                     "",
		"/tenant/evil.example%2F.vault.telecom.example/x":                    "",
		"/tenant/evil.example%23.vault.telecom.example/x":                    "",
		"/tenant/a@evil.example:1%3F.vault.telecom.example/x":                "",
		"/tenant/api.telecom.example/subscriptions":                          "", // vaults are made by onboarding
	} {
		to.all = nil
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer of-the-node")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch got := strings.TrimPrefix(strings.Join(to.all, "\n"), "GET "); {
		case got != want:
			t.Errorf("%s goes to %q, want %q", path, got, want)
		case want == "" && w.Code != http.StatusNotFound:
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	to.fail = true
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/tenant/graph.telecom.example:8443/v1.0/users", nil))
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "token") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestAClientAsksTheTenantByTheNode as if it were there.
func TestAClientAsksTheTenantByTheNode(t *testing.T) {
	to := &seen{t: t}
	socket := t.TempDir() + "/s"
	srv, err := Listen(socket, Handler(theTenant(t, to)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	c := Dial(socket)
	tenant, err := c.Tenant(t.Context())
	if err != nil || tenant.Directory.Tenant != "t-1" {
		t.Fatalf("%+v, %v", tenant, err)
	}
	if _, err := tenant.Directory.PrincipalsNamed(t.Context(), "O'Neill & Söhne/x"); err != nil {
		t.Error(err)
	}
	v, err := tenant.Vaults.At("billing")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tenant.Vaults.Secrets(t.Context(), v); err != nil {
		t.Error(err)
	}
	oc, err := c.OperatorConnect(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oc.Trunks(t.Context()); err != nil || oc.WarnTrunk(operatorconnect.Trunk{FQDN: "a.gw.telecom.example"}) == "" {
		t.Error(err)
	}
	if _, err := c.OperatorConnect(t.Context(), "other"); fault.Of(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
	want := []string{
		"GET https://graph.telecom.example:8443/v1.0/servicePrincipals?%24filter=displayName+eq+%27O%27%27Neill+%26+S%C3%B6hne%2Fx%27 graph.telecom.example:8443 Bearer graph-token",
		"GET https://billing.vault.telecom.example/secrets?api-version=7.4 billing.vault.telecom.example Bearer vault-token",
		"GET https://oc.example:1/api/v1/operator/trunks?top=1000 oc.example:1 Bearer oc-token",
	}
	if strings.Join(to.all, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked\n%s", strings.Join(to.all, "\n"))
	}
}
