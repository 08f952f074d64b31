package graph

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/tandemgw/tandem/front/door"
)

// route is one operation of the API.
type route struct {
	method string
	path   string // {name} stands for one part; the case of the rest does not count
	do     func(*api, *request) (answer, error)
	parts  []string
}

// routes are all operations.
func routes() []route {
	all := []route{
		{method: "GET", path: "me", do: (*api).me},
		{method: "GET", path: "me/memberOf", do: (*api).myMemberships},
		{method: "GET", path: "organization", do: (*api).organizations},
		{method: "GET", path: "organization/{id}", do: (*api).organization},

		{method: "GET", path: "users", do: (*api).users},
		{method: "POST", path: "users", do: (*api).createUser},
		{method: "GET", path: "users/{id}", do: (*api).user},
		{method: "PATCH", path: "users/{id}", do: (*api).updateUser},
		{method: "DELETE", path: "users/{id}", do: (*api).deleteUser},
		{method: "GET", path: "users/{id}/memberOf", do: (*api).membershipsOfUser},

		{method: "GET", path: "groups", do: (*api).groups},
		{method: "POST", path: "groups", do: (*api).createGroup},
		{method: "GET", path: "groups/{id}", do: (*api).group},
		{method: "PATCH", path: "groups/{id}", do: (*api).updateGroup},
		{method: "DELETE", path: "groups/{id}", do: (*api).deleteGroup},
		{method: "GET", path: "groups/{id}/members", do: (*api).members},
		{method: "GET", path: "groups/{id}/members/{cast}", do: (*api).members},
		{method: "GET", path: "groups/{id}/transitiveMembers", do: (*api).members}, // groups are not nested
		{method: "POST", path: "groups/{id}/members/$ref", do: (*api).addMember},
		{method: "DELETE", path: "groups/{id}/members/{member}/$ref", do: (*api).removeMember},

		{method: "GET", path: "directoryRoles", do: (*api).directoryRoles},
		{method: "POST", path: "directoryRoles", do: (*api).activateRole},
		{method: "GET", path: "directoryRoles/{id}", do: (*api).directoryRole},
		{method: "GET", path: "directoryRoles/{id}/members", do: (*api).roleMembers},
		{method: "GET", path: "directoryRoles/{id}/members/{cast}", do: (*api).roleMembers},
		{method: "POST", path: "directoryRoles/{id}/members/$ref", do: (*api).addRoleMember},
		{method: "DELETE", path: "directoryRoles/{id}/members/{member}/$ref", do: (*api).removeRoleMember},
		{method: "GET", path: "directoryRoleTemplates", do: (*api).roleTemplates},

		{method: "GET", path: "applications", do: (*api).applications},
		{method: "POST", path: "applications", do: (*api).createApplication},
		{method: "GET", path: "applications/{id}", do: (*api).application},
		{method: "PATCH", path: "applications/{id}", do: (*api).updateApplication},
		{method: "DELETE", path: "applications/{id}", do: (*api).deleteApplication},
		{method: "POST", path: "applications/{id}/addPassword", do: (*api).addPassword},
		{method: "POST", path: "applications/{id}/removePassword", do: (*api).removePassword},
		{method: "GET", path: "applications/{id}/federatedIdentityCredentials", do: (*api).federated},
		{method: "POST", path: "applications/{id}/federatedIdentityCredentials", do: (*api).addFederated},
		{method: "GET", path: "applications/{id}/federatedIdentityCredentials/{credential}", do: (*api).oneFederated},
		{method: "DELETE", path: "applications/{id}/federatedIdentityCredentials/{credential}", do: (*api).removeFederated},

		{method: "GET", path: "servicePrincipals", do: (*api).principals},
		{method: "POST", path: "servicePrincipals", do: (*api).createPrincipal},
		{method: "GET", path: "servicePrincipals/{id}", do: (*api).principal},
		{method: "PATCH", path: "servicePrincipals/{id}", do: (*api).updatePrincipal},
		{method: "DELETE", path: "servicePrincipals/{id}", do: (*api).deletePrincipal},
		{method: "GET", path: "servicePrincipals/{id}/memberOf", do: (*api).membershipsOfPrincipal},

		{method: "GET", path: "oauth2PermissionGrants", do: (*api).grants},
		{method: "POST", path: "oauth2PermissionGrants", do: (*api).createGrant},
		{method: "GET", path: "oauth2PermissionGrants/{id}", do: (*api).grant},
		{method: "PATCH", path: "oauth2PermissionGrants/{id}", do: (*api).updateGrant},
		{method: "DELETE", path: "oauth2PermissionGrants/{id}", do: (*api).revoke},

		{method: "GET", path: "domains", do: (*api).domains},
		{method: "POST", path: "domains", do: (*api).createDomain},
		{method: "GET", path: "domains/{id}", do: (*api).domain},
		{method: "PATCH", path: "domains/{id}", do: (*api).updateDomain},
		{method: "DELETE", path: "domains/{id}", do: (*api).deleteDomain},
		{method: "POST", path: "domains/{id}/verify", do: (*api).verifyDomain},
		{method: "GET", path: "domains/{id}/verificationDnsRecords", do: (*api).verificationRecords},
		{method: "GET", path: "domains/{id}/serviceConfigurationRecords", do: (*api).serviceRecords},

		{method: "GET", path: "directoryObjects/{id}", do: (*api).directoryObject},
		{method: "POST", path: "directoryObjects/getByIds", do: (*api).objectsByID},
	}
	for _, at := range []string{"me", "users/{id}", "groups/{id}", "servicePrincipals/{id}"} {
		all = append(all, assignmentRoutes(at, "appRoleAssignments")...)
	}
	all = append(all, assignmentRoutes("servicePrincipals/{id}", "appRoleAssignedTo")...)
	for _, at := range []string{"me", "users/{id}", "servicePrincipals/{id}"} {
		all = append(all, route{method: "GET", path: at + "/oauth2PermissionGrants", do: (*api).grantsOf})
	}
	for _, at := range []string{"me", "users/{id}", "servicePrincipals/{id}", "directoryObjects/{id}"} {
		all = append(all,
			route{method: "POST", path: at + "/checkMemberGroups", do: (*api).checkGroups},
			route{method: "POST", path: at + "/getMemberGroups", do: (*api).memberGroups})
	}
	for _, at := range []string{"applications/{id}", "servicePrincipals/{id}", "groups/{id}"} {
		all = append(all, route{method: "GET", path: at + "/owners", do: (*api).owners})
	}
	for _, rt := range all {
		if rt.method == "GET" && !strings.Contains(rt.path, "/") && rt.path != "me" {
			all = append(all, route{method: "GET", path: rt.path + "/$count", do: rt.do})
		}
	}
	for i := range all {
		all[i].parts = strings.Split(all[i].path, "/")
	}
	return all
}

func assignmentRoutes(at, name string) []route {
	return []route{
		{method: "GET", path: at + "/" + name, do: (*api).assignments},
		{method: "POST", path: at + "/" + name, do: (*api).assign},
		{method: "GET", path: at + "/" + name + "/{assignment}", do: (*api).assignment},
		{method: "DELETE", path: at + "/" + name + "/{assignment}", do: (*api).unassign},
	}
}

// match finds the route of a request and fills in what its path names.
func (a *api) match(q *request) (found route, err error) {
	parts, good := path(q.URL.EscapedPath())
	if !good || len(parts) == 0 {
		return found, badRequest("The path of the URL is too long, or cannot be read.")
	}
	q.version = strings.ToLower(parts[0])
	if !slices.Contains(Versions(), q.version) {
		return found, badRequest("Invalid version: %s", parts[0])
	}
	q.parts = parts[1:]
	method := q.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	found, q.vars, err = door.Find(a.routes, method, func(rt route) (string, map[string]string) { return rt.method, rt.fits(q.parts) })
	if errors.Is(err, door.ErrNoRoute) {
		err = a.unknown(q.parts)
	}
	return found, err
}

// fits gives what the path names, nil when it is another route's.
func (rt route) fits(said []string) map[string]string {
	vars := door.Fit(rt.parts, said)
	if vars == nil {
		return nil
	}
	for i, p := range rt.parts {
		switch {
		case p == "{cast}" && !strings.HasPrefix(strings.ToLower(said[i]), "microsoft.graph."),
			strings.HasPrefix(p, "{") && strings.HasPrefix(said[i], "$"):
			return nil
		}
	}
	return vars
}

// unknown names the first part of a path that leads nowhere.
func (a *api) unknown(said []string) error {
	deepest := 0
	for _, rt := range a.routes {
		n := 0
		for n < len(said) && n < len(rt.parts) && (strings.HasPrefix(rt.parts[n], "{") || strings.EqualFold(rt.parts[n], said[n])) {
			n++
		}
		deepest = max(deepest, n)
	}
	if deepest >= len(said) {
		return badRequest("Resource not found for the segment '%s'.", strings.Join(said, "/"))
	}
	return badRequest("Resource not found for the segment '%s'.", said[deepest])
}
