package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/tandemgw/tandem/wire/sip"
)

// verdict judges the outcome of an OPTIONS. Every final response shows that
// somebody is there, save those by which a peer, or a proxy on its way, says
// that it cannot take calls: 408, 503, 504 (Microsoft Teams docs name the same
// three for failover; RFC 3261 11.2 makes the others the answer an INVITE would
// get). why may be set for a living peer, when its answer is a refusal.
func verdict(resp *sip.Message, err error, m *member) (why string, dead bool) {
	if err != nil {
		return Explain(err, &m.Known), true
	}
	switch status := resp.Status; {
	case status == 408 || status == 503 || status == 504:
		return "answers OPTIONS with " + phrase(resp), true
	case status >= 300 && status != 405 && status != 501:
		return "answers OPTIONS with " + phrase(resp) + ": it may refuse calls too; check that it knows the domain in our Contact", false
	}
	return "", false
}

// phrase is a response in words, with the Reason it bears.
func phrase(resp *sip.Message) string {
	s := strconv.Itoa(resp.Status) + " " + resp.Reason
	for _, r := range resp.Reasons() {
		if r.Text != "" {
			s += " (" + r.Text + ")"
		}
	}
	return s
}

func explainOutcome(o Outcome) string {
	if o.Err != nil {
		return o.Err.Error()
	}
	return fmt.Sprintf("it answered %d %s", o.Status, sip.StatusText(o.Status))
}

// Explain puts a failure on the way to a peer in one sentence that tells what
// to do.
func Explain(err error, k *Known) string {
	where := k.hostPort()
	if te, ok := errors.AsType[*sip.TransportError](err); ok {
		where += " (" + te.Addr.String() + ")"
	}
	if s := explainTLS(err, k); s != "" {
		return where + ": " + s
	}
	if s := explainNetwork(err); s != "" {
		return where + ": " + s
	}
	return where + ": " + err.Error()
}

func explainTLS(err error, k *Known) string {
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		issuer := "an unknown authority"
		if e.Cert != nil {
			issuer = strconv.Quote(e.Cert.Issuer.String())
		}
		return "its certificate is signed by " + issuer + ", which sip.roots does not hold, or it does not send its intermediate certificates"
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		names := "no name"
		if e.Certificate != nil && len(e.Certificate.DNSNames) > 0 {
			names = strings.Join(e.Certificate.DNSNames, ", ")
		}
		return fmt.Sprintf("its certificate bears %s and not %s: correct the peer's certificate names, or its host", names, e.Host)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired && e.Cert != nil {
			return fmt.Sprintf("its certificate is valid from %s to %s only: it must be renewed, or a clock is wrong",
				e.Cert.NotBefore.UTC().Format("2006-01-02 15:04"), e.Cert.NotAfter.UTC().Format("2006-01-02 15:04"))
		}
		return "its certificate is not acceptable: " + e.Error()
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return fmt.Sprintf("it refused our TLS handshake (%s): it does not trust the certificate of our listener, or shares no version or cipher with it", e)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "it does not speak TLS on this port: check the peer's port and transport"
	}
	return ""
}

func explainNetwork(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return "the name " + e.Name + " does not exist in DNS"
		}
		return "DNS does not answer for " + e.Name + ": " + e.Err
	}
	switch {
	case errors.Is(err, errSilent), errors.Is(err, errRegistrarSilent), errors.Is(err, sip.ErrTimeout):
		return err.Error() + ": it is not listening there, drops messages from our address, or the way back is closed"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens on this port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to it: check the network and the address of our listener"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection at once: our address may be missing on its allow-list, or our certificate was refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time: a firewall may drop our packets"
	}
	return ""
}
