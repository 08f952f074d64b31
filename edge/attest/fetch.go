package attest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tandemgw/tandem/wire/stir"
)

// fetch fills c, and closes its ready.
func (s *Set) fetch(at string, c *chain) {
	defer s.fetched(c)
	defer func() {
		if p := recover(); p != nil {
			s.defect(p)
			c.err, c.until = errDefect, time.Now().Add(keepNone)
		}
	}()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.ctx.Done():
		c.err = errors.New("the gateway ends")
		return
	}
	// The call that asked may have given up: the next one has the certificate.
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	began := time.Now()
	text, keep, err := s.get(ctx, at)
	if err == nil {
		c.certs, err = stir.ReadChain(text)
	}
	c.err, c.until = err, began.Add(keep)
	if err != nil {
		c.until = began.Add(keepNone)
		s.counters.fetchFailed.Add(1)
		s.warn(at, err)
		return
	}
	s.counters.fetched.Add(1)
	if c.certs[0].NotAfter.Before(c.until) {
		c.until = c.certs[0].NotAfter
	}
}

var errDefect = errors.New("a defect of the gateway kept it from being fetched")

// fetched tells those who wait for c.
func (s *Set) fetched(c *chain) {
	s.mu.Lock()
	s.queue--
	s.mu.Unlock()
	close(c.ready)
}

// warn says what a stranger's header led to, once a second at most: the others
// are counted, and told in the traces of their calls.
func (s *Set) warn(at string, err error) {
	now := time.Now()
	s.mu.Lock()
	quiet := now.Sub(s.warned) < time.Second
	if !quiet {
		s.warned = now
	}
	s.mu.Unlock()
	if !quiet {
		s.cfg.Log.Warn("a certificate for callers cannot be had", "url", at, "err", err)
	}
}

func (s *Set) get(ctx context.Context, at string) (text []byte, keep time.Duration, err error) {
	if _, err := place(at); err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, 0, errors.New("it is not a URL")
	}
	req.Header.Set("Accept", "application/pem-certificate-chain")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, 0, cause(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the answer is %d", resp.StatusCode)
	}
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxChain+1))
	if err != nil {
		return nil, 0, cause(err)
	}
	if len(text) > maxChain {
		return nil, 0, fmt.Errorf("it is longer than %d bytes", maxChain)
	}
	return text, freshness(resp.Header.Get("Cache-Control")), nil
}

// cause is what went wrong, without the URL again.
func cause(err error) error {
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		return refused
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if i := strings.LastIndex(err.Error(), `": `); i >= 0 {
		return errors.New(err.Error()[i+3:])
	}
	return err
}

// freshness reads max-age, within our bounds.
func freshness(control string) time.Duration {
	for part := range strings.SplitSeq(control, ",") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(part), "max-age="); ok {
			if n, err := strconv.ParseUint(v, 10, 31); err == nil {
				return min(max(time.Duration(n)*time.Second, keepLeast), keepMost)
			}
		}
	}
	return keepMost
}

// refusal is an address or a place that we do not go to.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func redirect(req *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return &refusal{"it is redirected more than three times"}
	}
	if _, err := place(req.URL.String()); err != nil {
		return &refusal{"it is redirected: " + err.Error()}
	}
	return nil
}

// guarded is a transport that connects to public addresses, and to allowed
// ones. It looks at the address that is connected to and not at the name, so
// that no name can lead elsewhere later.
func guarded(allow []netip.Prefix, roots *x509.CertPool) http.RoundTripper {
	dialer := &net.Dialer{Timeout: 3 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !mayConnect(at.Addr().Unmap(), allow) {
			return &refusal{"its address " + address + " is not public: allow it in stir.verify.allow if it is yours"}
		}
		return nil
	}}
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext:     dialer.DialContext, TLSHandshakeTimeout: 3 * time.Second, ResponseHeaderTimeout: 3 * time.Second,
		MaxResponseHeaderBytes: 16 << 10, MaxIdleConns: 8, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true,
	}
}

// special are the ranges that are not public and that netip does not name
// (RFC 6890).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

func mayConnect(a netip.Addr, allow []netip.Prefix) bool {
	holds := func(p netip.Prefix) bool { return p.Contains(a) }
	if slices.ContainsFunc(allow, holds) {
		return true
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(special, holds)
}
