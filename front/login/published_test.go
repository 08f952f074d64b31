package login_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/front/login"
)

// TestKeysArePublishedWhereNobodySignsIn: a directory elsewhere verifies the
// assertion of a gateway by them (Microsoft Entra docs, "Workload identity
// federation"), and there is no other way in.
func TestKeysArePublishedWhereNobodySignsIn(t *testing.T) {
	d := open(t)
	server := httptest.NewUnstartedServer(nil)
	at := "http://" + server.Listener.Addr().String()
	server.Config.Handler = login.Published(login.Config{Directory: d.directory, URL: at})
	server.Start()
	defer server.Close()
	issuer := login.Issuers(at, tenant)[0]
	token, err := d.directory.IssueFor(t.Context(), directory.ObjectID(tenant, directory.OnboardingID), issuer, directory.FederatedAudience)
	if err != nil {
		t.Fatal(err)
	}
	there, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := there.Verifier(&oidc.Config{ClientID: directory.FederatedAudience}).Verify(t.Context(), string(token.Raw)); err != nil || got.Subject != directory.ObjectID(tenant, directory.OnboardingID) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, path := range []string{"/oauth2/v2.0/token", "/oauth2/v2.0/authorize", "/oauth2/v2.0/devicecode", "/signin", "/adminconsent", "/password", "/openid/userinfo", ""} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r, err := http.NewRequestWithContext(t.Context(), method, at+"/"+tenant+path, strings.NewReader("grant_type=client_credentials"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %s", method, path, resp.Status)
			}
		}
	}
	server.Client().CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
}
