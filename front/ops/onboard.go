package ops

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/onboard"
	"github.com/tandemgw/tandem/control/operation"
)

// Subject names whose onboarding is meant. What is empty is found where only
// one thing can be meant.
type Subject = onboard.Named

// OnboardOptions are those of a plan and of an apply.
type OnboardOptions = onboard.Options

// OnboardProgress is what happened since, and how the newest apply is.
type OnboardProgress struct {
	Subject onboard.Subject `json:"subject"`
	Events  []onboard.Event `json:"events"`
	Last    int64           `json:"last"`            // number of the newest event
	Apply   *OnboardApply   `json:"apply,omitempty"` // nil: there was none
}

// OnboardApply is an apply.
type OnboardApply struct {
	ID      string    `json:"id"`
	Status  string    `json:"status"`
	Ended   bool      `json:"ended"`
	Step    string    `json:"step,omitempty"` // that it is at
	Problem string    `json:"problem,omitempty"`
	By      string    `json:"by"`
	Began   time.Time `json:"began"`
}

// OnboardStatus is a plan as it was when all was last looked at, with the
// newest apply.
type OnboardStatus struct {
	onboard.Plan
	Apply *OnboardApply `json:"apply,omitempty"`
}

type (
	subjectList struct {
		Subjects []onboard.Subject `json:"subjects"`
	}
	questionList struct {
		Facts []onboard.Question `json:"facts"`
	}
	declaration struct {
		Facts map[string]string `json:"facts"`
		By    string            `json:"by"`
	}
	applyRequest struct {
		onboard.Options
		By string `json:"by"`
	}
	reportDoc struct {
		Text string `json:"text"`
	}
)

func showApply(op *operation.Operation) *OnboardApply {
	if op == nil {
		return nil
	}
	a := &OnboardApply{ID: op.ID, Status: string(op.Status), Ended: op.Status.Ended(), By: op.Actor, Began: op.Created}
	for _, p := range op.Steps {
		a.Step = p.Detail
	}
	if op.Error != nil {
		a.Problem = op.Error.Message
	}
	return a
}

// onboard adds what a control node has of onboarding.
func (a api) onboard(mux *http.ServeMux) {
	if a.Onboard == nil {
		return
	}
	mux.HandleFunc("GET /onboard", a.answer(a.onboardings))
	mux.HandleFunc("DELETE /onboard", a.answer(a.subject(a.onboardForget)))
	mux.HandleFunc("GET /onboard/plan", a.answer(a.subject(a.onboardPlan, "track", "environment", "outside", uploaderApps)))
	mux.HandleFunc("GET /onboard/status", a.answer(a.subject(a.onboardStatus)))
	mux.HandleFunc("POST /onboard/apply", a.answer(a.subject(a.onboardApply)))
	mux.HandleFunc("GET /onboard/events", a.answer(a.subject(a.onboardEvents, "after")))
	mux.HandleFunc("GET /onboard/facts", a.answer(a.subject(a.onboardFacts)))
	mux.HandleFunc("PUT /onboard/facts", a.answer(a.subject(a.onboardDeclare)))
	mux.HandleFunc("POST /onboard/sent", a.answer(a.subject(a.onboardSent)))
	mux.HandleFunc("POST /onboard/answered", a.answer(a.subject(a.onboardAnswered)))
	mux.HandleFunc("GET /onboard/report", a.answer(a.subject(a.onboardReport, "format", "track", "environment", "outside", uploaderApps)))
}

// aboutSubject answers about one procedure.
type aboutSubject func(*http.Request, *onboard.Set, onboard.Subject) (any, error)

// subject finds the subject that a request's parameters name.
func (a api) subject(f aboutSubject, more ...string) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		q := r.URL.Query()
		if err := known(q, append([]string{"subscription", "group", "gateway", "service"}, more...)...); err != nil {
			return nil, err
		}
		set, err := a.Onboard()
		if err != nil {
			return nil, err
		}
		sub, err := set.Find(r.Context(), onboard.Named{Subscription: q.Get("subscription"), Group: q.Get("group"), Gateway: q.Get("gateway"), Service: q.Get("service")})
		if err != nil {
			return nil, err
		}
		return f(r, set, sub)
	}
}

func (a api) onboardings(r *http.Request) (any, error) {
	set, err := a.Onboard()
	if err != nil {
		return nil, err
	}
	list, err := set.Subjects(r.Context())
	return subjectList{list}, err
}

func (a api) onboardForget(r *http.Request, set *onboard.Set, sub onboard.Subject) (any, error) {
	return OnboardProgress{Subject: sub, Events: []onboard.Event{}}, set.Forget(r.Context(), sub)
}

// options reads those of a plan; "uploader-apps" is the fact.
func options(q url.Values) onboard.Options {
	o := onboard.Options{Track: onboard.Track(q.Get("track")), Environment: onboard.Environment(q.Get("environment")), Outside: q.Get("outside") == "1"}
	if q.Has(uploaderApps) {
		o.Facts = map[string]string{uploaderApps: q.Get(uploaderApps)}
	}
	return o
}

const uploaderApps = "uploader-apps"

func (a api) onboardPlan(r *http.Request, set *onboard.Set, sub onboard.Subject) (any, error) {
	return set.Plan(r.Context(), sub, options(r.URL.Query()))
}

func (a api) onboardStatus(r *http.Request, set *onboard.Set, sub onboard.Subject) (any, error) {
	p, err := set.Status(r.Context(), sub)
	return OnboardStatus{p, showApply(p.Apply)}, err
}

func (a api) onboardApply(r *http.Request, set *onboard.Set, sub onboard.Subject) (any, error) {
	var req applyRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	last, err := set.Last(r.Context(), sub)
	if err != nil {
		return nil, err
	}
	op, err := set.Apply(r.Context(), sub, req.Options, req.By)
	return OnboardProgress{Subject: sub, Events: []onboard.Event{}, Last: last, Apply: showApply(&op)}, err
}

func (a api) onboardEvents(r *http.Request, set *onboard.Set, sub onboard.Subject) (any, error) {
	after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if err != nil && r.URL.Query().Has("after") {
		return nil, fault.New(fault.Invalid, "after is not the number of an event")
	}
	events, op, err := set.Follow(r.Context(), sub, after)
	p := OnboardProgress{Subject: sub, Events: append([]onboard.Event{}, events...), Last: after, Apply: showApply(op)}
	if n := len(events); n > 0 {
		p.Last = events[n-1].Seq
	}
	return p, err
}

func (a api) onboardFacts(r *http.Request, set *onboard.Set, sub onboard.Subject) (any, error) {
	list, err := set.Questions(r.Context(), sub)
	return questionList{list}, err
}

func (a api) onboardDeclare(r *http.Request, set *onboard.Set, sub onboard.Subject) (any, error) {
	var req declaration
	if err := read(r, &req); err != nil {
		return nil, err
	}
	if err := set.Declare(r.Context(), sub, req.Facts, req.By); err != nil {
		return nil, err
	}
	return a.onboardFacts(r, set, sub)
}

func (a api) onboardSent(r *http.Request, set *onboard.Set, sub onboard.Subject) (any, error) {
	var req onboard.Sending
	if err := read(r, &req); err != nil {
		return nil, err
	}
	return set.Send(r.Context(), sub, req)
}

func (a api) onboardAnswered(r *http.Request, set *onboard.Set, sub onboard.Subject) (any, error) {
	var req onboard.Reply
	if err := read(r, &req); err != nil {
		return nil, err
	}
	return set.Answer(r.Context(), sub, req)
}

func (a api) onboardReport(r *http.Request, set *onboard.Set, sub onboard.Subject) (any, error) {
	text, err := set.Report(r.Context(), sub, options(r.URL.Query()), r.URL.Query().Get("format"))
	return reportDoc{text}, err
}

// onboardPath names a subject in the path of a request; more are further
// parameters, each a name and a value.
func onboardPath(what string, s Subject, more ...string) string {
	q := url.Values{}
	all := append([]string{"subscription", s.Subscription, "group", s.Group, "gateway", s.Gateway, "service", s.Service}, more...)
	for i := 0; i < len(all); i += 2 {
		if all[i+1] != "" {
			q.Set(all[i], all[i+1])
		}
	}
	return strings.TrimSuffix("/onboard/"+what, "/") + "?" + q.Encode()
}

// Onboardings lists the procedures that were begun.
func (c *Client) Onboardings(ctx context.Context) ([]onboard.Subject, error) {
	var list subjectList
	err := c.get(ctx, "/onboard", &list)
	return list.Subjects, err
}

// OnboardForget takes away a procedure that was begun by mistake, and gives it.
func (c *Client) OnboardForget(ctx context.Context, s Subject) (onboard.Subject, error) {
	var p OnboardProgress
	err := c.send(ctx, http.MethodDelete, onboardPath("", s), nil, &p)
	return p.Subject, err
}

func spell(o OnboardOptions) []string {
	outside := ""
	if o.Outside {
		outside = "1"
	}
	return []string{"track", string(o.Track), "environment", string(o.Environment), "outside", outside, uploaderApps, o.Facts[uploaderApps]}
}

// OnboardPlan looks at everything.
func (c *Client) OnboardPlan(ctx context.Context, s Subject, o OnboardOptions) (p onboard.Plan, err error) {
	return p, c.get(ctx, onboardPath("plan", s, spell(o)...), &p)
}

// OnboardStatus tells how everything stood when it was last looked at.
func (c *Client) OnboardStatus(ctx context.Context, s Subject) (p OnboardStatus, err error) {
	return p, c.get(ctx, onboardPath("status", s), &p)
}

// OnboardApply orders what a plan shows to be done.
func (c *Client) OnboardApply(ctx context.Context, s Subject, o OnboardOptions, by string) (p OnboardProgress, err error) {
	return p, c.post(ctx, onboardPath("apply", s), applyRequest{o, by}, &p)
}

// OnboardEvents gives what happened after an event; it waits a little while an
// apply goes on.
func (c *Client) OnboardEvents(ctx context.Context, s Subject, after int64) (p OnboardProgress, err error) {
	return p, c.get(ctx, onboardPath("events", s, "after", strconv.FormatInt(after, 10)), &p)
}

// OnboardFacts lists what can be declared, with what was.
func (c *Client) OnboardFacts(ctx context.Context, s Subject) ([]onboard.Question, error) {
	var list questionList
	err := c.get(ctx, onboardPath("facts", s), &list)
	return list.Facts, err
}

// OnboardDeclare declares facts; an empty value takes one back.
func (c *Client) OnboardDeclare(ctx context.Context, s Subject, facts map[string]string, by string) ([]onboard.Question, error) {
	var list questionList
	err := c.send(ctx, http.MethodPut, onboardPath("facts", s), declaration{facts, by}, &list)
	return list.Facts, err
}

// OnboardSent keeps that something was handed over.
func (c *Client) OnboardSent(ctx context.Context, s Subject, say onboard.Sending) (h onboard.HandOver, err error) {
	return h, c.post(ctx, onboardPath("sent", s), say, &h)
}

// OnboardAnswered keeps the answer to it.
func (c *Client) OnboardAnswered(ctx context.Context, s Subject, r onboard.Reply) (h onboard.HandOver, err error) {
	return h, c.post(ctx, onboardPath("answered", s), r, &h)
}

// OnboardReport is the whole procedure for the audit file: format "md" or
// "html".
func (c *Client) OnboardReport(ctx context.Context, s Subject, o OnboardOptions, format string) (string, error) {
	var doc reportDoc
	err := c.get(ctx, onboardPath("report", s, append(spell(o), "format", format)...), &doc)
	return doc.Text, err
}
