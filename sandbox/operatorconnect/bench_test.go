package operatorconnect

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/sandbox/authority"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenantA     = "aaaaaaaa-0000-4000-8000-000000000001"
	tenantB     = "bbbbbbbb-0000-4000-8000-000000000002"
	enterprise1 = "cccccccc-0000-4000-8000-000000000003"
	enterprise2 = "dddddddd-0000-4000-8000-000000000004"
	gatewayApp  = "11111111-0000-4000-8000-00000000000a" // of a gateway's managed identity
	billingApp  = "22222222-0000-4000-8000-00000000000b"
	suffix      = "gw.lab.test"
)

// seven are the roles of a gateway's identity.
var seven = []string{"TrunkManagement.Read", "TrunkManagement.Write", "partnerSettings.Read", "NumberManagement.Read", "NumberManagement.Write", "Data.Read", "Data.Write"}

// bench is an environment with one operator and its directory.
type bench struct {
	t      *testing.T
	env    *Environment
	issuer *issuer
	http   *http.Client
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	ca, err := authority.New("Test")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(authority.Terms{}, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, issuer: newIssuer(t, tenantA)}
	roots := ca.Roots()
	pool := x509.NewCertPool()
	pool.AddCert(b.issuer.server.Certificate())
	cfg := Config{
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Certificate: func() (*tls.Certificate, error) { return cert, nil },
		Roots: pool, Work: 20 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	if b.env, err = Start(cfg); err != nil {
		t.Fatal(err)
	}
	both := roots.Clone()
	both.AddCert(b.issuer.server.Certificate())
	b.http = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: both, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(func() {
		b.http.CloseIdleConnections()
		if err := b.env.Close(); err != nil {
			t.Error(err)
		}
	})
	b.onboard()
	return b
}

func (b *bench) onboard() {
	b.t.Helper()
	if err := b.anew(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) anew() error {
	return b.env.Onboard(Operator{Tenant: tenantA, Name: "Telecom A", Issuers: []string{b.issuer.name()}, Suffix: suffix})
}

// list puts an application on the list by hand.
func (b *bench) list(apps ...string) {
	for _, app := range apps {
		if err := b.env.List(tenantA, app, "test"); err != nil {
			b.t.Fatal(err)
		}
	}
}

// program is a token of a program.
func (b *bench) program(app string, roles ...string) string {
	return b.issuer.sign(b.issuer.claims(app, roles, nil))
}

// person is a token of a person, by some program that is not listed.
func (b *bench) person(roles ...string) string {
	return b.issuer.sign(b.issuer.claims("99999999-0000-4000-8000-000000000099", roles, map[string]any{"idtyp": "user", "name": "Ada", "scp": "user_impersonation"}))
}

// got is an answer.
type got struct {
	status int
	code   string
	header http.Header
	body   map[string]any
	raw    []byte
}

// value are the entries of a list.
func (g got) value() []any { v, _ := g.body["value"].([]any); return v }

func (g got) str(path ...string) string {
	s, _ := theDocument().at(map[string]any(g.body), path...).(string)
	return s
}

// ask makes a request of the API and holds the answer against the document.
func (b *bench) ask(token, method, path string, body any, header ...string) got {
	b.t.Helper()
	var in io.Reader
	switch x := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(x)
	default:
		text, err := json.Marshal(x)
		if err != nil {
			b.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	if !strings.HasPrefix(path, "https://") {
		path = b.env.URL() + root + path
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, path, in)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	g := got{status: res.StatusCode, code: res.Header.Get("x-ms-error-code"), header: res.Header}
	if g.raw, err = io.ReadAll(res.Body); err != nil {
		b.t.Fatal(err)
	}
	_ = json.Unmarshal(g.raw, &g.body) // judged below
	if op, known := b.operation(method, req.URL.Path); known {
		theDocument().judge(b.t, op, res, g.raw)
	}
	return g
}

// operation is the one that a request is.
func (b *bench) operation(method, path string) (operation, bool) {
	parts := strings.Split(strings.TrimPrefix(path, root), "/")
	for _, op := range operations {
		m, p, _ := strings.Cut(op.pattern, " ")
		want := strings.Split(p, "/")
		fits := m == method && len(want) == len(parts)
		for i := range want {
			fits = fits && (want[i] == parts[i] || strings.HasPrefix(want[i], "{") && !strings.Contains("upload assign release", parts[i]))
		}
		if fits {
			return op, true
		}
	}
	return operation{}, false
}

// must ends the test unless an answer has a status.
func (b *bench) must(g got, status int) got {
	b.t.Helper()
	if g.status != status {
		b.t.Fatalf("%d %s, want %d: %s", g.status, g.code, status, g.raw)
	}
	return g
}

// refused checks an answer that is an error.
func (b *bench) refused(g got, status int, code string) {
	b.t.Helper()
	if g.status != status || g.code != code {
		b.t.Errorf("%d %s, want %d %s: %s", g.status, g.code, status, code, g.raw)
	}
}

// gateway is a listed gateway's identity with its roles.
func (b *bench) gateway() string {
	b.list(gatewayApp, gatewaysApp)
	return b.program(gatewayApp, seven...)
}

// trunks makes two trunks of a gateway and the profile that goes over them.
func (b *bench) trunks(token string) (profile string, trunks []string) {
	b.t.Helper()
	for _, name := range []string{"1r1.label." + suffix, "1r2.label." + suffix} {
		trunks = append(trunks, b.must(b.ask(token, "POST", "/trunks", map[string]any{"trunkFqdn": name, "sipSignalingPort": 5063}), 201).str("trunkId"))
	}
	return b.must(b.ask(token, "POST", "/callingprofiles", b.profile("lab", trunks)), 201).str("callingProfileId"), trunks
}

func (b *bench) profile(name string, trunks []string) map[string]any {
	return map[string]any{
		"name": name, "nameSuffix": "CommsGw", "region": "Europe", "offerTypes": []any{map[string]any{"offerTypeName": "Calling", "testNumbers": []string{"+442079460001"}}},
		"emergencyDialStrings": []string{"112", "999"}, "trunkIds": trunks,
	}
}

// choose lets an enterprise choose the operator.
func (b *bench) choose(tenant, status string) string {
	b.t.Helper()
	id, err := b.env.Choose(tenantA, Lead{
		Tenant: tenant, Name: "Contoso", Status: status, Countries: []string{"GB"}, Contacts: []Contact{{FullName: "Grace", Email: "grace@contoso.example"}},
		Addresses: []CivicAddress{{ID: "eeeeeeee-0000-4000-8000-00000000000e", Country: "GB", StreetName: "Strand", CityOrTown: "London"}, {ID: "eeeeeeee-0000-4000-8000-00000000000f", Country: "DE", CityOrTown: "Berlin"}},
		Others:    []NumberStatus{{"+442079469999", "DirectRouting", "", ""}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// ended waits for the end of an order and gives it.
func (b *bench) ended(token string, order got) got {
	b.t.Helper()
	b.must(order, 202)
	for end := time.Now().Add(5 * time.Second); ; {
		g := b.must(b.ask(token, "GET", order.header.Get("Location"), nil), 200)
		switch g.str("status") {
		case "success", "partial_success", "error":
			return g
		}
		if g.header.Get("Retry-After") == "" {
			b.t.Error("no Retry-After while an order is not at its end")
		}
		if time.Now().After(end) {
			b.t.Fatalf("the order does not end: %s", g.raw)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-b.t.Context().Done():
		}
	}
}

// browser is one with cookies of its own.
type browser struct {
	b    *bench
	http *http.Client
}

func (b *bench) browser() *browser {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &browser{b, &http.Client{Transport: b.http.Transport, Jar: jar, Timeout: 20 * time.Second}}
}

// page is what a browser shows.
type page struct {
	status int
	text   string
	at     *url.URL
	header http.Header
}

func (w *browser) do(method, path string, form url.Values, header ...string) page {
	w.b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	if strings.HasPrefix(path, "/") {
		path = w.b.env.URL() + path
	}
	req, err := http.NewRequestWithContext(context.Background(), method, path, body)
	if err != nil {
		w.b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := w.http.Do(req)
	if err != nil {
		w.b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.b.t.Fatal(err)
	}
	return page{res.StatusCode, string(text), res.Request.URL, res.Header}
}

func (w *browser) get(path string) page { w.b.t.Helper(); return w.do("GET", path, nil) }

// signIn signs a person with roles in.
func (w *browser) signIn(roles ...string) page {
	w.b.t.Helper()
	w.b.issuer.mu.Lock()
	w.b.issuer.person = map[string]any{"oid": uuid.NewString(), "name": "Ada Lovelace", "preferred_username": "ada@a.example", "roles": roles}
	w.b.issuer.mu.Unlock()
	return w.get("/signin")
}

// csrf is the token of a page's forms.
func (p page) csrf() string {
	_, rest, _ := strings.Cut(p.text, `name="csrf" value="`)
	token, _, _ := strings.Cut(rest, `"`)
	return token
}
