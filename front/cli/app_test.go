package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tandemgw/tandem/base/obs"
	"github.com/tandemgw/tandem/control/entra"
	"github.com/tandemgw/tandem/front/ops"
)

// graph plays the Graph of a tenant, and keeps what is changed.
type graph struct {
	changes []string
	closed  bool // for groups
}

const (
	synergyPrincipal = "00000000-0000-4000-8000-0000000000a1"
	callPrincipal    = "00000000-0000-4000-8000-0000000000a2"
	twinPrincipal    = "00000000-0000-4000-8000-0000000000a3"
	voiceGroup       = "00000000-0000-4000-8000-0000000000b1"
	twinGroup        = "00000000-0000-4000-8000-0000000000b2"
	otherTwinGroup   = "00000000-0000-4000-8000-0000000000b3"
)

func (g *graph) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1.0")
	if r.Method != http.MethodGet {
		body, _ := io.ReadAll(r.Body)
		g.changes = append(g.changes, r.Method+" "+path+" "+string(body))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	synergy := map[string]any{"id": synergyPrincipal, "appId": "eb63d611-525e-4a31-abd7-0cb33f679599", "displayName": "Project Synergy", "appRoles": []any{
		map[string]any{"id": "00000000-0000-4000-8000-0000000000c1", "value": "Admin", "allowedMemberTypes": []string{"User"}},
		map[string]any{"id": "00000000-0000-4000-8000-0000000000c2", "value": "Data.Write", "allowedMemberTypes": []string{"Application"}},
	}}
	list := func(all ...any) { _ = json.NewEncoder(w).Encode(map[string]any{"value": append([]any{}, all...)}) }
	group := func(id, name string) any { return map[string]string{"id": id, "displayName": name} }
	filter := strings.ToLower(r.URL.Query().Get("$filter"))
	switch {
	case path == "/applications":
		list(map[string]any{"id": "00000000-0000-4000-8000-0000000000f1", "appId": "00000000-0000-4000-8000-0000000000d1", "displayName": "Call Duration"})
	case strings.HasPrefix(path, "/servicePrincipals(appId"):
		_ = json.NewEncoder(w).Encode(synergy)
	case path == "/servicePrincipals":
		list(synergy, map[string]any{"id": callPrincipal, "appId": "00000000-0000-4000-8000-0000000000d1", "displayName": "Call Duration"},
			map[string]any{"id": twinPrincipal, "appId": "00000000-0000-4000-8000-0000000000d2", "displayName": "Engineers"})
	case strings.HasSuffix(path, callPrincipal+"/appRoleAssignments"):
		list(map[string]string{"id": "one", "principalId": callPrincipal, "resourceId": synergyPrincipal, "appRoleId": "00000000-0000-4000-8000-0000000000c2"})
	case path == "/oauth2PermissionGrants":
		list(map[string]string{"id": "two", "clientId": callPrincipal, "consentType": "AllPrincipals", "resourceId": synergyPrincipal, "scope": "user_impersonation openid"})
	case strings.HasPrefix(path, "/groups") && g.closed:
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges"}}`)
	case path == "/groups" && strings.Contains(filter, "'voice team'"):
		list(group(voiceGroup, "Voice team"))
	case path == "/groups" && strings.Contains(filter, "'twins'"):
		list(group(twinGroup, "Twins"), group(otherTwinGroup, "twins"))
	case path == "/groups" && strings.Contains(filter, "'engineers'"):
		list(group(twinGroup, "Engineers"))
	case path == "/groups":
		list()
	case path == "/groups/"+voiceGroup:
		_ = json.NewEncoder(w).Encode(group(voiceGroup, "Voice team"))
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"code":"Request_ResourceNotFound","message":"none"}}`)
	}
}

func TestRolesAreGivenToGroupsAndPermissionsTakenAway(t *testing.T) {
	tenant := &graph{}
	d, err := entra.New(entra.Config{
		URL: "https://graph.telecom.example", Login: "https://login.telecom.example", Tenant: "00000000-0000-4000-8000-00000000000a",
		HTTP: entra.InProcess(tenant), Token: func(context.Context) (obs.Secret, error) { return "t", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	listen(t, ops.Config{Tenant: func() (ops.Tenant, error) { return ops.Tenant{Directory: d}, nil }})
	for _, tt := range []struct {
		line    []string
		status  int
		says    []string
		changes string
	}{
		{[]string{"list", "--type", "Enterprise", "duration"}, 0, []string{"Call Duration", "enterprise"}, ""},
		{[]string{"list", "--type", "registration", "duration"}, 0, []string{"Call Duration", "registration"}, ""},
		{[]string{"list", "--type", "enterprises"}, 2, []string{`"registration", "enterprise", "managed identity"`}, ""},
		{[]string{"assign", "Project Synergy", "Admin", "VOICE team"}, 0, nil, "appRoleAssignedTo {\"principalId\":\"" + voiceGroup},
		{[]string{"assign", "Project Synergy", "Admin", voiceGroup}, 0, nil, "{\"principalId\":\"" + voiceGroup},
		{[]string{"assign", "Project Synergy", "Admin", "Twins"}, 1, []string{"2 are called Twins", twinGroup, otherTwinGroup}, ""},
		{[]string{"assign", "Project Synergy", "Admin", "Engineers"}, 1, []string{twinGroup + " (group)", twinPrincipal + " (enterprise)"}, ""},
		{[]string{"assign", "Project Synergy", "Admin", "Nobody"}, 3, []string{"neither a user nor a group nor an application Nobody"}, ""},
		{[]string{"revoke", "Call Duration", "Project Synergy/data.write"}, 0, []string{"has Project Synergy/data.write no longer"}, "DELETE /servicePrincipals/" + synergyPrincipal + "/appRoleAssignedTo/one"},
		{[]string{"revoke", "Call Duration", "Project Synergy/openid"}, 0, nil, `PATCH /oauth2PermissionGrants/two {"scope":"user_impersonation"}`},
		{[]string{"revoke", "Call Duration", "Project Synergy/Admin"}, 3, []string{"does not have Project Synergy/Admin"}, ""},
		{[]string{"revoke", "Call Duration", "Data.Write"}, 2, []string{"<application>/<permission>"}, ""},
	} {
		tenant.changes = nil
		stdout, stderr, status := run(t, append([]string{"app"}, tt.line...)...)
		if status != tt.status {
			t.Errorf("%v: status %d, want %d: %s%s", tt.line, status, tt.status, stdout, stderr)
		}
		for _, word := range tt.says {
			if !strings.Contains(stdout+stderr, word) {
				t.Errorf("%v does not say %q: %s%s", tt.line, word, stdout, stderr)
			}
		}
		if done := slices.ContainsFunc(tenant.changes, func(s string) bool { return strings.Contains(s, tt.changes) }); done != (tt.changes != "") {
			t.Errorf("%v changes %q", tt.line, tenant.changes)
		}
	}
}

// TestADirectoryThatShowsNoGroupsServesTheOthers: one that is elsewhere answers
// 403 for groups where the application has no permission for them (Microsoft
// Graph docs, "List groups").
func TestADirectoryThatShowsNoGroupsServesTheOthers(t *testing.T) {
	tenant := &graph{closed: true}
	d, err := entra.New(entra.Config{
		URL: "https://graph.telecom.example", Login: "https://login.telecom.example", Tenant: "00000000-0000-4000-8000-00000000000a",
		HTTP: entra.InProcess(tenant), Token: func(context.Context) (obs.Secret, error) { return "t", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	listen(t, ops.Config{Tenant: func() (ops.Tenant, error) { return ops.Tenant{Directory: d}, nil }})
	for _, who := range []string{"Engineers", twinPrincipal} {
		tenant.changes = nil
		stdout, stderr, status := run(t, "app", "assign", "Project Synergy", "Admin", who)
		if status != 0 || len(tenant.changes) != 1 || !strings.Contains(tenant.changes[0], twinPrincipal) {
			t.Errorf("%s: status %d, %q: %s%s", who, status, tenant.changes, stdout, stderr)
		}
	}
}
