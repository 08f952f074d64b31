package onboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/directory"
	"github.com/tandemgw/tandem/control/onboard"
)

// script is the PowerShell of "Set up application roles for Azure
// Communications Gateway", as the requests that its cmdlets send: only the
// first of the roles are assigned, as if it had been stopped.
func (w *world) script(user string, roles []string) (posted int) {
	w.Helper()
	token := w.signIn(user, "Application.Read.All", "AppRoleAssignment.ReadWrite.All")
	ask := func(method, path string, query url.Values, body any) map[string]any {
		w.Helper()
		text, err := json.Marshal(body)
		w.must(err)
		r, err := http.NewRequestWithContext(w.Context(), method, graphURL+"/v1.0/"+path+"?"+query.Encode(), strings.NewReader(string(text)))
		w.must(err)
		r.Header.Set("Authorization", "Bearer "+string(token))
		r.Header.Set("Content-Type", "application/json")
		res, err := w.cfg.Parts.Directory.HTTP.RoundTrip(r)
		w.must(err)
		defer res.Body.Close()
		var got map[string]any
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode/100 != 2 {
			w.Fatalf("%s %s: %d, %v, %v", method, path, res.StatusCode, got, err)
		}
		return got
	}
	first := func(list map[string]any) map[string]any {
		w.Helper()
		if all := list["value"].([]any); len(all) == 1 {
			return all[0].(map[string]any)
		}
		w.Fatalf("%v", list)
		return nil
	}
	// $projectSynergyEnterpriseApplication = Get-MgServicePrincipal -Filter "AppId eq '$projectSynergyApplicationId'"
	synergy := first(ask("GET", "servicePrincipals", url.Values{"$filter": {"AppId eq 'eb63d611-525e-4a31-abd7-0cb33f679599'"}}, nil))
	// $acgServicePrincipal = Get-MgServicePrincipal -Filter ("displayName eq '$acgName'")
	mine := first(ask("GET", "servicePrincipals", url.Values{"$filter": {"displayName eq 'one'"}}, nil))
	at := "servicePrincipals/" + mine["id"].(string) + "/appRoleAssignments"
	current := fmt.Sprint(ask("GET", at, nil, nil))
	for _, role := range roles {
		if strings.Contains(current, "appRoleId:"+role) {
			continue
		}
		ask("POST", at, nil, map[string]any{"principalId": mine["id"], "resourceId": synergy["id"], "appRoleId": role})
		posted++
	}
	return posted
}

// signIn is Connect-MgGraph -Scopes …, with the consent that it prompts for.
func (w *world) signIn(user string, scopes ...string) obs.Secret {
	w.Helper()
	u, err := w.tenant.UserNamed(w.Context(), user)
	w.must(err)
	p, err := w.directory.PrincipalOf(w.Context(), w.ourselves(), directory.GraphToolsID)
	if err != nil {
		p, err = w.directory.AddPrincipal(w.Context(), w.ourselves(), directory.GraphToolsID, "")
	}
	w.must(err)
	g, err := w.directory.PrincipalOf(w.Context(), w.ourselves(), directory.GraphID)
	w.must(err)
	_, err = w.directory.Allow(w.Context(), w.ourselves(), directory.Grant{Client: p.ID, ConsentType: directory.OnePrincipal, Principal: u.ID, Resource: g.ID, Scopes: scopes})
	w.must(err)
	t, err := w.directory.IssueUser(w.Context(), directory.Delegation{
		Tenant: tenant, User: u.ID, Client: directory.GraphToolsID, Issuer: issuers(w.loginURL)[0], Audience: graphURL, Scopes: scopes, Methods: []string{"pwd", "mfa"},
	})
	w.must(err)
	return t.Raw
}

// TestTheDocumentsOwnScriptAndTheStepDoTheSame: what the one has done the other
// leaves, and finishes what it left.
func TestTheDocumentsOwnScriptAndTheStepDoTheSame(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	u, err := w.tenant.UserNamed(t.Context(), admin)
	w.must(err)
	w.must(w.directory.AssignDirectoryRole(t.Context(), w.ourselves(), directory.GlobalAdministrator, u.ID))
	_, err = w.tenant.AddPrincipal(t.Context(), directory.SynergyID, "Operator Connect")
	w.must(err)
	order := []string{"trunkManagementRead", "trunkManagementWrite", "partnerSettingsRead", "numberManagementRead", "numberManagementWrite", "dataRead", "dataWrite"}
	var roles []string
	for _, name := range order {
		roles = append(roles, seven[name])
	}
	if n := w.script(admin, roles[:3]); n != 3 {
		t.Errorf("it assigned %d of the first 3", n)
	}
	w.is(w.plan(now), "B19", onboard.Ready, "3 of 7", "missing: NumberManagement.Read, NumberManagement.Write, Data.Read, Data.Write")
	w.asked.take()
	w.is(w.apply(now), "B19", onboard.Done)
	posts := 0
	for _, s := range w.asked.take() {
		if strings.HasSuffix(s, "/appRoleAssignedTo") {
			posts++
		}
	}
	if posts != 4 {
		t.Errorf("the step assigned %d of the last 4", posts)
	}
	if n := w.script(admin, roles); n != 0 {
		t.Errorf("run again, the script assigned %d", n)
	}
	w.asked.take()
	w.apply(now)
	if changes := w.asked.take(); slices.ContainsFunc(changes, func(s string) bool { return strings.Contains(s, "appRole") }) {
		t.Errorf("run again, the step did %v", changes)
	}
}

// TestWithoutTheDirectoryRoleTheScriptIsRefused as the document says who must
// run it: "Sign in … as a Microsoft Entra Global Administrator".
func TestWithoutTheDirectoryRoleTheScriptIsRefused(t *testing.T) {
	w := newWorld(t)
	w.deploy()
	_, err := w.tenant.AddPrincipal(t.Context(), directory.SynergyID, "Operator Connect")
	w.must(err)
	token := w.signIn(admin, "Application.Read.All", "AppRoleAssignment.ReadWrite.All")
	s, err := w.tenant.PrincipalOf(t.Context(), directory.SynergyID)
	w.must(err)
	body, _ := json.Marshal(map[string]any{"principalId": w.identity().ID, "resourceId": s.ID, "appRoleId": seven["dataRead"]})
	r, _ := http.NewRequestWithContext(context.Background(), "POST", graphURL+"/v1.0/servicePrincipals/"+w.identity().ID+"/appRoleAssignments", strings.NewReader(string(body)))
	r.Header.Set("Authorization", "Bearer "+string(token))
	r.Header.Set("Content-Type", "application/json")
	res, err := w.cfg.Parts.Directory.HTTP.RoundTrip(r)
	w.must(err)
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("it is answered %d", res.StatusCode)
	}
	w.is(w.plan(now), "B19", onboard.Ready, "0 of 7")
}
