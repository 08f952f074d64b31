package arm

import (
	"net/http"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/gateway"
)

func (q *request) line() gateway.LineID {
	return gateway.LineID{Gateway: q.gateway(), Name: q.vars["line"]}
}

// noParent is the error for what is below a gateway that does not exist.
func (q *request) noParent(err error) error {
	f := explain(err)
	if f.Code == "ParentResourceNotFound" {
		f.Message = "Failed to perform '" + q.action() + "' on resource(s) of type 'communicationsGateways/testLines', because the parent resource '" + q.gateway().String() + "' could not be found."
	}
	return q.missing(f, testLineType, q.vars["gateway"]+"/"+q.vars["line"])
}

// action is what the method does, as Azure Resource Manager's sentence has it.
func (q *request) action() string {
	switch classOf(q.Method) {
	case reads:
		return "read"
	case deletes:
		return "delete"
	}
	return "write"
}

func (a *api) lineAnswer(q *request, status int, l gateway.TestLine) (answer, error) {
	ans := answer{Status: status, Body: shapeLine(l), Header: map[string]string{"ETag": l.ETag}}
	if classOf(q.Method) == reads && q.has(l.ETag) {
		ans.Status, ans.Body = http.StatusNotModified, nil
	}
	return ans, nil
}

func (a *api) getLine(q *request) (answer, error) {
	l, err := a.Gateways.GetTestLine(q.Context(), q.line())
	if err != nil {
		return answer{}, q.noParent(err)
	}
	return a.lineAnswer(q, http.StatusOK, l)
}

func (a *api) putLine(q *request) (answer, error) {
	var body lineBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	if err := a.rightName(q, body.Name, q.vars["line"]); err != nil {
		return answer{}, err
	}
	doc := gateway.TestLine{ID: q.line(), Location: body.Location, Tags: body.Tags, PhoneNumber: body.Properties.PhoneNumber, Purpose: body.Properties.Purpose}
	l, created, err := a.Gateways.PutTestLine(q.Context(), q.actor(), doc, q.condition())
	if err != nil {
		return answer{}, q.noParent(err)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return a.lineAnswer(q, status, l)
}

func (a *api) patchLine(q *request) (answer, error) {
	var body patchBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	if err := body.allowed(q.version, true); err != nil {
		return answer{}, err
	}
	if body.Tags == nil {
		return a.getLine(q)
	}
	l, err := a.Gateways.PatchTestLine(q.Context(), q.actor(), q.line(), *body.Tags, q.condition())
	if err != nil {
		return answer{}, q.noParent(err)
	}
	return a.lineAnswer(q, http.StatusOK, l)
}

func (a *api) deleteLine(q *request) (answer, error) {
	err := a.Gateways.DeleteTestLine(q.Context(), q.actor(), q.line(), q.condition())
	switch {
	case fault.Of(err) == fault.NotFound:
		return answer{Status: http.StatusNoContent}, nil
	case err != nil:
		return answer{}, err
	}
	return answer{Status: http.StatusOK}, nil
}

// listLines shows all lines of a gateway, which are few.
func (a *api) listLines(q *request) (answer, error) {
	page, err := q.page()
	if err != nil {
		return answer{}, err
	}
	list, err := a.Gateways.ListTestLines(q.Context(), q.gateway())
	if err != nil {
		return answer{}, q.noParent(err)
	}
	value, next := []tracked{}, ""
	for _, l := range list {
		if page.tag.In(l.Tags) && strings.ToLower(l.ID.Name) > page.after {
			if len(value) == page.limit {
				next = strings.ToLower(value[len(value)-1].Name)
				break
			}
			value = append(value, shapeLine(l))
		}
	}
	return ok(a.pageOf(q, value, next))
}
