package arm

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/tester"
	"github.com/tandemgw/tandem/front/door"
	"github.com/tandemgw/tandem/link/record"
)

// readinessBody tells what a gateway lacks before its services can be taken
// into service, and what does not run that should: an addition of ours.
type readinessBody struct {
	Ready    bool               `json:"ready"`
	State    string             `json:"provisioningState"`
	Status   string             `json:"status"`
	Services []serviceReadiness `json:"services"`
	Strays   []string           `json:"testLinesWithoutService"`
	Edges    []edgeStanding     `json:"edges"`
	Problems []string           `json:"problems"`
	Warnings []string           `json:"warnings"`
	Advice   string             `json:"advice,omitempty"`
	Last     *operationBody     `json:"lastOperation,omitempty"`
	Schedule *scheduleBody      `json:"testSchedule,omitempty"`
	Tests    []testBody         `json:"testCalls"` // the newest of each line, way and edge
}

type serviceReadiness struct {
	Service     string           `json:"service"`
	Track       string           `json:"track"`
	Ready       bool             `json:"ready"`
	Counts      []readinessCount `json:"counts"`
	Suggestions []suggestedLine  `json:"suggestedTestLines"`
}

type readinessCount struct {
	What string `json:"what"`
	Have int    `json:"have"`
	Want int    `json:"want"`
	Text string `json:"text"` // "2 of 6 Automated lines"
}

type suggestedLine struct {
	Name    string `json:"name"`
	Purpose string `json:"purpose"`
}

type edgeStanding struct {
	Node   string `json:"node"`
	Region string `json:"region"`
	Serves bool   `json:"serves"`
	Why    string `json:"why,omitempty"`
}

func (a *api) readiness(q *request) (answer, error) {
	r, err := a.Gateways.Readiness(q.Context(), q.gateway())
	if err != nil {
		return answer{}, q.missing(err, gatewayType, q.vars["gateway"])
	}
	body := readinessBody{
		Ready: r.Ready(), State: r.State, Status: r.Status, Services: []serviceReadiness{}, Strays: append([]string{}, r.Strays...),
		Edges: []edgeStanding{}, Problems: append([]string{}, r.Problems...), Warnings: append([]string{}, r.Warnings...), Advice: r.Advice,
		Tests: []testBody{},
	}
	for _, s := range r.Services {
		out := serviceReadiness{s.Service, s.Track, s.Ready(), []readinessCount{}, []suggestedLine{}}
		for _, c := range s.Counts {
			out.Counts = append(out.Counts, readinessCount{c.What, c.Have, c.Want, c.String()})
		}
		for _, g := range s.Suggestions {
			out.Suggestions = append(out.Suggestions, suggestedLine{g.Name, g.Purpose})
		}
		body.Services = append(body.Services, out)
	}
	for _, e := range r.Edges {
		body.Edges = append(body.Edges, edgeStanding{e.Node, e.Region, e.Serves, e.Why})
	}
	if op := r.Operation; op != nil {
		shape := shapeOperation(*op, a.atHome(q, *op)+"operationStatuses/"+op.ID)
		body.Last = &shape
	}
	if err := a.addTests(q, r.Gateway, &body); err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"id": r.Gateway.String() + "/readiness", "name": "readiness", "type": gatewayType + "/readiness", "properties": body})
}

// addTests adds what the calls of the gateway's test lines have shown.
func (a *api) addTests(q *request, id gateway.ID, body *readinessBody) error {
	if a.Tester == nil {
		return nil
	}
	plan, err := a.Tester.Plan(q.Context(), id)
	if err != nil {
		return err
	}
	if plan.Interval > 0 {
		shape := shapeSchedule(plan)
		body.Schedule = &shape
	}
	lines, err := a.Gateways.ListTestLines(q.Context(), id)
	if err != nil {
		return err
	}
	newest, err := a.Tester.Newest(q.Context(), id)
	for _, r := range newest {
		if slices.ContainsFunc(lines, func(l gateway.TestLine) bool { return strings.EqualFold(l.ID.Name, r.Line) }) {
			body.Tests = append(body.Tests, shapeTest(r))
		}
	}
	return err
}

// testBody is a test call. Durations are in milliseconds.
type testBody struct {
	ID       string       `json:"id"`
	Line     string       `json:"testLine"`
	State    string       `json:"state"` // "underway", "passed", "failed"
	Towards  record.Side  `json:"towards"`
	From     string       `json:"from"`
	To       string       `json:"to"`
	Node     string       `json:"node"`
	Region   string       `json:"region"`
	Began    string       `json:"began"`
	Ended    string       `json:"ended,omitempty"`
	Answered bool         `json:"answered"`
	Ring     int64        `json:"ringMs,omitempty"`
	Answer   int64        `json:"answerMs,omitempty"`
	Status   int          `json:"status,omitempty"`
	Peer     string       `json:"peer,omitempty"`
	MOS      float64      `json:"mos,omitempty"`
	Sent     uint64       `json:"packetsSent"`
	Received uint64       `json:"packetsReceived"`
	Heard    bool         `json:"heard"`
	Echo     bool         `json:"echo"`
	OneWay   string       `json:"oneWayAudio,omitempty"`
	Cause    record.Cause `json:"cause,omitzero"`
	Problem  string       `json:"problem,omitempty"`
	Call     string       `json:"call,omitempty"` // ID of the call record
	Notes    []string     `json:"notes,omitempty"`
}

func shapeTest(r tester.Report) testBody {
	b := testBody{
		ID: r.ID, Line: r.Line, State: "underway", Towards: r.Towards, From: r.From, To: r.To, Node: r.Node, Region: r.Region,
		Began: moment(r.Began), Answered: r.Answer > 0, Ring: r.Ring.Milliseconds(), Answer: r.Answer.Milliseconds(), Status: r.Status, Peer: r.Peer,
		MOS: r.MOS, Sent: r.Sent, Received: r.Received, Heard: r.Heard, Echo: r.Echo, OneWay: r.OneWay, Cause: r.Cause, Problem: r.Problem, Call: r.Call, Notes: r.Notes,
	}
	if !r.Under() {
		b.Ended, b.State = moment(r.Ended), "passed"
		if r.Problem != "" {
			b.State = "failed"
		}
	}
	return b
}

func shapeTests(list []tester.Report) map[string]any {
	value := []testBody{}
	for _, r := range list {
		value = append(value, shapeTest(r))
	}
	return map[string]any{"value": value}
}

// errNoTester is told where nobody places test calls.
func errNoTester() error {
	return fail(http.StatusNotFound, "ResourceNotFound", "This deployment places no test calls.")
}

// callLine has a test line called. The calls take their time: they are there to
// be read until they have ended.
func (a *api) callLine(q *request) (answer, error) {
	if a.Tester == nil {
		return answer{}, errNoTester()
	}
	var body struct {
		Towards record.Side `json:"towards"`
		From    string      `json:"from"`
		Node    string      `json:"node"`
		Seconds int         `json:"seconds"`
	}
	if q.ContentLength != 0 {
		if err := q.decode(&body); err != nil {
			return answer{}, err
		}
	}
	const most = 20
	if body.Seconds < 0 || body.Seconds > most {
		return answer{}, fail(http.StatusBadRequest, "InvalidRequestContent", "seconds: %d: write 1 to %d, or leave it out.", body.Seconds, most)
	}
	calls, err := a.Tester.Begin(q.Context(), q.line(), tester.Order{
		Towards: body.Towards, From: body.From, Node: body.Node, Talk: time.Duration(body.Seconds) * time.Second,
	})
	if err != nil {
		return answer{}, q.noParent(err)
	}
	return answer{Status: http.StatusAccepted, Body: shapeTests(calls)}, nil
}

// lineCalls are the newest calls of a test line.
func (a *api) lineCalls(q *request) (answer, error) {
	if a.Tester == nil {
		return answer{}, errNoTester()
	}
	l, err := a.Gateways.GetTestLine(q.Context(), q.line())
	if err != nil {
		return answer{}, q.noParent(err)
	}
	list, err := a.Tester.List(q.Context(), l.ID.Gateway, l.ID.Name, 100)
	if err != nil {
		return answer{}, err
	}
	return ok(shapeTests(list))
}

// scheduleBody is when test lines are called. Durations are as in "15m".
type scheduleBody struct {
	Interval string `json:"interval"` // "0s": never
	Jitter   string `json:"jitter,omitempty"`
	From     string `json:"from,omitempty"`
}

func shapeSchedule(p tester.Plan) scheduleBody {
	b := scheduleBody{Interval: p.Interval.String(), From: p.From}
	if p.Jitter > 0 {
		b.Jitter = p.Jitter.String()
	}
	return b
}

func (a *api) getSchedule(q *request) (answer, error) {
	if a.Tester == nil {
		return answer{}, errNoTester()
	}
	if _, err := a.Gateways.Get(q.Context(), q.gateway()); err != nil {
		return answer{}, q.missing(err, gatewayType, q.vars["gateway"])
	}
	p, err := a.Tester.Plan(q.Context(), q.gateway())
	if err != nil {
		return answer{}, err
	}
	return ok(shapeSchedule(p))
}

func (a *api) putSchedule(q *request) (answer, error) {
	if a.Tester == nil {
		return answer{}, errNoTester()
	}
	var body scheduleBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	p := tester.Plan{From: body.From}
	for _, d := range []struct {
		name, said string
		into       *time.Duration
	}{{"interval", body.Interval, &p.Interval}, {"jitter", body.Jitter, &p.Jitter}} {
		var err error
		if *d.into, err = time.ParseDuration(cmp.Or(d.said, "0s")); err != nil {
			return answer{}, fail(http.StatusBadRequest, "InvalidRequestContent", "%s: '%s': write a duration, such as 15m.", d.name, door.Printable(d.said))
		}
	}
	if err := a.Tester.SetPlan(q.Context(), q.actor(), q.gateway(), p); err != nil {
		return answer{}, q.missing(err, gatewayType, q.vars["gateway"])
	}
	return a.getSchedule(q)
}
