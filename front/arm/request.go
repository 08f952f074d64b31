package arm

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

// maxBody is the most that a request may say (Azure Resource Manager docs,
// "Azure subscription and service limits": 4 MB).
const maxBody = 4 << 20

// request is one that was understood and is allowed.
type request struct {
	*door.Request
	vars      map[string]string // out of the path
	path      string            // begins with one slash and ends with none
	query     door.Query
	version   version // of our own resources
	apiText   string  // api-version as it was written
	principal subscription.Principal
	access    subscription.Access
	warnings  []string // that the answer will bear
}

// answer is what a request is answered with.
type answer = door.Answer

// ok is an answer with a body.
func ok(body any) (answer, error) { return answer{Status: http.StatusOK, Body: body}, nil }

// greet puts into the head what every answer bears.
func (a *api) greet(h http.Header, q *door.Request) {
	h.Set("x-ms-request-id", q.About.ID)
	h.Set("x-ms-correlation-request-id", q.About.Correlation)
	h.Set("x-ms-routing-request-id", strings.ToUpper(a.Name)+":"+time.Now().UTC().Format("20060102T150405Z")+":"+q.About.ID)
	if q.About.Client != "" && strings.EqualFold(q.Header.Get("x-ms-return-client-request-id"), "true") {
		h.Set("x-ms-client-request-id", q.About.Client)
	}
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "-1")
}

// loudness is how loud a request is told of: changes and what is broken aloud,
// the rest for those who debug.
func loudness(q *door.Request, status int) slog.Level {
	switch {
	case status >= 500:
		return slog.LevelError
	case classOf(q.Method) != reads:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// serve has a request done, and gives its warnings to the answer.
func (a *api) serve(h http.Header, r *door.Request) (answer, error) {
	// Clients join a base that ends in a slash and a path that begins with one.
	q := &request{Request: r, path: "/" + strings.Trim(r.URL.Path, "/")}
	defer func() { q.Note(slog.String("apiVersion", door.Printable(q.apiText))) }()
	ans, err := a.do(h, q)
	for _, text := range q.warnings {
		h.Add("Warning", "299 - "+strconv.QuoteToASCII(text))
	}
	return ans, err
}

// do is the way of a request: whose it is, what it asks for, whether it may,
// and the answer.
func (a *api) do(h http.Header, q *request) (answer, error) {
	rt, found := a.match(q)
	if found == nil && rt.open {
		var err error
		if q.query, err = door.ReadQuery(q.URL.RawQuery); err != nil {
			return answer{}, err
		}
		return rt.do(a, q)
	}
	// Strangers learn nothing about what exists.
	if err := a.authenticate(q); err != nil {
		return answer{}, err
	}
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
	if classOf(q.Method) == writes {
		if err := q.Read(maxBody); err != nil {
			return answer{}, err
		}
	}
	return rt.do(a, q)
}

// admit reads what stands beside the path.
func (a *api) admit(q *request, rt route) (err error) {
	if sub := q.vars["subscription"]; sub != "" {
		s, err := a.Subscriptions.Subscription(sub)
		if err != nil {
			return fail(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", door.Printable(sub))
		}
		q.vars["subscription"] = s.ID
	}
	if q.query, err = door.ReadQuery(q.URL.RawQuery); err != nil {
		return err
	}
	q.apiText = q.query.Get("api-version")
	if rt.voice != "" {
		q.version, err = voiceVersion(q.apiText, rt.voice)
	} else {
		err = platformVersion(q.apiText)
	}
	return err
}

// authenticate finds out who asks.
func (a *api) authenticate(q *request) (err error) {
	if a.local {
		q.principal = subscription.Principal{Tenant: a.Subscriptions.Tenant().ID, Object: "control-socket", Name: "control socket"}
		q.access = subscription.Everything(q.principal)
		q.Is(q.principal)
		return nil
	}
	raw := q.Bearer()
	if raw == "" {
		return fail(http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing or has no bearer token.")
	}
	if q.principal, err = a.Tokens.Verify(q.Context(), raw); err != nil {
		return err
	}
	q.Is(q.principal)
	q.access, err = a.Subscriptions.Access(q.Context(), q.principal)
	return err
}

// take counts the request.
func (a *api) take(h http.Header, q *request) error {
	c := classOf(q.Method)
	sub := strings.ToLower(q.vars["subscription"])
	if a.local {
		return nil
	}
	left, err := a.limits.Take(bucketKey{c, q.principal.Object, sub}, a.Limits.of(c), time.Now())
	of := "tenant"
	if sub != "" {
		of = "subscription"
	}
	h.Set("x-ms-ratelimit-remaining-"+of+"-"+string(c), strconv.Itoa(left))
	if err == nil {
		return nil
	}
	f := explain(err)
	f.Message = fmt.Sprintf("Number of '%s' requests of '%s' exceeded the limit. Please try again after '%s' seconds.", c, q.principal, door.Seconds(f.Wait))
	return f
}

// refused tells the audit trail of a change that was not allowed.
func (a *api) refused(ctx context.Context, q *request, rt route) {
	if classOf(q.Method) == reads {
		return
	}
	err := a.Subscriptions.Record(ctx, subscription.Entry{Action: string(rt.action), Resource: door.Printable(q.path), Outcome: "Denied"})
	if err != nil {
		a.Log.Error("the audit trail misses a refusal", "resource", door.Printable(q.path), "principal", q.principal.String(), obs.KeyError, err)
	}
}

// decode reads the body as JSON into a value that it is checked against
// first: all that is wrong is told at once, and what nobody knows is warned of.
func (q *request) decode(into any) error {
	if len(bytes.TrimSpace(q.Content)) == 0 {
		return fail(http.StatusBadRequest, "InvalidRequestContent", "The request content is missing: send a JSON object.")
	}
	unknown, err := decode(q.Content, into)
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
