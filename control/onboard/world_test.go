package onboard_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/control/operatorconnect"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/front/arm"
	"github.com/tandemgw/tandem/front/graph"
	"github.com/tandemgw/tandem/front/keyvault"
	"github.com/tandemgw/tandem/front/login"
	sandbox "github.com/tandemgw/tandem/sandbox/operatorconnect"
)

const (
	tenant   = "00000000-0000-4000-8000-00000000000a"
	sub      = "00000000-0000-4000-8000-000000000001"
	base     = "one.gateways.voice.example"
	graphURL = "https://graph.telecom.example"
	armURL   = "https://api.telecom.example"
	vaultURL = "https://vault.telecom.example"
	admin    = "anna@telecom.example"
	readerID = "11111111-2222-4333-8444-555555555555" // of the first-party application
)

// world is an operator's tenant with all that the steps ask: our own directory,
// vaults and login behind their APIs, and the sandbox's Operator Connect, all of
// them real; a gateway and the DNS are made up.
type world struct {
	testing.TB
	store     *store.Store
	directory *directory.Set
	vaults    *vault.Set
	connect   *sandbox.Environment
	gateways  *gateways
	names     *names
	reader    *readers // the organization of the first-party application
	loginURL  string
	trust     *x509.CertPool

	tenant *entra.Client // as Tandem Onboarding
	asked  *requests     // of Graph and of the vaults
	heard  int           // how many requests Operator Connect had when changes was asked
	log    *diary
	file   string // of the database
	cfg    onboard.Config
	set    *onboard.Set
	sub    onboard.Subject
}

// blank is a database with its tables and a directory's key: making those takes
// longer than all else in a world.
var blank = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "onboard")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "blank.db")
	st, err := store.Open(context.Background(), store.Config{URL: "sqlite:" + file})
	if err != nil {
		panic(err)
	}
	_, err = directory.Open(context.Background(), directory.Config{
		Store: st, Tenant: directory.Tenant{ID: tenant, Name: "telecom.example"}, Log: slog.New(slog.DiscardHandler),
		Audit: func(context.Context, *store.Tx, directory.Change) error { return nil },
	})
	if err := errors.Join(err, st.Close()); err != nil {
		panic(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	return text
})

// newWorld has nothing done. change may alter what the procedure sees.
func newWorld(t testing.TB, change ...func(*onboard.Parts)) *world {
	t.Helper()
	url := storetest.File(t)
	if err := os.WriteFile(strings.TrimPrefix(url, "sqlite:"), blank(), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, store: storetest.Open(t, url), file: strings.TrimPrefix(url, "sqlite:"), names: &names{texts: map[string][]string{}}, gateways: &gateways{}, asked: &requests{}, log: &diary{}}
	w.sub = onboard.Subject{Gateway: gateway.ID{Subscription: sub, Group: "voice", Name: "one"}, Service: "OperatorConnect"}
	quiet := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	subs := subscription.New(subscription.Config{
		Store: w.store, Tenant: subscription.Tenant{ID: tenant, Name: "Telecom"}, Subscriptions: []subscription.Subscription{{ID: sub, Name: "voice"}}, Log: quiet,
		Locations:   []subscription.Location{{Name: "westeurope", DisplayName: "West Europe", Management: true}},
		Assignments: []subscription.Assignment{{Scope: "/subscriptions/" + sub, Principal: directory.ObjectID(tenant, directory.OnboardingID), Role: subscription.Contributor}},
	})
	_, _, err := subs.PutGroup(t.Context(), subscription.Group{Subscription: sub, Name: "voice", Location: "westeurope"})
	w.must(err)

	parts := onboard.Parts{Log: quiet, Gateways: w.gateways, Zone: w.names, Suffix: "gateways.voice.example", Outside: map[onboard.Part]bool{}}
	for _, f := range change {
		f(&parts)
	}
	login := w.serveLogin(quiet)
	w.reader = startReaders(t)
	w.directory, err = directory.Open(t.Context(), directory.Config{
		Store: w.store, Tenant: directory.Tenant{ID: tenant, Name: "telecom.example"}, Graph: []string{graphURL}, Resolver: w.names, Log: quiet,
		Known: []directory.WellKnown{{AppID: readerID, Name: "Voice Secrets Reader", Publisher: "Microsoft", Federated: []directory.FederatedCredential{w.reader.credential()}}},
		HTTP:  w.reader.server.Client(),
		Audit: func(context.Context, *store.Tx, directory.Change) error { return nil },
	})
	w.must(err)
	_, err = w.directory.CreateUser(t.Context(), w.ourselves(), directory.User{Name: admin, DisplayName: "Anna", Enabled: true})
	w.must(err)
	w.vaults, err = vault.Open(t.Context(), vault.Config{Store: w.store, Keeper: vault.NewKeyFile(filepath.Join(t.TempDir(), "vault.key")), Tenant: tenant, Place: subs.Place, Audit: subs.Audit, Log: quiet})
	w.must(err)
	login(w.directory)

	issuers := issuers(w.loginURL)
	here := byHost{
		"graph.telecom.example": w.asked.count(graph.Handler(graph.Config{Directory: w.directory, URL: graphURL, Issuers: issuers, Log: quiet, Rate: graph.Rate{Burst: 1e6, PerSecond: 1e6}})),
		"api.telecom.example": w.asked.count(keyvault.Resources(keyvault.ResourcesConfig{
			Vaults: w.vaults, Subscriptions: subs, Tokens: arm.NewTokens(w.directory, issuers, []string{armURL}, tenant), URL: armURL, LoginURL: w.loginURL, VaultURL: vaultURL, Log: quiet,
		})),
		"vault.telecom.example": w.asked.count(keyvault.Handler(keyvault.Config{Vaults: w.vaults, Tokens: arm.NewTokens(w.directory, issuers, []string{vaultURL}, tenant), Tenant: tenant, URL: vaultURL, LoginURL: w.loginURL, Log: quiet})),
	}
	self := directory.ObjectID(tenant, directory.OnboardingID)
	w.reader.open = func(open entra.Token) (*entra.Vaults, error) {
		return entra.NewVaults(entra.VaultsConfig{Manager: armURL, Domain: "vault.telecom.example", Tenant: tenant, HTTP: entra.InProcess(from("203.0.113.9:5", here)), Manage: open, Open: open})
	}
	w.tenant, err = entra.New(entra.Config{URL: graphURL, Login: w.loginURL, Tenant: tenant, HTTP: entra.InProcess(here), Token: w.token(self, graphURL)})
	w.must(err)
	stores, err := entra.NewVaults(entra.VaultsConfig{Manager: armURL, Domain: "vault.telecom.example", Tenant: tenant, HTTP: entra.InProcess(here), Manage: w.token(self, armURL), Open: w.token(self, vaultURL), Closed: true})
	w.must(err)
	w.connect, err = sandbox.Start(sandbox.Config{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Certificate: certificate, Roots: w.trust})
	w.must(err)
	t.Cleanup(func() { w.connect.Close() })
	w.must(w.connect.Onboard(sandbox.Operator{Tenant: tenant, Name: "Telecom", Issuers: issuers, Suffix: "gateways.voice.example"}))

	parts.Systems = onboard.Systems{Directory: w.tenant, Vaults: stores, OperatorConnect: w.ask, Names: w.names, Issuer: issuers[0]}
	w.cfg = onboard.Config{Store: w.store, Parts: parts, Patience: time.Millisecond}
	w.start()
	return w
}

// start is a control node of its own, in the place of the one before: the rows
// are all that it knows.
func (w *world) start() {
	w.Helper()
	if w.cfg.Operations != nil {
		w.cfg.Operations.Close()
	}
	ops, err := operation.New(operation.Config{Store: w.store})
	w.must(err)
	w.cfg.Operations = ops
	w.set, err = onboard.New(w.cfg)
	w.must(err)
	w.must(ops.Start(context.Background()))
	w.Cleanup(ops.Close)
}

// database is the database as it lies on the disk.
func (w *world) database() (text string) {
	w.Helper()
	found, err := filepath.Glob(w.file + "*")
	w.must(err)
	if len(found) == 0 {
		w.Fatalf("no file %s", w.file)
	}
	for _, at := range found {
		b, err := os.ReadFile(at)
		w.must(err)
		text += string(b)
	}
	return text
}

// diary is a log.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer // mu
}

func (d *diary) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(b)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) ourselves() directory.Caller { return directory.Ourselves(tenant, "the test") }

func issuers(url string) []string { return login.Issuers(url, tenant) }

// certificate is httptest's, for 127.0.0.1.
func certificate() (*tls.Certificate, error) {
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	defer srv.Close()
	return &srv.TLS.Certificates[0], nil
}

// serveLogin listens before there is a directory, whose issuer has its address.
func (w *world) serveLogin(log *slog.Logger) func(*directory.Set) {
	var handler http.Handler
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handler.ServeHTTP(rw, r) }))
	srv.StartTLS()
	w.Cleanup(srv.Close)
	w.loginURL, w.trust = srv.URL, x509.NewCertPool()
	w.trust.AddCert(srv.Certificate())
	return func(d *directory.Set) {
		handler = login.Handler(login.Config{Directory: d, URL: srv.URL, Resources: []string{graphURL, armURL, vaultURL, directory.SynergyID}, Log: log})
	}
}

// token is one that the deployment gives to a principal of its own.
func (w *world) token(object, audience string) entra.Token {
	return func(ctx context.Context) (obs.Secret, error) {
		t, err := w.directory.IssueFor(ctx, object, issuers(w.loginURL)[0], audience)
		return t.Raw, err
	}
}

// trusting reaches the login and Operator Connect.
func (w *world) trusting() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.trust}, DisableKeepAlives: true}
}

// ask is Operator Connect, asked by a gateway's identity or a registration.
func (w *world) ask(a onboard.Asker) (*operatorconnect.Client, error) {
	trust := w.trusting()
	c := operatorconnect.Config{URL: w.connect.URL(), Application: a.Application, HTTP: trust, Suffixes: []string{"gateways.voice.example"}}
	if a.Secret != nil {
		c.Token = operatorconnect.SignIn(entra.SignIn{Login: w.loginURL, Tenant: tenant, Client: a.Application, Scope: operatorconnect.Scope, Secret: a.Secret, HTTP: trust})
	} else {
		get := w.token(a.Principal, directory.SynergyID)
		c.Token = func(ctx context.Context, _ bool) (obs.Secret, error) { return get(ctx) }
	}
	return operatorconnect.New(c)
}

// portal lists an application as a person does who has the role Admin.
func (w *world) portal(id string) {
	w.Helper()
	_, err := w.person().AddApplicationID(w.Context(), id, "")
	w.must(err)
}

// person is Operator Connect as the user sees it who has the role Admin.
func (w *world) person() *operatorconnect.Client {
	w.Helper()
	u, err := w.tenant.UserNamed(w.Context(), admin)
	w.must(err)
	w.consent()
	trust := w.trusting()
	c, err := operatorconnect.New(operatorconnect.Config{URL: w.connect.URL(), HTTP: trust, Token: func(ctx context.Context, _ bool) (obs.Secret, error) {
		t, err := w.directory.IssueUser(ctx, directory.Delegation{Tenant: tenant, User: u.ID, Client: directory.GraphToolsID, Issuer: issuers(w.loginURL)[0], Audience: directory.SynergyID, Methods: []string{"pwd"}})
		return t.Raw, err
	}})
	w.must(err)
	return c
}

// consent lets a program of the user's act for them at Operator Connect.
func (w *world) consent() {
	w.Helper()
	p, err := w.tenant.PrincipalOf(w.Context(), directory.GraphToolsID)
	if fault.Of(err) == fault.NotFound {
		p, err = w.tenant.AddPrincipal(w.Context(), directory.GraphToolsID, "")
	}
	w.must(err)
	s, err := w.tenant.PrincipalOf(w.Context(), directory.SynergyID)
	w.must(err)
	grants, err := w.tenant.Grants(w.Context(), p.ID)
	w.must(err)
	if len(grants) == 0 {
		w.must(w.tenant.Consent(w.Context(), entra.Grant{Client: p.ID, ConsentType: "AllPrincipals", Resource: s.ID, Scope: "user_impersonation"}))
	}
}

// byHost gives a request to who serves its host, or the domain above it.
type byHost map[string]http.Handler

func (b byHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, above, _ := strings.Cut(r.Host, ".")
	for _, host := range []string{r.Host, above} {
		if h := b[host]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
	}
	http.Error(w, "no such host", http.StatusMisdirectedRequest)
}

// requests counts those that change something.
type requests struct {
	mu      sync.Mutex
	changes []string // mu
}

func (q *requests) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			q.mu.Lock()
			q.changes = append(q.changes, r.Method+" "+r.URL.Path)
			q.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

func (q *requests) take() (all []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all, q.changes = q.changes, nil
	return all
}

// names is the DNS: our zone, and what everybody finds.
type names struct {
	mu    sync.Mutex
	texts map[string][]string // mu
	ns    map[string][]string
	news  []string // mu: what of texts has changed
	away  bool     // nothing answers
	asked int      // how often for ns
}

// errAway is what a resolver says that reaches nobody.
func (n *names) errAway(name string) error {
	return &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
}

func (n *names) at(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func (n *names) LookupTXT(_ context.Context, name string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away {
		return nil, n.errAway(name)
	}
	if list := n.texts[n.at(name)]; len(list) > 0 {
		return slices.Clone(list), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (n *names) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (n *names) LookupNS(_ context.Context, name string) (list []*net.NS, err error) {
	if n.away {
		return nil, n.errAway(name)
	}
	n.asked++
	for i, s := range n.ns[n.at(name)] {
		s = n.ns[n.at(name)][(i+n.asked)%len(n.ns[n.at(name)])] // in turns, as servers do
		list = append(list, &net.NS{Host: s + "."})
	}
	return list, nil
}

func (n *names) AddText(_ context.Context, name, value string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := n.at(name); !slices.Contains(n.texts[at], value) {
		n.texts[at] = append(n.texts[at], value)
		n.news = append(n.news, "TXT "+at)
	}
	return nil
}

func (n *names) RemoveText(_ context.Context, name, value string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.texts[n.at(name)] = slices.DeleteFunc(n.texts[n.at(name)], func(s string) bool { return s == value })
	return nil
}

func (n *names) take() (all []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	all, n.news = n.news, nil
	return all
}

func (n *names) Visible(ctx context.Context, name, value string) error {
	if list, err := n.LookupTXT(ctx, name); err != nil || !slices.Contains(list, value) {
		return errors.New("not there")
	}
	return nil
}

// gateways are those of the deployment: one, or none yet.
type gateways struct {
	mu          sync.Mutex
	one         *gateway.Resource // mu
	lines       []gateway.TestLine
	integration []gateway.IntegrationNumber
	counts      []gateway.Count
}

var errNone = fault.New(fault.NotFound, "there is no such gateway")

func (g *gateways) Get(_ context.Context, id gateway.ID) (gateway.Resource, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.one == nil || g.one.ID.Key() != id.Key() {
		return gateway.Resource{}, errNone
	}
	return *g.one, nil
}

func (g *gateways) List(context.Context, gateway.Scope, gateway.Page) ([]gateway.Resource, string, error) {
	if g.one == nil {
		return nil, "", nil
	}
	return []gateway.Resource{*g.one}, "", nil
}

func (g *gateways) Readiness(ctx context.Context, id gateway.ID) (gateway.Readiness, error) {
	r, err := g.Get(ctx, id)
	if err != nil {
		return gateway.Readiness{}, err
	}
	out := gateway.Readiness{Gateway: r.ID, Status: r.Properties.Status}
	for _, p := range r.Properties.Platforms {
		out.Services = append(out.Services, gateway.ServiceReadiness{Service: p, Counts: g.counts})
	}
	return out, nil
}

func (g *gateways) ListTestLines(context.Context, gateway.ID) ([]gateway.TestLine, error) {
	if g.one == nil {
		return nil, errNone
	}
	return g.lines, nil
}

func (g *gateways) IntegrationNumbers(context.Context, gateway.ID) ([]gateway.IntegrationNumber, error) {
	if g.one == nil {
		return nil, errNone
	}
	return g.integration, nil
}

// deploy makes the gateway as the resource API would, with its identity.
func (w *world) deploy(change ...func(*gateway.Resource)) {
	w.Helper()
	r := gateway.Resource{
		ID: w.sub.Gateway,
		Gateway: gateway.Gateway{
			Name: "one", Location: "westeurope",
			Properties: gateway.Properties{
				ServiceLocations: []gateway.ServiceLocation{
					{Name: "westeurope", PrimaryRegionProperties: gateway.PrimaryRegionProperties{OperatorAddresses: []string{"198.51.100.1"}}},
					{Name: "northeurope", PrimaryRegionProperties: gateway.PrimaryRegionProperties{OperatorAddresses: []string{"198.51.100.2"}}},
				},
				Codecs: []string{"PCMA"}, E911Type: "Standard", Platforms: []string{"OperatorConnect"},
				ProvisioningState: gateway.Succeeded, Status: gateway.Complete, AutoGeneratedDomainNameLabel: "one",
			},
		},
		System: gateway.SystemData{CreatedAt: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)},
	}
	w.must(w.store.Write(w.Context(), func(tx *store.Tx) error {
		p, err := w.directory.MakeManagedIdentity(w.Context(), tx, directory.Identity{Resource: r.ID.Key(), Name: "one"})
		r.Identity = &gateway.Identity{Type: "SystemAssigned", PrincipalID: p.ID, TenantID: tenant}
		return err
	}))
	w.gateways.counts = []gateway.Count{{What: "Automated lines", Have: 6, Want: 6}, {What: "integration numbers", Have: 1, Want: 1}}
	for _, f := range change {
		f(&r)
	}
	w.gateways.mu.Lock()
	w.gateways.one = &r
	w.gateways.mu.Unlock()
}

// declare says facts: name, value, name, value.
func (w *world) declare(said ...string) {
	w.Helper()
	facts := map[string]string{}
	for i := 0; i < len(said); i += 2 {
		facts[said[i]] = said[i+1]
	}
	w.must(w.set.Declare(w.Context(), w.sub, facts, "anna"))
}

// apply applies, and gives the plan after it.
func (w *world) apply(opts onboard.Options) onboard.Plan {
	w.Helper()
	_, err := w.set.Apply(w.Context(), w.sub, opts, "anna")
	w.must(err)
	for {
		_, op, err := w.set.Follow(w.Context(), w.sub, 1<<40)
		w.must(err)
		if op != nil && op.Status.Ended() {
			break
		}
	}
	return w.plan(opts)
}

func (w *world) plan(opts onboard.Options) onboard.Plan {
	w.Helper()
	p, err := w.set.Plan(w.Context(), w.sub, opts)
	w.must(err)
	return p
}

// step is one step of a plan.
func (w *world) step(p onboard.Plan, id string) onboard.Status {
	w.Helper()
	i := slices.IndexFunc(p.Steps, func(st onboard.Status) bool { return st.ID == id })
	if i < 0 {
		w.Fatalf("the plan has no step %s", id)
	}
	return p.Steps[i]
}

// is demands the state of a step, and words of what is said about it.
func (w *world) is(p onboard.Plan, id string, state onboard.State, words ...string) onboard.Status {
	w.Helper()
	st := w.step(p, id)
	text, _ := json.Marshal(st)
	if st.State != state {
		w.Errorf("%s is %s, want %s: %s", id, st.State, state, text)
	}
	for _, s := range words {
		if !strings.Contains(string(text), s) {
			w.Errorf("%s does not say %q: %s", id, s, text)
		}
	}
	return st
}
