package graph

import (
	"bytes"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

// maxBody is the most that a request may say: app registrations with all that
// they may hold are far below.
const maxBody = 1 << 20

// request is one on its way.
type request struct {
	*door.Request
	version string   // "v1.0"
	parts   []string // of the path, decoded, behind the version
	vars    map[string]string
	query   query
	caller  directory.Caller
}

// answer is what a request is answered with.
type answer = door.Answer

func ok(body any) (answer, error)      { return answer{Status: http.StatusOK, Body: body}, nil }
func done(err error) (answer, error)   { return answer{Status: http.StatusNoContent}, err }
func created(body any) (answer, error) { return answer{Status: http.StatusCreated, Body: body}, nil }

// greet puts into the head what every answer bears.
func greet(h http.Header, q *door.Request) {
	h.Set("request-id", q.About.ID)
	h.Set("client-request-id", q.About.Correlation)
	h.Set("OData-Version", "4.0")
	h.Set("Cache-Control", "no-store")
}

// loudness is how loud a request is told of: changes and what is broken aloud.
func loudness(q *door.Request, status int) slog.Level {
	switch {
	case status >= 500:
		return slog.LevelError
	case q.Method != http.MethodGet && q.About.Principal.Object != "":
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// serve is the way of a request: whose it is, what it asks for, and the
// answer. Strangers learn nothing about what exists.
func (a *api) serve(_ http.Header, r *door.Request) (answer, error) {
	q := &request{Request: r}
	raw := q.Bearer()
	if raw == "" {
		return answer{}, refusal(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token is empty.")
	}
	var err error
	if q.caller, err = a.verify(q.Context(), raw); err != nil {
		return answer{}, err
	}
	q.Note(slog.String("application", door.Printable(q.caller.App)))
	q.Is(subscription.Principal{Tenant: q.caller.Tenant, Object: q.caller.Object, Name: q.caller.Name})
	if _, err := a.limits.Take(q.caller.Tenant+" "+q.caller.Object, a.Rate, time.Now()); err != nil {
		return answer{}, err
	}
	rt, err := a.match(q)
	if err != nil {
		return answer{}, err
	}
	if q.query, err = readQuery(q.URL.RawQuery); err != nil {
		return answer{}, err
	}
	if err := q.content(); err != nil {
		return answer{}, err
	}
	return rt.do(a, q)
}

// content takes the body.
func (q *request) content() error {
	if q.Method == http.MethodGet || q.Method == http.MethodDelete {
		return nil
	}
	if err := q.Read(maxBody); err != nil {
		return err
	}
	if q.Content = bytes.TrimSpace(q.Content); len(q.Content) == 0 {
		return nil
	}
	if media, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return badRequest("Write requests (excluding DELETE) must contain the Content-Type header declaration: application/json.")
	}
	return nil
}

const maxKey = 320 // a name of a user and its domain

// path splits a path, each part decoded by itself, so that no encoded slash
// makes two parts of one. A key in brackets is a part of its own: "users('a')"
// is users, a; "applications(appId='b')" is applications, appId=b.
func path(escaped string) (parts []string, good bool) {
	escaped = strings.Trim(escaped, "/")
	if len(escaped) > door.MaxPath {
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
