package keyvault_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/keyvault"
)

func TestTheLifeOfAVaultAsAResource(t *testing.T) {
	w := filled(t)
	got := w.resource(reader, "GET", strings.ToUpper(vaults)+"/Billing", "").is("get", http.StatusOK)
	for name, want := range map[string]any{
		"id": vaults + "/billing", "name": "billing", "type": "Microsoft.KeyVault/vaults", "location": "westeurope", "tags.for": "billing",
		"properties.vaultUri": "https://billing.vault.lab.example/", "properties.provisioningState": "Succeeded", "properties.softDeleteRetentionInDays": 90.0,
		"properties.publicNetworkAccess": "Enabled", "properties.networkAcls.defaultAction": "Allow", "systemData.createdBy": owner, "systemData.createdByType": "Application",
	} {
		if got := got.at(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	w.resource(owner, "PUT", vaults+"/billing", vaultBody).is("the same again", http.StatusOK)
	for _, path := range []string{vaults, "/subscriptions/" + sub + "/providers/Microsoft.KeyVault/vaults"} {
		if list := w.resource(reader, "GET", path, "").is(path, http.StatusOK); len(list.at("value").([]any)) != 1 {
			t.Errorf("%s: %s", path, list.Body)
		}
	}
	said := `{"properties":{"accessPolicies":[{"tenantId":"` + tenant + `","objectId":"` + nobody + `","permissions":{"secrets":["Get"]}}]}}`
	w.secret(nobody, "GET", "/secrets/s", "").is("without a policy", http.StatusForbidden, "Forbidden")
	w.resource(owner, "PUT", vaults+"/billing/accessPolicies/add", said).is("add", http.StatusOK)
	w.secret(nobody, "GET", "/secrets/s", "").is("with a policy", http.StatusNotFound, "SecretNotFound")
	w.resource(owner, "PUT", vaults+"/billing/accessPolicies/remove", said).is("remove", http.StatusOK)
	w.secret(nobody, "GET", "/secrets/s", "").is("without it again", http.StatusForbidden, "Forbidden")

	w.resource(owner, "DELETE", vaults+"/billing", "").is("delete", http.StatusOK)
	w.resource(owner, "DELETE", vaults+"/billing", "").is("delete again", http.StatusNoContent)
	w.resource(owner, "GET", vaults+"/billing", "").is("deleted", http.StatusNotFound, "ResourceNotFound")
	w.resource(owner, "PUT", vaults+"/billing", vaultBody).is("one in its place", http.StatusConflict, "Conflict")
	deleted := "/subscriptions/" + sub + "/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/billing"
	w.resource(reader, "GET", deleted, "").is("deleted vault", http.StatusOK)
	w.resource(owner, "PUT", vaults+"/billing", `{"location":"westeurope","properties":{"createMode":"recover"}}`).is("recover", http.StatusOK)
	w.resource(owner, "DELETE", vaults+"/billing", "").is("delete", http.StatusOK)
	w.resource(reader, "POST", deleted+"/purge", "").is("purged by a reader", http.StatusForbidden, "AuthorizationFailed")
	w.resource(owner, "POST", deleted+"/purge", "").is("purge", http.StatusOK)
	free := w.resource(owner, "POST", "/subscriptions/"+sub+"/providers/Microsoft.KeyVault/checkNameAvailability", `{"name":"billing","type":"Microsoft.KeyVault/vaults"}`).is("free", http.StatusOK)
	if free.at("nameAvailable") != true {
		t.Errorf("after it was purged: %s", free.Body)
	}
}

func TestWhatAVaultCannotBe(t *testing.T) {
	w := filled(t)
	for what, properties := range map[string]string{
		"premium": `{"sku":{"name":"premium"}}`, "roles": `{"enableRbacAuthorization":true}`, "no soft delete": `{"enableSoftDelete":false}`, "another tenant": `{"tenantId":"` + foreign + `"}`,
		"a wrong address": `{"networkAcls":{"ipRules":[{"value":"example"}]}}`, "a wrong action": `{"networkAcls":{"defaultAction":"Maybe"}}`, "a wrong access": `{"publicNetworkAccess":"x"}`,
		"other days": `{"softDeleteRetentionInDays":7}`, "an unknown permission": `{"accessPolicies":[{"objectId":"` + owner + `","permissions":{"secrets":["wrap"]}}]}`,
	} {
		w.resource(owner, "PATCH", vaults+"/billing", `{"properties":`+properties+`}`).is(what, http.StatusBadRequest, "BadRequest")
	}
	w.resource(owner, "PUT", vaults+"/other", `{"location":"mars"}`).is("an unknown location", http.StatusBadRequest, "BadRequest")
	w.resource(owner, "PUT", strings.Replace(vaults, "voice", "none", 1)+"/other", `{"location":"westeurope"}`).is("an unknown group", http.StatusNotFound, "ResourceNotFound")
	for _, who := range []string{reader, nobody, foreign + "/" + owner} {
		w.resource(who, "PUT", vaults+"/billing", vaultBody).is("by who may not", http.StatusForbidden, "AuthorizationFailed")
	}
	w.resource("", "GET", vaults+"/billing", "").is("without a token", http.StatusUnauthorized, "AuthenticationFailed")
	w.ask(w.resources, owner, "GET", "https://api.lab.example"+vaults+"/billing", "").is("without a version", http.StatusBadRequest, "MissingApiVersionParameter")
}

func TestPagesOfVaults(t *testing.T) {
	w := filled(t)
	for i := range 30 {
		w.resource(owner, "PUT", fmt.Sprintf("%s/v-%02d", vaults, i), `{"location":"westeurope"}`).is("put", http.StatusCreated)
	}
	seen := 0
	for url := "https://api.lab.example" + vaults + "?api-version=2023-07-01"; url != ""; {
		a := w.ask(w.resources, reader, "GET", url, "").is(url, http.StatusOK)
		seen += len(a.at("value").([]any))
		url, _ = a.json["nextLink"].(string)
	}
	if seen != 31 {
		t.Errorf("%d vaults on all pages", seen)
	}
}

func TestAGroupKnowsItsVaults(t *testing.T) {
	w := filled(t)
	c := keyvault.Contents{Vaults: w.vaults}
	ids, err := c.In(t.Context(), sub, "Voice")
	if err != nil || len(ids) != 1 || !strings.EqualFold(ids[0], vaults+"/billing") {
		t.Fatalf("in the group: %v, %v", ids, err)
	}
	for range 2 { // an operation may run a step again
		if err := c.Remove(t.Context(), owner, ids[0]); err != nil {
			t.Error(err)
		}
	}
	if ids, err := c.In(t.Context(), sub, "voice"); err != nil || len(ids) != 0 {
		t.Errorf("after it was removed: %v, %v", ids, err)
	}
}

func TestTheTrailTellsOfChangesAndOfRefusals(t *testing.T) {
	w := filled(t)
	w.resource(reader, "DELETE", vaults+"/billing", "").is("by who may not", http.StatusForbidden, "AuthorizationFailed")
	w.secret(owner, "PUT", "/secrets/s", `{"value":"`+canary+`"}`).is("set", http.StatusOK)
	trail, err := w.subs.Trail(t.Context(), subscription.Span{Scope: vaults + "/billing", Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range trail {
		got = append(got, fmt.Sprint(strings.TrimPrefix(e.Action, "Microsoft.KeyVault/vaults/"), " ", e.Outcome, " ", e.Request.Principal.Object == owner))
	}
	if want := []string{"write Succeeded true", "delete Denied false", "secrets/setSecret/action Succeeded true"}; !slices.Equal(got, want) {
		t.Errorf("the trail has %q, want %q", got, want)
	}
}
