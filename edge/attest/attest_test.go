package attest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/wire/stir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// repository is an https server with one certificate, and who signs by it.
type repository struct {
	*httptest.Server
	key     *ecdsa.PrivateKey
	roots   *x509.CertPool
	asked   atomic.Int64
	respond func(http.ResponseWriter, *http.Request) bool // nil, or false: the certificate
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{roots: x509.NewCertPool()}
	var err error
	if r.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "SHAKEN 1234"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &r.key.PublicKey, r.key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	r.roots.AddCert(made)
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.asked.Add(1)
		if r.respond != nil && r.respond(w, q) {
			return
		}
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *repository) info() string { return r.URL + "/shaken.pem" }

// set signs by the repository's key and trusts it.
func (r *repository) set(t *testing.T, change func(*Config)) *Set {
	t.Helper()
	cfg := Config{
		Key: r.key, Info: r.info(), OrigID: "123e4567-e89b-12d3-a456-426655440000",
		Roots: r.roots, Web: x509.NewCertPool(), Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Patience: 3 * time.Second,
	}
	cfg.Web.AddCert(r.Certificate())
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func request() stir.Request {
	return stir.Request{Now: time.Now(), Orig: []string{"+441632960123"}, Dest: []string{"+442079460123"}}
}

func (r *repository) signed(t *testing.T, s *Set) string {
	t.Helper()
	v, err := s.Sign("+441632960123", "+442079460123", stir.Partial, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ask(s *Set, values ...string) Verdict {
	told := make(chan Verdict, 1)
	s.Verify(values, request(), func(v Verdict) { told <- v })
	return <-told
}

func TestACallerIsVouchedForAndBelieved(t *testing.T) {
	r := newRepository(t)
	s := r.set(t, nil)
	value := r.signed(t, s)
	for range 3 {
		if v := ask(s, value); v.Err != nil || v.Claims.Attest != stir.Partial || v.Verstat() != "TN-Validation-Passed" {
			t.Fatalf("%v", v)
		}
	}
	if n := r.asked.Load(); n != 1 {
		t.Errorf("the certificate was fetched %d times", n)
	}
	if c := s.Counters(); c.Passed != 3 || c.Fetched != 1 || c.Signed != 1 {
		t.Errorf("%+v", c)
	}
}

func TestACertificateAtHandIsNotWaitedFor(t *testing.T) {
	r := newRepository(t)
	s := r.set(t, nil)
	value := r.signed(t, s)
	ask(s, value)
	told := false
	s.Verify([]string{value}, request(), func(Verdict) { told = true })
	if !told {
		t.Error("the verdict came later")
	}
}

func TestOfSeveralTokensOneIsEnough(t *testing.T) {
	r := newRepository(t)
	s := r.set(t, nil)
	div, err := s.SignDiverted("+441632960123", "+442079460123", "+442079460199", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if v := ask(s, "nonsense", div, r.signed(t, s)); v.Err != nil {
		t.Errorf("%v", v)
	}
	if v := ask(s, div); v.Err == nil || v.Err.Status != 438 {
		t.Errorf("a diversion alone was believed: %v", v)
	}
}

func TestWithoutIdentityNobodyIsBelieved(t *testing.T) {
	s := newRepository(t).set(t, nil)
	if v := ask(s); !v.None || v.Err.Status != 428 || v.Verstat() != "No-TN-Validation" {
		t.Errorf("%v", v)
	}
}

func TestWhatCannotBeFetchedIsBadInfo(t *testing.T) {
	for name, c := range map[string]struct {
		respond func(http.ResponseWriter, *http.Request) bool
		change  func(*Config)
		why     string
	}{
		"no such file": {respond: func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(404); return true }, why: "404"},
		"no certificate": {respond: func(w http.ResponseWriter, _ *http.Request) bool {
			_, err := w.Write([]byte("<html>"))
			return err == nil
		}, why: "no certificate in PEM"},
		"too long": {respond: func(w http.ResponseWriter, _ *http.Request) bool {
			_, err := w.Write([]byte(strings.Repeat("x", maxChain+1)))
			return err == nil
		}, why: "longer than"},
		"redirected to http": {respond: func(w http.ResponseWriter, q *http.Request) bool {
			http.Redirect(w, q, "http://example.com/", http.StatusFound)
			return true
		}, why: "only https"},
		"redirected for ever": {respond: func(w http.ResponseWriter, q *http.Request) bool {
			http.Redirect(w, q, q.URL.Path, http.StatusFound)
			return true
		}, why: "more than three times"},
		"a private address":     {change: func(c *Config) { c.Allow = nil }, why: "is not public"},
		"a server nobody knows": {change: func(c *Config) { c.Web = x509.NewCertPool() }, why: "certificate"},
		"silence": {
			respond: func(_ http.ResponseWriter, q *http.Request) bool { <-q.Context().Done(); return true },
			change:  func(c *Config) { c.Patience = 50 * time.Millisecond }, why: "in time",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t)
			r.respond = c.respond
			s := r.set(t, c.change)
			v := ask(s, r.signed(t, s))
			if v.Err == nil || v.Err.Status != 436 || !strings.Contains(v.Err.Text, c.why) {
				t.Fatalf("%v", v)
			}
			if v.Verstat() != "TN-Validation-Failed" {
				t.Error(v.Verstat())
			}
			// Nobody is asked again at once.
			before := r.asked.Load()
			if c.why != "in time" {
				ask(s, r.signed(t, s))
			}
			if r.asked.Load() != before {
				t.Error("it was fetched again")
			}
			s.Close()
		})
	}
}

func TestTheTableOfCertificatesIsBounded(t *testing.T) {
	r := newRepository(t)
	r.respond = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(404); return true }
	s := r.set(t, nil)
	s.mu.Lock()
	for i := range maxKept {
		c := &chain{ready: make(chan struct{}), until: time.Now().Add(time.Hour)}
		close(c.ready)
		s.kept[fmt.Sprint(i)] = c
	}
	s.mu.Unlock()
	ask(s, r.signed(t, s))
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) > maxKept || s.kept[r.info()] == nil {
		t.Errorf("%d are kept", len(s.kept))
	}
}

// Callers who write a new URL each time, at servers that say nothing, neither
// pile up fetches nor write as many lines of log.
func TestFetchesThatWaitAreBounded(t *testing.T) {
	r := newRepository(t)
	r.respond = func(_ http.ResponseWriter, q *http.Request) bool { <-q.Context().Done(); return true }
	var lines strings.Builder
	s := r.set(t, func(c *Config) {
		c.Patience = 100 * time.Millisecond
		c.Log = slog.New(slog.NewTextHandler(&lines, nil))
	})
	before := runtime.NumGoroutine()
	var asked sync.WaitGroup
	for i := range 10 * maxQueue {
		v, err := stir.Sign(stir.Claims{
			Kind: stir.Shaken, Orig: "+441632960123", Dest: []string{"+442079460123"}, Issued: time.Now(), Attest: stir.Full, OrigID: s.cfg.OrigID,
		}, fmt.Sprint(r.URL, "/", i), r.key)
		if err != nil {
			t.Fatal(err)
		}
		asked.Go(func() {
			if v := ask(s, v); v.Err == nil || v.Err.Status != 436 {
				t.Errorf("%v", v)
			}
		})
	}
	asked.Wait()
	// A fetch has its goroutine, and two of the connection, here with two more of
	// the server's.
	if n := runtime.NumGoroutine() - before; n > maxQueue+8*maxFetches {
		t.Errorf("%d goroutines wait", n)
	}
	s.mu.Lock()
	if len(s.kept) > maxQueue || s.queue > maxQueue {
		t.Errorf("%d are kept, %d wait", len(s.kept), s.queue)
	}
	s.mu.Unlock()
	s.Close()
	if s.queue != 0 {
		t.Errorf("%d wait for ever", s.queue)
	}
	if n := strings.Count(lines.String(), "\n"); n > 2 {
		t.Errorf("%d lines of log", n)
	}
}

func TestOnlyPublicAddressesAreAsked(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "2600::1": true, "10.1.2.3": true,
		"10.2.0.1": false, "127.0.0.1": false, "169.254.169.254": false, "100.100.100.200": false, "192.168.0.1": false,
		"0.0.0.0": false, "224.0.0.1": false, "::1": false, "fe80::1": false, "fd00::1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false,
	} {
		if got := mayConnect(netip.MustParseAddr(addr), allow); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

func TestFreshness(t *testing.T) {
	for control, want := range map[string]time.Duration{
		"": keepMost, "no-store": keepMost, "public, max-age=3600": time.Hour, "max-age=1": keepLeast,
		"max-age=99999999": keepMost, "max-age=-1": keepMost, "max-age=x": keepMost,
	} {
		if got := freshness(control); got != want {
			t.Errorf("%q: %v", control, got)
		}
	}
}

func TestConfigurationsAreChecked(t *testing.T) {
	r := newRepository(t)
	for name, cfg := range map[string]Config{
		"http":        {Key: r.key, Info: "http://cert.example/x.pem", OrigID: "x"},
		"no address":  {Key: r.key, OrigID: "x"},
		"no origid":   {Key: r.key, Info: r.info()},
		"credentials": {Key: r.key, Info: "https://user:secret@cert.example/x.pem", OrigID: "x"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(r.key)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(r.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []*pem.Block{{Type: "PRIVATE KEY", Bytes: der}, {Type: "EC PRIVATE KEY", Bytes: sec1}} {
		if key, err := ReadKey(pem.EncodeToMemory(b)); err != nil || !key.Equal(r.key) {
			t.Errorf("%s: %v", b.Type, err)
		}
	}
	for _, bad := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := ReadKey([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

type bomb struct{}

func (bomb) RoundTrip(*http.Request) (*http.Response, error) { panic("a bomb went off") }

// A defect over what strangers have written costs their call its belief, and
// nobody else anything.
func TestAPanicIsDisbelief(t *testing.T) {
	r := newRepository(t)
	var lines strings.Builder
	s := r.set(t, func(c *Config) { c.Transport, c.Log = bomb{}, slog.New(slog.NewTextHandler(&lines, nil)) })
	value := r.signed(t, s)
	for range 2 {
		if v := ask(s, value); v.Err == nil || v.Err.Status != 436 {
			t.Errorf("a certificate that cannot be fetched: %v", v)
		}
	}
	i, err := stir.Parse(value)
	if err != nil {
		t.Fatal(err)
	}
	if v := s.verdict([]*stir.Identity{i}, nil, nil, request()); v.Err == nil || v.Err.Status != 438 {
		t.Errorf("a token that cannot be judged: %v", v)
	}
	if n := strings.Count(lines.String(), "panic over"); n != 2 {
		t.Errorf("%d are logged:\n%s", n, &lines)
	}
}
