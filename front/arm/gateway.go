package arm

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
	"github.com/tandemgw/tandem/control/operation"
	"github.com/tandemgw/tandem/front/door"
)

func (q *request) gateway() gateway.ID {
	return gateway.ID{Subscription: q.vars["subscription"], Group: q.vars["group"], Name: q.vars["gateway"]}
}

// missing is ResourceNotFound in Azure Resource Manager's own sentence, which
// people look for.
func (q *request) missing(err error, kind, name string) error {
	if fault.Of(err) != fault.NotFound || errors.Is(err, gateway.ErrNoGateway) {
		return err
	}
	f := fail(http.StatusNotFound, "ResourceNotFound", "The Resource '%s/%s' under resource group '%s' was not found.", kind, door.Printable(name), door.Printable(q.vars["group"]))
	f.Cause = err
	return f
}

func (a *api) getGateway(q *request) (answer, error) {
	r, err := a.Gateways.Get(q.Context(), q.gateway())
	if err != nil {
		return answer{}, q.missing(err, gatewayType, q.vars["gateway"])
	}
	return a.gatewayAnswer(q, http.StatusOK, r)
}

// gatewayAnswer shows a gateway. A client that has this state already is told
// so (RFC 9110 §13.1.2).
func (a *api) gatewayAnswer(q *request, status int, r gateway.Resource) (answer, error) {
	ans := answer{Status: status, Body: shapeGateway(r, q.version), Header: map[string]string{"ETag": r.ETag}}
	if classOf(q.Method) == reads && q.has(r.ETag) {
		ans.Status, ans.Body = http.StatusNotModified, nil
	}
	return ans, nil
}

// has tells whether the client says that it has the state of an ETag.
func (q *request) has(etag string) bool {
	for tag := range strings.SplitSeq(q.Header.Get("If-None-Match"), ",") {
		if strings.TrimSpace(tag) == etag {
			return true
		}
	}
	return false
}

// attempts bounds how often a PUT that needs the old state is tried against
// others.
const attempts = 10

func (a *api) putGateway(q *request) (answer, error) {
	var body gatewayBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	if err := a.rightName(q, body.Name, q.vars["gateway"]); err != nil {
		return answer{}, err
	}
	warned := q.warnings
	for range attempts {
		old, match, err := a.before(q)
		if err != nil {
			return answer{}, err
		}
		draft, ignored, err := body.draft(q.version, old)
		if err != nil {
			return answer{}, err
		}
		q.warnings = slices.Clip(warned)
		for _, text := range append(ignored, a.Gateways.Warnings(draft.Gateway)...) {
			q.warn(text)
		}
		r, op, created, err := a.Gateways.Put(q.Context(), q.actor(), q.gateway(), draft, match)
		if errors.Is(err, gateway.ErrPrecondition) && match != q.condition() {
			continue // somebody changed it in between
		}
		if err != nil {
			return answer{}, err
		}
		status := http.StatusOK
		if created {
			status = http.StatusCreated
		}
		ans, err := a.gatewayAnswer(q, status, r)
		a.follow(q, ans.Header, op, false)
		return ans, err
	}
	return answer{}, fail(http.StatusConflict, "Conflict", "Others change gateway '%s' all the time. Please try again.", q.vars["gateway"])
}

// before is the gateway that a PUT changes, nil when there is none, and the
// condition under which what was read still holds. The newest version leaves
// nothing as it was, and need not look.
func (a *api) before(q *request) (*gateway.Resource, gateway.Match, error) {
	match := q.condition()
	if q.version == version(len(versions)-1) {
		return nil, match, nil
	}
	old, err := a.Gateways.Get(q.Context(), q.gateway())
	switch {
	case fault.Of(err) == fault.NotFound:
		if match == (gateway.Match{}) {
			match.IfNoneMatch = "*"
		}
		return nil, match, nil
	case err != nil:
		return nil, match, err
	case match == (gateway.Match{}):
		match.IfMatch = old.ETag
	}
	return &old, match, nil
}

// rightName refuses a body that belongs to another resource.
func (a *api) rightName(_ *request, said, name string) error {
	if said == "" || strings.EqualFold(said, name) {
		return nil
	}
	f := fail(http.StatusBadRequest, "InvalidRequestContent", "The name '%s' in the content is not the name '%s' in the URL: write the same, or none.", door.Printable(said), door.Printable(name))
	f.Target = "name"
	return f
}

func (a *api) patchGateway(q *request) (answer, error) {
	var body patchBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	if err := body.allowed(q.version, false); err != nil {
		return answer{}, err
	}
	r, err := a.Gateways.Patch(q.Context(), q.actor(), q.gateway(), gateway.Patch{Tags: body.Tags, Identity: body.Identity, SKU: body.SKU.sku()}, q.condition())
	if err != nil {
		return answer{}, q.missing(err, gatewayType, q.vars["gateway"])
	}
	return a.gatewayAnswer(q, http.StatusOK, r)
}

func (a *api) deleteGateway(q *request) (answer, error) {
	op, err := a.Gateways.Delete(q.Context(), q.actor(), q.gateway(), q.condition())
	switch {
	case fault.Of(err) == fault.NotFound:
		return answer{Status: http.StatusNoContent}, nil
	case err != nil:
		return answer{}, err
	}
	ans := answer{Status: http.StatusAccepted, Header: map[string]string{}}
	a.follow(q, ans.Header, op, true)
	return ans, nil
}

// follow tells the client where to look at an operation.
func (a *api) follow(q *request, h map[string]string, op operation.Operation, location bool) {
	if op.ID == "" {
		return
	}
	h["Azure-AsyncOperation"] = a.URL + a.atHome(q, op) + "operationStatuses/" + op.ID + "?api-version=" + q.apiText
	if location {
		h["Location"] = a.URL + a.atHome(q, op) + "operationResults/" + op.ID + "?api-version=" + q.apiText
	}
	h["Retry-After"] = door.Seconds(a.RetryAfter)
}

// atHome is the path that those of an operation begin with.
func (a *api) atHome(q *request, op operation.Operation) string {
	return "/subscriptions/" + q.vars["subscription"] + "/providers/" + provider + "/locations/" + strings.ToUpper(a.home(op)) + "/"
}

// home is the location in the URL of an operation. Nothing hangs on it: it is
// there because clients expect one.
func (a *api) home(operation.Operation) string {
	for _, l := range a.Subscriptions.Locations() {
		if l.Management {
			return l.Name
		}
	}
	return "global"
}

// Most of a page, and what it has when the client does not say.
const (
	mostInPage  = 1000
	usualInPage = 100
)

func (a *api) listGateways(q *request) (answer, error) {
	page, err := q.page()
	if err != nil {
		return answer{}, err
	}
	scope := gateway.Scope{Subscription: q.vars["subscription"], Group: q.vars["group"]}
	if scope.Group != "" {
		if _, err := a.Subscriptions.Group(q.Context(), scope.Subscription, scope.Group); err != nil {
			return answer{}, err
		}
	}
	all := q.access.May(q.path, gatewayType+"/read")
	value := []tracked{}
	next := page.after
	for {
		list, more, err := a.Gateways.List(q.Context(), scope, gateway.Page{After: next, Limit: page.limit - len(value), Tag: page.tag})
		if err != nil {
			return answer{}, err
		}
		for _, r := range list {
			if all || q.access.May(r.ID.String(), gatewayType+"/read") {
				value = append(value, shapeGateway(r, q.version))
			}
		}
		if next = more; next == "" || len(value) >= page.limit {
			break
		}
	}
	return ok(a.pageOf(q, value, next))
}

// checkName tells whether a name is free.
func (a *api) checkName(q *request) (answer, error) {
	if err := a.knownLocation(q.vars["location"]); err != nil {
		return answer{}, err
	}
	var body struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	line := strings.EqualFold(body.Type, testLineType)
	if !line && !strings.EqualFold(cmp.Or(body.Type, gatewayType), gatewayType) {
		return ok(availability{Reason: "Invalid", Message: "The type must be '" + gatewayType + "' or '" + testLineType + "'."})
	}
	got, err := a.Gateways.CheckName(q.Context(), q.vars["subscription"], body.Name, line)
	if err != nil {
		return answer{}, err
	}
	return ok(availability{got.Available, got.Reason, got.Message})
}

type availability struct {
	Available bool   `json:"nameAvailable"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
}

// knownLocation refuses a location that this deployment has not.
func (a *api) knownLocation(name string) error {
	if _, err := a.Subscriptions.Location(name); err != nil {
		f := explain(err)
		f.Code, f.Target = "LocationNotAvailableForResourceType", "location"
		return f
	}
	return nil
}

// numbersBody is the list of a gateway's integration numbers: an addition of
// ours.
type numbersBody struct {
	Value []gateway.IntegrationNumber `json:"value"`
}

func (a *api) getNumbers(q *request) (answer, error) {
	list, err := a.Gateways.IntegrationNumbers(q.Context(), q.gateway())
	if err != nil {
		return answer{}, q.missing(err, gatewayType, q.vars["gateway"])
	}
	return ok(numbersBody{append([]gateway.IntegrationNumber{}, list...)})
}

func (a *api) putNumbers(q *request) (answer, error) {
	var body numbersBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	if err := a.Gateways.SetIntegrationNumbers(q.Context(), q.actor(), q.gateway(), body.Value); err != nil {
		return answer{}, q.missing(err, gatewayType, q.vars["gateway"])
	}
	return a.getNumbers(q)
}
