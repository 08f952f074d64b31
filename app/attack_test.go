package app

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/front/ops"
)

// The world of the attacks: a control node with vaults, and with a second tenant.
const (
	attacked      = "7f8d5c6e-0000-4000-8000-000000000001"
	secondOfThem  = "7f8d5c6e-0000-4000-8000-000000000004"
	attackedAPI   = "https://api.lab.example:8443"
	attackedVault = "https://vault.lab.example:8443"
	attackedSub   = "7f8d5c6e-0000-4000-8000-000000000002"
)

func attackedNode(t *testing.T) (*Node, *http.Client) {
	t.Helper()
	text := strings.Replace(goodControl, "secretFile: secret\n", "secretFile: secret\n        directoryRoles: [Global Administrator]\n", 1)
	text = strings.Replace(text, "  tenant:", "  vaults: {domain: vault.lab.example}\n  directory:\n    domain: telecom.example\n    tenants: [{id: "+secondOfThem+", name: Lab}]\n  tenant:", 1)
	n, ca := controlNodeOf(t, text)
	return n, apiClient(ca)
}

// request asks, and gives status and body.
func request(t *testing.T, c *http.Client, method, at, bearer, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, at, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, at, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// appToken is a token of the client of the configuration.
func appToken(t *testing.T, c *http.Client, audience string) string {
	t.Helper()
	res, err := c.PostForm(attackedAPI+"/"+attacked+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"7f8d5c6e-0000-4000-8000-000000000003"}, "client_secret": {"a long enough secret"}, "scope": {audience + "/.default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || body.AccessToken == "" {
		t.Fatalf("no token: %s %v", res.Status, err)
	}
	return body.AccessToken
}

// forgery is a token that is not what it seems.
type forgery struct{ name, raw string }

// forge makes of a good token all that is almost as good (RFC 8725 §2, §3).
func forge(t *testing.T, n *Node, good string) (list []forgery) {
	t.Helper()
	d := n.plane.Load().directory
	parts := strings.Split(good, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	add := func(name, raw string) { list = append(list, forgery{name, raw}) }
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

	// By our own key: what others of ours have, or what it could be made to sign.
	for name, change := range map[string]map[string]any{
		"of another tenant":                       {"tid": "7f8d5c6e-0000-4000-8000-0000000000aa"},
		"of another tenant of the deployment":     {"tid": secondOfThem, "iss": attackedAPI + "/" + secondOfThem + "/v2.0"},
		"by the issuer of another tenant":         {"iss": attackedAPI + "/" + secondOfThem + "/v2.0"},
		"by another issuer":                       {"iss": "https://evil.example/" + attacked + "/v2.0"},
		"by an issuer that begins like ours":      {"iss": attackedAPI + "/" + attacked + "/v2.0/evil"},
		"by no issuer":                            {"iss": nil},
		"for another audience":                    {"aud": "https://evil.example"},
		"for an audience that begins like ours":   {"aud": fmt.Sprint(claims["aud"]) + ".evil.example"},
		"for no audience":                         {"aud": nil},
		"that has expired":                        {"exp": time.Now().Add(-time.Minute).Unix()},
		"without an end":                          {"exp": nil},
		"that is not good yet":                    {"nbf": time.Now().Add(time.Hour).Unix()},
		"of a principal that is not there":        {"oid": "7f8d5c6e-0000-4000-8000-0000000000bb", "sub": "7f8d5c6e-0000-4000-8000-0000000000bb"},
		"of a person, for another scope":          {"idtyp": "user", "scp": "openid profile"},
		"of the directory of Microsoft, as it is": {"iss": "https://login.microsoftonline.com/" + attacked + "/v2.0"},
	} {
		other := maps.Clone(claims)
		for k, v := range change {
			if other[k] = v; v == nil {
				delete(other, k)
			}
		}
		raw, err := d.Sign(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		add(name, string(raw))
	}

	// By no key, or by one that is not ours (§3.1, §3.2).
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		head := b64(`{"alg":"` + alg + `","typ":"JWT"}`)
		add("with the algorithm "+alg, head+"."+parts[1]+".")
		add("with the algorithm "+alg+" and a signature", head+"."+parts[1]+"."+parts[2])
	}
	add("without its signature", parts[0]+"."+parts[1]+".")
	add("with half of its signature", parts[0]+"."+parts[1]+"."+parts[2][:len(parts[2])/2])
	add("with another payload", parts[0]+"."+b64(strings.Replace(string(payload), `"exp":`, `"exp":9`, 1))+"."+parts[2])
	keys, err := d.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key := keys.Keys[0]
	jwk, err := key.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	public, ok := key.Key.(*rsa.PublicKey)
	if !ok {
		t.Fatalf("the published key is a %T", key.Key)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(jwk)
	for name, secret := range map[string][]byte{
		"the published key": jwk, "its hash": sum[:], "its DER": der, "its PKCS #1": x509.MarshalPKCS1PublicKey(public), "its modulus": public.N.Bytes(),
		"its PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "its name": []byte(strings.Repeat(key.KeyID, 8)),
	} {
		add("with HS256 and "+name+" as the secret", sign(t, jose.HS256, secret, key.KeyID, claims))
	}
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	add("by a key of their own, under our key's name", sign(t, jose.RS256, own, key.KeyID, claims))
	add("by a key of their own, that the token brings along", sign(t, jose.RS256, own, key.KeyID, claims, (&jose.SignerOptions{EmbedJWK: true}).WithHeader("jku", "https://evil.example/keys")))
	add("by a key of their own, under no name", sign(t, jose.RS256, own, "", claims))
	add("by a key of their own, under a name that leads elsewhere", sign(t, jose.RS256, own, "../../../../dev/null", claims))
	add("nonsense", "x.y.z")
	add("nothing but dots", "..")
	add("long", strings.Repeat("A", 20_000)+"."+parts[1]+"."+parts[2])
	slices.SortFunc(list, func(a, b forgery) int { return strings.Compare(a.name, b.name) })
	return list
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims any, opts ...*jose.SignerOptions) string {
	t.Helper()
	o := &jose.SignerOptions{}
	if len(opts) > 0 {
		o = opts[0]
	}
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestForgedTokensOpenNoAPI: what is almost a token is none at any API that takes
// tokens, and what is one for one of them is none for another.
func TestForgedTokensOpenNoAPI(t *testing.T) {
	n, client := attackedNode(t)
	api := appToken(t, client, attackedAPI)
	const group = "/subscriptions/" + attackedSub + "/resourceGroups/rg"
	if status, body := request(t, client, "PUT", attackedAPI+group+"?api-version=2021-04-01", api, `{"location":"westeurope"}`); status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	me := directory.ObjectID(attacked, "7f8d5c6e-0000-4000-8000-000000000003")
	const vaults = group + "/providers/Microsoft.KeyVault/vaults"
	body := `{"location":"westeurope","properties":{"tenantId":"` + attacked + `","sku":{"family":"A","name":"standard"},"accessPolicies":[{"tenantId":"` + attacked + `","objectId":"` + me + `","permissions":{"secrets":["all"]}}]}}`
	if status, text := request(t, client, "PUT", attackedAPI+vaults+"/billing?api-version=2023-07-01", api, body); status != http.StatusOK && status != http.StatusCreated {
		t.Fatalf("%d %s", status, text)
	}
	for _, tt := range []struct{ name, audience, at string }{
		{"the resource API", attackedAPI, attackedAPI + group + "?api-version=2021-04-01"},
		{"vaults as resources", attackedAPI, attackedAPI + vaults + "/billing?api-version=2023-07-01"},
		{"secrets", attackedVault, "https://billing.vault.lab.example:8443/secrets?api-version=7.4"},
		{"Microsoft Graph", attackedAPI, attackedAPI + "/v1.0/organization"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			good := appToken(t, client, tt.audience)
			if status, body := request(t, client, "GET", tt.at, good, ""); status != http.StatusOK {
				t.Fatalf("a good token: %d %s", status, body)
			}
			others := map[string]string{attackedAPI: attackedVault, attackedVault: attackedAPI}
			list := append(forge(t, n, good), forgery{"a good token for another API", appToken(t, client, others[tt.audience])}, forgery{"none", ""})
			for _, f := range list {
				status, body := request(t, client, "GET", tt.at, f.raw, "")
				// Graph believes who it is, and knows that they may nothing.
				denied := tt.name == "Microsoft Graph" && slices.Contains([]string{"of a person, for another scope", "of a principal that is not there", "of another tenant of the deployment"}, f.name)
				if status != http.StatusUnauthorized && !(denied && status == http.StatusForbidden) {
					t.Errorf("a token %s: %d %s", f.name, status, body)
				}
				if f.raw != "" && len(f.raw) > 40 && strings.Contains(body, f.raw[len(f.raw)-20:]) {
					t.Errorf("a token %s: the answer shows it", f.name)
				}
			}
		})
	}
	t.Run("userinfo", func(t *testing.T) {
		for _, f := range append(forge(t, n, api), forgery{"of an application", api}) {
			if status, body := request(t, client, "GET", attackedAPI+"/"+attacked+"/openid/userinfo", f.raw, ""); status != http.StatusUnauthorized && status != http.StatusForbidden {
				t.Errorf("a token %s: %d %s", f.name, status, body)
			}
		}
	})
}

// TestNamesLeadNowhereElse: a name that is a way out of its place is a name that
// there is not, at every API, however it is written.
func TestNamesLeadNowhereElse(t *testing.T) {
	_, client := attackedNode(t)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	api, vault := appToken(t, client, attackedAPI), appToken(t, client, attackedVault)
	ways := []string{"..", "../..", "..%2f..%2f", "%2e%2e%2f", "..%5c..", "%252e%252e%252f", "..%00", "....//", "%c0%ae%c0%ae%c0%af", "..;/", ".%2e"}
	for _, tt := range []struct{ at, bearer string }{
		{attackedAPI + "/subscriptions/" + attackedSub + "/resourceGroups/%s/etc/passwd?api-version=2021-04-01", api},
		{attackedAPI + "/subscriptions/%s/" + attackedSub + "?api-version=2021-04-01", api},
		{attackedAPI + "/subscriptions/" + attackedSub + "/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/%s/x?api-version=2023-07-01", api},
		{attackedAPI + "/v1.0/applications/%s/users", api},
		{attackedAPI + "/%s/v2.0/.well-known/openid-configuration", ""},
		{attackedAPI + "/" + attacked + "/%s/etc/passwd", ""},
		{"https://billing.vault.lab.example:8443/secrets/%s/x?api-version=7.4", vault},
	} {
		for _, way := range ways {
			status, body := request(t, client, "GET", strings.Replace(tt.at, "%s", way, 1), tt.bearer, "")
			// 3xx: the path is written plainly, and asked for again as that.
			if status < 300 || status >= 500 || strings.Contains(body, "root:") {
				t.Errorf("%s with %s: %d %.200s", tt.at, way, status, body)
			}
		}
	}
}

// TestTheTrailShowsSignIns at the control socket: who was refused and who was not,
// with where they came from.
func TestTheTrailShowsSignIns(t *testing.T) {
	n, client := attackedNode(t)
	d := n.plane.Load().directory
	u, err := d.CreateUser(t.Context(), directory.Ourselves(attacked, "test"), directory.User{Name: "ann@telecom.example", DisplayName: "Ann", Enabled: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := d.SignIn(t.Context(), attacked, u.Name, "a wrong guess", directory.Visitor{Source: "192.0.2.7"}); err == nil {
			t.Fatal("a guess is right")
		}
		appToken(t, client, attackedAPI)
	}
	for _, tt := range []struct {
		filter ops.AuditFilter
		source string
		what   string
		times  int64
	}{
		{ops.AuditFilter{Who: u.Name, Action: "users/signIn", Refused: true}, "192.0.2.7", "Denied: no password was set yet", 3},
		{ops.AuditFilter{Who: "onboarding", Action: "signIn", Scope: "/tenants/" + attacked}, "127.0.0.1", "Succeeded", 3},
	} {
		tt.filter.Limit = 10
		list, err := ops.Dial(n.cfg.Node.Socket()).Audit(t.Context(), tt.filter)
		times := int64(0)
		for _, l := range list { // two, should the hour turn meanwhile
			if times += l.Times; l.Source != tt.source || l.Outcome != tt.what || l.Latest.Before(l.At) {
				t.Errorf("%+v: %+v", tt.filter, l)
			}
		}
		if err != nil || times != tt.times || len(list) > 2 {
			t.Errorf("%+v: %+v, %v", tt.filter, list, err)
		}
	}
	if list, err := ops.Dial(n.cfg.Node.Socket()).Audit(t.Context(), ops.AuditFilter{Action: "users/create", Limit: 10}); err != nil || len(list) != 1 || list[0].Times != 1 {
		t.Errorf("what was made: %+v, %v", list, err)
	}
}
