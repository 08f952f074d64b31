package peer

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tandemgw/tandem/link/snapshot"
	"github.com/tandemgw/tandem/wire/sip"
)

func TestExplainTellsWhatToDo(t *testing.T) {
	k := Known{Peer: snapshot.Peer{Name: "core-1", Host: "sbc.core.example", Port: 5061}}
	cert := &x509.Certificate{
		Issuer: pkix.Name{CommonName: "Core CA"}, DNSNames: []string{"other.example"},
		NotBefore: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for _, tc := range []struct {
		name string
		err  error
		want []string
	}{
		{"unknown authority", x509.UnknownAuthorityError{Cert: cert}, []string{"Core CA", "sip.roots", "intermediate"}},
		{"wrong name", x509.HostnameError{Certificate: cert, Host: "sbc.core.example"}, []string{"other.example", "sbc.core.example"}},
		{"expired", x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired}, []string{"2026-01-01", "renewed"}},
		{"not for servers", x509.CertificateInvalidError{Cert: cert, Reason: x509.IncompatibleUsage}, []string{"not acceptable"}},
		{"they refuse us", tls.AlertError(42), []string{"refused our TLS handshake", "certificate of our listener"}},
		{"no TLS there", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, []string{"does not speak TLS"}},
		{"no such name", &net.DNSError{Name: "sbc.core.example", IsNotFound: true}, []string{"does not exist in DNS"}},
		{"DNS is down", &net.DNSError{Name: "sbc.core.example", Err: "i/o timeout"}, []string{"DNS does not answer"}},
		{"nothing listens", syscall.ECONNREFUSED, []string{"nothing listens"}},
		{"no route", syscall.EHOSTUNREACH, []string{"no route"}},
		{"closed at once", io.EOF, []string{"allow-list"}},
		{"no answer to TCP", os.ErrDeadlineExceeded, []string{"firewall"}},
		{"silence", sip.ErrTimeout, []string{"not listening"}},
		{"anything else", fmt.Errorf("boom"), []string{"boom"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := &sip.TransportError{Op: "dial", Addr: netip.MustParseAddrPort("192.0.2.1:5061"), Peer: "core-1", Err: fmt.Errorf("wrapped: %w", tc.err)}
			got := Explain(err, &k)
			for _, w := range append(tc.want, "sbc.core.example:5061", "192.0.2.1:5061") {
				if !strings.Contains(got, w) {
					t.Errorf("%q does not say %q", got, w)
				}
			}
			if strings.ContainsAny(got, "\n\r") {
				t.Errorf("%q is more than a line", got)
			}
		})
	}
}
