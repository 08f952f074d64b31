package directory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
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
	patient.Transport = guarded{client.Transport}
	// An address that sends us on is another address.
	patient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &issuers{client: &patient, known: map[string]*issuer{}}
}

// guarded asks by TLS only, and reads no more than keys can have.
type guarded struct{ next http.RoundTripper }

var errPlain = errors.New("an issuer is asked by https only")

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errPlain
	}
	next := g.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxDocument), resp.Body}
	return resp, nil
}

// verify gives the payload of a token that an issuer signed.
func (i *issuers) verify(ctx context.Context, name, raw string) ([]byte, error) {
	v, err := i.verifier(name)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Unavailable, Public: "The issuer of the assertion does not answer: its keys cannot be read.", Err: err}
	}
	token, err := v.Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	var payload json.RawMessage
	err = token.Claims(&payload)
	return payload, err
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
