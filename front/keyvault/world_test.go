package keyvault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/front/keyvault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant  = "00000000-0000-4000-8000-00000000000a"
	foreign = "00000000-0000-4000-8000-00000000000b" // another tenant
	sub     = "00000000-0000-4000-8000-000000000001"
	owner   = "00000000-0000-4000-8000-0000000000b1" // of the subscription, and of all secrets
	reader  = "00000000-0000-4000-8000-0000000000b2" // may get secrets, and look at the subscription
	nobody  = "00000000-0000-4000-8000-0000000000b3" // may nothing
	domain  = "vault.lab.example"
	canary  = "canary~of-the-vault~0987654321" // looked for in all that is logged
	vaults  = "/subscriptions/" + sub + "/resourceGroups/voice/providers/Microsoft.KeyVault/vaults"
)

// principals are what tokens stand for here: the token is the object ID, one
// of another tenant has its tenant before it.
type principals struct{}

func (principals) Verify(_ context.Context, token string) (subscription.Principal, error) {
	p := subscription.Principal{Tenant: tenant, Name: "app of a test"}
	if object, is := strings.CutPrefix(token, foreign+"/"); is {
		p.Tenant, token = foreign, object
	}
	if len(token) != 36 {
		return p, errors.New("no token")
	}
	p.Object, p.App = token, token
	return p, nil
}

// world is vaults behind their two APIs.
type world struct {
	testing.TB
	store     *store.Store
	vaults    *vault.Set
	subs      *subscription.Set
	data      http.Handler
	resources http.Handler
	log       *bytes.Buffer
	from      string // address that requests come from
}

func newWorld(t testing.TB, rate keyvault.Rate) *world {
	t.Helper()
	w := &world{TB: t, log: &bytes.Buffer{}, store: storetest.New(t), from: "192.0.2.1:40000"}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	subs := subscription.New(subscription.Config{
		Store: w.store, Tenant: subscription.Tenant{ID: tenant, Name: "Lab"}, Subscriptions: []subscription.Subscription{{ID: sub, Name: "lab"}}, Log: log,
		Locations: []subscription.Location{{Name: "westeurope", DisplayName: "West Europe", Management: true}},
		Assignments: []subscription.Assignment{
			{Scope: "/subscriptions/" + sub, Principal: owner, Role: subscription.Owner}, {Scope: "/subscriptions/" + sub, Principal: reader, Role: subscription.Reader},
		},
	})
	if _, _, err := subs.PutGroup(t.Context(), subscription.Group{Subscription: sub, Name: "voice", Location: "westeurope"}); err != nil {
		t.Fatal(err)
	}
	w.subs = subs
	var err error
	w.vaults, err = vault.Open(t.Context(), vault.Config{Store: w.store, Keeper: vault.NewKeyFile(filepath.Join(t.TempDir(), "vault.key")), Tenant: tenant, Place: subs.Place, Audit: subs.Audit, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w.data = keyvault.Handler(keyvault.Config{Vaults: w.vaults, Tokens: principals{}, Tenant: tenant, URL: "https://" + domain, LoginURL: "https://login.lab.example/", Rate: rate, Log: log})
	w.resources = keyvault.Resources(keyvault.ResourcesConfig{Vaults: w.vaults, Subscriptions: subs, Tokens: principals{}, URL: "https://api.lab.example", VaultURL: "https://" + domain, Rate: keyvault.Rate{Burst: 1e6, PerSecond: 1e6}, Log: log})
	t.Cleanup(func() {
		if strings.Contains(w.log.String(), canary) {
			t.Error("the log shows a secret")
		}
	})
	return w
}

// answer is what came back.
type answer struct {
	testing.TB
	*httptest.ResponseRecorder
	json map[string]any
}

// ask sends one request. who "" sends no token.
func (w *world) ask(h http.Handler, who, method, url, body string) answer {
	w.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.RemoteAddr = w.from
	if who != "" {
		r.Header.Set("Authorization", "Bearer "+who)
	}
	a := answer{TB: w, ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(a, r)
	if a.Body.Len() > 0 {
		if err := json.Unmarshal(a.Body.Bytes(), &a.json); err != nil {
			w.Fatalf("%s %s: %v: %s", method, url, err, a.Body)
		}
	}
	return a
}

// secret asks a vault.
func (w *world) secret(who, method, path, body string) answer {
	w.Helper()
	if !strings.Contains(path, "?") {
		path += "?api-version=7.4"
	}
	return w.ask(w.data, who, method, "https://billing."+domain+path, body)
}

// resource asks the API of vaults.
func (w *world) resource(who, method, path, body string) answer {
	w.Helper()
	return w.ask(w.resources, who, method, "https://api.lab.example"+path+"?api-version=2023-07-01", body)
}

// is demands a status, and for errors a code and perhaps an inner one.
func (a answer) is(what string, status int, codes ...string) answer {
	a.Helper()
	if a.Code != status {
		a.Errorf("%s: %d, want %d: %s", what, a.Code, status, a.Body)
	}
	e, _ := a.json["error"].(map[string]any)
	inner, _ := e["innererror"].(map[string]any)
	for i, got := range []any{e["code"], inner["code"]} {
		if i < len(codes) && got != codes[i] {
			a.Errorf("%s: code %v, want %s", what, got, codes[i])
		}
	}
	if status >= 400 && strings.Contains(a.Body.String(), canary) {
		a.Errorf("%s: the error shows the secret", what)
	}
	return a
}

// at is a value of the answer by its path.
func (a answer) at(path string) any {
	var v any = a.json
	for _, name := range strings.Split(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

const vaultBody = `{"location":"West Europe","tags":{"for":"billing"},"properties":{"tenantId":"` + tenant + `","sku":{"family":"A","name":"standard"},"accessPolicies":[
	{"tenantId":"` + tenant + `","objectId":"` + owner + `","permissions":{"secrets":["all"],"keys":["Get"]}},
	{"tenantId":"` + tenant + `","objectId":"` + reader + `","permissions":{"secrets":["Get"]}}]}}`

// filled is a world with one vault.
func filled(t testing.TB) *world {
	t.Helper()
	w := newWorld(t, keyvault.Rate{Burst: 1e6, PerSecond: 1e6})
	w.resource(owner, "PUT", vaults+"/billing", vaultBody).is("a vault is made", http.StatusCreated)
	return w
}
