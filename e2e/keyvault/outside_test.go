package keyvault

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

// TestAVaultOfOursAndOneElsewhereAreReadAlike reads one vault both ways: as a
// program of the deployment, and over the network as a stranger's.
func TestAVaultOfOursAndOneElsewhereAreReadAlike(t *testing.T) {
	w := newWorld(t, false)
	outside := func(secret obs.Secret) *vault.Outside {
		t.Helper()
		o, err := vault.NewOutside(vault.OutsideConfig{URL: w.vaultURL, LoginURL: w.loginURL, Tenant: tenantID, Client: readerID, HTTP: w.client, Secret: func(context.Context) (obs.Secret, error) { return secret, nil }})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	principal := func(id string) subscription.Principal {
		return subscription.Principal{Tenant: tenantID, Object: directory.ObjectID(tenantID, id), App: id}
	}
	readers := map[string]interface {
		Value(context.Context, string) (obs.Secret, error)
	}{"ours": w.vaults.Shelf(principal(readerID), "billing"), "elsewhere": outside(clientSecret)}
	for _, value := range []obs.Secret{canary, canary + "2"} { // rotation: the next read has the new version
		if _, err := w.vaults.PutSecret(t.Context(), vault.Caller{Principal: principal(ownerID)}, vault.Ref{Vault: "billing", Name: "client-secret"}, value, vault.Attributes{}); err != nil {
			t.Fatal(err)
		}
		for where, r := range readers {
			if got, err := r.Value(t.Context(), "client-secret"); err != nil || got != value {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
	for where, r := range readers {
		for name, want := range map[string]fault.Kind{"none": fault.NotFound, "../x": fault.Invalid} {
			if _, err := r.Value(t.Context(), name); fault.Of(err) != want {
				t.Errorf("%s, %s: %v", where, name, err)
			}
		}
	}
	if _, err := outside("wrong").Value(t.Context(), "client-secret"); fault.Of(err) != fault.Denied || strings.Contains(err.Error(), "AADSTS") {
		t.Errorf("with a wrong secret: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := outside(clientSecret).Value(ctx, "client-secret"); fault.Of(err) != fault.Unavailable {
		t.Errorf("a vault that does not answer: %v", err)
	}
}
