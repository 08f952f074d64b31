package graph

import (
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/directory"
)

var assignmentKind = record("appRoleAssignment", map[string]*kind{
	"id": aText, "appRoleId": aGUID, "createdDateTime": aMoment, "principalId": aGUID, "principalType": aText, "principalDisplayName": aText,
	"resourceId": aGUID, "resourceDisplayName": aText,
}).fixing("id", "createdDateTime").without("deletedDateTime")

func assignmentShape(a directory.Assignment) object {
	return object{
		"id": a.ID, "deletedDateTime": nil, "appRoleId": a.Role, "createdDateTime": a.Created, "principalId": a.Principal, "principalType": string(a.Kind),
		"principalDisplayName": a.PrincipalName, "resourceId": a.Resource, "resourceDisplayName": a.ResourceName,
	}
}

// holder is the object whose roles a path is about. What stands before
// appRoleAssignments says of what kind it is.
func (a *api) holder(q *request) (id string, err error) {
	switch strings.ToLower(q.parts[0]) {
	case "me":
		return q.caller.Object, nil
	case "users":
		u, err := a.Directory.User(q.Context(), q.caller, q.vars["id"])
		return u.ID, err
	case "groups":
		g, err := a.Directory.Group(q.Context(), q.caller, q.vars["id"])
		return g.ID, err
	case "directoryobjects":
		o, err := a.Directory.Object(q.Context(), q.caller, q.vars["id"])
		return o.ID, err
	}
	p, err := a.principalOf(q)
	return p.ID, err
}

// assigned tells whether a path is about the roles that a resource offers, and
// not about those that somebody has.
func (q *request) assigned() bool {
	return slices.ContainsFunc(q.parts, func(p string) bool { return strings.EqualFold(p, "appRoleAssignedTo") })
}

// assignmentsOf are those that a path is about.
func (a *api) assignmentsOf(q *request) (holder string, list []directory.Assignment, err error) {
	if holder, err = a.holder(q); err != nil {
		return "", nil, err
	}
	if q.assigned() {
		list, err = a.Directory.AssignedTo(q.Context(), q.caller, holder)
	} else {
		list, err = a.Directory.AssignmentsOf(q.Context(), q.caller, holder)
	}
	return holder, list, err
}

// collection is how the context names what hangs on an object:
// "servicePrincipals('id')/appRoleAssignments".
func (q *request) collection(holder, name string) string {
	if of := q.parts[0]; !strings.EqualFold(of, "me") {
		return of + "('" + holder + "')/" + name
	}
	return "users('" + holder + "')/" + name
}

func (a *api) assignments(q *request) (answer, error) {
	holder, list, err := a.assignmentsOf(q)
	if err != nil {
		return answer{}, err
	}
	return a.list(q, assignmentKind, q.collection(holder, q.parts[len(q.parts)-1]), shaped(list, assignmentShape))
}

// assignmentOf is the one that a path names.
func (a *api) assignmentOf(q *request) (holder string, it directory.Assignment, err error) {
	holder, list, err := a.assignmentsOf(q)
	if err != nil {
		return "", it, err
	}
	i := slices.IndexFunc(list, func(x directory.Assignment) bool { return strings.EqualFold(x.ID, q.vars["assignment"]) })
	if i < 0 {
		return "", it, missing(q.vars["assignment"])
	}
	return holder, list[i], nil
}

func (a *api) assignment(q *request) (answer, error) {
	holder, it, err := a.assignmentOf(q)
	if err != nil {
		return answer{}, err
	}
	return a.one(q, assignmentKind, q.collection(holder, q.parts[len(q.parts)-2]), assignmentShape(it))
}

func (a *api) assign(q *request) (answer, error) {
	var b struct{ PrincipalID, ResourceID, AppRoleID string }
	if err := q.decode(assignmentKind, nil, &b); err != nil {
		return answer{}, err
	}
	holder, err := a.holder(q)
	if err != nil {
		return answer{}, err
	}
	said, name := b.PrincipalID, "principalId"
	if q.assigned() {
		said, name = b.ResourceID, "resourceId"
	}
	switch {
	case b.PrincipalID == "" || b.ResourceID == "" || b.AppRoleID == "":
		return answer{}, badBody("Write principalId, resourceId and appRoleId: an assignment needs all three.")
	case !strings.EqualFold(said, holder):
		return answer{}, badBody("Property '%s' is not the object that the URL names.", name)
	}
	it, err := a.Directory.Assign(q.Context(), q.caller, directory.Assignment{Principal: b.PrincipalID, Resource: b.ResourceID, Role: b.AppRoleID})
	if err != nil {
		return answer{}, err
	}
	return a.made(q, q.collection(holder, q.parts[len(q.parts)-1]), assignmentShape(it))
}

func (a *api) unassign(q *request) (answer, error) {
	_, it, err := a.assignmentOf(q)
	if err != nil {
		return answer{}, err
	}
	return done(a.Directory.Unassign(q.Context(), q.caller, it.ID))
}

var grantKind = record("oAuth2PermissionGrant", map[string]*kind{
	"id": aText, "clientId": aGUID, "consentType": aText, "principalId": aGUID, "resourceId": aGUID, "scope": aText,
}).fixing("id").without("startTime", "expiryTime")

func grantShape(g directory.Grant) object {
	return object{"id": g.ID, "clientId": g.Client, "consentType": g.ConsentType, "principalId": orNull(g.Principal), "resourceId": g.Resource, "scope": strings.Join(g.Scopes, " ")}
}

func (a *api) grants(q *request) (answer, error) {
	all, err := a.Directory.Grants(q.Context(), q.caller)
	if err != nil {
		return answer{}, err
	}
	return a.list(q, grantKind, "oauth2PermissionGrants", shaped(all, grantShape))
}

// grantsOf are those of one client, or of one user.
func (a *api) grantsOf(q *request) (answer, error) {
	holder, err := a.holder(q)
	if err != nil {
		return answer{}, err
	}
	all, err := a.Directory.Grants(q.Context(), q.caller)
	if err != nil {
		return answer{}, err
	}
	all = slices.DeleteFunc(all, func(g directory.Grant) bool { return g.Client != holder && g.Principal != holder })
	return a.list(q, grantKind, "oauth2PermissionGrants", shaped(all, grantShape))
}

func (a *api) grant(q *request) (answer, error) {
	g, err := a.Directory.Grant(q.Context(), q.caller, q.vars["id"])
	if err != nil {
		return answer{}, err
	}
	return a.one(q, grantKind, "oauth2PermissionGrants", grantShape(g))
}

type grantBody struct{ ClientID, ConsentType, PrincipalID, ResourceID, Scope string }

func (a *api) createGrant(q *request) (answer, error) {
	var b grantBody
	if err := q.decode(grantKind, nil, &b); err != nil {
		return answer{}, err
	}
	g, err := a.Directory.AddGrant(q.Context(), q.caller, directory.Grant{Client: b.ClientID, ConsentType: b.ConsentType, Principal: b.PrincipalID, Resource: b.ResourceID, Scopes: strings.Fields(b.Scope)})
	if err != nil {
		return answer{}, err
	}
	return a.made(q, "oauth2PermissionGrants", grantShape(g))
}

// scopeKind of a change: nothing but the scope of a grant changes.
var grantChangeKind = record("oAuth2PermissionGrant", map[string]*kind{
	"id": aText, "clientId": aGUID, "consentType": aText, "principalId": aGUID, "resourceId": aGUID, "scope": aText,
}).fixing("id", "clientId", "consentType", "principalId", "resourceId")

func (a *api) updateGrant(q *request) (answer, error) {
	var b grantBody
	if err := q.decode(grantChangeKind, nil, &b); err != nil {
		return answer{}, err
	}
	_, err := a.Directory.UpdateGrant(q.Context(), q.caller, q.vars["id"], strings.Fields(b.Scope))
	return done(err)
}

func (a *api) revoke(q *request) (answer, error) {
	return done(a.Directory.Revoke(q.Context(), q.caller, q.vars["id"]))
}
