package azure

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inCloud is azure-cli in a cloud of its own, where a node is all there is.
func inCloud(t *testing.T) *azureCLI {
	t.Helper()
	az := &azureCLI{TB: t, path: peer(t, "az"), home: t.TempDir()}
	url := serve(t)
	cloud := filepath.Join(az.home, "cloud.json")
	config, err := json.Marshal(map[string]any{
		"endpoints": map[string]string{
			"resourceManager": url + "/", "management": url + "/", "activeDirectory": url + "/adfs", "activeDirectoryResourceId": url + "/",
			"activeDirectoryGraphResourceId": url + "/", "microsoftGraphResourceId": url + "/", "gallery": url + "/", "sqlManagement": url + "/",
		},
		"suffixes": map[string]string{"keyvaultDns": ".vault.localhost"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cloud, config, 0o600); err != nil {
		t.Fatal(err)
	}
	az.run("cloud", "register", "-n", "Tandem", "--cloud-config", "@"+cloud)
	az.run("cloud", "set", "-n", "Tandem")
	return az
}

// TestAzureCLIDirectory is the directory with Debian's azure-cli: a
// registration with its permissions and its secret, the service principal of
// Operator Connect, roles, people and groups.
func TestAzureCLIDirectory(t *testing.T) {
	if testing.Short() {
		t.Skip("azure-cli takes a minute")
	}
	az := inCloud(t)
	az.run("login", "--service-principal", "-u", clientID, "-p", clientSecret, "--tenant", tenantID)
	tsv := func(query string, args ...string) string {
		t.Helper()
		return az.run(append(args, "-o", "tsv", "--query", query)...)
	}

	const synergy = "eb63d611-525e-4a31-abd7-0cb33f679599"
	if out := tsv("appDisplayName", "ad", "sp", "create", "--id", synergy); out != "Project Synergy" {
		t.Errorf("sp create: %q", out)
	}
	if out := tsv("[].appDisplayName", "ad", "sp", "list", "--display-name", "Project", "--all"); out != "Project Synergy" {
		t.Errorf("sp list: %q", out)
	}
	if out := tsv("length(appRoles)", "ad", "sp", "show", "--id", synergy); out != "9" {
		t.Errorf("sp show: %q roles", out)
	}
	resource := tsv("id", "ad", "sp", "show", "--id", synergy)

	app := tsv("appId", "ad", "app", "create", "--display-name", "Billing Service", "--sign-in-audience", "AzureADMyOrg")
	for _, role := range []string{"eb63d611-525e-4a31-abd7-0cb33f679599", "130ecbe2-d1e6-4bbd-9a8d-9a7a909b876e", "72129ccd-8886-42db-a63c-2647b61635c1"} {
		az.run("ad", "app", "permission", "add", "--id", app, "--api", synergy, "--api-permissions", role+"=Role")
	}
	if out := tsv("[].resourceAccess[].id", "ad", "app", "permission", "list", "--id", app); len(strings.Fields(out)) != 3 {
		t.Errorf("permissions: %q", out)
	}
	principal := tsv("id", "ad", "sp", "create", "--id", app)
	secret := tsv("password", "ad", "app", "credential", "reset", "--id", app, "--display-name", "2026-11-22", "--years", "1")
	if len(secret) < 30 {
		t.Fatalf("credential reset gave %d characters", len(secret))
	}
	if out := tsv("[].displayName", "ad", "app", "credential", "list", "--id", app); out != "2026-11-22" {
		t.Errorf("credentials: %q", out)
	}
	body, _ := json.Marshal(map[string]string{"principalId": principal, "resourceId": resource, "appRoleId": "72129ccd-8886-42db-a63c-2647b61635c1"})
	graph := tsv("endpoints.microsoftGraphResourceId", "cloud", "show")
	assignments := graph + "v1.0/servicePrincipals/" + principal + "/appRoleAssignments"
	az.run("rest", "--method", "post", "--url", assignments, "--resource", graph, "--body", string(body))
	if out := tsv("value[].resourceDisplayName", "rest", "--method", "get", "--url", assignments, "--resource", graph); out != "Project Synergy" {
		t.Errorf("assignments: %q", out)
	}
	if out := az.fails("rest", "--method", "post", "--url", assignments, "--resource", graph, "--body", string(body)); !strings.Contains(out, "Permission being assigned already exists on the object") {
		t.Errorf("assigned twice: %s", out)
	}

	az.run("ad", "app", "permission", "grant", "--id", app, "--api", synergy, "--scope", "user_impersonation")
	if out := tsv("[].scope", "ad", "app", "permission", "list-grants", "--id", app); out != "user_impersonation" {
		t.Errorf("grants: %q", out)
	}
	federated, _ := json.Marshal(map[string]any{"name": "tandem", "issuer": "https://tandem.telecom.example/x", "subject": "billing", "audiences": []string{"api://AzureADTokenExchange"}})
	az.run("ad", "app", "federated-credential", "create", "--id", app, "--parameters", string(federated))
	if out := tsv("[].subject", "ad", "app", "federated-credential", "list", "--id", app); out != "billing" {
		t.Errorf("federated credentials: %q", out)
	}
	az.run("ad", "app", "update", "--id", app, "--display-name", "Billing")
	if out := tsv("displayName", "ad", "app", "show", "--id", app); out != "Billing" {
		t.Errorf("after an update: %q", out)
	}

	// The one-liner that everybody knows: registration, principal and secret. (Its
	// option --role fails in Debian's build before anything is asked.)
	if out := az.run("ad", "sp", "create-for-rbac", "--name", "robot", "-o", "tsv", "--query", "tenant"); out != tenantID {
		t.Errorf("create-for-rbac: %q", out)
	}

	az.run("ad", "user", "create", "--display-name", "Ann", "--password", "canary of the first day 17", "--user-principal-name", "ann@lab.telecom.example")
	ann := tsv("id", "ad", "user", "show", "--id", "ann@lab.telecom.example")
	if out := tsv("[].displayName", "ad", "user", "list", "--upn", "ann@lab.telecom.example"); out != "Ann" {
		t.Errorf("users: %q", out)
	}
	az.run("ad", "group", "create", "--display-name", "Voice", "--mail-nickname", "voice")
	az.run("ad", "group", "member", "add", "--group", "Voice", "--member-id", ann)
	if out := tsv("[].userPrincipalName", "ad", "group", "member", "list", "--group", "Voice"); out != "ann@lab.telecom.example" {
		t.Errorf("members: %q", out)
	}
	if out := tsv("value", "ad", "group", "member", "check", "--group", "Voice", "--member-id", ann); out != "true" {
		t.Errorf("member check: %q", out)
	}
	az.run("ad", "group", "delete", "--group", "Voice")
	az.run("ad", "user", "delete", "--id", "ann@lab.telecom.example")
	if out := az.fails("ad", "user", "show", "--id", "ann@lab.telecom.example"); !strings.Contains(out, "does not exist") {
		t.Errorf("a user that is gone: %s", out)
	}

	// The registration signs in with the secret that was shown once; it may not
	// read the directory, having no role there.
	other := &azureCLI{TB: t, path: az.path, home: t.TempDir()}
	if err := os.CopyFS(other.home, os.DirFS(az.home)); err != nil {
		t.Fatal(err)
	}
	other.run("login", "--service-principal", "-u", app, "-p", secret, "--tenant", tenantID, "--allow-no-subscriptions")
	if out := other.fails("ad", "app", "list"); !strings.Contains(out, "Insufficient privileges") {
		t.Errorf("without a role: %s", out)
	}
	az.run("ad", "app", "delete", "--id", app)
	if out := az.fails("ad", "sp", "show", "--id", app); !strings.Contains(out, "does not exist") {
		t.Errorf("a principal that is gone: %s", out)
	}
}
