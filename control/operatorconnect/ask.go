package operatorconnect

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
)

const (
	root       = "/api/v1/operator"
	answerTime = 30 * time.Second // of one request
	answerSize = 16 << 20         // of one answer: an order of 10,000 numbers has 2 MB
	tries      = 5
	firstPause = 500 * time.Millisecond
	longest    = time.Minute // that is waited between two tries; who says longer is told of instead
	pageSize   = 1000
	mostPages  = 10_000 // of one list: 10 million numbers
)

// newHTTP follows no redirect: a token goes nowhere it was not meant for.
func newHTTP(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, Timeout: answerTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Error is what is refused, in the words of who refuses.
type Error struct {
	Status     int
	Code       string // "ApplicationNotListed"
	Message    string
	Target     string
	Details    []string
	Request    string        // ID by which the other side finds it again
	RetryAfter time.Duration // negative: it does not say
}

// Error is the code, the message and the request's ID.
func (e *Error) Error() string {
	s := cmp.Or(e.Code, strconv.Itoa(e.Status)) + ": " + cmp.Or(e.Message, http.StatusText(e.Status))
	for _, d := range e.Details {
		s += "; " + d
	}
	if e.Request != "" {
		s += " (request " + e.Request + ")"
	}
	return s
}

// Codes that callers go by.
const (
	NotListed    = "ApplicationNotListed"
	RoleMissing  = "RoleMissing"
	NotConsented = "TenantNotConsented"
	Managed      = "ManagedByCommunicationsGateway"
)

// Code is the far side's code of an error, "" when it has none.
func Code(err error) string {
	if e, is := errors.AsType[*Error](err); is {
		return e.Code
	}
	return ""
}

// kinds are the faults of statuses; what is missing is Unavailable.
var kinds = map[int]fault.Kind{
	http.StatusBadRequest: fault.Invalid, http.StatusRequestEntityTooLarge: fault.Invalid, http.StatusUnsupportedMediaType: fault.Invalid, http.StatusMethodNotAllowed: fault.Invalid,
	http.StatusUnauthorized: fault.Denied, http.StatusForbidden: fault.Denied, http.StatusNotFound: fault.NotFound,
	http.StatusConflict: fault.Conflict, http.StatusPreconditionFailed: fault.Conflict, http.StatusTooManyRequests: fault.Exhausted,
}

// call is one request: what, in words for people, and how.
type call struct {
	what   string // "list the trunks"
	method string
	path   string // below root; or a whole URL: the next page
	query  url.Values
	etag   string // If-Match
	body   any
}

// explain is the sentence for people, saying what to do.
func (c *Client) explain(q call, e *Error) error {
	kind, is := kinds[e.Status]
	if !is {
		kind = fault.Unavailable
	}
	who := "the application"
	if c.Application != "" {
		who += " " + c.Application
	}
	text := fmt.Sprintf("Operator Connect at %s does not %s", c.base.Host, q.what)
	switch {
	case e.Code == NotListed:
		text += fmt.Sprintf(": %s is not on the operator's list. Add it as an Application Id at %s", who, c.ConfigurationURL())
	case e.Code == RoleMissing:
		text += fmt.Sprintf(": %s has none of the roles of Project Synergy that it takes (%s). Assign one, and consent to it", who, cmp.Or(printable(e.Target, 200), "see the message"))
	case e.Status == http.StatusUnauthorized:
		text += fmt.Sprintf(": it does not accept the token of %s. Look at the tenant that it signs in to, and at the clocks", who)
	case e.Code == NotConsented:
		text += ": the enterprise has not chosen this operator, or not any more"
	case e.Status == http.StatusTooManyRequests && e.RetryAfter > longest:
		text += fmt.Sprintf(": it is asked too often. Try again in %s", e.RetryAfter.Round(time.Second))
	}
	return &fault.Error{Kind: kind, Public: text, Err: e}
}

// do sends a call and reads its answer into out, where that is not nil. A
// change bears an ID, by which the far side does it once however often it
// comes: an answer that was lost is asked for again.
func (c *Client) do(ctx context.Context, q call, out any) (http.Header, error) {
	var body []byte
	if q.body != nil {
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return nil, fmt.Errorf("%s: %w", q.what, err)
		}
	}
	head := http.Header{}
	head.Set("Accept", "application/json")
	if q.method != http.MethodGet {
		head.Set("Repeatability-Request-ID", uuid.NewString())
		head.Set("Repeatability-First-Sent", time.Now().UTC().Format(http.TimeFormat))
	}
	if body != nil {
		head.Set("Content-Type", "application/json")
		if q.method == http.MethodPatch {
			head.Set("Content-Type", "application/merge-patch+json")
		}
	}
	if q.etag != "" {
		head.Set("If-Match", q.etag)
	}
	anew := false
	for try := 1; ; try++ {
		if err := c.wait(ctx); err != nil {
			return nil, err
		}
		text, answered, err := c.once(ctx, q, head, body, anew)
		if err == nil {
			if out == nil || len(text) == 0 {
				return answered, nil
			}
			if json.Unmarshal(text, out) != nil {
				return nil, fault.New(fault.Unavailable, fmt.Sprintf("Operator Connect at %s answers what nobody understands when asked to %s", c.base.Host, q.what))
			}
			return answered, nil
		}
		pause, again := c.patience(err, try, anew)
		if !again || try == tries || ctx.Err() != nil {
			return nil, err
		}
		// A token is not asked for anew twice: the second refusal is meant.
		anew = anew || stale(err)
		c.log.Info("Operator Connect is asked again", "operation", q.what, obs.KeyError, err, "in", pause)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// noToken is the error of the token's source, which has insisted already.
type noToken struct{ error }

func (e noToken) Unwrap() error { return e.error }

// stale tells whether another token of the same application may be let in:
// roles that have been granted since are not in the old one.
func stale(err error) bool {
	e, is := errors.AsType[*Error](err)
	return is && (e.Status == http.StatusUnauthorized || e.Code == RoleMissing)
}

// patience tells whether to ask again after an error, and when.
func (c *Client) patience(err error, try int, anew bool) (time.Duration, bool) {
	if _, is := errors.AsType[noToken](err); is {
		return 0, false
	}
	if stale(err) {
		return 0, !anew
	}
	// Full jitter, so that those who were refused together do not come back
	// together.
	backoff := firstPause << (try - 1)
	backoff = backoff/2 + rand.N(backoff/2)
	e, is := errors.AsType[*Error](err)
	switch {
	case !is:
		return backoff, fault.Of(err) == fault.Unavailable
	case e.RetryAfter > longest:
		return 0, false
	case e.RetryAfter >= 0 && (e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable):
		pause := e.RetryAfter + rand.N(e.RetryAfter/4+100*time.Millisecond)
		c.hold(e.RetryAfter)
		return pause, true
	}
	return backoff, e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// hold has everybody wait who asks by this client: the far side counts them
// together.
func (c *Client) hold(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := time.Now().Add(d); until.After(c.pause) {
		c.pause = until
	}
}

// wait is until nobody is held any more.
func (c *Client) wait(ctx context.Context) error {
	c.mu.Lock()
	left := time.Until(c.pause)
	c.mu.Unlock()
	if left <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(left):
		return nil
	}
}

// once is one try. An error that is no Error had no answer.
func (c *Client) once(ctx context.Context, q call, head http.Header, body []byte, anew bool) ([]byte, http.Header, error) {
	token, err := c.Token(ctx, anew)
	if err != nil {
		return nil, nil, noToken{err}
	}
	at := q.path
	if !strings.HasPrefix(at, "https://") {
		at = c.URL + root + q.path
		if len(q.query) > 0 {
			at += "?" + q.query.Encode()
		}
	}
	r, err := http.NewRequestWithContext(ctx, q.method, at, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", q.what, err)
	}
	r.Header = head.Clone()
	r.Header.Set("Authorization", "Bearer "+string(token))
	res, err := c.http.Do(r)
	if err != nil {
		return nil, nil, c.silent(ctx, q, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, answerSize+1))
	switch {
	case err != nil:
		return nil, nil, c.silent(ctx, q, err)
	case len(text) > answerSize:
		return nil, nil, fmt.Errorf("%s: Operator Connect at %s answers more than %d MB", q.what, c.base.Host, answerSize>>20)
	case res.StatusCode/100 == 2:
		return text, res.Header, nil
	}
	return nil, nil, c.explain(q, refusal(res, text))
}

// silent is a far side that gave no answer.
func (c *Client) silent(ctx context.Context, q call, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, is := errors.AsType[*url.Error](err); is {
		err = e.Err
	}
	return &fault.Error{Kind: fault.Unavailable, Public: fmt.Sprintf("Operator Connect at %s was asked to %s and does not answer", c.base.Host, q.what), Err: err}
}

// refusal reads an answer that is none. Whatever it is, it becomes lines that
// can be shown.
func refusal(res *http.Response, text []byte) *Error {
	var said struct {
		Error struct {
			Code, Message, Target string
			Details               []struct{ Message string }
		}
	}
	_ = json.Unmarshal(text, &said) // a proxy's page has none of it
	e := &Error{
		Status: res.StatusCode, Code: printable(said.Error.Code, 100), Message: printable(said.Error.Message, 500), Target: printable(said.Error.Target, 500),
		Request: printable(res.Header.Get("Request-Id"), 100), RetryAfter: after(res.Header, time.Now()),
	}
	for _, d := range said.Error.Details[:min(len(said.Error.Details), 10)] {
		e.Details = append(e.Details, printable(d.Message, 200))
	}
	return e
}

// after is what Retry-After asks for: seconds, or a date (RFC 9110 §10.2.3).
// Negative: it does not ask.
func after(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s >= 0 {
		return time.Duration(min(s, 1<<20)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), 1<<20*time.Second)
	}
	return -1
}

// printable is foreign text as it can stand in a line.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// each gives all that a list has, page after page, as it is asked for. It ends
// after an error.
func each[T any](ctx context.Context, c *Client, q call) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q := q
		q.method = http.MethodGet
		if q.query == nil {
			q.query = url.Values{}
		}
		q.query.Set("top", strconv.Itoa(pageSize))
		var none T
		for range mostPages {
			var page struct {
				Value []T    `json:"value"`
				Next  string `json:"nextLink"`
			}
			if _, err := c.do(ctx, q, &page); err != nil {
				yield(none, err)
				return
			}
			for _, x := range page.Value {
				if !yield(x, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			// A page that lies elsewhere would be given our token.
			if next, err := url.Parse(page.Next); err != nil || next.Scheme != c.base.Scheme || next.Host != c.base.Host {
				yield(none, fault.New(fault.Denied, fmt.Sprintf("Operator Connect at %s says that the next page is at %.200q", c.base.Host, printable(page.Next, 200))))
				return
			}
			q.path, q.query = page.Next, nil
		}
		yield(none, fault.New(fault.Denied, fmt.Sprintf("Operator Connect at %s has no last page when asked to %s", c.base.Host, q.what)))
	}
}

// all is each as a list.
func all[T any](ctx context.Context, c *Client, q call) (list []T, err error) {
	for x, err := range each[T](ctx, c, q) {
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, nil
}
