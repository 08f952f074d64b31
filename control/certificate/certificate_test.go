package certificate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/control/store/storetest"
	"github.com/tandemgw/tandem/edge/identity"
	"github.com/tandemgw/tandem/link"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"), // it has no end
	)
}

// node is an edge as the link shows it.
type node struct {
	mu      sync.Mutex
	keeper  *identity.Keeper
	files   bool                         // its listeners have files
	away    bool                         // nobody hears of it
	spoil   func(*link.CertificateState) // what it says wrong
	asked   int
	told    int
	refuses error // every chain
}

func newNode(t testing.TB) *node {
	t.Helper()
	keeper, err := identity.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &node{keeper: keeper}
}

func (n *node) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func describe(c *tls.Certificate) *link.Certificate {
	if c == nil {
		return nil
	}
	return &link.Certificate{Bears: c.Leaf.DNSNames, Begins: c.Leaf.NotBefore, Ends: c.Leaf.NotAfter}
}

// Ask answers as an edge does, by JSON, as over the link.
func (n *node) Ask(_ context.Context, name, question string, in, out any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away {
		return fault.New(fault.Unavailable, "edge "+name+" is away")
	}
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	var answer any
	switch question {
	case link.AskCertificate:
		var wanted link.CertificateWanted
		if err := json.Unmarshal(text, &wanted); err != nil {
			return err
		}
		n.asked++
		state := link.CertificateState{Managed: !n.files, Current: describe(n.keeper.Certificate())}
		if state.Managed && (wanted.Renew || !n.keeper.Bears(wanted.Names, time.Now())) {
			csr, err := n.keeper.Request(wanted.Names)
			if err != nil {
				return err
			}
			state.Request = &link.SigningRequest{Names: wanted.Names, CSR: csr}
		}
		if n.spoil != nil {
			n.spoil(&state)
		}
		answer = state
	case link.InstallCertificate:
		var chain string
		if err := json.Unmarshal(text, &chain); err != nil {
			return err
		}
		n.told++
		if n.refuses != nil {
			return n.refuses
		}
		c, err := n.keeper.Install(chain, time.Now())
		if err != nil {
			return err
		}
		answer = describe(c)
	}
	text, err = json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// authority signs as an operator's own does.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Telecom Example CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// sign signs a request; change spoils what comes out.
func (a *authority) sign(t testing.TB, request string, change ...func(*x509.Certificate, *crypto.PublicKey)) string {
	t.Helper()
	r, err := parseRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: r.DNSNames, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	key := crypto.PublicKey(r.PublicKey)
	for _, f := range change {
		f(template, &key)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(der)
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

const base = "a1b2c3d4e5f6g7h8.gateways.lab.example"

func regional() []string { return []string{"*.1r1." + base, "1r1." + base, "r1." + base} }

func start(t testing.TB, db *store.Store, n *node, change ...func(*Config)) *Set {
	t.Helper()
	cfg := Config{Store: db, Edges: n}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// until waits for a certificate to be as f wants it.
func until(t testing.TB, s *Set, what string, f func(Certificate) bool) Certificate {
	t.Helper()
	deadline, tick := time.After(60*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	var last Certificate
	for {
		all, err := s.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 {
			if last = all[0]; f(last) {
				return last
			}
		}
		select {
		case <-deadline:
			t.Fatalf("%s: never; last %s, attempts %d, %q, from %v to %v, again at %v", what, last.State, last.Attempts, last.Problem, last.Begins, last.Ends, last.Due)
		case <-tick.C:
			s.look()
		}
	}
}

func in(state State) func(Certificate) bool {
	return func(c Certificate) bool { return c.State == state && c.lease.IsZero() }
}

func order(t testing.TB, s *Set) {
	t.Helper()
	if err := s.Order(t.Context(), "r1-a", regional()); err != nil {
		t.Fatal(err)
	}
}

func TestTheOperatorHasTheRequestSigned(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.Store) {
		n, ca := newNode(t), newAuthority(t)
		s := start(t, db, n, func(c *Config) { c.Roots = ca.pool() })
		order(t, s)
		c := until(t, s, "waits for the operator", in(Waiting))
		if err := s.Order(t.Context(), "r1-a", regional()); err == nil || !strings.Contains(err.Error(), "have its request signed") {
			t.Errorf("meanwhile: %v", err)
		}
		chain := ca.sign(t, c.Request)
		if err := s.Install(t.Context(), "r1-a", chain); err != nil {
			t.Fatal(err)
		}
		c = until(t, s, "is shown", in(Shown))
		if leaf := n.keeper.Certificate().Leaf; pemOf(leaf.Raw) != chain || !c.Ends.Equal(leaf.NotAfter) || c.Request != "" {
			t.Errorf("%+v", c)
		}
		if err := s.Order(t.Context(), "r1-a", regional()); err != nil {
			t.Errorf("what is there is ordered again: %v", err)
		}
		if err := s.Install(t.Context(), "r1-a", chain); fault.Of(err) != fault.Conflict {
			t.Errorf("a chain that nobody waits for: %v", err)
		}
		if err := s.Install(t.Context(), "r9-z", chain); fault.Of(err) != fault.NotFound {
			t.Errorf("an edge that nobody knows: %v", err)
		}
	})
}

func TestChainsThatDoNotFitAreRefusedWithASentence(t *testing.T) {
	n, ca, other := newNode(t), newAuthority(t), newAuthority(t)
	s := start(t, storetest.New(t), n, func(c *Config) { c.Roots = ca.pool() })
	order(t, s)
	c := until(t, s, "waits for the operator", in(Waiting))
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := ca.sign(t, c.Request)
	for want, chain := range map[string]string{
		"no certificate in PEM form":       "hello",
		"a damaged certificate":            pemOf([]byte("hello")),
		"too long to be one":               strings.Repeat(" ", maxChain+1),
		"for another key than the request": ca.sign(t, c.Request, func(_ *x509.Certificate, key *crypto.PublicKey) { *key = stranger.Public() }),
		"lacks the name *.1r1." + base:     ca.sign(t, c.Request, func(c *x509.Certificate, _ *crypto.PublicKey) { c.DNSNames = c.DNSNames[1:] }),
		"the certificate ended on":         ca.sign(t, c.Request, func(c *x509.Certificate, _ *crypto.PublicKey) { c.NotAfter = time.Now().Add(-time.Second) }),
		"see to the clocks":                ca.sign(t, c.Request, func(c *x509.Certificate, _ *crypto.PublicKey) { c.NotBefore = time.Now().Add(time.Hour) }),
		"not for servers": ca.sign(t, c.Request, func(c *x509.Certificate, _ *crypto.PublicKey) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}),
		"leads to no authority":            other.sign(t, c.Request),
		"has not signed the one before it": good + pemOf(other.cert.Raw),
		"holds a private key":              string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})) + good,
		"something else":                   good + "\nhello",
	} {
		if err := s.Install(t.Context(), "r1-a", chain); err == nil || fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if n.told != 0 {
		t.Errorf("the edge was told of %d of them", n.told)
	}
	if err := s.Install(t.Context(), "r1-a", good+pemOf(ca.cert.Raw)); err != nil {
		t.Error(err)
	}
	until(t, s, "is shown", in(Shown))
}

func TestRequestsThatDoNotFitAreNotSigned(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	make := func(key crypto.Signer, r x509.CertificateRequest) string {
		der, err := x509.CreateCertificateRequest(rand.Reader, &r, key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	}
	forged := make(key, x509.CertificateRequest{DNSNames: regional()})
	block, _ := pem.Decode([]byte(forged))
	block.Bytes = bytes.Replace(block.Bytes, []byte("1r1."), []byte("9r9."), 1)
	for want, csr := range map[string]string{
		"no certificate request":  "hello",
		"damaged":                 string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")})),
		"not signed by the key":   string(pem.EncodeToMemory(block)),
		"too small":               make(small, x509.CertificateRequest{DNSNames: regional()}),
		"it asks for www.example": make(key, x509.CertificateRequest{DNSNames: []string{"www.example"}}),
		"and *.1r1." + base:       make(key, x509.CertificateRequest{DNSNames: append(regional(), "www.example")}),
		"its common name is www":  make(key, x509.CertificateRequest{DNSNames: regional(), Subject: pkix.Name{CommonName: "www"}}),
	} {
		if err := checkRequest(csr, regional()); err == nil || !strings.Contains(err.Error(), want) && !strings.HasPrefix(want, "and ") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	// And end to end: the edge is told nothing, and everybody is told why.
	n := newNode(t)
	n.spoil = func(s *link.CertificateState) {
		s.Request.CSR = make(key, x509.CertificateRequest{DNSNames: []string{"www.example"}})
	}
	s := start(t, storetest.New(t), n)
	order(t, s)
	c := until(t, s, "is refused", in(Failing))
	if !strings.Contains(c.Problem, "is not signed: it asks for www.example") || c.Request != "" {
		t.Errorf("%+v", c)
	}
}

func TestEdgesWithFilesOfTheirOwnAreLeftAlone(t *testing.T) {
	n := newNode(t)
	n.files = true
	s := start(t, storetest.New(t), n)
	order(t, s)
	until(t, s, "is left alone", in(Files))
	if n.told != 0 || n.keeper.Certificate() != nil {
		t.Error("it was given another")
	}
	// Its configuration changes. Who orders meanwhile is told that it is no use.
	n.set(func() { n.files = false })
	if err := s.Order(t.Context(), "r1-a", regional()); fault.Of(err) != fault.Conflict {
		t.Errorf("ordered for an edge with files: %v", err)
	}
	until(t, s, "is managed from now on", in(Waiting))
}

func TestAnEdgeThatIsAwayGetsItsCertificateLater(t *testing.T) {
	n, ca := newNode(t), newAuthority(t)
	db := storetest.New(t)
	s := start(t, db, n)
	order(t, s)
	c := until(t, s, "waits", in(Waiting))
	n.set(func() { n.away = true })
	if err := s.Install(t.Context(), "r1-a", ca.sign(t, c.Request)); err != nil {
		t.Fatal(err)
	}
	until(t, s, "is seen to be away", func(c Certificate) bool { return in(Signed)(c) && c.Problem == "edge r1-a is away" && c.Attempts == 0 })
	// Control is started again, and then the edge comes back.
	s.Close()
	n.set(func() { n.away = false })
	s = start(t, db, n)
	order(t, s) // as the operation that waits for it does
	until(t, s, "is shown", in(Shown))
}

func TestAnEdgeThatHasLostItsKeyAsksAgain(t *testing.T) {
	n, ca := newNode(t), newAuthority(t)
	s := start(t, storetest.New(t), n)
	order(t, s)
	c := until(t, s, "waits", in(Waiting))
	chain := ca.sign(t, c.Request)
	n.set(func() { n.keeper = newNode(t).keeper })
	if err := s.Install(t.Context(), "r1-a", chain); err != nil {
		t.Fatal(err)
	}
	failing := until(t, s, "is refused", in(Failing))
	if !strings.Contains(failing.Problem, "the edge waits for no certificate") {
		t.Errorf("%+v", failing)
	}
	if err := s.Order(t.Context(), "r1-a", regional()); err == nil || !strings.Contains(err.Error(), "it is tried again at") {
		t.Errorf("%v", err)
	}
}

func TestOtherNamesAreAnotherOrder(t *testing.T) {
	n, ca := newNode(t), newAuthority(t)
	s := start(t, storetest.New(t), n)
	order(t, s)
	first := until(t, s, "waits", in(Waiting))
	more := append(regional(), "1r1.voice.telecom.example")
	if err := s.Order(t.Context(), "r1-a", more); err != nil {
		t.Fatal(err)
	}
	second := until(t, s, "waits again", func(c Certificate) bool { return in(Waiting)(c) && len(c.Names) == 4 })
	if err := s.Install(t.Context(), "r1-a", ca.sign(t, first.Request)); err == nil {
		t.Error("what was signed for other names is taken")
	}
	if err := s.Install(t.Context(), "r1-a", ca.sign(t, second.Request)); err != nil {
		t.Error(err)
	}
	until(t, s, "is shown", in(Shown))
	if err := s.cfg.Store.Write(t.Context(), func(tx *store.Tx) error { return s.Forget(t.Context(), tx, "r1-a") }); err != nil {
		t.Fatal(err)
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestRenewalIsAtTwoThirdsOfLife(t *testing.T) {
	begins := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := Certificate{State: Shown, Begins: begins, Ends: begins.Add(90 * 24 * time.Hour)}
	due := begins.Add(60 * 24 * time.Hour)
	for now, want := range map[time.Time]bool{begins: false, due.Add(-time.Second): false, due: true, c.Ends: true} {
		if c.renewable(now) != want {
			t.Errorf("%v: %v", now, !want)
		}
	}
	if got := c.next(due.Add(-time.Minute)); !got.Equal(due) {
		t.Errorf("it is looked at again at %v, want %v", got, due)
	}
	if (Certificate{}).renewable(due) {
		t.Error("nothing is renewed")
	}
}

func TestPausesGrowAndLimitsAreRespected(t *testing.T) {
	var hour time.Duration
	tries := 1
	for n := 1; hour < time.Hour; n++ {
		if hour += pause(n, errors.New("x")); hour < time.Hour {
			tries++
		}
	}
	if tries >= 5 { // Let's Encrypt, "Rate Limits": five failures for a name in an hour
		t.Errorf("%d tries in an hour", tries)
	}
	if pause(100, nil) != longest || pause(1, fmt.Errorf("x: %w", &problem{kind: "rateLimited"})) != longest {
		t.Error("the longest pause")
	}
}

func TestTroubleIsTold(t *testing.T) {
	begins := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := Certificate{Node: "r1-a", Begins: begins, Ends: begins.Add(90 * 24 * time.Hour), Problem: "the authority is closed"}
	for _, x := range []struct {
		state State
		days  int
		want  string
	}{
		{Shown, 61, ""},
		{Shown, 74, ""},
		{Shown, 76, "should have been renewed by now, and the one it shows ends on 2026-04-01"},
		{Signed, 76, "should have been renewed by now"},
		{Files, 89, ""}, // the edge says so itself
		{Waiting, 1, "waits to be signed, and the one it shows ends on 2026-04-01: tandem certificate request r1-a"},
		{Failing, 1, "cannot be had, and the one it shows ends on 2026-04-01: the authority is closed"},
	} {
		c.State = x.state
		if got := c.trouble(begins.Add(time.Duration(x.days) * 24 * time.Hour)); (x.want == "") != (got == "") || !strings.Contains(got, x.want) {
			t.Errorf("%s after %d days: %q, want %q", x.state, x.days, got, x.want)
		}
	}
	if got := (Certificate{State: Wanted}).trouble(begins); got != "" {
		t.Error(got)
	}
}
