package directory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/tandemgw/tandem/base/fault"
)

// issuers are the keys of others, whose tokens federated credentials name.
// Administrators have written their addresses, and whoever shows an assertion
// makes us ask there: little at a time, over TLS, and nowhere else.
type issuers struct {
	client *http.Client // RO

	mu    sync.Mutex
	known map[string]*issuer // mu
}

// issuer is one of them.
type issuer struct {
	mu       sync.Mutex            // held while it is asked: once for all who wait
	verifier *oidc.IDTokenVerifier // mu: nil until it has answered
	err      error                 // mu: of the last time
	asked    time.Time             // mu
}

const (
	maxIssuers  = 100              // remembered
	issuerTime  = 5 * time.Second  // for one answer
	issuerPause = 15 * time.Second // before one that has not answered is asked again
	maxDocument = 1 << 20          // octets of an answer
)

func newIssuers(client *http.Client) *issuers {
	if client == nil {
		client = &http.Client{}
	}
	patient := *client
	patient.Timeout = cmp.Or(client.Timeout, issuerTime)
	patient.Transport = &guarded{next: client.Transport, silent: map[string]time.Time{}}
	// An address that sends us on is another address.
	patient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &issuers{client: &patient, known: map[string]*issuer{}}
}

// guarded asks by TLS only, reads no more than keys can have, and leaves an
// address alone for a while that did not answer.
type guarded struct {
	next http.RoundTripper // RO

	mu     sync.Mutex
	silent map[string]time.Time // mu: addresses, and since when
}

var (
	errPlain  = errors.New("an issuer is asked by https only")
	errSilent = errors.New("an issuer that has just not answered is not asked again at once")
)

func (g *guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errPlain
	}
	if !g.ready(r.URL.String()) {
		return nil, errSilent
	}
	next := g.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		g.failed(r.URL.String())
	}
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxDocument), resp.Body}
	return resp, nil
}

func (g *guarded) ready(address string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Since(g.silent[address]) >= issuerPause
}

func (g *guarded) failed(address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.silent) >= maxIssuers {
		clear(g.silent)
	}
	g.silent[address] = time.Now()
}

// verify gives the payload of a token that an issuer signed.
func (i *issuers) verify(ctx context.Context, name, raw string) ([]byte, error) {
	v, err := i.verifier(name)
	if err != nil {
		return nil, silence(err)
	}
	token, err := v.Verify(ctx, raw)
	if err != nil {
		// The library keeps of the cause its text alone.
		if strings.Contains(err.Error(), "fetching keys") {
			err = silence(err)
		}
		return nil, err
	}
	var payload json.RawMessage
	err = token.Claims(&payload)
	return payload, err
}

// silence is no wrong guess of whoever shows the token.
func silence(err error) error {
	return &fault.Error{Kind: fault.Unavailable, Public: "The issuer of the assertion does not answer: its keys cannot be read.", Err: err}
}

// verifier finds the keys of an issuer, once.
func (i *issuers) verifier(name string) (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	it := i.known[name]
	if it == nil {
		if len(i.known) >= maxIssuers {
			clear(i.known)
		}
		it = &issuer{}
		i.known[name] = it
	}
	i.mu.Unlock()
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.verifier != nil || it.err != nil && time.Since(it.asked) < issuerPause {
		return it.verifier, it.err
	}
	// The keys are fetched again long after the request that came first.
	ctx := oidc.ClientContext(context.Background(), i.client)
	p, err := oidc.NewProvider(ctx, name)
	if it.asked, it.err = time.Now(), err; err != nil {
		return nil, err
	}
	var algorithms []string
	for _, a := range assertionAlgorithms {
		algorithms = append(algorithms, string(a))
	}
	// Times are compared by who asked, who knows how far clocks may differ.
	it.verifier = p.VerifierContext(ctx, &oidc.Config{SkipClientIDCheck: true, SkipExpiryCheck: true, SupportedSigningAlgs: algorithms})
	return it.verifier, nil
}
