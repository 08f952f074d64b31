package arm

import (
	"net/http"
	"strings"

	"github.com/tandemgw/tandem/control/subscription"
	"github.com/tandemgw/tandem/front/door"
)

// definitionPath is the ID of a role in a subscription.
func definitionPath(sub string, r subscription.Role) string {
	return subscription.Path(sub) + "/providers/Microsoft.Authorization/roleDefinitions/" + r.ID()
}

// assignmentBody is a role assignment, said and shown.
type assignmentBody struct {
	ID         string               `json:"id"`
	Name       string               `json:"name"`
	Type       string               `json:"type"`
	Properties assignmentProperties `json:"properties"`
}

type assignmentProperties struct {
	RoleDefinitionID string `json:"roleDefinitionId"`
	PrincipalID      string `json:"principalId"`
	PrincipalType    string `json:"principalType"`
	Scope            string `json:"scope"`
	CreatedOn        string `json:"createdOn,omitempty"`
	UpdatedOn        string `json:"updatedOn,omitempty"`
	CreatedBy        string `json:"createdBy,omitempty"`
	Description      string `json:"description,omitempty"`
	Condition        string `json:"condition,omitempty"`
}

func shapeAssignment(a subscription.Assignment) assignmentBody {
	sub, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(a.Scope), "/subscriptions/"), "/")
	p := assignmentProperties{RoleDefinitionID: definitionPath(sub, a.Role), PrincipalID: a.Principal, PrincipalType: a.Type, Scope: a.Scope, CreatedBy: a.CreatedBy}
	if a.Fixed {
		p.Description = "of the configuration of the control node"
	} else {
		p.CreatedOn, p.UpdatedOn = moment(a.Created), moment(a.Created)
	}
	return assignmentBody{
		ID: a.Path(), Name: a.ID, Type: "Microsoft.Authorization/roleAssignments", Properties: p,
	}
}

// scope is what the request asks about the roles of.
func (q *request) scope() string { return route{}.scope(q) }

// listAssignments are those that hold at the scope and, as far as the client
// does not narrow it down, those below.
func (a *api) listAssignments(q *request) (answer, error) {
	below, principal := true, ""
	if f := q.query.Get("$filter"); f != "" {
		words, good := filterWords(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(f))
		switch {
		case good && len(words) == 3 && strings.EqualFold(words[0].text, "atScope"):
			below = false
		case good && len(words) == 3 && strings.EqualFold(words[0].text, "principalId") && strings.EqualFold(words[1].text, "eq"):
			principal = words[2].text
		case good && len(words) == 4 && strings.EqualFold(words[0].text, "assignedTo"), good && len(words) == 4 && strings.EqualFold(words[0].text, "principalId"):
			principal = words[2].text
		default:
			return answer{}, fail(http.StatusBadRequest, "InvalidFilterInQueryString", "Invalid $filter '%s': write atScope(), principalId eq '<id>' or assignedTo('<id>').", door.Printable(f))
		}
	}
	all, err := a.Subscriptions.Assignments(q.Context(), q.scope(), below)
	if err != nil {
		return answer{}, err
	}
	value := []assignmentBody{}
	for _, x := range all {
		if principal == "" || strings.EqualFold(x.Principal, principal) {
			value = append(value, shapeAssignment(x))
		}
	}
	return ok(list{Value: value})
}

func (a *api) getAssignment(q *request) (answer, error) {
	x, err := a.Subscriptions.Assignment(q.Context(), q.scope(), q.vars["assignment"])
	if err != nil {
		return answer{}, assignmentFailure(err)
	}
	return ok(shapeAssignment(x))
}

func (a *api) putAssignment(q *request) (answer, error) {
	if q.vars["gateway"] != "" {
		return answer{}, fail(http.StatusBadRequest, "InvalidScope", "Roles are assigned to subscriptions and resource groups: assign it to '%s'.", subscription.GroupPath(q.vars["subscription"], q.vars["group"]))
	}
	if q.vars["group"] != "" {
		if _, err := a.Subscriptions.Group(q.Context(), q.vars["subscription"], q.vars["group"]); err != nil {
			return answer{}, err
		}
	}
	var body struct {
		assignmentBody
		PrincipalID string `json:"principalId"` // of versions before 2018
	}
	if err := q.decode(&body); err != nil {
		return answer{}, err
	}
	p := body.Properties
	role := subscription.RoleOf(p.RoleDefinitionID[strings.LastIndex(p.RoleDefinitionID, "/")+1:])
	if role == "" {
		return answer{}, fail(http.StatusBadRequest, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist. This deployment has Owner, Contributor and Reader.", door.Printable(p.RoleDefinitionID))
	}
	if p.Condition != "" {
		return answer{}, fail(http.StatusBadRequest, "InvalidRoleAssignment", "Conditions are not kept by this deployment: leave 'condition' out.")
	}
	x, created, err := a.Subscriptions.Assign(q.Context(), q.principal, subscription.Assignment{
		ID: q.vars["assignment"], Scope: q.scope(), Principal: p.PrincipalID, Type: p.PrincipalType, Role: role,
	})
	if err != nil {
		return answer{}, assignmentFailure(err)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return answer{Status: status, Body: shapeAssignment(x)}, nil
}

func (a *api) deleteAssignment(q *request) (answer, error) {
	x, err := a.Subscriptions.Unassign(q.Context(), q.scope(), q.vars["assignment"])
	switch {
	case err != nil:
		return answer{}, assignmentFailure(err)
	case x.ID == "":
		return answer{Status: http.StatusNoContent}, nil
	}
	return ok(shapeAssignment(x))
}

// assignmentFailure puts in the words of roles what goes wrong with them.
func assignmentFailure(err error) error {
	f := explain(err)
	switch {
	case f.Code == "ResourceNotFound":
		f.Code = "RoleAssignmentNotFound"
	case f.Code == "Conflict" && strings.Contains(f.Message, "already exists"):
		f.Code = "RoleAssignmentExists"
	case f.Code == "Conflict":
		f.Code = "RoleAssignmentUpdateNotPermitted"
	}
	return f
}

// definitionBody is a role.
func definitionBody(sub string, r subscription.Role) map[string]any {
	permission := map[string]any{"actions": []string{"*"}, "notActions": []string{}, "dataActions": []string{}, "notDataActions": []string{}}
	about := "Everything, role assignments included."
	switch r {
	case subscription.Contributor:
		permission["notActions"] = []string{"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write"}
		about = "Everything but role assignments."
	case subscription.Reader:
		permission["actions"] = []string{"*/read"}
		about = "Looks at everything, changes nothing."
	}
	return map[string]any{
		"id": definitionPath(sub, r), "name": r.ID(), "type": "Microsoft.Authorization/roleDefinitions",
		"properties": map[string]any{"roleName": r, "type": "BuiltInRole", "description": about, "assignableScopes": []string{"/"}, "permissions": []any{permission}},
	}
}

func (a *api) listDefinitions(q *request) (answer, error) {
	wanted := ""
	if f := q.query.Get("$filter"); f != "" {
		words, good := filterWords(f)
		if !good || len(words) != 3 || !strings.EqualFold(words[0].text, "roleName") || !strings.EqualFold(words[1].text, "eq") {
			return answer{}, fail(http.StatusBadRequest, "InvalidFilterInQueryString", "Invalid $filter '%s': write roleName eq '<name>'.", door.Printable(f))
		}
		wanted = words[2].text
	}
	value := []map[string]any{}
	for _, r := range subscription.Roles() {
		if wanted == "" || strings.EqualFold(string(r), wanted) {
			value = append(value, definitionBody(q.vars["subscription"], r))
		}
	}
	return ok(list{Value: value})
}

func (a *api) getDefinition(q *request) (answer, error) {
	r := subscription.RoleOf(q.vars["definition"])
	if r == "" {
		return answer{}, fail(http.StatusNotFound, "RoleDefinitionDoesNotExist", "The specified role definition with ID '%s' does not exist.", door.Printable(q.vars["definition"]))
	}
	return ok(definitionBody(q.vars["subscription"], r))
}
