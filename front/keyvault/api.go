package keyvault

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/control/vault"
	"github.com/tandemgw/tandem/front/door"
)

// api is what both have in common.
type api struct {
	tokens verifier               // RO
	routes []route                // RO
	admit  func(*request) error   // RO: reads what stands beside the path, once it is known who asks
	may    func(*request) error   // RO: whether the principal may do it; nil: the domain decides
	rate   door.Rate              // RO
	limits door.Limits[bucketKey] // by principal and vault
	codes  map[string]string      // RO: what codes are called here, where that differs
}

// handler has what comes in by a door done.
func (a *api) handler(name, challenge string, log *slog.Logger) http.Handler {
	return &door.Door{
		Name: name, Media: "application/json; charset=utf-8", Log: log, Challenge: challenge, Secret: true,
		ClientID: "x-ms-client-request-id", CorrelationID: "x-ms-correlation-request-id",
		Greet: greet, Level: loudness,
		Serve:    func(_ http.Header, q *door.Request) (answer, error) { return a.serve(&request{Request: q}) },
		Explain:  func(err error) *failure { return called(vocabulary.Explain(err), a.codes) },
		Envelope: func(_ http.Header, _ *door.Request, f *failure) any { return map[string]*failure{"error": f} },
	}
}

// bucketKey is whose requests count together: one principal in one place.
type bucketKey struct{ principal, place string }

// route is one operation.
type route struct {
	method string
	path   string           // as door.Fit has it
	action string           // what a role must allow, of a resource
	needs  vault.Permission // looked at before the body is read, where that is large
	most   int64            // bytes that the body may have; 0: none is read
	do     func(*request) (answer, error)
}

// request is one on its way.
type request struct {
	*door.Request
	vars      map[string]string // out of the path
	parts     []string
	query     door.Query
	principal subscription.Principal
	groups    []string // that its token says it is in
	route     route
	bucket    bucketKey

	vault  string       // of secrets: by the host name
	caller vault.Caller // of secrets

	access subscription.Access // of resources
}

// answer is what a request is answered with.
type answer = door.Answer

func ok(body any) (answer, error) { return answer{Status: http.StatusOK, Body: body}, nil }

// greet puts into the head what every answer bears.
func greet(h http.Header, q *door.Request) {
	h.Set("x-ms-request-id", q.About.ID)
	if q.About.Client != "" {
		h.Set("x-ms-client-request-id", q.About.Client)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
}

// loudness is how loud a request is told of. One that was sent for a token is no
// news.
func loudness(q *door.Request, status int) slog.Level {
	switch {
	case status >= 500:
		return slog.LevelError
	case status == http.StatusUnauthorized && q.Header.Get("Authorization") == "":
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// serve is the way of a request. Whoever has no token learns nothing but where
// to get one: clients send the first request without, and without its body.
func (a *api) serve(q *request) (answer, error) {
	raw := q.Bearer()
	if raw == "" {
		return answer{}, refusal(http.StatusUnauthorized, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
	}
	var err error
	if q.principal, q.groups, err = a.whose(q.Context(), raw); err != nil {
		if fault.Of(err) == fault.Unavailable {
			return answer{}, err
		}
		f := refusal(http.StatusUnauthorized, "Unauthorized", "AKV10022: Invalid token: "+publicOf(err))
		f.Bearer, f.Cause = `, error="invalid_token"`, err
		return answer{}, f
	}
	q.Is(q.principal)
	found := a.match(q)
	if q.query, err = door.ReadQuery(q.URL.RawQuery); err != nil {
		return answer{}, err
	}
	if err := a.admit(q); err != nil {
		return answer{}, err
	}
	if _, err := a.limits.Take(q.bucket, a.rate, time.Now()); err != nil {
		return answer{}, err
	}
	if found != nil {
		return answer{}, found
	}
	if a.may != nil {
		if err := a.may(q); err != nil {
			return answer{}, err
		}
	}
	if q.route.most > 0 {
		if err := q.Read(q.route.most); err != nil {
			return answer{}, err
		}
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

// match finds the route. Parts are decoded one by one, so that no encoded
// slash makes two parts of one. One slash at the end is as good as none:
// clients ask for the latest version by an empty one.
func (a *api) match(q *request) (err error) {
	path := strings.TrimPrefix(strings.TrimSuffix(q.URL.EscapedPath(), "/"), "/")
	if len(path) > door.MaxPath {
		return door.ErrNoRoute
	}
	for part := range strings.SplitSeq(path, "/") {
		p, err := url.PathUnescape(part)
		if err != nil || p == "" || strings.ContainsAny(p, "/\\\x00") || !utf8.ValidString(p) {
			return door.ErrNoRoute
		}
		q.parts = append(q.parts, p)
	}
	q.route, q.vars, err = door.Find(a.routes, q.Method, func(rt route) (string, map[string]string) {
		return rt.method, door.Fit(strings.Split(rt.path, "/"), q.parts)
	})
	return err
}

// decode reads the body as JSON. What is wrong with it is never quoted: it may
// be the secret.
func (q *request) decode(into any) error {
	if !utf8.Valid(q.Content) {
		return badParameter("The body is not JSON: it must be UTF-8.")
	}
	err := json.Unmarshal(q.Content, into)
	if e, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return badParameter("The body has a value of the wrong type at '%s'.", door.Printable(e.Field))
	}
	if err != nil {
		return badParameter("The body is not a JSON object, or is not complete.")
	}
	return nil
}
