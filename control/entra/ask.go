package entra

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
)

// newHTTP follows no redirect: neither Graph nor a token endpoint answers with
// one, and a token goes nowhere it was not meant for.
func newHTTP(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, Timeout: answerTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

const (
	answerTime = 30 * time.Second // of one request
	answerSize = 8 << 20          // of one answer: a page of 999 objects
	tries      = 4
	longest    = 30 * time.Second // that a Retry-After is heeded; longer is told instead
	pages      = 1000             // of one list: a directory that never ends is one that is wrong
)

// asker sends requests to one place and reads what it answers.
type asker struct {
	what    string // "directory"
	base    *url.URL
	version string // first part of every path
	token   Token
	http    *http.Client
}

func newAsker(what, at string, t http.RoundTripper) (*asker, error) {
	base, err := url.Parse(at)
	if err != nil || base.Host == "" || base.Scheme != "https" {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("%.200q is not where a %s can be: write https:// and a host", at, what))
	}
	return &asker{what: what, base: base, http: newHTTP(t)}, nil
}

// nobody is the Token of who has none.
func nobody(host string) Token {
	return func(context.Context) (obs.Secret, error) {
		return "", fault.New(fault.Denied, "nobody is signed in to "+host)
	}
}

// String is "directory graph.microsoft.com".
func (a *asker) String() string { return a.what + " " + a.base.Host }

// Error is what is refused, in the words of who refuses.
type Error struct {
	Status  int
	Code    string // "Request_ResourceNotFound"
	Inner   string // what the code is in detail, where vaults say it: "SecretDisabled"
	Message string
	Request string // ID by which the other side finds it again
}

// Error is what people do not need: the sentence before it has the rest.
func (e *Error) Error() string { return fmt.Sprintf("status %d, request %q", e.Status, e.Request) }

// Disabled tells whether a vault refuses to show a secret because somebody has
// disabled its latest version (Azure Key Vault docs, "Get Secret": "operation
// get is not allowed on a disabled secret").
func Disabled(err error) bool {
	e, is := errors.AsType[*Error](err)
	return is && e.Inner == "SecretDisabled"
}

// kinds are the faults of statuses; what is missing is Unavailable.
var kinds = map[int]fault.Kind{
	http.StatusBadRequest: fault.Invalid, http.StatusUnauthorized: fault.Denied, http.StatusForbidden: fault.Denied, http.StatusNotFound: fault.NotFound,
	http.StatusConflict: fault.Conflict, http.StatusPreconditionFailed: fault.Conflict, http.StatusUnprocessableEntity: fault.Invalid,
	http.StatusTooManyRequests: fault.Exhausted,
}

// call is one request: what, in words for people, and how.
type call struct {
	what   string // "add the service principal of eb63…"
	method string
	path   string // below the version
	query  url.Values
	body   any
}

// refuse is the one sentence that a person gets.
func (a *asker) refuse(q call, e *Error) error {
	kind, is := kinds[e.Status]
	if !is {
		kind = fault.Unavailable
	}
	why := strings.TrimRight(cmp.Or(e.Message, http.StatusText(e.Status)), ".")
	return &fault.Error{Kind: kind, Public: fmt.Sprintf("The %s does not %s: %s (%s)", a, q.what, why, cmp.Or(e.Code, strconv.Itoa(e.Status))), Err: e}
}

// do sends a call and reads its answer into out, where that is not nil. What
// was throttled is tried again; what may have been done and was not answered,
// only when doing it twice is doing it once (RFC 9110 §9.2.2).
func (a *asker) do(ctx context.Context, q call, out any) error {
	var body []byte
	if q.body != nil {
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return fmt.Errorf("%s: %w", q.what, err)
		}
	}
	at := strings.TrimRight(a.base.String(), "/") + a.version + q.path
	if len(q.query) > 0 {
		at += "?" + q.query.Encode()
	}
	if strings.HasPrefix(q.path, "https://") {
		at = q.path // the next page, which names itself
	}
	for try := 1; ; try++ {
		text, wait, err := a.once(ctx, q, at, body)
		if err == nil {
			if out == nil || len(text) == 0 {
				return nil
			}
			if err := json.Unmarshal(text, out); err != nil {
				return &fault.Error{Kind: fault.Unavailable, Public: fmt.Sprintf("The %s answers what nobody understands when asked to %s", a, q.what)}
			}
			return nil
		}
		if wait < 0 || wait > longest || try == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// once is one try: the answer, or an error and how long to wait before the
// next; negative: another is useless, or unsafe.
func (a *asker) once(ctx context.Context, q call, at string, body []byte) (text []byte, wait time.Duration, err error) {
	token, err := a.token(ctx)
	if err != nil {
		return nil, -1, err
	}
	r, err := http.NewRequestWithContext(ctx, q.method, at, bytes.NewReader(body))
	if err != nil {
		return nil, -1, fmt.Errorf("%s: %w", q.what, err)
	}
	r.Header.Set("Authorization", "Bearer "+string(token))
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if q.query.Has("$search") || q.query.Has("$count") {
		r.Header.Set("ConsistencyLevel", "eventual") // Microsoft Graph docs, "Advanced query capabilities on Microsoft Entra ID objects"
	}
	again := time.Duration(-1)
	if q.method == http.MethodGet || q.method == http.MethodDelete {
		again = time.Second/2 + rand.N(time.Second/2)
	}
	res, err := a.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, -1, ctx.Err()
		}
		return nil, again, a.silent(q, err)
	}
	defer res.Body.Close()
	text, err = io.ReadAll(io.LimitReader(res.Body, answerSize+1))
	switch {
	case err != nil:
		return nil, again, a.silent(q, err)
	case len(text) > answerSize:
		return nil, -1, fault.New(fault.Unavailable, fmt.Sprintf("The %s answers more than %d MB", a, answerSize>>20))
	case res.StatusCode/100 == 2:
		return text, 0, nil
	}
	e := &Error{Status: res.StatusCode, Request: printable(res.Header.Get("Request-Id"), 100)}
	var said struct {
		Error struct {
			Code, Message string
			Inner         json.RawMessage `json:"innererror"` // of vaults; Graph's is something else
		}
	}
	if json.Unmarshal(text, &said) == nil {
		var inner struct{ Code string }
		_ = json.Unmarshal(said.Error.Inner, &inner) // without it there is no code
		e.Code, e.Inner, e.Message = printable(said.Error.Code, 100), printable(inner.Code, 100), printable(said.Error.Message, 500)
	}
	err = a.refuse(q, e)
	switch res.StatusCode {
	case http.StatusTooManyRequests:
		return nil, max(after(res.Header), 0), err
	case http.StatusServiceUnavailable:
		if w := after(res.Header); w >= 0 {
			return nil, w, err // it says itself that nothing was done
		}
		return nil, again, err
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return nil, again, err
	}
	return nil, -1, err
}

// silent is a directory that gave no answer.
func (a *asker) silent(q call, err error) error {
	if e, is := errors.AsType[*url.Error](err); is {
		err = e.Err // without the URL, which has the query
	}
	return &fault.Error{Kind: fault.Unavailable, Public: fmt.Sprintf("The %s was asked to %s and does not answer", a, q.what), Err: err}
}

// after is what Retry-After asks for, with jitter; a negative one when it does
// not ask.
func after(h http.Header) time.Duration {
	s, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || s < 0 || s > 1<<20 {
		return -1
	}
	return time.Duration(s)*time.Second + rand.N(time.Second/4)
}

// printable is foreign text as it can stand in a line.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// list reads all pages.
func list[T any](ctx context.Context, a *asker, q call) (all []T, err error) {
	q.method = http.MethodGet
	for range pages {
		var page struct {
			Value []T    `json:"value"`
			Next  string `json:"@odata.nextLink"`
		}
		if err := a.do(ctx, q, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Value...)
		if page.Next == "" {
			return all, nil
		}
		// A page that lies elsewhere would be given our token.
		if next, err := url.Parse(page.Next); err != nil || next.Scheme != a.base.Scheme || next.Host != a.base.Host {
			return nil, fault.New(fault.Unavailable, fmt.Sprintf("The %s says that the next page is at %.200q", a, page.Next))
		}
		q.path, q.query = page.Next, nil
	}
	return nil, fault.New(fault.Unavailable, fmt.Sprintf("The %s has no last page when asked to %s", a, q.what))
}
