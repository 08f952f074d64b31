package entra_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
)

// FuzzAnswers: whatever a directory or a vault answers, nothing panics, no
// token goes elsewhere, and errors are one line without anything secret.
func FuzzAnswers(f *testing.F) {
	f.Add(200, `{"value":[{"id":"a","displayName":null}],"@odata.nextLink":"https://graph.telecom.example/v1.0/x"}`)
	f.Add(200, `{"value":[],"@odata.nextLink":"//evil.example"}`)
	f.Add(200, `[]`)
	f.Add(404, `{"error":{"code":"Request_ResourceNotFound","message":"a\nb","innerError":{"x":1}}}`)
	f.Add(403, `{"error":"denied"}`)
	f.Add(201, `{"secretText":"s","keyId":1}`)
	f.Add(200, `{"id":"https://v/secrets/","value":"x","attributes":{"exp":-1}}`)
	f.Add(200, `{"properties":{"privateEndpointConnections":[{"id":""}],"vaultUri":"https://a.vault.telecom.example/","accessPolicies":[{"permissions":{"Secrets":["Get"]}}]}}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status == 429 || status/100 == 5 {
			return // it would be asked again, after a while
		}
		asked := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix("."+r.Host, ".telecom.example") {
				t.Errorf("a token goes to %s", r.Host)
			}
			if asked++; asked > 3 {
				status, body = 200, `{"value":[]}`
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
		token := func(context.Context) (obs.Secret, error) { return "canary.e30.x", nil }
		c, err := entra.New(entra.Config{URL: "https://graph.telecom.example", Tenant: "t", Token: token, HTTP: entra.InProcess(h)})
		if err != nil {
			t.Fatal(err)
		}
		v, err := entra.NewVaults(entra.VaultsConfig{Manager: "https://api.telecom.example", Domain: "vault.telecom.example", Tenant: "t", Manage: token, Open: token, HTTP: entra.InProcess(h)})
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		var errs []error
		look := func(err error) { errs, asked = append(errs, err), 0 }
		_, err = c.PrincipalsNamed(ctx, "x")
		look(err)
		_, err = c.Organization(ctx)
		look(err)
		_, err = c.VerifyDomain(ctx, "x.example")
		look(err)
		look(c.Assign(ctx, entra.Assignment{Principal: "p", Resource: "r", Role: "x"}))
		vault, err := v.Vault(ctx, entra.VaultID("s", "g", "n"))
		look(err)
		for _, p := range vault.Policies {
			p.May("secrets")
		}
		_, err = v.Secret(ctx, vault, "client-id")
		look(err)
		for _, err := range errs {
			if err != nil && (strings.ContainsFunc(err.Error(), unicode.IsControl) || strings.Contains(err.Error(), "canary")) {
				t.Errorf("%q", err)
			}
		}
	})
}
