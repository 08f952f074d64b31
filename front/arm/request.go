package arm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/subscription"
)

// maxBody is the most that a request may say (Azure Resource Manager docs,
// "Azure subscription and service limits": 4 MB).
const maxBody = 4 << 20

// request is one that was understood and is allowed.
type request struct {
	*http.Request
	vars      map[string]string // out of the path
	path      string            // begins with one slash and ends with none
	query     query
	version   version // of our own resources
	apiText   string  // api-version as it was written
	principal subscription.Principal
	access    subscription.Access
	body      []byte
	warnings  []string // that the answer will bear
}

// answer is what a request is answered with.
type answer struct {
	status int
	body   any // nil: none
	header map[string]string
}

// ok is an answer with a body.
func ok(body any) (answer, error) { return answer{status: http.StatusOK, body: body}, nil }

// ServeHTTP gives each request its names, and makes sure that whatever happens
// is answered and told once.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	about := subscription.Request{ID: uuid.NewString(), Client: word(r.Header.Get("x-ms-client-request-id"))}
	about.Correlation = cmp.Or(word(r.Header.Get("x-ms-correlation-request-id")), about.ID)
	h := w.Header()
	h.Set("x-ms-request-id", about.ID)
	h.Set("x-ms-correlation-request-id", about.Correlation)
	h.Set("x-ms-routing-request-id", strings.ToUpper(a.Name)+":"+begun.UTC().Format("20060102T150405Z")+":"+about.ID)
	if about.Client != "" && strings.EqualFold(r.Header.Get("x-ms-return-client-request-id"), "true") {
		h.Set("x-ms-client-request-id", about.Client)
	}
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "-1")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	// Clients join a base that ends in a slash and a path that begins with one.
	q := &request{Request: r, path: "/" + strings.Trim(r.URL.Path, "/")}
	status, err := a.guarded(w, q, &about)
	a.log(q, about, status, err, time.Since(begun))
}

// guarded lets a panic end this request and nothing else.
func (a *api) guarded(w http.ResponseWriter, q *request, about *subscription.Request) (status int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			status = http.StatusInternalServerError
			explain(err).write(w, q.Method == http.MethodHead)
		}
	}()
	ans, err := a.serve(w.Header(), q, about)
	for _, text := range q.warnings {
		w.Header().Add("Warning", "299 - "+strconv.QuoteToASCII(text))
	}
	if err != nil {
		f := explain(err)
		if f.Status == http.StatusUnauthorized {
			f.Bearer = a.challenge(f)
		}
		f.write(w, q.Method == http.MethodHead)
		return f.Status, err
	}
	for k, v := range ans.header {
		w.Header().Set(k, v)
	}
	if ans.body == nil {
		w.WriteHeader(ans.status)
		return ans.status, nil
	}
	writeJSON(w, ans.status, ans.body, q.Method == http.MethodHead)
	return ans.status, nil
}

// serve is the way of a request: whose it is, what it asks for, whether it may,
// and the answer.
func (a *api) serve(h http.Header, q *request, about *subscription.Request) (answer, error) {
	rt, found := a.match(q)
	if found == nil && rt.open {
		var err error
		if q.query, err = readQuery(q.URL.RawQuery); err != nil {
			return answer{}, err
		}
		return rt.do(a, q)
	}
	// Strangers learn nothing about what exists.
	if err := a.authenticate(q, about); err != nil {
		return answer{}, err
	}
	q.Request = q.WithContext(subscription.WithRequest(q.Context(), *about))
	if err := a.take(h, q); err != nil {
		return answer{}, err
	}
	if found != nil {
		return answer{}, found
	}
	if err := a.admit(q, rt); err != nil {
		return answer{}, err
	}
	ctx := q.Context()
	if !rt.mayRun(q) {
		err := q.access.Check(rt.scope(q), rt.action)
		a.refused(ctx, q, rt)
		return answer{}, err
	}
	if err := q.read(); err != nil {
		return answer{}, err
	}
	return rt.do(a, q)
}

// admit reads what stands beside the path.
func (a *api) admit(q *request, rt route) (err error) {
	if sub := q.vars["subscription"]; sub != "" {
		s, err := a.Subscriptions.Subscription(sub)
		if err != nil {
			return fail(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", printable(sub))
		}
		q.vars["subscription"] = s.ID
	}
	if q.query, err = readQuery(q.URL.RawQuery); err != nil {
		return err
	}
	q.apiText = q.query.get("api-version")
	if rt.voice != "" {
		q.version, err = voiceVersion(q.apiText, rt.voice)
	} else {
		err = platformVersion(q.apiText)
	}
	return err
}

// authenticate finds out who asks.
func (a *api) authenticate(q *request, about *subscription.Request) (err error) {
	if a.local {
		q.principal = subscription.Principal{Tenant: a.Subscriptions.Tenant().ID, Object: "control-socket", Name: "control socket"}
		q.access, about.Principal = subscription.Everything(q.principal), q.principal
		return nil
	}
	kind, raw, _ := strings.Cut(q.Header.Get("Authorization"), " ")
	if raw = strings.TrimSpace(raw); !strings.EqualFold(kind, "Bearer") || raw == "" {
		return fail(http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing or has no bearer token.")
	}
	if q.principal, err = a.Tokens.Verify(q.Context(), raw); err != nil {
		return err
	}
	about.Principal = q.principal
	q.access, err = a.Subscriptions.Access(q.Context(), q.principal)
	return err
}

// challenge is the header that tells a client where to get a token.
func (a *api) challenge(f *failure) string {
	s := fmt.Sprintf(`Bearer authorization_uri="%s/%s"`, a.LoginURL, a.Subscriptions.Tenant().ID)
	if f.Code == "AuthenticationFailed" {
		return s + `, error="invalid_token", error_description="The authentication failed because of missing 'Authorization' header."`
	}
	return s + `, error="invalid_token", error_description="` + strings.NewReplacer(`"`, `'`, `\`, `/`).Replace(f.Message) + `"`
}

// take counts the request.
func (a *api) take(h http.Header, q *request) error {
	c := classOf(q.Method)
	sub := strings.ToLower(q.vars["subscription"])
	if a.local {
		return nil
	}
	left, wait := a.limits.take(bucketKey{c, q.principal.Object, sub}, time.Now())
	of := "tenant"
	if sub != "" {
		of = "subscription"
	}
	h.Set("x-ms-ratelimit-remaining-"+of+"-"+string(c), strconv.Itoa(left))
	if wait == 0 {
		return nil
	}
	f := fail(http.StatusTooManyRequests, "SubscriptionRequestsThrottled", "Number of '%s' requests of '%s' exceeded the limit. Please try again after '%s' seconds.", c, q.principal, seconds(wait))
	f.Wait = wait
	return f
}

// refused tells the audit trail of a change that was not allowed.
func (a *api) refused(ctx context.Context, q *request, rt route) {
	if classOf(q.Method) == reads {
		return
	}
	err := a.Subscriptions.Record(ctx, subscription.Entry{Action: string(rt.action), Resource: printable(q.path), Outcome: "Denied"})
	if err != nil {
		a.Log.Error("the audit trail misses a refusal", "resource", printable(q.path), "principal", q.principal.String(), obs.KeyError, err)
	}
}

// read takes the body.
func (q *request) read() error {
	if classOf(q.Method) != writes {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, q.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return fail(http.StatusRequestEntityTooLarge, "RequestContentTooLarge", "The request content has more than %d bytes.", maxBody)
	}
	if err != nil {
		return fail(http.StatusBadRequest, "InvalidRequestContent", "The request content could not be read to its end.")
	}
	q.body = body
	return nil
}

// decode reads the body as JSON into a value that it is checked against
// first: all that is wrong is told at once, and what nobody knows is warned of.
func (q *request) decode(into any) error {
	if len(bytes.TrimSpace(q.body)) == 0 {
		return fail(http.StatusBadRequest, "InvalidRequestContent", "The request content is missing: send a JSON object.")
	}
	unknown, err := decode(q.body, into)
	for _, u := range unknown {
		q.warn(u)
	}
	return err
}

// maxWarnings bounds the header that they make.
const maxWarnings = 10

func (q *request) warn(text string) {
	if len(q.warnings) < maxWarnings {
		q.warnings = append(q.warnings, text)
	}
}

// actor is who asks, as a resource remembers it.
func (q *request) actor() gateway.Actor {
	if q.principal.App != "" {
		return gateway.Actor{Name: q.principal.App, Kind: "Application"}
	}
	return gateway.Actor{Name: cmp.Or(q.principal.Name, q.principal.Object), Kind: "User"}
}

// condition is what the request demands of the resource's state.
func (q *request) condition() gateway.Match {
	return gateway.Match{IfMatch: q.Header.Get("If-Match"), IfNoneMatch: q.Header.Get("If-None-Match")}
}

// log tells of the request, once: changes and what is broken aloud, the rest
// for those who debug.
func (a *api) log(q *request, about subscription.Request, status int, err error, took time.Duration) {
	level := slog.LevelDebug
	switch {
	case status >= 500:
		level = slog.LevelError
	case classOf(q.Method) != reads:
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("method", printable(q.Method)), slog.String("path", printable(q.path)), slog.String("apiVersion", printable(q.apiText)), slog.Int(obs.KeyStatus, status),
		slog.Duration(obs.KeyDuration, took), slog.String("principal", about.Principal.String()),
		slog.String("request", about.ID), slog.String("correlation", about.Correlation), slog.String("clientRequest", about.Client),
	}
	if err != nil {
		attrs = append(attrs, slog.Any(obs.KeyError, err))
	}
	a.Log.LogAttrs(context.WithoutCancel(q.Context()), level, "resource API", attrs...)
}

var wordForm = regexp.MustCompile(`^[\w.:/+=-]{1,128}$`)

// word is an ID that a client made up, if it looks like one.
func word(s string) string {
	if !wordForm.MatchString(s) {
		return ""
	}
	return s
}

// query is the parameters of a URL, whose names are the same in any case.
type query map[string]string

func (q query) get(name string) string { return q[strings.ToLower(name)] }

func readQuery(raw string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fail(http.StatusBadRequest, "InvalidQueryParameter", "The query of the URL cannot be read.")
	}
	q := query{}
	for name, v := range values {
		name = strings.ToLower(name)
		if _, twice := q[name]; twice || len(v) > 1 {
			return nil, fail(http.StatusBadRequest, "InvalidQueryParameter", "The query parameter '%s' stands in the URL more than once.", printable(name))
		}
		q[name] = v[0]
	}
	return q, nil
}

func writeJSON(w http.ResponseWriter, status int, body any, head bool) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(err) // our own types
	}
	text := bytes.TrimRight(b.Bytes(), "\n")
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if !head {
		w.Write(text) // the client has gone, or reads it
	}
}
