package graph

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/subscription"
)

// maxBody is the most that a request may say: app registrations with all that
// they may hold are far below.
const maxBody = 1 << 20

// request is one on its way.
type request struct {
	*http.Request
	version string   // "v1.0"
	parts   []string // of the path, decoded, behind the version
	vars    map[string]string
	query   query
	caller  directory.Caller
	body    []byte

	id     string // of the request, for the log and for the person who complains
	client string // the same, as the client calls it
}

// answer is what a request is answered with.
type answer struct {
	status   int
	body     any // nil: none; a string is sent as text
	location string
}

func ok(body any) (answer, error)      { return answer{status: http.StatusOK, body: body}, nil }
func done(err error) (answer, error)   { return answer{status: http.StatusNoContent}, err }
func created(body any) (answer, error) { return answer{status: http.StatusCreated, body: body}, nil }

// ServeHTTP lets whatever happens be answered and told once.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	q := &request{Request: r, id: uuid.NewString(), client: word(r.Header.Get("client-request-id"))}
	h := w.Header()
	h.Set("request-id", q.id)
	h.Set("client-request-id", cmp.Or(q.client, q.id))
	h.Set("OData-Version", "4.0")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	status, err := a.guarded(w, q)
	a.tell(q, status, err, time.Since(begun))
}

// guarded lets a panic end this request and nothing else.
func (a *api) guarded(w http.ResponseWriter, q *request) (status int, err error) {
	defer func() { clear(q.body) }() // it may hold a password
	defer func() {
		if p := recover(); p != nil {
			// Not the value of the panic: it may hold what must not be told.
			err = fmt.Errorf("panic of type %T\n%s", p, debug.Stack())
			status = http.StatusInternalServerError
			a.write(w, q, status, explain(err).envelope(q.id, q.client, time.Now()))
		}
	}()
	ans, err := a.serve(q)
	if err != nil {
		f := explain(err)
		h := w.Header()
		if f.status == http.StatusUnauthorized {
			h.Set("WWW-Authenticate", `Bearer realm="", authorization_uri="`+a.LoginURL+`/common/oauth2/authorize", client_id="`+AppID+`"`)
		}
		if f.wait > 0 {
			h.Set("Retry-After", strconv.Itoa(max(1, int((f.wait+time.Second-1)/time.Second))))
		}
		if f.allow != "" {
			h.Set("Allow", f.allow)
		}
		a.write(w, q, f.status, f.envelope(q.id, q.client, time.Now()))
		return f.status, err
	}
	if ans.location != "" {
		w.Header().Set("Location", ans.location)
	}
	a.write(w, q, ans.status, ans.body)
	return ans.status, nil
}

// serve is the way of a request: whose it is, what it asks for, and the
// answer. Strangers learn nothing about what exists.
func (a *api) serve(q *request) (answer, error) {
	kind, raw, _ := strings.Cut(q.Header.Get("Authorization"), " ")
	if raw = strings.TrimSpace(raw); !strings.EqualFold(kind, "Bearer") || raw == "" {
		return answer{}, refusal(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token is empty.")
	}
	var err error
	if q.caller, err = a.verify(q.Context(), raw); err != nil {
		return answer{}, err
	}
	if wait := a.limits.take(q.caller.Tenant+" "+q.caller.Object, time.Now()); wait > 0 {
		f := refusal(http.StatusTooManyRequests, "TooManyRequests", "Too many requests. Try again after the time of Retry-After.")
		f.wait = wait
		return answer{}, f
	}
	q.Request = q.WithContext(subscription.WithRequest(q.Context(), subscription.Request{
		ID: q.id, Correlation: cmp.Or(q.client, q.id), Client: q.client,
		Principal: subscription.Principal{Tenant: q.caller.Tenant, Object: q.caller.Object, Name: q.caller.Name},
	}))
	rt, err := a.match(q)
	if err != nil {
		return answer{}, err
	}
	if q.query, err = readQuery(q.URL.RawQuery); err != nil {
		return answer{}, err
	}
	if err := q.read(); err != nil {
		return answer{}, err
	}
	return rt.do(a, q)
}

// read takes the body.
func (q *request) read() error {
	if q.Method == http.MethodGet || q.Method == http.MethodDelete {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, q.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return refusal(http.StatusRequestEntityTooLarge, "Request_EntityTooLarge", "The body has more than %d bytes.", maxBody)
	}
	if err != nil {
		return badRequest("The body could not be read to its end.")
	}
	if q.body = bytes.TrimSpace(body); len(q.body) == 0 {
		return nil
	}
	if media, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return badRequest("Write requests (excluding DELETE) must contain the Content-Type header declaration: application/json.")
	}
	return nil
}

// write answers.
func (a *api) write(w http.ResponseWriter, q *request, status int, body any) {
	media, text := "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8", []byte(nil)
	switch it := body.(type) {
	case nil:
		w.WriteHeader(status)
		return
	case string:
		media, text = "text/plain; charset=utf-8", []byte(it)
	default:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(body); err != nil {
			panic(err) // our own types
		}
		text = bytes.TrimRight(b.Bytes(), "\n")
		defer clear(text) // once, a secret is in it
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	if q.Method != http.MethodHead {
		w.Write(text) // the client has gone, or reads it
	}
}

// tell logs the request, once: who asked for what, and never the query, where
// names of people stand. Changes and what is broken are told aloud.
func (a *api) tell(q *request, status int, err error, took time.Duration) {
	level := slog.LevelDebug
	switch {
	case status >= 500:
		level = slog.LevelError
	case q.Method != http.MethodGet && q.caller.Object != "":
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("method", printable(q.Method)), slog.String("path", printable(q.URL.Path)), slog.Int(obs.KeyStatus, status),
		slog.Duration(obs.KeyDuration, took), slog.String("principal", printable(q.caller.Object)), slog.String("application", printable(q.caller.App)),
		slog.String(obs.KeyRemote, q.RemoteAddr), slog.String("request", q.id), slog.String("clientRequest", q.client),
	}
	if err != nil {
		attrs = append(attrs, slog.Any(obs.KeyError, err))
	}
	a.Log.LogAttrs(context.WithoutCancel(q.Context()), level, "graph", attrs...)
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

const (
	maxPath = 2048
	maxKey  = 320 // a name of a user and its domain
)

// path splits a path, each part decoded by itself, so that no encoded slash
// makes two parts of one. A key in brackets is a part of its own: "users('a')"
// is users, a; "applications(appId='b')" is applications, appId=b.
func path(escaped string) (parts []string, good bool) {
	escaped = strings.Trim(escaped, "/")
	if len(escaped) > maxPath {
		return nil, false
	}
	for part := range strings.SplitSeq(escaped, "/") {
		p, err := url.PathUnescape(part)
		if err != nil || p == "" || len(p) > maxKey || !utf8.ValidString(p) || strings.ContainsAny(p, "/\\\x00") {
			return nil, false
		}
		name, key, bracket := strings.Cut(p, "(")
		if !bracket || !segment.MatchString(name) {
			parts = append(parts, p)
			continue
		}
		if key, good = strings.CutSuffix(key, ")"); !good {
			return nil, false
		}
		if parts = append(parts, name); key == "" {
			continue // a function, as in microsoft.graph.delta()
		}
		if key, good = bareKey(key); !good {
			return nil, false
		}
		parts = append(parts, key)
	}
	return parts, true
}

var segment = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)

// bareKey takes the quotes off a key: 'a' is a, appId='b' is appId=b.
func bareKey(key string) (string, bool) {
	name, value, named := strings.Cut(key, "=")
	if !named || strings.Contains(name, "'") {
		name, value, named = "", key, false
	}
	if inner, is := strings.CutPrefix(value, "'"); is {
		text, rest, good := quoted(inner)
		if !good || rest != "" || text == "" {
			return "", false
		}
		value = text
	}
	if named {
		return strings.TrimSpace(name) + "=" + value, true
	}
	return value, value != ""
}
