package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
)

var names = []string{"*.1r1.lab.example", "r1.lab.example"}

// now is when the tests are.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, dir string) *Keeper {
	t.Helper()
	k, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign signs a request; change spoils what comes out.
func sign(t testing.TB, request string, change ...func(*x509.Certificate, *crypto.PublicKey)) string {
	t.Helper()
	block, _ := pem.Decode([]byte(request))
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: r.DNSNames, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	key := crypto.PublicKey(r.PublicKey)
	for _, f := range change {
		f(template, &key)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}}, key, ca)
	if err != nil {
		t.Fatal(err)
	}
	return encode("CERTIFICATE", der)
}

func request(t testing.TB, k *Keeper, names []string) string {
	t.Helper()
	csr, err := k.Request(names)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func TestAKeyIsMadeSignedAndShown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certificate")
	k := open(t, dir)
	if k.Certificate() != nil || k.Bears(names, now) {
		t.Error("it has one from the beginning")
	}
	csr := request(t, k, names)
	if again := request(t, open(t, dir), names); again != csr {
		t.Error("a request under way is made anew, and what is signed for it fits no more")
	}
	if strings.Contains(csr, "PRIVATE") {
		t.Error("the key is in the request")
	}
	chain := sign(t, csr)
	for range 2 { // the answer to the first may be lost
		if _, err := k.Install(chain, now); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []*Keeper{k, open(t, dir)} {
		if c := k.Certificate(); encode("CERTIFICATE", c.Leaf.Raw) != chain || !k.Bears(names, now) {
			t.Errorf("%v", c)
		}
	}
	if k.Bears(names, now.Add(25*time.Hour)) || k.Bears([]string{"x.1r1.lab.example"}, now) {
		t.Error("one that has ended, or lacks a name, is taken for good")
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestTheOldOneIsShownUntilTheNewOneIsThere(t *testing.T) {
	k := open(t, t.TempDir())
	first := sign(t, request(t, k, names))
	if _, err := k.Install(first, now); err != nil {
		t.Fatal(err)
	}
	csr := request(t, k, names)
	if got := encode("CERTIFICATE", k.Certificate().Leaf.Raw); got != first {
		t.Error("a request takes away what is shown")
	}
	other := request(t, k, names[:1])
	if other == csr {
		t.Error("other names are the same request")
	}
	if _, err := k.Install(sign(t, csr), now); fault.Of(err) != fault.Invalid {
		t.Errorf("what was signed for a request that was given up: %v", err)
	}
	if _, err := k.Install(sign(t, other), now); err != nil {
		t.Error(err)
	}
}

func TestChainsThatDoNotFitAreRefused(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir)
	if _, err := k.Install(sign(t, request(t, open(t, t.TempDir()), names)), now); fault.Of(err) != fault.Conflict {
		t.Errorf("nobody waits for it: %v", err)
	}
	csr := request(t, k, names)
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for want, chain := range map[string]string{
		"no certificate":  "hello",
		"damaged":         encode("CERTIFICATE", []byte("x")),
		"too long":        strings.Repeat("x", maxChain+1),
		"for another key": sign(t, csr, func(_ *x509.Certificate, k *crypto.PublicKey) { *k = foreign.Public() }),
		"lacks the name *.1": sign(t, csr, func(c *x509.Certificate, _ *crypto.PublicKey) {
			c.DNSNames = []string{"r1.lab.example", "x.1r1.lab.example"}
		}),
		"ended on 2026-05":  sign(t, csr, func(c *x509.Certificate, _ *crypto.PublicKey) { c.NotAfter = now.Add(-24 * time.Hour) }),
		"see to the clocks": sign(t, csr, func(c *x509.Certificate, _ *crypto.PublicKey) { c.NotBefore = now.Add(time.Hour) }),
	} {
		if _, err := k.Install(chain, now); fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if k.Certificate() != nil {
			t.Fatalf("%s: it is shown", want)
		}
	}
	if _, err := k.Install(sign(t, csr), now); err != nil {
		t.Errorf("after all that the good one: %v", err)
	}
	if _, err := k.Request(nil); err == nil {
		t.Error("a request for no name")
	}
}

func TestADamagedFileIsSaid(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, shownFile), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is damaged") || !strings.Contains(err.Error(), "remove it") {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, shownFile)); err != nil {
		t.Fatal(err)
	}
	// A damaged request is nothing to mourn: another is made.
	if err := os.WriteFile(filepath.Join(dir, pendingFile), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := open(t, dir)
	if _, err := k.Install(sign(t, request(t, k, names)), now); err != nil {
		t.Error(err)
	}
}

// What comes down the link can be anything.
func FuzzInstall(f *testing.F) {
	k := open(f, f.TempDir())
	csr := request(f, k, names)
	f.Add(sign(f, csr, func(c *x509.Certificate, _ *crypto.PublicKey) { c.DNSNames = names[:1] }))
	f.Add("hello")
	f.Fuzz(func(t *testing.T, chain string) {
		if c, err := k.Install(chain, now); err == nil {
			t.Fatalf("taken: %v", c)
		}
	})
}
