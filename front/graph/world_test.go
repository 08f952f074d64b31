package graph_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/front/graph"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant = "7f8d5c6e-0000-4000-8000-000000000001"
	api    = "https://graph.telecom.example"
	issuer = "https://login.telecom.example/" + tenant + "/v2.0"
)

// object is JSON.
type object = map[string]any

// world is a directory with its API, and people and programs that ask it.
type world struct {
	testing.TB
	store     *store.Store
	directory *directory.Set
	handler   http.Handler
	dns       *names
	logged    *strings.Builder
	ours      directory.Caller
}

// names is a DNS.
type names struct {
	mu    sync.Mutex
	texts map[string][]string // mu
}

func (n *names) LookupTXT(_ context.Context, name string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if found := n.texts[strings.TrimSuffix(name, ".")]; found != nil {
		return found, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (n *names) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (n *names) set(name, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.texts[name] = append(n.texts[name], text)
}

func newWorld(t testing.TB, change ...func(*graph.Config)) *world {
	t.Helper()
	w := &world{TB: t, dns: &names{texts: map[string][]string{}}, logged: &strings.Builder{}, ours: directory.Ourselves(tenant, "test")}
	log := slog.New(slog.NewTextHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.store = storetest.New(t)
	var err error
	w.directory, err = directory.Open(t.Context(), directory.Config{
		Store: w.store, Tenant: directory.Tenant{ID: tenant, Name: "Telecom", Domain: "telecom.example"}, Others: []directory.Tenant{{ID: "7f8d5c6e-0000-4000-8000-000000000002", Name: "Lab", Domain: "lab.example"}}, Graph: []string{api}, Address: api, Resolver: w.dns, Log: log,
	})
	w.must(err)
	c := graph.Config{Directory: w.directory, URL: api, LoginURL: "https://login.telecom.example", Issuers: []string{issuer}, Log: log, Rate: graph.Rate{Burst: 10_000, PerSecond: 10_000}}
	for _, f := range change {
		f(&c)
	}
	w.handler = graph.Handler(c)
	t.Cleanup(func() {
		if strings.Contains(w.logged.String(), "eyJ") { // every token begins so
			t.Error("the log shows a token")
		}
		if t.Failed() {
			t.Log(w.logged.String())
		}
	})
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// user is the token of a person with directory roles, who uses a program that
// was granted the scopes.
func (w *world) user(name string, roles []directory.DirectoryRole, scopes ...string) string {
	w.Helper()
	u, err := w.directory.User(w.Context(), w.ours, name+"@telecom.example")
	if err != nil {
		u, err = w.directory.CreateUser(w.Context(), w.ours, directory.User{Name: name + "@telecom.example", DisplayName: name, Enabled: true})
		w.must(err)
		for _, r := range roles {
			w.must(w.directory.AssignDirectoryRole(w.Context(), w.ours, r, u.ID))
		}
	}
	tools := w.principal(directory.GraphToolsID)
	_, err = w.directory.Allow(w.Context(), w.ours, directory.Grant{
		Client: tools.ID, ConsentType: directory.OnePrincipal, Principal: u.ID, Resource: w.principal(directory.GraphID).ID, Scopes: scopes,
	})
	w.must(err)
	token, err := w.directory.IssueUser(w.Context(), directory.Delegation{Tenant: tenant, User: u.ID, Client: directory.GraphToolsID, Issuer: issuer, Audience: api, Scopes: scopes})
	w.must(err)
	return string(token.Raw)
}

// principal is that of an application, made when there is none.
func (w *world) principal(appID string) directory.ServicePrincipal {
	w.Helper()
	p, err := w.directory.PrincipalOf(w.Context(), w.ours, appID)
	if err != nil {
		p, err = w.directory.AddPrincipal(w.Context(), w.ours, appID, "")
	}
	w.must(err)
	return p
}

// program is a program that acts for itself, with the application permissions.
func (w *world) program(name string, permissions ...string) (directory.ServicePrincipal, string) {
	w.Helper()
	a, err := w.directory.CreateApplication(w.Context(), w.ours, directory.Application{DisplayName: name})
	w.must(err)
	p := w.principal(a.AppID)
	g := w.principal(directory.GraphID)
	for _, value := range permissions {
		r, ok := g.Role(value)
		if !ok {
			w.Fatalf("Graph has no role %s", value)
		}
		_, err := w.directory.Assign(w.Context(), w.ours, directory.Assignment{Principal: p.ID, Resource: g.ID, Role: r.ID})
		w.must(err)
	}
	return p, w.tokenOf(p.ID)
}

func (w *world) tokenOf(principal string) string {
	w.Helper()
	token, err := w.directory.IssueFor(w.Context(), principal, issuer, api)
	w.must(err)
	return string(token.Raw)
}

// admin is the token of a Global Administrator whose program may do what he
// may.
func (w *world) admin() string {
	return w.user("root", []directory.DirectoryRole{directory.GlobalAdministrator}, "Directory.AccessAsUser.All")
}

// response is what came back.
type response struct {
	*httptest.ResponseRecorder
	w    *world
	said string // method and path
}

// ask sends a request.
func (w *world) ask(token, method, path string, body any) response {
	w.Helper()
	text := ""
	switch b := body.(type) {
	case nil:
	case string:
		text = b
	default:
		j, err := json.Marshal(b)
		w.must(err)
		text = string(j)
	}
	r := httptest.NewRequest(method, strings.NewReplacer(" ", "%20", "\"", "%22").Replace(api+"/v1.0"+path), strings.NewReader(text)).WithContext(w.Context())
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return response{rec, w, method + " " + path}
}

// is demands a status, and gives the body.
func (r response) is(status int) object {
	r.w.Helper()
	if r.Code != status {
		r.w.Fatalf("%s: %d %s, want %d", r.said, r.Code, r.Body, status)
	}
	if r.Body.Len() == 0 {
		return nil
	}
	var o object
	if err := json.Unmarshal(r.Body.Bytes(), &o); err != nil {
		r.w.Fatalf("%s: %v: %s", r.said, err, r.Body)
	}
	return o
}

// fails demands an error.
func (r response) fails(status int, code, message string) {
	r.w.Helper()
	o := r.is(status)
	e, _ := o["error"].(object)
	if e["code"] != code || !strings.Contains(e["message"].(string), message) {
		r.w.Errorf("%s: %v, want %s: %s", r.said, e, code, message)
	}
	if inner, _ := e["innerError"].(object); inner["request-id"] != r.Header().Get("request-id") || inner["date"] == nil {
		r.w.Errorf("%s: %v does not say which request it was", r.said, e)
	}
}

// list gives the values of a list.
func (r response) list() (list []object) {
	r.w.Helper()
	o := r.is(http.StatusOK)
	values, is := o["value"].([]any)
	if !is {
		r.w.Fatalf("%s: no list: %v", r.said, o)
	}
	for _, v := range values {
		list = append(list, v.(object))
	}
	return list
}

// all gives one property of all that a list has.
func (r response) all(name string) string {
	r.w.Helper()
	var s []string
	for _, o := range r.list() {
		text, _ := o[name].(string)
		s = append(s, text)
	}
	return strings.Join(s, " ")
}
