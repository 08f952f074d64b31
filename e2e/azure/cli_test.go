package azure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// peer is the path of a program, without which the test is skipped, or fails
// where TANDEM_PEERS says that it is required.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("TANDEM_PEERS") == "required" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed (e2e/install-peers installs it)", name)
	}
	return path
}

// TestAzureCLI is the life of a gateway with Debian's azure-cli: a cloud of its
// own, a login in the form of Active Directory Federation Services (the only
// one in which this version does not ask Microsoft whether the host exists),
// groups, and `az rest` for the rest.
func TestAzureCLI(t *testing.T) {
	if testing.Short() {
		t.Skip("azure-cli takes a minute")
	}
	az := inCloud(t)
	if out := az.fails("login", "--service-principal", "-u", clientID, "-p", "wrong", "--tenant", tenantID); !strings.Contains(out, "AADSTS7000215") {
		t.Errorf("a wrong secret: %s", out)
	}
	login := az.run("login", "--service-principal", "-u", clientID, "-p", clientSecret, "--tenant", tenantID)
	if !strings.Contains(login, subscriptionID) {
		t.Fatalf("login: %s", login)
	}
	if out := az.run("account", "list-locations", "-o", "tsv", "--query", "[].name"); out != "westeurope\nnortheurope" {
		t.Errorf("locations: %q", out)
	}
	if out := az.run("provider", "show", "-n", "Microsoft.VoiceServices", "-o", "tsv", "--query", "registrationState"); out != "Registered" {
		t.Errorf("provider: %q", out)
	}
	az.run("group", "create", "-n", "voice", "-l", "westeurope", "--tags", "team=voice")
	if out := az.run("group", "list", "--tag", "team=voice", "-o", "tsv", "--query", "[].name"); out != "voice" {
		t.Errorf("groups: %q", out)
	}

	gateway := "/subscriptions/" + subscriptionID + "/resourcegroups/voice/providers/Microsoft.VoiceServices/communicationsGateways/" + gatewayName
	rest := func(method, path string, body any, more ...string) string {
		t.Helper()
		args := append([]string{"rest", "--method", method, "--url", path + "?api-version=2023-01-31"}, more...)
		if body != nil {
			b, _ := json.Marshal(body)
			args = append(args, "--body", string(b))
		}
		return az.run(args...)
	}
	region := func(name, address string) any {
		return map[string]any{"name": name, "primaryRegionProperties": map[string]any{"operatorAddresses": []string{address}}}
	}
	resource := map[string]any{"location": "westeurope", "tags": map[string]string{"from": "az"}, "properties": map[string]any{
		"connectivity": "PublicAddress", "codecs": []string{"PCMA"}, "e911Type": "Standard", "platforms": []string{"OperatorConnect"},
		"serviceLocations": []any{region("westeurope", "127.78.20.9")},
	}}
	free := map[string]string{"name": gatewayName, "type": "Microsoft.VoiceServices/communicationsGateways"}
	available := "/subscriptions/" + subscriptionID + "/providers/Microsoft.VoiceServices/locations/westeurope/checkNameAvailability"
	if out := rest("post", available, free, "-o", "tsv", "--query", "nameAvailable"); out != "true" {
		t.Errorf("the name is not free: %q", out)
	}
	rest("put", gateway, resource)
	az.until("Succeeded", func() string {
		return rest("get", gateway, nil, "-o", "tsv", "--query", "properties.provisioningState")
	})
	rest("put", gateway+"/testLines/OC1", map[string]any{"location": "westeurope", "properties": map[string]string{"phoneNumber": "+441134960001", "purpose": "Automated"}})
	rest("patch", gateway, map[string]any{"tags": map[string]string{"from": "patch"}})
	if out := rest("get", gateway+"/testLines", nil, "-o", "tsv", "--query", "value[].properties.phoneNumber"); out != "+441134960001" {
		t.Errorf("test lines: %q", out)
	}
	if out := az.run("resource", "list", "--resource-type", "Microsoft.VoiceServices/communicationsGateways", "-o", "tsv", "--query", "[].tags.from"); out != "patch" {
		t.Errorf("resources: %q", out)
	}
	if out := az.run("resource", "show", "--ids", gateway, "--api-version", "2023-01-31", "-o", "tsv", "--query", "properties.status"); out != "Complete" {
		t.Errorf("resource show: %q", out)
	}
	if out := az.fails("rest", "--method", "put", "--url", gateway+"?api-version=2023-01-31", "--body", `{"location":"westeurope","properties":{"codecs":["PCMX"]}}`); !strings.Contains(out, "PCMX") || !strings.Contains(out, "InvalidResource") {
		t.Errorf("a mistake: %s", out)
	}
	if out := az.fails("rest", "--method", "get", "--url", gateway+"?api-version=2020-01-01"); !strings.Contains(out, "InvalidApiVersionParameter") || !strings.Contains(out, "2024-02-16-preview") {
		t.Errorf("a wrong version: %s", out)
	}
	if out := az.run("monitor", "activity-log", "list", "-g", "voice", "--offset", "1h", "-o", "tsv", "--query", "[].operationName.value"); !strings.Contains(out, "Microsoft.VoiceServices/communicationsGateways/testLines/write") {
		t.Errorf("activity log: %q", out)
	}
	rest("delete", gateway, nil)
	az.until("gone", func() string {
		out, err := az.try("rest", "--method", "get", "--url", gateway+"?api-version=2023-01-31")
		if err != nil && strings.Contains(out, "ResourceNotFound") {
			return "gone"
		}
		return out
	})
	az.run("group", "delete", "-n", "voice", "--yes", "--no-wait")
	az.until("false", func() string { return az.run("group", "exists", "-n", "voice") })
}

// azureCLI is the program with a home of its own.
type azureCLI struct {
	testing.TB
	path, home string
}

func (a *azureCLI) try(args ...string) (string, error) {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), 3*time.Minute) // the first start compiles it
	defer cancel()
	cmd := exec.CommandContext(ctx, a.path, append(args, "--only-show-errors")...)
	cmd.Env = append(os.Environ(), "AZURE_CONFIG_DIR="+a.home, "REQUESTS_CA_BUNDLE="+rootPEM, "AZURE_CORE_COLLECT_TELEMETRY=false", "NO_PROXY=localhost", "no_proxy=localhost")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begun := time.Now()
	err := cmd.Run()
	a.Logf("%5.1f s: az %.200s", time.Since(begun).Seconds(), masked(args))
	return strings.TrimSpace(strings.ReplaceAll(out.String(), "\r", "")), err
}

// masked is a command without the secrets in it.
func masked(args []string) string {
	args = slices.Clone(args)
	for i := range len(args) - 1 {
		if args[i] == "-p" || args[i] == "--password" {
			args[i+1] = "***"
		}
	}
	return strings.Join(args, " ")
}

// run is a command that must succeed.
func (a *azureCLI) run(args ...string) string {
	a.Helper()
	out, err := a.try(args...)
	if err != nil {
		a.Fatalf("az %s: %v\n%s", masked(args), err, out)
	}
	return out
}

// fails is a command that must not.
func (a *azureCLI) fails(args ...string) string {
	a.Helper()
	out, err := a.try(args...)
	if err == nil {
		a.Fatalf("az %.200s succeeded: %s", strings.Join(args, " "), out)
	}
	return out
}

// until asks until the answer is the one that is waited for.
func (a *azureCLI) until(want string, ask func() string) {
	a.Helper()
	got := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if got = ask(); got == want {
			return
		}
	}
	a.Fatal(fmt.Sprintf("%q, want %q", got, want))
}
