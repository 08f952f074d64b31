package graph

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/tandemgw/tandem/control/directory"
)

var (
	appRoleKind = record("appRole", map[string]*kind{
		"id": aGUID, "value": aText, "displayName": aText, "description": aText, "allowedMemberTypes": listOf(aText), "isEnabled": aBoolean, "origin": aText,
	})
	scopeKind = record("permissionScope", map[string]*kind{
		"id": aGUID, "value": aText, "type": aText, "isEnabled": aBoolean, "origin": aText,
		"adminConsentDisplayName": aText, "adminConsentDescription": aText, "userConsentDisplayName": aText, "userConsentDescription": aText,
	})
	passwordKind = record("passwordCredential", map[string]*kind{
		"keyId": aGUID, "displayName": aText, "hint": aText, "startDateTime": aMoment, "endDateTime": aMoment, "secretText": aText,
	}).fixing("keyId", "hint", "secretText").without("customKeyIdentifier")
	// Of a certificate nobody gets the private key, and with it goes signing:
	// Graph has symmetric keys and such that sign as well.
	keyKind = record("keyCredential", map[string]*kind{
		"keyId": aGUID, "displayName": aText, "customKeyIdentifier": aText, "type": aText, "usage": aText, "key": aText, "startDateTime": aMoment, "endDateTime": aMoment,
	}).without("hasExtendedValue")
	requiredKind = record("requiredResourceAccess", map[string]*kind{
		"resourceAppId": aGUID, "resourceAccess": listOf(record("resourceAccess", map[string]*kind{"id": aGUID, "type": aText})),
	})
	applicationKind = record("application", map[string]*kind{
		"id": aGUID, "appId": aGUID, "displayName": aText, "description": aText, "signInAudience": aText, "createdDateTime": aMoment, "publisherDomain": aText,
		"identifierUris": listOf(aText), "tags": listOf(aText), "isFallbackPublicClient": aBoolean,
		"requiredResourceAccess": listOf(requiredKind), "appRoles": listOf(appRoleKind), "passwordCredentials": listOf(passwordKind), "keyCredentials": listOf(keyKind),
		"web":          record("webApplication", map[string]*kind{"redirectUris": listOf(aText)}).without("homePageUrl", "logoutUrl", "implicitGrantSettings", "redirectUriSettings", "oauth2AllowImplicitFlow"),
		"spa":          record("spaApplication", map[string]*kind{"redirectUris": listOf(aText)}),
		"publicClient": record("publicClientApplication", map[string]*kind{"redirectUris": listOf(aText)}),
		"api": record("apiApplication", map[string]*kind{"oauth2PermissionScopes": listOf(scopeKind)}).
			without("acceptMappedClaims", "knownClientApplications", "preAuthorizedApplications", "requestedAccessTokenVersion"),
	}).fixing("id", "appId", "createdDateTime", "publisherDomain", "passwordCredentials").without(
		"addIns", "applicationTemplateId", "authenticationBehaviors", "certification", "createdByAppId", "defaultRedirectUri", "deletedDateTime", "disabledByMicrosoftStatus",
		"groupMembershipClaims", "info", "isDeviceOnlyAuthSupported", "logo", "managerApplications", "nativeAuthenticationApisEnabled", "notes",
		"oauth2RequirePostResponse", "optionalClaims", "parentalControlSettings", "requestSignatureVerification", "samlMetadataUrl", "serviceManagementReference",
		"servicePrincipalLockConfiguration", "tokenEncryptionKeyId", "uniqueName", "verifiedPublisher",
	)
)

func redirects(uris []string) object { return object{"redirectUris": texts(uris)} }

func applicationShape(a directory.Application) object {
	return object{
		"id": a.ID, "appId": a.AppID, "displayName": a.DisplayName, "description": orNull(a.Description), "signInAudience": directory.SingleTenant, "createdDateTime": a.Created,
		"publisherDomain": nil, "identifierUris": texts(a.URIs), "tags": texts(a.Tags), "isFallbackPublicClient": a.Public,
		"web": redirects(a.Redirects.Web), "spa": redirects(a.Redirects.SPA), "publicClient": redirects(a.Redirects.Public),
		"requiredResourceAccess": values(a.Required, func(r directory.RequiredAccess) any {
			return object{"resourceAppId": r.Resource, "resourceAccess": values(r.Access, func(x directory.Access) any { return object{"id": x.ID, "type": x.Type} })}
		}),
		"appRoles":            values(a.Roles, appRoleShape),
		"api":                 object{"oauth2PermissionScopes": values(a.Scopes, scopeShape)},
		"passwordCredentials": values(a.Secrets, func(c directory.Credential) any { return credentialShape(c) }),
		"keyCredentials":      values(a.Keys, func(k directory.KeyCredential) any { return keyShape(k) }),
	}
}

func appRoleShape(r directory.AppRole) any {
	return object{
		"id": r.ID, "value": r.Value, "displayName": r.DisplayName, "description": orNull(r.Description),
		"allowedMemberTypes": texts(r.For), "isEnabled": !r.Disabled, "origin": "Application",
	}
}

func scopeShape(x directory.Scope) any {
	return object{
		"id": x.ID, "value": x.Value, "type": x.Type, "isEnabled": !x.Disabled,
		"adminConsentDisplayName": orNull(x.DisplayName), "adminConsentDescription": orNull(x.Description),
		"userConsentDisplayName": orNull(x.DisplayName), "userConsentDescription": orNull(x.Description),
	}
}

func credentialShape(c directory.Credential) object {
	return object{"keyId": c.ID, "displayName": orNull(c.Name), "hint": c.Hint, "startDateTime": c.Start, "endDateTime": c.End, "secretText": nil, "customKeyIdentifier": nil}
}

// The only certificates that there are (Microsoft Graph docs, "keyCredential
// resource type").
const (
	keyType  = "AsymmetricX509Cert"
	keyUsage = "Verify"
)

// keyShape is a certificate as lists show it: without its own octets.
func keyShape(k directory.KeyCredential) object {
	return object{
		"keyId": k.ID, "displayName": orNull(k.Name), "customKeyIdentifier": k.Hint, "type": keyType, "usage": keyUsage, "key": nil,
		"startDateTime": k.Start, "endDateTime": k.End,
	}
}

// applicationBody is a registration as clients write it.
type applicationBody struct {
	DisplayName, Description, SignInAudience string
	IdentifierURIs, Tags                     []string
	IsFallbackPublicClient                   bool
	Web, SPA, PublicClient                   struct{ RedirectURIs []string }
	RequiredResourceAccess                   []struct {
		ResourceAppID  string
		ResourceAccess []struct{ ID, Type string }
	}
	AppRoles []struct {
		ID, Value, DisplayName, Description string
		AllowedMemberTypes                  []string
		IsEnabled                           *bool
	}
	KeyCredentials []struct {
		KeyID, DisplayName, CustomKeyIdentifier, Type, Usage string
		Key                                                  []byte
		StartDateTime, EndDateTime                           time.Time
	}
	API struct {
		OAuth2PermissionScopes []struct {
			ID, Value, Type                                  string
			AdminConsentDisplayName, AdminConsentDescription string
			IsEnabled                                        *bool
		}
	}
}

// into makes the registration that the body describes.
func (b applicationBody) into(a *directory.Application) error {
	if b.SignInAudience != "" && b.SignInAudience != directory.SingleTenant {
		return badBody("Property 'signInAudience' can only be %s here: applications belong to one tenant.", directory.SingleTenant)
	}
	a.DisplayName, a.Description, a.URIs, a.Tags, a.Public = b.DisplayName, b.Description, b.IdentifierURIs, b.Tags, b.IsFallbackPublicClient
	a.Redirects = directory.Redirects{Web: b.Web.RedirectURIs, SPA: b.SPA.RedirectURIs, Public: b.PublicClient.RedirectURIs}
	a.Required, a.Roles, a.Scopes, a.Keys = nil, nil, nil, nil
	for _, k := range b.KeyCredentials {
		if k.Type != "" && k.Type != keyType || k.Usage != "" && k.Usage != keyUsage {
			return badBody("A key credential is of type %s and usage %s here: a certificate without its private key.", keyType, keyUsage)
		}
		a.Keys = append(a.Keys, directory.KeyCredential{ID: k.KeyID, Name: k.DisplayName, Hint: k.CustomKeyIdentifier, Certificate: k.Key, Start: k.StartDateTime, End: k.EndDateTime})
	}
	for _, r := range b.RequiredResourceAccess {
		it := directory.RequiredAccess{Resource: r.ResourceAppID}
		for _, x := range r.ResourceAccess {
			it.Access = append(it.Access, directory.Access{ID: x.ID, Type: x.Type})
		}
		a.Required = append(a.Required, it)
	}
	for _, r := range b.AppRoles {
		a.Roles = append(a.Roles, directory.AppRole{ID: r.ID, Value: r.Value, DisplayName: r.DisplayName, Description: r.Description, For: r.AllowedMemberTypes, Disabled: r.IsEnabled != nil && !*r.IsEnabled})
	}
	for _, x := range b.API.OAuth2PermissionScopes {
		a.Scopes = append(a.Scopes, directory.Scope{ID: x.ID, Value: x.Value, DisplayName: x.AdminConsentDisplayName, Description: x.AdminConsentDescription, Type: x.Type, Disabled: x.IsEnabled != nil && !*x.IsEnabled})
	}
	return nil
}

// byAppID is the client ID of a path's alternate key: applications(appId='…').
func (q *request) byAppID() (string, bool) {
	name, value, named := strings.Cut(q.vars["id"], "=")
	return value, named && strings.EqualFold(name, "appId")
}

// application is the registration that the path names. A client ID is not an
// object ID.
func (a *api) applicationOf(q *request) (directory.Application, error) {
	id := q.vars["id"]
	appID, alternate := q.byAppID()
	if alternate {
		id = appID
	}
	app, err := a.Directory.Application(q.Context(), q.caller, id)
	if err == nil && !strings.EqualFold(id, app.ID) != alternate {
		err = missing(id)
	}
	return app, err
}

func (a *api) applications(q *request) (answer, error) {
	var all []directory.Application
	var err error
	if appID, is := q.query.pinned(applicationKind, "appId"); is {
		all, err = one(a.Directory.Application(q.Context(), q.caller, appID))
	} else {
		all, err = a.Directory.Applications(q.Context(), q.caller)
	}
	if err != nil {
		return answer{}, err
	}
	return a.list(q, applicationKind, "applications", shaped(all, applicationShape))
}

func (a *api) application(q *request) (answer, error) {
	app, err := a.applicationOf(q)
	if err != nil {
		return answer{}, err
	}
	names, err := q.query.names(applicationKind)
	if err != nil {
		return answer{}, err
	}
	o := applicationShape(app)
	if slices.Contains(names, "keyCredentials") {
		// Only who asks for them, of one object, gets the certificates themselves.
		o["keyCredentials"] = values(app.Keys, func(k directory.KeyCredential) any {
			shape := keyShape(k)
			shape["key"] = base64.StdEncoding.EncodeToString(k.Certificate)
			return shape
		})
	}
	return a.one(q, applicationKind, "applications", o)
}

func (a *api) createApplication(q *request) (answer, error) {
	var b applicationBody
	var app directory.Application
	err := q.decode(applicationKind, nil, &b)
	if err == nil {
		err = b.into(&app)
	}
	if err == nil {
		app, err = a.Directory.CreateApplication(q.Context(), q.caller, app)
	}
	if err != nil {
		return answer{}, err
	}
	return a.made(q, "applications", applicationShape(app))
}

func (a *api) updateApplication(q *request) (answer, error) {
	app, err := a.applicationOf(q)
	if err != nil {
		return answer{}, err
	}
	_, err = a.Directory.UpdateApplication(q.Context(), q.caller, app.ID, func(app *directory.Application) error {
		var b applicationBody
		if err := q.decode(applicationKind, applicationShape(*app), &b); err != nil {
			return err
		}
		return b.into(app)
	})
	return done(err)
}

func (a *api) deleteApplication(q *request) (answer, error) {
	app, err := a.applicationOf(q)
	if err != nil {
		return answer{}, err
	}
	return done(a.Directory.DeleteApplication(q.Context(), q.caller, app.ID))
}

// addPassword answers with the only sight of a secret there ever is.
func (a *api) addPassword(q *request) (answer, error) {
	var b struct {
		PasswordCredential struct {
			DisplayName   string
			StartDateTime time.Time
			EndDateTime   time.Time
		}
	}
	if len(q.Content) > 0 {
		if err := q.decode(record("addPassword", map[string]*kind{"passwordCredential": passwordKind}), nil, &b); err != nil {
			return answer{}, err
		}
	}
	if b.PasswordCredential.StartDateTime.After(time.Now().Add(5 * time.Minute)) {
		return answer{}, badBody("Property 'passwordCredential/startDateTime' is in the future: a secret of this directory is good from the moment it is made.")
	}
	app, err := a.applicationOf(q)
	if err != nil {
		return answer{}, err
	}
	c, secret, err := a.Directory.AddSecret(q.Context(), q.caller, app.ID, b.PasswordCredential.DisplayName, b.PasswordCredential.EndDateTime)
	if err != nil {
		return answer{}, err
	}
	o := credentialShape(c)
	o["secretText"] = string(secret)
	o["@odata.context"] = a.context(q, "microsoft.graph.passwordCredential", nil)
	return ok(o)
}

func (a *api) removePassword(q *request) (answer, error) {
	var b struct{ KeyID string }
	if err := q.decode(record("removePassword", map[string]*kind{"keyId": aGUID}), nil, &b); err != nil {
		return answer{}, err
	}
	app, err := a.applicationOf(q)
	if err != nil {
		return answer{}, err
	}
	return done(a.Directory.RemoveSecret(q.Context(), q.caller, app.ID, b.KeyID))
}

var federatedKind = record("federatedIdentityCredential", map[string]*kind{
	"id": aGUID, "name": aText, "issuer": aText, "subject": aText, "audiences": listOf(aText), "description": aText,
}).fixing("id").without("claimsMatchingExpression")

func federatedShape(f directory.FederatedCredential) object {
	return object{"id": f.ID, "name": f.Name, "issuer": f.Issuer, "subject": f.Subject, "audiences": texts(f.Audiences), "description": orNull(f.Description)}
}

func (a *api) federated(q *request) (answer, error) {
	app, err := a.applicationOf(q)
	if err != nil {
		return answer{}, err
	}
	return a.list(q, federatedKind, "applications('"+app.ID+"')/federatedIdentityCredentials", shaped(app.Federated, federatedShape))
}

// federatedOf is the credential that the path names, by its ID or its name.
func (a *api) federatedOf(q *request) (app directory.Application, f directory.FederatedCredential, err error) {
	if app, err = a.applicationOf(q); err != nil {
		return app, f, err
	}
	for _, f := range app.Federated {
		if key := q.vars["credential"]; strings.EqualFold(f.ID, key) || strings.EqualFold("name="+f.Name, key) || strings.EqualFold(f.Name, key) {
			return app, f, nil
		}
	}
	return app, f, missing(q.vars["credential"])
}

func (a *api) oneFederated(q *request) (answer, error) {
	app, f, err := a.federatedOf(q)
	if err != nil {
		return answer{}, err
	}
	return a.one(q, federatedKind, "applications('"+app.ID+"')/federatedIdentityCredentials", federatedShape(f))
}

func (a *api) addFederated(q *request) (answer, error) {
	var f directory.FederatedCredential
	if err := q.decode(federatedKind, nil, &f); err != nil {
		return answer{}, err
	}
	app, err := a.applicationOf(q)
	if err != nil {
		return answer{}, err
	}
	if f, err = a.Directory.AddFederated(q.Context(), q.caller, app.ID, f); err != nil {
		return answer{}, err
	}
	return a.made(q, "applications('"+app.ID+"')/federatedIdentityCredentials", federatedShape(f))
}

func (a *api) removeFederated(q *request) (answer, error) {
	app, f, err := a.federatedOf(q)
	if err != nil {
		return answer{}, err
	}
	return done(a.Directory.RemoveFederated(q.Context(), q.caller, app.ID, f.ID))
}
