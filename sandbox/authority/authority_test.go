package authority_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"github.com/tandemgw/tandem/sandbox/authority"
)

func TestAnIssuedCertificateVerifiesAgainstTheRootThroughTheIntermediate(t *testing.T) {
	a, err := authority.New("Test")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Issue(authority.Terms{}, "sip.example", "*.r1.example", "127.0.0.9")
	if err != nil {
		t.Fatal(err)
	}
	inter, err := x509.ParseCertificate(cert.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(inter)
	for _, name := range []string{"sip.example", "c042.r1.example", "127.0.0.9"} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: a.Roots(), Intermediates: pool}); err != nil {
			t.Errorf("verify %s: %v", name, err)
		}
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: a.Roots()}); err == nil {
		t.Error("verified without the intermediate: a forgotten chain would not be noticed")
	}
}

func TestWrittenFilesLoadAndTheKeyIsPrivate(t *testing.T) {
	a, err := authority.New("Test")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Issue(authority.Terms{}, "sip.example")
	if err != nil {
		t.Fatal(err)
	}
	f, err := a.Write(t.TempDir(), "sip", cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.LoadX509KeyPair(f.Chain, f.Key); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(f.Key); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v, want mode 0600", st.Mode(), err)
	}
}
