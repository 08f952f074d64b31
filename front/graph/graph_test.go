package graph_test

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/store"
	"github.com/tandemgw/tandem/front/graph"
)

// The seven roles of Project Synergy, as "Set up application roles for Azure
// Communications Gateway" (Azure Communications Gateway docs, "Connect Azure
// Communications Gateway to Operator Connect or Teams Phone Mobile") has them.
var sevenRoles = []string{
	"72129ccd-8886-42db-a63c-2647b61635c1", "e907ba07-8ad0-40be-8d72-c18a0b3c156b", "d6b0de4a-aab5-4261-be1b-0e1800746fb2", "130ecbe2-d1e6-4bbd-9a8d-9a7a909b876e",
	"752b4e79-4b85-4e33-a6ef-5949f0d7d553", "eb63d611-525e-4a31-abd7-0cb33f679599", "98d32f93-eaa7-4657-b443-090c23e69f27",
}

// script is what the PowerShell script of that page asks for, and tells how
// many roles it assigned: it finds both principals by name, lists, assigns what
// is missing, and lists again.
func (w *world) script(token string, synergy, gateway directory.ServicePrincipal) (assigned int) {
	w.Helper()
	// Get-MgServicePrincipal -Filter "AppId eq '…'"
	found := w.ask(token, "GET", "/servicePrincipals?$filter=AppId eq '"+directory.SynergyID+"'", nil).list()
	if len(found) != 1 || found[0]["id"] != synergy.ID || found[0]["displayName"] != "Operator Connect" || found[0]["appDisplayName"] != "Project Synergy" {
		w.Fatalf("Project Synergy: %v", found)
	}
	acg := w.ask(token, "GET", "/servicePrincipals?$filter=displayName eq '"+gateway.DisplayName+"'", nil).list()
	if len(acg) != 1 || acg[0]["id"] != gateway.ID {
		w.Fatalf("the gateway: %v", acg)
	}
	path := "/servicePrincipals/" + gateway.ID + "/appRoleAssignments"
	current := w.ask(token, "GET", path, nil).all("appRoleId")
	for _, role := range sevenRoles {
		if strings.Contains(current, role) {
			continue
		}
		assigned++
		o := w.ask(token, "POST", path, object{"principalId": gateway.ID, "resourceId": synergy.ID, "appRoleId": role}).is(http.StatusCreated)
		if o["principalType"] != "ServicePrincipal" || o["principalDisplayName"] != gateway.DisplayName || o["resourceDisplayName"] != "Operator Connect" || o["id"] == "" || o["createdDateTime"] == nil {
			w.Errorf("assigned: %v", o)
		}
	}
	if got := len(w.ask(token, "GET", path, nil).list()); got != 7 {
		w.Errorf("%d roles", got)
	}
	return assigned
}

// TestTheSevenRoles are seen from both sides, and assigned once.
func TestTheSevenRoles(t *testing.T) {
	w := newWorld(t)
	admin := w.user("ann", []directory.DirectoryRole{directory.CloudApplicationAdministrator}, "Application.Read.All", "AppRoleAssignment.ReadWrite.All")
	p, err := w.directory.AddPrincipal(t.Context(), w.ours, directory.SynergyID, "Operator Connect")
	w.must(err)
	gateway, _ := w.program("contoso-gateway")
	for run, want := range []int{7, 0} {
		if got := w.script(admin, p, gateway); got != want {
			t.Errorf("run %d assigned %d", run, got)
		}
	}
	w.ask(admin, "POST", "/servicePrincipals/"+gateway.ID+"/appRoleAssignments", object{"principalId": gateway.ID, "resourceId": p.ID, "appRoleId": sevenRoles[0]}).
		fails(400, "Request_BadRequest", "Permission being assigned already exists on the object")
	if got := len(w.ask(admin, "GET", "/servicePrincipals/"+p.ID+"/appRoleAssignedTo", nil).list()); got != 7 {
		t.Errorf("seen from the resource: %d", got)
	}
	if got := len(w.ask(admin, "GET", "/servicePrincipals/"+p.ID+"/appRoleAssignedTo?$filter=appRoleId eq "+sevenRoles[0], nil).list()); got != 1 {
		t.Errorf("filtered: %d", got)
	}
}

// TestOperatorConnectIsProjectSynergy: the principal that was added under one
// name is found under both (DIVERGENCES: the directory's aliases).
func TestOperatorConnectIsProjectSynergy(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	o := w.ask(admin, "POST", "/servicePrincipals", object{"appId": directory.SynergyID, "displayName": "Operator Connect"}).is(http.StatusCreated)
	for _, query := range []string{
		"$filter=displayName eq 'Operator Connect'", "$filter=displayName eq 'Project Synergy'", "$filter=startswith(displayName,'project')",
		`$search="displayName:synergy"`, `$search="displayName:Operator"`, "$filter=appDisplayName eq 'Project Synergy'",
	} {
		if got := w.ask(admin, "GET", "/servicePrincipals?"+query, nil).all("id"); got != o["id"] {
			t.Errorf("%s: %q", query, got)
		}
	}
	for query, want := range map[string]any{
		"$filter=appId eq '" + directory.SynergyID + "' and displayName eq 'Operator Connect'": o["id"], "$filter=displayName eq 'x' and appId eq " + directory.SynergyID: "",
		"$filter=appId eq '" + directory.SynergyID + "' or displayName eq 'x'": o["id"], "$filter=appId eq '" + tenant + "'": "", "$filter=not(appId eq '" + directory.SynergyID + "') and appDisplayName eq 'Project Synergy'": "",
	} {
		if got := w.ask(admin, "GET", "/servicePrincipals?"+query, nil).all("id"); got != want {
			t.Errorf("%s: %q", query, got)
		}
	}
	if got := w.ask(admin, "GET", "/applications?$filter=appId eq '"+tenant+"'", nil).list(); got != nil {
		t.Errorf("%v", got)
	}
	w.ask(admin, "POST", "/servicePrincipals", object{"appId": directory.SynergyID}).fails(409, "Request_MultipleObjectsWithSameKeyValue", "already in use")
	w.ask(admin, "POST", "/servicePrincipals", object{"appId": "11111111-1111-4111-8111-111111111111"}).fails(400, "Request_BadRequest", "does not reference a valid application")
	// Both its roles for people and for programs are there.
	got := w.ask(admin, "GET", "/servicePrincipals(appId='"+directory.SynergyID+"')", nil).is(200)
	var roles []string
	for _, r := range got["appRoles"].([]any) {
		roles = append(roles, r.(object)["value"].(string))
	}
	slices.Sort(roles)
	want := "Admin Data.Read Data.Write NumberManagement.Read NumberManagement.Write PartnerSettings.Read PartnerSettings.Write TrunkManagement.Read TrunkManagement.Write"
	if s := strings.Join(roles, " "); s != want {
		t.Errorf("roles: %s", s)
	}
}

// TestWhoMayDoWhat: each operation is done by a program with one of its
// permissions and by nobody who has all others; and by a person with a role
// whose program was granted one, and not by a person without the role, nor by a
// program without the scope (Microsoft Graph docs, "Microsoft Graph permissions
// reference"). To assign an app role takes the reading of principals as well
// (Microsoft Graph docs, "Grant an appRoleAssignment to a service principal").
func TestWhoMayDoWhat(t *testing.T) {
	w := newWorld(t)
	app, err := w.directory.CreateApplication(t.Context(), w.ours, directory.Application{DisplayName: "target"})
	w.must(err)
	target := w.principal(app.AppID)
	synergy := w.principal(directory.SynergyID)
	g, err := w.directory.CreateGroup(t.Context(), w.ours, directory.Group{DisplayName: "target"})
	w.must(err)
	u, err := w.directory.CreateUser(t.Context(), w.ours, directory.User{Name: "target@telecom.example", DisplayName: "target", Enabled: true})
	w.must(err)
	grant, err := w.directory.AddGrant(t.Context(), w.ours, directory.Grant{Client: target.ID, ConsentType: directory.AllPrincipals, Resource: synergy.ID, Scopes: []string{"user_impersonation"}})
	w.must(err)
	_, err = w.directory.AddDomain(t.Context(), w.ours, "voice.example.net")
	w.must(err)

	const (
		anyone  = "" // who is in the directory
		global  = directory.GlobalAdministrator
		apps    = directory.ApplicationAdministrator
		cloud   = directory.CloudApplicationAdministrator
		looking = directory.GlobalReader
	)
	both := []string{"Directory.Read.All", "Directory.ReadWrite.All"}
	readApps := append([]string{"Application.Read.All", "Application.ReadWrite.All"}, both...)
	writeApps := []string{"Application.ReadWrite.All", "Directory.ReadWrite.All"}
	readUsers := append([]string{"User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All"}, both...)
	readGroups := append([]string{"Group.Read.All", "Group.ReadWrite.All"}, both...)
	readRoles := append([]string{"RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory"}, both...)
	readDomains := append([]string{"Domain.Read.All", "Domain.ReadWrite.All"}, both...)
	readGrants := append([]string{"DelegatedPermissionGrant.ReadWrite.All"}, readApps...)
	rows := []struct {
		method, path string
		body         any
		permissions  []string
		roles        []directory.DirectoryRole // who, besides the Global Administrator
		with         string                    // permission that it takes as well
	}{
		{"GET", "/users", nil, readUsers, []directory.DirectoryRole{anyone, apps, cloud, looking}, ""},
		{"GET", "/users/" + u.ID, nil, readUsers, []directory.DirectoryRole{anyone}, ""},
		{"POST", "/users", object{"accountEnabled": true, "userPrincipalName": "x", "displayName": "x", "passwordProfile": object{"password": "x"}}, []string{"User.ReadWrite.All", "Directory.ReadWrite.All"}, nil, ""},
		{"PATCH", "/users/" + u.ID, object{"surname": "x"}, []string{"User.ReadWrite.All", "Directory.ReadWrite.All"}, nil, ""},
		{"DELETE", "/users/11111111-1111-4111-8111-111111111111", nil, []string{"User.ReadWrite.All", "Directory.ReadWrite.All"}, nil, ""},
		{"GET", "/groups", nil, readGroups, []directory.DirectoryRole{anyone}, ""},
		{"GET", "/groups/" + g.ID + "/members", nil, readGroups, []directory.DirectoryRole{anyone}, ""},
		{"POST", "/groups", object{"displayName": "", "mailEnabled": false, "securityEnabled": true}, []string{"Group.ReadWrite.All", "Directory.ReadWrite.All"}, nil, ""},
		{"PATCH", "/groups/" + g.ID, object{"description": "x"}, []string{"Group.ReadWrite.All", "Directory.ReadWrite.All"}, nil, ""},
		{"POST", "/groups/" + g.ID + "/members/$ref", object{"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/" + g.ID}, []string{"Group.ReadWrite.All", "Directory.ReadWrite.All"}, nil, ""},
		{"DELETE", "/groups/" + g.ID + "/members/" + g.ID + "/$ref", nil, []string{"Group.ReadWrite.All", "Directory.ReadWrite.All"}, nil, ""},
		{"GET", "/directoryRoles/" + global.ID() + "/members", nil, readRoles, []directory.DirectoryRole{anyone}, ""},
		{"POST", "/directoryRoles/" + global.ID() + "/members/$ref", object{"@odata.id": "x/" + g.ID}, []string{"RoleManagement.ReadWrite.Directory"}, nil, ""},
		{"DELETE", "/directoryRoles/" + global.ID() + "/members/" + g.ID + "/$ref", nil, []string{"RoleManagement.ReadWrite.Directory"}, nil, ""},
		{"GET", "/servicePrincipals", nil, readApps, []directory.DirectoryRole{anyone}, ""},
		{"GET", "/servicePrincipals/" + synergy.ID, nil, readApps, []directory.DirectoryRole{anyone}, ""},
		{"GET", "/servicePrincipals/" + target.ID + "/appRoleAssignments", nil, readApps, []directory.DirectoryRole{anyone}, ""},
		{"GET", "/servicePrincipals/" + synergy.ID + "/appRoleAssignedTo", nil, readApps, []directory.DirectoryRole{anyone}, ""},
		{"POST", "/servicePrincipals", object{"appId": directory.SynergyID}, writeApps, []directory.DirectoryRole{apps, cloud}, ""},
		{"PATCH", "/servicePrincipals/" + target.ID, object{"tags": []string{"x"}}, writeApps, []directory.DirectoryRole{apps, cloud}, ""},
		{"POST", "/servicePrincipals/" + target.ID + "/appRoleAssignments", object{"principalId": target.ID, "resourceId": synergy.ID, "appRoleId": target.ID}, []string{"AppRoleAssignment.ReadWrite.All"}, []directory.DirectoryRole{apps, cloud}, "Application.Read.All"},
		{"GET", "/applications", nil, readApps, []directory.DirectoryRole{apps, cloud, looking}, ""},
		{"GET", "/applications/" + app.ID, nil, readApps, []directory.DirectoryRole{apps, cloud, looking}, ""},
		{"POST", "/applications", object{"displayName": ""}, writeApps, []directory.DirectoryRole{apps, cloud}, ""},
		{"PATCH", "/applications/" + app.ID, object{"description": "x"}, writeApps, []directory.DirectoryRole{apps, cloud}, ""},
		{"POST", "/applications/" + app.ID + "/addPassword", object{"passwordCredential": object{"endDateTime": "2000-01-01T00:00:00Z"}}, writeApps, []directory.DirectoryRole{apps, cloud}, ""},
		{"POST", "/applications/" + app.ID + "/removePassword", object{"keyId": app.ID}, writeApps, []directory.DirectoryRole{apps, cloud}, ""},
		{"POST", "/applications/" + app.ID + "/federatedIdentityCredentials", object{"name": ""}, writeApps, []directory.DirectoryRole{apps, cloud}, ""},
		{"GET", "/oauth2PermissionGrants", nil, readGrants, []directory.DirectoryRole{apps, cloud, looking}, ""},
		{"GET", "/oauth2PermissionGrants/" + grant.ID, nil, readGrants, []directory.DirectoryRole{apps, cloud, looking}, ""},
		{"POST", "/oauth2PermissionGrants", object{"clientId": target.ID, "consentType": "x", "resourceId": synergy.ID}, []string{"DelegatedPermissionGrant.ReadWrite.All"}, []directory.DirectoryRole{apps, cloud}, ""},
		{"PATCH", "/oauth2PermissionGrants/" + grant.ID, object{"scope": "nothing.known"}, []string{"DelegatedPermissionGrant.ReadWrite.All"}, []directory.DirectoryRole{apps, cloud}, ""},
		{"DELETE", "/oauth2PermissionGrants/11111111-1111-4111-8111-111111111111", nil, []string{"DelegatedPermissionGrant.ReadWrite.All"}, []directory.DirectoryRole{apps, cloud}, ""},
		{"GET", "/domains", nil, readDomains, []directory.DirectoryRole{anyone}, ""},
		{"GET", "/domains/voice.example.net/verificationDnsRecords", nil, readDomains, []directory.DirectoryRole{anyone}, ""},
		{"POST", "/domains", object{"id": "voice"}, []string{"Domain.ReadWrite.All"}, nil, ""},
		{"POST", "/domains/voice.example.net/verify", nil, []string{"Domain.ReadWrite.All"}, nil, ""},
		{"DELETE", "/domains/nothing.example.net", nil, []string{"Domain.ReadWrite.All"}, nil, ""},
		{"GET", "/me", nil, append([]string{"User.Read", "User.Read.All", "User.ReadWrite.All"}, both...), []directory.DirectoryRole{anyone, apps, cloud, looking}, ""},
		{"GET", "/organization", nil, append([]string{"User.Read", "User.Read.All", "User.ReadWrite.All"}, both...), []directory.DirectoryRole{anyone, apps, cloud, looking}, ""},
	}
	everything := []string{}
	for _, r := range w.principal(directory.GraphID).Roles {
		everything = append(everything, r.Value)
	}
	programs := map[string]string{}
	program := func(permissions ...string) string {
		slices.Sort(permissions)
		name := strings.TrimSpace(strings.Join(slices.Compact(permissions), " "))
		if programs[name] == "" {
			_, programs[name] = w.program(name, strings.Fields(name)...)
		}
		return programs[name]
	}
	for i, row := range rows {
		name := row.method + " " + row.path
		denied := func(token string) bool {
			t.Helper()
			res := w.ask(token, row.method, row.path, row.body)
			if res.Code == http.StatusForbidden {
				res.fails(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
			}
			return res.Code == http.StatusForbidden
		}
		for _, value := range everything {
			if row.path == "/me" || row.path == "/organization" && value == "User.ReadBasic.All" {
				continue // for people
			}
			if may := slices.Contains(row.permissions, value); may == denied(program(value, row.with)) {
				t.Errorf("%s: a program with %s may: %v", name, value, !may)
			}
		}
		for j, scopes := range [][]string{row.permissions[:1], {row.permissions[len(row.permissions)-1]}, {"Directory.AccessAsUser.All"}} {
			for _, role := range []directory.DirectoryRole{anyone, global, apps, cloud, looking} {
				person := fmt.Sprintf("p%d-%d-%s", i, j, strings.ReplaceAll(cmp.Or(string(role), "nobody"), " ", ""))
				roles, scopes := []directory.DirectoryRole(nil), strings.Fields(strings.Join(scopes, " ")+" "+row.with)
				if role != anyone {
					roles = append(roles, role)
				}
				may := role == global || slices.Contains(row.roles, role) || slices.Contains(row.roles, anyone)
				if got := !denied(w.user(person, roles, scopes...)); got != may {
					t.Errorf("%s: %s with the scope %s may: %v", name, cmp.Or(role, "nobody in particular"), scopes, got)
				}
			}
		}
		other := "openid"
		if !denied(w.user(fmt.Sprintf("q%d", i), []directory.DirectoryRole{global}, other)) {
			t.Errorf("%s: a program with the scope %s may", name, other)
		}
	}
}

// TestWhoHasNoTokenLearnsNothing but where there are some.
func TestWhoHasNoTokenLearnsNothing(t *testing.T) {
	w := newWorld(t)
	p, good := w.program("x", "Directory.Read.All")
	issue := func(issuer, audience string) string {
		token, err := w.directory.IssueFor(t.Context(), p.ID, issuer, audience)
		w.must(err)
		return string(token.Raw)
	}
	header, payload, _ := strings.Cut(good, ".")
	payload, _, _ = strings.Cut(payload, ".")
	keys, err := w.directory.Keys(t.Context())
	w.must(err)
	public, err := x509.MarshalPKIXPublicKey(keys.Keys[0].Key)
	w.must(err)
	confused := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"`+keys.Keys[0].KeyID+`"}`)) + "." + payload
	for _, key := range [][]byte{public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})} {
		// RFC 8725 §2.1: a public key taken for a secret one.
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(confused))
		w.ask(confused+"."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), "GET", "/users", nil).fails(401, "InvalidAuthenticationToken", "no key of ours")
	}
	for _, audience := range []string{directory.GraphID, api + "/", api + "//", "https://graph.microsoft.com"} {
		w.ask(issue(issuer, audience), "GET", "/servicePrincipals", nil).is(200)
	}
	for name, x := range map[string]struct{ token, message string }{
		"none":             {"", "Access token is empty."},
		"no token":         {"abc", "Access token validation failure"},
		"another issuer":   {issue("https://login.telecom.example/other/v2.0", api), "from another issuer"},
		"another audience": {issue(issuer, "https://vault.telecom.example"), "for another audience"},
		"algorithm none":   {"eyJhbGciOiJub25lIn0." + payload + ".", "no key of ours"},
		"no signature":     {header + "." + payload + ".", "no key of ours"},
		"cut":              {good[:len(good)-4] + "AAAA", "no key of ours"},
	} {
		for _, path := range []string{"/servicePrincipals", "/nothing"} {
			res := w.ask(x.token, "GET", path, nil)
			res.fails(401, "InvalidAuthenticationToken", x.message)
			if c := res.Header().Get("WWW-Authenticate"); !strings.Contains(c, "Bearer") || !strings.Contains(c, "https://login.telecom.example/common/oauth2/authorize") {
				t.Errorf("%s: challenge %q", name, c)
			}
		}
	}
	w.ask(good, "GET", "/servicePrincipals", nil).is(200)
	w.must(w.directory.DeletePrincipal(t.Context(), w.ours, p.ID))
	w.ask(good, "GET", "/servicePrincipals", nil).is(403) // a token outlives nothing
}

// TestTwoRegistrationsAsTheDocumentHasThem (Azure Communications Gateway docs,
// "Prepare to deploy Azure Communications Gateway", sections 3 and 4.2).
func TestTwoRegistrationsAsTheDocumentHasThem(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	synergy := w.ask(admin, "POST", "/servicePrincipals", object{"appId": directory.SynergyID}).is(201)
	made := w.ask(admin, "POST", "/applications", object{
		"@odata.type": "#microsoft.graph.application", "displayName": "Call Duration", "signInAudience": "AzureADMyOrg",
		"requiredResourceAccess": []any{object{"resourceAppId": directory.SynergyID, "resourceAccess": []any{object{"id": "98d32f93-eaa7-4657-b443-090c23e69f27", "type": "Role"}}}},
	})
	app := made.is(201)
	id, appID := app["id"].(string), app["appId"].(string)
	if id == appID || app["signInAudience"] != "AzureADMyOrg" || made.Header().Get("Location") != api+"/v1.0/applications/"+id || app["@odata.context"] != api+"/v1.0/$metadata#applications/$entity" {
		t.Errorf("%v", app)
	}
	for _, path := range []string{"/applications/" + id, "/applications(appId='" + appID + "')", "/applications('" + id + "')"} {
		if got := w.ask(admin, "GET", path, nil).is(200); got["appId"] != appID {
			t.Errorf("%s: %v", path, got)
		}
	}
	w.ask(admin, "GET", "/applications/"+appID, nil).fails(404, "Request_ResourceNotFound", appID) // a client ID is no object ID
	w.ask(admin, "GET", "/applications(appId='"+id+"')", nil).fails(404, "Request_ResourceNotFound", id)

	// Consent, as Graph does it: the principal, and an assignment for each role.
	p := w.ask(admin, "POST", "/servicePrincipals", object{"appId": appID, "accountEnabled": true}).is(201)
	w.ask(admin, "POST", "/servicePrincipals/"+synergy["id"].(string)+"/appRoleAssignedTo", object{"principalId": p["id"], "resourceId": synergy["id"], "appRoleId": "98d32f93-eaa7-4657-b443-090c23e69f27"}).is(201)

	end := time.Now().Add(70 * 24 * time.Hour).UTC().Truncate(time.Second)
	secret := w.ask(admin, "POST", "/applications/"+id+"/addPassword", object{"passwordCredential": object{"displayName": "2026-11-22", "endDateTime": end.Format(time.RFC3339)}}).is(200)
	value, _ := secret["secretText"].(string)
	if len(value) < 30 || secret["hint"] != value[:3] || secret["displayName"] != "2026-11-22" || secret["endDateTime"] != end.Format(time.RFC3339) || secret["keyId"] == "" {
		t.Errorf("secret: %v", secret)
	}
	if a, err := w.directory.Authenticate(t.Context(), appID, value); err != nil || a.AppID != appID {
		t.Errorf("it does not sign in: %v", err)
	}
	// The value is never seen again, in any answer and any line of the log.
	seen := ""
	for _, path := range []string{"/applications", "/applications/" + id, "/servicePrincipals", "/applications(appId='" + appID + "')", "/applications/" + id + "?$select=passwordCredentials"} {
		seen += w.ask(admin, "GET", path, nil).Body.String()
	}
	if strings.Contains(seen+w.logged.String(), value) || !strings.Contains(seen, secret["keyId"].(string)) {
		t.Error("the secret is shown again, or its ID is not")
	}
	w.ask(admin, "POST", "/applications/"+id+"/removePassword", object{"keyId": secret["keyId"]}).is(204)
	if _, err := w.directory.Authenticate(t.Context(), appID, value); err == nil {
		t.Error("a removed secret signs in")
	}
	w.ask(admin, "POST", "/applications/"+id+"/removePassword", object{"keyId": secret["keyId"]}).fails(400, "Request_BadRequest", "No password credential found")

	// What is left out of a change stays, within web too.
	w.ask(admin, "PATCH", "/applications/"+id, object{"web": object{"redirectUris": []string{"https://cdu.telecom.example/back"}}}).is(204)
	w.ask(admin, "PATCH", "/applications/"+id, object{"tags": []string{"cdu"}, "description": nil}).is(204)
	got := w.ask(admin, "GET", "/applications/"+id, nil).is(200)
	if s := fmt.Sprint(got["web"], got["tags"], len(got["requiredResourceAccess"].([]any))); s != "map[redirectUris:[https://cdu.telecom.example/back]] [cdu] 1" {
		t.Errorf("after two changes: %s", s)
	}
	w.ask(admin, "DELETE", "/applications/"+id, nil).is(204)
	w.ask(admin, "GET", "/applications/"+id, nil).is(404)
	w.ask(admin, "GET", "/servicePrincipals/"+p["id"].(string), nil).is(404)
}

// TestWhatABodyMayHave: Graph's own words for what it does not know; what it
// knows and we do not keep is refused unless it asks for nothing.
func TestWhatABodyMayHave(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	for body, message := range map[string]string{
		`{"displayName":"x","colour":"red"}`:                                 "Invalid property 'colour'.",
		`{"displayName":"x","web":{"redirectUris":[],"colour":1}}`:           "Invalid property 'web/colour'.",
		`{"displayName":"x","notes":"by hand"}`:                              "Property 'notes' is not kept by this directory",
		`{"displayName":"x","web":{"logoutUrl":"https://x.example"}}`:        "Property 'web/logoutUrl' is not kept",
		`{"displayName":"x","appId":"11111111-1111-4111-8111-111111111111"}`: "Property 'appId' is read-only",
		`{"displayName":"x","passwordCredentials":[{"displayName":"y"}]}`:    "Property 'passwordCredentials' is read-only",
		`{"displayName":17}`:                                                   "Property 'displayName' has a value of the wrong type: it is a string.",
		`{"displayName":"x","tags":"y"}`:                                       "Property 'tags' has a value of the wrong type: it is a collection.",
		`{"displayName":"x","tags":[null]}`:                                    "Property 'tags' has null as an element",
		`{"displayName":"x","tags":[1]}`:                                       "Property 'tags' has a value of the wrong type",
		`{"displayName":"x","DisplayName":"y"}`:                                "stands in the body twice",
		`{"displayName":"x","signInAudience":"AzureADMultipleOrgs"}`:           "'signInAudience' can only be AzureADMyOrg",
		`{"displayName":"x","requiredResourceAccess":[{"resourceAppId":"y"}]}`: "'requiredResourceAccess/resourceAppId' has a value of the wrong type: it is a GUID",
		`{"displayName":"x","web":{"redirectUris":["http://x.example"]}}`:      "redirect URI",
		`{}`: "A value is required for property 'displayName'",
	} {
		w.ask(admin, "POST", "/applications", body).fails(400, "Request_BadRequest", message)
	}
	for _, body := range []string{`{`, `[]`, `null`, `"x"`, `{"displayName":"x"} {}`, "{\"displayName\":\"\xff\"}", ``} {
		w.ask(admin, "POST", "/applications", body).fails(400, "BadRequest", "Unable to read JSON request payload")
	}
	w.ask(admin, "POST", "/applications", `{"displayName":"`+strings.Repeat("x", 1<<20)+`"}`).fails(413, "Request_EntityTooLarge", "more than 1048576 bytes")
	r := httptest.NewRequest("POST", api+"/v1.0/applications", strings.NewReader(`{"displayName":"x"}`))
	r.Header.Set("Authorization", "Bearer "+admin)
	r.Header.Set("Content-Type", "text/plain")
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	response{rec, w, "text"}.fails(400, "BadRequest", "Content-Type")
	// What asks for nothing is as if it were not there; names in any case.
	o := w.ask(admin, "POST", "/applications", `{"DISPLAYNAME":"x","notes":null,"keyCredentials":[],"web":{"implicitGrantSettings":{"enableIdTokenIssuance":false}},"api":{"acceptMappedClaims":null},"optionalClaims":{"idToken":[]},"id":null}`).is(201)
	if o["displayName"] != "x" {
		t.Errorf("%v", o)
	}
}

func TestUsersAndGroups(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	u := w.ask(admin, "POST", "/users", object{
		"accountEnabled": true, "displayName": "Ann O'Brien", "mailNickname": "ann", "userPrincipalName": "ann@telecom.example",
		"passwordProfile": object{"forceChangePasswordNextSignIn": false, "password": "canary-of-the-first-day-17"},
	}).is(201)
	id := u["id"].(string)
	signsIn := func(password string) bool {
		_, err := w.directory.SignIn(t.Context(), tenant, "ann@telecom.example", password, directory.Visitor{Source: "192.0.2.1"})
		return err == nil
	}
	if !signsIn("canary-of-the-first-day-17") {
		t.Error("the password is not the one that was given")
	}
	w.ask(admin, "PATCH", "/users/"+id, object{"passwordProfile": object{"password": "canary-of-the-next-day-18"}}).is(204)
	if signsIn("canary-of-the-first-day-17") || !signsIn("canary-of-the-next-day-18") {
		t.Error("the password was not changed")
	}
	w.ask(admin, "PATCH", "/users/"+id, object{"displayName": "Anna", "passwordProfile": object{"password": "canary"}}).fails(400, "Request_BadRequest", "too short")
	if got := w.ask(admin, "GET", "/users/"+id, nil).is(200); got["displayName"] != "Ann O'Brien" {
		t.Errorf("half of it was done: %v", got["displayName"])
	}
	bob := object{"accountEnabled": false, "displayName": "Bob", "userPrincipalName": "bob@telecom.example", "passwordProfile": object{"password": "canary-of-a-third-day", "forceChangePasswordNextSignIn": true}}
	w.ask(admin, "POST", "/users", bob).fails(400, "Request_BadRequest", "tandem user create")
	bob["passwordProfile"] = object{"password": "canary"}
	w.ask(admin, "POST", "/users", bob).fails(400, "Request_BadRequest", "too short")
	w.ask(admin, "GET", "/users/bob@telecom.example", nil).is(404) // half a user is none
	bob["passwordProfile"] = object{"password": "canary-of-a-third-day"}
	if got := w.ask(admin, "POST", "/users", bob).is(201); got["accountEnabled"] != false {
		t.Errorf("bob: %v", got)
	}
	if u["userPrincipalName"] != "ann@telecom.example" || u["passwordProfile"] != nil || strings.Contains(fmt.Sprint(u), "canary") {
		t.Errorf("%v", u)
	}
	for _, path := range []string{"/users/" + id, "/users/ann@telecom.example", "/users('ANN@telecom.example')"} {
		if got := w.ask(admin, "GET", path, nil).is(200); got["id"] != id {
			t.Errorf("%s: %v", path, got)
		}
	}
	if got := w.ask(admin, "GET", "/users?$filter=displayName eq 'ann o''brien'&$select=id,UserPrincipalName", nil).list(); len(got) != 1 || !maps.Equal(got[0], object{"id": id, "userPrincipalName": "ann@telecom.example"}) {
		t.Errorf("selected: %v", got)
	}
	w.ask(admin, "PATCH", "/users/"+id, object{"givenName": "Ann", "jobTitle": nil}).is(204)
	w.ask(admin, "PATCH", "/users/"+id, object{"jobTitle": "boss"}).fails(400, "Request_BadRequest", "not kept")
	w.ask(admin, "POST", "/users", object{"accountEnabled": true, "displayName": "x", "userPrincipalName": "x@elsewhere.example", "passwordProfile": object{"password": "canary-of-the-first-day-18"}}).
		fails(400, "Request_BadRequest", "domain portion")
	w.ask(admin, "POST", "/users", object{"accountEnabled": true, "displayName": "x", "userPrincipalName": "x@telecom.example"}).fails(400, "Request_BadRequest", "passwordProfile")

	g := w.ask(admin, "POST", "/groups", object{"displayName": "Voice", "mailEnabled": false, "mailNickname": "voice", "securityEnabled": true}).is(201)
	gid := g["id"].(string)
	ref := object{"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/" + id}
	w.ask(admin, "POST", "/groups/"+gid+"/members/$ref", ref).is(204)
	w.ask(admin, "POST", "/groups/"+gid+"/members/$ref", ref).fails(400, "Request_BadRequest", "added object references already exist")
	w.ask(admin, "POST", "/groups/"+gid+"/members/$ref", object{"@odata.id": ""}).fails(400, "Request_BadRequest", "@odata.id")
	members := w.ask(admin, "GET", "/groups/"+gid+"/members", nil).list()
	if len(members) != 1 || members[0]["@odata.type"] != "#microsoft.graph.user" || members[0]["userPrincipalName"] != "ann@telecom.example" {
		t.Errorf("members: %v", members)
	}
	if got := w.ask(admin, "GET", "/groups/"+gid+"/members/microsoft.graph.group", nil).list(); len(got) != 0 {
		t.Errorf("cast: %v", got)
	}
	if got := w.ask(admin, "GET", "/users/"+id+"/memberOf", nil).all("displayName"); got != "Voice" {
		t.Errorf("memberOf: %s", got)
	}
	for _, path := range []string{"/users/" + id, "/users/ann@telecom.example", "/directoryObjects/" + id} {
		if got := w.ask(admin, "POST", path+"/checkMemberGroups", object{"groupIds": []string{gid, tenant}}).is(200); fmt.Sprint(got["value"]) != "["+gid+"]" {
			t.Errorf("checkMemberGroups: %v", got)
		}
		if got := w.ask(admin, "POST", path+"/getMemberGroups", object{"securityEnabledOnly": false}).is(200); fmt.Sprint(got["value"]) != "["+gid+"]" {
			t.Errorf("getMemberGroups: %v", got)
		}
	}
	w.ask(admin, "POST", "/users/"+id+"/checkMemberGroups", object{"groupIds": slices.Repeat([]string{gid}, 21)}).fails(400, "Request_BadRequest", "more than 20 elements")
	w.ask(admin, "POST", "/groups", object{"displayName": "Mail", "mailEnabled": true, "mailNickname": "m", "securityEnabled": false}).fails(400, "Request_BadRequest", "security groups only")

	// The Admin user of Project Synergy, and a group for the portal of numbers.
	synergy := w.ask(admin, "POST", "/servicePrincipals", object{"appId": directory.SynergyID}).is(201)
	role := ""
	for _, r := range synergy["appRoles"].([]any) {
		if r := r.(object); r["value"] == "Admin" {
			role = r["id"].(string)
		}
	}
	for _, path := range []string{"/users/" + id, "/groups/" + gid} {
		who := path[strings.LastIndex(path, "/")+1:]
		body := object{"principalId": who, "resourceId": synergy["id"], "appRoleId": role}
		a := w.ask(admin, "POST", path+"/appRoleAssignments", body).is(201)
		one := path + "/appRoleAssignments/" + a["id"].(string)
		if got := w.ask(admin, "GET", one, nil).is(200); got["principalId"] != who {
			t.Errorf("%v", got)
		}
		w.ask(admin, "DELETE", one, nil).is(204)
		w.ask(admin, "DELETE", one, nil).is(404)
		w.ask(admin, "POST", path+"/appRoleAssignments", object{"principalId": synergy["id"], "resourceId": synergy["id"], "appRoleId": role}).fails(400, "Request_BadRequest", "not the object that the URL names")
	}
	w.ask(admin, "DELETE", "/groups/"+gid+"/members/"+id+"/$ref", nil).is(204)
	w.ask(admin, "POST", "/directoryRoles(roleTemplateId='"+directory.GlobalReader.ID()+"')/members/$ref", ref).is(204)
	if got := w.ask(admin, "GET", "/directoryRoles/"+directory.GlobalReader.ID()+"/members", nil).all("id"); got != id {
		t.Errorf("role: %s", got)
	}
	w.ask(admin, "DELETE", "/directoryRoles/"+directory.GlobalReader.ID()+"/members/"+id+"/$ref", nil).is(204)
	w.ask(admin, "POST", "/directoryRoles", object{"roleTemplateId": directory.GlobalReader.ID()}).fails(400, "Request_BadRequest", "conflicting object")
	if got := w.ask(admin, "POST", "/directoryObjects/getByIds", object{"ids": []string{id, gid, tenant}, "types": []string{"user"}}).all("id"); got != id {
		t.Errorf("getByIds: %s", got)
	}
	w.ask(admin, "DELETE", "/users/"+id, nil).is(204)
	w.ask(admin, "DELETE", "/groups/"+gid, nil).is(204)
	if me := w.ask(admin, "GET", "/me", nil).is(200); me["userPrincipalName"] != "root@telecom.example" {
		t.Errorf("me: %v", me)
	}
	_, program := w.program("x", "User.Read.All")
	w.ask(program, "GET", "/me", nil).fails(400, "BadRequest", "delegated authentication flow")
	if strings.Contains(w.logged.String(), "canary") {
		t.Error("the log shows a password")
	}
}

// TestADomainIsProvenByItsTXTRecord (Azure Communications Gateway docs, "Connect
// …", Register your deployment's domain name in Microsoft Entra).
func TestADomainIsProvenByItsTXTRecord(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	const name = "contoso.commsgw.example.net"
	d := w.ask(admin, "POST", "/domains", object{"id": name}).is(201)
	if d["id"] != name || d["isVerified"] != false || d["isRoot"] != true || d["authenticationType"] != "Managed" {
		t.Errorf("%v", d)
	}
	w.ask(admin, "POST", "/domains", object{"id": name}).fails(409, "Request_MultipleObjectsWithSameKeyValue", "already exists")
	records := w.ask(admin, "GET", "/domains/"+name+"/verificationDnsRecords", nil).list()
	if len(records) != 2 || records[0]["recordType"] != "Txt" && records[1]["recordType"] != "Txt" {
		t.Fatalf("records: %v", records)
	}
	text := ""
	for _, r := range records {
		switch r["@odata.type"] {
		case "#microsoft.graph.domainDnsTxtRecord":
			text = r["text"].(string)
		case "#microsoft.graph.domainDnsMxRecord":
			if r["mailExchange"] == nil || r["preference"] == nil {
				t.Errorf("%v", r)
			}
		default:
			t.Errorf("%v", r)
		}
		if r["label"] != name || r["ttl"] != 3600.0 {
			t.Errorf("%v", r)
		}
	}
	if !strings.HasPrefix(text, "MS=ms") {
		t.Fatalf("the TXT record says %q", text)
	}
	w.ask(admin, "POST", "/domains/"+name+"/verify", nil).fails(400, "Request_BadRequest", "Domain verification failed")
	w.dns.set(name, "MS=ms00000000")
	w.ask(admin, "POST", "/domains/"+name+"/verify", nil).fails(400, "Request_BadRequest", "There are 1 others")
	w.dns.set(name, text)
	if got := w.ask(admin, "POST", "/domains/"+name+"/verify", nil).is(200); got["isVerified"] != true {
		t.Errorf("%v", got)
	}
	below := w.ask(admin, "POST", "/domains", object{"id": "eastus." + name}).is(201)
	if below["isVerified"] != true || below["isRoot"] != false {
		t.Errorf("below a verified one: %v", below)
	}
	if got := w.ask(admin, "GET", "/domains/"+name+"/serviceConfigurationRecords", nil).list(); len(got) != 0 {
		t.Errorf("%v", got)
	}
	w.ask(admin, "PATCH", "/domains/"+name, object{"isDefault": true}).is(204)
	w.ask(admin, "PATCH", "/domains/"+name, object{"isDefault": false}).fails(400, "Request_BadRequest", "only isDefault changes")
	w.ask(admin, "DELETE", "/domains/"+name, nil).fails(400, "Request_BadRequest", "cannot be removed")
	o := w.ask(admin, "GET", "/organization", nil).list()[0]
	if o["id"] != tenant || o["displayName"] != "Telecom" || len(o["verifiedDomains"].([]any)) != 3 {
		t.Errorf("%v", o)
	}
}

func TestWhatHangsOnAnObjectComesWithIt(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	p, err := w.directory.AddPrincipal(t.Context(), w.ours, directory.SynergyID, "Operator Connect")
	w.must(err)
	gateway, _ := w.program("contoso-gateway")
	w.script(admin, p, gateway)
	o := w.ask(admin, "GET", "/servicePrincipals/"+p.ID+"?$expand=appRoleAssignedTo,appRoleAssignments&$select=id", nil).is(200)
	if len(o["appRoleAssignedTo"].([]any)) != 7 || len(o["appRoleAssignments"].([]any)) != 0 || o["appRoles"] != nil {
		t.Errorf("%v", o)
	}
	for _, o := range w.ask(admin, "GET", "/servicePrincipals?$expand=appRoleAssignments", nil).list() {
		if list, is := o["appRoleAssignments"].([]any); !is || o["id"] == gateway.ID && len(list) != 7 {
			t.Errorf("%v has %d", o["displayName"], len(list))
		}
	}
	w.ask(admin, "GET", "/servicePrincipals?$expand=owners", nil).fails(400, "Request_UnsupportedQuery", "'owners' cannot be expanded")
	w.ask(admin, "GET", "/applications?$expand=members", nil).fails(400, "Request_UnsupportedQuery", "cannot be expanded")
	for i := range 30 {
		_, err := w.directory.CreateGroup(t.Context(), w.ours, directory.Group{DisplayName: fmt.Sprintf("g%d", i)})
		w.must(err)
	}
	if page := w.ask(admin, "GET", "/groups?$expand=members&$top=500", nil).is(200); len(page["value"].([]any)) != 20 || page["@odata.nextLink"] == nil {
		t.Errorf("a page has %d", len(page["value"].([]any)))
	}
}

func TestGrants(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	client, g := w.principal(directory.GraphToolsID), w.principal(directory.GraphID)
	made := w.ask(admin, "POST", "/oauth2PermissionGrants", object{"clientId": client.ID, "consentType": "AllPrincipals", "resourceId": g.ID, "scope": "Application.Read.All User.Read"}).is(201)
	path := "/oauth2PermissionGrants/" + made["id"].(string)
	w.ask(admin, "POST", "/oauth2PermissionGrants", object{"clientId": client.ID, "consentType": "AllPrincipals", "resourceId": g.ID, "scope": "x"}).is(400)
	w.ask(admin, "POST", "/oauth2PermissionGrants", object{"clientId": client.ID, "consentType": "AllPrincipals", "resourceId": g.ID, "scope": "User.Read"}).fails(409, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists")
	w.ask(admin, "PATCH", path, object{"scope": "User.Read"}).is(204)
	w.ask(admin, "PATCH", path, object{"resourceId": g.ID, "scope": "User.Read"}).fails(400, "Request_BadRequest", "read-only")
	if got := w.ask(admin, "GET", path, nil).is(200); got["scope"] != "User.Read" {
		t.Errorf("%v", got)
	}
	for _, list := range []string{"/oauth2PermissionGrants?$filter=clientId eq '" + client.ID + "' and consentType eq 'AllPrincipals'", "/servicePrincipals/" + client.ID + "/oauth2PermissionGrants?$filter=consentType eq 'AllPrincipals'"} {
		if got := w.ask(admin, "GET", list, nil).all("id"); got != made["id"] {
			t.Errorf("%s: %s", list, got)
		}
	}
	w.ask(admin, "DELETE", path, nil).is(204)
	w.ask(admin, "GET", path, nil).is(404)
}

func TestFederatedCredentials(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	app := w.ask(admin, "POST", "/applications", object{"displayName": "gateway"}).is(201)
	at := "/applications/" + app["id"].(string) + "/federatedIdentityCredentials"
	f := w.ask(admin, "POST", at, object{"name": "tandem", "issuer": "https://tandem.telecom.example/x", "subject": "gateway", "audiences": []string{"api://AzureADTokenExchange"}}).is(201)
	if f["subject"] != "gateway" || f["description"] != nil {
		t.Errorf("%v", f)
	}
	if got := w.ask(admin, "GET", at+"?$filter=subject eq 'gateway'", nil).all("name"); got != "tandem" {
		t.Errorf("%s", got)
	}
	for _, one := range []string{at + "/" + f["id"].(string), at + "/tandem", at + "(name='tandem')"} {
		if got := w.ask(admin, "GET", one, nil).is(200); got["id"] != f["id"] {
			t.Errorf("%s: %v", one, got)
		}
	}
	w.ask(admin, "POST", at, object{"name": "other", "issuer": "http://x", "subject": "gateway"}).fails(400, "Request_BadRequest", "https")
	w.ask(admin, "DELETE", at+"/tandem", nil).is(204)
	w.ask(admin, "GET", at+"/tandem", nil).is(404)
}

// TestPages (Microsoft Graph docs, "Paging Microsoft Graph data in your app"):
// each object comes once, in the order that was asked for, whatever the size of
// the page.
func TestPages(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	for i := range 25 {
		_, err := w.directory.CreateGroup(t.Context(), w.ours, directory.Group{DisplayName: fmt.Sprintf("g%02d", i*7%25), Description: fmt.Sprint(i % 2)})
		w.must(err)
	}
	for query, want := range map[string]int{"": 25, "&$orderby=displayName": 25, "&$orderby=displayName desc": 25, "&$filter=description eq '1'": 12, "&$orderby=createdDateTime&$select=displayName": 25} {
		for _, top := range []int{1, 7, 25, 999} {
			var names []string
			path := fmt.Sprintf("/groups?$top=%d&$count=true%s", top, query)
			for pages := 0; path != ""; pages++ {
				o := w.ask(admin, "GET", path, nil).is(200)
				if o["@odata.count"] != float64(want) || pages > 30 {
					t.Fatalf("%s: count %v, page %d", path, o["@odata.count"], pages)
				}
				for _, v := range o["value"].([]any) {
					names = append(names, v.(object)["displayName"].(string))
				}
				next, _ := o["@odata.nextLink"].(string)
				path = strings.TrimPrefix(next, api+"/v1.0")
			}
			if len(names) != want || len(slices.Compact(slices.Sorted(slices.Values(names)))) != want {
				t.Errorf("%s by %d: %v", query, top, names)
			}
			if strings.Contains(query, "displayName desc") && names[0] != "g24" || strings.HasSuffix(query, "displayName") && !strings.Contains(query, "select") && names[0] != "g00" {
				t.Errorf("%s by %d begins with %s", query, top, names[0])
			}
		}
	}
	if got := w.ask(admin, "GET", "/groups/$count?$filter=description eq '1'", nil); got.Body.String() != "12" || !strings.HasPrefix(got.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("$count: %s", got.Body)
	}
	for query, message := range map[string]string{
		"$top=0": "Invalid page size", "$top=1000": "Invalid page size", "$top=x": "Invalid page size", "$skiptoken=x": "page token", "$skip=3": "'$skip' is not supported",
		"$orderby=colour": "Could not find a property named 'colour'", "$orderby=groupTypes": "Sorting is supported", "$orderby=displayName up": "Sorting is supported",
		"$select=colour": "Could not find a property named 'colour'", "$count=x": "Invalid value 'x' for $count", "$search=x": "Invalid $search", `$search="colour:x"`: "can be searched",
		"$top=1&$top=2": "more than once", "$top=1&top=2": "more than once", "$apply=x": "'$apply' is not supported", "$filter=%zz": "cannot be read", "$filter=colour eq 'x'": "Could not find a property named 'colour'",
		`$search="displayName:x" AND`: "Invalid $search", `$search="` + "displayName:" + strings.Repeat("x", 600) + `"`: "more than 500",
	} {
		if res := w.ask(admin, "GET", "/groups?"+query, nil); res.Code != 400 || !strings.Contains(res.Body.String(), message) {
			t.Errorf("%s: %d %s, want %s", query, res.Code, res.Body, message)
		}
	}
	// "$" may be left out, and be encoded; what is none of OData's is for others.
	if got := w.ask(admin, "GET", "/groups?top=1&%24select=id&api-version=1.6", nil).list(); len(got) != 1 || len(got[0]) != 1 {
		t.Errorf("%v", got)
	}
	// A property of Graph's that we have not is nothing, when it is asked for.
	if got := w.ask(admin, "GET", "/groups?$top=1&$select=id,visibility", nil).list(); len(got[0]) != 1 {
		t.Errorf("%v", got)
	}
}

func TestPathsThatLeadNowhere(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	for path, message := range map[string]string{
		"/planets": "Resource not found for the segment 'planets'.", "/users/x/planets": "segment 'planets'", "/": "", "/users/a%2Fb": "cannot be read", "/users('x": "cannot be read",
		"/servicePrincipals/x/appRoleAssignments/y/z": "segment 'z'", "/users/$ref": "segment",
	} {
		if res := w.ask(admin, "GET", path, nil); res.Code != 400 || !strings.Contains(res.Body.String(), message) {
			t.Errorf("%s: %d %s", path, res.Code, res.Body)
		}
	}
	res := w.ask(admin, "PUT", "/users", object{})
	res.fails(405, "Request_BadRequest", "not allowed")
	if res.Header().Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %s", res.Header().Get("Allow"))
	}
	w.ask(admin, "GET", "/users/nobody@telecom.example", nil).fails(404, "Request_ResourceNotFound", "Resource 'nobody@telecom.example' does not exist")
	w.ask(admin, "GET", "/directoryRoles/"+tenant, nil).fails(404, "Request_ResourceNotFound", tenant)
	w.ask(admin, "GET", "/organization/"+tenant[:35]+"9", nil).is(404)
	r := httptest.NewRequest("GET", api+"/beta/organization", nil)
	r.Header.Set("Authorization", "Bearer "+admin)
	r.Header.Set("client-request-id", "mine-17")
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	if rec.Code != 200 || rec.Header().Get("client-request-id") != "mine-17" || rec.Header().Get("request-id") == "" || !strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json;odata.metadata=minimal") {
		t.Errorf("beta: %d %v", rec.Code, rec.Header())
	}
}

func TestWhoAsksTooOftenWaits(t *testing.T) {
	w := newWorld(t, func(c *graph.Config) { c.Rate = graph.Rate{Burst: 3, PerSecond: 0.1} })
	admin := w.admin()
	for range 3 {
		w.ask(admin, "GET", "/me", nil).is(200)
	}
	res := w.ask(admin, "GET", "/me", nil)
	res.fails(429, "TooManyRequests", "Retry-After")
	if res.Header().Get("Retry-After") != "10" {
		t.Errorf("Retry-After: %s", res.Header().Get("Retry-After"))
	}
	_, other := w.program("x", "User.Read.All")
	w.ask(other, "GET", "/users", nil).is(200) // the bucket is each one's own
}

// TestTenantsDoNotSeeEachOther: with a token of one, nothing of another is
// there, by whatever ID it is asked for.
func TestTenantsDoNotSeeEachOther(t *testing.T) {
	w := newWorld(t)
	const lab = "7f8d5c6e-0000-4000-8000-000000000002"
	theirs := directory.Ourselves(lab, "test")
	u, err := w.directory.CreateUser(t.Context(), theirs, directory.User{Name: "eve@lab.example", DisplayName: "Eve", Enabled: true})
	w.must(err)
	w.must(w.directory.AssignDirectoryRole(t.Context(), theirs, directory.GlobalAdministrator, u.ID))
	app, err := w.directory.CreateApplication(t.Context(), theirs, directory.Application{DisplayName: "theirs"})
	w.must(err)
	p, err := w.directory.AddPrincipal(t.Context(), theirs, app.AppID, "")
	w.must(err)
	g, err := w.directory.CreateGroup(t.Context(), theirs, directory.Group{DisplayName: "theirs"})
	w.must(err)
	_, err = w.directory.AddDomain(t.Context(), theirs, "voice.lab.example.net")
	w.must(err)
	admin := w.admin()
	mine, _ := w.program("mine")
	synergy := w.principal(directory.SynergyID)
	for _, path := range []string{
		"/users/" + u.ID, "/users/eve@lab.example", "/applications/" + app.ID, "/applications(appId='" + app.AppID + "')", "/servicePrincipals/" + p.ID, "/servicePrincipals(appId='" + app.AppID + "')",
		"/groups/" + g.ID, "/groups/" + g.ID + "/members", "/domains/voice.lab.example.net", "/directoryObjects/" + p.ID, "/servicePrincipals/" + p.ID + "/appRoleAssignments", "/users/" + u.ID + "/memberOf",
		"/organization/" + lab,
	} {
		w.ask(admin, "GET", path, nil).fails(404, "Request_ResourceNotFound", "does not exist")
	}
	for _, x := range []struct {
		method, path string
		body         any
	}{
		{"PATCH", "/users/" + u.ID, object{"surname": "x"}},
		{"DELETE", "/users/" + u.ID, nil},
		{"PATCH", "/applications/" + app.ID, object{"tags": []string{"x"}}},
		{"DELETE", "/applications/" + app.ID, nil},
		{"POST", "/applications/" + app.ID + "/addPassword", object{}},
		{"DELETE", "/servicePrincipals/" + p.ID, nil},
		{"DELETE", "/groups/" + g.ID, nil},
		{"POST", "/domains/voice.lab.example.net/verify", nil},
		{"POST", "/groups/" + g.ID + "/members/$ref", object{"@odata.id": "x/" + mine.ID}},
		{"POST", "/servicePrincipals/" + synergy.ID + "/appRoleAssignedTo", object{"principalId": p.ID, "resourceId": synergy.ID, "appRoleId": sevenRoles[0]}},
		{"POST", "/servicePrincipals/" + mine.ID + "/appRoleAssignments", object{"principalId": mine.ID, "resourceId": p.ID, "appRoleId": sevenRoles[0]}},
		{"POST", "/directoryRoles/" + directory.GlobalAdministrator.ID() + "/members/$ref", object{"@odata.id": "x/" + u.ID}},
		{"POST", "/oauth2PermissionGrants", object{"clientId": p.ID, "consentType": "AllPrincipals", "resourceId": synergy.ID, "scope": "user_impersonation"}},
	} {
		w.ask(admin, x.method, x.path, x.body).fails(404, "Request_ResourceNotFound", "does not exist")
	}
	for _, list := range []string{"/users", "/groups", "/applications", "/servicePrincipals", "/domains", "/oauth2PermissionGrants"} {
		if got := w.ask(admin, "GET", list+"?$top=999", nil).all("id"); strings.Contains(got, u.ID) || strings.Contains(got, app.ID) || strings.Contains(got, p.ID) || strings.Contains(got, g.ID) || strings.Contains(got, "lab.example") {
			t.Errorf("%s: %s", list, got)
		}
	}
}

// TestEnterpriseApplicationsByTypeAndName is the list that people see in the
// portal under "Enterprise applications": filtered by type and searched. Two of
// one name are both there.
func TestEnterpriseApplicationsByTypeAndName(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	const resource = "/subscriptions/7f8d5c6e-0000-4000-8000-000000000002/resourceGroups/voice/providers/Microsoft.VoiceServices/communicationsGateways/contoso"
	var identity directory.ServicePrincipal
	w.must(w.store.Write(t.Context(), func(tx *store.Tx) (err error) {
		identity, err = w.directory.MakeManagedIdentity(t.Context(), tx, directory.Identity{Resource: resource, Name: "contoso"})
		return err
	}))
	twin, _ := w.program("contoso")
	w.principal(directory.SynergyID)
	const microsoft = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
	for query, want := range map[string]string{
		"$filter=servicePrincipalType eq 'ManagedIdentity'":                                                   "contoso",
		"$filter=servicePrincipalType eq 'ManagedIdentity' and displayName eq 'other'":                        "",
		"$filter=displayName eq 'contoso'":                                                                    "contoso contoso",
		"$filter=alternativeNames/any(n:n eq '" + resource + "')":                                             "contoso",
		"$filter=appOwnerOrganizationId eq " + tenant + " and startswith(displayName,'con')":                  "contoso contoso",
		"$filter=appOwnerOrganizationId eq " + microsoft + "&$search=\"displayName:synergy\"":                 "Project Synergy",
		"$filter=appOwnerOrganizationId ne " + microsoft + "&$search=\"displayName:synergy\"":                 "",
		"$filter=servicePrincipalNames/any(n:n eq '" + directory.SynergyID + "')":                             "Project Synergy",
		"$filter=accountEnabled eq true and appRoles/any(r:r/value eq 'NumberManagement.Write')":              "Project Synergy",
		"$search=\"displayName:contoso\" OR \"displayName:synergy\"&$orderby=displayName&$select=displayName": "contoso contoso Project Synergy",
	} {
		if got := w.ask(admin, "GET", "/servicePrincipals?"+query, nil).all("displayName"); got != want {
			t.Errorf("%s: %q", query, got)
		}
	}
	o := w.ask(admin, "GET", "/servicePrincipals/"+identity.ID, nil).is(200)
	if o["servicePrincipalType"] != "ManagedIdentity" || fmt.Sprint(o["alternativeNames"]) != "[isExplicit=False "+resource+"]" || o["appId"] == twin.AppID {
		t.Errorf("%v", o)
	}
	w.ask(admin, "DELETE", "/servicePrincipals/"+identity.ID, nil).fails(409, "Request_MultipleObjectsWithSameKeyValue", "goes when the resource is deleted")
	for _, at := range []string{"/servicePrincipals/" + identity.ID, "/applications(appId='" + twin.AppID + "')"} {
		if got := w.ask(admin, "GET", at+"/owners", nil).list(); got != nil {
			t.Errorf("%s is owned by %v", at, got)
		}
	}
}
