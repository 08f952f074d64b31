package operatorconnect

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// root is the path that the API is below.
const root = "/api/v1/operator"

// operation is one of the API's: what it is called in the document, the roles
// of which one is enough, and what it does. do runs while the Environment is
// held.
type operation struct {
	pattern string
	name    string
	roles   []string
	do      func(*call) (answer, error)
}

// Roles, by what they are enough for.
var (
	readSettings  = []string{"PartnerSettings.Read", "PartnerSettings.Write", roleAdmin}
	writeSettings = []string{"PartnerSettings.Write", roleAdmin}
	readConsents  = []string{"NumberManagement.Read", "NumberManagement.Write", "PartnerSettings.Write", roleAdmin}
	writeConsents = []string{"NumberManagement.Write", "PartnerSettings.Write", roleAdmin}
	readTrunks    = []string{"TrunkManagement.Read", "TrunkManagement.Write", roleAdmin}
	writeTrunks   = []string{"TrunkManagement.Write", roleAdmin}
	readNumbers   = []string{"NumberManagement.Read", "NumberManagement.Write", roleAdmin}
	writeNumbers  = []string{"NumberManagement.Write", roleAdmin}
	readData      = []string{"Data.Read"}
	writeData     = []string{"Data.Write"}
)

// operations are all that the API can do.
var operations = []operation{
	{"GET /partnersettings", "PartnerSettings_Get", readSettings, getSettings},
	{"PATCH /partnersettings", "PartnerSettings_Update", writeSettings, updateSettings},
	{"GET /partnersettings/applicationids", "ApplicationIds_List", readSettings, listApplications},
	{"PUT /partnersettings/applicationids/{applicationId}", "ApplicationIds_Add", writeSettings, addApplication},
	{"DELETE /partnersettings/applicationids/{applicationId}", "ApplicationIds_Remove", writeSettings, removeApplication},
	{"GET /consents", "Consents_List", readConsents, listConsents},
	{"GET /consents/{consentId}", "Consents_Get", readConsents, getConsent},
	{"PATCH /consents/{consentId}", "Consents_UpdateRelationship", writeConsents, updateConsent},
	{"GET /callingprofiles", "CallingProfiles_List", readTrunks, listProfiles},
	{"POST /callingprofiles", "CallingProfiles_Create", writeTrunks, createProfile},
	{"GET /callingprofiles/{callingProfileId}", "CallingProfiles_Get", readTrunks, getProfile},
	{"PUT /callingprofiles/{callingProfileId}", "CallingProfiles_Replace", writeTrunks, replaceProfile},
	{"DELETE /callingprofiles/{callingProfileId}", "CallingProfiles_Delete", writeTrunks, deleteProfile},
	{"GET /trunks", "Trunks_List", readTrunks, listTrunks},
	{"POST /trunks", "Trunks_Create", writeTrunks, createTrunk},
	{"GET /trunks/{trunkId}", "Trunks_Get", readTrunks, getTrunk},
	{"PUT /trunks/{trunkId}", "Trunks_Replace", writeTrunks, replaceTrunk},
	{"DELETE /trunks/{trunkId}", "Trunks_Delete", writeTrunks, deleteTrunk},
	{"GET /capabilityplans", "CapabilityPlans_List", readNumbers, listPlans},
	{"GET /tenants/{tenantId}/civicaddresses", "CivicAddresses_List", readNumbers, listAddresses},
	{"GET /tenants/{tenantId}/civicaddresses/{civicAddressId}", "CivicAddresses_Get", readNumbers, getAddress},
	{"GET /tenants/{tenantId}/numbers", "Numbers_List", readNumbers, listNumbers},
	{"GET /tenants/{tenantId}/numbers/{telephoneNumber}", "Numbers_Get", readNumbers, getNumber},
	{"POST /tenants/{tenantId}/numbers/upload", "Numbers_Upload", writeNumbers, uploadNumbers},
	{"POST /tenants/{tenantId}/numbers/assign", "Numbers_Assign", writeNumbers, assignNumbers},
	{"POST /tenants/{tenantId}/numbers/release", "Numbers_Release", writeNumbers, releaseNumbers},
	{"GET /tenants/{tenantId}/orders", "Orders_List", readNumbers, listOrders},
	{"GET /tenants/{tenantId}/orders/{orderId}", "Orders_Get", readNumbers, getOrder},
	{"GET /numberstatus", "NumberStatus_GetNumberStatus", readNumbers, listStatus},
	{"POST /callduration", "CallDuration_Upload", writeData, uploadDurations},
	{"GET /callduration", "CallDuration_List", readData, listDurations},
}

// call is a request that was let in.
type call struct {
	principal
	e    *Environment
	o    *operator
	r    *http.Request
	body []byte
}

// answer is what comes back.
type answer struct {
	status   int // 200 when zero
	body     any // nil: none
	etag     int // version; 0: none
	location string
	retry    string // Retry-After
}

// refusal is an answer that is an error.
type refusal struct {
	status  int
	code    string
	message string
	target  string
	details []detail
	header  http.Header
}

type detail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Target  string `json:"target,omitempty"`
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

func refuse(status int, code, target, format string, a ...any) *refusal {
	return &refusal{status: status, code: code, target: target, message: fmt.Sprintf(format, a...)}
}

func invalid(target, format string, a ...any) *refusal {
	return refuse(http.StatusBadRequest, "InvalidRequest", target, format, a...)
}

func missing(what, id string) *refusal {
	return refuse(http.StatusNotFound, "NotFound", clip(id, 100), "There is no %s %s.", what, clip(id, 100))
}

// maxBody is what a request may have.
const maxBody = 4 << 20

// api serves programs.
func (e *Environment) api() http.Handler {
	m := http.NewServeMux()
	known := map[string][]string{} // path -> methods
	for _, op := range operations {
		method, path, _ := strings.Cut(op.pattern, " ")
		m.HandleFunc(method+" "+root+path, func(w http.ResponseWriter, r *http.Request) { e.serve(w, r, op) })
		known[path] = append(known[path], method)
	}
	for path, methods := range known {
		no := refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "", "This path has %s.", strings.Join(methods, ", "))
		no.header = http.Header{"Allow": {strings.Join(methods, ", ")}}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete} {
			if !slices.Contains(methods, method) {
				m.HandleFunc(method+" "+root+path, func(w http.ResponseWriter, r *http.Request) { e.refuse(w, r, operation{}, principal{}, no) })
			}
		}
	}
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		e.refuse(w, r, operation{}, principal{}, refuse(http.StatusNotFound, "NotFound", "", "There is nothing at this path."))
	})
	return m
}

// serve does one operation: who asks, whether he may, and then what.
func (e *Environment) serve(w http.ResponseWriter, r *http.Request, op operation) {
	f := e.faulty(r)
	if f.Slow > 0 {
		select {
		case <-time.After(f.Slow):
		case <-r.Context().Done():
			return
		}
	}
	if f.Status > 0 {
		e.refuse(w, r, op, principal{}, f.refusal())
		return
	}
	p, o, err := e.verify(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		e.refuse(w, r, op, p, stranger(err))
		return
	}
	// What somebody may not do is not read.
	if no := e.may(o, p, op); no != nil {
		e.refuse(w, r, op, p, no)
		return
	}
	c := &call{principal: p, e: e, o: o, r: r}
	if no := c.read(w); no != nil {
		e.refuse(w, r, op, p, no)
		return
	}
	out, no := c.once(op)
	if f.Lose {
		e.note(r, op, p, 0, "lost")
		panic(http.ErrAbortHandler) // it was done, and nobody hears of it
	}
	if no != nil {
		e.refuse(w, r, op, p, no)
		return
	}
	out.write(w)
	e.note(r, op, p, out.status, "")
}

// may asks what a caller needs beyond a token: a program must be on the list of
// Application Ids, and both need a role.
func (e *Environment) may(o *operator, p principal, op operation) *refusal {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !p.person && !o.listed(p.app) {
		return refuse(http.StatusForbidden, "ApplicationNotListed", p.app, "The application %s is not on the list of Application Ids: add it at %s/operator/configuration.", p.app, e.url)
	}
	if !p.has(op.roles...) {
		return refuse(http.StatusForbidden, "RoleMissing", strings.Join(op.roles, ","), "The token has none of the roles %s of Project Synergy; it has %s.", strings.Join(op.roles, ", "), cmpOr(clip(strings.Join(p.roles, ", "), 300), "none"))
	}
	return nil
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// read reads the body of a request that has one.
func (c *call) read(w http.ResponseWriter) *refusal {
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodDelete {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, c.r.Body, maxBody))
	switch {
	case err != nil:
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return refuse(http.StatusRequestEntityTooLarge, "PayloadTooLarge", "", "A request has %d octets at most.", maxBody)
		}
		return invalid("", "The body did not come whole.")
	case len(body) == 0:
		return nil
	}
	kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if kind != "application/json" && kind != "application/merge-patch+json" {
		return refuse(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "", "The body must be application/json.")
	}
	c.body = body
	return nil
}

// decode reads the body as what the document says, and nothing more.
func (c *call) decode(out any) error {
	if len(c.body) == 0 {
		return invalid("", "The request has no body.")
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.DisallowUnknownFields()
	err := d.Decode(out)
	if wrong, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return invalid(wrong.Field, "%s cannot be %s.", cmpOr(wrong.Field, "The body"), wrong.Value)
	}
	if err != nil {
		return invalid("", "The body is not the JSON that was expected: %s.", clip(strings.TrimPrefix(err.Error(), "json: "), 200))
	}
	if d.More() {
		return invalid("", "Something stands behind the JSON in the body.")
	}
	return nil
}

// id is an ID of the path.
func (c *call) id(name string) (string, error) {
	raw := c.r.PathValue(name)
	id, err := uuid.Parse(raw)
	if err != nil || len(raw) != 36 {
		return "", invalid(name, "%q is no ID.", clip(raw, 60))
	}
	return id.String(), nil
}

// matches looks at If-Match.
func (c *call) matches(version int) error {
	want := strings.TrimSpace(c.r.Header.Get("If-Match"))
	if want == "" || want == "*" || want == etag(version) {
		return nil
	}
	return refuse(http.StatusPreconditionFailed, "PreconditionFailed", "", "It has been changed meanwhile: it is %s now.", etag(version))
}

func etag(version int) string { return `"` + strconv.Itoa(version) + `"` }

// force tells whether the caller says that he means it.
func (c *call) force() (bool, error) {
	raw := c.r.URL.Query().Get("force")
	if raw == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(raw)
	if err != nil {
		return false, invalid("force", "force is true or false.")
	}
	return b, nil
}

// repeat is an answer that was given, for whoever repeats the request.
type repeat struct {
	of  [32]byte
	at  time.Time
	out answer
	no  *refusal
}

const (
	memory  = time.Hour // for which repeated requests are known
	repeats = 10_000    // that are kept of one operator; the oldest go
)

// once does what is asked, unless this is a repetition of what was done
// already (OASIS Repeatable Requests 1.0).
func (c *call) once(op operation) (answer, *refusal) {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	c.o.settle(time.Now())
	id := c.r.Header.Get("Repeatability-Request-ID")
	if id == "" || c.r.Method == http.MethodGet {
		return c.does(op)
	}
	key, no := c.repeated(id)
	if no != nil {
		return answer{}, no
	}
	of := sha256.Sum256(slices.Concat([]byte(c.r.Method+" "+c.r.URL.RequestURI()+"\n"), c.body))
	if before, is := c.o.repeats[key]; is && time.Since(before.at) < memory {
		if before.of != of {
			return answer{}, refuse(http.StatusBadRequest, "RepeatabilityMismatch", "", "The Repeatability-Request-ID was used for another request.")
		}
		return before.out, before.no
	}
	out, no := c.does(op)
	if len(c.o.repeats) >= repeats {
		c.o.forget()
	}
	c.o.repeats[key] = repeat{of: of, at: time.Now(), out: out, no: no}
	return out, no
}

// repeated reads the headers of a repeatable request.
func (c *call) repeated(id string) (string, *refusal) {
	key, err := uuid.Parse(id)
	if err != nil {
		return "", invalid("Repeatability-Request-ID", "The Repeatability-Request-ID is no UUID.")
	}
	sent, err := http.ParseTime(c.r.Header.Get("Repeatability-First-Sent"))
	if err != nil {
		return "", invalid("Repeatability-First-Sent", "The Repeatability-First-Sent is no HTTP date.")
	}
	if time.Since(sent) > memory {
		no := refuse(http.StatusPreconditionFailed, "PreconditionFailed", "Repeatability-First-Sent", "It was first sent more than an hour ago: nobody knows any more whether it was done.")
		no.header = http.Header{"Repeatability-Result": {"rejected"}}
		return "", no
	}
	return c.object + " " + c.app + " " + key.String(), nil
}

// forget drops the repetitions that are too old; when none is, the oldest half.
func (o *operator) forget() {
	var times []time.Time
	for _, r := range o.repeats {
		times = append(times, r.at)
	}
	slices.SortFunc(times, time.Time.Compare)
	limit := times[len(times)/2]
	if old := time.Now().Add(-memory); old.After(limit) {
		limit = old
	}
	for key, r := range o.repeats {
		if !r.at.After(limit) {
			delete(o.repeats, key)
		}
	}
}

func (c *call) does(op operation) (answer, *refusal) {
	if c.r.Method != http.MethodGet {
		defer c.e.publish()
	}
	out, err := op.do(c)
	if err == nil {
		return out, nil
	}
	if no, is := errors.AsType[*refusal](err); is {
		return answer{}, no
	}
	c.e.cfg.Log.Error("an operation fails", "operation", op.name, "error", err)
	return answer{}, refuse(http.StatusInternalServerError, "InternalError", "", "Something is broken here.")
}

// write sends an answer.
func (a *answer) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("request-id", uuid.NewString())
	h.Set("Cache-Control", "no-store")
	h.Set("Repeatability-Result", "accepted")
	if a.etag > 0 {
		h.Set("ETag", etag(a.etag))
	}
	for name, value := range map[string]string{"Location": a.location, "Retry-After": a.retry} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body) // the reader is gone: its own affair
}

// refuse sends an error.
func (e *Environment) refuse(w http.ResponseWriter, r *http.Request, op operation, p principal, no *refusal) {
	h := w.Header()
	h.Set("request-id", uuid.NewString())
	h.Set("x-ms-error-code", no.code)
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	for name, values := range no.header {
		h[name] = values
	}
	w.WriteHeader(no.status)
	body := struct {
		Error struct {
			detail
			Details []detail `json:"details,omitempty"`
		} `json:"error"`
	}{}
	body.Error.detail, body.Error.Details = detail{no.code, no.message, no.target}, no.details
	_ = json.NewEncoder(w).Encode(body) // the reader is gone: its own affair
	e.note(r, op, p, no.status, no.code)
}

const (
	usualPage = 100
	maxPage   = 1000
)

// list gives a page of items that stand in the order of their keys. The next
// one begins behind the last key of this one, whatever comes or goes meanwhile.
func list[T any](c *call, items []T, key func(T) string) (answer, error) {
	q := c.r.URL.Query()
	top := usualPage
	if raw := q.Get("top"); raw != "" {
		n, err := strconv.Atoi(raw)
		if err != nil || n < 1 || n > maxPage {
			return answer{}, invalid("top", "top is a number from 1 to %d.", maxPage)
		}
		top = n
	}
	if raw := q.Get("skiptoken"); raw != "" {
		after, err := base64.RawURLEncoding.DecodeString(raw)
		if err != nil {
			return answer{}, invalid("skiptoken", "This is not a link that was given here.")
		}
		i, found := slices.BinarySearchFunc(items, string(after), func(item T, k string) int { return strings.Compare(key(item), k) })
		if found {
			i++
		}
		items = items[i:]
	}
	page := struct {
		Value []T    `json:"value"`
		Next  string `json:"nextLink,omitempty"`
	}{Value: []T{}}
	page.Value = append(page.Value, items[:min(top, len(items))]...)
	if len(items) > top {
		q.Set("skiptoken", base64.RawURLEncoding.EncodeToString([]byte(key(items[top-1]))))
		page.Next = (&url.URL{Scheme: "https", Host: c.r.Host, Path: c.r.URL.Path, RawPath: c.r.URL.RawPath, RawQuery: q.Encode()}).String()
	}
	return answer{body: page}, nil
}

// nth is the key of what has an order of its own.
func nth(n int) string { return fmt.Sprintf("%012d", n) }

// copies makes values of pointers, so that what is written after the
// Environment is let go is nobody's any more.
func copies[T any](items []*T) []T {
	out := make([]T, len(items))
	for i, item := range items {
		out[i] = *item
	}
	return out
}

// wanted is an ID of the query; "" when there is none.
func (c *call) wanted(name string) (string, error) {
	raw := c.r.URL.Query().Get(name)
	if raw == "" {
		return "", nil
	}
	id, err := uuid.Parse(raw)
	if err != nil || len(raw) != 36 {
		return "", invalid(name, "%q is no ID.", clip(raw, 60))
	}
	return id.String(), nil
}

// one is a word of the query that must be one of some.
func (c *call) one(name string, of []string) (string, error) {
	raw := c.r.URL.Query().Get(name)
	if raw != "" && !slices.Contains(of, raw) {
		return "", invalid(name, "%s is one of %s.", name, strings.Join(of, ", "))
	}
	return raw, nil
}
