package graph

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/tandemgw/tandem/control/directory"
)

var principalKind = record("servicePrincipal", map[string]*kind{
	"id": aGUID, "appId": aGUID, "displayName": aText, "appDisplayName": aText, "servicePrincipalType": aText, "accountEnabled": aBoolean, "createdDateTime": aMoment,
	"alternativeNames": listOf(aText), "servicePrincipalNames": listOf(aText), "appOwnerOrganizationId": aGUID, "publisherName": aText, "tags": listOf(aText),
	"appRoleAssignmentRequired": aBoolean, "signInAudience": aText, "appRoles": listOf(appRoleKind), "oauth2PermissionScopes": listOf(scopeKind),
}).fixing(
	"id", "createdDateTime", "appDisplayName", "servicePrincipalType", "alternativeNames", "servicePrincipalNames", "appOwnerOrganizationId", "publisherName",
	"signInAudience", "appRoles", "oauth2PermissionScopes",
).without(
	"addIns", "appDescription", "applicationTemplateId", "customSecurityAttributes", "deletedDateTime", "description", "disabledByMicrosoftStatus", "homepage", "info", "keyCredentials",
	"loginUrl", "logoutUrl", "notes", "notificationEmailAddresses", "passwordCredentials", "preferredSingleSignOnMode", "preferredTokenSigningKeyThumbprint", "replyUrls",
	"resourceSpecificApplicationPermissions", "samlSingleSignOnSettings", "tokenEncryptionKeyId", "verifiedPublisher",
)

// named is a name, with others by which the same is found: the principal that
// was added as "Operator Connect" is Project Synergy all the same. The first is
// shown.
type named []string

// MarshalJSON shows the name.
func (n named) MarshalJSON() ([]byte, error) { return json.Marshal(n[0]) }

// microsoft is the tenant that Microsoft's own applications are registered in
// (Microsoft Entra docs, "Verify first-party Microsoft applications in sign-in
// reports").
const microsoft = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"

func principalShape(p directory.ServicePrincipal) object {
	owner := orNull(p.Home)
	if p.Home == "" && p.Publisher == "Microsoft" {
		owner = microsoft
	}
	audience := any(directory.SingleTenant)
	switch {
	case p.Kind == directory.ManagedIdentity:
		audience = nil
	case p.Home == "":
		audience = "AzureADMultipleOrgs"
	}
	return object{
		"id": p.ID, "appId": p.AppID, "displayName": append(named{p.DisplayName}, p.Aliases...), "appDisplayName": p.AppDisplayName, "servicePrincipalType": p.Kind,
		"accountEnabled": p.Enabled, "createdDateTime": p.Created, "alternativeNames": texts(p.AlternativeNames()), "servicePrincipalNames": texts(append([]string{p.AppID}, p.URIs...)),
		"appOwnerOrganizationId": owner, "publisherName": orNull(p.Publisher), "tags": texts(p.Tags), "appRoleAssignmentRequired": false, "signInAudience": audience,
		"appRoles": values(p.Roles, appRoleShape), "oauth2PermissionScopes": values(p.Scopes, scopeShape), "passwordCredentials": []any{}, "keyCredentials": []any{},
	}
}

// principalBody is a service principal as clients write it.
type principalBody struct {
	AppID, DisplayName        string
	AccountEnabled            *bool
	AppRoleAssignmentRequired bool
	Tags                      []string
}

// principalOf is the service principal that the path names.
func (a *api) principalOf(q *request) (directory.ServicePrincipal, error) {
	if appID, alternate := q.byAppID(); alternate {
		return a.Directory.PrincipalOf(q.Context(), q.caller, appID)
	}
	return a.Directory.Principal(q.Context(), q.caller, q.vars["id"])
}

func (a *api) principals(q *request) (answer, error) {
	var all []directory.ServicePrincipal
	var err error
	if appID, is := q.query.pinned(principalKind, "appId"); is {
		all, err = one(a.Directory.PrincipalOf(q.Context(), q.caller, appID))
	} else {
		all, err = a.Directory.Principals(q.Context(), q.caller)
	}
	if err != nil {
		return answer{}, err
	}
	return a.list(q, principalKind, "servicePrincipals", shaped(all, principalShape))
}

func (a *api) principal(q *request) (answer, error) {
	p, err := a.principalOf(q)
	if err != nil {
		return answer{}, err
	}
	return a.one(q, principalKind, "servicePrincipals", principalShape(p))
}

func (b principalBody) into(p *directory.ServicePrincipal) error {
	if b.AppRoleAssignmentRequired {
		return badBody("Property 'appRoleAssignmentRequired' can only be false here: who has no role gets a token without roles.")
	}
	p.DisplayName, p.Tags, p.Enabled = b.DisplayName, b.Tags, b.AccountEnabled == nil || *b.AccountEnabled
	return nil
}

func (a *api) createPrincipal(q *request) (answer, error) {
	var b principalBody
	if err := q.decode(principalKind, nil, &b); err != nil {
		return answer{}, err
	}
	if b.AppID == "" {
		return answer{}, badBody("A value is required for property 'appId' of resource 'ServicePrincipal'.")
	}
	if err := b.into(new(directory.ServicePrincipal)); err != nil {
		return answer{}, err
	}
	p, err := a.Directory.AddPrincipal(q.Context(), q.caller, b.AppID, b.DisplayName)
	if err == nil && (len(b.Tags) > 0 || b.AccountEnabled != nil && !*b.AccountEnabled) {
		b.DisplayName = p.DisplayName
		p, err = a.Directory.UpdatePrincipal(q.Context(), q.caller, p.ID, b.into)
	}
	if err != nil {
		return answer{}, err
	}
	return a.made(q, "servicePrincipals", principalShape(p))
}

func (a *api) updatePrincipal(q *request) (answer, error) {
	p, err := a.principalOf(q)
	if err != nil {
		return answer{}, err
	}
	_, err = a.Directory.UpdatePrincipal(q.Context(), q.caller, p.ID, func(p *directory.ServicePrincipal) error {
		var b principalBody
		if err := q.decode(principalKind, principalShape(*p), &b); err != nil {
			return err
		}
		if !strings.EqualFold(b.AppID, p.AppID) {
			return refusal(http.StatusBadRequest, "Request_BadRequest", "Property 'appId' is read-only and cannot be set.")
		}
		return b.into(p)
	})
	return done(err)
}

func (a *api) deletePrincipal(q *request) (answer, error) {
	p, err := a.principalOf(q)
	if err != nil {
		return answer{}, err
	}
	return done(a.Directory.DeletePrincipal(q.Context(), q.caller, p.ID))
}

func (a *api) membershipsOfPrincipal(q *request) (answer, error) {
	p, err := a.principalOf(q)
	if err != nil {
		return answer{}, err
	}
	return a.memberships(q, p.ID)
}
