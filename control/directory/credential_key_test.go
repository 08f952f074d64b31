package directory_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store/storetest"
)

// certificate is one that signs itself.
func certificate(t testing.TB, public, private any, from, to time.Time) []byte {
	t.Helper()
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "robot"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, form, form, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestCertificatesOfAnApplication: the public part alone is kept, as long as the
// certificate lasts, and each changes only by being taken away.
func TestCertificatesOfAnApplication(t *testing.T) {
	w := build(t, storetest.New(t))
	ctx := t.Context()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	rsaOf := func(from, to time.Time) []byte { return certificate(t, &key.PublicKey, key, from, to) }
	good, next := rsaOf(now.Add(-time.Hour), now.Add(time.Hour)), rsaOf(now.Add(-time.Hour), now.Add(48*time.Hour))
	a, err := w.CreateApplication(ctx, w.apps, directory.Application{DisplayName: "Robot", Keys: []directory.KeyCredential{{Name: "first", Certificate: good}}})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(good)
	if k := a.Keys[0]; k.ID == "" || k.Hint != strings.ToUpper(hex.EncodeToString(sum[:])) || !k.Start.Equal(now.Add(-time.Hour)) || !k.End.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", k)
	}
	set := func(keys ...directory.KeyCredential) error {
		_, err := w.UpdateApplication(ctx, w.apps, a.ID, func(a *directory.Application) error { a.Keys = keys; return nil })
		return err
	}
	kept := directory.KeyCredential{ID: strings.ToUpper(a.Keys[0].ID)} // by its ID alone, as Graph shows it
	if err := set(kept, directory.KeyCredential{Certificate: next, Hint: "mine", End: now.Add(2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	got, err := w.Application(ctx, w.reader, a.ID)
	if err != nil || len(got.Keys) != 2 || got.Keys[0].Name != "first" || string(got.Keys[0].Certificate) != string(good) || got.Keys[1].Hint != "mine" || !got.Keys[1].End.Equal(now.Add(2*time.Hour)) {
		t.Errorf("%+v, %v", got.Keys, err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]directory.KeyCredential{
		"nothing":               {},
		"of an ID that is none": {ID: newGUID()},
		"another under its ID":  {ID: a.Keys[0].ID, Certificate: next},
		"a private key":         {Certificate: private},
		"PEM":                   {Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good})},
		"no RSA":                {Certificate: certificate(t, &small.PublicKey, small, now, now.Add(time.Hour))},
		"expired":               {Certificate: rsaOf(now.Add(-2*time.Hour), now.Add(-time.Hour))},
		"longer than itself":    {Certificate: next, End: now.Add(72 * time.Hour)},
		"before itself":         {Certificate: next, Start: now.Add(-72 * time.Hour)},
		"an end before it":      {Certificate: next, Start: now.Add(2 * time.Hour), End: now.Add(time.Hour)},
	} {
		wants(t, name, set(k), fault.Invalid)
	}
	wants(t, "twice", set(directory.KeyCredential{Certificate: next}, directory.KeyCredential{Certificate: next}), fault.Invalid)
	wants(t, "fifty and one", set(make([]directory.KeyCredential, 51)...), fault.Invalid)
	_, err = w.UpdateApplication(ctx, w.apps, app, func(a *directory.Application) error {
		a.Keys = []directory.KeyCredential{{Certificate: next}}
		return nil
	})
	wants(t, "of what the configuration names", err, fault.Conflict)
	_, err = w.UpdateApplication(ctx, w.plain, a.ID, func(a *directory.Application) error { a.Keys = nil; return nil })
	wants(t, "by who may not", err, fault.Denied)
	if err := set(); err != nil {
		t.Error(err)
	}
}
