// Package attest vouches for callers, and checks who vouches for them: it signs
// and verifies Identity headers (STIR/SHAKEN), with the certificates that it
// fetches and keeps.
//
// Start reading at Set. Sign is a computation and Verify an inquiry, whose
// answer comes later and never later than its patience: a call does not wait
// for a certificate longer than a caller would.
//
// Certificates are fetched from where a stranger's header says. Therefore only
// by https, from public addresses (others must be allowed), a bounded number
// at once, of a bounded size, and through no more than three redirections, all
// to such places. What was fetched is kept, and so is, for a minute, that
// nothing was there.
//
// The package refuses to judge what a bad token means for the call.
package attest

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/wire/stir"
)

// Bounds of what is fetched and kept.
const (
	maxChain   = 64 << 10 // bytes of a certificate file
	maxKept    = 4096     // chains
	maxFetches = 16       // at once
	maxQueue   = 128      // under way, or waiting for that
	keepLeast  = time.Minute
	keepMost   = 24 * time.Hour // ATIS-1000080 wants an update a day
	keepNone   = time.Minute    // that there was nothing
)

// Config is what a Set is made of. Without Key nothing is signed, without
// Roots nothing is verified.
type Config struct {
	Key    *ecdsa.PrivateKey
	Info   string // https URL of Key's certificate
	OrigID string // origination identifier of the calls that come in here, a UUID

	Roots    *x509.CertPool // who may vouch for callers
	Web      *x509.CertPool // of the https servers that certificates are fetched from; nil: the system's
	Allow    []netip.Prefix // where certificates may be fetched from beside public addresses
	Patience time.Duration  // for a certificate; 0: 1 s

	Transport http.RoundTripper // nil: the network, by the rules above
	Log       *slog.Logger
}

// Set signs and verifies. Safe for use by many goroutines.
type Set struct {
	cfg    Config // RO
	client *http.Client
	slots  chan struct{} // one for each fetch under way
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	kept   map[string]*chain // mu: by URL
	queue  int               // mu: fetches under way or waiting
	warned time.Time         // mu: that one has failed

	counters counters
}

// chain is what a URL leads to, or will.
type chain struct {
	ready chan struct{} // closed when known
	certs []*x509.Certificate
	err   error
	until time.Time
}

// Counters count since the start.
type Counters struct {
	Signed, Passed, Failed, Absent, Fetched, FetchFailed uint64
}

type counters struct {
	signed, passed, failed, absent, fetched, fetchFailed atomic.Uint64
}

// New checks the configuration. The Set must be closed.
func New(cfg Config) (*Set, error) {
	if cfg.Patience <= 0 {
		cfg.Patience = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Key != nil {
		if _, err := place(cfg.Info); err != nil {
			return nil, &fault.Error{Kind: fault.Invalid, Err: fmt.Errorf("the certificate for signing: %w", err)}
		}
		trial := stir.Claims{Kind: stir.Shaken, Orig: "1", Dest: []string{"1"}, Attest: stir.Gateway, OrigID: cfg.OrigID}
		if _, err := stir.Sign(trial, cfg.Info, cfg.Key); err != nil {
			return nil, &fault.Error{Kind: fault.Invalid, Err: err}
		}
	}
	s := &Set{cfg: cfg, slots: make(chan struct{}, maxFetches), kept: map[string]*chain{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	transport := cfg.Transport
	if transport == nil {
		transport = guarded(cfg.Allow, cfg.Web)
	}
	s.client = &http.Client{Transport: transport, CheckRedirect: redirect}
	return s, nil
}

// Close ends what is under way.
func (s *Set) Close() {
	s.cancel()
	s.work.Wait()
	s.client.CloseIdleConnections()
}

// Signs reports whether callers are vouched for.
func (s *Set) Signs() bool { return s != nil && s.cfg.Key != nil }

// Verifies reports whether Identity headers are checked.
func (s *Set) Verifies() bool { return s != nil && s.cfg.Roots != nil }

// Counters are those since New.
func (s *Set) Counters() Counters {
	c := &s.counters
	return Counters{c.signed.Load(), c.passed.Load(), c.failed.Load(), c.absent.Load(), c.fetched.Load(), c.fetchFailed.Load()}
}

// Sign vouches for a caller: the value of an Identity header of the kind
// shaken.
func (s *Set) Sign(orig, dest string, a stir.Attestation, now time.Time) (string, error) {
	v, err := stir.Sign(stir.Claims{
		Kind: stir.Shaken, Orig: orig, Dest: []string{dest}, Issued: now, Attest: a, OrigID: s.cfg.OrigID,
	}, s.cfg.Info, s.cfg.Key)
	if err == nil {
		s.counters.signed.Add(1)
	}
	return v, err
}

// SignDiverted vouches that a call to dest was diverted from a number of ours
// (RFC 8946); the caller's own Identity headers stay beside it.
func (s *Set) SignDiverted(orig, dest, from string, now time.Time) (string, error) {
	return stir.Sign(stir.Claims{Kind: stir.Div, Orig: orig, Dest: []string{dest}, Issued: now, Diverted: from}, s.cfg.Info, s.cfg.Key)
}

// Verdict is what came of the Identity headers of a request.
type Verdict struct {
	Claims stir.Claims // of the one that was believed
	Err    *stir.Error // nil: one was believed
	None   bool        // there was no Identity header
}

// String is one sentence for the trace.
func (v Verdict) String() string {
	switch {
	case v.None:
		return "no Identity header"
	case v.Err != nil:
		return fmt.Sprintf("Identity is not believed (%d %s): %s", v.Err.Status, v.Err.Reason(), v.Err.Text)
	case v.Claims.Attest != "":
		return "Identity is believed, attestation " + string(v.Claims.Attest)
	}
	return "Identity is believed"
}

// Verstat is the value that tells a core of it (3GPP TS 24.229 7.2A.20).
func (v Verdict) Verstat() string {
	switch {
	case v.None:
		return "No-TN-Validation"
	case v.Err != nil:
		return "TN-Validation-Failed"
	}
	return "TN-Validation-Passed"
}

// Absent is the verdict on a request without Identity headers.
func Absent() Verdict {
	return Verdict{None: true, Err: &stir.Error{Status: 428, Text: "the call has no Identity header"}}
}

// maxIdentities is how many Identity headers of one request are looked at; a
// call that was diverted a few times has a few.
const maxIdentities = 8

// Verify holds the Identity headers of a request against it. tell is called
// once, from another goroutine, unless all that is needed is at hand: then
// before Verify returns.
func (s *Set) Verify(values []string, r stir.Request, tell func(Verdict)) {
	if len(values) == 0 {
		s.counters.absent.Add(1)
		tell(Absent())
		return
	}
	r.Roots = s.cfg.Roots
	values = values[:min(len(values), maxIdentities)]
	read := make([]*stir.Identity, 0, len(values))
	var last *stir.Error
	for _, v := range values {
		i, err := stir.Parse(v)
		if err != nil {
			last = reason(err)
			continue
		}
		read = append(read, i)
	}
	if certs := s.atHand(read, r.Now); certs != nil {
		s.told(tell, s.verdict(read, certs, last, r))
		return
	}
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Patience)
		defer cancel()
		certs := map[string]*chain{}
		for _, i := range read {
			if certs[i.Info] == nil {
				certs[i.Info] = s.find(ctx, i.Info, r.Now)
			}
		}
		s.told(tell, s.verdict(read, certs, last, r))
	})
}

func (s *Set) told(tell func(Verdict), v Verdict) {
	if v.Err == nil {
		s.counters.passed.Add(1)
	} else {
		s.counters.failed.Add(1)
	}
	tell(v)
}

// verdict is judge's, and disbelief where that panics over what strangers have
// written: the call waits for one.
func (s *Set) verdict(read []*stir.Identity, certs map[string]*chain, last *stir.Error, r stir.Request) (v Verdict) {
	defer func() {
		if p := recover(); p != nil {
			s.defect(p)
			v = Verdict{Err: &stir.Error{Status: 438, Text: "a defect of the gateway kept it from being read"}}
		}
	}()
	return judge(read, certs, last, r)
}

func (s *Set) defect(p any) {
	s.cfg.Log.Error("panic over the Identity header of a call, which is not believed", obs.KeyError, fmt.Sprint(p), "stack", string(debug.Stack()))
}

// judge believes a token that vouches for the caller. One of the kind div
// vouches for a diversion alone.
func judge(read []*stir.Identity, certs map[string]*chain, last *stir.Error, r stir.Request) Verdict {
	for _, i := range read {
		if i.Kind == stir.Div && last == nil {
			last = &stir.Error{Status: 438, Text: "a token vouches for a diversion, and none for the caller"}
		}
		if i.Kind == stir.Div {
			continue
		}
		c := certs[i.Info]
		if c.err != nil {
			last = &stir.Error{Status: 436, Text: "the certificate at " + i.Info + " cannot be had: " + c.err.Error()}
			continue
		}
		claims, err := i.Check(c.certs, r)
		if err == nil {
			return Verdict{Claims: claims}
		}
		last = reason(err)
	}
	return Verdict{Err: last}
}

func reason(err error) *stir.Error {
	var e *stir.Error
	if errors.As(err, &e) {
		return e
	}
	return &stir.Error{Status: 438, Text: err.Error()}
}

// atHand gives the chains when all are known.
func (s *Set) atHand(read []*stir.Identity, now time.Time) map[string]*chain {
	s.mu.Lock()
	defer s.mu.Unlock()
	certs := map[string]*chain{}
	for _, i := range read {
		c := s.kept[i.Info]
		if c == nil || !c.known() || now.After(c.until) {
			return nil
		}
		certs[i.Info] = c
	}
	return certs
}

func (c *chain) known() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// errBusy: whoever writes new URLs by the thousand would have as many fetches
// wait, and all that come later with them.
var errBusy = errors.New("too many others are being fetched")

// find waits for the chain at a URL. All who ask for it wait for one fetch.
func (s *Set) find(ctx context.Context, at string, now time.Time) *chain {
	c := s.entry(at, now)
	select {
	case <-c.ready:
		return c
	case <-ctx.Done():
		return &chain{err: errors.New("it did not come in time")}
	}
}

func (s *Set) entry(at string, now time.Time) *chain {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.kept[at]; c != nil && (!c.known() || now.Before(c.until)) {
		return c
	}
	if s.queue == maxQueue {
		c := &chain{ready: make(chan struct{}), err: errBusy}
		close(c.ready)
		return c
	}
	s.queue++
	s.makeRoom(now)
	c := &chain{ready: make(chan struct{})}
	s.kept[at] = c
	s.work.Go(func() { s.fetch(at, c) })
	return c
}

// makeRoom is called with mu held. When nothing has gone stale anything goes:
// who fills the table with URLs costs the others a fetch.
func (s *Set) makeRoom(now time.Time) {
	if len(s.kept) < maxKept {
		return
	}
	for at, c := range s.kept {
		if c.known() && now.After(c.until) {
			delete(s.kept, at)
		}
	}
	for at, c := range s.kept {
		if len(s.kept) < maxKept {
			return
		}
		if c.known() {
			delete(s.kept, at)
		}
	}
}

// place reads the URL of a certificate.
func place(at string) (*url.URL, error) {
	u, err := url.Parse(at)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.Scheme != "https" || u.Host == "" || u.User != nil:
		return nil, errors.New("only https URLs with a host are taken")
	case len(at) > 2048:
		return nil, errors.New("it is longer than 2048 bytes")
	}
	return u, nil
}

// ReadKey reads the private key for signing: PEM, SEC 1 or PKCS #8.
func ReadKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no key in PEM form")
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("no private key that can be read")
	}
	if ec, ok := key.(*ecdsa.PrivateKey); ok {
		return ec, nil
	}
	return nil, errors.New("the key must be one of ECDSA over P-256")
}
