// Package operatorconnect plays the Operator Connect environment: the partner
// API that operators' programs use, and the portal that their people sign in
// to.
//
// What it demands is what onboarding is for. A tenant is unknown until the
// onboarding team has let it in (Onboard). A program needs a token of its
// tenant for Project Synergy, the application role that each operation asks
// for, and its Application ID on the list of /operator/configuration; without
// the last it gets 403 (Azure Communications Gateway docs, "Add the Application
// IDs for Azure Communications Gateway to Operator Connect"). Calling profiles
// with the suffix CommsGw and trunks of a gateway's domain belong to the
// application that made them; others are warned, and must say that they mean it.
//
// The shapes are those of docs/operatorconnect.openapi.yaml, which is ours and
// inferred. It is written from that document and the public facts, not from
// the product's client, so that mistakes do not agree with each other. All of
// it is in memory. Start reading at Environment, then api.go for what each
// operation asks for, token.go for who is let in, portal.go for people.
package operatorconnect

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// ProjectSynergy is the application that Operator Connect is in the directory
// of an operator: the audience of tokens, and what people sign in to.
const ProjectSynergy = "eb63d611-525e-4a31-abd7-0cb33f679599"

// Config is what an Environment is made of.
type Config struct {
	Listen      netip.AddrPort // port 0 picks one
	Certificate func() (*tls.Certificate, error)
	URL         string // by which it is reached: "https://operatorconnect.lab.example:8444"; "": by address
	// Roots are those it trusts the operators' issuers to, and Dial how it
	// reaches them; nil: as the machine does.
	Roots *x509.CertPool
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	// Verified tells whether a trunk's name is of a domain that is verified in
	// its tenant's directory, and Health whether Teams uses it, and when its
	// OPTIONS came last. Neither must block. nil: nobody knows.
	Verified func(fqdn string) bool
	Health   func(fqdn string) (active bool, options time.Time)
	// Work is how long an order of numbers takes; 100 ms when zero.
	Work time.Duration
	Log  *slog.Logger // nil discards
}

// Operator is a tenant that has been onboarded.
type Operator struct {
	Tenant string // ID of its directory
	Name   string
	Test   bool // its environment is not the productive one
	// Issuers are the names under which its directory issues tokens: each is
	// asked for its keys by OpenID Connect discovery. People sign in at the
	// first.
	Issuers []string
	// Suffix is the domain that gateways' trunks are under
	// ("commsgw.azure.com").
	Suffix string
}

// Environment is all of it.
type Environment struct {
	cfg    Config       // RO
	url    string       // RO
	server *http.Server // RO
	addr   netip.AddrPort
	http   *http.Client // RO: towards issuers
	ctx    context.Context
	stop   context.CancelFunc
	tasks  sync.WaitGroup

	usable atomic.Pointer[map[string]bool] // trunks that Teams may use, by name

	mu        sync.Mutex
	operators map[string]*operator  // mu; by tenant
	faults    Faults                // mu
	asked     []Request             // mu; the newest last
	sessions  map[[32]byte]*session // mu; by the hash of what the browser has
	visits    map[[32]byte]visit    // mu; sign-ins under way
}

// Start opens the environment. No tenant is onboarded yet.
func Start(cfg Config) (*Environment, error) {
	listener, err := net.Listen("tcp", cfg.Listen.String())
	if err != nil {
		return nil, fmt.Errorf("start Operator Connect: %w", err)
	}
	cfg.Work = cmp.Or(cfg.Work, 100*time.Millisecond)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Environment{
		cfg: cfg, addr: listener.Addr().(*net.TCPAddr).AddrPort(),
		operators: map[string]*operator{}, sessions: map[[32]byte]*session{}, visits: map[[32]byte]visit{},
	}
	e.url = strings.TrimRight(cmp.Or(cfg.URL, "https://"+e.addr.String()), "/")
	e.ctx, e.stop = context.WithCancel(context.Background())
	e.http = &http.Client{
		Timeout:       issuerTime,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12}, DialContext: cfg.Dial, MaxIdleConnsPerHost: 4, IdleConnTimeout: 10 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	e.server = &http.Server{
		Handler: e.handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog:  slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cfg.Certificate() }},
	}
	e.tasks.Go(func() { _ = e.server.ServeTLS(listener, "", "") }) // ends with Close
	return e, nil
}

// Close ends it.
func (e *Environment) Close() error {
	e.stop()
	err := e.server.Close()
	e.tasks.Wait()
	e.http.CloseIdleConnections()
	return err
}

// Addr is where it listens.
func (e *Environment) Addr() netip.AddrPort { return e.addr }

// URL is by which it is reached.
func (e *Environment) URL() string { return e.url }

// Onboard is what the onboarding team does when it has an operator's form:
// before, nobody of the tenant is let in. An operator that is known keeps what
// it has.
func (e *Environment) Onboard(o Operator) error {
	if o.Tenant == "" || len(o.Issuers) == 0 {
		return errors.New("onboard an operator: it has no tenant, or nobody who issues its tokens")
	}
	o.Tenant = strings.ToLower(o.Tenant)
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.publish()
	if known := e.operators[o.Tenant]; known != nil {
		known.Operator, known.doors = o, newDoors(o)
		return nil
	}
	e.operators[o.Tenant] = newOperator(o)
	return nil
}

// Offboard takes an operator out, with all that it has.
func (e *Environment) Offboard(tenant string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.publish()
	delete(e.operators, strings.ToLower(tenant))
}

// operator is one with all that it has, which is the Environment's mu's.
type operator struct {
	tenant string // RO

	Operator
	doors []*door

	id        string
	contact   Contact
	modified  time.Time
	version   int
	sequence  int // of what is made
	apps      []ApplicationID
	trunks    []*Trunk
	profiles  []*Profile
	consents  []*Consent
	tenants   map[string]*enterprise
	durations map[string]CallDuration // by callId and direction
	repeats   map[string]repeat
}

func newOperator(o Operator) *operator {
	return &operator{
		tenant: o.Tenant, Operator: o, doors: newDoors(o), id: uuid.NewSHA1(uuid.NameSpaceOID, []byte("operator "+o.Tenant)).String(), modified: now(),
		tenants: map[string]*enterprise{}, durations: map[string]CallDuration{}, repeats: map[string]repeat{},
	}
}

// home is an operator's name, and its own directory, where its people sign in.
func (e *Environment) home(o *operator) (name string, d *door) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return o.Name, o.doors[0]
}

// next numbers what is made, so that lists have an order.
func (o *operator) next() int {
	o.sequence++
	return o.sequence
}

// now is the time as it is told: to the second.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// handler serves programs below /api/, people elsewhere.
func (e *Environment) handler() http.Handler {
	m := http.NewServeMux()
	m.Handle(root+"/", e.api())
	m.Handle("/", e.portal())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		m.ServeHTTP(w, r)
	})
}
