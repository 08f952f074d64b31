package directory_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// claimsOf reads a token that is believed.
func (w *world) claimsOf(raw string) map[string]any {
	w.Helper()
	payload, err := w.VerifySignature(w.Context(), raw)
	if err != nil {
		w.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		w.Fatal(err)
	}
	return c
}

func listOf(v any) (list []string) {
	all, _ := v.([]any)
	for _, x := range all {
		s, _ := x.(string)
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

// TestATokenHasTheRolesOfItsAudience and of no other: the seven of a gateway
// at Project Synergy say nothing to Microsoft Graph.
func TestATokenHasTheRolesOfItsAudience(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		if _, err := w.AddPrincipal(ctx, w.us, directory.SynergyID, "Operator Connect"); err != nil {
			t.Fatal(err)
		}
		_, p, _ := w.program("Billing Service", "User.Read.All")
		for _, v := range []string{"Data.Read", "NumberManagement.Read", "TrunkManagement.Read"} {
			w.give(p.ID, directory.SynergyID, v)
		}
		for audience, want := range map[string][]string{
			directory.SynergyID: {"Data.Read", "NumberManagement.Read", "TrunkManagement.Read"}, "api://" + directory.SynergyID: {"Data.Read", "NumberManagement.Read", "TrunkManagement.Read"},
			strings.ToUpper(directory.SynergyID): {"Data.Read", "NumberManagement.Read", "TrunkManagement.Read"},
			graph:                                {"User.Read.All"}, graph + "/": {"User.Read.All"}, directory.GraphID: {"User.Read.All"},
			directory.ProvisioningURI: nil, audience: nil, "https://vault.telecom.example": nil, "": nil,
		} {
			token, err := w.IssueFor(ctx, p.ID, issuer, audience)
			if err != nil {
				t.Fatal(err)
			}
			if c := w.claimsOf(string(token.Raw)); !slices.Equal(listOf(c["roles"]), want) || c["aud"] != audience || c["scp"] != nil {
				t.Errorf("%q: %v", audience, c)
			}
		}
		// What is disabled gets none.
		if _, err := w.UpdatePrincipal(ctx, w.us, p.ID, func(p *directory.ServicePrincipal) error { p.Enabled = false; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := w.IssueFor(ctx, p.ID, issuer, graph); !errors.Is(err, directory.ErrDisabled) {
			t.Errorf("disabled: %v", err)
		}
	})
}

// TestAUserHasRolesByGroups too, and a program that acts for a user has those
// of the scopes asked for that somebody has consented to.
func TestATokenForAUser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		synergy, err := w.AddPrincipal(ctx, w.us, directory.SynergyID, "")
		if err != nil {
			t.Fatal(err)
		}
		group, err := w.CreateGroup(ctx, w.us, directory.Group{DisplayName: "Operators"})
		if err == nil {
			err = w.AddMember(ctx, w.us, group.ID, w.apps.Object)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.give(group.ID, directory.SynergyID, "Admin")
		w.give(w.apps.Object, directory.SynergyID, "NumberManagement.Write")
		a, p, _ := w.program("Portal")
		ask := directory.Delegation{Tenant: strings.ToUpper(tenant), User: w.apps.Object, Client: a.AppID, Issuer: issuer, Audience: directory.SynergyID}
		if _, err := w.IssueUser(ctx, ask); !errors.Is(err, directory.ErrConsent) {
			t.Errorf("before anybody has consented: %v", err)
		}
		if _, err := w.Allow(ctx, w.us, directory.Grant{Client: p.ID, ConsentType: directory.AllPrincipals, Resource: synergy.ID, Scopes: []string{"user_impersonation"}}); err != nil {
			t.Fatal(err)
		}
		token, err := w.IssueUser(ctx, ask)
		if err != nil {
			t.Fatal(err)
		}
		c := w.claimsOf(string(token.Raw))
		for name, want := range map[string]any{
			"tid": strings.ToLower(tenant), "oid": w.apps.Object, "sub": w.apps.Object, "appid": a.AppID, "azp": a.AppID, "idtyp": "user", "scp": "user_impersonation",
			"upn": "apps@telecom.example", "preferred_username": "apps@telecom.example", "name": "APPS", "iss": issuer, "ver": "2.0",
		} {
			if c[name] != want {
				t.Errorf("%s is %v, want %v", name, c[name], want)
			}
		}
		if !slices.Equal(listOf(c["roles"]), []string{"Admin", "NumberManagement.Write"}) || !slices.Equal(listOf(c["wids"]), []string{directory.ApplicationAdministrator.ID()}) {
			t.Errorf("%v", c)
		}
		ask.Scopes = []string{"something.else"}
		if _, err := w.IssueUser(ctx, ask); !errors.Is(err, directory.ErrConsent) {
			t.Errorf("another scope: %v", err)
		}
		// To what nobody can consent to only the programs get that everybody knows.
		for client, want := range map[string]error{a.AppID: directory.ErrConsent, directory.AzureCLIID: nil} {
			_, err := w.IssueUser(ctx, directory.Delegation{Tenant: tenant, User: w.apps.Object, Client: client, Issuer: issuer, Audience: "https://vault.telecom.example"})
			if !errors.Is(err, want) {
				t.Errorf("%s: %v", client, err)
			}
		}
		if _, err := w.IssueUser(ctx, directory.Delegation{Tenant: tenant, User: w.apps.Object, Client: newGUID(), Issuer: issuer, Audience: graph}); !errors.Is(err, directory.ErrNoPrincipal) {
			t.Errorf("a program that nobody knows: %v", err)
		}
		if _, err := w.IssueUser(ctx, directory.Delegation{Tenant: other, User: w.apps.Object, Client: directory.AzureCLIID, Issuer: issuer, Audience: graph}); fault.Of(err) != fault.NotFound {
			t.Errorf("a user of another tenant: %v", err)
		}
		if _, err := w.UpdateUser(ctx, w.us, w.apps.Object, func(u *directory.User) error { u.Enabled = false; return nil }); err != nil {
			t.Fatal(err)
		}
		ask.Scopes = nil
		if _, err := w.IssueUser(ctx, ask); fault.Of(err) != fault.Denied {
			t.Errorf("a user who is disabled: %v", err)
		}
	})
}

func newGUID() string { return "00000000-0000-4000-8000-0000000000ff" }

// TestWhatIsNoTokenForUs is refused, with our own good key as well (RFC 8725
// §2, §3): none, a symmetric signature with the public key, somebody else's
// key, another issuer, audience or tenant, too late, too early, an ID token.
func TestWhatIsNoTokenForUs(t *testing.T) {
	w := build(t, storetest.New(t))
	ctx := t.Context()
	_, p, _ := w.program("Robot", "User.Read.All")
	good, err := w.IssueFor(ctx, p.ID, issuer, graph)
	if err != nil {
		t.Fatal(err)
	}
	issuers, audiences := []string{issuer}, []string{graph + "/", directory.GraphID}
	c, err := w.Verify(ctx, string(good.Raw), issuers, audiences)
	if err != nil || c.Object != p.ID || c.App != p.AppID || !slices.Equal(c.AppRoles, []string{"User.Read.All"}) || c.Scopes != nil || c.Part {
		t.Fatalf("%+v, %v", c, err)
	}
	claims := w.claimsOf(string(good.Raw))
	resign := func(change map[string]any) string {
		t.Helper()
		all := maps.Clone(claims)
		maps.Copy(all, change)
		maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
		raw, err := w.Sign(ctx, all)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if _, err := w.Verify(ctx, resign(nil), issuers, audiences); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(good.Raw), ".")
	set, err := w.Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	public := set.Keys[0].Key.(*rsa.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	head := func(h string) string { return base64.RawURLEncoding.EncodeToString([]byte(h)) }
	hmac := func(key []byte) string { return signed(t, jose.HS256, key, set.Keys[0].KeyID, claims) }
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"nothing": "", "junk": "junk", "two parts": parts[0] + "." + parts[1], "no signature": parts[0] + "." + parts[1] + ".",
		"none": head(`{"alg":"none","kid":"`+set.Keys[0].KeyID+`"}`) + "." + parts[1] + ".", "None": head(`{"alg":"None"}`) + "." + parts[1] + "." + parts[2],
		"the public key as a secret": hmac(text), "the public key's bytes as a secret": hmac(der),
		"a stranger's key under our name": signed(t, jose.RS256, stranger, set.Keys[0].KeyID, claims), "a stranger's key": signed(t, jose.RS256, stranger, "x", claims),
		"a key in its own header": embedded(t, stranger, claims),
		"changed claims":          parts[0] + "." + head(`{"oid":"x"}`) + "." + parts[2],
		"another issuer":          resign(map[string]any{"iss": "https://login.evil.example/v2.0"}), "an issuer that begins alike": resign(map[string]any{"iss": issuer + ".evil.example"}), "no issuer": resign(map[string]any{"iss": nil}),
		"another audience": resign(map[string]any{"aud": "https://vault.telecom.example"}), "an audience that begins alike": resign(map[string]any{"aud": graph + ".evil.example"}), "no audience": resign(map[string]any{"aud": nil}),
		"another tenant": resign(map[string]any{"tid": newGUID()}), "no tenant": resign(map[string]any{"tid": nil}), "a tenant by its name": resign(map[string]any{"tid": "telecom.example"}),
		"too late": resign(map[string]any{"exp": time.Now().Add(-time.Second).Unix()}), "without an end": resign(map[string]any{"exp": nil}), "too early": resign(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}),
		"nobody's": resign(map[string]any{"oid": nil}), "an ID token": resign(map[string]any{"idtyp": nil, "appid": nil}), "a user's without scopes": resign(map[string]any{"idtyp": "user"}),
		"claims of other types": resign(map[string]any{"roles": "User.ReadWrite.All"}), "too long": resign(map[string]any{"x": strings.Repeat("x", 20_000)}),
	} {
		c, err := w.Verify(ctx, raw, issuers, audiences)
		if !errors.Is(err, directory.ErrToken) || c.Object != "" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		if err != nil && (strings.Contains(err.Error(), "eyJ") || strings.Contains(err.Error(), "evil")) {
			t.Errorf("%s is shown: %v", name, err)
		}
	}
	if _, err := w.Verify(ctx, resign(map[string]any{"exp": time.Now().Add(-time.Second).Unix()}), issuers, audiences); !errors.Is(err, directory.ErrTokenExpired) {
		t.Errorf("too late: %v", err)
	}
}

// signed is a token by somebody's key.
func signed(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// embedded has the key that verifies it in its header.
func embedded(t testing.TB, key *rsa.PrivateKey, claims any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestSecretsBeginAndEnd: two at once while they are changed, none before or
// after its time, and none that was revoked.
func TestSecretsBeginAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storetest.New(t)
		defer s.Close()
		w := build(t, s)
		ctx := t.Context()
		a, p, _ := w.program("Call Duration")
		old, oldValue, err := w.AddSecret(ctx, w.apps, a.ID, "2026-11-22", time.Now().Add(70*24*time.Hour))
		if err != nil || len(oldValue) != 40 || old.Hint != string(oldValue[:3]) || old.Name != "2026-11-22" {
			t.Fatal(old, err)
		}
		signIn := func(value string) error {
			got, err := w.Authenticate(ctx, a.AppID, value)
			if err == nil && got.ID != p.ID {
				t.Errorf("%+v", got)
			}
			return err
		}
		time.Sleep(60 * 24 * time.Hour)
		next, nextValue, err := w.AddSecret(ctx, w.apps, a.AppID, "", time.Time{})
		if err != nil || next.End.Sub(next.Start) != 2*365*24*time.Hour {
			t.Fatal(next, err)
		}
		for _, v := range []string{string(oldValue), string(nextValue)} {
			if err := signIn(v); err != nil {
				t.Error(err)
			}
		}
		if err := signIn(string(oldValue[:39])); !errors.Is(err, directory.ErrSecret) || errors.Is(err, directory.ErrExpired) {
			t.Errorf("a part of it: %v", err)
		}
		time.Sleep(10*24*time.Hour - time.Nanosecond)
		if err := signIn(string(oldValue)); err != nil {
			t.Errorf("in the last moment: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if err := signIn(string(oldValue)); !errors.Is(err, directory.ErrExpired) {
			t.Errorf("at its end: %v", err)
		}
		if err := w.RemoveSecret(ctx, w.apps, a.ID, next.ID); err != nil {
			t.Fatal(err)
		}
		if err := signIn(string(nextValue)); !errors.Is(err, directory.ErrSecret) || errors.Is(err, directory.ErrExpired) {
			t.Errorf("revoked: %v", err)
		}
		got, err := w.Application(ctx, w.apps, a.ID)
		if err != nil || len(got.Secrets) != 1 || got.Secrets[0] != old {
			t.Errorf("%+v, %v", got.Secrets, err)
		}
		for name, end := range map[string]time.Time{"yesterday": time.Now().Add(-time.Hour), "in 101 years": time.Now().AddDate(101, 0, 0)} {
			if _, _, err := w.AddSecret(ctx, w.apps, a.ID, "", end); fault.Of(err) != fault.Invalid {
				t.Errorf("until %s: %v", name, err)
			}
		}
		wants(t, "a secret that is not there", w.RemoveSecret(ctx, w.apps, a.ID, old.ID+"x"), fault.Invalid)
		_, _, err = w.AddSecret(ctx, w.apps, app, "", time.Time{})
		wants(t, "a secret of what the configuration names", err, fault.Conflict)
		if state := secretsOf(t, w); strings.Contains(state, string(oldValue)) || strings.Contains(state, string(nextValue)) {
			t.Error("the store has a secret")
		}
		// Without a principal, and disabled, it may not sign in: told only to who
		// knows the secret.
		third, value, err := w.AddSecret(ctx, w.apps, a.ID, "", time.Time{})
		if err != nil {
			t.Fatal(third, err)
		}
		if _, err := w.UpdatePrincipal(ctx, w.apps, p.ID, func(p *directory.ServicePrincipal) error { p.Enabled = false; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := signIn(string(value)); !errors.Is(err, directory.ErrDisabled) {
			t.Errorf("disabled: %v", err)
		}
		if err := w.DeletePrincipal(ctx, w.apps, p.ID); err != nil {
			t.Fatal(err)
		}
		if err := signIn(string(value)); !errors.Is(err, directory.ErrNoPrincipal) {
			t.Errorf("without a principal: %v", err)
		}
		if err := signIn("wrong"); !errors.Is(err, directory.ErrSecret) {
			t.Errorf("without a principal or a secret: %v", err)
		}
	})
}

// secretsOf is all that the store has of secrets.
func secretsOf(t *testing.T, w *world) string {
	t.Helper()
	return hashes(t, w.store)
}

// TestAnApplicationSignsInByATokenOfAnother: of ours, such as a gateway's, and
// of an issuer elsewhere, whose keys are asked for.
func TestAnApplicationSignsInByATokenOfAnother(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	m := http.NewServeMux()
	server := httptest.NewTLSServer(m)
	defer server.Close()
	m.HandleFunc("GET /.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(rw).Encode(map[string]any{"issuer": server.URL, "jwks_uri": server.URL + "/keys", "authorization_endpoint": server.URL, "token_endpoint": server.URL, "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	m.HandleFunc("GET /keys", func(rw http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(rw).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "one", Algorithm: "RS256", Use: "sig"}}})
	})
	defer server.Client().CloseIdleConnections()
	w := build(t, storetest.New(t), func(c *directory.Config) { c.HTTP = server.Client() })
	ctx := t.Context()
	a, p, _ := w.program("Gateway outside")
	_, robot, _ := w.program("Robot")
	for name, f := range map[string]directory.FederatedCredential{
		"ours": {Name: "ours", Issuer: issuer, Subject: robot.ID}, "elsewhere": {Name: "elsewhere", Issuer: server.URL, Subject: "repo:x", Audiences: []string{"api://x"}},
	} {
		if _, err := w.AddFederated(ctx, w.apps, a.ID, f); err != nil {
			t.Fatal(name, err)
		}
	}
	ours, err := w.IssueFor(ctx, robot.ID, issuer, directory.FederatedAudience)
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"iss": server.URL, "sub": "repo:x", "aud": "api://x", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	with := func(change map[string]any) map[string]any {
		all := maps.Clone(claims)
		maps.Copy(all, change)
		return all
	}
	for name, raw := range map[string]string{"ours": string(ours.Raw), "elsewhere": signed(t, jose.RS256, key, "one", claims)} {
		if got, err := w.AuthenticateAssertion(ctx, strings.ToUpper(a.AppID), raw, []string{issuer}); err != nil || got.ID != p.ID {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forAPI, err := w.IssueFor(ctx, robot.ID, issuer, graph)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"nothing": "", "junk": "x.y.z", "none": "eyJhbGciOiJub25lIn0.e30.", "another subject": signed(t, jose.RS256, key, "one", with(map[string]any{"sub": "repo:y"})),
		"another audience": signed(t, jose.RS256, key, "one", with(map[string]any{"aud": directory.FederatedAudience})), "another issuer": signed(t, jose.RS256, key, "one", with(map[string]any{"iss": "https://evil.example"})),
		"a stranger's key": signed(t, jose.RS256, stranger, "one", claims), "our issuer's name on their key": signed(t, jose.RS256, key, "one", with(map[string]any{"iss": issuer, "sub": robot.ID, "aud": directory.FederatedAudience})),
		"a symmetric key": signed(t, jose.HS256, []byte(strings.Repeat("x", 32)), "one", claims), "too late": signed(t, jose.RS256, key, "one", with(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})),
		"without an end": signed(t, jose.RS256, key, "one", map[string]any{"iss": server.URL, "sub": "repo:x", "aud": "api://x"}), "an access token of ours": string(forAPI.Raw),
	} {
		if got, err := w.AuthenticateAssertion(ctx, a.AppID, raw, []string{issuer}); !errors.Is(err, directory.ErrSecret) || got.ID != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := w.AuthenticateAssertion(ctx, robot.AppID, string(ours.Raw), []string{issuer}); !errors.Is(err, directory.ErrSecret) {
		t.Errorf("another application: %v", err)
	}
	if _, err := w.AuthenticateAssertion(ctx, newGUID(), string(ours.Raw), []string{issuer}); !errors.Is(err, directory.ErrUnknown) {
		t.Errorf("no application: %v", err)
	}
	// An issuer is asked nowhere but at its address, by TLS.
	m.HandleFunc("GET /away/.well-known/openid-configuration", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "/.well-known/openid-configuration", http.StatusFound)
	})
	m.HandleFunc("GET /plain/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(rw).Encode(map[string]any{"issuer": server.URL + "/plain", "jwks_uri": strings.Replace(server.URL, "https", "http", 1) + "/keys", "authorization_endpoint": server.URL, "token_endpoint": server.URL})
	})
	for _, path := range []string{"/away", "/plain"} {
		tricked, _, _ := w.program("Tricked" + path)
		if _, err := w.AddFederated(ctx, w.apps, tricked.ID, directory.FederatedCredential{Name: "x", Issuer: server.URL + path, Subject: "y"}); err != nil {
			t.Fatal(err)
		}
		raw := signed(t, jose.RS256, key, "one", map[string]any{"iss": server.URL + path, "sub": "y", "aud": directory.FederatedAudience, "exp": time.Now().Add(time.Hour).Unix()})
		if got, err := w.AuthenticateAssertion(ctx, tricked.AppID, raw, []string{issuer}); err == nil {
			t.Errorf("%s: %+v", path, got)
		}
	}
	server.Close()
	away, _, _ := w.program("Another")
	if _, err := w.AddFederated(ctx, w.apps, away.ID, directory.FederatedCredential{Name: "x", Issuer: server.URL + "/x", Subject: "y"}); err != nil {
		t.Fatal(err)
	}
	raw := signed(t, jose.RS256, key, "one", map[string]any{"iss": server.URL + "/x", "sub": "y", "aud": directory.FederatedAudience, "exp": time.Now().Add(time.Hour).Unix()})
	if _, err := w.AuthenticateAssertion(ctx, away.AppID, raw, []string{issuer}); fault.Of(err) != fault.Unavailable {
		t.Errorf("an issuer that is away: %v", err)
	}
}
