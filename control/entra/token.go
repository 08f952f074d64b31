package entra

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
)

// SignIn is an application that asks a token endpoint for tokens of its own
// (RFC 6749 §4.4): with a secret, with an assertion of an issuer that its
// registration trusts, or with one that it signs itself with the key of a
// certificate (RFC 7523 §2.2; Microsoft identity platform docs, "Access token
// request with a federated credential", "… with a certificate").
type SignIn struct {
	Login  string // authority, without tenant; "": PublicLogin
	Tenant string
	Client string // application ID
	Scope  string // "https://graph.microsoft.com/.default"

	// One of the three. Each is asked for at every sign-in, so that a secret that
	// has been rotated, or a certificate that was renewed, is used from then on.
	Secret      func(context.Context) (obs.Secret, error)
	Assertion   func(context.Context) (obs.Secret, error)
	Certificate func() (*tls.Certificate, error) // with an RSA key

	// Again is Secret for one that was refused: it may have been rotated since it
	// was read. When it is another one, that is tried, once. nil: the refusal
	// holds.
	Again func(context.Context) (obs.Secret, error)

	HTTP http.RoundTripper // nil: http.DefaultTransport
}

// Token signs in when there is no token, or one that ends soon.
func (s SignIn) Token() Token {
	var (
		mu    sync.Mutex
		token obs.Secret // mu
		ends  time.Time  // mu
	)
	client := newHTTP(s.HTTP)
	return func(ctx context.Context) (obs.Secret, error) {
		mu.Lock()
		defer mu.Unlock()
		if token != "" && time.Until(ends) > 5*time.Minute {
			return token, nil
		}
		got, life, err := s.signIn(ctx, client)
		if err != nil {
			return "", err
		}
		token, ends = got, time.Now().Add(life)
		return token, nil
	}
}

// wrongProof is a refusal that says that it is what the application signs in
// with that is wrong (RFC 6749 §5.2, invalid_client).
type wrongProof struct{ error }

func (e wrongProof) Unwrap() error { return e.error }

// signIn proves who the application is.
func (s SignIn) signIn(ctx context.Context, client *http.Client) (obs.Secret, time.Duration, error) {
	if s.Certificate != nil {
		s.Assertion = s.Signed
	}
	proof := s.Secret
	if s.Assertion != nil {
		proof = s.Assertion
	}
	if proof == nil {
		return "", 0, fault.New(fault.Denied, "the application "+s.Client+" has nothing to sign in with")
	}
	with, err := proof(ctx)
	if err != nil {
		return "", 0, fmt.Errorf("read what %s signs in with: %w", s.Client, err)
	}
	token, life, err := s.ask(ctx, client, with)
	if _, wrong := errors.AsType[wrongProof](err); !wrong || s.Again == nil {
		return token, life, err
	}
	next, gone := s.Again(ctx)
	switch {
	case gone != nil:
		return "", 0, fmt.Errorf("read again what %s signs in with, which was refused: %w", s.Client, gone)
	case next == with:
		return "", 0, err
	}
	return s.ask(ctx, client, next)
}

// endpoint is where tokens are asked for.
func (s SignIn) endpoint() string {
	return strings.TrimRight(cmp.Or(s.Login, PublicLogin), "/") + "/" + url.PathEscape(s.Tenant) + "/oauth2/v2.0/token"
}

func (s SignIn) ask(ctx context.Context, client *http.Client, with obs.Secret) (obs.Secret, time.Duration, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {s.Client}, "scope": {s.Scope}}
	field := "client_secret"
	if s.Assertion != nil {
		field = "client_assertion"
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	}
	form.Set(field, string(with))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint(), strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, fmt.Errorf("sign in %s: %w", s.Client, err)
	}
	if r.URL.Scheme != "https" {
		return "", 0, fault.New(fault.Invalid, fmt.Sprintf("%.200q is not where tokens can be asked for: write https:// and a host", s.Login))
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := client.Do(r)
	if err != nil {
		if e, is := errors.AsType[*url.Error](err); is {
			err = e.Err
		}
		return "", 0, &fault.Error{Kind: fault.Unavailable, Public: "The sign-in of " + r.URL.Host + " does not answer", Err: err}
	}
	defer res.Body.Close()
	var got struct {
		Token   string `json:"access_token"`
		Life    int64  `json:"expires_in"`
		Error   string `json:"error"`
		Message string `json:"error_description"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&got); err != nil || res.StatusCode == http.StatusOK && got.Token == "" {
		return "", 0, fault.New(fault.Unavailable, fmt.Sprintf("The sign-in of %s answers %d and no token", r.URL.Host, res.StatusCode))
	}
	if res.StatusCode != http.StatusOK {
		// The description may quote what it was sent: only the code of Entra that it
		// begins with is kept ("AADSTS7000215: Invalid client secret …").
		code, _, _ := strings.Cut(got.Message, ":")
		if !strings.HasPrefix(code, "AADSTS") {
			code = ""
		}
		if res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= http.StatusInternalServerError {
			return "", 0, fault.New(fault.Unavailable, strings.TrimSpace(fmt.Sprintf("The sign-in of %s answers %d: %s %s", r.URL.Host, res.StatusCode, printable(got.Error, 60), printable(code, 30))))
		}
		err := fault.New(fault.Denied, strings.TrimSpace(fmt.Sprintf("The sign-in of %s does not let the application %s in: %s %s", r.URL.Host, s.Client, printable(got.Error, 60), printable(code, 30))))
		if got.Error == "invalid_client" {
			return "", 0, wrongProof{err}
		}
		return "", 0, err
	}
	return obs.Secret(got.Token), time.Duration(min(max(got.Life, 0), 1<<20)) * time.Second, nil
}
