package graph

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/uuid"
	"github.com/microsoftgraph/msgraph-sdk-go/applications"
	"github.com/microsoftgraph/msgraph-sdk-go/domains"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"
	"github.com/microsoftgraph/msgraph-sdk-go/oauth2permissiongrants"
	"github.com/microsoftgraph/msgraph-sdk-go/serviceprincipals"
	"github.com/microsoftgraph/msgraph-sdk-go/users"

	"github.com/tandemgw/tandem/control/directory"
)

func ptr[T any](v T) *T { return &v }

// refused demands an error of Graph with a code.
func (w *world) refused(err error, code, message string) {
	w.Helper()
	e, is := errors.AsType[*odataerrors.ODataError](err)
	if !is || e.GetErrorEscaped() == nil || e.GetErrorEscaped().GetCode() == nil {
		w.Errorf("%v, want %s", err, code)
		return
	}
	if got := *e.GetErrorEscaped().GetCode(); got != code || !strings.Contains(e.Error(), message) {
		w.Errorf("%s: %v, want %s: %s", got, e.Error(), code, message)
	}
}

// TestGraphGrantsTheSevenRoles is what an operator's own program does to let a
// gateway into Operator Connect, by Microsoft's library.
func TestGraphGrantsTheSevenRoles(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	adapter := w.adapter(w.credential(onboardingID, clientSecret))
	principals := serviceprincipals.NewServicePrincipalsRequestBuilderInternal(w.base(), adapter)

	add := models.NewServicePrincipal()
	add.SetAppId(ptr(directory.SynergyID))
	add.SetDisplayName(ptr("Operator Connect"))
	synergy, err := principals.Post(ctx, add, nil)
	w.must(err)
	_, err = principals.Post(ctx, add, nil)
	w.refused(err, "Request_MultipleObjectsWithSameKeyValue", "already in use")
	gateway := w.program("contoso-gateway")

	find := func(filter string) []models.ServicePrincipalable {
		found, err := principals.Get(ctx, &serviceprincipals.ServicePrincipalsRequestBuilderGetRequestConfiguration{
			QueryParameters: &serviceprincipals.ServicePrincipalsRequestBuilderGetQueryParameters{Filter: &filter, Top: ptr(int32(5)), Select: []string{"id", "appId", "displayName", "appRoles"}},
		})
		w.must(err)
		return found.GetValue()
	}
	if got := find("appId eq '" + directory.SynergyID + "'"); len(got) != 1 || *got[0].GetId() != *synergy.GetId() || *got[0].GetDisplayName() != "Operator Connect" || len(got[0].GetAppRoles()) != 9 {
		t.Fatalf("Project Synergy: %v", got)
	}
	if got := find("displayName eq 'contoso-gateway'"); len(got) != 1 || *got[0].GetAppId() != gateway.AppID {
		t.Fatalf("the gateway: %v", got)
	}
	assignments := principals.ByServicePrincipalId(gateway.ID).AppRoleAssignments()
	for _, role := range synergy.GetAppRoles() {
		if *role.GetValue() == "Admin" || *role.GetValue() == "PartnerSettings.Write" {
			continue
		}
		a := models.NewAppRoleAssignment()
		a.SetPrincipalId(ptr(uuid.MustParse(gateway.ID)))
		a.SetResourceId(ptr(uuid.MustParse(*synergy.GetId())))
		a.SetAppRoleId(role.GetId())
		made, err := assignments.Post(ctx, a, nil)
		w.must(err)
		if *made.GetPrincipalDisplayName() != "contoso-gateway" || *made.GetResourceDisplayName() != "Operator Connect" || *made.GetPrincipalType() != "ServicePrincipal" || time.Since(*made.GetCreatedDateTime()) > time.Minute {
			t.Errorf("%v", made)
		}
		_, err = assignments.Post(ctx, a, nil)
		w.refused(err, "Request_BadRequest", "Permission being assigned already exists on the object")
	}
	list, err := assignments.Get(ctx, nil)
	w.must(err)
	if len(list.GetValue()) != 7 {
		t.Errorf("%d roles", len(list.GetValue()))
	}
	w.must(assignments.ByAppRoleAssignmentId(*list.GetValue()[0].GetId()).Delete(ctx, nil))
	to, err := principals.ByServicePrincipalId(*synergy.GetId()).AppRoleAssignedTo().Get(ctx, nil)
	w.must(err)
	if len(to.GetValue()) != 6 {
		t.Errorf("%d roles after one is gone", len(to.GetValue()))
	}
	if _, err := principals.ByServicePrincipalId(uuid.NewString()).Get(ctx, nil); err == nil {
		t.Error("there is a principal that nobody made")
	} else {
		w.refused(err, "Request_ResourceNotFound", "does not exist")
	}
}

// program is an application with its service principal.
func (w *world) program(name string) directory.ServicePrincipal {
	w.Helper()
	a, err := w.directory.CreateApplication(w.Context(), w.ours, directory.Application{DisplayName: name})
	w.must(err)
	p, err := w.directory.AddPrincipal(w.Context(), w.ours, a.AppID, "")
	w.must(err)
	return p
}

// TestGraphMakesARegistration with its permissions, consent and secret, by
// which it signs in, and may do what it was given and nothing else.
func TestGraphMakesARegistration(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	adapter := w.adapter(w.credential(onboardingID, clientSecret))
	apps := applications.NewApplicationsRequestBuilderInternal(w.base(), adapter)
	principals := serviceprincipals.NewServicePrincipalsRequestBuilderInternal(w.base(), adapter)

	filter := "appId eq '" + directory.GraphID + "'"
	found, err := principals.Get(ctx, &serviceprincipals.ServicePrincipalsRequestBuilderGetRequestConfiguration{QueryParameters: &serviceprincipals.ServicePrincipalsRequestBuilderGetQueryParameters{Filter: &filter}})
	w.must(err)
	msgraph := found.GetValue()[0]
	var reading models.AppRoleable
	for _, r := range msgraph.GetAppRoles() {
		if *r.GetValue() == "Application.Read.All" {
			reading = r
		}
	}
	access := models.NewResourceAccess()
	access.SetId(reading.GetId())
	access.SetTypeEscaped(ptr("Role"))
	required := models.NewRequiredResourceAccess()
	required.SetResourceAppId(ptr(directory.GraphID))
	required.SetResourceAccess([]models.ResourceAccessable{access})
	app := models.NewApplication()
	app.SetDisplayName(ptr("Billing Service"))
	app.SetSignInAudience(ptr("AzureADMyOrg"))
	app.SetRequiredResourceAccess([]models.RequiredResourceAccessable{required})
	made, err := apps.Post(ctx, app, nil)
	w.must(err)
	if *made.GetSignInAudience() != "AzureADMyOrg" || len(made.GetRequiredResourceAccess()) != 1 || *made.GetId() == *made.GetAppId() {
		t.Errorf("%v", made)
	}
	one := apps.ByApplicationId(*made.GetId())

	change := models.NewApplication()
	change.SetTags([]string{"billing"})
	_, err = one.Patch(ctx, change, nil)
	w.must(err)
	again, err := one.Get(ctx, nil)
	w.must(err)
	if *again.GetDisplayName() != "Billing Service" || len(again.GetTags()) != 1 || len(again.GetRequiredResourceAccess()) != 1 {
		t.Errorf("after a change of the tags: %v", again)
	}

	credential := models.NewPasswordCredential()
	credential.SetDisplayName(ptr("2026-11-22"))
	credential.SetEndDateTime(ptr(time.Now().Add(70 * 24 * time.Hour)))
	body := applications.NewItemAddPasswordPostRequestBody()
	body.SetPasswordCredential(credential)
	secret, err := one.AddPassword().Post(ctx, body, nil)
	w.must(err)
	if secret.GetSecretText() == nil || *secret.GetHint() != (*secret.GetSecretText())[:3] {
		t.Fatalf("secret: %v", secret)
	}
	sp := models.NewServicePrincipal()
	sp.SetAppId(made.GetAppId())
	principal, err := principals.Post(ctx, sp, nil)
	w.must(err)

	mine := serviceprincipals.NewServicePrincipalsRequestBuilderInternal(w.base(), w.adapter(w.credential(*made.GetAppId(), *secret.GetSecretText())))
	_, err = mine.Get(ctx, nil)
	w.refused(err, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
	consent := models.NewAppRoleAssignment()
	consent.SetPrincipalId(ptr(uuid.MustParse(*principal.GetId())))
	consent.SetResourceId(ptr(uuid.MustParse(*msgraph.GetId())))
	consent.SetAppRoleId(reading.GetId())
	_, err = principals.ByServicePrincipalId(*msgraph.GetId()).AppRoleAssignedTo().Post(ctx, consent, nil)
	w.must(err)
	// A new credential, since the old one keeps its token for an hour.
	mine = serviceprincipals.NewServicePrincipalsRequestBuilderInternal(w.base(), w.adapter(w.credential(*made.GetAppId(), *secret.GetSecretText())))
	if _, err = mine.Get(ctx, nil); err != nil {
		t.Errorf("with the role: %v", err)
	}
	if _, err := mine.Post(ctx, sp, nil); err == nil {
		t.Error("who may read may write")
	}

	out := applications.NewItemRemovePasswordPostRequestBody()
	out.SetKeyId(secret.GetKeyId())
	w.must(one.RemovePassword().Post(ctx, out, nil))
	if _, err := w.credential(*made.GetAppId(), *secret.GetSecretText()).GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{w.url + "/.default"}}); err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("with a secret that was removed: %v", err)
	}
	if strings.Contains(w.log.text(), *secret.GetSecretText()) {
		t.Error("the log shows the secret")
	}

	federated := models.NewFederatedIdentityCredential()
	federated.SetName(ptr("tandem"))
	federated.SetIssuer(ptr("https://tandem.telecom.example/issuer"))
	federated.SetSubject(ptr("contoso-gateway"))
	federated.SetAudiences([]string{"api://AzureADTokenExchange"})
	f, err := one.FederatedIdentityCredentials().Post(ctx, federated, nil)
	w.must(err)
	w.must(one.FederatedIdentityCredentials().ByFederatedIdentityCredentialId(*f.GetId()).Delete(ctx, nil))
	w.must(one.Delete(ctx, nil))
}

// TestGraphRegistersADomain: records come with their types, and what is not
// proven is refused in words.
func TestGraphRegistersADomain(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	all := domains.NewDomainsRequestBuilderInternal(w.base(), w.adapter(w.credential(onboardingID, clientSecret)))
	add := models.NewDomain()
	add.SetId(ptr("contoso.gw.example.net"))
	d, err := all.Post(ctx, add, nil)
	w.must(err)
	if *d.GetIsVerified() || *d.GetAuthenticationType() != "Managed" {
		t.Errorf("%v", d)
	}
	one := all.ByDomainId("contoso.gw.example.net")
	records, err := one.VerificationDnsRecords().Get(ctx, nil)
	w.must(err)
	kinds := ""
	for _, r := range records.GetValue() {
		switch r := r.(type) {
		case models.DomainDnsTxtRecordable:
			if kinds += "txt "; !strings.HasPrefix(*r.GetText(), "MS=ms") {
				t.Errorf("text %q", *r.GetText())
			}
		case models.DomainDnsMxRecordable:
			if kinds += "mx "; *r.GetPreference() == 0 || *r.GetMailExchange() == "" {
				t.Errorf("%v", r)
			}
		}
	}
	if len(kinds) != len("txt mx ") {
		t.Errorf("records are %s", kinds)
	}
	_, err = one.Verify().Post(ctx, nil)
	w.refused(err, "Request_BadRequest", "Domain verification failed")
	w.must(one.Delete(ctx, nil))
}

// TestGraphKnowsPeople: a user, the Admin role of Project Synergy, and what a
// program may do for all users.
func TestGraphKnowsPeople(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	adapter := w.adapter(w.credential(onboardingID, clientSecret))
	people := users.NewUsersRequestBuilderInternal(w.base(), adapter)
	u := models.NewUser()
	u.SetAccountEnabled(ptr(true))
	u.SetDisplayName(ptr("Ann"))
	u.SetMailNickname(ptr("ann"))
	u.SetUserPrincipalName(ptr("ann@lab.example"))
	password := models.NewPasswordProfile()
	password.SetPassword(ptr("canary of the first day 17"))
	password.SetForceChangePasswordNextSignIn(ptr(false))
	u.SetPasswordProfile(password)
	ann, err := people.Post(ctx, u, nil)
	w.must(err)
	if ann.GetPasswordProfile() != nil || strings.Contains(w.log.text(), "canary of") {
		t.Error("the password is shown")
	}
	synergy, err := w.directory.AddPrincipal(ctx, w.ours, directory.SynergyID, "")
	w.must(err)
	admin, _ := synergy.Role("Admin")
	a := models.NewAppRoleAssignment()
	a.SetPrincipalId(ptr(uuid.MustParse(*ann.GetId())))
	a.SetResourceId(ptr(uuid.MustParse(synergy.ID)))
	a.SetAppRoleId(ptr(uuid.MustParse(admin.ID)))
	made, err := people.ByUserId("ann@lab.example").AppRoleAssignments().Post(ctx, a, nil)
	w.must(err)
	if *made.GetPrincipalType() != "User" {
		t.Errorf("%v", made)
	}
	for range 3 {
		u.SetUserPrincipalName(ptr(strings.ToLower(uuid.NewString()[:8]) + "@lab.example"))
		u.SetMailNickname(nil)
		_, err := people.Post(ctx, u, nil)
		w.must(err)
	}
	page, err := people.Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Top: ptr(int32(3))}})
	w.must(err)
	if len(page.GetValue()) != 3 || page.GetOdataNextLink() == nil {
		t.Fatalf("the first page: %d", len(page.GetValue()))
	}
	page, err = people.WithUrl(*page.GetOdataNextLink()).Get(ctx, nil)
	w.must(err)
	if len(page.GetValue()) != 1 || page.GetOdataNextLink() != nil {
		t.Errorf("the last page: %d", len(page.GetValue()))
	}

	tools := w.program("a tool")
	msgraph, err := w.directory.PrincipalOf(ctx, w.ours, directory.GraphID)
	w.must(err)
	g := models.NewOAuth2PermissionGrant()
	g.SetClientId(&tools.ID)
	g.SetConsentType(ptr("AllPrincipals"))
	g.SetResourceId(&msgraph.ID)
	g.SetScope(ptr("User.Read Application.Read.All"))
	grants := oauth2permissiongrants.NewOauth2PermissionGrantsRequestBuilderInternal(w.base(), adapter)
	granted, err := grants.Post(ctx, g, nil)
	w.must(err)
	if *granted.GetScope() != "User.Read Application.Read.All" {
		t.Errorf("%v", granted)
	}
	w.must(grants.ByOAuth2PermissionGrantId(*granted.GetId()).Delete(ctx, nil))
}
