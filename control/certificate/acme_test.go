package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/certificate/acmetest"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/control/zone"
)

// world is a zone that serves one gateway, and an edge of it.
func startZone(t testing.TB, db *store.Store) *zone.Set {
	t.Helper()
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	z, err := zone.New(t.Context(), zone.Config{
		Store: db, Suffix: "gateways.lab.example", Listen: at("127.0.0.1:0"), NameServers: []zone.NameServer{{Name: "ns1.gateways.lab.example"}},
		Gateways: func(context.Context) ([]zone.Gateway, error) {
			return []zone.Gateway{{Base: base, Regions: []zone.Region{{Name: "westeurope", Edges: []zone.Edge{{Node: "r1-a", Listeners: []zone.Listener{
				{Side: "operator", Transport: "tls", Addr: at("127.0.0.1:5061")}, {Side: "cloud", Transport: "tls", Addr: at("127.0.0.1:5063")},
			}}}}}}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := z.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := z.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return z
}

func by(p *acmetest.Authority, dir string, z tokens) func(*Config) {
	return func(c *Config) {
		c.Roots = p.Trusted
		c.ACME = &ACME{Directory: p.URL + "/dir", Contact: "hostmaster@telecom.example", Agreed: true, Dir: dir, Zone: z, Client: p.Client()}
	}
}

// listening is a TLS listener of the edge, as its SIP stack has it: the
// certificate is asked for at each handshake.
func listening(t testing.TB, n *node) net.Addr {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.keeper.Certificate(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the far side
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr()
}

func dial(t testing.TB, addr net.Addr, roots *x509.CertPool, name string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", addr.String(), &tls.Config{RootCAs: roots, ServerName: name})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The whole cycle: order, token in our zone, chain, handshakes with it,
// renewal, handshakes with the new one, and a connection that goes on.
func TestACMEWholeCycle(t *testing.T) {
	db := storetest.New(t)
	z := startZone(t, db)
	p := acmetest.Start(t, z.Addr(), 12) // seconds
	n, dir := newNode(t), t.TempDir()
	s := start(t, db, n, by(p, dir, z))
	at := listening(t, n)
	order(t, s)
	first := until(t, s, "is shown", in(Shown))

	conn := dial(t, at, p.Trusted, "r1."+base)
	dial(t, at, p.Trusted, "contoso.1r1."+base)
	leaf := conn.ConnectionState().PeerCertificates[0]
	if !first.Ends.Equal(leaf.NotAfter) || len(leaf.DNSNames) != 3 {
		t.Errorf("%+v, %v", first, leaf.DNSNames)
	}
	if texts, err := z.Texts(t.Context(), base); err != nil || len(texts) != 0 {
		t.Errorf("tokens are left in the zone: %v, %v", texts, err)
	}

	second := until(t, s, "is renewed", func(c Certificate) bool { return in(Shown)(c) && c.Begins.After(first.Begins) })
	if now := time.Now(); !first.renewable(now) || now.After(first.Ends) {
		t.Errorf("renewed at %v, and it held from %v to %v", now, first.Begins, first.Ends)
	}
	if got := dial(t, at, p.Trusted, "r1."+base).ConnectionState().PeerCertificates[0]; got.Equal(leaf) || got.NotAfter.Before(second.Begins) {
		t.Error("a new handshake shows the old certificate")
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Errorf("the connection of before is cut: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the account's key: %v, %v", info.Mode(), err)
	}
}

func TestACMEAccountIsKept(t *testing.T) {
	db := storetest.New(t)
	z := startZone(t, db)
	p := acmetest.Start(t, z.Addr(), acmetest.Long)
	dir := t.TempDir()
	var urls []string
	for range 2 {
		cfg := Config{}
		by(p, dir, z)(&cfg)
		if err := cfg.ACME.open(); err != nil {
			t.Fatal(err)
		}
		n := newNode(t)
		csr, err := n.keeper.Request(regional())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cfg.ACME.obtain(t.Context(), Certificate{Node: "r1-a", Names: regional(), Request: csr}, p.Trusted); err != nil {
			t.Fatal(err)
		}
		urls = append(urls, cfg.ACME.accounts[p.URL+"/dir"].Location)
	}
	if urls[0] == "" || urls[0] != urls[1] {
		t.Errorf("accounts %v", urls)
	}
}

// What an authority may do wrong, and what is said of it.
func TestACMEFailuresAreSaid(t *testing.T) {
	db := storetest.New(t)
	z := startZone(t, db)
	problem := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "order-plz") {
				return false
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	for _, c := range []struct {
		what  string
		fail  func(http.ResponseWriter, *http.Request) bool
		zone  tokens
		roots *x509.CertPool
		want  string
		least time.Duration // until the next try
	}{
		{"it has limits", problem(429, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates already issued, retry after 2026-12-01"}`), nil, nil, "the authority says rateLimited: too many certificates", longest - time.Minute},
		{"it refuses a name", problem(403, `{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no","subproblems":[{"type":"x","detail":"policy forbids it","identifier":{"type":"dns","value":"r1.x"}}]}`), nil, nil, "rejectedIdentifier: no; r1.x policy forbids it", 0},
		{"it speaks nonsense", problem(200, `hello`), nil, nil, "order at https://", 0},
		{"it fails", problem(500, `<html>`), nil, nil, "order at https://", 0},
		{"it sees no token", nil, blind{z}, nil, "the authority says unauthorized: ", 0},
		{"its root is not ours", nil, nil, x509.NewCertPool(), "leads to no authority that is trusted here", 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := acmetest.Start(t, z.Addr(), acmetest.Long)
			if c.fail != nil {
				p.Instead.Store(&c.fail)
			}
			n := newNode(t)
			own := storetest.New(t)
			s := start(t, own, n, by(p, t.TempDir(), z), func(cfg *Config) {
				if c.zone != nil {
					cfg.ACME.Zone = c.zone
				}
				if c.roots != nil {
					cfg.Roots = c.roots
				}
			})
			order(t, s)
			got := until(t, s, "fails", in(Failing))
			if !strings.Contains(got.Problem, c.want) || got.Attempts != 1 || n.told != 0 {
				t.Errorf("%d attempts, %d chains, %q, want %q", got.Attempts, n.told, got.Problem, c.want)
			}
			if pause := time.Until(got.Due); pause < c.least || pause > longest {
				t.Errorf("tried again in %v, want %v at least", pause, c.least)
			}
			orders := p.Orders.Load()
			s.look()
			if err := s.Order(t.Context(), "r1-a", regional()); err == nil || !strings.Contains(err.Error(), got.Problem) {
				t.Errorf("%v", err)
			}
			if p.Orders.Load() != orders {
				t.Error("it is asked again at once")
			}
			if err := s.Retry(t.Context(), "r1-a"); err != nil {
				t.Error(err)
			}
			until(t, s, "fails again, because somebody wanted it tried", func(c Certificate) bool { return in(Failing)(c) && c.Attempts == 2 })
			if err := s.Retry(t.Context(), "r9-z"); fault.Of(err) != fault.NotFound {
				t.Errorf("an edge that nobody knows: %v", err)
			}
		})
	}
}

// blind shows no token, and believes that it does.
type blind struct{ tokens }

func (blind) AddText(context.Context, string, string) error    { return nil }
func (blind) RemoveText(context.Context, string, string) error { return nil }
func (blind) Visible(context.Context, string, string) error    { return nil }

// After a failure the place for tries is asked first.
func TestACMEStaging(t *testing.T) {
	db := storetest.New(t)
	z := startZone(t, db)
	real, staging := acmetest.Start(t, z.Addr(), acmetest.Long), acmetest.Start(t, z.Addr(), acmetest.Long)
	n := newNode(t)
	csr, err := n.keeper.Request(regional())
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{}
	by(real, t.TempDir(), z)(&cfg)
	cfg.ACME.Staging = staging.URL + "/dir"
	cfg.ACME.Client = twoClients(real, staging)
	if err := cfg.ACME.open(); err != nil {
		t.Fatal(err)
	}
	c := Certificate{Node: "r1-a", Names: regional(), Request: csr}
	for _, attempts := range []int{0, 1} {
		c.Attempts = attempts
		if _, err := cfg.ACME.obtain(t.Context(), c, real.Trusted); err != nil {
			t.Fatal(err)
		}
		if got := staging.Orders.Load(); got != int32(attempts) {
			t.Errorf("after %d failures the place for tries had %d orders", attempts, got)
		}
	}
	fail := func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return true
	}
	staging.Instead.Store(&fail)
	orders := real.Orders.Load()
	if _, err := cfg.ACME.obtain(t.Context(), c, real.Trusted); err == nil || !strings.Contains(err.Error(), "at the place for tries") {
		t.Error(err)
	}
	if real.Orders.Load() != orders {
		t.Error("what fails at the place for tries was ordered in earnest")
	}
}

// twoClients trusts both servers.
func twoClients(a, b *acmetest.Authority) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate())
	pool.AddCert(b.Certificate())
	client := a.Client()
	client.Transport.(*http.Transport).TLSClientConfig.RootCAs = pool
	return client
}

// An order that control does not live to see signed is taken up again.
func TestACMEOrderIsResumed(t *testing.T) {
	db := storetest.New(t)
	z := startZone(t, db)
	p := acmetest.Start(t, z.Addr(), acmetest.Long)
	hang := make(chan struct{})
	hung := make(chan struct{}, 8)
	fail := func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "finalize") {
			return false
		}
		hung <- struct{}{}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
		return true
	}
	p.Instead.Store(&fail)
	n, dir := newNode(t), t.TempDir()
	s := start(t, db, n, by(p, dir, z))
	order(t, s)
	select {
	case <-hung:
	case <-time.After(30 * time.Second):
		t.Fatal("it never came to finalize")
	}
	s.Close()
	close(hang)
	p.Instead.Store(nil)
	if texts, err := z.Texts(t.Context(), base); err != nil || len(texts) != 0 {
		t.Errorf("tokens are left in the zone: %v, %v", texts, err)
	}
	s = start(t, db, n, by(p, dir, z))
	until(t, s, "is shown", in(Shown))
	if !slices.Equal(n.keeper.Certificate().Leaf.DNSNames, regional()) {
		t.Errorf("%v", n.keeper.Certificate().Leaf.DNSNames)
	}
}

func TestACMEConfigIsRefusedWithASentence(t *testing.T) {
	for want, a := range map[string]*ACME{
		"write an https URL": {Directory: "http://x", Agreed: true},
		"say that you agree": {Directory: "https://x"},
		"write both or none": {Directory: "https://x", Agreed: true, KeyID: "x"},
		"make the folder":    {Directory: "https://x", Agreed: true, Dir: "/dev/null/x"},
	} {
		if _, err := New(Config{ACME: a}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	dir := t.TempDir()
	a := &ACME{Directory: "https://x", Agreed: true, Dir: dir}
	if err := a.open(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.key("https://x"); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if err := os.WriteFile(files[0], []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.key("https://x"); err == nil || !strings.Contains(err.Error(), "is damaged: restore it") {
		t.Error(err)
	}
}
