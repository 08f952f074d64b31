package keyvault_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/keyvault"
)

// Azure Key Vault docs, "Authentication, requests and responses": the first
// request comes without a token, and is told where to get one.
func TestTheChallenge(t *testing.T) {
	w := filled(t)
	a := w.secret("", "PUT", "/secrets/s", "").is("without a token", http.StatusUnauthorized, "Unauthorized")
	want := `Bearer authorization="https://login.lab.example/` + tenant + `", resource="https://vault.lab.example"`
	if got := a.Header().Get("WWW-Authenticate"); got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
	a = w.secret("wrong", "GET", "/secrets/s", "").is("a wrong token", http.StatusUnauthorized, "Unauthorized")
	if got := a.Header().Get("WWW-Authenticate"); got != want+`, error="invalid_token"` {
		t.Errorf("challenge %s", got)
	}
	// Whoever has no token does not learn which vaults there are.
	unknown := w.ask(w.data, "", "GET", "https://other."+domain+"/secrets/s?api-version=7.4", "")
	if unknown.Code != http.StatusUnauthorized || unknown.Body.String() != w.secret("", "GET", "/secrets/s", "").Body.String() {
		t.Errorf("an unknown vault: %d %s", unknown.Code, unknown.Body)
	}
}

func TestShapesOfSecrets(t *testing.T) {
	w := filled(t)
	set := w.secret(owner, "PUT", "/secrets/Client-Secret", `{"value":"`+canary+`","contentType":"text","tags":{"a":"b"},"attributes":{"enabled":true,"nbf":1,"exp":1900000000}}`).is("set", http.StatusOK)
	id, _ := set.at("id").(string)
	if !regexp.MustCompile(`^https://billing\.vault\.lab\.example/secrets/Client-Secret/[0-9a-f]{32}$`).MatchString(id) {
		t.Errorf("id %s", id)
	}
	version := id[len(id)-32:]
	for name, want := range map[string]any{
		"value": canary, "contentType": "text", "tags.a": "b", "attributes.enabled": true, "attributes.nbf": 1.0, "attributes.exp": 1900000000.0,
		"attributes.recoveryLevel": "Recoverable+Purgeable", "attributes.recoverableDays": 90.0,
	} {
		if got := set.at(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, path := range []string{
		"/secrets/Client-Secret", "/secrets/client-secret/", "/secrets/client-secret/" + version, "/secrets/client-secret/" + strings.ToUpper(version), "/Secrets/client-secret",
		"/secrets/client-secret?api%2Dversion=2025-07-01", "/secrets/client-secret?API-Version=2099-01-01-preview", "/secrets/client%2Dsecret",
	} {
		if got := w.secret(owner, "GET", path, "").is(path, http.StatusOK); got.at("value") != canary || got.at("id") != id {
			t.Errorf("%s: %s", path, got.Body)
		}
	}
	updated := w.secret(owner, "PATCH", "/secrets/client-secret/"+version, `{"attributes":{"enabled":false},"tags":{}}`).is("update", http.StatusOK)
	if updated.at("value") != nil || updated.at("attributes.enabled") != false || updated.at("tags") != nil || updated.at("contentType") != "text" {
		t.Errorf("updated: %s", updated.Body)
	}
	w.secret(owner, "GET", "/secrets/client-secret", "").is("disabled", http.StatusForbidden, "Forbidden", "SecretDisabled")
	list := w.secret(owner, "GET", "/secrets", "").is("list", http.StatusOK)
	item := list.at("value").([]any)[0].(map[string]any)
	if item["id"] != "https://billing.vault.lab.example/secrets/Client-Secret" || item["value"] != nil || list.json["nextLink"] != nil {
		t.Errorf("list: %s", list.Body)
	}
	versions := w.secret(owner, "GET", "/secrets/client-secret/versions", "").is("versions", http.StatusOK)
	if versions.at("value").([]any)[0].(map[string]any)["id"] != id {
		t.Errorf("versions: %s", versions.Body)
	}
	gone := w.secret(owner, "DELETE", "/secrets/client-secret", "").is("delete", http.StatusOK)
	if gone.at("recoveryId") != "https://billing.vault.lab.example/deletedsecrets/Client-Secret" || gone.at("deletedDate") == nil || gone.at("scheduledPurgeDate") == nil || gone.at("value") != nil {
		t.Errorf("deleted: %s", gone.Body)
	}
	w.secret(owner, "PUT", "/secrets/client-secret", `{"value":"x"}`).is("set again", http.StatusConflict, "Conflict", "ObjectIsDeletedButRecoverable")
	w.secret(owner, "GET", "/secrets/client-secret", "").is("get", http.StatusNotFound, "SecretNotFound")
	w.secret(owner, "GET", "/deletedsecrets/client-secret", "").is("get deleted", http.StatusOK)
	w.secret(owner, "POST", "/deletedsecrets/client-secret/recover", "").is("recover", http.StatusOK)
	w.secret(owner, "DELETE", "/secrets/client-secret", "").is("delete", http.StatusOK)
	if a := w.secret(owner, "DELETE", "/deletedsecrets/client-secret", "").is("purge", http.StatusNoContent); a.Body.Len() != 0 {
		t.Errorf("purge: %s", a.Body)
	}
	w.secret(owner, "GET", "/deletedsecrets/client-secret", "").is("purged", http.StatusNotFound, "SecretNotFound")
}

func TestPages(t *testing.T) {
	w := filled(t)
	for i := range 7 {
		w.secret(owner, "PUT", fmt.Sprint("/secrets/s-", i), `{"value":"x"}`).is("set", http.StatusOK)
	}
	seen, path := map[any]bool{}, "/secrets?api-version=7.4&maxresults=3"
	for pages := 0; path != ""; pages++ {
		if pages > 5 {
			t.Fatal("the pages do not end")
		}
		a := w.secret(owner, "GET", path, "").is(path, http.StatusOK)
		for _, v := range a.at("value").([]any) {
			seen[v.(map[string]any)["id"]] = true
		}
		next, _ := a.json["nextLink"].(string)
		path = strings.TrimPrefix(next, "https://billing."+domain)
	}
	if len(seen) != 7 {
		t.Errorf("%d secrets on all pages", len(seen))
	}
	for _, bad := range []string{"maxresults=0", "maxresults=26", "maxresults=x", "$skiptoken=%21", "$skiptoken=AA"} {
		w.secret(owner, "GET", "/secrets?api-version=7.4&"+bad, "").is(bad, http.StatusBadRequest, "BadParameter")
	}
	w.secret(owner, "GET", "/secrets/s-1/versions?api-version=7.4&$skiptoken=eA", "").is("a mark of another list", http.StatusBadRequest, "BadParameter")
}

func TestWhatIsRefused(t *testing.T) {
	w := filled(t)
	w.secret(owner, "PUT", "/secrets/s", `{"value":"`+canary+`"}`).is("set", http.StatusOK)
	long := strings.Repeat("x", 25<<10+1)
	for _, c := range []struct {
		what, who, method, path, body string
		status                        int
		codes                         []string
	}{
		{"no api-version", owner, "GET", "/secrets/s?x=y", "", 400, []string{"BadParameter"}},
		{"two api-versions", owner, "GET", "/secrets/s?api-version=1&api%2Dversion=2", "", 400, []string{"BadParameter"}},
		{"no value", owner, "PUT", "/secrets/s", `{}`, 400, []string{"BadParameter"}},
		{"a value of the wrong type", owner, "PUT", "/secrets/s", `{"value":{"a":"` + canary + `"}}`, 400, []string{"BadParameter"}},
		{"a number for a value", owner, "PUT", "/secrets/s", `{"value":4711}`, 400, []string{"BadParameter"}},
		{"no JSON", owner, "PUT", "/secrets/s", `value=` + canary, 400, []string{"BadParameter"}},
		{"no UTF-8", owner, "PUT", "/secrets/s", "{\"value\":\"\xff\"}", 400, []string{"BadParameter"}},
		{"a time before 1970", owner, "PUT", "/secrets/s", `{"value":"x","attributes":{"exp":-1}}`, 400, []string{"BadParameter"}},
		{"a value that is too long", owner, "PUT", "/secrets/s", `{"value":"` + long + `"}`, 400, []string{"BadParameter"}},
		{"a body that is too long", owner, "PUT", "/secrets/s", `{"value":"` + strings.Repeat(long, 30) + `"}`, 413, []string{"RequestEntityTooLarge"}},
		{"a secret in a tag's place", owner, "PUT", "/secrets/s", `{"value":"x","tags":{"t":"` + strings.Repeat(canary, 20) + `"}}`, 400, []string{"BadParameter"}},
		{"a name with an underscore", owner, "PUT", "/secrets/a_b", `{"value":"x"}`, 400, []string{"BadParameter"}},
		{"a name of 128", owner, "GET", "/secrets/" + strings.Repeat("a", 128), "", 400, []string{"BadParameter"}},
		{"a version that is none", owner, "GET", "/secrets/s/latest", "", 400, []string{"BadParameter"}},
		{"an unknown version", owner, "GET", "/secrets/s/" + strings.Repeat("0", 32), "", 404, []string{"SecretNotFound"}},
		{"an unknown secret", owner, "GET", "/secrets/t", "", 404, []string{"SecretNotFound"}},
		{"keys", owner, "GET", "/keys", "", 404, []string{"NotFound"}},
		{"another method", owner, "POST", "/secrets/s", "", 405, []string{"MethodNotAllowed"}},
		{"list by a reader", reader, "GET", "/secrets", "", 403, []string{"Forbidden", "ForbiddenByPolicy"}},
		{"set by a reader", reader, "PUT", "/secrets/s", `{"value":"x"}`, 403, []string{"Forbidden", "ForbiddenByPolicy"}},
		{"get by nobody", nobody, "GET", "/secrets/s", "", 403, []string{"Forbidden", "ForbiddenByPolicy"}},
		{"get by another tenant", foreign + "/" + owner, "GET", "/secrets/s", "", 401, []string{"Unauthorized"}},
		{"a backup of nothing", owner, "POST", "/secrets/t/backup", "", 404, []string{"SecretNotFound"}},
		{"a restore of nothing", owner, "POST", "/secrets/restore", `{"value":"AAAA"}`, 400, []string{"BadParameter"}},
		{"a restore of no base64", owner, "POST", "/secrets/restore", `{"value":"` + canary + `!"}`, 400, []string{"BadParameter"}},
	} {
		w.secret(c.who, c.method, c.path, c.body).is(c.what, c.status, c.codes...)
	}
	w.ask(w.data, owner, "GET", "https://other."+domain+"/secrets/s?api-version=7.4", "").is("an unknown vault", 404, "VaultNotFound")
	for _, host := range []string{domain, "a.b." + domain, "billing.vault.lab.example.evil.example", "127.0.0.1"} {
		w.ask(w.data, owner, "GET", "https://"+host+"/secrets/s?api-version=7.4", "").is(host, 404, "VaultNotFound")
	}
}

// A name is one part of a path, however it is encoded.
func TestNoNameLeadsElsewhere(t *testing.T) {
	w := filled(t)
	w.secret(owner, "PUT", "/secrets/s", `{"value":"`+canary+`"}`).is("set", http.StatusOK)
	for _, path := range []string{
		"/secrets/..%2Fsecrets%2Fs", "/secrets/x/..%2F..%2Fs", "/secrets/%2e%2e/s", "/deletedsecrets/../secrets/s", "/secrets/s%00", "/secrets//s", "/secrets/s/../s",
		"/secrets/s%2F", "/secrets/%252e%252e", "/secrets/s;x", "/secrets/..%5Cs", "//secrets/s", "/secrets/s%FF", "/secrets/s/%20",
	} {
		for _, who := range []string{owner, nobody} {
			if a := w.secret(who, "GET", path, ""); a.Code == http.StatusOK || strings.Contains(a.Body.String(), canary) {
				t.Errorf("%s: %d %s", path, a.Code, a.Body)
			}
		}
	}
}

// Whoever may nothing is told the same of what is there and of what is not.
func TestARefusalTellsNothingOfWhatIsThere(t *testing.T) {
	w := filled(t)
	w.secret(owner, "PUT", "/secrets/here", `{"value":"`+canary+`"}`).is("set", http.StatusOK)
	for _, method := range []string{"GET", "DELETE", "PATCH"} {
		here, gone := w.secret(nobody, method, "/secrets/here", `{}`), w.secret(nobody, method, "/secrets/none", `{}`)
		if here.Code != http.StatusForbidden || here.Body.String() != gone.Body.String() {
			t.Errorf("%s: %s, and of what is not there %s", method, here.Body, gone.Body)
		}
	}
}

func TestThrottling(t *testing.T) {
	w := newWorld(t, keyvault.Rate{Burst: 2, PerSecond: 0.01})
	w.resource(owner, "PUT", vaults+"/billing", vaultBody).is("a vault is made", http.StatusCreated)
	for range 2 {
		w.secret(reader, "GET", "/secrets/s", "").is("within the bucket", http.StatusNotFound, "SecretNotFound")
	}
	a := w.secret(reader, "GET", "/secrets/s", "").is("too much", http.StatusTooManyRequests, "Throttled")
	if a.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.secret(owner, "GET", "/secrets/s", "").is("somebody else's bucket", http.StatusNotFound, "SecretNotFound")
}

func TestNetworkRulesAndPrivateEndpoints(t *testing.T) {
	w := filled(t)
	w.secret(owner, "PUT", "/secrets/s", `{"value":"`+canary+`"}`).is("set", http.StatusOK)
	get := func() answer { return w.secret(reader, "GET", "/secrets/s", "") }
	patch := func(properties string) {
		w.resource(owner, "PATCH", vaults+"/billing", `{"properties":`+properties+`}`).is("patch", http.StatusOK)
	}
	patch(`{"networkAcls":{"defaultAction":"Deny","ipRules":[{"value":"203.0.113.0/24"}]}}`)
	get().is("from elsewhere", http.StatusForbidden, "Forbidden", "ForbiddenByFirewall")
	w.from = "203.0.113.9:5"
	get().is("from where it is allowed", http.StatusOK)
	patch(`{"publicNetworkAccess":"Disabled"}`)
	get().is("private", http.StatusForbidden, "Forbidden", "ForbiddenByConnection")

	at := vaults + "/billing/privateEndpointConnections/onboarding"
	link := func(status string) string {
		return `{"properties":{"privateEndpoint":{"id":"/far/pe"},"sourceAddressPrefixes":["203.0.113.9"],"privateLinkServiceConnectionState":{"status":"` + status + `","description":"A11"}}}`
	}
	w.resource(nobody, "PUT", at, link("Approved")).is("by nobody", http.StatusForbidden, "AuthorizationFailed")
	asked := w.resource(owner, "PUT", at, link("Approved")).is("requested", http.StatusCreated)
	if got := asked.at("properties.privateLinkServiceConnectionState.status"); got != "Pending" {
		t.Errorf("a request is %v", got)
	}
	get().is("requested", http.StatusForbidden, "Forbidden", "ForbiddenByConnection")
	w.resource(reader, "PUT", at, link("Approved")).is("approved by a reader", http.StatusForbidden, "AuthorizationFailed")
	w.resource(owner, "PUT", at, link("Approved")).is("approved", http.StatusOK)
	get().is("approved", http.StatusOK)
	w.resource(owner, "PUT", at, link("Rejected")).is("rejected", http.StatusOK)
	get().is("rejected", http.StatusForbidden, "Forbidden", "ForbiddenByConnection")
	if list := w.resource(reader, "GET", vaults+"/billing/privateEndpointConnections", "").is("list", http.StatusOK); len(list.at("value").([]any)) != 1 {
		t.Errorf("connections: %s", list.Body)
	}
	w.resource(owner, "DELETE", at, "").is("removed", http.StatusOK)
	w.resource(owner, "DELETE", at, "").is("removed again", http.StatusNoContent)
}

func TestWhichHostsAreVaults(t *testing.T) {
	for host, want := range map[string]bool{
		"billing.vault.lab.example": true, "BILLING.Vault.Lab.Example:8443": true, "billing.vault.lab.example.": true,
		"vault.lab.example": false, "a.b.vault.lab.example": false, "billing.vault.lab.example.evil.example": false, "xvault.lab.example": false, "": false, "[::1]:443": false,
	} {
		if got := keyvault.Serves("https://"+domain+":8443", host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

// unread is a body that nobody should ask for.
type unread struct{ testing.TB }

func (u unread) Read([]byte) (int, error) {
	u.Error("the body is read")
	return 0, io.EOF
}

func TestWhoMayNotRestoreIsNotReadFrom(t *testing.T) {
	w := filled(t)
	r := httptest.NewRequest("POST", "https://billing."+domain+"/secrets/restore?api-version=7.4", unread{t})
	r.Header.Set("Authorization", "Bearer "+reader)
	a := httptest.NewRecorder()
	if w.data.ServeHTTP(a, r); a.Code != http.StatusForbidden {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

func TestNoAnswerIsKept(t *testing.T) {
	w := filled(t)
	w.secret(owner, "PUT", "/secrets/s", `{"value":"`+canary+`"}`).is("set", http.StatusOK)
	if got := w.secret(owner, "GET", "/secrets/s", "").Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %s", got)
	}
}

// grouping are principals whose tokens say that each is in one group.
type grouping struct{ principals }

const group = "00000000-0000-4000-8000-0000000000e1"

func (g grouping) Whose(ctx context.Context, token string) (subscription.Principal, []string, error) {
	p, err := g.Verify(ctx, token)
	return p, []string{group}, err
}

// TestGroupsOfTheTokenCount where a directory elsewhere has said them.
func TestGroupsOfTheTokenCount(t *testing.T) {
	w := filled(t)
	body := strings.Replace(vaultBody, reader, group, 1)
	w.resource(owner, "PUT", vaults+"/billing", body).is("a policy of a group", http.StatusOK)
	w.secret(owner, "PUT", "/secrets/s", `{"value":"x"}`).is("set", http.StatusOK)
	said := keyvault.Handler(keyvault.Config{Vaults: w.vaults, Tokens: grouping{}, Tenant: tenant, URL: "https://" + domain, LoginURL: "https://login.lab.example/"})
	at := "https://billing." + domain + "/secrets/s?api-version=7.4"
	w.ask(said, nobody, "GET", at, "").is("a member", http.StatusOK)
	w.ask(w.data, nobody, "GET", at, "").is("who is in none", http.StatusForbidden, "Forbidden", "ForbiddenByPolicy")
}
