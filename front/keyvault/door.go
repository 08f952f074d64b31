package keyvault

import (
	"bytes"
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
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
)

// door is where requests of either API come in.
type door struct {
	name      string               // in the log
	tokens    verifier             // RO
	challenge string               // RO: tells clients where to get a token
	routes    []route              // RO
	admit     func(*request) error // RO: reads what stands beside the path, once it is known who asks
	may       func(*request) error // RO: whether the principal may do it; nil: the domain decides
	limits    *limits              // RO
	codes     map[string]string    // RO: what codes are called here, where that differs
	log       *slog.Logger
}

// route is one operation.
type route struct {
	method string
	path   string           // {name} stands for one part; the case of the rest does not count
	action string           // what a role must allow, of a resource
	needs  vault.Permission // looked at before the body is read, where that is large
	most   int64            // bytes that the body may have; 0: none is read
	do     func(*request) (answer, error)
}

// request is one on its way.
type request struct {
	*http.Request
	vars      map[string]string // out of the path
	parts     []string
	query     query
	about     subscription.Request
	principal subscription.Principal
	route     route
	bucket    bucketKey
	body      []byte

	vault  string       // of secrets: by the host name
	caller vault.Caller // of secrets

	access subscription.Access // of resources
}

// answer is what a request is answered with.
type answer struct {
	status int
	body   any // nil: none
}

func ok(body any) (answer, error) { return answer{http.StatusOK, body}, nil }

// ServeHTTP lets whatever happens be answered and told once.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	q := &request{Request: r}
	q.about = subscription.Request{ID: uuid.NewString(), Client: word(r.Header.Get("x-ms-client-request-id"))}
	q.about.Correlation = q.about.ID
	if c := word(r.Header.Get("x-ms-correlation-request-id")); c != "" {
		q.about.Correlation = c
	}
	h := w.Header()
	h.Set("x-ms-request-id", q.about.ID)
	if q.about.Client != "" {
		h.Set("x-ms-client-request-id", q.about.Client)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	status, err := d.guarded(w, q)
	d.tell(q, status, err, time.Since(begun))
}

// guarded lets a panic end this request and nothing else.
func (d *door) guarded(w http.ResponseWriter, q *request) (status int, err error) {
	defer func() { clear(q.body) }()
	defer func() {
		if p := recover(); p != nil {
			// Not the value of the panic: it may hold what must not be told.
			err = fmt.Errorf("panic of type %T\n%s", p, debug.Stack())
			status = http.StatusInternalServerError
			d.write(w, status, explain(err))
		}
	}()
	ans, err := d.serve(q)
	if err != nil {
		f := explain(err).called(d.codes)
		if f.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", d.challenge+f.bearer)
		}
		if f.wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(max(1, int((f.wait+time.Second-1)/time.Second))))
		}
		if f.allow != "" {
			w.Header().Set("Allow", f.allow)
		}
		d.write(w, f.status, f)
		return f.status, err
	}
	d.write(w, ans.status, ans.body)
	return ans.status, nil
}

// serve is the way of a request. Whoever has no token learns nothing but where
// to get one: clients send the first request without, and without its body.
func (d *door) serve(q *request) (answer, error) {
	kind, raw, _ := strings.Cut(q.Header.Get("Authorization"), " ")
	if raw = strings.TrimSpace(raw); !strings.EqualFold(kind, "Bearer") || raw == "" {
		return answer{}, refusal(http.StatusUnauthorized, "Unauthorized", "", "AKV10000: Request is missing a Bearer or PoP token.")
	}
	var err error
	if q.principal, err = d.tokens.Verify(q.Context(), raw); err != nil {
		if fault.Of(err) == fault.Unavailable {
			return answer{}, err
		}
		f := refusal(http.StatusUnauthorized, "Unauthorized", "", "AKV10022: Invalid token: "+publicOf(err))
		f.bearer, f.cause = `, error="invalid_token"`, err
		return answer{}, f
	}
	q.about.Principal = q.principal
	q.Request = q.WithContext(subscription.WithRequest(q.Context(), q.about))
	var found error
	q.route, found = d.match(q)
	if q.query, err = readQuery(q.URL.RawQuery); err != nil {
		return answer{}, err
	}
	if err := d.admit(q); err != nil {
		return answer{}, err
	}
	if wait := d.limits.take(q.bucket, time.Now()); wait > 0 {
		f := refusal(http.StatusTooManyRequests, "Throttled", "", "Request was not processed because too many requests were received. Try again after the time of Retry-After.")
		f.wait = wait
		return answer{}, f
	}
	if found != nil {
		return answer{}, found
	}
	if d.may != nil {
		if err := d.may(q); err != nil {
			return answer{}, err
		}
	}
	if err := q.read(q.route.most); err != nil {
		return answer{}, err
	}
	return q.route.do(q)
}

// publicOf is what may be told of why a token is refused.
func publicOf(err error) string {
	if e, is := errors.AsType[*fault.Error](err); is {
		return e.Public
	}
	return "it cannot be read, has expired, or is not for this audience and of its issuer."
}

const maxPath = 2048

// match finds the route. Parts are decoded one by one, so that no encoded
// slash makes two parts of one. One slash at the end is as good as none:
// clients ask for the latest version by an empty one.
func (d *door) match(q *request) (found route, err error) {
	path := strings.TrimPrefix(strings.TrimSuffix(q.URL.EscapedPath(), "/"), "/")
	if len(path) > maxPath {
		return found, nothing()
	}
	for part := range strings.SplitSeq(path, "/") {
		p, err := url.PathUnescape(part)
		if err != nil || p == "" || strings.ContainsAny(p, "/\\\x00") || !utf8.ValidString(p) {
			return found, nothing()
		}
		q.parts = append(q.parts, p)
	}
	var methods []string
	for _, rt := range d.routes {
		vars := rt.fits(q.parts)
		switch {
		case vars == nil:
		case rt.method == q.Method:
			q.vars = vars
			return rt, nil
		default:
			q.vars = vars
			methods = append(methods, rt.method)
		}
	}
	if len(methods) == 0 {
		return found, nothing()
	}
	f := refusal(http.StatusMethodNotAllowed, "MethodNotAllowed", "", "The HTTP method is not supported here.")
	slices.Sort(methods)
	f.allow = strings.Join(slices.Compact(methods), ", ")
	return found, f
}

func nothing() error {
	return refusal(http.StatusNotFound, "NotFound", "", "There is nothing at this path.")
}

// fits gives what the path names, nil when it is another route's.
func (rt route) fits(said []string) map[string]string {
	parts := strings.Split(rt.path, "/")
	if len(said) != len(parts) {
		return nil
	}
	vars := map[string]string{}
	for i, p := range parts {
		switch {
		case strings.HasPrefix(p, "{"):
			vars[p[1:len(p)-1]] = said[i]
		case !strings.EqualFold(p, said[i]):
			return nil
		}
	}
	return vars
}

// read takes the body.
func (q *request) read(most int64) error {
	if most == 0 {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, q.Body, most))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return refusal(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "", fmt.Sprintf("The body has more than %d bytes.", most))
	}
	if err != nil {
		return badParameter("The body could not be read to its end.")
	}
	q.body = body
	return nil
}

// decode reads the body as JSON. What is wrong with it is never quoted: it may
// be the secret.
func (q *request) decode(into any) error {
	if !utf8.Valid(q.body) {
		return badParameter("The body is not JSON: it must be UTF-8.")
	}
	err := json.Unmarshal(q.body, into)
	if e, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return badParameter("The body has a value of the wrong type at '%s'.", printable(e.Field))
	}
	if err != nil {
		return badParameter("The body is not a JSON object, or is not complete.")
	}
	return nil
}

// write answers.
func (d *door) write(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	var b bytes.Buffer
	defer func() { clear(b.Bytes()[:b.Cap()]) }()
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(err) // our own types
	}
	b.Truncate(b.Len() - 1)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	w.Write(b.Bytes()) // the client has gone, or reads it
}

// tell logs the request, once: who asked for what, and never the query, where
// people put what belongs elsewhere. A request that was sent for a token is no
// news.
func (d *door) tell(q *request, status int, err error, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case status >= 500:
		level = slog.LevelError
	case status == http.StatusUnauthorized && q.Header.Get("Authorization") == "":
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("method", printable(q.Method)), slog.String("vault", printable(q.vault)), slog.String("path", printable(q.URL.Path)), slog.Int(obs.KeyStatus, status),
		slog.Duration(obs.KeyDuration, took), slog.String("principal", q.principal.String()), slog.String(obs.KeyRemote, q.RemoteAddr),
		slog.String("request", q.about.ID), slog.String("clientRequest", q.about.Client),
	}
	if err != nil {
		attrs = append(attrs, slog.Any(obs.KeyError, err))
	}
	d.log.LogAttrs(context.WithoutCancel(q.Context()), level, d.name, attrs...)
}

var wordForm = regexp.MustCompile(`^[\w.:/+=-]{1,128}$`)

// word is an ID that a client made up, if it looks like one.
func word(s string) string {
	if !wordForm.MatchString(s) {
		return ""
	}
	return s
}

// printable is what a client wrote, fit for a message and for a log.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	const most = 200
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// query is the parameters of a URL, whose names are the same in any case.
type query map[string]string

func (q query) get(name string) string { return q[strings.ToLower(name)] }

// readQuery also decodes names: some clients write "api%2Dversion".
func readQuery(raw string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badParameter("The query of the URL cannot be read.")
	}
	q := query{}
	for name, v := range values {
		name = strings.ToLower(name)
		if _, twice := q[name]; twice || len(v) > 1 {
			return nil, badParameter("A query parameter stands in the URL more than once.")
		}
		q[name] = v[0]
	}
	return q, nil
}
