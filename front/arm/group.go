package arm

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/tandemgw/tandem/base/fault"
	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

// groupBody is a resource group, said and shown.
type groupBody struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	ManagedBy  string            `json:"managedBy,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties groupProperties   `json:"properties"`
}

type groupProperties struct {
	State string `json:"provisioningState"`
}

func shapeGroup(g subscription.Group) groupBody {
	return groupBody{
		ID: g.Path(), Name: g.Name, Type: "Microsoft.Resources/resourceGroups", Location: g.Location, ManagedBy: g.ManagedBy, Tags: g.Tags,
		Properties: groupProperties{g.State},
	}
}

func (a *api) getGroup(q *request) (answer, error) {
	g, err := a.Subscriptions.Group(q.Context(), q.vars["subscription"], q.vars["group"])
	if err != nil {
		return answer{}, err
	}
	return ok(shapeGroup(g))
}

func (a *api) headGroup(q *request) (answer, error) {
	_, err := a.Subscriptions.Group(q.Context(), q.vars["subscription"], q.vars["group"])
	switch {
	case fault.Of(err) == fault.NotFound:
		return answer{Status: http.StatusNotFound}, nil
	case err != nil:
		return answer{}, err
	}
	return answer{Status: http.StatusNoContent}, nil
}

func (a *api) putGroup(q *request) (answer, error) {
	var body groupBody
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	if err := a.rightName(q, body.Name, q.vars["group"]); err != nil {
		return answer{}, err
	}
	if body.Location == "" {
		f := fail(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition.")
		f.Target = "location"
		return answer{}, f
	}
	if err := a.knownLocation(body.Location); err != nil {
		f := explain(err)
		f.Code = "LocationNotAvailableForResourceGroup"
		return answer{}, f
	}
	g, created, err := a.Subscriptions.PutGroup(q.Context(), subscription.Group{
		Subscription: q.vars["subscription"], Name: q.vars["group"], Location: body.Location, ManagedBy: body.ManagedBy, Tags: body.Tags,
	})
	if err != nil {
		return answer{}, groupFailure(err)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return answer{Status: status, Body: shapeGroup(g)}, nil
}

func groupFailure(err error) error {
	f := explain(err)
	switch {
	case f.Code == "Conflict" && strings.HasPrefix(f.Message, "Invalid resource group location"):
		f.Code = "InvalidResourceGroupLocation"
	case f.Code == "Conflict":
		f.Code = "ResourceGroupBeingDeleted"
	}
	return f
}

func (a *api) patchGroup(q *request) (answer, error) {
	var body struct {
		groupBody
		Tags       *map[string]string `json:"tags"`
		Properties json.RawMessage    `json:"properties"`
	}
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	if err := a.rightName(q, body.Name, q.vars["group"]); err != nil {
		return answer{}, err
	}
	if body.Tags == nil {
		return a.getGroup(q)
	}
	g, err := a.Subscriptions.TagGroup(q.Context(), q.vars["subscription"], q.vars["group"], *body.Tags)
	if err != nil {
		return answer{}, groupFailure(err)
	}
	return ok(shapeGroup(g))
}

func (a *api) deleteGroup(q *request) (answer, error) {
	op, err := a.Subscriptions.DeleteGroup(q.Context(), q.principal, q.vars["subscription"], q.vars["group"])
	if err != nil {
		return answer{}, err
	}
	return answer{Status: http.StatusAccepted, Header: map[string]string{
		"Location":    a.URL + subscription.Path(q.vars["subscription"]) + "/operationresults/" + op.ID + "?api-version=" + q.apiText,
		"Retry-After": door.Seconds(a.RetryAfter),
	}}, nil
}

func (a *api) listGroups(q *request) (answer, error) {
	page, err := q.page()
	if err != nil {
		return answer{}, err
	}
	groups, next, err := a.Subscriptions.Groups(q.Context(), q.vars["subscription"], subscription.GroupPage{
		After: page.after, Limit: page.limit, Tag: page.tag,
		Show: func(g subscription.Group) bool { return q.access.Touches(g.Path()) },
	})
	if err != nil {
		return answer{}, err
	}
	value := []groupBody{}
	for _, g := range groups {
		value = append(value, shapeGroup(g))
	}
	return ok(a.pageOf(q, value, next))
}

// listResources is the list of resources of any type, which here are gateways.
// Clients narrow it down by "resourceType eq '…'".
func (a *api) listResources(q *request) (answer, error) {
	filter := q.query.Get("$filter")
	if words, good := filterWords(filter); good && len(words) == 3 && strings.EqualFold(words[0].text, "resourceType") && strings.EqualFold(words[1].text, "eq") {
		if !strings.EqualFold(words[2].text, gatewayType) {
			return ok(list{Value: []tracked{}})
		}
		q.query["$filter"] = ""
	}
	q.version = version(len(versions) - 1)
	ans, err := a.listGateways(q)
	if err != nil {
		return ans, err
	}
	found := ans.Body.(list)
	value := []map[string]any{}
	for _, r := range found.Value.([]tracked) {
		value = append(value, map[string]any{"id": r.ID, "name": r.Name, "type": r.Type, "location": r.Location, "tags": r.Tags, "sku": r.SKU, "identity": r.Identity})
	}
	if found.Next != "" && filter != "" {
		q.query["$filter"] = filter
	}
	found.Value = value
	return ok(found)
}
