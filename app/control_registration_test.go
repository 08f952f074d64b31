package app

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/control/zone"
	"github.com/tandemgw/tandem/front/cli"
	"github.com/tandemgw/tandem/front/ops"
	"github.com/tandemgw/tandem/sandbox/authority"
	"github.com/tandemgw/tandem/sandbox/operatorconnect"
)

// elsewhere is the operator's own tenant: a directory that gives tokens, and a
// vault that holds the secret of one registration.
type elsewhere struct {
	*testing.T
	*httptest.Server
	key *rsa.PrivateKey

	mu     sync.Mutex
	good   string // mu: secret of the registration
	held   string // mu: what the vault has
	status int    // mu: of what the vault answers; 0: it hangs up
	reads  int    // mu: of the vault, by who was let in
	asks   int    // mu: for tokens of the registration
}

const (
	elsewhereTenant = "7f8d5c6e-0000-4000-8000-0000000000e1"
	elsewhereReader = "7f8d5c6e-0000-4000-8000-0000000000e2" // Tandem in that directory
	elsewhereApp    = "7f8d5c6e-0000-4000-8000-0000000000e3" // asks Operator Connect
)

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e := &elsewhere{T: t, key: key}
	e.Server = httptest.NewTLSServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.Close)
	return e
}

// set is what the registration's secret is, what the vault has, and how it
// answers.
func (e *elsewhere) set(good, held string, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.good, e.held, e.status = good, held, status
}

func (e *elsewhere) issuer() string { return e.URL + "/" + elsewhereTenant + "/v2.0" }

func (e *elsewhere) serve(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	at := e.URL + "/" + elsewhereTenant
	switch {
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%[2]s/keys","token_endpoint":"%[2]s/oauth2/v2.0/token","authorization_endpoint":"%[2]s/oauth2/v2.0/authorize","id_token_signing_alg_values_supported":["RS256"]}`, e.issuer(), at)
	case strings.HasSuffix(r.URL.Path, "/keys"):
		fmt.Fprintf(w, `{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"k","n":%q,"e":%q}]}`, base64.RawURLEncoding.EncodeToString(e.key.N.Bytes()), base64.RawURLEncoding.EncodeToString(big.NewInt(int64(e.key.E)).Bytes()))
	case strings.HasSuffix(r.URL.Path, "/token"):
		e.token(w, r)
	case !strings.HasPrefix(r.URL.Path, "/secrets/"):
		w.WriteHeader(http.StatusNotFound) // Graph: nobody is known
	case e.status == 0:
		panic(http.ErrAbortHandler)
	case r.Header.Get("Authorization") == "":
		// The client looks whether the host is below the resource.
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="%s", resource="https://%s"`, at, strings.TrimPrefix(r.Host, "127.")))
		w.WriteHeader(http.StatusUnauthorized)
	case e.status != http.StatusOK:
		w.WriteHeader(e.status)
		fmt.Fprint(w, `{"error":{"code":"Refused","message":"no"}}`)
	default:
		e.reads++
		fmt.Fprintf(w, `{"value":%q,"id":"https://%s/secrets/client-secret/1"}`, e.held, r.Host)
	}
}

// token lets two applications in. What the registration gets is over at once,
// so that it signs in each time.
func (e *elsewhere) token(w http.ResponseWriter, r *http.Request) {
	client, secret := r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	life := 3600
	if client == elsewhereApp {
		e.asks++
		life = 1
	}
	if client == elsewhereApp && secret != e.good || client == elsewhereReader && secret != "a long enough secret" {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`)
		return
	}
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"iss": e.issuer(), "aud": synergyApp, "tid": elsewhereTenant, "oid": client, "azp": client, "idtyp": "app", "iat": now, "exp": now + 3600,
		"roles": []string{"TrunkManagement.Read", "TrunkManagement.Write"},
	})
	if err != nil {
		e.Error(err)
	}
	raw := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(raw))
	signature, err := rsa.SignPKCS1v15(nil, e.key, crypto.SHA256, sum[:])
	if err != nil {
		e.Error(err)
	}
	fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":%d,"access_token":%q}`, life, raw+"."+base64.RawURLEncoding.EncodeToString(signature))
}

// connected is an Operator Connect environment that lets one application of a
// tenant in. Its certificate is in the file.
func connected(t *testing.T, cfg operatorconnect.Config, o operatorconnect.Operator, app string) (e *operatorconnect.Environment, roots string) {
	t.Helper()
	ca, err := authority.New("Operator Connect")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(authority.Terms{}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.Certificate = netip.MustParseAddrPort("127.0.0.1:0"), func() (*tls.Certificate, error) { return cert, nil }
	if e, err = operatorconnect.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if err := e.Onboard(o); err != nil {
		t.Fatal(err)
	}
	if err := e.List(o.Tenant, app, "test"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "oc.pem", string(ca.RootPEM()))
	return e, filepath.Join(dir, "oc.pem")
}

// told are the causes of a node's warnings of vaults, as people get them.
func told(t *testing.T, n *Node) (causes []string, all string) {
	t.Helper()
	list, err := ops.Dial(n.cfg.Node.Socket()).PeerList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range list.Warnings {
		if strings.HasPrefix(w.Cause, "vault ") || strings.HasPrefix(w.Cause, "secret ") {
			causes, all = append(causes, w.Cause), all+w.Text+"\n"
		}
	}
	return causes, all
}

// TestOperatorConnectIsAskedWhileTheVaultIsAway: the vault of the registration
// that asks is elsewhere, and away at the start, and later; comes back with a
// secret that was rotated; and is heeded when it takes the secret away. The node
// starts, says so each time, and is never started again.
func TestOperatorConnectIsAskedWhileTheVaultIsAway(t *testing.T) {
	far := newElsewhere(t)
	far.set("canary-secret-1", "canary-secret-1", 0)
	issuers := x509.NewCertPool()
	issuers.AddCert(far.Certificate())
	env, connectRoots := connected(t, operatorconnect.Config{Roots: issuers},
		operatorconnect.Operator{Tenant: elsewhereTenant, Name: "Telecom", Issuers: []string{far.issuer()}, Suffix: "gw.lab.example"}, elsewhereApp)
	roots := filepath.Join(t.TempDir(), "elsewhere.pem")
	write(t, filepath.Dir(roots), "elsewhere.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: far.Certificate().Raw})))
	log := &whole{}
	n, _ := controlNodeTelling(t, strings.NewReplacer("7f8d5c6e-0000-4000-8000-000000000001", elsewhereTenant, "        secretFile: secret\n", "").Replace(goodControl)+fmt.Sprintf(`  directory: {outside: {issuer: %q, client: %s, secretFile: secret, graph: %q, roots: %q}}
  onboard:
    operatorConnect: {url: %q, roots: %q, as: {client: %s, secret: "%s/secrets/client-secret"}}
`, far.issuer(), elsewhereReader, far.URL, roots, env.URL(), connectRoots, elsewhereApp, far.URL), slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Setenv("TANDEM_SOCKET", n.cfg.Node.Socket())
	x := &terminal{T: t}
	aGateway(t, n)
	// asked is a call of Operator Connect by a command.
	asked := func() error {
		_, err := x.run("", cli.NewOperatorConnect(), "trunk", "list")
		return err
	}
	// stands waits until warnings, figures and calls agree.
	stands := func(what string, calls bool, text string, up, known int, causes ...string) {
		t.Helper()
		until(t, func() string {
			err := asked()
			if (err == nil) != calls {
				return fmt.Sprintf("%s: calls: %v", what, err)
			}
			got, all := told(t, n)
			if !slices.Equal(got, causes) || !strings.Contains(all, text) {
				return fmt.Sprintf("%s: told %q: %s", what, got, all)
			}
			figures := httptest.NewRecorder()
			n.metrics().ServeHTTP(figures, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			for name, want := range map[string]int{"tandem_vault_up{": up, "tandem_vault_secret_known{": known} {
				_, line, _ := strings.Cut(figures.Body.String(), "\n"+name)
				line, _, _ = strings.Cut(line, "\n")
				if !strings.HasSuffix(line, fmt.Sprintf("} %d", want)) {
					return fmt.Sprintf("%s: %s%s, want %d", what, name, line, want)
				}
			}
			return ""
		})
	}
	stands("away at the start", false, "cannot be asked until it answers", 0, 0, "vault away")
	far.set("canary-secret-1", "canary-secret-1", 200)
	stands("there", true, "", 1, 1)
	far.set("canary-secret-1", "canary-secret-1", 503)
	stands("away", true, "the secret that was read last", 0, 1, "vault away")
	made := gateway.Resource{ID: gateway.ID{Name: "made"}, Gateway: gateway.Gateway{Location: "westeurope"}}
	made.Location = "westeurope"
	made.Properties.Status, made.Properties.AutoGeneratedDomainNameLabel, made.Properties.Platforms = gateway.Complete, "made", []string{"OperatorConnect"}
	if err := n.plane.Load().keeper.one(t.Context(), made, []zone.Gateway{{Base: "made.gw.lab.example", Regions: []zone.Region{{Name: "westeurope"}}}}); err != nil {
		t.Errorf("a gateway's trunks and profile: %v", err)
	}
	if out := x.must("", cli.NewOperatorConnect(), "trunk", "list"); !strings.Contains(out, zone.CloudName("made.gw.lab.example", 1)) {
		t.Errorf("trunks: %s", out)
	}
	// It comes back with another secret, and the one before is revoked: who was
	// refused with what is remembered looks at once.
	far.set("canary-secret-2", "canary-secret-2", 200)
	if err := asked(); err != nil {
		t.Errorf("rotated: %v", err)
	}
	stands("rotated", true, "", 1, 1)
	// A new version counts from the next use on, without any refusal.
	far.set("canary-secret-3", "canary-secret-3", 200)
	far.mu.Lock()
	asks := far.asks
	far.mu.Unlock()
	if err := asked(); err != nil {
		t.Errorf("rotated again: %v", err)
	}
	far.mu.Lock()
	if far.asks != asks+1 {
		t.Errorf("signed in %d times", far.asks-asks)
	}
	far.mu.Unlock()
	for what, status := range map[string]int{"gone": 404, "denied": 403} {
		far.set("canary-secret-3", "canary-secret-3", status)
		stands(what, false, "does not give the secret client-secret", 1, 0, "secret refused")
		far.set("canary-secret-3", "canary-secret-3", 200)
		stands("after it was "+what, true, "", 1, 1)
	}
	far.set("canary-secret-4", "canary-secret-3", 200)
	if err := asked(); err == nil || !strings.Contains(err.Error(), "does not let the application") {
		t.Errorf("a secret that is wrong: %v", err)
	}
	for _, text := range []string{log.String(), x.said.String()} {
		if strings.Contains(text, "canary") {
			t.Errorf("a secret is told: %s", text)
		}
	}
}

// TestOperatorConnectIsAskedWithASecretOfOurVault: as the application that makes
// vaults, so that one that lets it in is read, and no other.
func TestOperatorConnectIsAskedWithASecretOfOurVault(t *testing.T) {
	const tenant, app = "7f8d5c6e-0000-4000-8000-000000000001", "7f8d5c6e-0000-4000-8000-000000000003"
	var reach net.Dialer
	trust := x509.NewCertPool()
	env, roots := connected(t, operatorconnect.Config{Roots: trust, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return reach.DialContext(ctx, network, "127.78.9.1:8443")
	}}, operatorconnect.Operator{Tenant: tenant, Name: "Telecom", Issuers: []string{"https://api.lab.example:8443/" + tenant + "/v2.0"}, Suffix: "gw.lab.example"}, app)
	n, ca := controlNodeOf(t, goodControl+fmt.Sprintf(`  vaults: {domain: vault.lab.example}
  onboard: {operatorConnect: {url: %q, roots: %q, as: {client: %s, secret: "https://connect.vault.lab.example:8443/secrets/client-secret"}}}
`, env.URL(), roots, app))
	trust.AppendCertsFromPEM(ca.RootPEM())
	t.Setenv("TANDEM_SOCKET", n.cfg.Node.Socket())
	x := &terminal{T: t}
	aGateway(t, n)
	x.must("", cli.NewApp(), "add", synergyApp, "--name", "Operator Connect")
	x.must("", cli.NewApp(), "assign", "Project Synergy", "TrunkManagement.Read", "onboarding")
	_, err := x.run("", cli.NewOperatorConnect(), "trunk", "list")
	if causes, all := told(t, n); cli.ExitStatus(err) != cli.ExitNotFound || !slices.Equal(causes, []string{"secret refused"}) {
		t.Errorf("without a vault: %v, %s", err, all)
	}
	vaults := n.plane.Load().tenant.Vaults
	if _, err := vaults.Make(t.Context(), entra.VaultID("7f8d5c6e-0000-4000-8000-000000000002", "rg", "connect"), "westeurope"); err != nil {
		t.Fatal(err)
	}
	x.must("not the one of the application", cli.NewSecret(), "set", "connect/client-secret")
	if _, err := x.run("", cli.NewOperatorConnect(), "trunk", "list"); err == nil || !strings.Contains(err.Error(), "does not let the application") {
		t.Errorf("with a wrong secret: %v", err)
	}
	x.must("a long enough secret", cli.NewSecret(), "set", "connect/client-secret")
	p, at := n.plane.Load(), vault.ID{Subscription: "7f8d5c6e-0000-4000-8000-000000000002", Group: "rg", Name: "connect"}
	lets := func(policies ...vault.Policy) {
		t.Helper()
		if _, _, err := p.vaults.Put(t.Context(), subscription.Principal{Object: "test"}, at, vault.Vault{Location: "westeurope", RetentionDays: 90, Policies: policies}); err != nil {
			t.Fatal(err)
		}
	}
	lets()
	_, err = x.run("", cli.NewOperatorConnect(), "trunk", "list")
	if causes, all := told(t, n); err == nil || !slices.Equal(causes, []string{"secret refused"}) || !strings.Contains(all, p.onboarder()) {
		t.Errorf("a vault that does not let it in: %v, %s", err, all)
	}
	lets(vault.Policy{Tenant: tenant, Object: p.onboarder(), Secrets: []vault.Permission{vault.Get}})
	x.must("", cli.NewOperatorConnect(), "trunk", "list")
	if causes, all := told(t, n); len(causes) > 0 {
		t.Error(all)
	}
	asked, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/requests", nil)
	seen := httptest.NewRecorder()
	env.Control().ServeHTTP(seen, asked)
	if text, _ := io.ReadAll(seen.Body); !strings.Contains(string(text), app) {
		t.Errorf("who asked: %s", text)
	}
}

func TestRegistrationConfiguration(t *testing.T) {
	dir := t.TempDir()
	ca, err := authority.New("Test Root")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(authority.Terms{}, "api.lab.example", "*.vault.lab.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Write(dir, "api", cert); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "secret", "a long enough secret\n")
	const (
		client = "client: 7f8d5c6e-0000-4000-8000-0000000000e3"
		ours   = "secret: \"https://connect.vault.lab.example:8443/secrets/client-secret\""
		azures = "secret: \"https://connect.vault.azure.net/secrets/client-secret\""
		at     = "control.onboard.operatorConnect.as"
	)
	for _, tt := range []struct{ as, url, path, says string }{
		{client + ", " + ours, "https://operatorconnect.example", "", ""},
		{client + ", " + ours, "", at, "operatorConnect.url"},
		{ours, "https://operatorconnect.example", at + ".client", "write the ID of the application"},
		{client, "https://operatorconnect.example", at + ".secret", "write https://<vault>.<domain>/secrets/<name>"},
		{client + ", secret: \"https://connect.vault.lab.example/secrets/client-secret/0123456789abcdef0123456789abcdef\"", "https://operatorconnect.example", at + ".secret", "without a version"},
		{client + ", " + azures, "https://operatorconnect.example", at + ".secret", "write control.directory.outside"},
		{client + ", secrets: x", "https://operatorconnect.example", at + ".secrets", "did you mean secret?"},
	} {
		write(t, dir, "tandem.yaml", goodControl+fmt.Sprintf("  vaults: {domain: vault.lab.example}\n  onboard: {operatorConnect: {url: %q, as: {%s}}}\n", tt.url, tt.as))
		_, problems := Check(filepath.Join(dir, "tandem.yaml"))
		problems = slices.DeleteFunc(problems, func(p Problem) bool { return p.Warning })
		switch {
		case tt.path == "" && len(problems) > 0:
			t.Errorf("%s: %v", tt.as, problems)
		case tt.path != "" && !slices.ContainsFunc(problems, func(p Problem) bool { return p.Path == tt.path && strings.Contains(p.Text, tt.says) }):
			t.Errorf("%s: want %s to say %q: %v", tt.as, tt.path, tt.says, problems)
		}
	}
}
