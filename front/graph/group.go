package graph

import (
	"slices"
	"strings"

	"github.com/tandemgw/tandem/control/directory"
)

var groupKind = record("group", map[string]*kind{
	"id": aGUID, "displayName": aText, "description": aText, "mailNickname": aText, "mailEnabled": aBoolean, "securityEnabled": aBoolean,
	"groupTypes": listOf(aText), "createdDateTime": aMoment,
}).fixing("id", "createdDateTime").without(
	"assignedLabels", "assignedLicenses", "classification", "creationOptions", "deletedDateTime", "expirationDateTime", "isAssignableToRole", "mail", "membershipRule",
	"membershipRuleProcessingState", "onPremisesLastSyncDateTime", "onPremisesSyncEnabled", "owners@odata.bind", "members@odata.bind", "preferredDataLocation", "preferredLanguage",
	"proxyAddresses", "renewedDateTime", "resourceBehaviorOptions", "resourceProvisioningOptions", "securityIdentifier", "theme", "uniqueName", "visibility",
)

func groupShape(g directory.Group) object {
	return object{
		"id": g.ID, "displayName": g.DisplayName, "description": orNull(g.Description), "mailNickname": orNull(g.MailNickname),
		"mailEnabled": false, "securityEnabled": true, "groupTypes": []any{}, "createdDateTime": g.Created,
	}
}

// groupBody is a group as clients write it.
type groupBody struct {
	DisplayName, Description, MailNickname string
	MailEnabled, SecurityEnabled           bool
	GroupTypes                             []string
}

func (b groupBody) into(g *directory.Group) error {
	if b.MailEnabled || !b.SecurityEnabled || len(b.GroupTypes) > 0 {
		return badBody("This directory has security groups only: write mailEnabled false, securityEnabled true, and no groupTypes.")
	}
	g.DisplayName, g.Description, g.MailNickname = b.DisplayName, b.Description, b.MailNickname
	return nil
}

func (a *api) groups(q *request) (answer, error) {
	all, err := a.Directory.Groups(q.Context(), q.caller)
	if err != nil {
		return answer{}, err
	}
	return a.list(q, groupKind, "groups", shaped(all, groupShape))
}

func (a *api) group(q *request) (answer, error) {
	g, err := a.Directory.Group(q.Context(), q.caller, q.vars["id"])
	if err != nil {
		return answer{}, err
	}
	return a.one(q, groupKind, "groups", groupShape(g))
}

func (a *api) createGroup(q *request) (answer, error) {
	var b groupBody
	var g directory.Group
	err := q.decode(groupKind, nil, &b)
	if err == nil {
		err = b.into(&g)
	}
	if err == nil {
		g, err = a.Directory.CreateGroup(q.Context(), q.caller, g)
	}
	if err != nil {
		return answer{}, err
	}
	return a.made(q, "groups", groupShape(g))
}

func (a *api) updateGroup(q *request) (answer, error) {
	_, err := a.Directory.UpdateGroup(q.Context(), q.caller, q.vars["id"], func(g *directory.Group) error {
		var b groupBody
		if err := q.decode(groupKind, groupShape(*g), &b); err != nil {
			return err
		}
		return b.into(g)
	})
	return done(err)
}

func (a *api) deleteGroup(q *request) (answer, error) {
	return done(a.Directory.DeleteGroup(q.Context(), q.caller, q.vars["id"]))
}

func (a *api) members(q *request) (answer, error) {
	all, err := a.membersOf(q, q.vars["id"])
	if err != nil {
		return answer{}, err
	}
	return a.list(q, memberKind, "directoryObjects", q.only(all))
}

func (a *api) membersOf(q *request, id string) ([]object, error) {
	list, err := a.Directory.Members(q.Context(), q.caller, id)
	if err != nil {
		return nil, err
	}
	return a.objects(q.Context(), q.caller, list)
}

func (a *api) addMember(q *request) (answer, error) {
	id, err := q.reference()
	if err != nil {
		return answer{}, err
	}
	return done(a.Directory.AddMember(q.Context(), q.caller, q.vars["id"], id))
}

func (a *api) removeMember(q *request) (answer, error) {
	return done(a.Directory.RemoveMember(q.Context(), q.caller, q.vars["id"], q.vars["member"]))
}

var roleKind = record("directoryRole", map[string]*kind{"id": aGUID, "displayName": aText, "description": aText, "roleTemplateId": aGUID}).
	fixing("id", "displayName", "description").without("deletedDateTime")

func roleShape(r directory.DirectoryRole) object {
	return object{"id": r.ID(), "displayName": string(r), "description": string(r), "roleTemplateId": r.ID()}
}

// role is the one that the path names: by its ID, or by that of its template,
// which is the same here.
func (q *request) role() (directory.DirectoryRole, error) {
	id := q.vars["id"]
	if name, value, named := strings.Cut(id, "="); named && strings.EqualFold(name, "roleTemplateId") {
		id = value
	}
	r := directory.RoleOf(id)
	if r == "" || !strings.EqualFold(r.ID(), id) {
		return "", missing(id)
	}
	return r, nil
}

func (a *api) directoryRoles(q *request) (answer, error) {
	return a.list(q, roleKind, "directoryRoles", shaped(directory.DirectoryRoles(), roleShape))
}

func (a *api) directoryRole(q *request) (answer, error) {
	r, err := q.role()
	if err != nil {
		return answer{}, err
	}
	return a.one(q, roleKind, "directoryRoles", roleShape(r))
}

// activateRole is how a role is made from its template with Graph. Here all
// are there from the beginning, so that there is a conflict always.
func (a *api) activateRole(q *request) (answer, error) {
	var b struct{ RoleTemplateID string }
	if err := q.decode(roleKind, nil, &b); err != nil {
		return answer{}, err
	}
	if !slices.Contains(directory.DirectoryRoles(), directory.RoleOf(b.RoleTemplateID)) {
		return answer{}, badBody("There is no directory role of the template '%s'.", b.RoleTemplateID)
	}
	return answer{}, badBody("A conflicting object with one or more of the specified property values is present in the directory.")
}

func (a *api) roleMembers(q *request) (answer, error) {
	r, err := q.role()
	if err != nil {
		return answer{}, err
	}
	list, err := a.Directory.RoleMembers(q.Context(), q.caller, r)
	if err != nil {
		return answer{}, err
	}
	all, err := a.objects(q.Context(), q.caller, list)
	if err != nil {
		return answer{}, err
	}
	return a.list(q, memberKind, "directoryObjects", q.only(all))
}

func (a *api) addRoleMember(q *request) (answer, error) {
	r, err := q.role()
	if err != nil {
		return answer{}, err
	}
	id, err := q.reference()
	if err != nil {
		return answer{}, err
	}
	return done(a.Directory.AssignDirectoryRole(q.Context(), q.caller, r, id))
}

func (a *api) removeRoleMember(q *request) (answer, error) {
	r, err := q.role()
	if err != nil {
		return answer{}, err
	}
	return done(a.Directory.UnassignDirectoryRole(q.Context(), q.caller, r, q.vars["member"]))
}

var templateKind = record("directoryRoleTemplate", map[string]*kind{"id": aGUID, "displayName": aText, "description": aText}).without("deletedDateTime")

func (a *api) roleTemplates(q *request) (answer, error) {
	return a.list(q, templateKind, "directoryRoleTemplates", shaped(directory.DirectoryRoles(), func(r directory.DirectoryRole) object {
		return object{"id": r.ID(), "displayName": string(r), "description": string(r)}
	}))
}
