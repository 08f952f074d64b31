package ops

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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/link/record"
)

// PcapType is the media type of a capture file.
const PcapType = "application/vnd.tcpdump.pcap"

const (
	maxLimit   = 10000            // records in one answer, about 15 MB of JSON
	maxID      = 128              // octets of an ID; ours have fewer
	patience   = 30 * time.Second // for one question
	manyEnough = 4                // calls named when an ID fits several
)

// api answers from what Config injects.
type api struct{ Config }

// Handler serves the API:
//
//	GET    /calls              live calls
//	GET    /calls?past=1       records; since, until (RFC 3339), peer, number, id, failed=1, limit
//	GET    /calls/{id}         one call, live or past; the beginning of an ID will do while only one call has it
//	GET    /calls/{id}/trace   its messages, as JSON or with Accept: application/vnd.tcpdump.pcap as a capture
//	DELETE /calls/{id}         hang it up
//	GET    /peers              health of the peers; our certificates; warnings of both
//	POST   /peers/reconnect    make TLS connections anew, of all peers or of {"peers":["…"]}
//	GET    /edges              of a control node: its edges and how they stand
//	DELETE /edges/{node}       forget one that will not come back
//	GET    /certificates       of a control node: those of its edges that it sees to
//	PUT    /certificates/{node}  {"chain":"…"}: what the edge's request has been signed with
//	POST   /certificates/{node}/retry  try again now what failed
//	GET    /texts              TXT records of its zones; name: there and below
//	PUT    /texts              publish one: name, value
//	DELETE /texts              take one away
//	GET    /onboard            of a control node: the onboardings that were begun
//	GET    /onboard/plan       how one stands; gateway, group, subscription, service; track, environment
//	…      /onboard/…          status, apply, events, facts, sent, answered, report: see onboard.go
//	GET    /operations         slow work: what goes on, then the newest
//	GET    /operations/{id}    one; the beginning of an ID will do while only one has it
//	POST   /operations/{id}/cancel  ask it to stop
//	GET    /secrets            client secrets that it replaces before they end
//	PUT    /secrets            see to one: application, vault, secret, lifeDays, aheadDays, overlapDays
//	DELETE /secrets            leave one alone: name
//	POST   /secrets/rotate     {"name":"…","revoke":true}: another one now, without overlap
//	POST   /vault-key/rotate   another key for the vaults; all data keys are wrapped anew
//	GET    /tenant             where the operator's directory and vaults are
//	ANY    /tenant/{host}/…    asks them, as the deployment does
//	GET    /users              of a control node: who may sign in
//	POST   /users              make somebody known: {"name":"…","admin":true}; the answer has the link that sets a password
//	POST   /users/{name}/reset forget what they sign in with, and make another link
//	PATCH  /users/{name}       {"enabled":false}
//	DELETE /users/{name}       take them away
//	GET    /audit              of a control node: who did what; since, until, scope, who, action, source, refused=1, limit
//	ANY    /operatorconnect/{gateway}/…  asks Operator Connect, as the gateway does
//	GET    /backup             a consistent copy of the node's data, a tar
//	POST   /reload             read the configuration again; {"dryRun":true,"file":"…"} only compares
//	GET    /health             state of the node; 503 unless ready
//	GET    /metrics            for Prometheus
//
// An error is {"error":{"code":"…","message":"…"}}.
func Handler(c Config) http.Handler {
	c.Log = cmp.Or(c.Log, slog.Default())
	a := api{c}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /calls", a.answer(a.calls))
	mux.HandleFunc("GET /calls/{id}", a.answer(a.call))
	mux.HandleFunc("GET /calls/{id}/trace", a.trace)
	mux.HandleFunc("DELETE /calls/{id}", a.answer(a.hangup))
	mux.HandleFunc("GET /peers", a.answer(a.peers))
	mux.HandleFunc("POST /peers/reconnect", a.answer(a.reconnect))
	mux.HandleFunc("GET /health", a.health)
	if c.Explain != nil {
		mux.HandleFunc("POST /explain", a.answer(a.explain))
	}
	if c.Reload != nil {
		mux.HandleFunc("POST /reload", a.answer(a.reload))
	}
	if c.Backup != nil {
		mux.HandleFunc("GET /backup", a.backup)
	}
	a.names(mux)
	a.edges(mux)
	a.secrets(mux)
	a.tenant(mux)
	a.connect(mux)
	a.onboard(mux)
	a.operations(mux)
	a.users(mux)
	a.audit(mux)
	if c.Metrics != nil {
		mux.Handle("GET /metrics", c.Metrics)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, fault.New(fault.NotFound, "there is no "+r.Method+" "+r.URL.Path+" here"))
	})
	return mux
}

// The shapes of answers.
type (
	liveList struct {
		Calls []record.LiveCall `json:"calls"`
	}
	pastList struct {
		Calls []record.Call `json:"calls"`
	}
	reconnected struct {
		Connections []record.Reconnection `json:"connections"`
	}
	explainRequest struct {
		From   string `json:"from"`
		Invite string `json:"invite"`
	}
	hungUp struct {
		ID string `json:"id"`
	}
	failure struct {
		Error failureBody `json:"error"`
	}
	failureBody struct {
		Code     string   `json:"code"`
		Message  string   `json:"message"`
		Problems []string `json:"problems,omitempty"` // of a configuration that is rejected
	}
)

func (a api) calls(r *http.Request) (any, error) {
	q := r.URL.Query()
	if q.Get("past") != "1" {
		if err := known(q, "past"); err != nil {
			return nil, err
		}
		return liveList{a.live()}, nil
	}
	f, err := filter(q)
	if err != nil {
		return nil, err
	}
	past, err := a.Records.List(r.Context(), f)
	if past == nil {
		past = []record.Call{}
	}
	return pastList{past}, err
}

// live gives the live calls, newest first.
func (a api) live() []record.LiveCall {
	calls := append([]record.LiveCall{}, a.Calls.Live()...)
	slices.SortFunc(calls, func(x, y record.LiveCall) int {
		return cmp.Or(y.Began.Compare(x.Began), cmp.Compare(y.ID, x.ID))
	})
	return calls
}

func (a api) call(r *http.Request) (any, error) {
	return a.find(r.Context(), r.PathValue("id"))
}

// find resolves a whole ID or the beginning of one to the only call that has
// it, live before past.
func (a api) find(ctx context.Context, id string) (record.LiveCall, error) {
	none := record.LiveCall{}
	if len(id) > maxID {
		return none, fault.New(fault.Invalid, "that is no ID of a call: it is too long")
	}
	found := map[string]record.LiveCall{}
	past, err := a.Records.List(ctx, record.Filter{ID: id, Limit: manyEnough})
	if err != nil {
		return none, err
	}
	for _, c := range past {
		found[c.ID] = record.LiveCall{Call: c}
	}
	for _, c := range a.Calls.Live() {
		if strings.HasPrefix(c.ID, id) {
			found[c.ID] = c
		}
	}
	if c, ok := found[id]; ok {
		return c, nil
	}
	switch len(found) {
	case 0:
		return none, fault.New(fault.NotFound, "no call with the ID "+id+" is known to this node")
	case 1:
		for _, c := range found {
			return c, nil
		}
	}
	return none, fault.New(fault.Conflict, "several calls begin with "+id+": "+some(found)+"; give more of the ID")
}

func some(found map[string]record.LiveCall) string {
	var ids []string
	for id := range found {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if len(ids) >= manyEnough {
		ids = append(ids[:manyEnough-1], "…")
	}
	return strings.Join(ids, ", ")
}

func (a api) hangup(r *http.Request) (any, error) {
	c, err := a.find(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if c.State == "" {
		return nil, fault.New(fault.Conflict, "the call "+c.ID+" is over already")
	}
	return hungUp{c.ID}, a.Calls.Hangup(c.ID)
}

func (a api) explain(r *http.Request) (any, error) {
	var req explainRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	if req.From == "" || req.Invite == "" {
		return nil, fault.New(fault.Invalid, "an explanation needs the peer that an INVITE comes from, and its text")
	}
	return a.Explain.Explain(req.From, []byte(req.Invite))
}

func (a api) peers(*http.Request) (any, error) {
	peers := append([]record.PeerHealth{}, a.Peers.Health()...)
	slices.SortFunc(peers, func(x, y record.PeerHealth) int {
		return cmp.Or(cmp.Compare(x.Side, y.Side), cmp.Compare(x.Group, y.Group), cmp.Compare(x.Peer, y.Peer))
	})
	return PeerList{peers, append([]Certificate{}, a.Peers.Certificates()...), append([]Warning{}, a.Peers.Warnings()...)}, nil
}

func (a api) reconnect(r *http.Request) (any, error) {
	var req struct {
		Peers []string `json:"peers"`
	}
	if err := read(r, &req); err != nil {
		return nil, err
	}
	done, err := a.Peers.Reconnect(r.Context(), req.Peers...)
	return reconnected{append([]record.Reconnection{}, done...)}, err
}

func (a api) trace(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	t, err := a.remembered(ctx, r.PathValue("id"))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if r.Header.Get("Accept") != PcapType {
		reply(w, http.StatusOK, t)
		return
	}
	var b bytes.Buffer // a trace is bounded, and an error after the header could not be told
	ok, err := a.Traces.Pcap(&b, t.Call.ID)
	if err == nil && !ok {
		err = forgotten(t.Call.ID)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", PcapType)
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", t.Call.ID+".pcap"))
	w.Write(b.Bytes())
}

// remembered finds a trace and puts the call's record into it. A call that
// was refused before it had a record has a trace all the same.
func (a api) remembered(ctx context.Context, id string) (record.Trace, error) {
	c, err := a.find(ctx, id)
	if err != nil && fault.Of(err) != fault.NotFound {
		return record.Trace{}, err
	}
	if err == nil {
		id = c.ID
	}
	t, ok := a.Traces.Get(id)
	switch {
	case !ok && err == nil:
		return t, forgotten(id)
	case !ok:
		return t, err
	case err == nil:
		t.Call = c.Call
	}
	return t, nil
}

func forgotten(id string) error {
	return fault.New(fault.NotFound, "the messages of call "+id+" are no longer in memory: a node keeps them for an hour, and fewer calls when there are many")
}

func (a api) health(w http.ResponseWriter, _ *http.Request) {
	h := a.Health()
	status := http.StatusOK
	if h.State != Ready {
		status = http.StatusServiceUnavailable // so that a load balancer or probe needs to read nothing
	}
	reply(w, status, h)
}

// maxRequest bounds the body of a request.
const maxRequest = 160 << 10 // an INVITE of 64 KB, written as JSON

// read decodes the body of a request, which may be left out.
func read(r *http.Request, v any) error {
	dec := json.NewDecoder(io.LimitReader(r.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return &fault.Error{Kind: fault.Invalid, Public: "the body is not the JSON that is wanted: " + err.Error(), Err: err}
	}
	return nil
}

// filter reads a search for records.
func filter(q url.Values) (f record.Filter, err error) {
	if err := known(q, "past", "since", "until", "peer", "number", "id", "failed", "limit"); err != nil {
		return f, err
	}
	f = record.Filter{Peer: q.Get("peer"), Number: q.Get("number"), ID: q.Get("id"), Failed: q.Get("failed") == "1", Limit: 100}
	for name, t := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if q.Has(name) {
			if *t, err = time.Parse(time.RFC3339, q.Get(name)); err != nil {
				return f, fault.New(fault.Invalid, name+" is not a time such as 2026-11-21T20:00:00Z")
			}
		}
	}
	if q.Has("limit") {
		if f.Limit, err = strconv.Atoi(q.Get("limit")); err != nil || f.Limit < 1 || f.Limit > maxLimit {
			return f, fault.New(fault.Invalid, fmt.Sprintf("limit is not a number from 1 to %d", maxLimit))
		}
	}
	return f, nil
}

// known refuses misspelt parameters, which would otherwise widen a search in
// silence.
func known(q url.Values, names ...string) error {
	for name, values := range q {
		if !slices.Contains(names, name) {
			return fault.New(fault.Invalid, "the parameter "+name+" is unknown; known are "+strings.Join(names, ", "))
		}
		if len(values) > 1 {
			return fault.New(fault.Invalid, "the parameter "+name+" is given twice")
		}
	}
	return nil
}

// answer makes a handler of a function that gives a value for JSON.
func (a api) answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		v, err := f(r.WithContext(ctx))
		if err != nil {
			a.fail(w, r, err)
			return
		}
		reply(w, http.StatusOK, v)
	}
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // fails only when the client has gone
}

// translation of the kinds of errors to HTTP.
var translation = map[fault.Kind]struct {
	status int
	code   string
}{
	fault.Internal:    {http.StatusInternalServerError, "internal"},
	fault.Invalid:     {http.StatusBadRequest, "invalid"},
	fault.Denied:      {http.StatusForbidden, "denied"},
	fault.NotFound:    {http.StatusNotFound, "notFound"},
	fault.Conflict:    {http.StatusConflict, "conflict"},
	fault.Exhausted:   {http.StatusTooManyRequests, "exhausted"},
	fault.Unavailable: {http.StatusServiceUnavailable, "unavailable"},
}

// fail tells an error: only its public sentence leaves the node.
func (a api) fail(w http.ResponseWriter, r *http.Request, err error) {
	if bad, ok := errors.AsType[*Rejected](err); ok {
		reply(w, http.StatusBadRequest, failure{failureBody{"rejected", "the configuration is rejected; the one before stays in force", bad.Problems}})
		return
	}
	kind := fault.Of(err)
	t := translation[kind]
	message := "an error of the node's own; its log says more"
	if f, ok := errors.AsType[*fault.Error](err); ok && kind != fault.Internal && f.Public != "" {
		message = f.Public
	}
	if kind == fault.Internal || kind == fault.Unavailable {
		a.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	reply(w, t.status, failure{failureBody{Code: t.code, Message: message}})
}
